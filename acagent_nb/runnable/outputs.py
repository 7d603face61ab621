"""A kernel's messages -> the outputs of its cells, as a front end holds them in the end.

    display_data(id) ─ update_display_data(id) ─ ...      ──►  one output, with what came last
    stream ─ clear_output ─ stream                        ──►  the second
    between Output.__enter__ and __exit__                 ──►  nothing: the widget holds it

An update reaches the display that it names, also that of a cell that has ended. Source: Jupyter's messaging
protocol 5.4, and nbclient (0.11), which makes the outputs that are compared with these.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Output = dict[str, Any]
_SHOWN = ("display_data", "execute_result", "stream", "error")


class Folded:
    """The outputs of a notebook, taken from message after message.

    Attributes
    ----------
    touched
        The outputs of cells that had ended when one of their displays was updated; whoever looks at them
        empties the list.
    """

    def __init__(self) -> None:
        self.touched: list[list[Output]] = []
        self._outputs: list[Output] = []
        self._cell: str | None = None
        self._clear = False
        self._displays: dict[str, list[tuple[list[Output], Output]]] = {}
        self._captured: dict[str, str] = {}  # an Output widget -> the cell whose messages it takes

    def begin(self) -> list[Output]:
        """The outputs of the cell that runs next, empty as yet."""
        self._outputs, self._cell, self._clear = [], None, False
        return self._outputs

    def take(self, message: Mapping[str, Any]) -> None:
        """Take one message of the kernel's iopub channel."""
        kind, content = message["msg_type"], message["content"]
        if kind == "execute_input":
            self._cell = message["parent_header"].get("msg_id")
        elif kind == "update_display_data":
            self._update(content)
        elif kind.startswith("comm_"):
            self._watch(kind, content)
        elif message["parent_header"].get("msg_id") == self._cell and self._cell not in self._captured.values():
            if kind == "clear_output":
                self._clear = True
                if not content.get("wait"):
                    self._clear_now()
            elif kind in _SHOWN:
                self._show(kind, content)

    def _show(self, kind: str, content: Mapping[str, Any]) -> None:
        if self._clear:
            self._clear_now()
        told = {name: value for name, value in content.items() if name != "transient"}
        output = {"output_type": kind, **told}
        if name := content.get("transient", {}).get("display_id"):
            self._update(content)  # it may be shown elsewhere already
            self._displays.setdefault(name, []).append((self._outputs, output))
        self._outputs.append(output)

    def _update(self, content: Mapping[str, Any]) -> None:
        for outputs, output in self._displays.get(content.get("transient", {}).get("display_id"), ()):
            output.update(data=content["data"], metadata=content["metadata"])
            if outputs is not self._outputs:
                self.touched.append(outputs)

    def _clear_now(self) -> None:
        """Its displays are gone from the page, and are updated no more."""
        self._clear = False
        self._outputs.clear()
        for name, shown in self._displays.items():
            self._displays[name] = [each for each in shown if each[0] is not self._outputs]

    def _watch(self, kind: str, content: Mapping[str, Any]) -> None:
        """An Output widget says in its state whose messages it takes."""
        widget = content["comm_id"]
        state = content.get("data", {}).get("state", {})
        if kind == "comm_close" or (state.get("msg_id") == "" and widget in self._captured):
            self._captured.pop(widget, None)
        elif state.get("msg_id"):
            self._captured[widget] = state["msg_id"]
