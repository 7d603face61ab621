"""Tab completion of `%%llm` and `%llm`, as IPython asks for it (its matchers' API, version 2).

What may stand where the cursor is, `offering.py` knows, which is loaded when the Tab key is first pressed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .offering import Offering
    from .session import Session


class Matcher:
    """Completes the lines of the magics."""

    matcher_api_version = 2
    matcher_identifier = "acagent_nb"
    matcher_priority = 100  # before those that look for Python's names

    def __init__(self, session: Session) -> None:
        self.__qualname__ = self.matcher_identifier  # IPython looks for it, though it does not need it
        self._session = session
        self._offering: Offering | None = None

    def __call__(self, context: Any) -> dict[str, Any]:
        """What completes the line that the cursor is on."""
        from IPython.core.completer import SimpleCompletion

        try:
            offers = self.offering.offers(context.full_text.split("\n"), context.cursor_line, context.cursor_position)
            for fragment, kind, words in offers:
                if found := [word for word in dict.fromkeys(words) if word.startswith(fragment)]:
                    completions = [SimpleCompletion(word, type=kind) for word in found]
                    return {"completions": completions, "matched_fragment": fragment, "suppress": True, "ordered": True}
        except Exception:  # noqa: S110 -- whatever is wrong, a user who types must not see a traceback
            pass
        return {"completions": []}

    @property
    def offering(self) -> Offering:
        """What may stand in a line."""
        from .offering import Offering

        if self._offering is None:
            self._offering = Offering(self._session)
        return self._offering


def register(shell: Any, session: Session) -> None:
    """Complete the magics' lines in this shell, for this session."""
    unregister(shell)
    shell.Completer.custom_matchers.append(Matcher(session))


def unregister(shell: Any) -> None:
    """Leave the shell's completion as it was."""
    matchers = shell.Completer.custom_matchers
    matchers[:] = [each for each in matchers if not isinstance(each, Matcher)]
