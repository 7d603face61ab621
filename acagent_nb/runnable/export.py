"""An executed notebook -> one HTML page that runs no script and fetches nothing.

nbconvert's own cleaning (`sanitize_html`) knows no paragraphs, headings or folded blocks and prints
their tags; this one lets through what Markdown makes, and refuses the rest just the same.
"""

from __future__ import annotations

from typing import Any

import bleach
from bleach.css_sanitizer import CSSSanitizer
from nbconvert import HTMLExporter

_TAGS = {
    *("a", "abbr", "b", "blockquote", "br", "code", "dd", "del", "details", "div", "dl", "dt", "em"),
    *("h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "kbd", "li", "ol", "p", "pre", "progress", "s", "span"),
    *("strong", "sub", "summary", "sup", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "u", "ul"),
}
_ATTRIBUTES = {
    "*": ["class", "id", "style", "role", "aria-label", "title"],
    "a": ["href", "rel", "target"],
    "ol": ["start"],
    "progress": ["value", "max"],
}
_STYLES = CSSSanitizer(
    allowed_css_properties=[
        *(
            "accent-color",
            "background-color",
            "border-bottom",
            "border-left",
            "border-radius",
            "color",
            "cursor",
            "display",
            "float",
            "font-size",
            "font-variant-numeric",
            "font-weight",
            "gap",
            "grid-template-columns",
            "list-style",
            "user-select",
            "-webkit-user-select",
        ),
        *("height", "line-height", "margin", "margin-top", "max-width", "min-width", "overflow-wrap", "overflow-x"),
        *("padding", "padding-bottom", "padding-left", "text-align", "white-space", "width"),
    ]
)
_SCRIPTS = ("html_head_js_requirejs", "html_head_js_mathjax", "html_head_js_mermaidjs", "jupyter_widgets")
# nbconvert makes an output without a number narrower by the padding and the border of one that has it.
_ALIGNED = "<style>.jp-OutputArea .jp-OutputPrompt:empty { padding: 5px; border: 1px solid transparent; }</style>"
_TEMPLATE = (
    "{% extends 'lab/index.html.j2' %}"
    + "".join(f"{{% block {block} %}}{{% endblock %}}" for block in _SCRIPTS)  # they would come from another host
    + f"{{% block html_head_css %}}{_ALIGNED}{{% endblock %}}"
)


def html_page(notebook: Any, title: str) -> str:
    """The page of a notebook.

    Parameters
    ----------
    notebook
        An nbformat node.
    title
        The page's, as the browser's tab shows it.
    """
    exporter = HTMLExporter(  # type: ignore[no-untyped-call]  # nbconvert has no types here
        sanitize_html=True, raw_template=_TEMPLATE, filters={"clean_html": clean}
    )
    page, _ = exporter.from_notebook_node(notebook, {"metadata": {"name": title}})
    return str(page)


def clean(html: Any) -> str:
    """HTML with nothing in it but what Markdown and our own outputs need; the rest is shown as text."""
    kept = bleach.clean(
        str(html), tags=_TAGS, attributes=_ATTRIBUTES, protocols={"http", "https", "mailto"}, css_sanitizer=_STYLES
    )
    return str(kept)
