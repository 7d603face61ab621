"""`{{expression}}` in a prompt -> the value that it has in the notebook, as text that a model reads well.

    "Sum up {{df}}"  ──►  "Sum up", and below it "| price | city |..."

Only double braces are special, so that code and JSON can be pasted. Jinja reads the expressions; a value is
never filled again. Tables become Markdown's, on lines of their own; lists and dicts JSON; all else what `str`
makes of it.
"""

from __future__ import annotations

import builtins
import difflib
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from .errors import BadPrompt

if TYPE_CHECKING:
    import jinja2

ROWS, COLUMNS = 50, 20  # of a table; about 5,000 tokens if all its cells hold a word
LETTERS = 500  # of one cell of a table

_ENDS = 50  # so many }} behind a {{ are tried: each may be a part of the expression
_LITERAL = 'A double brace that is meant as it is, is written {{ "{{" }}.'


def filled(text: str, names: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Put values of the notebook into a text.

    Parameters
    ----------
    text
        A prompt.
    names
        The notebook's names; Python's own functions, such as `len`, come by themselves.

    Returns
    -------
    text, notes
        The whole text, and what the user should know: which tables were shortened, and by how much.

    Raises
    ------
    BadPrompt
        There is no such name (with the nearest one), the expression can't be read, or it fails.
    """
    done: list[str] = []
    notes: list[str] = []
    while "{{" in text:
        before, _, text = text.partition("{{")
        expression, evaluate, text = _next(text)
        value = _value(expression, evaluate, names)
        shown, note = _shown(value, expression)
        done += [before, _apart(shown, "".join([*done, before]), text) if _is_frame(value) else shown]
        notes += [note] if note else []
    return "".join([*done, text]), notes


@cache
def _jinja() -> jinja2.Environment:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(undefined=StrictUndefined, autoescape=False)  # noqa: S701 -- no HTML is made of it
    environment.globals = dict(vars(builtins))
    return environment


def _next(text: str) -> tuple[str, Any, str]:
    """The expression in front of a `}}`, what computes it, and the text behind it."""
    from jinja2 import TemplateSyntaxError

    wrong, end = "", -1
    for _ in range(_ENDS):
        end = text.find("}}", end + 1)
        if end < 0:
            break
        expression = text[:end].strip()
        try:
            return expression, _jinja().compile_expression(expression, undefined_to_none=False), text[end + 2 :]
        except TemplateSyntaxError as error:
            wrong = wrong or f"{_named(expression)} is no expression that can be read ({error.message})."
        except (ValueError, RecursionError):  # a number of thousands of digits, or thousands of brackets
            wrong = wrong or f"{_named(expression)} is no expression that can be read."
    raise BadPrompt(wrong or "A {{ in the prompt has no }}.", _LITERAL)


def _value(expression: str, evaluate: Any, names: Mapping[str, Any]) -> Any:
    """What it is worth in the notebook."""
    from jinja2 import Undefined, UndefinedError

    try:
        value = evaluate(names)
        if isinstance(value, Undefined):
            str(value)  # raises what says best what is missing
    except UndefinedError as error:
        raise _unknown(expression, str(error), names) from None
    except Exception as error:  # whatever the user's own code raises
        told = " ".join(str(error).split())
        raise BadPrompt(
            f"{_named(expression)} failed with {type(error).__name__}{f': {told[:200]}' if told else ''}.",
            "Run the expression in a cell of its own to see more.",
        ) from error
    return value


def _unknown(expression: str, told: str, names: Mapping[str, Any]) -> BadPrompt:
    """The error for a name, an attribute or a key that is not there."""
    from jinja2 import meta

    used = meta.find_undeclared_variables(_jinja().parse("{{ (" + expression + ") }}"))
    missing = sorted(name for name in used if name not in names and not hasattr(builtins, name))
    if missing:
        return BadPrompt(f"There is no {missing[0]!r} in the notebook.", nearest(missing[0], names) or _LITERAL)
    return BadPrompt(f"{_named(expression)} has no value: {told}.", "Look at what it holds in a cell of its own.")


def nearest(name: str, names: Iterable[str]) -> str:
    """The question whether something of the notebook with a name like this was meant; empty if there is none."""
    near = difflib.get_close_matches(name, [each for each in names if not each.startswith("_")], n=1)
    return f"Did you mean {near[0]}?" if near else ""


def _named(expression: str) -> str:
    """The expression as an error may show it: a long one is likely a part of the prompt."""
    short = " ".join(expression.split())
    return f"{{{{{short if len(short) <= 60 else short[:60] + '…'}}}}}"


def _shown(value: Any, expression: str) -> tuple[str, str]:
    """A value as text, and what was left out of it."""
    if _is_frame(value):
        return _table(value.to_frame() if value.ndim == 1 else value, expression)
    if isinstance(value, (dict, list, tuple)):
        return _json(value), ""
    return str(value), ""


def _is_frame(value: Any) -> bool:
    pandas = sys.modules.get("pandas")  # not loaded, so no value is one of its own
    return pandas is not None and isinstance(value, (pandas.DataFrame, pandas.Series))


def _apart(table: str, before: str, behind: str) -> str:
    """The table on lines of its own: in the middle of a sentence its first row would be no row."""
    start = "\n\n" if before.rpartition("\n")[2].strip() else ""
    return start + table + ("\n\n" if behind.partition("\n")[0].strip() else "")


def _json(value: Any) -> str:
    try:
        return msgspec.json.encode(value, enc_hook=_plain).decode()
    except (TypeError, ValueError, RecursionError):  # half characters, keys that are no text, a list that holds itself
        return str(value)


def _plain(value: Any) -> Any:
    """What msgspec does not know: pydantic's models, numpy's arrays and numbers, anything."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _table(frame: Any, expression: str) -> tuple[str, str]:
    """A DataFrame as a Markdown table, and what was left out of it."""
    rows, columns = frame.shape
    index = type(frame.index).__name__ != "RangeIndex" or frame.index.name is not None  # else it only counts
    small = frame.iloc[:ROWS, :COLUMNS]
    heads = [*([_label(frame.index.name)] if index else []), *map(_label, small.columns)]
    body = [
        [*([_label(label)] if index else []), *(_cell(value) for value in row)]
        for label, row in zip(small.index, small.itertuples(index=False, name=None), strict=True)
    ]
    if columns > COLUMNS:
        heads, body = [*heads, "…"], [[*row, "…"] for row in body]
    if rows > ROWS:
        body.append(["…"] * len(heads))
    lines = [heads, ["---"] * len(heads), *body]
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    left = [f"{min(kept, all):,} of its {all:,} {what}" for kept, all, what in _sizes(rows, columns) if all > kept]
    return text, f"Of {_named(expression)} the model sees the first {' and '.join(left)}." if left else ""


def _sizes(rows: int, columns: int) -> tuple[tuple[int, int, str], ...]:
    return (ROWS, rows, "rows"), (COLUMNS, columns, "columns")


def _label(label: Any) -> str:
    """A column's or a row's name; one of several levels in one line."""
    return _cell(" / ".join(map(str, label)) if isinstance(label, tuple) else "" if label is None else label)


def _cell(value: Any) -> str:
    """A value in a cell of a table: one line, no bar that would end it, nothing for what is missing."""
    missing = value is None or (isinstance(value, float) and value != value) or type(value).__name__ in _MISSING
    text = "" if missing else f"{value:.10g}" if isinstance(value, float) else " ".join(str(value).split())
    return (text if len(text) <= LETTERS else f"{text[:LETTERS]}…").replace("|", "\\|")


_MISSING = ("NAType", "NaTType")
