"""The pages of several notebooks: what each is called, and the list of all."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from markdown_it import MarkdownIt
from markdown_it.token import Token

from .. import maths

INDEX = "index.html"

_SENTENCE = re.compile(r".+?[.!?](?=\s|$)", re.DOTALL)
_SAID = ("text", "code_inline", "maths")  # parts of a line that say something; a picture's words do beside others
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Notebooks</title>
<style>
:root {{ --text: #1f2328; --faint: #656d76; --link: #0b62c4; --line: #d8dee4; --page: #fff; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --text: #e6e6e6; --faint: #9aa4ae; --link: #6cb2ff; --line: #32373d; --page: #111; }}
}}
body {{ margin: 0; background: var(--page); color: var(--text); font: 16px/1.55 system-ui, sans-serif; }}
main {{ max-width: 44rem; margin: 0 auto; padding: 40px 24px 64px; }}
h1 {{ font-size: 1.7rem; margin: 0 0 24px; }}
ol {{ list-style: none; margin: 0; padding: 0; border-top: 1px solid var(--line); }}
li {{ padding: 14px 0; border-bottom: 1px solid var(--line); }}
a {{ color: var(--link); text-decoration: none; font-weight: 600; }}
a:hover {{ text-decoration: underline; }}
p {{ margin: 2px 0 0; color: var(--faint); }}
</style>
</head>
<body>
<main>
<h1>Notebooks</h1>
<ol>
{entries}
</ol>
</main>
</body>
</html>
"""


class Entry(NamedTuple):
    """One line of the list.

    Attributes
    ----------
    file
        The page's name in the same folder.
    title, about
        What it is called, and its first sentence.
    """

    file: str
    title: str
    about: str


def title(notebook: Any, path: Path) -> str:
    """What a notebook is called: by its metadata, its first heading or its file."""
    if told := notebook.metadata.get("title"):
        return str(told)
    return next(_texts(notebook, "heading_open"), path.stem)


def about(notebook: Any) -> str:
    """The first sentence of a notebook's prose; empty if it has none."""
    text = next(_texts(notebook, "paragraph_open"), "")
    sentence = _SENTENCE.match(text)
    return sentence[0] if sentence else text


def index(entries: Sequence[Entry]) -> str:
    """The page that lists all others."""
    from .html_maths import with_maths

    lines = [
        f'<li><a href="{quote(each.file)}">{with_maths(escape(each.title))}</a>'
        + (f"<p>{with_maths(escape(each.about))}</p>" if each.about else "")
        + "</li>"
        for each in entries
    ]
    return _PAGE.format(entries="\n".join(lines))


def _texts(notebook: Any, kind: str) -> Iterator[str]:
    """What headings or paragraphs say, without Markdown's marks; in lists and quotes, and pictures alone, are none."""
    for cell in notebook.cells:
        tokens = _reader().parse(cell.source) if cell.cell_type == "markdown" else []
        for opening, inline in pairwise(tokens):
            parts = inline.children or []
            if opening.type == kind and opening.level == 0 and any(each.type in _SAID for each in parts):
                yield " ".join("".join(map(_said, parts)).split())


def _said(part: Token) -> str:
    """What is read of a part of a line."""
    if part.type in (*_SAID, "image"):
        return part.content
    return " " if part.type.endswith("break") else ""


@cache
def _reader() -> MarkdownIt:
    reader = MarkdownIt("commonmark").enable("table")
    maths.install(reader)
    return reader
