"""The command `acagent-nb`.

A command is a parser of its flags and a function; what it needs is imported in the function.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from . import answers_command, hosts
from . import commands as models
from .errors import Interrupted, LLMError, MissingExtra
from .runnable import check
from .runnable import run as notebooks

_MORE = "`acagent-nb serve --status` tells which server this is."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    arguments
        Those of the command line if left out.

    Returns
    -------
    int
        The exit status: 0, or 1 after an error, which is printed in two lines, or if `doctor` finds one.
    """
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        status: int | None = given.run(given)
        sys.stdout.flush()
    except LLMError as error:
        for line in (error.message, error.hint or _MORE):  # a server's own words may be of many lines
            print(" ".join(line.split()), file=sys.stderr)
        return 1
    except BrokenPipeError:  # who read our output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Interrupted as stopped:
        print(stopped, file=sys.stderr)
        return 130
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130
    else:
        return status or 0
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="acagent-nb", description="Language models in Jupyter notebooks.")
    parser.add_argument("--version", action="version", version=f"acagent-nb {_version()}")
    commands = parser.add_subparsers(title="commands", metavar="command", required=True)
    _add_demo(commands)
    notebooks.add(commands)
    check.add(commands)
    models.add(commands)
    answers_command.add(commands)
    _add_serve(commands)
    return parser


def _add_demo(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser(
        "demo",
        help="run the first notebook and show its answer",
        description="Run the first notebook against the Ollama server that answers, or else an embedded one of "
        "its own, and write it and its HTML page to a folder. Nothing is left running.",
    )
    command.add_argument("--out", metavar="DIR", default="acagent-nb-demo", help="the folder (default: %(default)s)")
    command.set_defaults(run=_demo)


def _demo(given: argparse.Namespace) -> None:
    from .runnable.demo import demo

    demo(given.out)


def _add_serve(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser(
        "serve",
        help="answer Ollama's API with the embedded engine",
        description="Answer Ollama's API with the embedded engine (llama.cpp), until interrupted. "
        "Models are loaded when first asked for; the built-in ones are tiny and tiny:skills.",
        epilog="The environment variables OLLAMA_MODELS, OLLAMA_KEEP_ALIVE (5m), OLLAMA_CONTEXT_LENGTH (4096), "
        "OLLAMA_NUM_PARALLEL (4), OLLAMA_MAX_LOADED_MODELS (3), OLLAMA_MAX_QUEUE (512), OLLAMA_LOAD_TIMEOUT (5m) and "
        "OLLAMA_ORIGINS are read as Ollama reads them.",
    )
    command.add_argument(
        "--host",
        help="address to listen on; anything but loopback lets others in, without a password (default: 127.0.0.1)",
    )
    command.add_argument("--port", type=int, help="port to listen on, 0 for any that is free (default: 11434)")
    command.add_argument(
        "--models",
        metavar="DIR",
        help="folder of the models, in Ollama's layout (default: OLLAMA_MODELS, else the user's data folder)",
    )
    command.add_argument(
        "--ollama-models",
        metavar="DIR",
        nargs="?",
        const="",
        help="use the models in the folder of an Ollama, too, which is only read (default: where Ollama keeps them, "
        "~/.ollama/models or /usr/share/ollama/.ollama/models)",
    )
    command.add_argument(
        "--idle", type=float, metavar="MINUTES", help="end after so many minutes without a request (default: never)"
    )
    command.add_argument(
        "--state", metavar="FILE", help="write the address and process number there, as JSON, while listening"
    )
    command.add_argument(
        "--alias",
        metavar="NAME=MODEL",
        action="append",
        default=[],
        help="serve a model under another name too, such as gpt-4o-mini=tiny; may be repeated",
    )
    command.add_argument(
        "--memory",
        type=int,
        metavar="MB",
        help="memory that all loaded models may take together (default: what the machine has)",
    )
    command.add_argument("--follow-stdin", action="store_true", help="end when standard input does")
    command.add_argument(
        "--status", action="store_true", help="start nothing: tell which server is in use, and what it is doing"
    )
    command.add_argument("--json", action="store_true", help="with --status: print JSON, for scripts")
    command.set_defaults(run=_serve)


def _serve(given: argparse.Namespace) -> None:
    if given.status:
        from . import status

        if given.host is not None or given.port is not None:
            raise LLMError(
                "--status looks where OLLAMA_HOST says.", "OLLAMA_HOST=127.0.0.1:11434 acagent-nb serve --status"
            )
        return status.tell(as_json=given.json)
    if given.json:
        raise LLMError("--json is for --status: a server prints its address only.", "acagent-nb serve --status --json")
    for flag, value, unit, without in (
        ("--idle", given.idle, "minutes", "a server that never ends by itself"),
        ("--memory", given.memory, "MB", "what the machine has"),
    ):
        if value is not None and not value > 0:  # nor is `nan`
            raise LLMError(f"{flag} is a number of {unit} above 0, not {value:g}.", f"Leave it out for {without}.")
    missing = MissingExtra("The embedded server is not installed.", f"Install it: {hosts.INSTALL}")
    if find_spec("xllamacpp") is None:  # the models' own processes import it, and not the server
        raise missing
    try:
        from .server.alias import parse
        from .server.run import serve
        from .server.store import ollamas
    except ModuleNotFoundError as error:
        raise missing from error

    return serve(
        host=given.host or "127.0.0.1",
        port=11434 if given.port is None else given.port,
        store=given.models,
        idle=None if given.idle is None else given.idle * 60,
        state=given.state,
        follow_stdin=given.follow_stdin,
        aliases=[parse(text) for text in given.alias],
        memory=None if given.memory is None else given.memory << 20,
        behind=None if given.ollama_models is None else ollamas(given.ollama_models),
    )


def _version() -> str:
    try:
        return version("acagent-nb")
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "0 (not installed)"


if __name__ == "__main__":
    raise SystemExit(main())
