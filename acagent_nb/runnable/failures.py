"""What is wrong with a cell, or with a whole run, in words for the author of the notebook."""

from __future__ import annotations

import difflib
import re
import textwrap
from collections.abc import Mapping, Sequence
from html import unescape
from itertools import takewhile
from typing import Any

from .. import errors
from ..errors import LLMError
from .executed import MARKER, tagged
from .kernel import OURS

_ORDER = ("text/plain", "stdout", "stderr", "text/markdown", "text/html")  # what is read best comes first
_LONGEST = 300  # letters of a run's error
_STOPPED = ("KeyboardInterrupt", "Interrupted")  # what a cell fails with that is interrupted
_WIDTH = 100  # columns
_MOST = 24  # lines of a difference, and of an error's text
_SENTENCE = re.compile(r"(?<=[.!?]) +(?=\S)")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_BLOCK = re.compile(r"</(?:p|div|li|tr|h\d|pre)>|<br ?/?>")
_TAG = re.compile(r"<[^>]+>")
_PLACE = re.compile(r"\bCell In\s?\[[^\]]*\], line (\d+)")


def named(cell: Any, cells: Sequence[Any]) -> str:
    """A cell by the number that JupyterLab gives it, `In [3]`, when all are run from the top; an empty one gets none.

    Parameters
    ----------
    cell
        An nbformat node, one of the `cells` of a notebook.
    """
    before = takewhile(lambda each: each is not cell, cells)
    return f"cell [{sum(each.cell_type == 'code' and bool(each.source.strip()) for each in before) + 1}]"


def title(cell: Any, cells: Sequence[Any]) -> str:
    """A cell as its author knows it: its name and its first line."""
    first = next((line for line in cell.source.splitlines() if line.strip()), "")
    return f"{named(cell, cells)}: {first}"


def count(number: int, word: str) -> str:
    """So many of something: "2 cells"."""
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"


def difference(stored: Sequence[Mapping[str, Any]], fresh: Sequence[Mapping[str, Any]]) -> str:
    """How new outputs are unlike those that the notebook holds: a short unified diff.

    Parameters
    ----------
    stored, fresh
        Outputs as nbformat has them, sanitised.
    """
    before, now = _by_kind(stored), _by_kind(fresh)
    kinds = [*dict.fromkeys([*(kind for kind in _ORDER if kind in before or kind in now), *before, *now])]
    told: list[str] = []
    for kind in kinds:
        if before.get(kind) != now.get(kind) and not (told and kind == "text/html"):  # the same once more
            lines = _diff(kind, before.get(kind, []), now.get(kind, []))
            if lines:
                told += [_headline(kind, before, now), "", *lines, ""]
    return "\n".join(told) or "The output is not the one in the notebook.\n"


def failure(error: Mapping[str, Any], source: str) -> str:
    """What a cell raised: its name and text, and the line of the cell, without the way there.

    Parameters
    ----------
    error
        An output of the type `error`.
    source
        The cell's code.
    """
    lines = [_COLOUR.sub("", line) for line in _named(error).splitlines()]
    places = _PLACE.findall(_COLOUR.sub("", "\n".join(error.get("traceback", ()))))
    written = source.splitlines()
    if places and not source.lstrip().startswith("%%") and 0 < int(places[-1]) <= len(written) > 1:
        lines.insert(0, f"line {places[-1]}: {written[int(places[-1]) - 1].strip()}")
    return "\n".join(_short(lines))


def of_run(error: Exception, notebook: Any, timeout: float | None) -> tuple[str, list[str]]:
    """Why a run did not come to its end, in a few words and in one or two lines.

    Parameters
    ----------
    error
        What papermill raised.
    notebook
        As far as it was run; `None` if it was not.
    timeout
        Seconds that a cell was given.
    """
    from jupyter_client.kernelspec import NoSuchKernel
    from nbclient.exceptions import DeadKernelError
    from papermill import PapermillExecutionError

    if isinstance(error, PapermillExecutionError):
        ran = [cell for cell in notebook.cells if not tagged(cell, MARKER)]  # as papermill has counted them
        where = named(ran[error.cell_index], ran)
        if timeout and error.ename in _STOPPED:
            return f"{where}: too slow", [
                f"{where.capitalize()} took longer than {timeout:g} s.",
                "Give more with --timeout.",
            ]
        name = error.ename or "it failed"
        lines = error.evalue.splitlines() if hasattr(errors, name) else [" ".join(error.evalue.split())[:_LONGEST]]
        first, *more = lines or [""]
        return f"{where}: {name}", [f"{where.capitalize()} failed: {name}{f': {first}' if first else ''}", *more]
    if isinstance(error, LLMError):
        return f"not run: {type(error).__name__}", [" ".join(error.message.split()), *([error.hint] * bool(error.hint))]
    if isinstance(error, NoSuchKernel):
        return "not run: no kernel", [
            f"Its kernel {error.name!r} is not installed here.",
            f"--kernel {OURS} runs it in this Python.",
        ]
    if isinstance(error, DeadKernelError):
        return "the kernel died", ["Its kernel died.", "It may have run out of memory."]
    if isinstance(error, OSError) and error.filename:
        return "not run: no such place", [f"{error.filename} can't be used: {error.strerror}.", "Name another place."]
    words = " ".join(str(error).split())[:_LONGEST]
    return f"not run: {type(error).__name__}", [f"{type(error).__name__}: {words}"]


def _named(error: Mapping[str, Any]) -> str:
    return f"{error.get('ename', '')}: {error.get('evalue', '')}".strip().removesuffix(":")


def _by_kind(outputs: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """The texts of outputs by their MIME type, or the stream's name."""
    found: dict[str, list[str]] = {}
    for output in outputs:
        for kind, value in output.get("data", {}).items():
            found.setdefault(kind, []).append(value if isinstance(value, str) else repr(value))
        if output["output_type"] == "stream":
            found.setdefault(output["name"], []).append(output["text"])
        if output["output_type"] == "error":
            found.setdefault("error", []).append(_named(output))
    return found


def _headline(kind: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    what = {"stdout": "printed text", "stderr": "text on standard error", "error": "error"}.get(kind, "output")
    if kind.startswith("text/") or what != "output":
        if not now:
            return "The cell shows nothing now; the notebook holds (-):"
        if not before:
            return "The notebook holds no output of this cell, and now it has one (+):"
        return f"The {what} is not the one in the notebook (- in the notebook, + now):"
    return f"The output of the kind {kind} is not the one in the notebook (- in the notebook, + now):"


def _diff(kind: str, before: Sequence[str], now: Sequence[str]) -> list[str]:
    if kind == "text/html":
        read = _diff("read", [*map(_read, before)], [*map(_read, now)])
        if read:
            return read
    if not kind.startswith("text/") and kind not in ("stdout", "stderr", "error", "read"):
        before, now = ([f"{len(each):,} characters" for each in texts] for texts in (before, now))
    old, new = ([line for text in texts for line in _pieces(text)] for texts in (before, now))
    lines = [*difflib.unified_diff(old, new, n=1, lineterm="")][2:]
    wrapped = [
        part
        for line in lines
        if not line.startswith("@@")
        for part in textwrap.wrap(
            line[1:],
            _WIDTH,
            initial_indent=f"{line[0]} ",
            subsequent_indent=f"{line[0]}     ",
            drop_whitespace=False,
            replace_whitespace=False,
        )
        or [line[0]]
    ]
    return _short(wrapped)


def _pieces(text: str) -> list[str]:
    """Lines, and a paragraph's sentences: one that has changed does not make all of it look changed."""
    return [piece for line in text.splitlines() for piece in (_SENTENCE.split(line) if len(line) > _WIDTH else [line])]


def _read(html: str) -> str:
    """HTML as one reads it."""
    text = unescape(_TAG.sub("", _BLOCK.sub("\n", html)))
    return "\n".join(filter(None, map(str.strip, text.splitlines())))


def _short(lines: list[str]) -> list[str]:
    left = len(lines) - _MOST
    return [*lines[:_MOST], f"… and {left} lines more"] if left > 0 else lines
