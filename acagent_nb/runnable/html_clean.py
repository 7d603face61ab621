"""HTML of others -> HTML that runs nothing and fetches nothing.

nbconvert's own cleaning (`sanitize_html`) knows no paragraphs, headings or folded blocks and prints
their tags; this one lets through what Markdown makes, and refuses the rest just the same. Of pictures
only those that are part of the page stay; others become a link, or their text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from typing import Any

from bleach.css_sanitizer import CSSSanitizer
from bleach.html5lib_shim import Filter
from bleach.sanitizer import Cleaner

_TAGS = {
    *("a", "abbr", "b", "blockquote", "br", "code", "dd", "del", "details", "div", "dl", "dt", "em"),
    *("h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "img", "kbd", "li", "ol", "p", "pre", "progress", "s", "span"),
    *("strong", "sub", "summary", "sup", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "u", "ul"),
}
_ATTRIBUTES = {
    "*": ["class", "id", "style", "role", "aria-label", "title"],
    "a": ["href", "rel", "target"],
    "img": ["src", "alt", "width", "height"],
    "ol": ["start"],
    "progress": ["value", "max"],
    "td": ["colspan", "rowspan"],
    "th": ["colspan", "rowspan"],
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
_UNREAD = re.compile(r"<(style|script)\b[^>]*>.*?</\1\s*>", re.DOTALL | re.IGNORECASE)  # as pandas begins a table
_SCHEMES = {"http", "https", "mailto"}
_PICTURE = re.compile(r"data:image/(?:png|jpeg|gif);base64,[A-Za-z0-9+/=\s]+")
_UNSEEN = re.compile(r"[`\x00-\x20\x7f-\xa0\s\ufffd]+")  # which a browser drops before it looks for a scheme


def clean_html(html: Any) -> str:
    """HTML with nothing in it but what Markdown and our own outputs need; other tags are shown as text."""
    return str(_CLEANER.clean(_UNREAD.sub("", str(html))))


class _Addresses(Filter):  # type: ignore[misc]  # bleach has no types
    """Links that lead to pages only, pictures that are there already only."""

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for token in super().__iter__():
            opens = token["type"] in ("StartTag", "EmptyTag")
            if opens and token["name"] == "img":
                if not _PICTURE.fullmatch(token["data"].get((None, "src"), "")):
                    yield from _in_place(token["data"])
                    continue
            elif opens and (None, "href") in token["data"] and not _leads_to_a_page(token["data"][None, "href"]):
                del token["data"][None, "href"]
            yield token


_CLEANER = Cleaner(
    tags=_TAGS,
    attributes=_ATTRIBUTES,
    protocols={*_SCHEMES, "data"},  # for pictures, and taken from links again
    css_sanitizer=_STYLES,
    filters=[_Addresses],
)


def _in_place(picture: dict[tuple[str | None, str], str]) -> Iterator[dict[str, Any]]:
    """What stands in the place of a picture that would be fetched: a link where it has an address on the web."""
    source, text = picture.get((None, "src"), ""), picture.get((None, "alt"), "")
    linked = unescape(source).startswith(("http://", "https://")) and _leads_to_a_page(source)
    words = {"type": "Characters", "data": text or (source if linked else "")}
    if not linked:
        yield words
        return
    yield {"type": "StartTag", "name": "a", "data": {(None, "href"): source}, "namespace": None}
    yield words
    yield {"type": "EndTag", "name": "a", "data": {}, "namespace": None}


def _leads_to_a_page(address: str) -> bool:
    """Whether a link's address is relative, or of a scheme that is allowed."""
    front = re.split(r"[/?#]", _UNSEEN.sub("", unescape(address)), maxsplit=1)[0]
    scheme, colon, _ = front.partition(":")
    return not colon or scheme.lower() in _SCHEMES
