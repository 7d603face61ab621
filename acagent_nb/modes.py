"""What is to be done with a file of answers, as the environment says it; light to load.

ACAGENT_NB_ANSWERS=replay:answers/a.jsonl  ─►  ("replay", "answers/a.jsonl")
"""

from __future__ import annotations

VARIABLE = "ACAGENT_NB_ANSWERS"
PACE = "ACAGENT_NB_PACE"  # how fast answers are replayed
USED = "ACAGENT_NB_ANSWERS_USED"  # the path of a list to which each replayed answer is added
MODES = ("record", "replay", "auto")
FORM = "record:FILE, replay:FILE or auto:FILE"
NOTEBOOK = "{notebook}"  # in FILE: the notebook's name without .ipynb, for those who know it


def parted(text: str) -> tuple[str, str] | None:
    """The mode and the file of a text like FORM; `None` if it is not like that."""
    mode, _, file = text.strip().partition(":")
    return (mode, file.strip()) if mode in MODES and file.strip() else None
