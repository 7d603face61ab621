r"""Formulas in a model's Markdown, left as they are for the page to typeset; a dollar that is money stays one.

    $...$  $$...$$  \(...\)  \[...\]  \begin{align}...\end{align}

JupyterLab's MathJax looks for these in the text of an output. Markdown would eat their backslashes and
underscores, so they are taken out before it reads them; and in all other text dollars and backslashes stand
alone in a `<span>`, where MathJax can't take them for the beginning of a formula.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline

_PAIRS = {"$$": "$$", "\\[": "\\]", "\\(": "\\)", "$": "$"}
_BEGIN = re.compile(r"\\begin\{([A-Za-z]+\*?)\}")
# As pandoc has it: no blank inside of a single dollar, and no digit behind it, so that "$5 or $10" is money.
# A thousand characters are enough for one, and many dollars without an end must not take for ever.
_INLINE = re.compile(r"\$(?![\s$])(?:\\.|[^\\$]){0,1000}?(?<!\s)\$(?!\d)", re.DOTALL)
# Formulas that lead somewhere, style what is around them, or change what later formulas mean.
_DENIED = re.compile(
    r"\\(?:href|url|style|class|cssId|data|html\w*|bbox|require|unicode|mmlToken|includegraphics|texttip|mathtip|toggle"
    r"|[gex]?def|let|(?:(?:re)?new|provide)(?:command|environment)|Declare\w+|label)(?![A-Za-z])",
    re.IGNORECASE,
)
_LONE = re.compile(r"[$\\]")
_OPENING = re.compile(rf"{'|'.join(map(re.escape, _PAIRS))}|{_BEGIN.pattern}")


def install(reader: MarkdownIt) -> None:
    """Teach a Markdown reader formulas."""
    reader.inline.ruler.before("escape", "maths", _inline)
    reader.block.ruler.before("fence", "maths", _block, {"alt": ["paragraph", "reference", "blockquote", "list"]})
    reader.add_render_rule("maths", lambda _, tokens, at, *__: escape(tokens[at].content, quote=False))
    reader.add_render_rule("maths_block", lambda _, tokens, at, *__: f"<p>{escape(tokens[at].content)}</p>\n")
    reader.add_render_rule("text", lambda _, tokens, at, *__: plain(tokens[at].content))


class Formula(NamedTuple):
    """A formula in a text.

    Attributes
    ----------
    start, end
        Where it stands, its marks included.
    latex
        What is between them; an environment as a whole.
    block
        Whether it has a line of its own.
    """

    start: int
    end: int
    latex: str
    block: bool


def formulas(text: str) -> Iterator[Formula]:
    """The formulas in a text that is no Markdown any more, such as that of a page."""
    at = 0
    while found := _OPENING.search(text, at):
        start, marks = found.start(), len(found[0])
        at = start + 1
        if (end := _end(text, start, len(text))) is not None:
            latex = text[start + marks : end - marks] if found[0] in _PAIRS else text[start:end]
            yield Formula(start, end, latex, found[0] not in ("$", "\\("))
            at = end


def plain(text: str) -> str:
    """Text as HTML in which nothing is a formula."""
    return _LONE.sub(r"<span>\g<0></span>", escape(text))


def _inline(state: StateInline, silent: bool) -> bool:
    """A formula within a line, or over several of a paragraph."""
    if state.src[state.pos] not in "$\\":
        return False
    end = _end(state.src, state.pos, state.posMax)
    if end is None:
        return False
    if not silent:
        state.push("maths", "", 0).content = state.src[state.pos : end]
    state.pos = end
    return True


def _end(text: str, start: int, most: int) -> int | None:
    """Where the formula that begins at `start` ends; `None` if none begins there."""
    opening = next((each for each in _PAIRS if text.startswith(each, start)), None)
    if opening == "$":
        found = _INLINE.match(text, start, most)
        end = found.end() if found else -1
    elif opening:
        closing = _PAIRS[opening]
        end = text.find(closing, start + 2, most) + 2
    elif begun := _BEGIN.match(text, start, most):
        closing = f"\\end{{{begun[1]}}}"
        end = text.find(closing, start, most) + len(closing)
    else:
        return None
    return end if end > start + 2 and not _DENIED.search(text, start, end) else None


def _block(state: StateBlock, startLine: int, endLine: int, silent: bool) -> bool:
    """A formula that has lines of its own, which could look like a list; its end may still be on its way."""
    if state.is_code_block(startLine):
        return False
    start = state.bMarks[startLine] + state.tShift[startLine]
    opening = next((each for each in ("$$", "\\[") if state.src.startswith(each, start)), None)
    if opening is None:
        begun = _BEGIN.match(state.src, start)
        if begun is None:
            return False
        opening, closing = begun[0], f"\\end{{{begun[1]}}}"
    else:
        closing = _PAIRS[opening]
    lines = []
    for line in range(startLine, endLine):
        if line > startLine and (state.isEmpty(line) or state.sCount[line] < state.blkIndent):
            return False
        lines.append(state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]])
        said = lines[-1][len(opening) :] if line == startLine else lines[-1]
        if closing in said:
            if said.partition(closing)[2].strip():
                return False  # a sentence that begins with a formula
            break
    content = "\n".join(lines)
    if content.strip() == opening or _DENIED.search(content):
        return False
    if not silent:
        token = state.push("maths_block", "", 0)
        token.content, token.map, token.block = content, [startLine, startLine + len(lines)], True
        state.line = startLine + len(lines)
    return True
