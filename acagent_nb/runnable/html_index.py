"""The pages of several notebooks: what each is called, and the list of all."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

INDEX = "index.html"

_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
_SENTENCE = re.compile(r".+?[.!?](?=\s|$)", re.DOTALL)
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
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
    heading = _HEADING.search(_prose(notebook))
    return _bare(heading[1]) if heading else path.stem


def about(notebook: Any) -> str:
    """The first sentence of a notebook's prose; empty if it has none."""
    for part in re.split(r"\n\s*\n", _HEADING.sub("\n", _prose(notebook))):
        text = " ".join(part.split())
        if text and text[0] not in "|>-*`<!":
            sentence = _SENTENCE.match(text)
            return _bare(sentence[0] if sentence else text)
    return ""


def index(entries: Sequence[Entry]) -> str:
    """The page that lists all others."""
    lines = [
        f'<li><a href="{quote(each.file)}">{escape(each.title)}</a>'
        + (f"<p>{escape(each.about)}</p>" if each.about else "")
        + "</li>"
        for each in entries
    ]
    return _PAGE.format(entries="\n".join(lines))


def _prose(notebook: Any) -> str:
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def _bare(text: str) -> str:
    """Markdown's inline marks left out."""
    return re.sub(r"[*`]|(?<!\w)_|_(?!\w)", "", _LINK.sub(r"\1", text)).strip()
