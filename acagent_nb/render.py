"""A model's text -> HTML that is safe to show.

Model text is untrusted: JupyterLab runs a script in a fresh output and fetches its images. So only
Markdown is read, HTML in it stays text, links lead to web pages and mail only, and an image is
replaced by its words: nothing is fetched, nothing runs. Formulas are left to the page (`maths.py`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from html import escape
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

from . import colours, maths

_LINE_END = re.compile(r"\r\n|\n|\r(?!\Z)")
_LINK = re.compile(r"(?:https?://|mailto:|#)", re.IGNORECASE)

_BLOCK = (
    "margin: 0 0 1em; border-radius: 3px; user-select: all; -webkit-user-select: all; "
    "background-color: var(--jp-cell-editor-background, rgba(128, 128, 128, 0.12))"  # what the colours are made for
)
# The word is a list item's mark, which is no text: it is not copied with the code around it. JupyterLab takes the
# mark's word away when it cleans a notebook; it knows only a bare `list-item`, so this goes too, and no dot stays.
_SELECT = (
    "display: flow list-item; float: right; list-style: inside 'select'; padding: 6px 10px; font-size: 11px; "
    "color: var(--jp-ui-font-color2, #707070); cursor: pointer"
)
_CODE = (
    "margin: 0; padding: 8px 12px; overflow-x: auto; background-color: transparent; "
    "user-select: text; -webkit-user-select: text"
)


class _Reader(MarkdownIt):
    def validateLink(self, url: str) -> bool:
        """Only what is allowed by name: browsers read more into an address than any list of bad ones."""
        return _LINK.match(url) is not None


def html(text: str) -> str:
    r"""Markdown as safe HTML; a text that still grows is fine, its open ends are closed.

    Parameters
    ----------
    text
        CommonMark with tables and strikethrough. A line break in it is one on the page too.

    Examples
    --------
    >>> html("*Hi* <script>")
    '<p><em>Hi</em> &lt;script&gt;</p>\n'
    """
    return str(_reader().render(text))


def code(text: str, language: str) -> str:
    """Code as safe HTML, its words coloured if the language is known; a click on its corner selects it."""
    kind = f' class="language-{escape(language)}"' if language else ""
    told = colours.coloured(text, language)
    return (
        f'<div style="{_BLOCK}">\n<div title="Select the code" style="{_SELECT}"></div>\n'
        f'<pre style="{_CODE}"><code{kind} style="background-color: transparent">{told}</code></pre>\n</div>\n'
    )


class Rendered:
    """A text that grows, as HTML: a block that is over is rendered once, and only the last one again and again.

    What depends on words still to come, such as a link whose address stands at the end, is as it was; `html`
    of the whole text says what it is in the end.
    """

    def __init__(self) -> None:
        self._over: list[str] = []
        self._at = 0  # where the block begins that still grows
        self._env: dict[str, Any] = {}

    def html(self, text: str) -> str:
        """The text, which begins with what it was before, as safe HTML."""
        reader, tail = _reader(), text[self._at :]
        env = {"references": dict(self._env.get("references", {}))}
        tokens = reader.parse(tail, env)
        starts = [at for at, token in enumerate(tokens) if token.level == 0 and token.nesting >= 0 and token.map]
        ends = [found.end() for found in _LINE_END.finditer(tail)]
        # Of a line that has not ended yet nobody knows what it will be: "1." may become a list or "1.5".
        begun = [at for at in starts if (tokens[at].map or [0])[0] < len(ends)]
        last = begun[-1] if begun else 0
        if last:
            line = (tokens[last].map or [0])[0]
            self._over.append(reader.renderer.render(tokens[:last], reader.options, env))
            self._at += ends[line - 1]
            reader.parse(tail[: ends[line - 1]], self._env)  # keeps the addresses of its links
        return "".join(self._over) + str(reader.renderer.render(tokens[last:], reader.options, env))


@cache
def _reader() -> MarkdownIt:
    reader = _Reader("commonmark", {"html": False, "breaks": True}).enable(["table", "strikethrough"])
    reader.add_render_rule("image", _image)
    reader.add_render_rule("link_open", _link_open)
    reader.add_render_rule("table_open", _table_open)
    reader.add_render_rule("table_close", _table_close)
    maths.install(reader)
    for code in ("fence", "code_block"):
        reader.add_render_rule(code, _code)
    for cell in ("th_open", "td_open"):
        reader.add_render_rule(cell, _cell)
    for heading in ("heading_open", "heading_close"):
        reader.add_render_rule(heading, _heading)
    return reader


def _image(self: RendererHTML, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
    return maths.plain(self.renderInlineAsText(tokens[at].children, options, env))


def _link_open(self: RendererHTML, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
    tokens[at].attrSet("rel", "noopener noreferrer")
    tokens[at].attrSet("target", "_blank")
    return self.renderToken(tokens, at, options, env)


def _code(self: RendererHTML, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
    info = tokens[at].info.split(maxsplit=1)
    return code(tokens[at].content, info[0] if info else "")


def _cell(self: RendererHTML, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
    if tokens[at].attrGet("style") is None:
        tokens[at].attrSet("style", "text-align:left")  # JupyterLab's tables hold numbers, and lean right
    return self.renderToken(tokens, at, options, env)


def _heading(self: RendererHTML, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
    # An answer is a part of the notebook: its headings stand below the notebook's own.
    tokens[at].tag = f"h{min(int(tokens[at].tag[1]) + 2, 6)}"
    return self.renderToken(tokens, at, options, env)


def _table_open(self: RendererHTML, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
    return '<div style="overflow-x: auto">\n<table>\n'  # a wide table scrolls by itself


def _table_close(self: RendererHTML, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
    return "</table>\n</div>\n"
