"""`%%llm`: parse, ask, show, keep.

What a cell needs beyond IPython is imported when the first one runs, so that `%load_ext` is quick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from IPython.core.magic import Magics, cell_magic, magics_class, no_var_expand

from . import flags
from .errors import Interrupted, LLMError, ServerDown

if TYPE_CHECKING:
    from .growing import Growing
    from .hosts import Host


@magics_class
class LLMMagics(Magics):
    """The magics, and their session: the server that was found, and whether the user was told."""

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self._shell = shell  # IPython's own attribute may be None, says its type
        self._host: Host | None = None
        self._told = False

    @no_var_expand  # braces and dollars in a system prompt are the user's own
    @cell_magic
    def llm(self, line: str, cell: str) -> None:  # noqa: D102  # its help is made of the table, below
        try:
            asked = flags.parse(line)
            if asked.help:
                print(flags.help())
                return
            self._ask(asked, cell)
        except (LLMError, Interrupted) as error:
            raise _brief(error) from error.__cause__
        except KeyboardInterrupt:  # before the question went out, or after the last word had come
            raise _brief(Interrupted()) from None

    llm.__doc__ = flags.help()

    def _ask(self, asked: flags.Asked, cell: str) -> None:
        from . import client, display
        from .growing import Growing

        if not cell.strip():
            raise LLMError("The cell is empty: there is nothing to ask.", "Write the prompt below the %%llm line.")
        request = client.request(asked.model, cell.strip("\n"), system=asked.system, **asked.options)
        answer = Growing(asked.model, request)
        answer.tell_host = not self._told
        try:
            display.show(answer, display.screen(self._shell), lambda: self._find(answer), pull=asked.pull)
            self._told = True
        except ServerDown:
            self._host = None  # the next cell looks again
            raise
        finally:
            self._shell.user_ns["_llm"] = answer.reply()

    def _find(self, answer: Growing) -> Host:
        """The session's server; an embedded one that has ended meanwhile is started again."""
        from . import hosts

        if self._host is None or (self._host.how == hosts.EMBEDDED and not hosts.answers(self._host.url)):
            self._host = hosts.present()
        if self._host is None:
            answer.doing = "starting the embedded server"
            self._host = hosts.find()
        return self._host


def load(shell: Any) -> None:
    """Register the magics with a shell."""
    shell.register_magics(LLMMagics(shell))
    # Not among the clean-ups: IPython runs those also to see whether a cell that is being typed is complete.
    transforms = shell.input_transformer_manager.line_transforms
    if _with_a_body not in transforms:
        transforms.insert(0, _with_a_body)


def unload(shell: Any) -> None:
    """Take the magics away, and their session with them."""
    cell_magics = shell.magics_manager.magics["cell"]
    if isinstance(getattr(cell_magics.get("llm"), "__self__", None), LLMMagics):
        del cell_magics["llm"]
        del shell.magics_manager.registry[LLMMagics.__name__]
    transforms = shell.input_transformer_manager.line_transforms
    if _with_a_body in transforms:
        transforms.remove(_with_a_body)


def _with_a_body(lines: list[str]) -> list[str]:
    """Give a lone `%%llm ...` line an empty line: IPython refuses it before `--help` or our own error could be seen."""
    first, *rest = lines or [""]
    if first.split()[:1] == ["%%llm"] and not "".join(rest).strip():
        return [first.rstrip("\n") + "\n", "\n"]
    return lines


def _brief(error: LLMError | Interrupted) -> LLMError | Interrupted:
    """The same error, shown in at most two lines instead of a traceback; the cell fails all the same.

    It is set on this one instance: on the class it would take the line away from users of the Python API.
    """
    message = " ".join(error.message.split())
    lines = [f"\x1b[31m{type(error).__name__}\x1b[0m: {message}", *([error.hint] if error.hint else [])]
    error._render_traceback_ = lambda: lines  # type: ignore[union-attr]  # IPython's name for it
    return error
