"""A model's text -> HTML that is safe to show.

Model text is untrusted: JupyterLab runs a script in a fresh output and fetches its images. So only
Markdown is read, HTML in it stays text, links lead to web pages and mail only, and an image is
replaced by its words: nothing is fetched, nothing runs.
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

_LINK = re.compile(r"(?:https?://|mailto:|#)", re.IGNORECASE)

_CODE = (
    "margin: 0 0 1em; padding: 8px 12px; overflow-x: auto; border-radius: 3px; "
    "background-color: var(--jp-layout-color2, rgba(128, 128, 128, 0.12))"
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


@cache
def _reader() -> MarkdownIt:
    reader = _Reader("commonmark", {"html": False, "breaks": True}).enable(["table", "strikethrough"])
    reader.add_render_rule("image", _image)
    reader.add_render_rule("link_open", _link_open)
    reader.add_render_rule("table_open", _table_open)
    reader.add_render_rule("table_close", _table_close)
    for code in ("fence", "code_block"):
        reader.add_render_rule(code, _code)
    for cell in ("th_open", "td_open"):
        reader.add_render_rule(cell, _cell)
    for heading in ("heading_open", "heading_close"):
        reader.add_render_rule(heading, _heading)
    return reader


def _image(self: RendererHTML, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
    return escape(self.renderInlineAsText(tokens[at].children, options, env))


def _link_open(self: RendererHTML, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
    tokens[at].attrSet("rel", "noopener noreferrer")
    tokens[at].attrSet("target", "_blank")
    return self.renderToken(tokens, at, options, env)


def _code(self: RendererHTML, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
    token = tokens[at]
    kind = f' class="language-{escape(token.info.split(maxsplit=1)[0])}"' if token.info.strip() else ""
    code = escape(token.content, quote=False)
    return f'<pre style="{_CODE}"><code{kind} style="background-color: transparent">{code}</code></pre>\n'


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
