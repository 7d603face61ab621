"""How the options panel looks: one small style sheet, and what its many widgets share.

Each widget has a layout and a style of its own unless it is given one, and each of these is a message to
the page; shared ones make the panel open in half the time. Sizes are the style sheet's matter.

A control's description is for screen readers: it is the label that belongs to it, and is not seen.
"""

from __future__ import annotations

from typing import Any

from ipywidgets import HTML, Button, Layout, Widget
from ipywidgets.widgets.widget_bool import CheckboxStyle
from ipywidgets.widgets.widget_button import ButtonStyle
from ipywidgets.widgets.widget_description import DescriptionStyle
from ipywidgets.widgets.widget_int import SliderStyle
from ipywidgets.widgets.widget_string import HTMLStyle, TextStyle

CLASS = "acagent-nb-options"
GONE = f"{CLASS}-gone"

_MUTED = "var(--jp-ui-font-color2, #707070)"
_LINE = "var(--jp-border-color2, #bdbdbd)"
_WARN = "var(--jp-warn-color0, #b45309)"
_BAD = "var(--jp-error-color0, #b71c1c)"

STYLE = f"""<style>
.{CLASS} {{ --jp-widgets-inline-height: 26px; --jp-widgets-inline-margin: 1px; --jp-widgets-inline-width: auto;
  max-width: 1040px; overflow: visible; padding: 2px 0; color: var(--jp-ui-font-color1, inherit) }}
.{CLASS} .widget-box {{ overflow: visible }}
.{CLASS} .{GONE} {{ display: none !important }}
.{CLASS} .widget-html, .{CLASS} .widget-html-content {{ height: auto; min-height: 0; line-height: 1.45; min-width: 0 }}
.{CLASS} .widget-text > .widget-label, .{CLASS} .widget-textarea > .widget-label,
.{CLASS} .widget-dropdown > .widget-label, .{CLASS} .an-send span {{ position: absolute; width: 1px; height: 1px;
  overflow: hidden; clip-path: inset(50%); white-space: nowrap }}
.{CLASS} .an-bar {{ display: flex; flex-flow: row wrap; align-items: center; gap: 4px 6px; margin-bottom: 4px }}
.{CLASS} .an-bar > * {{ flex: 0 0 auto; margin: 0 }}
.{CLASS} .an-bar .an-model {{ flex: 0 1 260px }}
.{CLASS} .an-bar .an-prompt {{ flex: 1 1 240px }}
.{CLASS} .an-bar .an-search {{ flex: 0 1 170px; margin-left: auto }}
.{CLASS} .an-bar .widget-label {{ min-width: 0; width: auto; flex: none; margin-right: 8px }}
.{CLASS} .an-bar .jupyter-button {{ width: auto; padding: 0 10px }}
.{CLASS} .an-small, .{CLASS} .an-small .widget-html-content {{ font-size: 12px; color: {_MUTED} }}
.{CLASS} .an-small {{ margin: 0 0 4px }}
.{CLASS} .an-grid {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(350px, 1fr)); gap: 6px 28px;
  align-items: start }}
.{CLASS} .an-part {{ display: flex; flex-flow: column; min-width: 0 }}
.{CLASS} .an-part > .an-part + .an-part {{ margin-top: 8px }}
.{CLASS} .an-head .widget-html-content {{ font-weight: 600; font-size: 12px; letter-spacing: .02em;
  border-bottom: 1px solid {_LINE}; margin-bottom: 3px; padding-bottom: 1px }}
.{CLASS} .an-row {{ display: flex; flex-flow: row wrap; align-items: center; min-height: 27px }}
.{CLASS} .an-row > * {{ margin: 0 }}
.{CLASS} .an-row .an-send {{ flex: 0 0 24px; width: 24px; min-width: 0 }}
.{CLASS} .widget-checkbox {{ display: flex; align-items: center; min-width: 0 }}
.{CLASS} .widget-checkbox label {{ display: flex; align-items: center; min-width: 0; height: 26px; line-height: 26px;
  margin: 0; padding: 0 }}
.{CLASS} .widget-checkbox input {{ margin: 0 6px 0 0; flex: none }}
.{CLASS} .an-row .an-name {{ flex: 0 0 144px; overflow: hidden }}
.{CLASS} .an-name .widget-html-content {{ white-space: nowrap; color: {_MUTED} }}
.{CLASS} .an-name span[title] {{ cursor: help }}
.{CLASS} .an-mark {{ color: {_WARN} }}
.{CLASS} .an-row .widget-slider {{ flex: 1 1 60px; min-width: 60px; width: auto }}
.{CLASS} .an-row .widget-slider .slider-container {{ margin: 0 10px }}
.{CLASS} .an-row > .widget-text {{ flex: 0 0 92px; width: 92px; margin-left: auto }}
.{CLASS} .an-row > .widget-text input {{ text-align: right; padding: 0 6px; font-variant-numeric: tabular-nums }}
.{CLASS} .an-row .an-wide {{ flex: 1 1 120px; min-width: 0; width: auto }}
.{CLASS} .an-row .an-tags {{ display: flex; flex-flow: row wrap; flex: 1 1 120px; min-width: 0; gap: 2px 4px;
  padding-left: 2px }}
.{CLASS} .an-tags > * {{ margin: 0 }}
.{CLASS} .an-tags .jupyter-button {{ width: auto; max-width: 100%; padding: 0 6px; height: 24px; line-height: 24px;
  font-family: var(--jp-code-font-family, monospace); font-size: 12px }}
.{CLASS} .an-tags .widget-text {{ flex: 1 1 110px; min-width: 0 }}
.{CLASS} .an-row .an-note {{ flex: 1 0 100%; width: 100%; padding-left: 24px; box-sizing: border-box }}
.{CLASS} .an-note .widget-html-content {{ font-size: 12px; padding-bottom: 3px; white-space: normal }}
.{CLASS} .an-off .an-note .widget-html-content {{ color: {_MUTED} }}
.{CLASS} .an-bad {{ color: {_BAD} }}
.{CLASS} .an-warn {{ color: {_WARN} }}
.{CLASS} .an-sent .an-name .widget-html-content {{ color: inherit; font-weight: 600 }}
.{CLASS} .an-row:not(.an-sent) .widget-slider, .{CLASS} .an-row:not(.an-sent) .an-wide {{ opacity: .55 }}
.{CLASS} .an-row:not(.an-sent) .widget-text input {{ color: {_MUTED} }}
.{CLASS} .an-off > :not(.an-note):not(.an-send):not(.an-name) {{ opacity: .45 }}
.{CLASS} .an-off .an-name {{ opacity: .8 }}
.{CLASS} .jupyter-widget-accordion {{ margin: 10px 0 8px; width: auto }}
.{CLASS} .jupyter-widget-Collapse-header {{ padding: 2px 10px; font-size: 12px }}
.{CLASS} .jupyter-widget-Collapse-contents {{ padding: 4px 10px }}
.{CLASS} pre {{ margin: 0; padding: 5px 8px; font-size: 12px; line-height: 1.5; white-space: pre-wrap;
  overflow-wrap: break-word; word-break: normal; font-family: var(--jp-code-font-family, monospace);
  background-color: var(--jp-layout-color2, rgba(128, 128, 128, .12)); color: inherit }}
.{CLASS} textarea {{ line-height: 1.5; padding: 5px 8px; height: auto; resize: vertical }}
.{CLASS} .an-code textarea {{ font-family: var(--jp-code-font-family, monospace); font-size: 12px }}
.{CLASS} .widget-textarea {{ height: auto; width: auto }}
.{CLASS} .an-try {{ border-top: 1px solid {_LINE}; margin-top: 8px; padding-top: 6px }}
</style>"""


class Looks:
    """What the widgets of one panel share."""

    def __init__(self) -> None:
        self.layout = Layout()
        text, slider, box = (TextStyle(description_width="0"), SliderStyle(), CheckboxStyle())
        self._html, self._button = HTMLStyle(), ButtonStyle()
        plain: dict[str, Any] = {"layout": self.layout}
        self.field = {**plain, "style": text}
        self.slider = {**plain, "style": slider}
        self.box = {**plain, "style": box}
        self.wide_box = {**self.box, "_dom_classes": ("an-wide",)}
        self.wide = {**plain, "style": DescriptionStyle(description_width="0"), "_dom_classes": ("an-wide",)}
        self.plain = plain

    def html(self, text: str, *classes: str) -> HTML:
        """A piece of the page."""
        return HTML(text, layout=self.layout, style=self._html, _dom_classes=classes)

    def button(self, text: str, tooltip: str, **how: Any) -> Button:
        """A button with words on it."""
        return Button(description=text, tooltip=tooltip, layout=self.layout, style=self._button, **how)


def see(widget: Widget, name: str, on: bool) -> None:
    """Give a widget a class, or take it away."""
    if on is not (name in widget._dom_classes):
        (widget.add_class if on else widget.remove_class)(name)
