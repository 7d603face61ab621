"""The command `acagent-nb`.

A command is a parser of its flags and a function; what it needs is imported in the function.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from .errors import LLMError, MissingExtra

_EMBEDDED = ("xllamacpp", "uvicorn", "starlette", "httptools", "psutil")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    arguments
        Those of the command line if left out.

    Returns
    -------
    int
        The exit status: 0, or 1 after an error, which is printed in two lines.
    """
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        given.run(given)
    except LLMError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="acagent-nb", description="Language models in Jupyter notebooks.")
    parser.add_argument("--version", action="version", version=f"acagent-nb {_version()}")
    commands = parser.add_subparsers(title="commands", metavar="command", required=True)
    _add_demo(commands)
    _add_serve(commands)
    _add_stop(commands)
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


def _add_stop(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser(
        "stop",
        help="end the embedded server that the notebooks share",
        description="End the embedded server that your notebooks share. The next cell that needs it starts it again.",
    )
    command.set_defaults(run=_stop)


def _stop(given: argparse.Namespace) -> None:
    from . import hosts

    print("The embedded server has ended." if hosts.stop() else "No embedded server is running.")


def _add_serve(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser(
        "serve",
        help="answer Ollama's API with the embedded engine",
        description="Answer Ollama's API with the embedded engine (llama.cpp), until interrupted. "
        "Models are loaded when first asked for; the built-in ones are tiny and tiny:skills.",
        epilog="The environment variables OLLAMA_MODELS, OLLAMA_KEEP_ALIVE (5m), OLLAMA_CONTEXT_LENGTH (4096), "
        "OLLAMA_NUM_PARALLEL (4) and OLLAMA_ORIGINS are read as Ollama reads them.",
    )
    command.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on; anything but loopback lets others in, without a password (default: %(default)s)",
    )
    command.add_argument(
        "--port", type=int, default=11434, help="port to listen on, 0 for any that is free (default: %(default)s)"
    )
    command.add_argument(
        "--models",
        metavar="DIR",
        help="folder of the models, in Ollama's layout (default: OLLAMA_MODELS, else the user's data folder)",
    )
    command.add_argument(
        "--idle", type=float, metavar="MINUTES", help="end after so many minutes without a request (default: never)"
    )
    command.add_argument(
        "--state", metavar="FILE", help="write the address and process number there, as JSON, while listening"
    )
    command.add_argument("--follow-stdin", action="store_true", help="end when standard input does")
    command.set_defaults(run=_serve)


def _serve(given: argparse.Namespace) -> None:
    if any(find_spec(module) is None for module in _EMBEDDED):
        raise MissingExtra("The embedded server is not installed.", 'Install it: pip install "acagent-nb[embedded]"')
    from .server.run import serve

    serve(
        host=given.host,
        port=given.port,
        store=given.models,
        idle=None if given.idle is None else given.idle * 60,
        state=given.state,
        follow_stdin=given.follow_stdin,
    )


def _version() -> str:
    try:
        return version("acagent-nb")
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "0 (not installed)"


if __name__ == "__main__":
    raise SystemExit(main())
