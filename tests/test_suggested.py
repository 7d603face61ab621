"""A model that is not there and can't be had: the error names the one that may have been meant."""

from __future__ import annotations

import pytest

from acagent_nb.errors import DiskFull, ModelMissing, ServerError

from .clients import Do
from .replay import Answer, recorded, replaying

MISSING = {"chat": recorded("chat_missing_model"), "embed": recorded("embed_missing_model")}


@pytest.mark.parametrize("method", ["chat", "embed", "load"])
@pytest.mark.parametrize(("name", "meant"), [("tinny", "local_tiny"), ("tinny:latest", "local_tiny"), ("phi3", None)])
def test_who_may_not_pull_is_told_what_was_meant(do: Do, method: str, name: str, meant: str | None) -> None:
    more = () if method == "load" else ("hi",)
    with replaying(tags=recorded("tags"), **MISSING) as replay, pytest.raises(ModelMissing) as caught:
        do(replay.url, method, f"local_{name}", *more, pull=False)
    assert caught.value.hint.startswith(f"Did you mean {meant}? It is pulled" if meant else "It is pulled first unless")


@pytest.mark.parametrize(
    ("refused", "hint"), [("pull_no_dns", "The server has no network"), ("pull_missing", "Check the name")]
)
def test_a_name_that_can_not_be_pulled_is_told_what_was_meant(do: Do, refused: str, hint: str) -> None:
    with (
        replaying(pull=recorded(refused), version=recorded("version"), tags=recorded("tags"), **MISSING) as replay,
        pytest.raises((ModelMissing, ServerError)) as caught,
    ):
        do(replay.url, "chat", "local_tinny", "hi")
    assert caught.value.hint.startswith(f"Did you mean local_tiny? {hint}")


def test_a_server_that_does_not_list_its_models_has_the_built_in_ones(do: Do) -> None:
    with (
        replaying(tags=Answer(("no",), 500, "text/plain"), **MISSING) as replay,
        pytest.raises(ModelMissing, match=r"Did you mean local_tiny:skills\?"),
    ):
        do(replay.url, "chat", "local_tiny:skill", "hi", pull=False)


def test_a_full_disk_is_no_slip_of_the_pen(do: Do) -> None:
    full = Answer(('{"error":"write: no space left on device"}',))
    with replaying(pull=full, tags=recorded("tags"), **MISSING) as replay, pytest.raises(DiskFull) as caught:
        do(replay.url, "chat", "local_tinny", "hi")
    assert caught.value.hint.startswith("Free some space")


def test_what_is_not_there_to_be_unloaded_needs_no_pull(do: Do) -> None:
    with replaying(tags=recorded("tags"), **MISSING) as replay, pytest.raises(ModelMissing) as caught:
        do(replay.url, "unload", "local_mistral-small")
    assert caught.value.hint == "Client().models() lists those that it has."
