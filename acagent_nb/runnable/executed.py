"""After a notebook ran: its outputs as they are best kept, and what its answers cost in one place.

print, print, display, print  ─► one text, display, one text
every output's provenance     ─► nb.metadata["acagent_nb"] = {"answers": [...], "totals": ..., "versions": ...}
kernels, widgets, run times   ─► nothing, where it is to be committed
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..origins import KEY

INJECTED, MARKER = "injected-parameters", "papermill-error-cell-tag"  # the tags of papermill's own cells
WIDGET = "application/vnd.jupyter.widget-view+json"

_VERSIONS = ("packages", "server", "server_version", "engine")
_LEFT = {"defaults", "host", "messages", "began", *_VERSIONS}  # long, or of the machine; they stay with the output


def tidy(notebook: Any) -> None:
    """Merge neighbouring streams, and lift the provenance; a notebook that was tidied before stays as it is."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = _merged(cell.outputs)
    told = list(_answers(notebook))
    notebook.metadata.pop(KEY, None)
    if told:
        notebook.metadata[KEY] = {
            "answers": [{name: value for name, value in each.items() if name not in _LEFT} for each in told],
            "totals": _totals(told),
            "versions": {name: _each(told, name) for name in _VERSIONS if _each(told, name)},
        }


def without_circumstances(notebook: Any) -> Any:
    """Without what papermill and the kernel note of their own circumstances, and without widgets that are gone.

    Parameters
    ----------
    notebook
        An nbformat node, which is changed and given back.
    """
    for noise in ("papermill", "widgets"):
        notebook.metadata.pop(noise, None)
    notebook.metadata.language_info = {"name": "python"}
    notebook.metadata.kernelspec = {"display_name": "Python 3", "language": "python", "name": "python3"}
    for cell in notebook.cells:
        for noise in ("papermill", "execution"):
            cell.metadata.pop(noise, None)
        if cell.metadata.get("tags") == []:
            del cell.metadata["tags"]
        if cell.cell_type == "code":  # a widget is dead without its kernel; the page that it left beside it stays
            cell.outputs = [output for output in cell.outputs if WIDGET not in output.get("data", {})]
    return notebook


def tagged(cell: Any, *tags: str) -> bool:
    """Whether a cell has one of these tags."""
    return not {*tags}.isdisjoint(cell.metadata.get("tags", ()))


def totals(notebook: Any) -> dict[str, Any]:
    """What all answers that a tidied notebook shows cost together; those that its code only used left no trace.

    Returns
    -------
    dict
        `answers`, and `replayed` among them; `unfinished`, which failed or were stopped, and are no answers;
        `tokens_in`, `tokens_out`; `seconds` that they all took.
    """
    found: dict[str, Any] = notebook.metadata.get(KEY, {}).get("totals") or _totals([])
    return found


def summary(notebook: Any) -> str:
    """The same for people."""
    sums = totals(notebook)
    if not (sums["answers"] or sums["unfinished"]):
        return "no answers shown"
    many = "1 answer shown" if sums["answers"] == 1 else f"{sums['answers']:,} answers shown"
    tokens = f"{sums['tokens_in']:,} tokens in, {sums['tokens_out']:,} out"
    return f"{many}{besides(sums)}, {tokens}, {sums['seconds']:.1f} s of waiting for them"


def besides(sums: Mapping[str, int]) -> str:
    """What is to be said of answers beside how many they are: how they came, and that others did not."""
    told = ", ".join(f"{sums[name]:,} {name}" for name in ("replayed", "unfinished") if sums[name])
    return f" ({told})" if told else ""


def asked_live(outputs: Iterable[Mapping[str, Any]]) -> bool:
    """Whether the outputs of a cell show an answer that is no kept one."""
    return any(_whole(each) and not each.get("replayed") for each in _told(outputs))


def _merged(outputs: list[Any]) -> list[Any]:
    """Outputs in which no two neighbours are pieces of the same stream."""
    kept: list[Any] = []
    for output in outputs:
        last = kept[-1] if kept else None
        if last and output.output_type == last.output_type == "stream" and output.name == last.name:
            last.text += output.text
        else:
            kept.append(output)
    return kept


def _answers(notebook: Any) -> Iterator[dict[str, Any]]:
    """How each answer was made, with the cell that asked it (counted from 0) and that cell's number."""
    for number, cell in enumerate(notebook.cells):
        for each in _told(cell.get("outputs", ())):
            yield {"cell": number, "execution_count": cell.get("execution_count"), **each}


def _told(outputs: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for output in outputs:
        told = output.get("metadata", {}).get(KEY, {})
        yield from (each for each in told.get("answers", [told]) if "model" in each)  # panels tell of themselves


def _whole(answer: Mapping[str, Any]) -> bool:
    """Whether the model came to an end, if only at the bound that was set for it."""
    return answer.get("done_reason") is not None and answer.get("mark", "cut off") == "cut off"


def _totals(told: list[dict[str, Any]]) -> dict[str, Any]:
    whole = [each for each in told if _whole(each)]
    return {
        "answers": len(whole),
        "replayed": sum(bool(each.get("replayed")) for each in whole),
        "unfinished": len(told) - len(whole),
        "tokens_in": sum(each.get("prompt_eval_count") or 0 for each in told),
        "tokens_out": sum(each.get("eval_count") or 0 for each in told),
        "seconds": round(sum(each.get("seconds") or 0 for each in told), 3),
    }


def _each(told: list[dict[str, Any]], name: str) -> list[Any]:
    """The different values that something has; usually one."""
    values: list[Any] = []
    for each in told:
        if each.get(name) and each[name] not in values:
            values.append(each[name])
    return values
