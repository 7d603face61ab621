r"""Formulas on a page that runs no script: LaTeX -> MathML, which browsers draw by themselves.

    <p>So $a_1^2$ for $5.</p>  ─►  <p>So <math><msubsup>...</msubsup></math> for $5.</p>

It works on HTML that is clean. The MathML is made of a model's text, so only what is named here gets to the page;
a formula with anything else in it, or one that the library does not understand, stays the text that it was.
"""

from __future__ import annotations

import re
from functools import cache
from html import escape
from html.parser import HTMLParser

from math_core import LatexError, LatexToMathML

from ..maths import Formula, formulas

_VERBATIM = {"code", "kbd", "pre"}  # elements where a dollar is a dollar, as MathJax has it
_IGNORED = "mathjax_ignore"  # and the class of others
_VOID = {"br", "hr", "img"}

_TAGS = {
    *("math", "menclose", "mfrac", "mi", "mmultiscripts", "mn", "mo", "mover", "mpadded", "mphantom", "mprescripts"),
    *("mroot", "mrow", "mspace", "msqrt", "mstyle", "msub", "msubsup", "msup", "mtable", "mtd", "mtext", "mtr"),
    *("munder", "munderover"),
    *("b", "code", "em", "i", "span"),  # within mtext
}
_WORD, _SIZE = r"[a-z]+", r"-?\d{0,2}(?:\.\d+)?(?:em|ex|pt|px|%)?|100%"
_ATTRIBUTES = {
    "class": r"math-core-[a-z-]+",
    "display": "block",
    "notation": "box",
    **dict.fromkeys(("accent", "accentunder", "displaystyle", "fence", "form", "largeop"), _WORD),
    **dict.fromkeys(("mathvariant", "movablelimits", "separator", "stretchy", "symmetric"), _WORD),
    **dict.fromkeys(("depth", "height", "linethickness", "lspace", "maxsize", "minsize", "rspace", "voffset"), _SIZE),
    **dict.fromkeys(("scriptlevel", "width"), _SIZE),
}
_STYLES = {
    **dict.fromkeys(("justify-items", "text-align"), _WORD),
    **dict.fromkeys(("border-bottom", "border-left", "border-right", "border-top"), rf"(?:{_SIZE}) [a-z]+ [a-z]+"),
    **dict.fromkeys(("margin-left", "margin-right", "padding-left", "padding-right", "width"), _SIZE),
    "color": r"#[0-9A-Fa-f]{6}",
}
_NUMBERED = re.compile(r"(\\(?:begin|end)\{(?:align|equation|gather|multline))\}")  # JupyterLab numbers none of them
_SPLIT = re.compile(r"(\\(?:begin|end)\{)split\}")  # which the library knows by another name
# The library has no bound of its own for what lies within what: about 400 levels end a process whose stack is 1 MB.
# Each level takes one of these marks, as a formula that defines commands is none to maths.py.
_MARKS = re.compile(r"[\\{]")
_MOST = 300


def with_maths(html: str) -> str:
    """Clean HTML with the formulas in its text as MathML."""
    if "$" not in html and "\\" not in html:
        return html
    reader = _Page()
    reader.feed(html)
    reader.close()
    return "".join(reader.page)


def _mathml(formula: Formula) -> str:
    """A formula as MathML that is safe on a page; empty if it can't be had."""
    if len(_MARKS.findall(formula.latex)) > _MOST:
        return ""
    latex = _SPLIT.sub(r"\1aligned}", _NUMBERED.sub(r"\1*}", formula.latex))
    try:
        made = _library().convert_with_local_state(latex, displaystyle=formula.block)
    except LatexError:
        return ""
    reader = _Allowed()
    reader.feed(made)
    reader.close()
    return "".join(reader.mathml) if reader.harmless else ""


@cache
def _library() -> LatexToMathML:
    return LatexToMathML(allow_unreliable_rendering=True, fancy_error=False)


class _Page(HTMLParser):
    """Puts HTML together again, with MathML in the place of formulas."""

    def __init__(self) -> None:
        super().__init__()
        self.page: list[str] = []
        self._text = ""
        self._within = 0  # how many elements are open from the one on that is verbatim

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._flush()
        self.page.append(self.get_starttag_text() or "")
        if tag not in _VOID:
            verbatim = tag in _VERBATIM or _IGNORED in (dict(attrs).get("class") or "").split()
            self._within += bool(self._within) or verbatim

    def handle_endtag(self, tag: str) -> None:
        self._flush()
        self.page.append(f"</{tag}>")
        self._within -= bool(self._within)

    def handle_data(self, data: str) -> None:
        self._text += data

    def close(self) -> None:
        super().close()
        self._flush()

    def _flush(self) -> None:
        text, self._text, at = self._text, "", 0
        for formula in () if self._within else formulas(text):
            if made := _mathml(formula):
                self.page += [escape(text[at : formula.start], quote=False), made]
                at = formula.end
        self.page.append(escape(text[at:], quote=False))


class _Allowed(HTMLParser):
    """Puts MathML together again, and notes whether all of it may be on a page."""

    def __init__(self) -> None:
        super().__init__()
        self.mathml: list[str] = []
        self.harmless = True

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.harmless &= tag in _TAGS and all(_allowed(name, value or "") for name, value in attrs)
        told = "".join(f' {name}="{escape(value or "")}"' for name, value in attrs)
        self.mathml.append(f"<{tag}{told}>")

    def handle_endtag(self, tag: str) -> None:
        self.mathml.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        self.mathml.append(escape(data, quote=False))


def _allowed(name: str, value: str) -> bool:
    """Whether an attribute has a name and a value that do nothing but draw a formula."""
    if name != "style":
        return name in _ATTRIBUTES and re.fullmatch(_ATTRIBUTES[name], value) is not None
    told = [each.partition(":") for each in value.split(";") if each.strip()]
    styles = [(of.strip(), how.strip()) for of, _, how in told]
    return all(of in _STYLES and re.fullmatch(_STYLES[of], how) for of, how in styles)
