"""`--ollama-models`: the folder of an Ollama behind our own, whose models are used where they lie."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from acagent_nb.hosts import Private
from acagent_nb.server import pull
from acagent_nb.server.store import Store

from .serving import Server, serving, soon

SHORT = {"temperature": 0, "num_predict": 4}
NOBODY = 65534
BARE = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")  # root without its powers: rights count for it, too
gives_away = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("setpriv") is None,
    reason="only root can give a folder to another user, and only setpriv can take root's powers away",
)


def filled(folder: Path) -> Path:
    """A folder as an Ollama leaves it, with one model: `theirs`."""
    store = Store(folder)

    async def fill() -> None:
        async for _ in pull.pull(store, "tiny"):
            pass

    asyncio.run(fill())
    tiny = store.find("tiny")
    assert tiny is not None
    store.copy(tiny, "theirs")
    store.delete(tiny)
    (folder / ".lock").unlink()
    return folder


def tree(folder: Path) -> dict[str, tuple[int, int, int, int, bytes]]:
    """All that can be seen of a folder but when it was read: any write, link or change of rights would show."""
    told = {}
    for path in (folder, *folder.rglob("*")):
        facts = path.lstat()
        data = path.read_bytes() if path.is_file() else b""
        told[str(path)] = (facts.st_mode, facts.st_nlink, facts.st_mtime_ns, facts.st_ctime_ns, data)
    return told


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """It allows no writing, and is the same to the byte when all tests are through."""
    folder = filled(tmp_path_factory.mktemp("ollama") / "models")
    below = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    for path in below:
        path.chmod(0o555)
    before = tree(folder)
    yield folder
    assert tree(folder) == before
    for path in below:
        path.chmod(0o755)


@pytest.fixture(scope="module")
def own(folder: Path) -> Iterator[Server]:
    with serving("--ollama-models", str(folder)) as server:
        yield server


def listed(server: Server) -> set[str]:
    return {model["name"] for model in server.client.get("/api/tags").json()["models"]}


def refused(server: Server, name: str) -> str:
    answer = server.client.request("DELETE", "/api/delete", json={"model": name})
    assert answer.status_code == 400
    return str(answer.json()["error"])


def test_its_models_are_listed_shown_and_run_without_a_copy(own: Server, folder: Path) -> None:
    assert listed(own) == {"tiny:latest", "theirs:latest"}
    shown = own.client.post("/api/show", json={"model": "theirs"}).json()
    assert f"FROM {folder / 'blobs'}" in shown["modelfile"]
    assert own.chat(model="theirs", options=SHORT)["message"]["content"]
    assert "theirs:latest" in own.loaded()
    told = own.client.get("/v1/models").json()["data"]
    assert {model["id"] for model in told} == {"tiny:latest", "theirs:latest"}


def test_none_of_them_can_be_removed(own: Server) -> None:
    assert "`ollama rm theirs:latest` removes it" in refused(own, "Theirs")
    assert "theirs:latest" in listed(own)


def test_an_own_model_of_the_same_name_wins(own: Server) -> None:
    made = {"model": "theirs", "from": "tiny", "system": "Ours.", "stream": False}
    own.client.post("/api/create", json=made).raise_for_status()
    assert own.client.post("/api/show", json={"model": "theirs"}).json()["system"] == "Ours."
    assert listed(own) == {"tiny:latest", "theirs:latest"}
    own.client.request("DELETE", "/api/delete", json={"model": "theirs"}).raise_for_status()
    assert "system" not in own.client.post("/api/show", json={"model": "theirs"}).json()
    assert "ollama rm" in refused(own, "theirs")


def test_names_of_our_own_for_them_and_models_made_of_them(folder: Path, tmp_path: Path) -> None:
    store = Store(tmp_path, folder)
    theirs = store.find("theirs")
    assert theirs is not None
    store.copy(theirs, "mine")
    mine = Store(tmp_path).find("mine")  # a server that is not told of the folder can use it too
    assert mine is not None
    assert mine.weights.is_symlink()
    assert mine.weights.samefile(theirs.weights)
    store.delete(mine)
    assert [path for path in tmp_path.rglob("*") if path.is_symlink()] == []
    assert theirs.weights.is_file()


def test_a_model_made_of_theirs(own: Server) -> None:
    made = {"model": "pirate", "from": "theirs", "system": "Answer like a pirate.", "stream": False}
    assert own.client.post("/api/create", json=made).json() == {"status": "success"}
    own.client.post("/api/copy", json={"source": "theirs", "destination": "second"}).raise_for_status()
    for name in ("pirate", "second"):
        assert own.chat(model=name, options=SHORT)["message"]["content"]
        own.client.request("DELETE", "/api/delete", json={"model": name}).raise_for_status()
    assert own.chat(model="theirs", options=SHORT)["message"]["content"]


def test_where_ollama_keeps_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tmp_path / ".ollama" / "models")
    monkeypatch.setenv("HOME", str(tmp_path))
    before = tree(tmp_path / ".ollama")
    with serving("--ollama-models") as server:
        assert listed(server) == {"tiny:latest", "theirs:latest"}
    assert tree(tmp_path / ".ollama") == before


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--ollama-models", "{empty}"], "There are no models of an Ollama at"),
        (["--ollama-models", "{full}", "--models", "{full}"], "can't be the server's own folder"),
    ],
)
def test_a_folder_that_is_none_or_the_own_one(folder: Path, tmp_path: Path, flags: list[str], said: str) -> None:
    given = [flag.format(empty=tmp_path, full=folder) for flag in flags]
    command = [sys.executable, "-m", "acagent_nb", "serve", "--port", "0", *given]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert said in done.stderr
    assert done.stderr.count("\n") == 2


@contextmanager
def another_users(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A server whose Ollama's folder belongs to somebody else, and which has no more rights than any user."""
    command = [*BARE, sys.executable, "-m", "acagent_nb", "serve", "--port", "0", "--ollama-models", str(folder)]
    own = ("--models", str(folder.parent / "own"), "--state", str(folder.parent / "state.json"))
    with subprocess.Popen([*command, *own], stderr=subprocess.PIPE, text=True) as process:
        yield process
        process.terminate()


def given_away(folder: Path) -> Path:
    for path in (folder, *folder.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    assert subprocess.run([*BARE, "touch", str(folder / "ours")], capture_output=True).returncode != 0
    return folder


def come(folder: Path) -> Server:
    state = folder.parent / "state.json"
    soon(state.exists, 30)
    told = json.loads(state.read_text())
    return Server(Private(told["url"], told["pid"]))


@gives_away
def test_another_users_models_are_used_and_nothing_is_written(tmp_path: Path) -> None:
    folder = given_away(filled(tmp_path / "theirs"))
    before = tree(folder)
    with another_users(folder), closing(come(folder).client) as client:
        answer = client.post("/api/generate", json={"model": "theirs", "prompt": "hi", "options": SHORT})
        assert answer.status_code == 200, answer.text
        assert client.post("/api/create", json={"model": "mine", "from": "theirs"}).status_code == 200
        assert client.post("/api/chat", json={"model": "mine"}).status_code == 200
        assert client.request("DELETE", "/api/delete", json={"model": "theirs"}).status_code == 400
    assert tree(folder) == before


@gives_away
@pytest.mark.parametrize("closed", ["", "manifests"])
def test_another_users_folder_that_can_not_be_read(tmp_path: Path, closed: str) -> None:
    folder = given_away(filled(tmp_path / "theirs"))
    (folder / closed).chmod(0o700)
    with another_users(folder) as process:
        assert process.wait(30) == 1
        assert process.stderr is not None
        said = process.stderr.read()
    assert f"There are no models of an Ollama at {folder}, or they can't be read by this user." in said
    assert said.count("\n") == 2


@gives_away
def test_another_users_blobs_that_can_not_be_read(tmp_path: Path) -> None:
    folder = given_away(filled(tmp_path / "theirs"))
    (folder / "blobs").chmod(0o700)
    with another_users(folder), closing(come(folder).client) as client:
        answer = client.post("/api/generate", json={"model": "theirs", "prompt": "hi"})
        assert answer.status_code == 500
        assert answer.json()["error"].endswith(": Permission denied")
        assert client.post("/api/chat", json={"model": "tiny"}).status_code == 200
