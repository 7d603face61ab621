"""Write the table of options again, in the README and in its notebook: `python -m tests.tables`.

Tests assert that both are up to date.
"""

from __future__ import annotations

from pathlib import Path

import nbformat

from acagent_nb.explained import markdown

ROOT = Path(__file__).parent.parent
README, NOTEBOOK = ROOT / "README.md", ROOT / "notebooks" / "02_options.ipynb"
BEGIN, END = "<!-- options -->\n", "<!-- /options -->\n"
TAG = "options-table"  # marks the notebook's cell


def main() -> None:
    for path, again in ((README, written), (NOTEBOOK, filled)):
        path.write_text(again(path.read_text(encoding="utf-8")), encoding="utf-8")


def written(text: str) -> str:
    """The README with the table between its two marks."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    assert after, f"the README has lost its marks {BEGIN.strip()} and {END.strip()}"
    return f"{before}{BEGIN}\n{markdown()}\n{END}{after}"


def filled(text: str) -> str:
    """The notebook with the table in the cell that is marked for it; nothing else of it changes."""
    notebook = nbformat.reads(text, as_version=4)
    cells = [cell for cell in notebook.cells if TAG in cell.metadata.get("tags", ())]
    assert len(cells) == 1, f"the notebook needs one cell with the tag {TAG}"
    cells[0].source = markdown().rstrip("\n")
    return f"{nbformat.writes(notebook)}\n"


if __name__ == "__main__":
    main()
