"""Commands for the models of whatever server is in use, and what is wrong with it.

pull, create, list, show, rm, cp, ps, stop, doctor

Models are named as in a notebook, or without the `local_`. What takes time to import waits for its command.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any
from warnings import catch_warnings, simplefilter

from . import builtin, hosts, meant, names, terminal
from .errors import Interrupted, LLMError, ModelMissing, Warned

if TYPE_CHECKING:
    from .client import Client
    from .models import Model

_GET = "acagent-nb pull tiny"
Commands = Any  # argparse keeps the type of what add_subparsers gives to itself


def add(commands: Commands) -> None:
    """Add these commands to a parser's."""
    model = ("model", {"metavar": "NAME", "help": "a model's name, such as tiny or llama3.2:1b"})
    as_json = ("--json", {"action": "store_true", "help": "print JSON, for scripts"})
    _add(
        commands,
        _pull,
        "download a model",
        "Download a model to the server; what had come of it before is not downloaded again. The built-in models "
        f"({', '.join(builtin.listed())}) need no network.",
        ("acagent-nb pull tiny", "acagent-nb pull llama3.2:1b", "acagent-nb pull hf.co/user/model:Q4_K_M"),
        model,
        ("--insecure", {"action": "store_true", "help": "let the server speak plain http with the registry"}),
        as_json,
    )
    _add(
        commands,
        _create,
        "make a model out of another, or of a GGUF file",
        "Make a model out of another, or of a GGUF file, which is uploaded; one of this name is replaced. What a "
        "Modelfile says is read from -f, or from the file Modelfile here if nothing else is told; flags count more.",
        (
            "acagent-nb create brief --from tiny --system 'Be brief.' --parameter temperature=0",
            "acagent-nb create mine -f Modelfile",
            "acagent-nb create mine --file weights.gguf --adapter lora.gguf",
        ),
        ("model", {"metavar": "NAME", "help": "the new model's name"}),
        ("-f", {"dest": "modelfile", "metavar": "MODELFILE", "type": Path, "help": "read this Modelfile"}),
        ("--from", {"dest": "from_model", "metavar": "MODEL", "help": "start from this model"}),
        (
            "--file",
            {"metavar": "GGUF", "action": "append", "help": "start from this file; may be repeated, for a projector"},
        ),
        ("--adapter", {"metavar": "GGUF", "help": "a LoRA adapter's file"}),
        ("--system", {"metavar": "TEXT", "help": "what every conversation begins with"}),
        (
            "--parameter",
            {"metavar": "NAME=VALUE", "action": "append", "default": [], "help": "a model option; may be repeated"},
        ),
        ("--license", {"metavar": "TEXT", "action": "append", "help": "the license's text; may be repeated"}),
        ("--quantize", {"metavar": "TYPE", "help": "convert the weights to this type, such as q4_K_M"}),
        as_json,
    )
    _add(
        commands,
        _list,
        "list the models that are there",
        "List the models that the server has.",
        ("acagent-nb list", "acagent-nb list --json | jq -r '.[].name'"),
        as_json,
    )
    _add(
        commands,
        _show,
        "tell what a model is and can do",
        "Tell what a model is and can do: its size, context window, capabilities, own options, template.",
        ("acagent-nb show tiny", "acagent-nb show tiny --json | jq .model_info"),
        model,
        as_json,
    )
    _add(
        commands,
        _rm,
        "remove models",
        "Remove models from the server, after asking.",
        ("acagent-nb rm llama3.2:1b", "acagent-nb rm --yes one two"),
        ("models", {"metavar": "NAME", "nargs": "+", "help": "the models' names"}),
        ("--yes", {"action": "store_true", "help": "do not ask"}),
        as_json,
    )
    _add(
        commands,
        _cp,
        "give a model a second name",
        "Give a model a second name. Nothing is stored twice; a name that is taken is left alone.",
        ("acagent-nb cp tiny my-tiny",),
        ("source", {"metavar": "FROM", "help": "the model's name"}),
        ("destination", {"metavar": "TO", "help": "its second name"}),
        as_json,
    )
    _add(
        commands,
        _ps,
        "list the models that are loaded",
        "List the models that are in memory now, and how long they stay there.",
        ("acagent-nb ps", "acagent-nb ps --json"),
        as_json,
    )
    _add(
        commands,
        _stop,
        "unload a model, or end the shared embedded server",
        "Free the memory that a model takes on the server. Without a name, end the embedded server that your notebooks "
        "share; the next cell that needs it starts it again.",
        ("acagent-nb stop llama3.2:1b", "acagent-nb stop"),
        ("model", {"metavar": "NAME", "nargs": "?", "help": "a loaded model's name"}),
        as_json,
    )
    _add(
        commands,
        _doctor,
        "tell what works here and what does not",
        "Look at the server, its models, the disk, keys and packages, and tell what to do about each problem. Nothing "
        "is started or changed. The exit status is 1 if something does not work.",
        ("acagent-nb doctor", "acagent-nb doctor --json | jq -r '.findings[] | select(.wrong) | .remedy'"),
        as_json,
    )


def _add(
    commands: Commands,
    run: Callable[[argparse.Namespace], int | None],
    brief: str,
    description: str,
    examples: tuple[str, ...],
    *arguments: tuple[str, dict[str, Any]],
) -> None:
    """One command: called as its function, with its examples under its help."""
    command = commands.add_parser(
        run.__name__.removeprefix("_"),
        help=brief,
        description=fill(description, 80),
        epilog="examples:\n" + "\n".join(f"  {example}" for example in examples),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for name, how in arguments:
        command.add_argument(name, **how)
    command.set_defaults(run=run)


def _pull(given: argparse.Namespace) -> None:
    model = meant.named(given.model)
    progress = terminal.Progress(sys.stderr if given.json else None)
    with _client() as client, meant.suggesting(client, given.model, _GET, builtin.listed()):
        try:
            client.pull(model, watch=progress.show, insecure=given.insecure)
        except KeyboardInterrupt:
            at = f" at {progress.share}" if progress.share else ""
            again = f"acagent-nb pull {given.model}"
            raise Interrupted(f"Stopped{at}; what has come is kept, and `{again}` resumes it.") from None
        finally:
            progress.end()
        if given.json:
            return terminal.print_json(_listed(client, given.model))
    amount = f": {terminal.size(progress.last.total)}" if progress.last and progress.last.total else ""
    return print(f"{given.model} is there{amount} in {progress.seconds:.1f} s")


def _create(given: argparse.Namespace) -> None:
    nothing = not (given.modelfile or given.from_model or given.file)
    if nothing and not Path("Modelfile").exists():
        raise LLMError(
            f"Nothing says what to make {given.model} of.", "Give --from MODEL, --file GGUF or -f MODELFILE."
        )
    how = {
        "modelfile": Path("Modelfile") if nothing else given.modelfile,
        "from_model": meant.named(given.from_model) if given.from_model else None,
        "parameters": _parameters(given.parameter),
        **{name: getattr(given, name) for name in ("file", "adapter", "system", "license", "quantize")},
    }
    progress = terminal.Progress(sys.stderr if given.json else None)
    with _client() as client, meant.suggesting(client, given.from_model or given.model, _GET):
        with catch_warnings(record=True) as warned:
            simplefilter("always", Warned)
            try:
                client.create(meant.named(given.model), watch=progress.show, **how)
            except KeyboardInterrupt:
                raise Interrupted(f"Stopped; {given.model} was not made.") from None
            finally:
                progress.end()
        for each in warned:
            print(each.message, file=sys.stderr)
        if given.json:
            return terminal.print_json(_listed(client, given.model))
    return print(f"{given.model} is made in {progress.seconds:.1f} s")


def _parameters(given: list[str]) -> dict[str, Any]:
    """Model options out of `name=value`; those of `stop` are put together."""
    from .modelfile import typed

    found: dict[str, Any] = {}
    for text in given:
        name, sign, value = text.partition("=")
        if not sign:
            raise LLMError(f"{text!r} is no option and its value.", "Write it like this: --parameter temperature=0.2")
        read = typed(name.strip(), value.strip())
        found[name.strip()] = [*found.get(name.strip(), []), *read] if isinstance(read, list) else read
    return found


def _listed(client: Client, text: str) -> Model:
    """A model that is there, as the list of all tells of it."""
    key = _key(text)
    return next(each for each in client.models() if names.parse(each.name).key == key)


def _key(text: str) -> str:
    """What names for the same model have in common, however they are typed."""
    return names.parse(meant.named(text).removeprefix(names.LOCAL)).key


def _list(given: argparse.Namespace) -> None:
    with _client() as client:
        models = client.models()
        if given.json:
            return terminal.print_json(models)
        return print(terminal.listed(models))


def _show(given: argparse.Namespace) -> None:
    with _client() as client, meant.suggesting(client, given.model, _GET):
        shown = client.show(meant.named(given.model))
    if given.json:
        return terminal.print_json(shown)
    facts = {
        "family": shown.details.family,
        "parameters": shown.details.parameter_size,
        "quantization": shown.details.quantization_level,
        "context": f"{shown.context_length} tokens" if shown.context_length else "",
        "can do": ", ".join(shown.capabilities),
        "changed": terminal.when(shown.modified_at),
    }
    print(terminal.printable(given.model))
    for name, value in facts.items():
        if value:
            print(f"  {name:14}{terminal.printable(value)}")
    for title, text in (("options", shown.parameters), ("system", shown.system), ("template", shown.template)):
        if text.strip():
            print(f"\n{title}")
            for line in terminal.printable(text.strip("\n"), lines=True).split("\n"):
                print(f"  {line}".rstrip())
    return None


def _rm(given: argparse.Namespace) -> None:
    with _client() as client:
        there = {names.parse(each.name).key: each for each in client.models()}
        doomed: dict[str, Model] = {}
        for text in given.models:  # all are looked for before any is removed
            with meant.suggesting(client, text, _GET):
                key = _key(text)
                if key not in there:
                    raise ModelMissing(f"The server does not have the model {text}.")
                doomed[key] = there[key]
        if not given.yes and not _agreed(list(doomed.values())):
            return terminal.print_json([]) if given.json else print("Nothing was removed.")
        for each in doomed.values():
            client.delete(names.LOCAL + each.name)
            if not given.json:
                print(f"Removed {terminal.printable(each.name)}.")
    return terminal.print_json(list(doomed.values())) if given.json else None


def _agreed(models: list[Model]) -> bool:
    """Whether the user says yes to removing these."""
    if not sys.stdin.isatty():
        raise LLMError("rm asks first, and there is nobody to answer.", "Add --yes to remove without being asked.")
    what = ", ".join(f"{each.name} ({terminal.size(each.size)})" for each in models)
    try:
        return input(terminal.printable(f"Remove {what}? [y/N] ")).strip().lower() in ("y", "yes")
    except EOFError:
        print()
        return False


def _cp(given: argparse.Namespace) -> None:
    source, destination = meant.named(given.source), meant.named(given.destination)
    with _client() as client, meant.suggesting(client, given.source, _GET):
        new = names.parse(destination.removeprefix(names.LOCAL))
        if any(names.parse(each.name).key == new.key for each in client.models()):
            raise LLMError(f"{new.short} is there already.", f"Remove it first: acagent-nb rm {new.short}")
        client.copy(source, destination)
        if given.json:
            return terminal.print_json(_listed(client, destination))
    return print(f"{given.source} is {new.short} too.")


def _ps(given: argparse.Namespace) -> None:
    with _client() as client:
        running = client.running()
    if given.json:
        return terminal.print_json(running)
    return print(terminal.loaded(running))


def _stop(given: argparse.Namespace) -> None:
    if given.model is None:
        ended = hosts.stop()
        told = "The embedded server has ended." if ended else "Your notebooks share no embedded server right now."
        return terminal.print_json({"ended": ended}) if given.json else print(told)
    key = _key(given.model)
    with _client() as client, meant.suggesting(client, given.model, _GET):
        loaded = any(names.parse(each.name).key == key for each in client.running())
        client.unload(meant.named(given.model))
    told = f"{given.model} is unloaded." if loaded else f"{given.model} was not loaded."
    return terminal.print_json({"unloaded": loaded}) if given.json else print(told)


def _doctor(given: argparse.Namespace) -> int:
    from . import doctor

    return doctor.tell(as_json=given.json)


def _client() -> Client:
    from .client import Client

    return Client()
