"""Code -> HTML with its words coloured, as JupyterLab colours them in its editor, light or dark.

The colours are JupyterLab's own variables; elsewhere the fallbacks hold, which can be read on white and
on black. Only what helps a reader is coloured: every colour is bytes for the page.
"""

from __future__ import annotations

from functools import cache, lru_cache
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pygments.lexer import Lexer

_LONGEST = 20_000  # characters; beyond, colours would cost more than they tell

_COLOURS = {
    "Keyword": ("keyword", "#008a3e"),
    "Operator.Word": ("keyword", "#008a3e"),
    "Name.Builtin": ("builtin", "#008a8a"),
    "Name.Function": ("def", "#2f7de1"),
    "Name.Class": ("def", "#2f7de1"),
    "Name.Decorator": ("meta", "#a05cd6"),
    "Name.Tag": ("property", "#2f7de1"),
    "Name.Attribute": ("attribute", "#2f7de1"),
    "Literal.String": ("string", "#c8442f"),
    "Literal.Number": ("number", "#0f8a4c"),
    "Comment": ("comment", "#5f8a8a"),
}


def coloured(code: str, language: str) -> str:
    """The code as HTML; a language that is not known leaves it as it is."""
    lexer = _lexer(language.lower()) if len(code) <= _LONGEST else None
    if lexer is None:
        return escape(code, quote=False)
    parts: list[tuple[str, str]] = []
    for kind, text in lexer.get_tokens(code):
        style = _style(str(kind))
        if parts and parts[-1][0] == style:
            parts[-1] = style, parts[-1][1] + text
        else:
            parts.append((style, text))
    told = ((style, escape(text, quote=False)) for style, text in parts)
    return "".join(f'<span style="{style}">{text}</span>' if style else text for style, text in told)


@cache
def _style(kind: str) -> str:
    """The colour of a kind of token, by Pygments' name for it: "Token.Keyword.Constant"."""
    name = kind.removeprefix("Token.")
    while name:
        if name in _COLOURS:
            variable, fallback = _COLOURS[name]
            return f"color: var(--jp-mirror-editor-{variable}-color, {fallback})"
        name = name.rpartition(".")[0]
    return ""


@lru_cache(64)  # what is asked for comes from a model
def _lexer(language: str) -> Lexer | None:
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    try:
        return get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return None
