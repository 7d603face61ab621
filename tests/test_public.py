"""The public names: pinned, documented, loaded when first used, known to type checkers."""

from __future__ import annotations

import ast
from pathlib import Path

import acagent_nb


def test_type_checkers_see_the_names_that_exist() -> None:
    tree = ast.parse(Path(acagent_nb.__file__).read_text(encoding="utf-8"))
    (checking,) = [node for node in tree.body if isinstance(node, ast.If)]
    told = {
        (node.module, alias.asname)
        for node in checking.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert told == {(room, name) for name, room in acagent_nb._ROOM_OF.items()}


def test_every_public_name_loads_is_listed_and_says_what_it_is() -> None:
    for name in acagent_nb.__all__:
        assert getattr(acagent_nb, name).__doc__
    assert set(acagent_nb.__all__) <= set(dir(acagent_nb))


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    assert not hasattr(acagent_nb, "nothing")


def test_no_public_name_is_a_rooms() -> None:
    rooms = {path.stem for path in Path(acagent_nb.__file__).parent.iterdir()}
    assert not rooms & set(acagent_nb.__all__)
