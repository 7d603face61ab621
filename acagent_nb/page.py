"""A growing answer -> the HTML of its cell's output.

Styles are inline and few: a `<style>` would not survive JupyterLab's own cleaning of a reopened
notebook, and what is plain Markdown should look as Markdown does there. Colours are JupyterLab's
variables, so light and dark follow; elsewhere the fallbacks hold.

Every drawing replaces the one before, and would fold again what a reader has opened. So thoughts and calls
are one line each while the answer grows, but for those that come right now, and fold only when it is whole.
"""

from __future__ import annotations

import json
from html import escape

from . import render
from .errors import LLMError
from .growing import Growing, Words
from .messages import Pulling, Text, ToolCall, ToolResult
from .replies import Reply

_BOX = "max-width: 52em; padding-left: var(--jp-code-padding, 5px)"  # lines one can read; in line with the code
_MUTED = "color: var(--jp-ui-font-color2, #707070)"
_SMALL = f"font-size: 12px; line-height: 1.6; {_MUTED}; font-variant-numeric: tabular-nums"
_WARN = "color: var(--jp-warn-color0, #b45309)"
_RULE = "border-left: 2px solid var(--jp-border-color2, #bdbdbd); padding-left: 12px; margin-top: 6px"
_POINTER = "cursor: pointer; font-size: 12px"
_MONO = "white-space: pre-wrap; overflow-wrap: anywhere; font-size: 12px; line-height: 1.5; margin: 0 0 4px"
_PLAIN = "mathjax_ignore"  # the class of what MathJax shall not read
_TAIL = 1_200  # characters of its thoughts that are shown while the model thinks
_GLIMPSE = 60  # characters of a call or of its result, in one line
_INLINE = 90  # characters of settings that stand in the footer itself


class Page:
    """Draws one answer again and again; what has not changed since is not rendered twice."""

    def __init__(self) -> None:
        self._growing: dict[int, render.Rendered] = {}
        self._over: dict[int, str] = {}

    def html(self, answer: Growing) -> str:
        """The whole output as it is now."""
        return f'<div class="acagent-nb" style="{_BOX}">\n{self.body(answer)}</div>'

    def body(self, answer: Growing, *, named: bool = True) -> str:
        """The same without its box; `named` says whether the footer names the model."""
        parts = [self._part(answer, at) for at in range(len(answer.parts))]
        if answer.ended:
            parts.append(_footer(answer, named))
        elif answer.pulling:
            parts.append(_pull(answer.pulling))
        else:
            parts.append(_status(answer))
        return "".join(parts)

    def _part(self, answer: Growing, at: int) -> str:
        part = answer.parts[at]
        if isinstance(part, ToolCall):
            return _call(part, _result(answer, at), whole=answer.ended)
        if not isinstance(part, Words):
            return ""
        now = not answer.ended and at == len(answer.parts) - 1
        if part.kind is Text:
            if answer.request.format is not None:
                return f'<div class="acagent-nb-answer">\n{render.code(part.text, "json")}</div>\n'
            return f'<div class="acagent-nb-answer">\n{self._render(at, part.text, now)}</div>\n'
        if now:
            return f'<div class="acagent-nb-thinking" style="{_RULE}; {_MUTED}">{render.html(_tail(part.text))}</div>\n'
        count = len(part.text.split())
        title = f"Thoughts · {count:,} word{'s' * (count != 1)}"
        if not answer.ended:
            return _folded("acagent-nb-thinking", title)
        return _folded("acagent-nb-thinking", title, self._render(at, part.text, now))

    def _render(self, at: int, text: str, now: bool) -> str:
        if now:
            return self._growing.setdefault(at, render.Rendered()).html(text)
        if at not in self._over:
            self._over[at] = render.html(text)
        return self._over[at]


def kept(reply: Reply) -> str:
    """A whole answer as the value of a cell."""
    return Page().html(Growing.of(reply))


def failure(error: LLMError) -> str:
    """What went wrong and the one thing to do, in two lines."""
    told = [f'<span style="{_WARN}; font-weight: 600">{type(error).__name__}</span>: {escape(error.message)}']
    told += [escape(error.hint)] if error.hint else []
    return f'<div class="acagent-nb-error {_PLAIN}" style="overflow-wrap: anywhere">{"<br>".join(told)}</div>\n'


def _tail(text: str) -> str:
    """The last lines of a long text, from the beginning of one."""
    if len(text) <= _TAIL:
        return text
    _, line, rest = text[-_TAIL:].partition("\n")
    return f"…\n\n{rest}" if line and rest.strip() else f"…{text[-_TAIL:]}"


def _result(answer: Growing, at: int) -> ToolResult | None:
    """What the call at this place gave back, if it has."""
    calls = [part for part in answer.parts[:at] if isinstance(part, ToolCall)]
    results = [part for part in answer.parts if isinstance(part, ToolResult)]
    return results[len(calls)] if len(results) > len(calls) else None


def _call(call: ToolCall, result: ToolResult | None, *, whole: bool) -> str:
    said = ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in call.arguments.items())
    title = f"<code>{escape(call.name)}({escape(_glimpse(said))})</code>"
    if result is not None:
        told = escape(_glimpse(" ".join(result.content.split())))
        title += f' <span style="{_WARN}">failed: {told}</span>' if result.failed else f" → {told}"
    elif not whole:
        title += " …"
    if not whole:
        return _folded("acagent-nb-call", title)
    body = f'<pre style="{_MONO}">{escape(json.dumps(call.arguments, indent=2, ensure_ascii=False))}</pre>\n'
    if result is not None:
        body += f'<pre style="{_MONO}">{escape(result.content)}</pre>\n'
    return _folded("acagent-nb-call", title, body)


def _folded(kind: str, title: str, body: str | None = None) -> str:
    """A line, with what it stands for folded below it."""
    if body is None:
        return f'<div class="{kind} {_PLAIN}" style="margin: 0 0 8px; font-size: 12px; {_MUTED}">▸ {title}</div>\n'
    return (
        f'<details class="{kind}" style="margin: 0 0 8px; {_MUTED}">\n'
        f'<summary class="{_PLAIN}" style="{_POINTER}">{title}</summary>\n'
        f'<div style="{_RULE}">{body}</div>\n</details>\n'
    )


def _footer(answer: Growing, named: bool) -> str:
    parts = [f'<span style="font-weight: 600">{escape(answer.name)}</span>'] if named else []
    parts += [f'<span style="{_WARN}">{escape(mark)}</span>' for mark in answer.marks()]
    parts += map(escape, answer.cost())
    sent = answer.sent()
    settings = escape(" · ".join(sent))
    folds = len(settings) > _INLINE
    if settings and not folds:
        parts.append(settings)
    lines = [" · ".join(parts)]
    if answer.tell_host and answer.host:
        lines.append(escape(answer.place))
    lines += [f'<span style="{_WARN}">{escape(note)}</span>' for note in answer.notes]
    fold = f'<details><summary style="{_POINTER}">{len(sent)} settings sent</summary>{settings}</details>'
    return f'<div class="acagent-nb-footer {_PLAIN}" style="{_SMALL}">{"<br>".join(lines)}{fold * folds}</div>\n'


def _status(answer: Growing) -> str:
    since = f" {answer.seconds:.0f} s" if answer.seconds >= 1 else ""
    words = escape(f"{answer.name} · {answer.status}…{since}")
    return f'<div class="acagent-nb-status {_PLAIN}" role="status" style="{_SMALL}">{words}</div>\n'


def _glimpse(text: str) -> str:
    return text if len(text) <= _GLIMPSE else f"{text[: _GLIMPSE - 1]}…"


def _pull(pull: Pulling) -> str:
    return (
        f'<div class="acagent-nb-pull {_PLAIN}" style="{_SMALL}">\n{escape(pull_words(pull))}<br>\n'
        f'<progress aria-label="{escape(f"Pulling {pull.model}")}"{_share(pull)} '
        'style="width: 100%; max-width: 24em; height: 8px; accent-color: var(--jp-brand-color1, #1976d2)">'
        "</progress>\n</div>\n"
    )


def _share(pull: Pulling) -> str:
    """A bar without a value moves to and fro: nothing is known yet."""
    return f' max="{pull.total}" value="{pull.completed}"' if pull.total else ""


def pull_words(pull: Pulling) -> str:
    """How far a download is, in words: "pulling tiny · 1.2 of 2.4 MB · 50 %"."""
    words = [f"{pull.model} · {pull.status}"]
    if pull.total:
        words.append(f"{pull.completed / 1e6:,.1f} of {pull.total / 1e6:,.1f} MB")
        words.append(f"{pull.completed / pull.total:.0%}")
    return " · ".join(words)
