"""A widget as a page without a kernel and without scripts can show it: a table of its controls and their values.

    HBox(IntSlider(description="top_k", value=40), Button(...))  ─► | top_k | 40 |

The values are those that the notebook was saved with. A view that left a page of its own beside it, as our
panels do, needs no table.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from typing import Any

from ..tables import Table
from .executed import WIDGET

_STATE = "application/vnd.jupyter.widget-state+json"
_REFERENCE = "IPY_MODEL_"
_RECORD = "acagent-nb-record"  # the class of the page that our own panels leave
_SHOWN = ("text/html", "text/markdown", "image/svg+xml", "image/png", "image/jpeg", "text/latex")
_NOTHING = ("ButtonModel", "PasswordModel", "LayoutModel")  # whose value is nothing, or not to be seen


def without_widgets(notebook: Any) -> None:
    """Put what can be shown in the place of each widget view, and leave the widgets' state out."""
    states = notebook.metadata.pop("widgets", {}).get(_STATE, {}).get("state", {})
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [still for output in cell.outputs for still in _still(output, cell.outputs, states)]


def _still(output: Any, beside: list[Any], states: dict[str, Any]) -> Iterator[Any]:
    """The outputs that take the place of one."""
    data = output.get("data", {})
    if WIDGET not in data:
        yield output
        return
    if any(_RECORD in each.get("data", {}).get("text/html", "") for each in beside):
        return
    view = data.pop(WIDGET)
    if any(kind in data for kind in _SHOWN):
        yield output
        return
    model = view.get("model_id", "")
    rows = list(_rows(model, states, set()))
    if rows:
        data["text/html"] = Table((), rows).html
    if rows or not _captured(model, states):
        yield output
    yield from _captured(model, states)


def _rows(model: str, states: dict[str, Any], seen: set[str]) -> Iterator[tuple[str, str]]:
    """Descriptions and values of a widget and of all that are in it."""
    if model in seen or model not in states:
        return
    seen.add(model)
    kind, state = states[model].get("model_name", ""), states[model].get("state", {})
    if kind not in _NOTHING and (value := _value(state)):
        yield str(state.get("description") or ""), value
    for child in state.get("children", ()):
        yield from _rows(str(child).removeprefix(_REFERENCE), states, seen)


def _value(state: dict[str, Any]) -> str:
    """What a control is set to, in words."""
    labels, index, value = state.get("_options_labels"), state.get("index"), state.get("value")
    if labels and isinstance(index, (int, list)):
        chosen = [index] if isinstance(index, int) else index
        return ", ".join(str(labels[each]) for each in chosen if each < len(labels))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return " to ".join(map(str, value))
    if isinstance(value, (dict, type(None))):
        return ""
    return unescape(re.sub(r"<[^>]*>", " ", str(value))).strip()


def _captured(model: str, states: dict[str, Any]) -> list[Any]:
    """What an Output widget has taken in."""
    from nbformat import from_dict

    state = states.get(model, {})
    outputs = state.get("state", {}).get("outputs", ()) if state.get("model_name") == "OutputModel" else ()
    return [from_dict(dict(output)) for output in outputs]  # type: ignore[no-untyped-call]  # nbformat has no types here
