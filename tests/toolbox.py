"""Functions and classes as a notebook may have them, to be offered as tools: documented and annotated in every way."""

from __future__ import annotations

import asyncio
import datetime
import enum
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Optional

from msgspec import Struct
from pydantic import BaseModel, Field

NOTHING = object()


class Unit(enum.Enum):
    C = "celsius"
    F = "fahrenheit"


class Place(BaseModel):
    """Somewhere."""

    city: str
    title: str = ""


class Tree(BaseModel):
    label: str
    kids: list[Tree] = []


@dataclass
class Span:
    start: datetime.date
    days: int = 1


class Point(Struct):
    x: int


def google(city: str, days: int = 3) -> str:
    """Say what the weather is.

    Only for cities.

    Args:
        city (str): Where, in
            the language of the land.
        days: How many of them.

    Returns:
        str: Some words.
    """
    return f"{city}:{days!r}"


def numpy(city: str, days: int = 3) -> str:
    """Say what the weather is.

    Only for cities.

    Parameters
    ----------
    city : str
        Where, in
        the language of the land.
    days : int, optional
        How many of them.

    Returns
    -------
    str
        Some words.
    """
    return f"{city}:{days!r}"


def sphinx(city: str, days: int = 3) -> str:
    """Say what the weather is.

    Only for cities.

    :param city: Where, in
        the language of the land.
    :param int days: How many of them.
    :returns: Some words.
    """
    return f"{city}:{days!r}"


def everything(  # type: ignore[no-untyped-def]  # two parameters have no annotation
    place: Place,
    span: Span,
    unit: Unit = Unit.C,
    kind: Literal["short", "long"] = "short",
    stops: list[str] | None = None,
    near: Optional[Place] = None,  # noqa: UP045 -- both ways of writing it are met
    limit: Annotated[int, Field(description="At most", ge=1)] = 5,
    copy=True,
    model_config=NOTHING,
) -> dict[str, Any]:
    """Do it all.

    Parameters
    ----------
    stops, near
        On the way.
    limit
        Not so.
    """
    return dict(locals())


def both(a: int, /, b: int, *rest: int, c: int = 0, **more: int) -> tuple[Any, ...]:
    return (a, b, rest, c, more)


def climb(tree: Tree) -> int:
    return len(tree.kids)


class Shop:
    def __init__(self) -> None:
        self.sold: list[str] = []

    def buy(self, thing: str) -> None:
        """Buy a thing."""
        self.sold.append(thing)

    @staticmethod
    def price(thing: str) -> float:
        return 2.5 * len(thing)

    def __call__(self, thing: str) -> str:
        """Ask for a thing."""
        return f"no {thing} today"


async def slowly(seconds: float) -> str:
    await asyncio.sleep(0)
    return f"after {seconds}"


def search(query: str, key: str, limit: int = 3) -> str:
    """Search the web."""
    return f"{query} {key} {limit}"


def traced(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper
