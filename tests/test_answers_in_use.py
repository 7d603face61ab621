"""Which recording is in use: by a call, by the environment, or none."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

import acagent_nb
from acagent_nb import BadOption, BadParams, Client, NotRecorded, ServerDown, answers
from acagent_nb.modes import FORM, PACE, USED, VARIABLE
from acagent_nb.runnable import answer_files
from tests.clients import Do
from tests.openai_like import openai_like, piece, stream
from tests.replay import replaying, said
from tests.taping import KEY, NOBODY, lines, others

pytestmark = pytest.mark.usefixtures("unrecorded")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "a.jsonl"


def test_the_host_of_a_replay(do: Do, file: Path) -> None:
    file.touch()
    with acagent_nb.replay(file):
        host = do(None, "host")
        assert (host.url, host.how) == ("recording:a.jsonl", "a recording")
    with acagent_nb.record(file):
        assert do(NOBODY, "host").url == NOBODY


def test_the_environment_says_it_too(do: Do, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, f"record:{file}")
    with replaying(chat=said("Hello.", pause=0.1)) as there:
        do(there.url, "chat", "local_m", "Hi")
    used = file.with_suffix(".used")
    monkeypatch.setenv(VARIABLE, f" replay:{file} ")
    monkeypatch.setenv(PACE, "1")
    monkeypatch.setenv(USED, str(used))
    began = time.monotonic()
    assert do(NOBODY, "chat", "local_m", "Hi").text == "Hello."
    assert time.monotonic() - began >= 0.15
    assert used.read_text() == f"{lines(file)[0]['key']} 1\n"
    answers.off()
    with pytest.raises(ServerDown):
        do(NOBODY, "chat", "local_m", "Hi")


def test_commands_and_clients_read_the_environment_alike(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.touch()
    setting = f" auto: {file} "
    monkeypatch.setenv(VARIABLE, setting)
    current = answers.current()
    assert current is not None
    assert answer_files.answers(setting, "story.ipynb") == f"{current.mode}:{current.file}" == f"auto:{file}"
    for wrong in ("a.jsonl", "auto", "auto:", "auto: ", f"auto :{file}", f"play:{file}"):
        monkeypatch.setenv(VARIABLE, wrong)
        with pytest.raises(BadParams, match=FORM):
            answers.current()
        with pytest.raises(BadOption, match=FORM):
            answer_files.answers(wrong, "story.ipynb")


def test_a_list_of_uses_that_cant_be_written(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with replaying(chat=said("Hello")) as there, acagent_nb.record(file), Client(there.url) as client:
        client.chat("local_m", "Hi")
    monkeypatch.setenv(USED, str(tmp_path))
    with acagent_nb.replay(file), Client(NOBODY) as client, pytest.raises(BadParams, match=USED):
        client.chat("local_m", "Hi")


@pytest.mark.parametrize(
    ("told", "pace", "match"),
    [
        ("nonsense", "", "record:FILE"),
        ("play:a.jsonl", "", "record:FILE"),
        ("replay:", "", "record:FILE"),
        ("replay:{file}", "fast", "PACE"),
    ],
)
def test_an_environment_that_can_not_be_meant(
    told: str, pace: str, match: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.touch()
    monkeypatch.setenv(VARIABLE, told.format(file=file))
    monkeypatch.setenv(PACE, pace)
    with Client(NOBODY) as client, pytest.raises(BadParams, match=match):
        client.models()


def test_files_that_can_not_be_used(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotRecorded, match="no recording") as missing:
        acagent_nb.replay(file)
    assert "record:" in missing.value.hint
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotRecorded, match=r"no recording a\.jsonl"):
        acagent_nb.replay("a.jsonl")
    for use in (acagent_nb.record, acagent_nb.replay):
        with pytest.raises(BadParams, match="folder"):
            use(tmp_path)
    file.write_text("no answer\n")
    with pytest.raises(BadParams, match="can't be written"):
        acagent_nb.record(file / "below.jsonl")
    with pytest.raises(BadParams, match="Line 1"):
        acagent_nb.replay(file)
    assert answers.current() is None
    with acagent_nb.record(tmp_path / "new" / "folder" / "a.jsonl"):
        assert (tmp_path / "new" / "folder").is_dir()


def test_one_in_another_goes_back_to_what_was(file: Path) -> None:
    other = file.with_name("b.jsonl")
    with acagent_nb.record(file) as outer:
        assert answers.current() is outer
        with acagent_nb.record(other) as inner:
            assert answers.current() is inner
            with answers.beside():
                assert answers.current() is None
        assert answers.current() is outer
    assert answers.current() is None
    outer.close()


def test_off_ends_what_was_begun_and_then_what_the_environment_says(file: Path, monkeypatch: Any) -> None:
    file.touch()
    monkeypatch.setenv(VARIABLE, f"replay:{file}")
    inner = acagent_nb.record(file.with_name("inner.jsonl"))
    assert answers.current() is inner
    answers.off()
    outer = answers.current()
    assert outer is not None
    assert (outer.mode, outer.file) == ("replay", file)
    answers.off()
    assert answers.current() is None
    with acagent_nb.record(file) as alone:
        assert alone.beneath is None
    assert answers.current() is None


STRICT = """
import asyncio, os, sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("openai", "xllamacpp"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

if os.environ["ACAGENT_NB_ANSWERS"].startswith("replay"):
    sys.meta_path.insert(0, Missing())
    def watch(event, arguments):
        if event in ("socket.connect", "socket.getaddrinfo", "subprocess.Popen"):
            raise AssertionError(f"{event}: {arguments}")
    sys.addaudithook(watch)

from acagent_nb import AsyncClient, Client

def get_weather(city: str) -> str:
    "The weather in a city."
    return "sunny, 21 degrees"

def told(tools):
    with Client(timeout=30) as client:
        yield client.chat("local_tiny", "Why is the sky blue?").text
        yield "".join(each.text for each in client.stream("local_tiny", "What is a token?") if hasattr(each, "text"))
        yield client.chat("local_tiny:skills", "What is the weather in Rome?", tools=tools, seed=1, temperature=0).text
        yield client.embed("local_tiny", ["a", "b"]).sum()
        yield client.generate("local_tiny", "Why is", raw=True, num_predict=5).text
        yield [model.name for model in client.models()], client.show("local_tiny").capabilities, client.ping()
        client.create("local_strict", from_model="local_tiny", system="Be brief.")
        client.delete("local_strict")
    async def many():
        async with AsyncClient() as client:
            asks = (client.chat("local_tiny", f"What is {n} + 2?") for n in range(4))
            return [reply.text for reply in await asyncio.gather(*asks)]
    yield asyncio.run(many())
    with Client() as client:
        yield client.chat("gpt-4o-mini", "Hello").text
"""


def test_a_strict_replay_connects_to_nobody_and_needs_nothing(file: Path, server: str, api: httpx.Client) -> None:
    code = f"{STRICT}\nprint(list(told([get_weather, *{others()!r}])))"
    environment = {name: value for name, value in os.environ.items() if name not in ("PATH", "OPENAI_API_KEY")}
    with openai_like(stream(piece(content="Hello!"), piece("stop"))) as seen:
        there = {"OLLAMA_HOST": server, "OPENAI_BASE_URL": seen.url, "OPENAI_API_KEY": KEY}
        first = _python(code, environment | there | {VARIABLE: f"record:{file}"})
    assert "Hello!" in first
    assert "sunny" in first or "Rome" in first
    again = _python(code, environment | {VARIABLE: f"replay:{file}"})
    assert again == first


def _python(code: str, environment: dict[str, str]) -> str:
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout
