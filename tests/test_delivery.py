"""Pulls: the class and advice of each way to fail, one download for several callers, and going on after a stop."""

from __future__ import annotations

import json
import re
from threading import Event, Thread

import pytest

from acagent_nb import Client
from acagent_nb.delivery import pulling
from acagent_nb.errors import BadName, DiskFull, LLMError, ModelMissing, ServerError
from acagent_nb.messages import Pulling

from .registries import fake, made, until
from .replay import SERVERS, Answer, recorded, replaying, said
from .serving import Server
from .test_ollama import run


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize(
    ("case", "error", "words", "hint"),
    [
        ("pull_missing", ModelMissing, "no model m to pull", "Check the name"),
        ("pull_private", ModelMissing, "does not let us", "private"),
        ("pull_no_dns", ServerError, "no such host", "no network"),
        ("pull_registry_down", ServerError, "connection refused", "later"),
        ("pull_needs_newer_server", ServerError, "requires a newer version", "Update Ollama"),
        ("pull_corrupt_blob", ServerError, "digest mismatch", "Try again"),
        ("pull_bad_name", BadName, "no model of the name 'm'", "Names look like"),
    ],
)
def test_each_way_a_pull_fails_has_its_class_and_its_advice(
    server: str, case: str, error: type[LLMError], words: str, hint: str
) -> None:
    with pytest.raises(error, match=words) as caught:
        run(pulling("m"), recorded(case, server))
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("told", "error", "hint"),
    [
        ("write /m/blobs/sha256-1-partial: no space left on device", DiskFull, "Free some space"),
        ("open /m/blobs/sha256-1-partial: permission denied", ServerError, "OLLAMA_MODELS"),
        ("pull model manifest: unauthorized: access denied", ModelMissing, "private"),
        ('pull model manifest: 401: {"error":"Invalid username or password."}', ModelMissing, "private"),
        ("http: server gave HTTP response to HTTPS client", ServerError, "insecure=True"),
        (
            "tls: failed to verify certificate: x509: unknown authority",
            ServerError,
            "certificate",
        ),
        ("max retries exceeded: unexpected EOF", ServerError, "pull it again later"),
        ("this model requires MLX support, but the MLX runtime is not available", ServerError, "GGUF"),
        ("something new", ServerError, "^$"),
    ],
)
def test_the_words_of_other_failures(told: str, error: type[LLMError], hint: str) -> None:
    answer = Answer(('{"status":"pulling manifest"}\n', json.dumps({"error": told})))
    with pytest.raises(LLMError) as caught:
        run(pulling("m"), answer)
    assert type(caught.value) is error
    assert re.search(hint, caught.value.hint)


def test_a_pull_may_be_insecure() -> None:
    _, (ask,) = run(pulling("127.0.0.1:5000/library/m", insecure=True), recorded("pull_new"))
    assert json.loads(ask.body or b"") == {"model": "127.0.0.1:5000/library/m", "insecure": True}


def test_a_model_that_is_there_is_never_pulled() -> None:
    with replaying(chat=said("blue")) as replay, Client(replay.url) as client:
        assert client.chat("local_tiny", "Why is the sky blue?").text == "blue"
    assert replay.asked[0] == "POST chat"
    assert "POST pull" not in replay.asked


def test_two_callers_share_one_download_and_each_sees_how_far_it_is(own: Server) -> None:
    go, ends = Event(), []
    with fake(until(go)) as registry:
        weights = registry.add(made(3 << 20)).digests[0]
        name = f"local_{registry.host}/library/m"
        begun = [Event(), Event()]

        def caller(number: int) -> None:
            def watch(step: Pulling) -> None:
                if step.completed:
                    begun[number].set()
                ends.append((number, step.status))

            with Client(own.url) as client:
                client.pull(name, watch=watch, insecure=True)

        threads = [Thread(target=caller, args=(number,)) for number in (0, 1)]
        for thread, reached in zip(threads, begun, strict=True):
            thread.start()
            assert reached.wait(20)
        go.set()
        for thread in threads:
            thread.join(20)
        assert {(0, "success"), (1, "success")} <= set(ends)
        assert len(registry.ranges(weights)) == 1


def test_an_interrupted_pull_goes_on_where_it_was(own: Server) -> None:
    go = Event()
    with fake(until(go)) as registry:
        weights = registry.add(made(3 << 20), "library/stopped").digests[0]
        name = f"{registry.host}/library/stopped"

        def leave(step: Pulling) -> None:
            if step.completed > 1 << 20:
                raise KeyboardInterrupt

        with Client(own.url) as client:
            with pytest.raises(KeyboardInterrupt):
                client.pull(f"local_{name}", watch=leave, insecure=True)
            go.set()
            steps: list[Pulling] = []
            client.pull(f"local_{name}", watch=steps.append, insecure=True)
        first, second = registry.ranges(weights)
        assert steps[-1].status == "success"
        assert (first or "bytes=0-").startswith("bytes=0-")
        assert second is not None
        assert int(second.removeprefix("bytes=").split("-")[0]) > 0
