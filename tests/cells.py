"""Cells as a user runs them in a shell, and the functions that their models may call."""

from __future__ import annotations

from typing import Any

from IPython.core.interactiveshell import InteractiveShell

TOOLS = """
def get_weather(city: str) -> str:
    "The weather in a city."
    asked.append(city)
    return "sunny, 21 degrees"
def add(a: float, b: float) -> float:
    "Add two numbers."
def multiply(a: float, b: float) -> float:
    "Multiply two numbers."
def get_time(city: str) -> str:
    "The time in a city."
def get_population(country: str) -> int:
    "How many people live in a country."
def convert_currency(amount: float, source: str, target: str) -> float:
    "Convert money."
asked = []
"""
OFFERED = "--tool get_weather --tool add --tool multiply --tool get_time --tool get_population --tool convert_currency"


def ask(shell: InteractiveShell, line: str, prompt: str = "What is 2 + 2?") -> Any:
    """Run a cell, which gives nothing back, and look at what it left."""
    assert shell.run_cell_magic("llm", line, prompt) is None
    return shell.user_ns["_llm"]
