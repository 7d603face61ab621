"""No outside name is undocumented: what it takes, what it raises, and in which unit."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import acagent_nb
from acagent_nb import asking
from acagent_nb.options import TABLE

CLASSES = [
    thing for name in acagent_nb.__all__ if isinstance(thing := getattr(acagent_nb, name), type) and name != "Options"
]
ERRORS = [thing for thing in CLASSES if issubclass(thing, BaseException)]
VALUES = [thing for thing in CLASSES if thing not in ERRORS]
_SECTION = re.compile(r"^(Parameters|Attributes|Raises|Returns|Yields|Examples|Notes)\n-+$", re.MULTILINE)
_MEASURED = re.compile(  # a name that has a unit -> and how it may be told
    r"(?P<time>duration|timeout|seconds|keep_alive|expires)|(?P<bytes>^size|completed|^total$)"
    r"|(?P<tokens>^num_ctx|context_length|_count$|needed|tokens)"
)
_UNITS = {
    "time": r"[Ss]econds|RFC 3339",
    "bytes": r"[Bb]ytes",
    "tokens": r"[Tt]okens",
}


def sections(doc: str) -> dict[str, str]:
    """A docstring in numpy's style, by its headings; what comes first is under ""."""
    first, *more = _SECTION.split(inspect.cleandoc(doc))
    return {"": first, **dict(zip(more[::2], more[1::2], strict=True))}


def entries(section: str) -> dict[str, str]:
    """What stands under each name of a section; several names may share one."""
    found: dict[str, str] = {}
    names: list[str] = []
    for line in section.splitlines():
        if line and not line.startswith(" "):
            names = [name.strip() for name in line.split(":")[0].split(",")]
            found |= dict.fromkeys(names, "")
        else:
            for name in names:
                found[name] += line.strip() + "\n"
    return found


def fields(thing: type) -> list[str]:
    """The public attributes that a value is made of."""
    names = getattr(thing, "__struct_fields__", None) or getattr(thing, "_fields", None)
    if names is None and dataclasses.is_dataclass(thing):
        names = [field.name for field in dataclasses.fields(thing)]
    return [name for name in names or () if not name.startswith("_")]


def methods(thing: type) -> Iterator[tuple[str, Any]]:
    """Public methods and properties, as they were written."""
    for name, written in vars(thing).items():
        if not name.startswith("_") and isinstance(written, (property, classmethod, staticmethod)):
            yield name, written.fget if isinstance(written, property) else written.__func__
        elif not name.startswith("_") and inspect.isfunction(written):
            yield name, written


CALLABLE = [
    *((f"{thing.__name__}.{name}", method) for thing in CLASSES for name, method in methods(thing)),
    *((name, thing) for name in acagent_nb.__all__ if inspect.isfunction(thing := getattr(acagent_nb, name))),
]


@pytest.mark.parametrize("thing", CLASSES, ids=lambda thing: thing.__name__)
def test_a_class_says_what_it_is(thing: type) -> None:
    assert "__doc__" in vars(thing)
    assert sections(thing.__doc__ or "")[""].strip().endswith((".", "`", ":"))


@pytest.mark.parametrize("thing", VALUES, ids=lambda thing: thing.__name__)
def test_a_values_attributes_are_told(thing: type) -> None:
    doc = sections(thing.__doc__ or "")
    told = entries(doc.get("Attributes", "")) | entries(doc.get("Parameters", ""))
    assert [name for name in fields(thing) if name not in told and not _speaks_for_itself(thing, name)] == []
    assert [name for name in told if name in fields(thing) and not _has_unit(name, told[name])] == []


def _speaks_for_itself(thing: type, name: str) -> bool:
    """A value of one field, or of none, is told in its first sentence."""
    return len(fields(thing)) == 1 and name == "text"


@pytest.mark.parametrize(("name", "method"), CALLABLE, ids=[name for name, _ in CALLABLE])
def test_a_functions_parameters_are_told(name: str, method: Callable[..., Any]) -> None:
    doc = inspect.getdoc(method) or ""
    assert doc, f"{name} says nothing"
    parts = sections(doc)
    if re.search(r"[;,] see `\w+\.\w+`", parts[""].replace("\n", " ")):
        return  # told in another place
    told = entries(parts.get("Parameters", ""))
    taken = [each for each in inspect.signature(method, follow_wrapped=True).parameters if each not in ("self", "cls")]
    if hasattr(method, "__signature__"):  # options are told by `How`
        taken = [each for each in taken if each not in asking.How.__annotations__]
    assert [each for each in taken if each not in told and f"`{each}`" not in parts[""]] == []
    assert [each for each in told if not _has_unit(each, told[each])] == []


def test_how_tells_each_of_its_words() -> None:

    told = entries(sections(asking.How.__doc__ or "")["Attributes"])
    assert {*told, *TABLE} == set(asking.How.__annotations__)
    assert all(_has_unit(name, text) for name, text in told.items())
    assert all(row.help for row in TABLE.values())


@pytest.mark.parametrize("thing", ERRORS, ids=lambda thing: thing.__name__)
def test_an_error_tells_what_it_carries(thing: type) -> None:
    made = inspect.signature(thing.__init__).parameters  # type: ignore[misc]  # of a class, not of an instance
    own = [name for name in made if name not in ("self", "args", "kwargs")] if "__init__" in vars(thing) else []
    told = entries(sections(thing.__doc__ or "").get("Parameters", ""))
    if thing is not acagent_nb.Interrupted:  # which says that it carries the same as its sibling
        assert [name for name in own if name not in told] == []
    assert all(_has_unit(name, text) for name, text in told.items())


def _has_unit(name: str, text: str) -> bool:
    """Whether the text names a unit, if what the name stands for has one."""
    measured = _MEASURED.search(name)
    if measured is None or "As in `chat`" in text:
        return True
    (kind,) = [kind for kind, found in measured.groupdict().items() if found]
    return re.search(_UNITS[kind], text) is not None
