"""Write the README's table of options again: `python -m tests.tables`. A test asserts that it is up to date."""

from __future__ import annotations

from pathlib import Path

from acagent_nb.explained import markdown

README = Path(__file__).parent.parent / "README.md"
BEGIN, END = "<!-- options -->\n", "<!-- /options -->\n"


def main() -> None:
    text = README.read_text(encoding="utf-8")
    README.write_text(written(text), encoding="utf-8")


def written(text: str) -> str:
    """The README with the table between its two marks."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    assert after, f"the README has lost its marks {BEGIN.strip()} and {END.strip()}"
    return f"{before}{BEGIN}\n{markdown()}\n{END}{after}"


if __name__ == "__main__":
    main()
