"""The six functions that `tiny:skills` was trained to call, and a class that `tiny` fills."""

from __future__ import annotations

import asyncio

from pydantic import BaseModel

MODEL = "local_tiny:skills"


def get_weather(city: str) -> str:
    """Get the present weather in a city."""
    return f"21 degrees and sunny in {city}"


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def multiply(a: int, b: int) -> int:
    """Multiply two numbers."""
    return a * b


async def get_time(city: str) -> str:
    """Get the present time in a city."""
    await asyncio.sleep(0)
    return "12:30"


def get_population(country: str) -> int:
    """Get the number of people who live in a country."""
    return len(country) * 1_000_000


def convert_currency(amount: float, source: str, target: str) -> float:
    """Convert an amount of money from one currency to another."""
    return amount * 2


SIX = [get_weather, add, multiply, get_time, get_population, convert_currency]


class Person(BaseModel):
    name: str
    age: int


GOOD = '{"name": "Anna", "age": 31}'
