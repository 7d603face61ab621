"""`--ollama-models`: the folder of an Ollama behind our own, whose models are used where they lie."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from acagent_nb.server import pull
from acagent_nb.server.store import Store

from .serving import Server, serving

SHORT = {"temperature": 0, "num_predict": 4}


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
