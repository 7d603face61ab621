"""An executed notebook -> one HTML page that runs no script and fetches nothing, light or dark as the system is."""

from __future__ import annotations

import base64
import re
from copy import deepcopy
from functools import partial
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from nbconvert import HTMLExporter
from traitlets.config import Config

from .html_clean import clean_html
from .html_maths import with_maths
from .html_widgets import without_widgets

Link = tuple[str, str]  # a page's file name and its title

_SCRIPTS = ("html_head_js_requirejs", "html_head_js_mathjax", "html_head_js_mermaidjs", "jupyter_widgets")
_PICTURE = re.compile(r"!\[([^\]]*)\]\(<?([^()<>:\s]+\.(?:png|jpe?g|gif))>?\)", re.IGNORECASE)
_DARK = 'media="(prefers-color-scheme: dark)"'
# nbconvert makes an output without a number narrower by the padding and the border of one that has it.
_STYLE = f"""<meta name="color-scheme" content="light dark">
<style>
.jp-OutputArea .jp-OutputPrompt:empty {{ padding: 5px; border: 1px solid transparent; }}
body.jp-Notebook {{ padding: 16px 0 48px; background: var(--jp-layout-color0); }}
main, .acagent-nb-pages {{ max-width: 68rem; margin: 0 auto; padding: 0 16px; box-sizing: border-box; }}
.acagent-nb-pages {{ display: flex; justify-content: space-between; gap: 24px; padding: 12px 16px 12px 87px;
  font: 14px/1.5 var(--jp-ui-font-family, system-ui, sans-serif); }}
.acagent-nb-pages a {{ color: var(--jp-content-link-color, #1976d2); text-decoration: none; }}
.acagent-nb-pages a:hover {{ text-decoration: underline; }}
.acagent-nb-pages a:last-child {{ text-align: right; }}
.jp-InputArea-editor {{ overflow-x: auto; }}
math {{ font-family: "STIX Two Math", "Cambria Math", "Latin Modern Math", "Libertinus Math", "STIX Math",
  "DejaVu Math TeX Gyre", math; }}
menclose[notation=box] {{ border: 1px solid; padding: 0.1em 0.3em; }}
.celltag_papermill-error-cell-tag span {{ color: var(--jp-error-color1) !important; font: inherit !important; }}
.jp-RenderedImage img, .jp-RenderedSVG img {{ max-width: 100%; height: auto; }}
@media (max-width: 640px) {{
  .jp-InputPrompt, .jp-OutputPrompt {{ display: none; }}
  .acagent-nb-pages {{ padding-left: 24px; }}
}}
</style>
<style {_DARK}>
:root {{ --jp-cell-editor-border-color: #3a3a3a; --jp-cell-prompt-not-active-opacity: 0.5; }}
.jp-RenderedImage img, .jp-RenderedSVG img {{ background: #fff; border-radius: 2px; }}
</style>"""
_TEMPLATE = (
    "{% extends 'lab/index.html.j2' %}"
    + "".join(f"{{% block {block} %}}{{% endblock %}}" for block in _SCRIPTS)  # they would come from another host
    + "{% block html_head_css %}"
    + f"{{{{ resources.include_css('static/theme-dark.css') | replace('<style', '<style {_DARK}', 1) }}}}"
    + f"{_STYLE}{{% endblock %}}"
    + "{% block data_latex %}{{ super() | with_maths }}{% endblock %}"
    + "{% block body_header %}{{ super() }}{{ resources.pages }}{% endblock %}"
    + "{% block body_footer %}{{ resources.pages }}{{ super() }}{% endblock %}"
)
_KINDS = ("text/html", "text/markdown", "image/svg+xml", "image/png", "image/jpeg", "text/latex", "text/plain")


def html_page(
    notebook: Any,
    title: str,
    *,
    before: Link | None = None,
    after: Link | None = None,
    folder: Path | None = None,
) -> str:
    """The page of a notebook.

    Parameters
    ----------
    notebook
        An nbformat node; it is left as it is.
    title
        The page's, as the browser's tab shows it.
    before, after
        The pages that a reader comes from and goes on to, in the same folder.
    folder
        The notebook's own: pictures in it that the prose shows become part of the page.
    """
    notebook = deepcopy(notebook)
    notebook.metadata["title"] = title
    without_widgets(notebook)
    if folder is not None:
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.source = _PICTURE.sub(partial(_with_picture, folder), cell.source)
    exporter = HTMLExporter(  # type: ignore[no-untyped-call]  # nbconvert has no types here
        config=Config(NbConvertBase={"display_data_priority": list(_KINDS)}),
        sanitize_html=True,
        raw_template=_TEMPLATE,
        filters={"clean_html": lambda html: with_maths(clean_html(html)), "with_maths": with_maths},
    )
    page, _ = exporter.from_notebook_node(notebook, {"metadata": {"name": title}, "pages": _pages(before, after)})
    return str(page)


def _with_picture(folder: Path, found: re.Match[str]) -> str:
    """Markdown's picture with its bytes in place of its path, if it lies in the folder; else as it is."""
    path = (folder / unquote(found[2])).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        return found[0]
    data = base64.b64encode(path.read_bytes()).decode()
    return f"![{found[1]}](data:image/{path.suffix.lower()[1:].replace('jpg', 'jpeg')};base64,{data})"


def _pages(before: Link | None, after: Link | None) -> str:
    """Links to the pages before and after this one, and to the list of all."""
    if before is None and after is None:
        return ""
    links = [
        f'<a rel="prev" href="{quote(before[0])}">← {with_maths(escape(before[1]))}</a>' if before else "<span></span>",
        '<a href="index.html">All notebooks</a>',
        f'<a rel="next" href="{quote(after[0])}">{with_maths(escape(after[1]))} →</a>' if after else "<span></span>",
    ]
    return f'<nav class="acagent-nb-pages" aria-label="Pages">{"".join(links)}</nav>'
