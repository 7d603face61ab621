"""The Tab key in `%%llm` and `%llm`: in a real shell, and through a real kernel as JupyterLab asks it."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell

from acagent_nb import completion, flags, offering
from acagent_nb.options import TABLE

from .kernels import running_kernel
from .replay import Answer, Replay, replaying


def listing(*names: str) -> Answer:
    return Answer((json.dumps({"models": [{"name": name} for name in names]}),), content_type="application/json")


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> Iterator[Replay]:
    with replaying(tags=listing("alpha:latest", "beta:1b", "gamma:latest"), ps=listing("gamma:latest")) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        yield server


def offered(shell: InteractiveShell, code: str) -> list[str]:
    """What completes a cell at its end, each as the whole word that it would become."""
    with provisionalcompleter():
        return [each.text for each in shell.Completer.completions(code, len(code))]


def soon(shell: InteractiveShell, code: str, word: str) -> list[str]:
    """The same, as soon as the server's answer has come: on a busy machine that is not the first time."""
    deadline = time.monotonic() + 10
    while word not in (found := offered(shell, code)):
        assert time.monotonic() < deadline, found
    return found


@pytest.mark.parametrize("line", ["%%llm ", "%%llm --model ", "%%llm --seed 4 ", "%llm use ", "%llm chat "])
def test_models_those_that_run_first(shell: InteractiveShell, there: Replay, line: str) -> None:
    found = soon(shell, line, "local_alpha")
    assert found[:3] == ["local_gamma", "local_alpha", "local_beta:1b"]
    assert "local_tiny" in found


def test_a_begun_model(shell: InteractiveShell, there: Replay) -> None:
    assert soon(shell, "%%llm local_b", "local_beta:1b") == ["local_beta:1b"]
    assert offered(shell, "%%llm local_alpha,local_g") == ["local_gamma"]
    assert offered(shell, "%%llm local_alpha, local_g") == ["local_gamma"]
    assert offered(shell, "%%llm --model=local_g") == ["local_gamma"]


def test_roles_endpoints_and_cloud_models_with_a_price(shell: InteractiveShell, there: Replay) -> None:
    Path("params.toml").write_text(
        'model = "gpt-x"\n[roles]\nWRITER_MODEL = "local_alpha"\n[prices."gpt-y"]\nin = 1\nout = 2\n'
        '[endpoints.lab]\nbase_url = "http://127.0.0.1:1/v1"\n'
    )
    assert {"WRITER_MODEL", "gpt-x", "gpt-y", "lab/"} <= {*offered(shell, "%%llm ")}
    assert offered(shell, "%llm use WR") == ["WRITER_MODEL"]
    Path("params.toml").write_text("model = [")
    assert "local_tiny" in offered(shell, "%%llm ")


def test_every_flag(shell: InteractiveShell) -> None:
    found = offered(shell, "%%llm local_tiny --")
    assert found == [flags.named(name) for name in [*flags.OWN, *TABLE]]
    assert offered(shell, "%%llm local_tiny ") == found
    assert offered(shell, "%%llm --temp") == ["--temperature"]
    assert "--seed" not in offered(shell, "%%llm local_tiny --seed 3 --se"), "what was said is not said twice"
    assert offered(shell, "%%llm local_tiny --stop a --sto") == ["--stop"], "but for what may be"
    assert offered(shell, "%llm ask --temp") == ["--temperature"]


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("--use-mmap ", ["true", "false"]),
        ("--use-mmap=f", ["false"]),
        ("--use_mmap true,f", ["false"]),
        ("--mirostat ", ["0", "1", "2"]),
        ("--think=", ["low", "medium", "high", "max", "true", "false"]),
        ("--think h", ["high"]),
        ("--keep-alive ", ["5m", "0", "-1"]),
        ("--into ra", ["rainfall"]),
        ("--into Pe", []),
        ("--tool ge", ["get_weather"]),
        ("--schema Pe", ["Person"]),
        ("--schema list[Pe", ["Person"]),
        ("--schema=Person|sh", ["shape"]),
        ("--chat tr", ["trip"]),
        ("--seed ", []),
        ('--system "Be br', []),
    ],
)
def test_values(shell: InteractiveShell, typed: str, found: list[str]) -> None:
    shell.run_cell("class Person: ...\ndef get_weather(city): ...\nimport random")
    shell.run_cell("rainfall, shape, _hidden = 3, {'type': 'object'}, 1")
    folder = Path("home/acagent_nb/chats")
    folder.mkdir(parents=True)
    (folder / "trip.json").write_text("{}")
    assert [each for each in offered(shell, f"%%llm local_tiny {typed}") if each in found] == found
    if not found:
        matcher = next(each for each in shell.Completer.custom_matchers if isinstance(each, completion.Matcher))
        line = f"%%llm local_tiny {typed}"
        ours = matcher.offering.offers([line], 0, len(line))
        assert [word for each in ours for word in each.words if word.startswith(each.fragment)] == []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("%llm pu", ["pull"]),
        ("%llm help do", ["doctor"]),
        ("%llm chats br", ["branch"]),
        ("%llm rm alpha --y", ["--yes"]),
        ("%llm list --h", ["--help"]),
        ("x = 1\n  %llm un", ["unload"]),
    ],
)
def test_words_of_a_line(shell: InteractiveShell, line: str, found: list[str]) -> None:
    assert offered(shell, line) == found


def test_models_of_a_line(shell: InteractiveShell, there: Replay) -> None:
    assert soon(shell, "%llm show ", "alpha") == ["gamma", "alpha", "beta:1b"]
    assert offered(shell, "%llm show local_b") == ["local_beta:1b"]
    assert offered(shell, "%llm unload ") == ["gamma"]
    assert offered(shell, "%llm rm alpha ") == ["gamma", "beta:1b"]
    assert offered(shell, "%llm pull ti") == ["tiny", "tiny:skills"]


def test_the_prompt_is_left_to_python(shell: InteractiveShell) -> None:
    shell.run_cell("rainfall = 3")
    assert offered(shell, "%%llm local_tiny\n{{rainf") == ["rainfall"]
    assert "--temperature" not in offered(shell, "%%llm local_tiny\n--temp")
    assert "--temperature" not in offered(shell, "x = 1\n%%llm --temp")


def test_a_server_that_says_nothing_holds_nobody_up(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        monkeypatch.setenv("OLLAMA_HOST", f"http://127.0.0.1:{deaf.getsockname()[1]}")
        offered(shell, "%%llm ")  # what is imported once
        began = time.monotonic()
        assert "local_tiny" in offered(shell, "%%llm ")
        assert time.monotonic() - began < 10 * offering.PATIENCE


@pytest.mark.parametrize("host", ["127.0.0.1:1", "ftp://nowhere", "http://[::1"])
def test_no_server_is_no_trouble(
    shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], host: str
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", host)
    assert "local_tiny" in offered(shell, "%%llm ")
    assert "".join(capfd.readouterr()) == ""


def test_it_goes_with_the_magics(shell: InteractiveShell) -> None:
    for _ in range(2):
        shell.run_line_magic("reload_ext", "acagent_nb")
    assert sum(isinstance(each, completion.Matcher) for each in shell.Completer.custom_matchers) == 1
    shell.run_line_magic("unload_ext", "acagent_nb")
    assert shell.Completer.custom_matchers == []
    assert "--temperature" not in offered(shell, "%%llm --temp")


def test_through_a_kernel(api: httpx.Client, server: str) -> None:
    api.post("/api/generate", json={"model": "tiny", "keep_alive": 0}).raise_for_status()  # which unloads it
    api.post("/api/generate", json={"model": "tiny:skills"}).raise_for_status()  # which loads it
    with running_kernel(OLLAMA_HOST=server) as kernel:
        kernel.run("%load_ext acagent_nb\nclass Person: ...")
        deadline = time.monotonic() + 10
        while (found := kernel.complete("%%llm local_")).index("local_tiny:skills") > found.index("local_tiny"):
            assert time.monotonic() < deadline, f"what is loaded comes first, not so: {found}"
        assert kernel.complete("%%llm local_tiny --tempe\nWhy?", len("%%llm local_tiny --tempe")) == ["--temperature"]
        assert kernel.complete("%%llm local_tiny --schema Pe") == ["Person"]
        assert kernel.complete("%llm unl") == ["unload"]
        assert "tiny:skills" in kernel.complete("%llm unload ti")
        kernel.run("%unload_ext acagent_nb")
        assert "unload" not in kernel.complete("%llm unl")
