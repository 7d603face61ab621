"""What a user types -> the notebooks that are meant, and the places for what is made of them.

notebooks/             ─► every notebook in it, but Jupyter's own copies
'notebooks/0*.ipynb'   ─► those that match, also where no shell has expanded it
-o out/{notebook}.ipynb ─► out/01_first_cell.ipynb
"""

from __future__ import annotations

import difflib
import glob
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import whole
from ..errors import BadOption
from .answer_files import named

INSTALL = 'Install what it needs: pip install "acagent-nb[notebooks]"'


def notebooks(texts: Sequence[str]) -> list[Path]:
    """The notebooks that paths, patterns and folders mean, each once.

    Raises
    ------
    BadOption
        One of them means none.
    """
    found: list[Path] = []
    for text in texts:
        path = Path(text).expanduser()
        if path.is_dir():
            inside = [each for each in sorted(path.rglob("*.ipynb")) if not _hidden(each.relative_to(path))]
        elif path.is_file():
            inside = [path]
        else:
            inside = [Path(each) for each in sorted(glob.glob(str(path), recursive=True)) if each.endswith(".ipynb")]
        if not inside:
            raise _no_notebook(text, path)
        if wrong := next((each for each in inside if each.suffix != ".ipynb"), None):
            raise BadOption(f"{wrong} is no notebook.", "Notebooks end in .ipynb.")
        found += [each for each in inside if each not in found]
    return found


def read(path: Path) -> Any:
    """A notebook as nbformat has it.

    Raises
    ------
    BadOption
        The file can't be read, or is none.
    """
    import nbformat

    try:
        return nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]  # nbformat has no types here
    except OSError as error:
        raise BadOption(f"{path} can't be read: {error.strerror}.", "Check its permissions.") from None
    except Exception:  # nbformat raises whatever its parts do
        raise BadOption(
            f"{path} is called a notebook, but its content is none.", "Open it in Jupyter, or take it from a backup."
        ) from None


def write(notebook: Any, path: Path) -> None:
    """Keep a notebook in a file; a run that ends half-way must not cost its author the old one."""
    import nbformat

    text: str = nbformat.writes(notebook)  # type: ignore[no-untyped-call]  # nbformat has no types here
    whole.write(path, f"{text.rstrip()}\n".encode())


def asks_models(notebook: Any) -> bool:
    """Whether the package is named in the code of a notebook; one without it needs no answers."""
    return any("acagent_nb" in cell.source for cell in notebook.cells if cell.cell_type == "code")


def places(text: str | None, suffix: str, notebooks: Sequence[Path], flag: str) -> list[str | None]:
    """Where something goes that is made of each notebook: to a file, or into a folder.

    Raises
    ------
    BadOption
        Several would go to the same file.
    """
    if text is None:
        return [None] * len(notebooks)
    found = [Path(named(text, path)).expanduser() for path in notebooks]
    file = text.lower().endswith(suffix)
    if not file:
        found = [place / f"{path.stem}{suffix}" for place, path in zip(found, notebooks, strict=True)]
    if len(set(found)) < len(found):
        twice = next(place for place in found if found.count(place) > 1)
        raise BadOption(
            f"Several notebooks would go to {twice}.",
            f"Give a folder: {flag} out/" if file else "Run notebooks of the same name one at a time.",
        )
    return [str(place) for place in found]


def _no_notebook(text: str, path: Path) -> BadOption:
    """That nothing is there, and what may be meant."""
    if path.is_dir():
        return BadOption(f"There is no notebook in {text}.", "Notebooks end in .ipynb.")
    if glob.has_magic(text):
        return BadOption(f"No notebook matches {text}.", "Notebooks end in .ipynb.")
    near = difflib.get_close_matches(path.stem, [each.stem for each in path.parent.glob("*.ipynb")], n=1)
    hint = f"Did you mean {path.with_name(near[0] + '.ipynb')}?" if near else "Check the path; notebooks end in .ipynb."
    return BadOption(f"There is no notebook {text}.", hint)


def _hidden(path: Path) -> bool:
    """Whether it lies in a folder such as .ipynb_checkpoints."""
    return any(part.startswith(".") for part in path.parts)
