"""Outputs without what says nothing about their meaning, so that two runs can be compared.

    <div class="acagent-nb-footer">local_tiny · 24 out · 1,076 tokens/s · 0.52 s · replayed</div>  ─►  nothing
    <__main__.Poem object at 0x7f2e4c10>                                                      ─►  <... at 0x>
    %llm doctor, disk, logs                                                                   ─►  only that they spoke

An answer's own text is left as it is. What is cut out is cut out of both, the stored output and the new one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import unescape
from typing import Any

from ..tables import OF_THE_MACHINE
from .executed import WIDGET

_OURS = '<div class="acagent-nb'  # how every output of the package begins
_TALK = '<div class="acagent-nb mathjax_ignore"'  # a table or a line of `%llm`: no answer stands in it
_GONE = re.compile(r'<div class="acagent-nb-(?:footer|status|pull)\b[^>]*>.*?</div>\n?', re.DOTALL)
_STYLE = re.compile(r' style="[^"]*"')
_RECORD = re.compile(r"acagent-nb-record-[0-9a-f]+")

_SOMEWHERE = re.compile(r"\bhttps?://[^\s/<>\"']+:\d+")
_TIMES = re.compile(
    r"\bin [\d.,]+ s\b|\b(?:in )?\d+ (?:second|minute|hour|day|month|year)s?\b(?: ago)?|\bfor ever\b",
)
_ALIKE = (  # what differs between two runs wherever it stands
    (re.compile(r"\bat 0x[0-9a-fA-F]+"), "at 0x"),
    (re.compile(r"\b(?:sha256:)?[0-9a-f]{64}\b"), "digest"),
    (re.compile(r",? ?\breplayed=(?:True|False)"), ""),
    (re.compile(r"\bStats\([^()]*\)"), "Stats()"),
    (_SOMEWHERE, "http://address"),
)

_TABLE = re.compile(r"<table\b.*?</table>", re.DOTALL)
_LINE = re.compile(r"<tr\b[^>]*>.*?</tr>\s*", re.DOTALL)
_CELL = re.compile(r"<t[hd]\b[^>]*>(.*?)</t[hd]>\s*", re.DOTALL)
_TAG = re.compile(r"<[^>]+>")
# Columns by heads: of comparisons; of `%llm ps`, `list` and `usage`; of the DataFrames of sweeps and `provenance`.
_COSTS = {"tokens/s", "seconds", "first token after"}
_MEASURED = {"seconds", "unloaded", "memory", "processor", "loaded"}
_FRAME = {"tokens_per_second", "seconds", "first", "first_token_seconds", "began", "digest", "host", "packages"}
_FRAME |= {"server", "server_version", "engine", "defaults", "replayed"}
_FRAME |= {"total_duration", "load_duration", "prompt_eval_duration", "eval_duration"}
_FRAME_OF_OURS = ({"tokens_per_second", "seconds"}, {"model", "total_duration"})
_UNSEEN = {"metadata", "execution_count", "traceback"}  # of an output
_FACTS = {"changed", "file"}  # lines of `%llm show` and `params`


def sanitised(outputs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The outputs of a cell, ready to be compared; widgets are left out.

    Parameters
    ----------
    outputs
        As nbformat has them. They are not changed.
    """
    return [_output(output) for output in outputs if WIDGET not in output.get("data", {})]


def alike(one: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the outputs of two runs of a cell mean the same."""
    return _meaning(one) == _meaning(other)


def _meaning(outputs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Sanitised, each stream in one piece, and without what nobody sees."""
    kept: list[dict[str, Any]] = []
    for output in sanitised(outputs):
        last = kept[-1] if kept else {}
        if output["output_type"] == "stream" and last.get("name") == output["name"]:
            last["text"] += output["text"]
        else:
            kept.append({name: value for name, value in output.items() if name not in _UNSEEN})
    return kept


def _output(output: Mapping[str, Any]) -> dict[str, Any]:
    if OF_THE_MACHINE.items() <= output.get("metadata", {}).items():
        return {**output, "data": {"text/plain": "what this machine says of itself"}}
    kept = {name: _text(value) if name in ("text", "evalue") else value for name, value in output.items()}
    if "data" in output:
        kept["data"] = _data(output["data"])
    return kept


def _data(data: Mapping[str, Any]) -> dict[str, Any]:
    html = data.get("text/html")
    kept = {kind: _text(value) if kind.startswith("text/") else value for kind, value in data.items()}
    if not isinstance(html, str):
        return kept
    if html.startswith(_TALK):
        kept["text/html"] = _TIMES.sub("a time", _text(_facts(_without(html, _MEASURED))))
        kept.pop("text/plain", None)  # the same, in columns as wide as what was cut out
    elif html.startswith(_OURS):
        if 'class="acagent-nb-error' not in html:
            kept["text/plain"] = data.get("text/plain")
        kept["text/html"] = _address_free_errors(_answers(html))
    elif 'class="dataframe"' in html and _is_ours(html):
        kept["text/html"] = _without(_text(html), _FRAME)
        kept.pop("text/plain", None)
    return {kind: value for kind, value in kept.items() if value is not None}


def _text(value: Any) -> Any:
    """A text without what two runs never have in common; other values as they are."""
    if isinstance(value, str):
        for pattern, instead in _ALIKE:
            value = pattern.sub(instead, value)
    return value


def _answers(html: str) -> str:
    """One answer or several side by side, without what they cost."""
    html = _RECORD.sub("acagent-nb-record", _GONE.sub("", html))
    return _STYLE.sub("", _without(html, _COSTS))


def _address_free_errors(html: str) -> str:
    """An error tells which server failed."""
    return re.sub(
        r'<div class="acagent-nb-error\b.*?</div>',
        lambda found: _SOMEWHERE.sub("http://address", found[0]),
        html,
        flags=re.DOTALL,
    )


def _is_ours(html: str) -> bool:
    heads = set(_heads(html))
    return any(ours <= heads for ours in _FRAME_OF_OURS)


def _heads(table: str) -> list[str]:
    """The titles of a table's columns."""
    head = _LINE.search(table)
    return [unescape(_TAG.sub("", cell)).strip() for cell in _CELL.findall(head[0])] if head else []


def _without(html: str, heads: set[str]) -> str:
    """HTML whose tables lack the columns under these heads."""

    def table(found: re.Match[str]) -> str:
        gone = [at for at, head in enumerate(_heads(found[0])) if head in heads]
        return _LINE.sub(lambda line: _line(line[0], gone), found[0]) if gone else found[0]

    return _TABLE.sub(table, html)


def _line(line: str, gone: Sequence[int]) -> str:
    """A table's line without some of its cells."""
    count = iter(range(len(line)))
    return _CELL.sub(lambda cell: "" if next(count) in gone else cell[0], line)


def _facts(html: str) -> str:
    """A list of facts without those of this machine."""
    if "<thead>" in html:
        return html

    def fact(found: re.Match[str]) -> str:
        cells = [unescape(_TAG.sub("", cell)) for cell in _CELL.findall(found[0])]
        return "" if cells and cells[0] in _FACTS else found[0]

    return _STYLE.sub("", _LINE.sub(fact, html))
