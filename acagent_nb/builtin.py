"""The models that come with the package: found by name, their files read only when asked for.

Both sides use them. The embedded server copies the file into its store; a real Ollama, whose library
does not have these models, is given the file and a template in Go's words, which is what Ollama reads.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from . import names

_FOLDER = Path(__file__).parent / "server" / "tiny"


class BuiltIn:
    """One built-in model.

    Parameters
    ----------
    file
        Its weights.
    gotmpl
        The file of its chat template for Ollama; it renders what the Jinja template renders.
    jinja
        The file of a Jinja template that stands in for the one in the weights; `None` for that one.
    """

    def __init__(self, file: Path, gotmpl: Path, jinja: Path | None = None) -> None:
        self.file = file
        self._gotmpl = gotmpl
        self._jinja = jinja

    @property
    def digest(self) -> str:
        """Of the weights: "sha256:" and 64 hex digits; worked out each time, so that it is true of a new file."""
        seen = hashlib.sha256()
        with self.file.open("rb") as weights:
            while data := weights.read(1 << 20):
                seen.update(data)
        return f"sha256:{seen.hexdigest()}"

    @property
    def size(self) -> int:
        """Bytes of the weights."""
        return self.file.stat().st_size

    @property
    def jinja(self) -> str:
        """The template that stands in for the one in the weights; empty if none does."""
        return self._jinja.read_text(encoding="utf-8") if self._jinja else ""

    @property
    def recipe(self) -> dict[str, Any]:
        """What makes the model out of its uploaded weights, in the words of `/api/create`."""
        return {"files": {self.file.name: self.digest}, "template": self._gotmpl.read_text(encoding="utf-8")}


_MODELS = {
    "tiny": BuiltIn(_FOLDER / "tiny.gguf", _FOLDER / "chat.gotmpl"),
    "tiny:skills": BuiltIn(_FOLDER / "tiny.gguf", _FOLDER / "skills.gotmpl", _FOLDER / "skills.jinja"),
}
_BY_KEY = {names.parse(name).key: model for name, model in _MODELS.items()}


def find(text: str) -> BuiltIn | None:
    """The built-in model of this name, however it is written, or `None`.

    Raises
    ------
    BadName
        See `names.parse`.
    """
    return _BY_KEY.get(names.parse(text).key)


def listed() -> list[str]:
    """The names of all built-in models, in their short form."""
    return list(_MODELS)
