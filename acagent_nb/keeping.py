"""Ended answers -> what stays of them in the notebook: `_llm`, and the value that `--into` binds."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple

import msgspec

from . import columns
from .asking import Asked
from .errors import BadAnswer
from .growing import Growing
from .replies import Reply


class Kept(NamedTuple):
    """What one answer has become.

    Attributes
    ----------
    reply
        With its value, if a form was asked for.
    value
        What `--into` binds: the reply, or its value, with a list of objects as a table.
    error
        What is wrong with its form.
    """

    reply: Reply
    value: Any = None
    error: BadAnswer | None = None


def kept(answer: Growing) -> Kept:
    """What stays of an answer, whole or not."""
    ask, reply = answer.ask, answer.reply()
    if not isinstance(ask, Asked) or ask.shape.wire is None:
        return Kept(reply, reply)
    try:
        value = ask.shape.value(reply)
    except BadAnswer as error:
        return Kept(reply, error=error)
    table = _table(value, ask.shape.wire) if find_spec("pandas") else value
    return Kept(msgspec.structs.replace(reply, value=value), table)


def together(answers: Sequence[Growing], each: Sequence[Kept]) -> Any:
    """What `--into` binds for several answers: a table, a row for each, with their values if a form was asked for."""
    table = columns.frame(answers)
    if any(one.value is not one.reply for one in each):
        values = [one.reply.value for one in each]
        if isinstance(table, list):
            return [row | {"value": value} for row, value in zip(table, values, strict=True)]
        table["value"] = values
    return table


def _table(value: Any, schema: str | dict[str, Any]) -> Any:
    """A list of objects as a DataFrame, other values as they are."""
    if not isinstance(value, list):
        return value
    rows = [_row(item) for item in value]
    items = schema.get("items", {}) if isinstance(schema, dict) else {}
    columns = list(items.get("properties", {})) if isinstance(items, dict) else []
    if None in rows or not (rows or columns):
        return value
    import pandas

    return pandas.DataFrame(rows, columns=None if rows else columns)


def _row(item: Any) -> dict[str, Any] | None:
    """An object's fields; `None` if it is no object."""
    if isinstance(item, dict):
        return item
    if hasattr(item, "model_dump"):
        return dict(item.model_dump())
    if dataclasses.is_dataclass(item) and not isinstance(item, type):
        return dataclasses.asdict(item)
    return None
