"""`%llm params, usage, why, doctor, record, replay`: what holds in this session, what it cost, and what is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .errors import BadOption
from .words import apart, nothing_more

if TYPE_CHECKING:
    from .params import Params
    from .session import Session


def params(session: Session, words: list[str]) -> None:
    """What params.toml says, and where it was found: model, roles, default options, endpoints, prices.

    %llm params
    """
    from .tables import Table

    nothing_more(words, "%llm params")
    rows = [*_said(session, session.params)]
    if len(rows) == 1:
        rows.append(("", 'It could say: model = "local_tiny", or [options] temperature = 0.2'))
    Table((), rows).show(session.shell)


def usage(session: Session, words: list[str]) -> None:
    """Tokens, time and, with prices of your own in params.toml, money by model of this session's cells.

    %llm usage

    What Client asks in code is not counted here: each reply tells its own in reply.stats.
    """
    from . import spending
    from .growing import brief
    from .tables import Table

    nothing_more(words, "%llm usage")
    each = spending.spent(session.answers, session.params)
    replayed = sum(answer.replayed for answer in session.answers)
    many = "1 answer was" if replayed == 1 else f"{replayed:,} answers were"
    kept = [f"{many} replayed, which cost nothing."] * bool(replayed)
    if not each:
        nothing = "No cell has asked a model in this session yet; what Client asks in code is not counted."
        return print(*kept or [nothing])
    priced = [row.money for row in each if row.money is not None]
    rows = [
        [row.model, f"{row.answers:,}", f"{row.tokens_in:,}", f"{row.tokens_out:,}", brief(row.seconds)]
        + ([f"{row.money:,.4f}" if row.money is not None else ""] if priced else [])
        for row in each
    ]
    if len(each) > 1:
        sums = [f"{sum(row[at] for row in each):,}" for at in (1, 2, 3)]  # type: ignore[misc]  # these three are numbers
        rows.append(["all", *sums, brief(sum(row.seconds for row in each))])
        rows[-1] += [f"{sum(priced):,.4f}"] if priced else []
    head = ["model", "answers", "tokens in", "tokens out", "seconds", *(["money"] if priced else [])]
    below = " ".join([*_remarks(each, bool(priced)), *kept])
    return Table(head, rows, right=range(1, 6), below=below).show(session.shell)


def why(session: Session, words: list[str]) -> None:
    """The whole traceback of what failed last.

    %llm why
    """
    nothing_more(words, "%llm why")
    error = session.error
    if error is None:
        return print("Nothing has failed in this session.")
    shown = session.shell.InteractiveTB
    mode = shown.mode
    try:
        shown.set_mode("Context")  # "Verbose" would show the values of variables, and keys among them
        lines = shown.structured_traceback(type(error), error, error.__traceback__)
        print(shown.stb2text(lines))
    finally:
        shown.set_mode(mode)
    return None


def doctor(session: Session, words: list[str]) -> None:
    """What works here and what does not: server, models, disk, keys, packages; each problem with its remedy.

    %llm doctor

    In a terminal: acagent-nb doctor
    """
    from . import doctor

    nothing_more(words, "%llm doctor")
    doctor.table(doctor.examined(session.model, session.known_host)).show(session.shell)


def record(session: Session, words: list[str]) -> None:
    """Keep every answer in a file, to replay it later without a server; off ends it, alone it tells the state.

    %llm record answers.jsonl
    %llm record --auto answers.jsonl   replays what the file has, asks and keeps what is missing
    %llm record off

    For a whole notebook: ACAGENT_NB_ANSWERS=record:answers.jsonl
    """
    from . import answers

    files, flags = apart(words, ("--auto",))
    nothing_more(files[1:], "%llm record answers.jsonl")
    if flags and files in ([], ["off"]):
        raise BadOption("--auto needs a file.", "For example: %llm record --auto answers.jsonl")
    if files == ["off"]:
        answers.off()
    elif files:
        answers.record(files[0], auto=bool(flags))
    print(answers.current() or _NEITHER)


def replay(session: Session, words: list[str]) -> None:
    """Take every answer from a recorded file, and ask no server; off ends it, alone it tells the state.

    %llm replay answers.jsonl
    %llm replay answers.jsonl --pace 1   as fast as the answers came
    %llm replay off

    For a whole notebook: ACAGENT_NB_ANSWERS=replay:answers.jsonl
    """
    from . import answers

    files, pace = _paced(words)
    nothing_more(files[1:], "%llm replay answers.jsonl")
    if pace is not None and files in ([], ["off"]):
        raise BadOption("--pace needs a file.", "For example: %llm replay answers.jsonl --pace 1")
    if files == ["off"]:
        answers.off()
    elif files:
        answers.replay(files[0], pace=pace or 0.0)
    print(answers.current() or _NEITHER)


COMMANDS = (params, usage, why, doctor, record, replay)
_NEITHER = "Answers are neither recorded nor replayed; for example: %llm record answers.jsonl"


def _paced(words: list[str]) -> tuple[list[str], float | None]:
    """The words without `--pace 1` or `--pace=1`, and how fast that is."""
    left, pace = list(words), None
    for at, word in enumerate(words):
        if word.partition("=")[0] != "--pace":
            continue
        value = word.partition("=")[2] if "=" in word else "".join(words[at + 1 : at + 2])
        try:
            pace = float(value)
        except ValueError:
            raise BadOption("--pace takes a number: 0 is at once, 1 as it came.", "For example: --pace 1") from None
        left = words[:at] + words[at + (1 if "=" in word else 2) :]
    apart(left, ("--pace",))
    return left, pace


def _said(session: Session, params: Params) -> Iterator[tuple[str, str]]:
    from . import terminal
    from .doctor import door

    yield "file", terminal.path(params.path) if params.path else "there is no params.toml in this folder, nor above it"
    if session.model:
        yield "model", f"{session.model}, by %llm use"
    elif params.model:
        yield "model", params.model
    for role, name in params.roles.items():
        yield "role", f"{role} = {name}"
    for option, value in params.model_options.sent().items():
        yield "option", f"{option} = {_toml(value)}{'' if params.apply_model_options else ' (switched off)'}"
    for option, value in session.options.sent().items():
        yield "panel", f"{option} = {_toml(value)}"
    for endpoint in params.endpoints.values():
        yield "endpoint", f"{endpoint.name}: {endpoint.base_url}, {door(endpoint.key_env)}"
    for model, (read, wrote) in params.prices.items():
        yield "price", f"{model}: {read:g} in, {wrote:g} out, per million tokens"


def _toml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _remarks(each: list[Any], priced: bool) -> Iterator[str]:
    uncounted = sum(row.uncounted for row in each)
    if uncounted:
        told, whose = ("answers were", "their") if uncounted > 1 else ("answer was", "its")
        yield f"{uncounted} {told} stopped or failed before the server counted {whose} tokens: they are missing here."
    if not priced:
        model = next((row.model for row in each if not row.model.startswith("local_")), None)
        if model:
            yield f'For money, add to params.toml: [prices."{model}"] with in and out, per million tokens.'
