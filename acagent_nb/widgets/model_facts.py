"""What is known of a server's models, as words, as tables of text and as HTML. No widget is in here.

All that comes from a server, names included, is escaped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from msgspec.structs import replace

from .. import meant, terminal
from ..addresses import without_secrets
from ..disk import Usage, unseen
from ..hosts import EMBEDDED, Host
from ..models import Model, Running, Shown, Version

NONE_YET = "The server has no models yet."
COLUMNS = ("Model", "Parameters", "Quantization", "Size", "Context", "In memory")
STYLE = """<style>
.acagent-nb-models .widget-html, .acagent-nb-models .widget-html-content { height: auto; line-height: 1.4; margin: 0 }
.acagent-nb-models .widget-html { min-width: 0 }
.acagent-nb-models .widget-html-content { width: 100% }
.acagent-nb-models-list { padding: 0; margin: 4px 0 0 }
.acagent-nb-models-cells { display: grid; align-items: baseline; column-gap: 12px; padding: 5px 12px 5px 2px;
  grid-template-columns: minmax(7em, 1fr) 68px 72px 64px 60px;
  color: var(--jp-ui-font-color1, inherit); font-variant-numeric: tabular-nums }
.acagent-nb-models-cells > span { text-align: right; white-space: nowrap; overflow: hidden; text-overflow: ellipsis }
.acagent-nb-models-cells > span:first-child { text-align: left; white-space: normal; overflow-wrap: anywhere }
.acagent-nb-models-cells > small { grid-column: 1 / -1; font-size: 11px; color: var(--jp-ui-font-color2, #707070) }
.acagent-nb-models-cells > small > b { font-weight: normal; color: var(--jp-success-color0, #1b5e20) }
.acagent-nb-models .acagent-nb-models-head { position: sticky; top: 0; z-index: 1; margin: 0; padding: 0;
  background: var(--jp-layout-color0, Canvas); border-bottom: 1px solid var(--jp-border-color2, #bdbdbd) }
.acagent-nb-models-head .acagent-nb-models-cells { font-size: 11px; color: var(--jp-ui-font-color2, #707070) }
.acagent-nb-models .acagent-nb-models-row { margin: 0; padding: 0 }
.acagent-nb-models-row + .acagent-nb-models-row { border-top: 1px solid var(--jp-border-color3, #e0e0e0) }
.acagent-nb-models-more { font-size: 12px; padding: 2px 0 8px 14px; color: var(--jp-ui-font-color1, inherit) }
.acagent-nb-models-more dl { display: grid; grid-template-columns: 6em minmax(0, 1fr); gap: 2px 12px; margin: 0 }
.acagent-nb-models-more dt { float: none; width: auto; margin: 0; white-space: nowrap; font-weight: normal;
  color: var(--jp-ui-font-color2, #707070) }
.acagent-nb-models-more dd { float: none; width: auto; margin: 0; overflow-wrap: anywhere }
.acagent-nb-models-more pre { margin: 0; padding: 0; font-size: 11px; line-height: 1.4; white-space: pre-wrap;
  max-height: 11em; overflow: auto; background: transparent; color: inherit; border: 0 }
</style>"""
MUTED = "color: var(--jp-ui-font-color2, #707070)"
WARN = "color: var(--jp-warn-color0, #b45309)"
_LINES = 12  # of a license


@dataclass
class Known:
    """What a server has told, at one moment.

    Attributes
    ----------
    shown
        By digest: what a model is does not change under its digest, so it is asked for once.
    usage
        Of the folder where the models lie; `None` if it can't be seen from here.
    """

    host: Host
    version: Version
    models: Sequence[Model]
    running: Sequence[Running]
    shown: dict[str, Shown] = field(default_factory=dict)
    usage: Usage | None = None

    def loaded(self, model: Model) -> Running | None:
        """How a model is in memory, if it is."""
        return next((each for each in self.running if each.name == model.name), None)

    @property
    def place(self) -> str:
        """Which server it is: "embedded server at http://127.0.0.1:4321, speaks Ollama 0.32.15"."""
        url, version = without_secrets(self.host.url), terminal.printable(self.version.version)
        if self.version.engine is not None:
            return f"{EMBEDDED} at {url}, speaks Ollama {version}"
        return f"Ollama {version} at {url}"

    @property
    def sums(self) -> str:
        """How many models, what they use, and what is free."""
        count = f"{len(self.models)} model{'s' * (len(self.models) != 1)}"
        if self.usage is None:
            used = terminal.size(sum(each.size for each in self.models))
            return f"{count}, {used} · free space not known: they lie {unseen(self.host.url)}"
        kept = f" · {terminal.size(self.usage.unfinished)} of stopped pulls" if self.usage.unfinished else ""
        return f"{count}, {terminal.size(self.usage.models)} on disk{kept} · {terminal.size(self.usage.free)} free"


def abilities(shown: Shown | None) -> str:
    """What a model can do besides going on with a text, in the server's words: "tools, thinking"."""
    able = shown.capabilities if shown else ()
    return ", ".join(each for each in able if each != "completion" or len(able) == 1)


def memory(running: Running | None) -> tuple[str, str]:
    """What a loaded model takes and where, and how long still; empty if it is not loaded."""
    if running is None:
        return "", ""
    until = terminal.when(running.expires_at)
    ends = until if until == "for ever" else f"unloads {until}" if until.startswith("in ") else "unloads now"
    return f"{terminal.size(running.size)}, {running.processor}", ends if until else ""


def facts(model: Model, running: Running | None, shown: Shown | None) -> list[str]:
    """A row's cells as words."""
    context = shown.context_length if shown else None
    return [
        meant.written(model.name),
        model.details.parameter_size,
        model.details.quantization_level,
        terminal.size(model.size),
        f"{context:,}" if context else "",
        ", ".join(filter(None, memory(running))),
    ]


def cells(model: Model, running: Running | None, shown: Shown | None) -> str:
    """A row as HTML; what a model can do, and where it is in memory, stands below its name."""
    written = meant.written(model.name)
    base, colon, tag = written.rpartition(":") if ":" in written.rpartition("/")[2] else (written, "", "")
    name = f'<b>{_safe(base)}</b><span style="{MUTED}">{colon}{_safe(tag)}</span>'
    able, (takes, ends) = abilities(shown), memory(running)
    _, *numbers, _ = facts(model, running, shown)
    columns = [f"<span>{name}</span>", *(f"<span>{_safe(each)}</span>" for each in numbers)]
    below = [_safe(able)] if able else []
    if takes:
        below.append(f"<b>\N{BLACK CIRCLE} in memory</b>: {_safe(', '.join(filter(None, (takes, ends))))}")
    columns += [f"<small>{' · '.join(below)}</small>"] if below else []
    return f'<div class="acagent-nb-models-cells">{"".join(columns)}</div>'


def head() -> str:
    """The names of the columns, and the style of all rows."""
    return (
        f'{STYLE}<div class="acagent-nb-models-cells">{"".join(f"<span>{each}</span>" for each in COLUMNS[:-1])}</div>'
    )


def summary(known: Known) -> str:
    """Which server, and the sums."""
    return (
        f'<div style="line-height: 1.4; padding-left: 2px; overflow-wrap: anywhere">{_safe(known.place)}'
        f'<br><span style="{MUTED}; font-variant-numeric: tabular-nums">{_safe(known.sums)}</span></div>'
    )


def details(model: Model, shown: Shown) -> str:
    """All else that is known of a model."""
    license = shown.license.strip().splitlines()
    more = f"\n… {len(license) - _LINES} lines more" if len(license) > _LINES else ""
    short = {
        "Digest": model.digest,
        "Family": shown.details.family or model.details.family,
        "Format": shown.details.format or model.details.format,
        "Can do": ", ".join(shown.capabilities),
        "Changed": terminal.when(shown.modified_at or model.modified_at),
    }
    long = {
        "Options": "\n".join(" ".join(line.split(None, 1)) for line in shown.parameters.strip().splitlines()),
        "System": shown.system,
        "Template": shown.template,
        "License": "\n".join(license[:_LINES]) + more,
    }
    told = "".join(f"<dt>{name}</dt><dd>{_safe(text)}</dd>" for name, text in short.items() if text)
    told += "".join(
        f'<dt>{name}</dt><dd><pre tabindex="0" role="region" aria-label="{name} of {_safe(meant.written(model.name))}">'
        f"{_safe(text)}</pre></dd>"
        for name, text in long.items()
        if text.strip()
    )
    return f'<div class="acagent-nb-models-more"><dl>{told}</dl></div>'


def page(known: Known) -> str:
    """A table without scripts and styles, for pages on which no widget lives."""
    if not known.models:
        return f"<div>{_safe(known.place)}<br>{NONE_YET}</div>"
    heads = "".join(f'<th scope="col">{each}</th>' for each in COLUMNS)
    rows = ""
    for each in known.models:
        name, *more = facts(each, known.loaded(each), known.shown.get(each.digest))
        rows += f'<tr><th scope="row">{_safe(name)}</th>{"".join(f"<td>{_safe(cell)}</td>" for cell in more)}</tr>'
    caption = f"{_safe(known.place)}<br>{_safe(known.sums)}"
    return f"<table><caption>{caption}</caption><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"


def text(known: Known) -> str:
    """The tables that `acagent-nb list` and `acagent-nb ps` print, with the names that a notebook knows."""
    models = [replace(each, name=meant.written(each.name)) for each in known.models]
    running = [replace(each, name=meant.written(each.name)) for each in known.running]
    return f"{known.place}\n{known.sums}\n\n{terminal.listed(models)}\n\n{terminal.loaded(running)}"


def _safe(text: str) -> str:
    """A server's words as HTML that does nothing."""
    return escape(terminal.printable(text, lines=True))
