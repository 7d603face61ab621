"""The options panel: every model option with the right control, and what is sent of it.

    server, model ──► Where ──► rows live, greyed, with their defaults
    rows ◄──► `panel.options` ──► what %%llm uses, the live JSON, the texts to copy, the saved page

In code: `panel.options = Options(temperature=0.2)` ticks and sets, `panel.observe(seen, "options")` follows.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from html import escape
from typing import Any

from traitlets import HasTraits, Instance, Unicode, observe, validate

from ..errors import LLMError
from ..options import Options
from ..params import Params
from ..presets import PRESETS
from ..rows import TABLE
from . import option_text
from .looks import Looks
from .option_row import OptionRow
from .option_server import Learnt, learnt, project
from .option_text import Where
from .options_view import OptionsView
from .parts import Work
from .record import Record, in_kernel
from .trial import Trial

_GLANCE_SECONDS = 2.0  # how long a terminal waits for the server


class OptionsPanel(HasTraits):
    """All model options; display it, or let a cell end with it.

    Parameters
    ----------
    params
        Roles, default options and endpoints; without it those of the nearest `params.toml`.
    model
        Whose defaults are shown, and who answers in the try-it row: a name or a role; `None` for the
        model that `params` names.
    options
        What is sent at first.

    Attributes
    ----------
    options
        What is sent: the options whose box is ticked. It can be set and observed.
    model
        As above. It can be set and observed.
    where
        What is known of the server and the model.
    rows
        Each option's controls, by its name.
    preset
        Name of the preset that was chosen last, or an empty text.
    view, trial
        The widgets; see `OptionsView` and `Trial`.

    Examples
    --------
    >>> panel = OptionsPanel()
    >>> panel.options = Options(temperature=0.2)
    >>> panel.rows["temperature"].send.value
    True
    """

    options = Instance(Options, (), help="What is sent.")
    model = Unicode(None, allow_none=True, help="Whose defaults are shown.")

    def __init__(
        self, *, params: Params | None = None, model: str | None = None, options: Options | None = None
    ) -> None:
        self._params = Params.found() if params is None else params
        self._record = Record()
        self._learnt = False
        self.preset = ""
        self.where = Where(project=project(self._params))
        looks = Looks()
        self.rows = {name: OptionRow(row, looks, self._gathered) for name, row in TABLE.items()}
        self.trial = Trial(self._params, lambda: self.options, looks, self._settle)
        self.view = OptionsView(self.rows, self.trial, looks, self._record.hidden)
        self._work = Work(self.view.say)
        super().__init__()
        self.view.model.observe(lambda change: self._chosen(change["new"]), "value")
        self.trial.model.observe(lambda change: self._chosen(change["new"]), "value")
        self.view.search.observe(lambda _: self.view.arrange(self.where), "value")
        self.view.copy_as.observe(lambda _: self._show(), "value")
        self.view.again.on_click(lambda _: self._begin())
        self.view.reset.on_click(lambda _: self.reset())
        for name, button in self.view.presets.items():
            button.on_click(lambda _, name=name: self.choose(name))
        self._place(self.where)
        self._learnt = True  # one question to the server is enough
        self.model = self._params.model if model is None else model
        self._learnt = False
        if options is not None:
            self.options = options
        self._show()
        self._begin()

    def choose(self, preset: str) -> None:
        """Set exactly the options of a preset.

        Parameters
        ----------
        preset
            Its name in `presets.PRESETS`.
        """
        self.preset = preset
        self._set(PRESETS[preset].options)

    def reset(self) -> None:
        """Send nothing, and forget all values."""
        self.preset = ""
        self._set(Options())

    async def refresh(self) -> None:
        """Ask the server what it is and has, and what the model's author chose; the panel says what went wrong.

        Without a model it takes the first that the server has. No server is started for it.
        """
        self._know(await learnt(self._params, self.model))

    def _know(self, known: Learnt) -> None:
        """Show what was learnt."""
        self._learnt = True
        try:
            self.model = known.model
        finally:
            self._learnt = False
        self.view.offer(known.models)
        self._place(known.where)
        self.view.say(known.said)

    def close(self) -> None:
        """Stop what is under way and take the panel from the page; what is sent stays."""
        self._work.stop()
        self.trial.close()
        self.view.all.close()

    def __repr__(self) -> str:
        return option_text.table(self.options, self.where)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return self._bundle() | {"text/html": option_text.page(self.options)}

    def _ipython_display_(self) -> None:
        """Show the widget, and below it what a saved page keeps of it; in a terminal a table."""
        if not in_kernel():
            self._glance()
            print(repr(self))
            return
        from IPython.display import display

        display(self._bundle(), raw=True)  # type: ignore[no-untyped-call]  # IPython has no types here
        self._record.show(*self._saved())

    def _bundle(self) -> dict[str, Any]:
        return {**self.view.all._repr_mimebundle_(), "text/plain": option_text.brief(self.options)}

    def _saved(self) -> tuple[str, str, dict[str, Any]]:
        """What the record is given."""
        return option_text.page(self.options), option_text.brief(self.options), {"options": self.options.sent()}

    @validate("options")
    def _checked(self, proposal: Any) -> Options:
        """`Options` takes any value; `BadOption` for one that no server does."""
        return Options.of(proposal["value"].sent())

    @observe("options")
    def _set_rows(self, _: Any) -> None:
        """Have the rows follow, but for those that moved themselves."""
        sent = self.options.sent()
        for name, row in self.rows.items():
            if row.sent != sent.get(name):
                row.set(sent.get(name))
        self._show()

    @observe("model")
    def _model_set(self, _: Any) -> None:
        """Have the pickers follow, and learn what the new model's author chose."""
        for picker in (self.view.model, self.trial.model):
            picker.value = self.model or ""
        with suppress(LLMError):  # `refresh` says what is wrong with the name
            provider = self._params.target(self.model).provider if self.model else "ollama"
            if provider != self.where.provider:
                self._place(Where(provider, project=project(self._params)))
        self._show()
        if not self._learnt:
            self._begin()

    def _chosen(self, text: str) -> None:
        self.model = text.strip() or None

    def _set(self, options: Options) -> None:
        """Send exactly these; what was written and not sent is forgotten, too."""
        for name, row in self.rows.items():
            row.set(options.sent().get(name))
        self._gathered()
        self._show()

    def _gathered(self) -> None:
        """A row has changed: tell whoever follows."""
        self.options = Options.of({name: row.sent for name, row in self.rows.items()})

    def _place(self, where: Where) -> None:
        """Show what the options do there."""
        self.where = where
        for row in self.rows.values():
            row.place(where)
        self.view.arrange(where)

    def _show(self) -> None:
        """Draw what depends on the options or the model."""
        self.view.sent.value = f"<pre>{escape(json.dumps(self.options.sent(), ensure_ascii=False))}</pre>"
        self.view.copied.value = option_text.COPIES[self.view.copy_as.value](self.model, self.options)
        self.view.copied.rows = min(max(2, self.view.copied.value.count("\n") + 1), 8)
        beneath = {name: value for name, value in self.where.project.items() if name not in self.options.sent()}
        self.view.beneath.value = f"and from params.toml: {escape(json.dumps(beneath))}" if beneath else ""
        lost = option_text.no_line(self.options) if self.view.copy_as.value == "%%llm" else []
        self.view.lost.value = (
            "A stop text with a line break can't stand in this line: take Python or TOML." if lost else ""
        )
        self.view.tell_preset(self.preset, changed=bool(self.preset) and self.options != PRESETS[self.preset].options)
        self.view.arrange(self.where)
        self._record.update(*self._saved())

    def _begin(self) -> None:
        """Ask the server in the background, where there is an event loop to do it in."""
        with suppress(RuntimeError):
            asyncio.get_running_loop()
            self._work.start(self.refresh())

    def _glance(self) -> None:
        """Ask the server now, where nothing runs in the background; one that is slow is not waited for."""
        with suppress(RuntimeError):
            asyncio.get_running_loop()
            return
        loop = asyncio.new_event_loop()  # asyncio.run would leave this thread without the one that it has
        try:
            with suppress(asyncio.TimeoutError):
                asking = asyncio.wait_for(learnt(self._params, self.model), _GLANCE_SECONDS)
                self._know(loop.run_until_complete(asking))
        finally:
            loop.close()

    def _settle(self) -> None:
        """An answer has come: a server runs now and has the model, also where there was none before."""
        if not self.where.version and self.where.provider == "ollama":
            self._begin()
