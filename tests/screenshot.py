"""Take the README's picture: `python -m tests.screenshot [FOLDER]`.

JupyterLab runs the first cells in Chromium against an embedded server. The light picture goes to
`.github/first_cell.png`, or both the light and the dark one to FOLDER.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

from tests.lab import jupyterlab, open_notebook, page, run_cell
from tests.refresh import fresh_user

ROOT = Path(__file__).parent.parent
CELLS = (
    "%load_ext acagent_nb",
    "%%llm local_tiny\nWhy is the sky blue?",
    "%%llm local_tiny --temperature 0.9 --seed 7\nWrite a haiku about the sea.",
)
KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python"}}
VIEW = {"viewport": {"width": 900, "height": 900}, "device_scale_factor": 2}


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    if folder is None:
        print(take(ROOT / ".github" / "first_cell.png"))
        return
    folder.mkdir(parents=True, exist_ok=True)
    print(take(folder / "light.png"), take(folder / "dark.png", dark=True), sep="\n")


def take(picture: Path, *, dark: bool = False) -> Path:
    """Run the cells in JupyterLab and take a picture of them alone."""
    with tempfile.TemporaryDirectory() as temporary, fresh_user(Path(temporary)) as environment:
        folder = Path(temporary, "notebooks")
        folder.mkdir()
        cells = [new_code_cell(cell) for cell in (*CELLS, "")]  # the last one takes the selection's blue frame
        nbformat.write(new_notebook(cells=cells, metadata=KERNEL), folder / "first.ipynb")
        with jupyterlab(folder, dark=dark, **environment) as url, page(url, **VIEW) as tab:
            open_notebook(tab, url, "first.ipynb")
            for number in range(len(CELLS)):
                run_cell(tab, number)
            shown = tab.locator(".jp-Notebook .jp-Cell")
            shown.nth(len(CELLS)).locator(".jp-InputArea-editor").click()
            tab.keyboard.press("Escape")
            tab.mouse.move(0, 0)
            top, end = shown.first.bounding_box(), shown.nth(len(CELLS) - 1).bounding_box()
            height = end["y"] + end["height"] - top["y"]
            clip = {"x": top["x"], "y": top["y"] - 6, "width": top["width"], "height": height - 6}
            tab.screenshot(path=picture, clip=clip)
    return picture


if __name__ == "__main__":
    main()
