"""Models of one's own, made through both clients: on recorded servers, and on the embedded one that uses them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from acagent_nb import AsyncClient, Client, Message, builtin
from acagent_nb.delivery import pulling
from acagent_nb.errors import BadName, BadOption, BadParams, BadPrompt, DiskFull, LLMError, ModelMissing, ServerError
from acagent_nb.making import making
from acagent_nb.messages import Note, Pulling
from acagent_nb.modelfile import Modelfile, read
from acagent_nb.server import gguf

from . import ggufs
from .registries import fake, made, until
from .replay import SERVERS, Answer, Replay, recorded, replaying, said
from .serving import Server, serving, soon
from .test_ollama import run

Make = Callable[..., list[Any]]
TINY = builtin.find("tiny")
assert TINY is not None
ABSENT, SENT, EXISTS = recorded("blob_check_absent"), recorded("blob_upload"), recorded("blob_upload_again")
MADE = recorded("create_from_gguf", "v0.24.0")
SKY = "Why is the sky blue?"


def blocking(url: str, model: str, **how: Any) -> list[Any]:
    steps: list[Any] = []
    with Client(url) as client:
        client.create(model, watch=steps.append, **how)
    return steps


def asynchronous(url: str, model: str, **how: Any) -> list[Any]:
    steps: list[Any] = []

    async def main() -> None:
        async with AsyncClient(url) as client:
            await client.create(model, watch=steps.append, **how)

    asyncio.run(main())
    return steps


@pytest.fixture(params=[blocking, asynchronous], ids=lambda way: way.__name__)
def make(request: pytest.FixtureRequest) -> Make:
    way: Make = request.param
    return way


@pytest.fixture(scope="module")
def own() -> Iterator[Server]:
    with serving() as server:
        yield server


def asked(replay: Replay) -> list[str]:
    return [f"{method} {path.split('/')[2]}" for method, path, _ in replay.requests]


def body(replay: Replay) -> Any:
    """What the server was told to make."""
    (told,) = [body for _, path, body in replay.requests if path == "/api/create"]
    return told


@pytest.mark.parametrize("server", SERVERS)
def test_from_another_model(make: Make, server: str) -> None:
    with replaying(show=recorded("show", server), create=recorded("create_from_model", server)) as replay:
        steps = make(
            replay.url,
            "local_made2",
            from_model="local_tiny",
            system="You are brief.",
            parameters={"temperature": 0.1, "num_ctx": 1024},
        )
    assert asked(replay) == ["POST show", "POST create"]
    assert body(replay) == {
        "model": "made2",
        "from": "tiny",
        "system": "You are brief.",
        "parameters": {"temperature": 0.1, "num_ctx": 1024},
    }
    assert steps[-1] == Pulling("made2", "success")


def test_from_a_file_that_is_hashed_and_sent(make: Make) -> None:
    with replaying(blobs=[ABSENT, SENT], create=MADE) as replay:
        steps = make(replay.url, "local_m", file=TINY.file, template="{{ .Prompt }}", license="MIT", quantize="q4_0")
    assert asked(replay) == ["HEAD blobs", "POST blobs", "POST create"]
    assert replay.requests[1][2] == TINY.digest
    assert body(replay) == {
        "model": "m",
        "files": {"tiny.gguf": TINY.digest},
        "template": "{{ .Prompt }}",
        "license": ["MIT"],
        "quantize": "q4_0",
    }
    words = list(dict.fromkeys(step.status for step in steps))
    assert words[:3] == ["hashing tiny.gguf", "uploading tiny.gguf", "parsing GGUF"]
    assert {step.total for step in steps} == {TINY.size}
    assert (steps[0].completed, steps[-1]) == (TINY.size, Pulling("m", "success", TINY.size, TINY.size))


def test_a_big_file_is_hashed_with_progress_and_not_sent_again(make: Make, tmp_path: Path) -> None:
    file = tmp_path / "big.gguf"
    with file.open("wb") as data:
        data.write(b"GGUF")
        data.truncate(20 << 20)
    with replaying(blobs=EXISTS, create=MADE) as replay:
        steps = make(replay.url, "local_m", file=str(file))
    assert asked(replay) == ["HEAD blobs", "POST create"]
    hashing = [step.completed for step in steps if step.status == "hashing big.gguf"]
    assert hashing == sorted(hashing)
    assert len(hashing) > 1
    assert hashing[-1] == 20 << 20
    assert any(step.status == "using existing big.gguf" for step in steps)


MODELFILE = """# like tiny, but brief
FROM ./weights.gguf
ADAPTER ./lora.gguf
PARAMETER num_ctx 1024
PARAMETER stop "### User:"
PARAMETER stop <|x|>
SYSTEM \"""You
are brief.\"""
TEMPLATE {{ .Prompt }}
MESSAGE user hi
MESSAGE assistant ho
LICENSE MIT
LICENSE and more
REQUIRES 0.14.0
"""


def test_a_modelfile_says_the_same_as_arguments(make: Make, tmp_path: Path) -> None:
    weights, lora = b"GGUF weights", b"GGUF lora"
    (tmp_path / "weights.gguf").write_bytes(weights)
    (tmp_path / "lora.gguf").write_bytes(lora)
    (tmp_path / "Modelfile").write_text(MODELFILE)
    arguments: dict[str, Any] = {
        "file": tmp_path / "weights.gguf",
        "adapter": tmp_path / "lora.gguf",
        "parameters": {"num_ctx": 1024, "stop": ["### User:", "<|x|>"]},
        "system": "You\nare brief.",
        "template": "{{ .Prompt }}",
        "messages": [{"role": "user", "content": "hi"}, Message("assistant", "ho")],
        "license": ["MIT", "and more"],
    }
    bodies = []
    for how in ({"modelfile": tmp_path / "Modelfile"}, {"modelfile": read(tmp_path / "Modelfile")}, arguments):
        with replaying(blobs=EXISTS, create=MADE) as replay:
            make(replay.url, "local_m", **how)
        bodies.append(body(replay))
    assert bodies[0] == bodies[1] == {**bodies[2], "requires": "0.14.0"}
    assert bodies[2] == {
        "model": "m",
        "files": {"weights.gguf": ggufs.digest(weights)},
        "adapters": {"lora.gguf": ggufs.digest(lora)},
        "parameters": {"num_ctx": 1024, "stop": ["### User:", "<|x|>"]},
        "system": "You\nare brief.",
        "template": "{{ .Prompt }}",
        "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}],
        "license": ["MIT", "and more"],
    }


def test_arguments_count_more_than_the_modelfile() -> None:
    told = "FROM ./nothing.gguf\nSYSTEM one\nTEMPLATE two\nPARAMETER seed 1\nPARAMETER top_k 3\nMESSAGE user hi"
    with replaying(show=recorded("show"), create=MADE) as replay:
        blocking(
            replay.url,
            "local_m",
            modelfile=told,
            from_model="local_tiny",
            system="mine",
            parameters={"seed": 2},
            messages=[],
        )
    assert body(replay) == {
        "model": "m",
        "from": "tiny",
        "system": "mine",
        "template": "two",
        "parameters": {"seed": 2, "top_k": 3},
    }


def test_dead_parameters_are_told_of() -> None:
    told = "FROM tiny\nPARAMETER mirostat 2\nPARAMETER logits_all true"
    with replaying(show=recorded("show"), create=MADE) as replay, Client(replay.url) as client:
        steps = list(client._run(making("m", modelfile=told)))
    assert [step.text for step in steps if isinstance(step, Note)] == [
        "The parameter mirostat has no effect since Ollama 0.7.0.",
        "The parameter logits_all has no effect since Ollama 0.7.0.",
    ]
    assert body(replay)["parameters"] == {"mirostat": 2}  # an old server still knows it


@pytest.mark.parametrize("server", SERVERS)
def test_the_model_to_start_from_is_pulled_if_it_is_missing(make: Make, server: str) -> None:
    missing, made_of_it = recorded("show_missing", server), recorded("create_from_model", server)
    with replaying(show=missing, pull=recorded("pull_new", server), create=made_of_it) as replay:
        steps = make(replay.url, "local_m", modelfile="FROM llama3.2:1b")
    assert asked(replay) == ["POST show", "POST pull", "POST create"]
    assert "llama3.2:1b" in [step.model for step in steps]
    with replaying(show=missing, pull=recorded("pull_missing", server)) as replay:
        with pytest.raises(ModelMissing, match="no model nope to pull"):
            make(replay.url, "local_m", from_model="local_nope")
        assert "POST create" not in asked(replay)


@pytest.mark.parametrize(
    ("how", "error", "words"),
    [
        ({}, BadParams, "nothing to make the model from"),
        ({"modelfile": Modelfile(())}, BadParams, "nothing to make the model from"),
        ({"from_model": "local_tiny", "file": "a.gguf"}, BadParams, "not from both"),
        ({"modelfile": "FROM tiny\nFROM llama3.2"}, BadParams, "starts from one model: tiny, llama3.2"),
        ({"modelfile": "FROM tiny\nFROM ./a.gguf"}, BadParams, "starts from one model"),
        ({"modelfile": "FROM tiny\nSYSTEM"}, BadParams, "Line 2"),
        ({"file": "nowhere.gguf"}, BadParams, "nowhere.gguf can't be read: No such file"),
        ({"file": "~nobody_at_all/a.gguf"}, BadParams, "can't be read: No such file"),
        ({"file": Path("~/no such folder/a.gguf")}, BadParams, f"{Path.home()}/no such folder/a.gguf can't be read"),
        ({"from_model": "local_tiny", "adapter": "~nobody_at_all/a"}, BadParams, "can't be read: No such file"),
        ({"file": "."}, BadParams, "is a folder"),
        ({"file": __file__}, BadParams, "is no GGUF file"),
        ({"file": [TINY.file, TINY.file]}, BadParams, "the same name"),
        ({"from_model": "local_tiny", "adapter": __file__}, BadParams, "is no GGUF file"),
        ({"from_model": "gpt-4o"}, BadName, "local models only"),
        ({"from_model": "local_tiny", "parameters": {"temprature": 1}}, BadOption, "no model option 'temprature'"),
        ({"from_model": "local_tiny", "messages": [{"text": "hi"}]}, BadPrompt, "knows no 'text'"),
    ],
)
def test_what_can_not_be_meant_is_refused_before_anything_is_sent(
    make: Make, how: dict[str, Any], error: type[LLMError], words: str
) -> None:
    with replaying() as replay, pytest.raises(error, match=words) as caught:
        make(replay.url, "local_m", **how)
    assert caught.value.hint
    assert replay.requests == []


FULL = '{"error":"write /root/.ollama/models/blobs/sha256-1-partial: no space left on device"}'


@pytest.mark.parametrize("failing", ["blobs", "create"])
@pytest.mark.parametrize("status", [200, 500])
def test_a_full_disk_has_an_error_of_its_own(make: Make, failing: str, status: int) -> None:
    if (failing, status) == ("blobs", 200):
        status = 507
    answers = {"blobs": [ABSENT, SENT], "create": [MADE]}
    answers[failing][-1] = Answer((FULL,), status)
    with replaying(**answers) as replay, pytest.raises(DiskFull, match="no space left") as caught:
        make(replay.url, "local_m", file=TINY.file)
    assert "Free some space" in caught.value.hint


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
        ("something new", ServerError, ""),
    ],
)
def test_the_words_of_other_failures(told: str, error: type[LLMError], hint: str) -> None:
    answer = Answer(('{"status":"pulling manifest"}\n', json.dumps({"error": told})))
    with pytest.raises(LLMError) as caught:
        run(pulling("m"), answer)
    assert type(caught.value) is error
    assert hint in caught.value.hint


def test_a_pull_may_be_insecure() -> None:
    _, (ask,) = run(pulling("127.0.0.1:5000/library/m", insecure=True), recorded("pull_new"))
    assert json.loads(ask.body or b"") == {"model": "127.0.0.1:5000/library/m", "insecure": True}


def test_a_model_that_is_there_is_never_pulled() -> None:
    with replaying(chat=said("blue")) as replay, Client(replay.url) as client:
        assert client.chat("local_tiny", SKY).text == "blue"
    assert asked(replay)[0] == "POST chat"
    assert "POST pull" not in asked(replay)


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


# What is made really answers


def answer(url: str, model: str, prompt: str = SKY, **options: Any) -> Any:
    with Client(url) as client:
        return client.chat(model, prompt, temperature=0, **options)


def test_system_and_parameters_have_their_effect(make: Make, own: Server) -> None:
    make(own.url, "local_brief", from_model="local_tiny", system="Answer like a pirate.", parameters={"num_predict": 3})
    reply = answer(own.url, "local_brief")
    assert (reply.stats.eval_count, reply.done_reason) == (3, "length")
    with Client(own.url) as client:
        assert client.show("local_brief").system == "Answer like a pirate."
        pirate = client.chat("local_tiny", SKY, system="Answer like a pirate.", temperature=0, num_predict=3)
    assert reply.text == pirate.text
    make(own.url, "local_brief", from_model="local_tiny", parameters={"num_predict": 5})  # replaces it
    assert answer(own.url, "local_brief").stats.eval_count == 5


def test_a_modelfile_and_the_packaged_weights(make: Make, own: Server, tmp_path: Path) -> None:
    (tmp_path / "tiny.gguf").symlink_to(TINY.file)
    (tmp_path / "Modelfile").write_text(
        "FROM ./tiny.gguf\nPARAMETER stop scatters\nMESSAGE user My name is Anna.\n"
        "MESSAGE assistant Nice to meet you, Anna!\n"
    )
    steps = make(own.url, "local_filed", modelfile=tmp_path / "Modelfile")
    assert steps[0].status == "hashing tiny.gguf"
    assert steps[-1].status == "success"
    assert "scatters" not in answer(own.url, "local_filed").text
    plain = answer(own.url, "local_tiny", "What is my name?")
    named = answer(own.url, "local_filed", "What is my name?")
    assert named.stats.prompt_eval_count > plain.stats.prompt_eval_count + 10
    assert named.text == "Your name is Anna."
    assert "Anna" not in plain.text


def test_an_adapter_changes_the_answers(make: Make, own: Server, tmp_path: Path) -> None:
    query = next(tensor for tensor in gguf.read(TINY.file).tensors if tensor.name == "blk.0.attn_q.weight")
    arrays = {
        "blk.0.attn_q.weight.lora_a": ggufs.noise(query.shape[0], 4, scale=1.0),
        "blk.0.attn_q.weight.lora_b": ggufs.noise(4, query.shape[1], scale=1.0),
    }
    kind = {
        "general.type": "adapter",
        "general.architecture": "llama",
        "adapter.type": "lora",
        "adapter.lora.alpha": 8.0,
    }
    file = tmp_path / "lora.gguf"
    file.write_bytes(ggufs.written({**kind, "adapter.lora.alpha": 8.0}, arrays))
    make(own.url, "local_adapted", from_model="local_tiny", adapter=file)
    assert answer(own.url, "local_adapted").text != answer(own.url, "local_tiny").text


def test_what_the_server_can_not_do_it_says(make: Make, own: Server, tmp_path: Path) -> None:
    with pytest.raises(ServerError, match="does not quantize") as caught:
        make(own.url, "local_none", from_model="local_tiny", quantize="q4_K_M")
    assert caught.value.status == 501
    short = tmp_path / "short.gguf"
    short.write_bytes(TINY.file.read_bytes()[:-100_000])
    with pytest.raises(ServerError, match="damaged or incomplete"):
        make(own.url, "local_none", file=short)
    with Client(own.url) as client, pytest.raises(ModelMissing):
        client.show("local_none")


def test_a_file_that_changes_while_it_is_sent(make: Make) -> None:
    with (
        replaying(blobs=[ABSENT, recorded("blob_upload_wrong_digest")]) as replay,
        pytest.raises(ServerError, match="digest mismatch") as caught,
    ):
        make(replay.url, "local_m", file=TINY.file)
    assert "has changed" in caught.value.hint


def test_stopping_an_upload_leaves_nothing_behind(own: Server, tmp_path: Path) -> None:
    file = tmp_path / "stopped.gguf"
    file.write_bytes(ggufs.with_more(TINY.file, {"general.description3": "one that never came"}))

    def leave(step: Pulling) -> None:
        if step.status.startswith("uploading"):
            raise KeyboardInterrupt

    with Client(own.url) as client:
        with pytest.raises(KeyboardInterrupt):
            client.create("local_stopped", watch=leave, file=file)
        assert own.client.head(f"/api/blobs/{ggufs.digest(file.read_bytes())}").status_code == 404
        assert client.models()
    soon(lambda: own.client.post("/api/show", json={"model": "stopped"}).status_code == 404)
