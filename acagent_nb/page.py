"""A growing answer -> the HTML of its cell's output.

Styles are inline and few: a `<style>` would not survive JupyterLab's own cleaning of a reopened
notebook, and what is plain Markdown should look as Markdown does there. Colours are JupyterLab's
variables, so light and dark follow; elsewhere the fallbacks hold.
"""

from __future__ import annotations

from html import escape

from . import render
from .growing import Growing
from .messages import Pulling

_BOX = "max-width: 52em; padding-left: var(--jp-code-padding, 5px)"  # lines one can read; in line with the code
_MUTED = "color: var(--jp-ui-font-color2, #707070)"
_SMALL = f"font-size: 12px; line-height: 1.6; {_MUTED}; font-variant-numeric: tabular-nums"
_WARN = "color: var(--jp-warn-color0, #b45309)"
_RULE = "border-left: 2px solid var(--jp-border-color2, #bdbdbd); padding-left: 12px"


class Page:
    """Draws one answer again and again; what has not changed since is not rendered twice."""

    def __init__(self) -> None:
        self._rendered: dict[str, tuple[str, str]] = {}

    def html(self, answer: Growing) -> str:
        """The whole output as it is now."""
        parts = [self._thinking(answer), self._answer(answer)]
        if answer.ended:
            parts.append(_footer(answer))
        elif answer.pulling:
            parts.append(_pull(answer.pulling))
        else:
            parts.append(_status(answer))
        return f'<div class="acagent-nb" style="{_BOX}">\n{"".join(parts)}</div>'

    def _thinking(self, answer: Growing) -> str:
        if not answer.thinking:
            return ""
        over = answer.text or answer.ended
        return (
            f'<details class="acagent-nb-thinking" style="margin: 0 0 8px; {_MUTED}">\n'
            f'<summary style="cursor: pointer; font-size: 12px">{"Thoughts" if over else "Thinking…"}</summary>\n'
            f'<div style="{_RULE}; margin-top: 6px">{self._render("thinking", answer.thinking)}</div>\n</details>\n'
        )

    def _answer(self, answer: Growing) -> str:
        if not answer.text:
            return ""
        return f'<div class="acagent-nb-answer">\n{self._render("text", answer.text)}</div>\n'

    def _render(self, part: str, text: str) -> str:
        if self._rendered.get(part, ("", ""))[0] != text:
            self._rendered[part] = text, render.html(text)
        return self._rendered[part][1]


def _footer(answer: Growing) -> str:
    name, *facts = map(escape, answer.facts())
    shown = [f'<span style="font-weight: 600">{name}</span>']
    shown += [
        f'<span style="{_WARN}">{fact}</span>' if answer.mark and i == 0 else fact for i, fact in enumerate(facts)
    ]
    lines = [" · ".join(shown)]
    if answer.tell_host and answer.host:
        lines.append(escape(answer.place))
    return f'<div class="acagent-nb-footer" style="{_SMALL}">{"<br>".join(lines)}</div>\n'


def _status(answer: Growing) -> str:
    since = f" {answer.seconds:.0f} s" if answer.seconds >= 1 else ""
    words = escape(f"{answer.name} · {answer.status}…{since}")
    return f'<div class="acagent-nb-status" role="status" style="{_SMALL}">{words}</div>\n'


def _pull(pull: Pulling) -> str:
    return (
        f'<div class="acagent-nb-pull" style="{_SMALL}">\n{escape(pull_words(pull))}<br>\n'
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
