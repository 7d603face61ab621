"""`acagent-nb answers list|prune|diff`: what was recorded, for those who review it."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from textwrap import fill, indent
from typing import TYPE_CHECKING, Any

from . import terminal
from .errors import BadOption, BadParams, LLMError, Warned
from .modes import NOTEBOOK

if TYPE_CHECKING:
    from .pruning import Dropped
    from .recordings import Line, Placed, Use
    from .reviewing import Changes

_LONGEST = 48  # characters of a prompt in a table
_MANY = 1000  # questions that are not compared each with each
_RED, _GREEN, _PLAIN = "\x1b[31m", "\x1b[32m", "\x1b[0m"


def add(commands: Any) -> None:
    """Add these commands to a parser's."""
    described = (
        "Look after files of recorded answers, which ACAGENT_NB_ANSWERS=record:FILE writes and "
        "ACAGENT_NB_ANSWERS=replay:FILE answers from. Prompts and answers are shown."
    )
    examples = ("list answers.jsonl", "prune answers.jsonl --notebooks notebooks/*.ipynb", "diff old.jsonl new.jsonl")
    answers = _parser(commands, "answers", "list, prune and compare recorded answers", described, examples)
    each = answers.add_subparsers(title="commands", metavar="command", required=True)
    listed = _parser(
        each,
        "list",
        "list the answers in files",
        "List the answers in files, a line each: its number, what was asked and how, for which time (N), the tokens of "
        "the answer, and when it was recorded. Lines that later ones have replaced are left out.",
        ("list answers.jsonl", "list --json answers.jsonl | jq -r '.[].answer'"),
    )
    listed.add_argument("files", metavar="FILE", nargs="+", type=Path, help="a recording")
    listed.add_argument("--json", action="store_true", help="print JSON, for scripts")
    listed.set_defaults(run=_list)
    pruned = _parser(
        each,
        "prune",
        "drop the answers that nothing needs",
        "Drop the lines that later ones have replaced, and with --used or --notebooks the answers that were not used. "
        "A file is replaced as a whole, or stays as it is.",
        (
            "prune answers.jsonl --dry-run",
            "prune answers.jsonl --used used.txt    (what ACAGENT_NB_ANSWERS_USED=used.txt has noted)",
            "prune answers.jsonl --notebooks notebooks/*.ipynb",
            "prune 'answers/{notebook}.jsonl' --notebooks notebooks/",
        ),
    )
    pruned.add_argument(
        "files",
        metavar="FILE",
        nargs="+",
        type=Path,
        help=f"a recording; with --notebooks {NOTEBOOK} in it stands for a notebook's name without .ipynb",
    )
    which = pruned.add_mutually_exclusive_group()
    which.add_argument("--used", metavar="USED", type=Path, help="a list of the answers that were replayed: KEY N")
    which.add_argument(
        "--notebooks",
        metavar="PATH",
        nargs="+",
        help="run these notebooks, or those in these folders, on the answers in FILE; drop what none of them asks for",
    )
    pruned.add_argument("--dry-run", action="store_true", help="only tell what would be dropped")
    pruned.set_defaults(run=_prune)
    compared = _parser(
        each,
        "diff",
        "tell what differs between two recordings",
        "Tell which questions are new, which are gone, which are answered differently, and which models answered in "
        "another version. Times and figures are not compared. The exit status is 0 if the answers are the same, 1 if "
        "they differ, and 2 if a file can't be read.",
        ("diff old.jsonl answers.jsonl", "git show HEAD:answers.jsonl > old.jsonl"),
    )
    compared.add_argument("old", metavar="OLD", type=Path, help="a recording")
    compared.add_argument("new", metavar="NEW", type=Path, help="the one that shall take its place")
    compared.add_argument("--json", action="store_true", help="print JSON, for scripts")
    compared.set_defaults(run=_diff)


def _parser(commands: Any, name: str, brief: str, description: str, examples: tuple[str, ...]) -> Any:
    """One command, with its examples under its help."""
    lines = [f"  {each}" if each.startswith("git ") else f"  acagent-nb answers {each}" for each in examples]
    return commands.add_parser(
        name,
        help=brief,
        description=fill(description, 80),
        epilog="examples:\n" + "\n".join(lines),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _list(given: argparse.Namespace) -> None:
    from . import recordings

    for file in given.files:
        _check(file)
    with _warnings_told():
        every = [(file, recordings.numbered(file)) for file in given.files]
    if given.json:
        terminal.print_json([_told(line, number, file) for file, placed in every for number, line in _current(placed)])
        return
    for at, (file, placed) in enumerate(every):
        if len(every) > 1:
            print("\n" * (at > 0) + terminal.printable(str(file)))
        current = _current(placed)
        print(_table(current) if current else "There are no answers in it.")
        if more := len(placed) - len(current):
            print(f"\n{_lines(more)} replaced by later ones; `acagent-nb answers prune` drops them.")


def _check(file: Path) -> None:
    """Refuse a path at which there can be no recording."""
    if NOTEBOOK in str(file):
        raise BadParams(f"{file} stands for the recordings of several notebooks.", "Name these: --notebooks notebooks/")
    if file.is_dir():
        raise BadParams(f"{file} is a folder.", "Name a file of recorded answers in it.")
    if file.suffix == ".ipynb":
        raise BadParams(f"{file} is a notebook.", "Name the file that its answers were recorded in.")
    if not file.exists():
        near = get_close_matches(file.stem, [each.stem for each in file.parent.glob("*.jsonl")], n=1)
        hint = f"Did you mean {file.with_name(f'{near[0]}.jsonl')}?" if near else "Check the path."
        raise BadParams(f"There is no recording {file}.", hint)


def _current(placed: list[Placed]) -> list[Placed]:
    """The lines that no later one replaces."""
    from . import recordings

    return sorted(recordings.latest(placed).values(), key=lambda each: each[0])


def _table(placed: list[Placed]) -> str:
    from . import reviewing

    rows = [
        (
            str(number),
            line.kind,
            line.model,
            _short(line),
            str(line.n),
            "" if (count := reviewing.tokens(line)) is None else f"{count}",
            reviewing.how(line),
            line.recorded[:16].replace("T", " "),
        )
        for number, line in placed
    ]
    return terminal.table(("LINE", "KIND", "MODEL", "ASKED", "N", "TOKENS", "OPTIONS", "RECORDED"), rows)


def _told(line: Line, number: int, file: Path) -> dict[str, Any]:
    """A line for scripts."""
    from . import reviewing

    told = {"file": str(file), "line": number, "key": line.key, "n": line.n, "kind": line.kind, "model": line.model}
    told |= {"digest": line.digest, "asked": reviewing.prompt(line), "answer": reviewing.answer(line)}
    told |= {"tokens": reviewing.tokens(line), "options": line.request.get("options", {}), "server": line.server}
    return told | {"recorded": line.recorded}


def _short(line: Line) -> str:
    """The first words of what was asked."""
    from . import reviewing

    return _shortened(reviewing.prompt(line), _LONGEST)


def _shortened(text: str, most: int) -> str:
    text = " ".join(text[: 10 * most].split())
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


def _prune(given: argparse.Namespace) -> None:
    from . import pruning

    for at, (file, used) in enumerate(_used(given).items()):
        dropped, left = pruning.prune(file, used, dry=given.dry_run)
        if dropped:
            rows = [_row(each) for each in dropped]
            print("\n" * (at > 0) + f"{terminal.table(('LINE', 'WHY', 'KIND', 'MODEL', 'ASKED'), rows)}\n")
        doing = "would be dropped" if given.dry_run else "dropped"
        print(f"{_lines(len(dropped))} {doing}, {left:,} left in {terminal.printable(str(file))}.")


def _used(given: argparse.Namespace) -> Mapping[Path, set[Use] | None]:
    """The recordings that are meant, and what is in use of each; `None` where that is not known."""
    from . import pruning

    if not given.notebooks:
        for file in given.files:
            _check(file)
        return dict.fromkeys(given.files, pruning.uses(given.used) if given.used else None)
    from .runnable.answer_uses import uses

    if len(given.files) > 1:
        pattern = shlex.quote(str(given.files[0].with_name(f"{NOTEBOOK}{given.files[0].suffix}")))
        raise BadOption("Which notebook goes with which recording?", f"Write {NOTEBOOK} for its name: {pattern}")
    used = uses(str(given.files[0]), given.notebooks, _check)
    print()
    return used


def _row(dropped: Dropped) -> tuple[str, ...]:
    what = (dropped.line.kind, dropped.line.model, _short(dropped.line)) if dropped.line else ("", "", "")
    return str(dropped.number), dropped.why, *what


def _diff(given: argparse.Namespace) -> int:
    from . import recordings, reviewing

    try:
        _check(given.old)
        _check(given.new)
        with _warnings_told():
            found = reviewing.changes(recordings.numbered(given.old), recordings.numbered(given.new))
    except LLMError as error:
        print(error, file=sys.stderr)
        return 2
    if given.json:
        terminal.print_json(
            {
                "new": [_told(line, number, given.new) for number, line in found.new],
                "gone": [_told(line, number, given.old) for number, line in found.gone],
                "different": [
                    {"old": _told(old[1], old[0], given.old), "new": _told(new[1], new[0], given.new)}
                    for old, new in found.different
                ],
                "digests": {model: {"old": old, "new": new} for model, (old, new) in found.digests.items()},
            }
        )
    else:
        _print(found)
    return int(any(found))


def _print(found: Changes) -> None:
    """What differs, for people."""
    from . import reviewing

    for model, both in found.digests.items():
        then, now = (", ".join(digest[:12] for digest in each) or "none" for each in both)
        print(terminal.printable(f"{model} is another version: {then}, now {now}"))
    for number, line in found.gone:
        print(_coloured(f"- line {number}: {_question(line)}", _RED))
    for number, line in found.new:
        print(_coloured(f"+ line {number}: {_question(line)}", _GREEN))
        if len(found.gone) < _MANY and (near := reviewing.kin(line, found.gone)):
            print(terminal.printable(f"    as line {near[0]}, but {', '.join(near[1])}"))
        print(f"    {terminal.printable(_shortened(reviewing.answer(line), 4 * _LONGEST))}")
    for (before, old), (after, new) in found.different:
        print(f"! line {before}, now {after}: {_question(new)}")
        print(
            indent(
                "".join(_piece(*each) for each in reviewing.marked(reviewing.answer(old), reviewing.answer(new))),
                "    ",
            )
        )
    counts = f"{len(found.new):,} new, {len(found.gone):,} gone, {len(found.different):,} answered differently."
    print(counts if any(found) else "The answers are the same.")


def _question(line: Line) -> str:
    """What was asked, in a line."""
    from . import reviewing

    words = (line.kind, line.model, reviewing.how(line), f"({line.n})" * (line.n > 1), _short(line))
    return terminal.printable("  ".join(word for word in words if word))


def _piece(sign: str, text: str) -> str:
    """A run of words, marked as git marks them where there are no colours."""
    text = terminal.printable(text, lines=True)
    if sign == " ":
        return text
    if _colours():
        return _coloured(text, _RED if sign == "-" else _GREEN)
    return f"[-{text}-]" if sign == "-" else f"{{+{text}+}}"


def _coloured(text: str, colour: str) -> str:
    return f"{colour}{text}{_PLAIN}" if _colours() else text


def _colours() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def _lines(count: int) -> str:
    return f"{count:,} line{'s' * (count != 1)}"


@contextmanager
def _warnings_told() -> Iterator[None]:
    """Say in a line each what is otherwise a Python warning."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", Warned)
        yield
    for each in warned:
        print(each.message, file=sys.stderr)
