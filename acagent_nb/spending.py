"""What a session's answers cost: tokens, time and, where the user gave prices, money by model.

    cost = tokens in x price in + tokens out x price out, each price per million tokens

Prices come from `params.toml` alone: whatever we wrote down would be wrong some day.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from . import meant, names

if TYPE_CHECKING:
    from .growing import Growing
    from .messages import Request
    from .params import Params


class Spent(NamedTuple):
    """What one model's answers cost.

    Attributes
    ----------
    model
        As a user writes it: "local_tiny", "gpt-4o-mini", "lab/qwen3".
    answers
        How many there were, those included that ended badly.
    tokens_in, tokens_out, seconds
        Of all of them together.
    uncounted
        Answers of which the server told no count, as it does of stopped ones.
    money
        In the currency of the prices; `None` without a price.
    """

    model: str
    answers: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    seconds: float = 0.0
    uncounted: int = 0
    money: float | None = None


def spent(answers: Sequence[Growing], params: Params) -> list[Spent]:
    """A row for each model, in the order of its first answer; replayed answers cost nothing and are left out."""
    rows: dict[str, Spent] = {}
    for answer in answers:
        if answer.replayed:
            continue
        model, stats = written(answer.request), answer.reply().stats
        row = rows.get(model, Spent(model))
        rows[model] = row._replace(
            answers=row.answers + 1,
            tokens_in=row.tokens_in + (stats.prompt_eval_count or 0),
            tokens_out=row.tokens_out + (stats.eval_count or 0),
            seconds=row.seconds + answer.seconds,
            uncounted=row.uncounted + (stats.eval_count is None),
        )
    return [row._replace(money=_money(row, params.prices)) for row in rows.values()]


def written(request: Request) -> str:
    """A model's name as a user writes it."""
    if request.local:
        return meant.written(request.model)
    return request.model if request.provider == "openai" else f"{request.provider}/{request.model}"


def _money(row: Spent, prices: Mapping[str, tuple[float, float]]) -> float | None:
    price = prices.get(row.model) or prices.get(f"{row.model}:{names.TAG}")
    return None if price is None else (row.tokens_in * price[0] + row.tokens_out * price[1]) / 1e6
