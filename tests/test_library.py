"""The models that a server has: the flows by themselves, and both clients over real sockets."""

from __future__ import annotations

import hashlib
import json
import tracemalloc
from pathlib import Path
from typing import Any

import httpx
import pytest

from acagent_nb import builtin, delivery, library
from acagent_nb.errors import BadName, BadOption, DiskFull, Incomplete, ModelMissing, ServerDown, ServerError, Warned
from acagent_nb.messages import Message, Pulling, Text
from acagent_nb.wire import Open

from .clients import Do, run_by
from .ggufs import TINY
from .replay import SERVERS, Answer, recorded, replaying, said
from .test_ollama import run

ABSENT, SENT, EXISTS = recorded("blob_check_absent"), recorded("blob_upload"), recorded("blob_upload_again")
MADE = recorded("create_from_gguf", "v0.24.0")
OURS = Answer(('{"version":"0.32.15","engine":{"name":"xllamacpp"}}',))
SHOWS_OURS = Answer((json.dumps({"modelfile": f"FROM /blobs/{TINY.digest.replace(':', '-')}\n"}),))


@pytest.mark.parametrize("server", SERVERS)
def test_a_model_is_shown(do: Do, server: str) -> None:
    with replaying(show=recorded("show_made2", server)) as replay:
        shown = do(replay.url, "show", "local_made2")
    assert replay.requests == [("POST", "/api/show", {"model": "made2"})]
    assert shown.capabilities == ("completion",)
    assert shown.context_length == 512
    assert shown.system == "You are brief."
    assert shown.parameters.splitlines()[0].split() == ["num_ctx", "1024"]
    assert shown.details.quantization_level == "Q8_0"
    assert "{{- range .Messages }}" in shown.template
    assert shown.model_info["general.architecture"] == "llama"


def test_what_a_model_can_do_is_shown() -> None:
    ((shown,), _) = run(library.show("skills"), recorded("show_skills"))
    assert shown.capabilities == ("completion", "tools", "thinking")


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize(
    ("method", "arguments", "request_"),
    [
        ("copy", ("local_tiny", "local_tiny-copy"), ("POST", {"source": "tiny", "destination": "tiny-copy"})),
        ("delete", ("local_tiny-copy",), ("DELETE", {"model": "tiny-copy"})),
    ],
)
def test_a_model_is_copied_and_deleted(do: Do, server: str, method: str, arguments: Any, request_: Any) -> None:
    with replaying(**{method: recorded(method, server)}) as replay:
        assert do(replay.url, method, *arguments) is None
    assert replay.requests == [(request_[0], f"/api/{method}", request_[1])]


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize(
    ("method", "arguments"), [("show", ("nope",)), ("copy", ("nope", "x")), ("delete", ("tiny-copy",))]
)
def test_one_that_is_not_there_is_missing(do: Do, server: str, method: str, arguments: tuple[str, ...]) -> None:
    with (
        replaying(**{method: recorded(f"{method}_missing", server)}) as replay,
        pytest.raises(ModelMissing, match=f"does not have the model {arguments[0]}") as caught,
    ):
        do(replay.url, method, *(f"local_{name}" for name in arguments))
    assert "models()" in caught.value.hint


@pytest.mark.parametrize("method", ["show", "delete", "pull", "unload"])
def test_none_is_not_the_projects_own_model(do: Do, method: str) -> None:
    with replaying() as replay, pytest.raises(BadName, match="empty"):
        do(replay.url, method, None, client={"params": {"model": "local_tiny"}})
    assert replay.requests == []


@pytest.mark.parametrize(
    ("how", "hint"),
    [({"from_modl": "local_tiny"}, "'from_model'"), ({"temperature": 0}, "parameters"), ({"watching": 1}, "license")],
)
def test_a_keyword_that_create_does_not_have_is_refused(do: Do, how: dict[str, Any], hint: str) -> None:
    with replaying() as replay, pytest.raises(BadOption) as caught:
        do(replay.url, "create", "local_mine", **how)
    assert hint in caught.value.hint
    assert replay.requests == []


@pytest.mark.parametrize("method", ["show", "delete", "pull"])
def test_a_cloud_models_name_is_refused(do: Do, method: str) -> None:
    with replaying() as replay, pytest.raises(BadName, match="local models only"):
        do(replay.url, method, "gpt-4o")
    assert replay.requests == []


@pytest.mark.parametrize("server", SERVERS)
def test_a_model_is_made_from_another(server: str) -> None:
    flow = delivery.create(
        "made2", from_model="tiny", system="You are brief.", parameters={"temperature": 0.1, "num_ctx": 1024}
    )
    events, (ask,) = run(flow, recorded("create_from_model", server))
    assert json.loads(ask.body or b"") == {
        "model": "made2",
        "from": "tiny",
        "system": "You are brief.",
        "parameters": {"temperature": 0.1, "num_ctx": 1024},
    }
    assert [event.status.split(" sha256")[0] for event in events] == [
        "using existing layer",
        "using existing layer",
        "creating new layer",
        "creating new layer",
        "writing manifest",
        "success",
    ]


def test_a_model_is_made_from_a_file_and_with_turns() -> None:
    turns = [Message("user", "hi"), Message("assistant", "ho")]
    flow = delivery.create("m", files={"m.gguf": "sha256:0"}, template="T", messages=turns, license=["a", "b"])
    events, (ask,) = run(flow, MADE)
    assert json.loads(ask.body or b"") == {
        "model": "m",
        "files": {"m.gguf": "sha256:0"},
        "template": "T",
        "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}],
        "license": ["a", "b"],
    }
    assert events[0] == Pulling("m", "parsing GGUF")
    assert events[-1].status == "success"


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize(
    ("case", "error", "words"),
    [
        ("create_missing_blob", ServerError, "Making m failed: open .*no such file"),
        ("create_from_missing_model_without_network", ServerError, "Making m failed: .*no such host"),
        ("create_bad_name", BadName, "accepts no model of the name 'm'"),
    ],
)
def test_one_that_can_not_be_made_says_why(server: str, case: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        run(delivery.create("m", from_model="x"), recorded(case, server))


def test_what_a_modelfile_says_in_vain_is_told(do: Do) -> None:
    with (
        replaying(show=recorded("show"), create=recorded("create_from_model")) as replay,
        pytest.warns(Warned, match="mirostat"),
    ):
        steps = do(replay.url, "create", "local_m", modelfile="FROM tiny\nPARAMETER mirostat 2\n")
    assert all(isinstance(step, Pulling) for step in steps)
    assert steps[-1].status == "success"


def test_making_that_breaks_off_is_no_success() -> None:
    with pytest.raises(Incomplete, match="Making m broke off"):
        run(delivery.create("m", from_model="x"), Answer(MADE.lines[:-1]))


def test_a_file_is_sent_as_it_is_if_the_server_lacks_it(do: Do, tmp_path: Path) -> None:
    file = tmp_path / "weights.gguf"
    file.write_bytes(bytes(range(256)) * 4099)
    digest = "sha256:" + hashlib.sha256(file.read_bytes()).hexdigest()
    size = file.stat().st_size
    with replaying(blobs=[ABSENT, SENT]) as replay:
        events = run_by(do, replay.url, delivery.blob(digest, file, "m"))
    assert replay.requests[1] == ("POST", f"/api/blobs/{digest}", digest)
    assert [events[0], events[-1]] == [Pulling("m", "uploading weights.gguf", done, size) for done in (0, size)]
    with replaying(blobs=EXISTS) as replay:
        events = run_by(do, replay.url, delivery.blob(digest, file, "m"))
    assert replay.asked == ["HEAD blobs"]
    assert events == [Pulling("m", "using existing weights.gguf", size, size)]


def test_bytes_are_sent_too() -> None:
    _, (_, post) = run(delivery.blob("sha256:00", b"abc"), ABSENT, SENT)
    assert post == Open("POST", "/api/blobs/sha256:00", b"abc")


@pytest.mark.parametrize("server", SERVERS)
def test_a_digest_that_is_wrong_is_an_error(server: str) -> None:
    with pytest.raises(ServerError, match="digest mismatch"):
        run(delivery.blob("sha256:00", b"abc"), ABSENT, recorded("blob_upload_wrong_digest", server))
    with pytest.raises(ServerError, match="refuses the digest 'sha256:zz'") as caught:
        run(delivery.blob("sha256:zz", b"abc"), recorded("blob_check_bad_digest", server))
    assert caught.value.status == 400


def test_a_big_file_never_is_in_memory(do: Do, tmp_path: Path) -> None:
    file = tmp_path / "big.gguf"
    with file.open("wb") as data:
        data.truncate(64 << 20)
    with replaying(blobs=[ABSENT, SENT]) as replay:
        tracemalloc.start()
        try:
            run_by(do, replay.url, delivery.blob("sha256:00", file))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert replay.requests[1][2] == "sha256:3b6a07d0d404fab4e23b6d34bc6696a6a312dd92821332385e5af7c01c421351"
    assert peak < 4 << 20


def test_a_file_that_can_not_be_read_leaves_the_client_usable(do: Do, tmp_path: Path) -> None:
    file = tmp_path / "gone.gguf"
    file.touch()
    flow = delivery.blob("sha256:00", file)
    with replaying(blobs=[ABSENT, SENT], tags=recorded("tags")) as replay:
        file.unlink()
        with pytest.raises(FileNotFoundError):
            run_by(do, replay.url, flow)
        assert do(replay.url, "models")


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("refused", ["pull_missing", "pull_no_dns", "pull_registry_down"])
@pytest.mark.parametrize("name", ["tiny", "Tiny", "TINY:latest", "library/tiny", "tiny:SKILLS"])
def test_a_built_in_model_is_uploaded_where_it_can_not_be_pulled(do: Do, server: str, refused: str, name: str) -> None:
    nothing = recorded("show_missing", server)
    with replaying(
        pull=recorded(refused, server),
        version=recorded("version", server),
        show=nothing,
        blobs=[ABSENT, SENT],
        create=MADE,
    ) as replay:
        events = do(replay.url, "pull", f"local_{name}")
    assert replay.asked == [
        "POST pull",
        "GET version",
        "POST show",
        "HEAD blobs",
        "POST blobs",
        "POST show",
        "POST create",
    ]
    assert replay.requests[4][2] == TINY.digest == replay.requests[4][1].split("/")[-1]
    made = replay.requests[6][2]
    assert made.pop("template") == template("skills" if "skills" in name.lower() else "chat")
    assert made == {"model": name, "files": {"tiny.gguf": TINY.digest}}
    told = [event.status.split(" sha256")[0] for event in events]
    assert told[:3] == ["pulling manifest", "uploading tiny.gguf", "uploading tiny.gguf"]
    assert told[-2:] == ["writing manifest", "success"]
    assert [event.completed for event in events] == [0, 0] + [TINY.size] * (len(events) - 2)
    assert {event.total for event in events[1:]} == {TINY.size}


def template(name: str) -> str:
    return (Path(builtin.__file__).parent / "server" / "tiny" / f"{name}.gotmpl").read_text(encoding="utf-8")


def test_a_cell_goes_on_by_itself_where_the_built_in_model_is_missing(do: Do) -> None:
    with replaying(
        chat=[recorded("chat_missing_model"), said("the sky")],
        pull=recorded("pull_no_dns"),
        version=recorded("version"),
        show=recorded("show_missing"),
        blobs=[ABSENT, SENT],
        create=MADE,
    ) as replay:
        events = do(replay.url, "stream", "local_tiny", "hi")
    assert [event for event in events if isinstance(event, Text)] == [Text("the sky")]
    told = replay.asked
    assert told[0] == "POST chat"
    assert told[told.index("POST create") + 1] == "POST chat"


@pytest.mark.parametrize("shows", [[recorded("show")], [recorded("show_missing"), recorded("show")]])
def test_a_model_that_has_the_name_is_never_touched(do: Do, shows: list[Answer]) -> None:
    with (
        replaying(
            pull=recorded("pull_missing"), version=recorded("version"), show=shows, blobs=[ABSENT, SENT], create=MADE
        ) as replay,
        pytest.raises(ModelMissing, match="another model of this name"),
    ):
        do(replay.url, "pull", "local_tiny")
    assert "POST create" not in replay.asked


def test_one_that_was_uploaded_before_is_there(do: Do) -> None:
    with replaying(pull=recorded("pull_no_dns"), version=recorded("version"), show=SHOWS_OURS) as replay:
        events = do(replay.url, "pull", "local_tiny")
    assert events[-1].status == "success"
    assert replay.asked == ["POST pull", "GET version", "POST show"]


@pytest.mark.parametrize(
    ("name", "refused", "version", "error"),
    [
        ("llama3.2", "pull_missing", recorded("version"), ModelMissing),  # not built in
        ("someone/tiny", "pull_missing", recorded("version"), ModelMissing),
        ("tiny:1b", "pull_no_dns", recorded("version"), ServerError),
        ("tiny", "pull_private", recorded("version"), ModelMissing),  # the registry has it and said no
        ("tiny", "pull_corrupt_blob", recorded("version"), ServerError),
        ("tiny", "pull_missing", OURS, ModelMissing),  # our own server brings its own
    ],
)
def test_nothing_else_is_uploaded(do: Do, name: str, refused: str, version: Answer, error: type[Exception]) -> None:
    with replaying(pull=recorded(refused), version=version, show=recorded("show_missing"), create=MADE) as replay:
        with pytest.raises(error):
            do(replay.url, "pull", f"local_{name}")
        assert not {"POST show", "HEAD blobs", "POST create"} & set(replay.asked)


@pytest.mark.parametrize("failing", ["blobs", "create"])
def test_an_upload_that_fails_says_so(do: Do, failing: str) -> None:
    answers = {"blobs": [ABSENT, SENT], "create": [MADE]}
    answers[failing][-1] = Answer(('{"error":"no space left on device"}',), 500, "application/json")
    with (
        replaying(
            pull=recorded("pull_no_dns"), version=recorded("version"), show=recorded("show_missing"), **answers
        ) as replay,
        pytest.raises(DiskFull, match="no space left"),
    ):
        do(replay.url, "pull", "local_tiny")


def test_a_server_that_goes_away_during_an_upload(do: Do) -> None:
    with (
        replaying(
            pull=recorded("pull_no_dns"),
            version=recorded("version"),
            show=recorded("show_missing"),
            blobs=[ABSENT, Answer(("{",), breaks=True, status=500)],
        ) as replay,
        pytest.raises(ServerDown, match="broke"),
    ):
        do(replay.url, "pull", "local_tiny")


def test_a_model_is_made_on_a_real_server(do: Do, server: str) -> None:
    name = f"made-{do.__name__}"
    run_by(do, server, delivery.blob(TINY.digest, TINY.file))
    again = run_by(do, server, delivery.blob(TINY.digest, TINY.file))
    assert [event.status for event in again] == ["using existing tiny.gguf"]
    events = run_by(do, server, delivery.create(name, files={"tiny.gguf": TINY.digest}, system="Be brief."))
    assert events[-1].status == "success"
    assert do(server, "show", f"local_{name}").system == "Be brief."
    assert do(server, "chat", f"local_{name}", "why is the sky blue?").text
    do(server, "delete", f"local_{name}")


def test_both_clients_do_the_same_on_a_real_server(do: Do, server: str, api: httpx.Client) -> None:
    assert do(server, "show", "local_tiny").context_length == 2048
    do(server, "copy", "local_tiny", f"local_second-{do.__name__}")
    assert f"second-{do.__name__}:latest" in [model.name for model in do(server, "models")]
    do(server, "delete", f"local_second-{do.__name__}")
    with pytest.raises(ModelMissing):
        do(server, "show", f"local_second-{do.__name__}")
    assert api.post("/api/show", json={"model": "tiny"}).status_code == 200
