"""Options that belong together, under names that say what for. Each sets as little as it can.

They are plain `Options`: `PRESETS["creative"].options | Options(seed=42)` is the creative one that
can be repeated.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from .options import Options


class Preset(NamedTuple):
    """Options with a purpose.

    Attributes
    ----------
    name
        As people read it.
    options
        What is set; everything else stays with the model's author and the server.
    why
        What it is for, and why these values.
    """

    name: str
    options: Options
    why: str


PRESETS: Mapping[str, Preset] = {
    "precise": Preset(
        "precise",
        Options(temperature=0.2),
        "For facts, code, extraction and labels: the likeliest words nearly always, and yet no loops, into which "
        "small models fall at a temperature of exactly 0. The guards top_k and top_p stay the author's; at such a "
        "temperature they hardly count.",
    ),
    "balanced": Preset(
        "balanced",
        Options(temperature=0.7, top_p=0.9),
        "For explanations, summaries and chats: a little livelier than precise, and no stray words. It is near the "
        "servers' own default; set it to have the same on every server and with every model, also where an author "
        "chose otherwise.",
    ),
    "creative": Preset(
        "creative",
        Options(temperature=1.2, top_k=0, top_p=1.0, min_p=0.05),
        "For ideas, stories and variants: a high temperature, and of the guards only min_p, which is strict where the "
        "model is sure and loose where it is not. top_k and top_p would cut the variety off again, so they are "
        "switched off.",
    ),
    "reproducible": Preset(
        "reproducible",
        Options(temperature=0.0, seed=42),
        "For figures and tables that somebody will make again: always the likeliest token, and a seed that repeats "
        "the answer also when you raise the temperature over it. It holds on one machine with one version of server "
        "and model; write those down, too. Set num_ctx yourself if your prompts are long: its default differs by "
        "machine, and a prompt that is cut elsewhere gives another answer.",
    ),
    "long_document": Preset(
        "long document",
        Options(num_ctx=32768),
        "For some 60 pages at once: without it most machines read the last few pages only, and do not say so. It takes "
        "memory (4 GB and more with a model of 8 billion parameters) and loads the model again. A model that was "
        "trained on less context uses what it was trained on.",
    ),
    "small_machine": Preset(
        "small machine",
        Options(num_ctx=2048, num_batch=128),
        "For laptops with little memory: a short context window and small pieces of prompt are what costs memory "
        "besides the weights. Some 4 pages fit, question and answer together, and long prompts take longer to read. "
        "A smaller model saves more.",
    ),
}
