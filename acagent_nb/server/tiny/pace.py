"""How fast the training goes: its learning rate, its threads, its clock."""

from __future__ import annotations

import math

import torch


def pace(step: int, done: float) -> float:
    """The share of the full learning rate: a short rise, then half a cosine down to almost nothing."""
    if step < 100:
        return (step + 1) / 100
    return 0.02 + 0.98 * (1 + math.cos(math.pi * done)) / 2


class Threads:
    """The number of torch's threads, tried anew every hundred steps: on a busy machine one is quicker than two."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.speeds: dict[int, float] = {}

    def __call__(self, step: int) -> None:
        """Choose for this step."""
        counts = sorted({1, self.most})
        turn = step % 100 // 5
        if turn < len(counts):
            torch.set_num_threads(counts[turn])
        elif step % 5 == 0:
            torch.set_num_threads(max(self.speeds, key=lambda count: self.speeds[count], default=self.most))

    def learn(self, step: int, tokens: int, seconds: float) -> None:
        """Note how quick this step was; the first after a change is left out."""
        if step % 100 < 10 and step % 5:
            count = torch.get_num_threads()
            old = 0.0 if step % 5 == 1 else self.speeds.get(count, 0.0)
            self.speeds[count] = old + tokens / seconds


def clock(seconds: float) -> str:
    """Minutes and seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
