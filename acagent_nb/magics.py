"""`%%llm` and `%llm`: the door between a notebook and what answers it.

What a cell needs beyond IPython is imported when the first one runs, so that `%load_ext` is quick.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from IPython.core.inputtransformer2 import EscapedCommand
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand
from traitlets import Unicode, observe

from . import completion, flags, lines
from .errors import Interrupted, LLMError
from .session import Session

if TYPE_CHECKING:
    from .replies import Reply


@magics_class
class LLMMagics(Magics):
    """The magics of %%llm, and their session."""

    model = Unicode("", help="The model, or the role, that answers when a cell names none.").tag(config=True)

    def __init__(self, shell: Any) -> None:
        self._session = Session(shell)  # first: a value from a configuration file is set by the next line
        super().__init__(shell)

    @no_var_expand  # braces and dollars in a system prompt are the user's own
    @line_cell_magic
    def llm(self, line: str, cell: str | None = None) -> Any:  # noqa: D102  # its help is made of the table, below
        with self._brief():
            if cell is None:
                return lines.run(self._session, line)
            from .parsing import parse

            asked = parse(line)
            if asked.help:
                return print(flags.help())
            from .cell import run

            return run(self._session, asked, cell)

    llm.__doc__ = f"{flags.help()}\n{lines.help()}"

    @observe("model")
    def _use(self, change: Any) -> None:
        self._session.model = change["new"] or None

    @contextmanager
    def _brief(self) -> Iterator[None]:
        """Show what goes wrong in two lines, and keep the rest for `%llm why`."""
        try:
            yield
        except (LLMError, Interrupted) as error:
            self._session.error = error
            raise _brief(error) from error.__cause__
        except KeyboardInterrupt:  # before the question went out, or after the last word had come
            stopped = self._session.error = Interrupted()
            raise _brief(stopped) from None
        finally:
            self.model = self._session.model or ""  # `%config` tells what `%llm use` chose


def load(shell: Any) -> None:
    """Register the magics with a shell."""
    magics = LLMMagics(shell)
    shell.register_magics(magics)
    completion.register(shell, magics._session)
    # Not among the clean-ups: IPython runs those also to see whether a cell that is being typed is complete.
    manager = shell.input_transformer_manager
    if _with_a_body not in manager.line_transforms:
        manager.line_transforms.insert(0, _with_a_body)
    if _AskOnALine not in manager.token_transformers:
        manager.token_transformers.append(_AskOnALine)
    for kind, shows in _REPLY.items():
        shell.display_formatter.formatters[kind].for_type_by_name("acagent_nb.replies", "Reply", shows)


def unload(shell: Any) -> None:
    """Take the magics away, and their session with them."""
    completion.unregister(shell)
    for kind in ("cell", "line"):
        magics = shell.magics_manager.magics[kind]
        if isinstance(getattr(magics.get("llm"), "__self__", None), LLMMagics):
            del magics["llm"]
    if magics := shell.magics_manager.registry.pop(LLMMagics.__name__, None):
        shell.configurables.remove(magics)  # else `%config` would set the old ones
    manager = shell.input_transformer_manager
    if _with_a_body in manager.line_transforms:
        manager.line_transforms.remove(_with_a_body)
    if _AskOnALine in manager.token_transformers:
        manager.token_transformers.remove(_AskOnALine)
    for kind in _REPLY:
        shell.display_formatter.formatters[kind].pop("acagent_nb.replies.Reply", None)


def _reply_page(reply: Reply) -> str:
    from .page import kept

    return kept(reply)


def _reply_text(reply: Reply, printer: Any, cycle: bool) -> None:
    printer.text(reply.text)


_REPLY = {"text/html": _reply_page, "text/plain": _reply_text}  # how a `Reply` shows itself as the value of a cell


def _with_a_body(lines: list[str]) -> list[str]:
    """Give a lone `%%llm ...` line an empty line: IPython refuses it before `--help` or our own error could be seen."""
    first, *rest = lines or [""]
    if first.split()[:1] == ["%%llm"] and not "".join(rest).strip():
        return [first.rstrip("\n") + "\n", "\n"]
    return lines


class _AskOnALine(EscapedCommand):
    """Reads `%llm ask Why?` as a question to a model: IPython takes a line that ends so for one about Python."""

    priority = 1  # before IPython's own reading of the question mark

    @classmethod
    def find(cls, tokens_by_line: Any) -> EscapedCommand | None:
        for tokens in tokens_by_line:
            first = next((token for token in tokens if token.string.strip()), None)
            if first is not None and first.line[first.start[1] :].split(maxsplit=2)[:2] == ["%llm", "ask"]:
                return cls(first.start)
        return None


def _brief(error: LLMError | Interrupted) -> LLMError | Interrupted:
    """The same error, shown in at most two lines instead of a traceback; the cell fails all the same.

    It is set on this one instance: on the class it would take the line away from users of the Python API.
    """
    message = " ".join(error.message.split())
    lines = [f"\x1b[31m{type(error).__name__}\x1b[0m: {message}", *([error.hint] if error.hint else [])]
    error._render_traceback_ = lambda: lines  # type: ignore[union-attr]  # IPython's name for it
    return error
