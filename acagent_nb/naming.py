"""Names of the notebook that a flag holds -> the functions and shapes that they mean.

--tool weather.today         ──►  the function
--schema list[Person]        ──►  the type, for `asking.How.format`
"""

from __future__ import annotations

import ast
import builtins
import typing
from collections import ChainMap
from collections.abc import Callable, Mapping
from typing import Any

from .errors import BadPrompt
from .filling import nearest

_OF_A_TYPE = (  # what may stand in a shape: names, what is in brackets behind them, and `|`
    *(ast.Expression, ast.Name, ast.Attribute, ast.Subscript, ast.Tuple, ast.List, ast.Constant, ast.BinOp),
    *(ast.BitOr, ast.Load, ast.UnaryOp, ast.USub),
)


def tool(name: str, names: Mapping[str, Any]) -> Callable[..., Any]:
    """The function of this name, which may have dots in it.

    Raises
    ------
    BadPrompt
        There is none (with the nearest name of one), or it can't be called.
    """
    first, *rest = name.split(".")
    if first not in names:
        functions = [each for each, value in names.items() if callable(value)]
        raise BadPrompt(
            f"There is no function {first!r} in the notebook.",
            nearest(first, functions) or "Define it in a cell above, with annotations and a docstring.",
        )
    value = names[first]
    for part in rest:
        if not hasattr(value, part):
            raise BadPrompt(f"{first!r} has no {part!r}.", "Name a function of it.")
        value = getattr(value, part)
    if not callable(value):
        raise BadPrompt(f"{name!r} is no function, but of the type {type(value).__name__}.", "Name a function.")
    return typing.cast(Callable[..., Any], value)


def shape(text: str, names: Mapping[str, Any]) -> Any:
    """The class, type or schema that is meant; names of Python and of its `typing` need not be imported.

    Raises
    ------
    BadPrompt
        A name in it is not there (with the nearest one), or it is no type.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError):
        tree = None
    if tree is None or not all(isinstance(node, _OF_A_TYPE) for node in ast.walk(tree)):
        raise BadPrompt(f"{text[:80]!r} is no type.", "For example --schema Person, or --schema list[Person].")
    known = ChainMap(dict(names), vars(typing))  # a copy, as a ChainMap may be written to
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id not in known and not hasattr(builtins, node.id):
            kinds = [each for each, value in names.items() if isinstance(value, (type, dict))]
            hint = nearest(node.id, kinds) or "Define the class, or the schema as a dict, in a cell above."
            raise BadPrompt(f"There is no {node.id!r} in the notebook.", hint)
    try:
        return eval(compile(tree, "--schema", "eval"), {}, known)  # noqa: S307 -- the user's own line, checked above
    except Exception as error:  # of whatever the user's names mean
        raise BadPrompt(
            f"{text[:80]!r} is no type ({type(error).__name__}).", "For example --schema Person."
        ) from error
