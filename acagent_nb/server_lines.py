"""`%llm list, pull, show, rm, ps, load, unload`: the models of the server.

Names are taken with and without `local_`, and roles of `params.toml` too. What takes time to import
waits until its command is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .errors import BadOption, Interrupted, LLMError, ModelMissing, ServerDown
from .words import apart, nothing_more, one

if TYPE_CHECKING:
    from .client import Client
    from .models import Model
    from .session import Session

_GET = "%llm pull tiny"
_ASKED_AT_ONCE = 8  # questions about the models of a list


def list_(session: Session, words: list[str]) -> None:
    """The models that the server has: size, parameters, context window, and what is loaded.

    %llm list
    """
    from . import meant, terminal
    from .tables import Table

    nothing_more(words, "%llm list")
    with _client(session) as client:
        models = client.models()
        if not models:
            return print(f"The server has no models yet; {_GET} gets one.")
        loaded = {each.name: each.processor for each in client.running()}
        rows = [
            (
                meant.written(each.name),
                terminal.size(each.size),
                each.details.parameter_size,
                context,
                f"on the {loaded[each.name]}" if each.name in loaded else "",
            )
            for each, context in zip(models, _contexts(client, models), strict=True)
        ]
    return Table(("name", "size", "parameters", "context", "loaded"), rows, right=(1, 2, 3)).show(session.shell)


def pull(session: Session, words: list[str]) -> None:
    """Download a model; stopping the cell keeps what has come, and pulling again goes on there.

    %llm pull tiny
    %llm pull llama3.2:1b
    %llm pull hf.co/user/model:Q4_K_M
    """
    from . import builtin, meant, terminal
    from .pulls import progress

    text = one(words, "model's name", "%llm pull llama3.2:1b")
    bar = progress(session.shell)
    with _client(session) as client, meant.suggesting(client, text, _GET, builtin.listed()):
        try:
            client.pull(meant.named(text, session.params.roles), watch=bar.show)
        except KeyboardInterrupt:
            at = f" at {bar.share}" if bar.share else ""
            raise Interrupted(f"Stopped{at}; what has come is kept.", f"%llm pull {text} goes on there.") from None
        finally:
            bar.end()
    amount = f": {terminal.size(bar.last.total)}" if bar.last and bar.last.total else ""
    bar.done(f"{text} is there{amount} in {bar.seconds:.1f} s")


def show(session: Session, words: list[str]) -> None:
    """What a model is and can do: family, context window, abilities, own options, template.

    %llm show local_tiny
    """
    from . import meant, terminal
    from .tables import Table

    text = one(words, "model's name", "%llm show local_tiny")
    with _client(session) as client, meant.suggesting(client, text, _GET):
        shown = client.show(meant.named(text, session.params.roles))
    context = shown.context_length
    facts = {
        "family": shown.details.family,
        "parameters": shown.details.parameter_size,
        "quantization": shown.details.quantization_level,
        "context": f"{context:,} tokens" if context else "",
        "can do": ", ".join(shown.capabilities),
        "changed": terminal.when(shown.modified_at),
        "options": shown.parameters.strip(),
        "system": shown.system.strip(),
        "template": shown.template.strip(),
    }
    Table((), [(name, value) for name, value in facts.items() if value]).show(session.shell)


def rm(session: Session, words: list[str]) -> None:
    """Remove models from the server's disk, after asking; --yes does not ask.

    %llm rm llama3.2:1b
    %llm rm one two --yes
    """
    from . import meant, names, terminal

    texts, flags = apart(words, ("--yes",))
    if not texts:
        raise BadOption("A model's name is missing.", "For example: %llm rm llama3.2:1b")
    with _client(session) as client:
        there = {names.parse(each.name).key: each for each in client.models()}
        doomed: dict[str, Model] = {}
        for text in texts:  # all are looked for before any is removed
            with meant.suggesting(client, text, _GET):
                key = names.parse(_wire(session, text)).key
                if key not in there:
                    raise ModelMissing(f"The server does not have the model {text}.")
                doomed[key] = there[key]
        if not flags and not _agreed(session, list(doomed.values())):
            return print("Nothing was removed.")
        for each in doomed.values():
            client.delete(names.LOCAL + each.name)
            print(f"Removed {terminal.printable(each.name)}.")
    return None


def ps(session: Session, words: list[str]) -> None:
    """The models that are in memory now, on which processor, and how long they stay.

    %llm ps
    """
    from . import meant, terminal
    from .tables import Table

    nothing_more(words, "%llm ps")
    with _client(session) as client:
        running = client.running()
    if not running:
        return print("No model is loaded.")
    rows = [
        (
            meant.written(each.name),
            terminal.size(each.size),
            each.processor,
            f"{each.context_length:,}" if each.context_length else "",
            terminal.when(each.expires_at),
        )
        for each in running
    ]
    return Table(("name", "memory", "processor", "context", "unloaded"), rows, right=(1, 3)).show(session.shell)


def load(session: Session, words: list[str]) -> None:
    """Load a model into memory now, so that the next answer comes at once.

    %llm load local_tiny
    """
    from . import meant

    text = one(words, "model's name", "%llm load local_tiny")
    with _client(session) as client, _missing(client, text):
        options: dict[str, Any] = dict(session.options.sent())  # with others it would be loaded anew by the next cell
        client.load(meant.named(text, session.params.roles), pull=False, **options)
    print(f"{text} is loaded.")


def unload(session: Session, words: list[str]) -> None:
    """Free the memory that a model takes; it stays on the disk.

    %llm unload local_tiny
    """
    from . import meant, names

    text = one(words, "model's name", "%llm unload local_tiny")
    with _client(session) as client, meant.suggesting(client, text, _GET):
        key = names.parse(_wire(session, text)).key
        if key not in {names.parse(each.name).key for each in client.running()}:
            client.show(meant.named(text, session.params.roles))  # fails if there is no such model
            return print(f"{text} is not loaded.")
        client.unload(meant.named(text, session.params.roles))
    return print(f"{text} is unloaded.")


COMMANDS = (list_, pull, show, rm, ps, load, unload)


@contextmanager
def _client(session: Session) -> Iterator[Client]:
    """Somebody who talks with the session's server."""
    from .client import Client

    try:
        with Client(session.host().url, params=session.params) as client:
            yield client
    except ServerDown:
        session.forget_host()
        raise


@contextmanager
def _missing(client: Client, text: str) -> Iterator[None]:
    """Say how a model is got that may well exist."""
    from . import builtin, meant

    try:
        with meant.suggesting(client, text, _GET, builtin.listed()):
            yield
    except ModelMissing as error:
        hint = error.hint if error.hint.startswith("Did you mean") else f"%llm pull {text} gets it."
        raise ModelMissing(f"The server does not have the model {text}.", hint) from None


def _wire(session: Session, text: str) -> str:
    """A model's name as the server knows it."""
    from . import meant

    target = session.params.target(meant.named(text, session.params.roles))
    if target.provider != "ollama":
        raise BadOption(f"{text} is a cloud model, and no server of yours has it.", "%llm list shows what it has.")
    return target.model


def _contexts(client: Client, models: list[Model]) -> list[str]:
    """The models' context windows; the list of models does not tell them."""
    from concurrent.futures import ThreadPoolExecutor

    from . import names

    def context(model: Model) -> str:
        try:
            length = client.show(names.LOCAL + model.name).context_length
        except LLMError:  # the list is worth more than this column
            return ""
        return f"{length:,}" if length else ""

    with ThreadPoolExecutor(_ASKED_AT_ONCE) as threads:
        return list(threads.map(context, models))


def _agreed(session: Session, models: list[Model]) -> bool:
    """Whether the user says yes to removing these."""
    from . import consent, terminal

    nobody = LLMError("rm asks first, and there is nobody to answer.", "Add --yes to remove without being asked.")
    try:
        consent.somebody_there(session.shell)
    except BadOption:
        raise nobody from None
    what = ", ".join(f"{each.name} ({terminal.size(each.size)})" for each in models)
    try:
        return input(terminal.printable(f"Remove {what}? [y/N] ")).strip().lower() in ("y", "yes")
    except (EOFError, OSError):
        raise nobody from None
