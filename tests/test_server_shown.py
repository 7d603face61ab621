"""`/api/ps` tells of loaded models under names that they have, whatever has been done to these."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .serving import Server, serving, soon

ONE = {"num_predict": 1}


@pytest.fixture
def own() -> Iterator[Server]:
    with serving("--alias", "gpt-4o-mini=tiny:skills") as server:
        yield server


def copy(server: Server, source: str, to: str) -> None:
    server.client.post("/api/copy", json={"source": source, "destination": to}).raise_for_status()


def delete(server: Server, name: str) -> None:
    server.client.request("DELETE", "/api/delete", json={"model": name}).raise_for_status()


def test_a_name_that_was_deleted_is_not_shown(own: Server) -> None:
    copy(own, "tiny", "other")
    own.chat(model="other", options=ONE)
    assert own.loaded() == ["other:latest"]
    before = own.children
    delete(own, "other")
    assert own.loaded() == ["tiny:latest"]
    assert own.children == before


def test_nor_one_that_is_another_models_now(own: Server) -> None:
    copy(own, "tiny", "other")
    own.chat(model="other", options=ONE)
    copy(own, "tiny:skills", "other")
    assert own.loaded() == ["tiny:latest"]


def test_nor_an_alias_whose_model_has_lost_its_name(own: Server) -> None:
    copy(own, "tiny:skills", "kept")
    own.chat(model="gpt-4o-mini", options=ONE)
    assert own.loaded() == ["gpt-4o-mini:latest"]
    delete(own, "tiny:skills")
    assert own.loaded() == ["kept:latest"]
    delete(own, "kept")
    soon(lambda: own.loaded() == [])


def test_a_name_that_is_left_alone_is_still_shown(own: Server) -> None:
    copy(own, "tiny", "other")
    own.chat(options=ONE)
    delete(own, "other")
    assert own.loaded() == ["tiny:latest"]
