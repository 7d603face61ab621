"""`acagent-nb list|show|rm|cp|ps|stop|serve --status`, each a process of its own, on a pipe and on a terminal."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from acagent_nb import hosts

from .commands import COMMAND, TAGS, call, environment, fails, final, lines, on_terminal
from .replay import Answer, recorded, replaying


def test_list_is_a_table_with_sizes_and_ages() -> None:
    with replaying(tags=TAGS) as replay:
        head, copy, tiny = lines(replay.url, "list")
    assert head.split() == ["NAME", "ID", "SIZE", "MODIFIED"]
    assert copy.split()[:4] == ["tiny-copy:latest", "463242c2247b", "1.1", "MB"]
    assert [tiny.index("463242c2247b"), tiny.index("1.1 MB")] == [head.index("ID"), head.index("SIZE")]


def test_list_is_json_for_scripts() -> None:
    with replaying(tags=TAGS) as replay:
        told = json.loads("\n".join(lines(replay.url, "list", "--json")))
    assert [model["name"] for model in told] == ["tiny-copy:latest", "tiny:latest"]
    assert told[0]["size"] == 1079555
    assert told[0]["details"]["quantization_level"] == "Q8_0"


def test_an_empty_server_says_how_to_get_a_model() -> None:
    with replaying(tags=Answer(('{"models":[]}',))) as replay:
        assert "acagent-nb pull tiny" in lines(replay.url, "list")[0]
        assert lines(replay.url, "list", "--json") == ["[]"]


@pytest.mark.parametrize("name", ["made2", "local_made2"])
def test_show_tells_what_matters(name: str) -> None:
    with replaying(show=recorded("show_made2")) as replay:
        told = lines(replay.url, "show", name)
    assert replay.requests[-1][2] == {"model": "made2"}
    facts = {line.split()[0]: line.split()[1:] for line in told if line.startswith("  ")}
    assert facts["context"] == ["512", "tokens"]
    assert facts["quantization"] == ["Q8_0"]
    assert facts["num_ctx"] == ["1024"]
    assert "  You are brief." in told
    assert "  {{- range .Messages }}<|im_start|>{{ .Role }}" in told


def test_show_is_json_for_scripts() -> None:
    with replaying(show=recorded("show_skills")) as replay:
        told = json.loads("\n".join(lines(replay.url, "show", "skills", "--json")))
    assert told["capabilities"] == ["completion", "tools", "thinking"]
    assert told["model_info"]["llama.context_length"] == 512


def test_ps_tells_where_a_model_runs_and_for_how_long() -> None:
    with replaying(ps=recorded("ps_forever")) as replay:
        head, tiny = lines(replay.url, "ps")
        told = json.loads("\n".join(lines(replay.url, "ps", "--json")))
    assert re.split(r"\s{2,}", head) == ["NAME", "ID", "SIZE", "PROCESSOR", "CONTEXT", "UNLOADED"]
    assert re.split(r"\s{2,}", tiny)[2:] == ["6.3 MB", "CPU", "512", "for ever"]
    assert told[0]["context_length"] == 512
    with replaying(ps=Answer(('{"models":[]}',))) as replay:
        assert lines(replay.url, "ps") == ["No model is loaded."]


@pytest.mark.parametrize(
    ("arguments", "near"),
    [
        (("show", "tinny"), "Did you mean tiny:latest?"),
        (("rm", "--yes", "tiny", "local_tiny-cpoy"), "tiny-copy:latest?"),
    ],
)
def test_a_name_that_is_nearly_right_is_told(arguments: tuple[str, ...], near: str) -> None:
    missing = recorded("show_missing")
    with replaying(tags=TAGS, show=missing, delete=recorded("delete")) as replay:
        assert near in fails(replay.url, *arguments)
    assert "DELETE" not in [method for method, _, _ in replay.requests]


def test_a_name_that_is_far_off_gets_the_list() -> None:
    with replaying(tags=TAGS, copy=recorded("copy_missing")) as replay:
        assert "It has: tiny-copy:latest, tiny:latest." in fails(replay.url, "cp", "nothing-like-it", "x")


def test_rm_without_anybody_to_ask_refuses() -> None:
    with replaying(tags=TAGS, delete=recorded("delete")) as replay:
        assert "--yes" in fails(replay.url, "rm", "tiny")
        assert "DELETE" not in [method for method, _, _ in replay.requests]
        assert lines(replay.url, "rm", "--yes", "TINY", "local_tiny-copy") == [
            "Removed tiny:latest.",
            "Removed tiny-copy:latest.",
        ]
    assert [body for method, _, body in replay.requests if method == "DELETE"] == [
        {"model": "tiny:latest"},
        {"model": "tiny-copy:latest"},
    ]


@pytest.mark.parametrize(("answer", "removed"), [("y\n", True), ("n\n", False), ("\n", False), ("\x04", False)])
def test_rm_asks(answer: str, removed: bool) -> None:
    with replaying(tags=TAGS, delete=recorded("delete")) as replay, on_terminal(replay.url, "rm", "tiny") as screen:
        screen.until("Remove tiny:latest (1.1 MB)? [y/N] ")
        screen.type(answer)
        assert screen.end() == 0
        assert ("DELETE" in [method for method, _, _ in replay.requests]) is removed
        assert final(screen.shown)[-1] == ("Removed tiny:latest." if removed else "Nothing was removed.")


def test_cp_leaves_a_name_that_is_taken_alone() -> None:
    with replaying(tags=TAGS, copy=recorded("copy")) as replay:
        assert lines(replay.url, "cp", "tiny", "local_other") == ["tiny is other:latest too."]
        assert replay.requests[-1] == ("POST", "/api/copy", {"source": "tiny", "destination": "other"})
        assert "is there already" in fails(replay.url, "cp", "tiny", "Tiny-Copy")
    assert [path for _, path, _ in replay.requests].count("/api/copy") == 1


@pytest.mark.parametrize("arguments", [("list",), ("pull", "tiny"), ("ps", "--json"), ("serve", "--status")])
def test_nobody_there_is_two_lines(arguments: tuple[str, ...]) -> None:
    with socket.socket() as taken:  # bound but not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        assert "No server answers" in fails(f"127.0.0.1:{taken.getsockname()[1]}", *arguments)


def test_a_name_that_is_none_is_two_lines() -> None:
    with replaying() as replay:
        assert "is not a model's name" in fails(replay.url, "show", "a b")
    assert replay.requests == []


def test_status_tells_which_server_that_is() -> None:
    with replaying(version=recorded("version"), ps=recorded("ps_loaded")) as replay:
        told = {line[:10].strip(): line[10:] for line in lines(replay.url, "serve", "--status")}
        as_json = json.loads("\n".join(lines(replay.url, "serve", "--status", "--json")))
    assert told == {
        "address": replay.url,
        "found as": "OLLAMA_HOST",
        "version": "Ollama 0.0.0",
        "loaded": "tiny:latest (CPU)",
    }
    assert as_json["running"] is True
    assert (as_json["url"], as_json["how"], as_json["engine"]) == (replay.url, "OLLAMA_HOST", None)
    assert [model["name"] for model in as_json["models"]] == ["tiny:latest"]


def test_status_starts_nothing(tmp_path: Path) -> None:
    if hosts.present(os.environ.get("OLLAMA_HOST")):
        pytest.skip("a server runs here already")
    ran = call("", "serve", "--status", XDG_STATE_HOME=str(tmp_path), HOME=str(tmp_path))
    assert ran.returncode == 0
    assert ran.stdout.splitlines()[0] == "No server is running."
    assert list(tmp_path.iterdir()) == []
    told = call("", "serve", "--status", "--json", XDG_STATE_HOME=str(tmp_path), HOME=str(tmp_path))
    assert json.loads(told.stdout) == {"running": False}


def test_the_embedded_server_under_all_commands(server: str, api: httpx.Client) -> None:
    assert lines(server, "pull", "local_tiny")[-1].startswith("local_tiny is there: ")
    assert {"tiny:latest", "tiny:skills"} <= {line.split()[0] for line in lines(server, "list")}
    assert any(line.split()[:2] == ["context", "2048"] for line in lines(server, "show", "tiny"))
    lines(server, "cp", "tiny", "commands-copy")
    lines(server, "rm", "--yes", "commands-copy")
    assert "commands-copy:latest" not in call(server, "list").stdout
    chat = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "stream": False}
    assert api.post("/api/chat", json=chat).status_code == 200
    loaded = json.loads(call(server, "ps", "--json").stdout)
    assert "tiny:latest" in [model["name"] for model in loaded]
    told = {line[:10].strip(): line[10:] for line in lines(server, "serve", "--status")}
    assert told["engine"].startswith("xllamacpp ")
    assert "tiny:latest (CPU)" in told["loaded"]
    assert lines(server, "stop", "tiny") == ["tiny is unloaded."]
    assert "tiny:latest" not in call(server, "ps").stdout
    assert lines(server, "stop", "local_tiny") == ["local_tiny was not loaded."]
    assert "Did you mean tiny:latest?" in fails(server, "stop", "tinny")


def test_what_changes_models_tells_scripts_so(server: str, api: httpx.Client) -> None:
    def told(*arguments: str) -> Any:
        ran = call(server, *arguments, "--json")
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout)

    digest = told("pull", "tiny")["digest"]
    assert told("cp", "tiny", "for-scripts") | {"modified_at": ""} == {**told("list")[0], "modified_at": ""}
    assert [(each["name"], each["digest"]) for each in told("rm", "--yes", "for-scripts")] == [
        ("for-scripts:latest", digest)
    ]
    assert told("stop", "tiny")["unloaded"] in (True, False)
    assert told("stop", "tiny") == {"unloaded": False}


def test_stop_without_a_name_ends_the_server_that_notebooks_share(tmp_path: Path) -> None:
    shared = {"XDG_STATE_HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path), "HOME": str(tmp_path)}
    assert call("", "pull", "tiny", "--json", **shared).returncode == 0
    assert json.loads(call("", "stop", "--json", **shared).stdout) == {"ended": True}
    assert json.loads(call("", "stop", "--json", **shared).stdout) == {"ended": False}
    assert call("", "stop", **shared).stdout == "Your notebooks share no embedded server right now.\n"


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    end, start = os.pipe()
    os.close(end)
    with replaying(tags=TAGS) as replay, os.fdopen(start, "wb") as out:
        command = [*COMMAND, "list"]
        ran = subprocess.run(command, stdout=out, stderr=subprocess.PIPE, env=environment(replay.url), timeout=60)
    assert (ran.returncode, ran.stderr) == (0, b"")


def test_json_without_status_is_two_lines() -> None:
    assert "--status" in fails("", "serve", "--json")


@pytest.mark.parametrize("flag", [("--port", "0"), ("--host", "127.0.0.1")])
def test_status_of_another_address_is_asked_by_the_environment(flag: tuple[str, str]) -> None:
    assert "OLLAMA_HOST=" in fails("", "serve", "--status", *flag)


def test_every_command_has_a_help_with_examples() -> None:
    for command in ("pull", "list", "show", "rm", "cp", "ps", "stop"):
        told = lines("", command, "--help")
        assert f"  acagent-nb {command}" in "\n".join(told[told.index("examples:") :])
        assert max(map(len, told)) <= 80


def test_what_a_server_says_can_not_steer_the_terminal() -> None:
    evil: dict[str, Any] = {"name": "a\x1b[2Jb", "size": 1, "digest": "c\nd"}
    with replaying(tags=Answer((json.dumps({"models": [evil]}),))) as replay:
        told = lines(replay.url, "list")
    assert len(told) == 2
    assert "\x1b" not in told[1]
