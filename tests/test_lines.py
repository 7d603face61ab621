"""The line commands about models, params, costs and errors, through a real shell and a real kernel."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from IPython.core.interactiveshell import InteractiveShell

from acagent_nb import BadName, BadOption, Client, LLMError, ModelMissing, ServerDown, lines, record, replay
from acagent_nb.addresses import is_loopback

from .kernels import Kernel, Ran, running_kernel
from .openai_like import openai_like, piece, stream
from .replay import Answer, recorded, replaying, said

Printed = pytest.CaptureFixture[str]


@pytest.fixture
def there(api: httpx.Client, server: str, monkeypatch: pytest.MonkeyPatch) -> httpx.Client:
    """The embedded server, where the shell will look for it."""
    monkeypatch.setenv("OLLAMA_HOST", server)
    for name in ("tiny", "tiny:skills"):
        api.post("/api/generate", json={"model": name, "keep_alive": 0}).raise_for_status()
    return api


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    with running_kernel() as kernel:
        assert kernel.run("%load_ext acagent_nb").status == "ok"
        yield kernel


def loaded(api: httpx.Client) -> list[str]:
    return [each["name"] for each in api.get("/api/ps").json()["models"]]


def test_every_command_explains_itself(shell: InteractiveShell, capsys: Printed) -> None:
    for word in lines.words():
        shell.run_line_magic("llm", f"help {word}")
        told = capsys.readouterr().out
        first, *examples = told.splitlines()
        assert first.startswith(f"%llm {word}: ")
        assert any(line.startswith(f"  %llm {word}") for line in examples), told
        if word not in ("ask", "chats"):
            shell.run_line_magic("llm", f"{word} --help")
            assert capsys.readouterr().out == told
        assert f"  %llm {word} " in lines.help()
    assert "%llm doctor" in (shell.find_line_magic("llm").__doc__ or "")


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        ("lst", "There is no command %llm lst.", "Did you mean %llm list?"),
        ("help unlaod", "There is no command %llm unlaod.", "Did you mean %llm unload?"),
        ("xyzzy", "There is no command %llm xyzzy.", "The commands are: help, use"),
        ("list all", "'all' is a word too many.", "For example: %llm list"),
        ("show", "A model's name is missing.", "For example: %llm show local_tiny"),
        ("load a b", "'b' is a word too many.", "For example: %llm load local_tiny"),
        ("rm", "A model's name is missing.", "For example: %llm rm"),
        ("rm tiny --yse", "There is no flag --yse here.", "Did you mean --yes?"),
        ("rm 'tiny", "The line has a quote without its partner.", ""),
    ],
)
def test_a_wrong_line(shell: InteractiveShell, line: str, message: str, hint: str) -> None:
    with pytest.raises(BadOption) as caught:
        shell.run_line_magic("llm", line)
    assert (caught.value.message, caught.value.hint[: len(hint)]) == (message, hint)


def test_list(shell: InteractiveShell, there: httpx.Client, capsys: Printed) -> None:
    there.post("/api/generate", json={"model": "tiny"}).raise_for_status()
    shell.run_line_magic("llm", "list")
    head, *rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert head == ["name", "size", "parameters", "context", "loaded"]
    told = {row[0]: row[3:] for row in rows}
    assert told["local_tiny"] == ["1.83M", "2,048", "on", "the", "CPU"]
    assert told["local_tiny:skills"] == ["1.83M", "2,048"]


def test_load_ps_unload(shell: InteractiveShell, there: httpx.Client, capsys: Printed) -> None:
    Path("params.toml").write_text('[roles]\nWRITER_MODEL = "local_tiny"\n')
    for name in ("tiny", "local_tiny", "WRITER_MODEL"):
        shell.run_line_magic("llm", f"load {name}")
        assert "tiny:latest" in loaded(there)
        shell.run_line_magic("llm", "ps")
        shell.run_line_magic("llm", f"unload {name}")
        assert "tiny:latest" not in loaded(there)
        first, _, *rows, last = capsys.readouterr().out.splitlines()
        assert (first, last) == (f"{name} is loaded.", f"{name} is unloaded.")
        row = next(row for row in rows if row.split()[0] == "local_tiny")
        assert row.endswith("in 4 minutes")
    shell.run_line_magic("llm", "unload tiny")
    assert capsys.readouterr().out == "tiny is not loaded.\n"


def test_nothing_is_loaded(shell: InteractiveShell, capsys: Printed, monkeypatch: pytest.MonkeyPatch) -> None:
    with replaying(tags=Answer(('{"models":[]}',), content_type="application/json")) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        shell.run_line_magic("llm", "ps")
        shell.run_line_magic("llm", "list")
    first, second = capsys.readouterr().out.splitlines()
    assert first == "No model is loaded."
    assert second == "The server has no models yet; %llm pull tiny gets one."


def test_show(shell: InteractiveShell, there: httpx.Client, capsys: Printed) -> None:
    shell.run_line_magic("llm", "show tiny:skills")
    told = capsys.readouterr().out
    assert "family         llama\n" in told
    assert "context        2,048 tokens\n" in told
    assert "can do         completion, tools, thinking\n" in told
    assert "\n                   " in told, "a template keeps its lines"


@pytest.mark.parametrize("line", ["show tinny", "load local_tinny", "unload tinny", "rm tinny --yes"])
def test_a_model_that_is_not_there(shell: InteractiveShell, there: httpx.Client, line: str) -> None:
    with pytest.raises(ModelMissing) as caught:
        shell.run_line_magic("llm", line)
    assert caught.value.hint in ("Did you mean tiny:latest?", "Did you mean tiny?")


def test_load_says_how_to_get_a_model(shell: InteractiveShell, there: httpx.Client) -> None:
    with pytest.raises(ModelMissing) as caught:
        shell.run_line_magic("llm", "load mistral-small3.2")
    assert caught.value.hint == "%llm pull mistral-small3.2 gets it."


def test_options_in_a_terminal_are_those_of_the_server_in_use(
    shell: InteractiveShell, there: httpx.Client, capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shell.run_cell("%llm options").success
    assert "Options for the embedded server;" in capsys.readouterr().out
    with replaying(version=Answer(('{"version":"0.6.8"}',), content_type="application/json")) as old:
        monkeypatch.setenv("OLLAMA_HOST", old.url)
        assert shell.run_cell("%llm options").success
    assert "Options for Ollama 0.6.8;" in capsys.readouterr().out
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:1")
    assert shell.run_cell("%llm options").success
    assert "Options for the newest Ollama;" in capsys.readouterr().out


def test_unload_does_not_say_how_to_get_one(shell: InteractiveShell, there: httpx.Client) -> None:
    with pytest.raises(ModelMissing) as caught:
        shell.run_line_magic("llm", "unload mistral-small3.2")
    assert caught.value.hint.startswith("It has: ")
    assert "tiny:skills" in caught.value.hint


def test_a_cloud_model_is_nothing_for_the_server(shell: InteractiveShell, there: httpx.Client) -> None:
    Path("params.toml").write_text('[roles]\nWRITER_MODEL = "gpt-x"\n')
    for line in ("show WRITER_MODEL", "rm WRITER_MODEL --yes", "load WRITER_MODEL"):
        with pytest.raises((BadName, BadOption)):
            shell.run_line_magic("llm", line)


def test_pull_and_rm(
    shell: InteractiveShell, there: httpx.Client, capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def names() -> set[str]:
        return {each["name"] for each in there.get("/api/tags").json()["models"]}

    for name in ("one", "two"):
        there.post("/api/copy", json={"source": "tiny", "destination": name}).raise_for_status()
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    shell.run_line_magic("llm", "rm one two")
    assert capsys.readouterr().out == "Remove one:latest (2.0 MB), two:latest (2.0 MB)? [y/N] Nothing was removed.\n"
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    with pytest.raises(LLMError) as caught:
        shell.run_line_magic("llm", "rm one")
    assert caught.value.hint == "Add --yes to remove without being asked."
    assert {"one:latest", "two:latest"} <= names()
    with pytest.raises(ModelMissing):
        shell.run_line_magic("llm", "rm one no-such-model --yes")
    assert "one:latest" in names(), "all are looked for before any is removed"
    monkeypatch.setattr("sys.stdin", io.StringIO("yes\n"))
    shell.run_line_magic("llm", "rm local_one")
    shell.run_line_magic("llm", "rm --yes two")
    assert not {"one:latest", "two:latest"} & names()
    shell.run_line_magic("llm", "rm tiny:skills --yes")
    capsys.readouterr()
    shell.run_line_magic("llm", "pull local_tiny:skills")
    assert capsys.readouterr().out.splitlines()[-1].startswith("local_tiny:skills is there")
    assert "tiny:skills" in names()


def test_in_a_notebook(kernel: Kernel, there: httpx.Client, server: str) -> None:
    kernel.use(server)
    page = kernel.run("%llm list").drawings[0][1]["data"]
    assert "<table" in page["text/html"]
    assert "local_tiny:skills" in page["text/html"]
    assert page["text/plain"].startswith("name ")
    nobody = kernel.run("%llm rm tiny")
    assert nobody.error["traceback"][1] == "Add --yes to remove without being asked."
    there.post("/api/copy", json={"source": "tiny", "destination": "spare"}).raise_for_status()
    assert kernel.run("%llm rm spare", user=lambda prompt: "y").printed == "Removed spare:latest.\n"


def test_what_a_server_says_is_text(kernel: Kernel) -> None:
    tags = '{"models":[{"name":"<img src=x onerror=alert(1)>","size":1,"details":{"parameter_size":"\\u001b[2J"}}]}'
    with replaying(tags=Answer((tags,), content_type="application/json")) as server:
        kernel.use(server.url)
        page = kernel.run("%llm list").drawings[0][1]["data"]
    assert "<img" not in page["text/html"]
    assert "\x1b" not in page["text/html"] + page["text/plain"]


def test_a_pull_is_one_display(kernel: Kernel) -> None:
    with replaying(pull=recorded("pull_slow_with_progress", pause=0.02)) as server:
        kernel.use(server.url)
        ran = kernel.run("%llm pull llama3.2:1b")
    assert ran.status == "ok"
    assert len({content["transient"]["display_id"] for _, content in ran.drawings}) == 1
    assert any("<progress" in content["data"]["text/html"] for _, content in ran.drawings)
    assert ran.text.startswith("llama3.2:1b is there: ")
    assert ran.printed == ""


def test_a_pull_can_be_stopped(kernel: Kernel) -> None:
    with replaying(pull=Answer(recorded("pull_slow_with_progress").lines[:6], pause=0.02, stall=30)) as server:
        kernel.use(server.url)
        pressed: list[float] = []

        def stop(ran: Ran) -> None:
            if len(ran.drawings) > 1 and not pressed:
                pressed.append(kernel.interrupt())

        ran = kernel.run("%llm pull llama3.2:1b", stop)
        assert server.gone.wait(5)
        assert server.left[0] - pressed[0] < 5
    assert ran.error["ename"] == "Interrupted"
    assert "what has come is kept" in ran.error["traceback"][0]
    assert ran.error["traceback"][1] == "%llm pull llama3.2:1b goes on there."
    assert "llama3.2:1b" in ran.text


PARAMS = """
model = "local_tiny"
[roles]
WRITER_MODEL = "lab/qwen3"
[options]
temperature = 0.5
stop = ["###"]
[endpoints.lab]
base_url = "http://127.0.0.1:1/v1"
key_env = "LAB_API_KEY"
[prices."gpt-x"]
in = 2.0
out = 8
"""


def test_params(shell: InteractiveShell, capsys: Printed, monkeypatch: pytest.MonkeyPatch) -> None:
    shell.run_line_magic("llm", "params")
    assert "there is no params.toml in this folder, nor above it" in capsys.readouterr().out
    Path("params.toml").write_text(PARAMS)
    monkeypatch.setenv("LAB_API_KEY", "sk-hush")
    shell.run_line_magic("llm", "params")
    told = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    assert told == [
        ["file", "params.toml"],
        ["model", "local_tiny"],
        ["role", "WRITER_MODEL = lab/qwen3"],
        ["option", "temperature = 0.5"],
        ["option", "stop = ['###']"],
        ["endpoint", "lab: http://127.0.0.1:1/v1, key in LAB_API_KEY (set)"],
        ["price", "gpt-x: 2 in, 8 out, per million tokens"],
    ]


def test_params_of_a_folder_above(shell: InteractiveShell, capsys: Printed, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("params.toml").write_text(PARAMS)
    Path("a/b").mkdir(parents=True)
    monkeypatch.chdir("a/b")
    shell.run_line_magic("llm", "params")
    assert capsys.readouterr().out.splitlines()[0].split() == ["file", str(Path("../../params.toml"))]


def test_params_of_a_session_with_a_cloud_model_only(shell: InteractiveShell, capsys: Printed) -> None:
    shell.run_line_magic("llm", "use gpt-x")
    capsys.readouterr()
    shell.run_line_magic("llm", "params")
    assert "model   gpt-x, by %llm use\n" in capsys.readouterr().out


def test_usage(shell: InteractiveShell, there: httpx.Client, capsys: Printed, monkeypatch: pytest.MonkeyPatch) -> None:
    shell.run_line_magic("llm", "usage")
    told = "No cell has asked a model in this session yet; what Client asks in code is not counted.\n"
    with Client() as client:
        client.chat("local_tiny", "What is 2 + 2?", num_predict=1)
        shell.run_line_magic("llm", "usage")
    assert capsys.readouterr().out == told * 2
    for seed in (1, 2):
        shell.run_cell_magic("llm", f"local_tiny --quiet --seed {seed}", "What is 2 + 2?")
    capsys.readouterr()
    shell.run_line_magic("llm", "usage")
    head, row = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert head == ["model", "answers", "tokens", "in", "tokens", "out", "seconds"]
    assert row[:4] == ["local_tiny", "2", "32", "18"]


def test_usage_of_a_replay(shell: InteractiveShell, there: httpx.Client, tmp_path: Path, capsys: Printed) -> None:
    def asked(*questions: str) -> str:
        for each in questions:
            shell.run_cell_magic("llm", "local_tiny --quiet --temperature 0", each)
        capsys.readouterr()
        shell.run_line_magic("llm", "usage")
        return capsys.readouterr().out

    with record(tmp_path / "answers.jsonl"):
        asked("What is 2 + 2?", "What is a token?")
    shell.run_line_magic("reload_ext", "acagent_nb")
    with replay(tmp_path / "answers.jsonl"):
        assert asked("What is 2 + 2?") == "1 answer was replayed, which cost nothing.\n"
        assert asked("What is a token?") == "2 answers were replayed, which cost nothing.\n"
    told = asked("What is 3 + 3?")
    assert told.splitlines()[1].split()[:2] == ["local_tiny", "1"]
    assert told.endswith("\n2 answers were replayed, which cost nothing.\n")


def test_usage_in_money(shell: InteractiveShell, capsys: Printed, monkeypatch: pytest.MonkeyPatch) -> None:
    cost = {"choices": [], "usage": {"prompt_tokens": 1_000, "completion_tokens": 500, "total_tokens": 1_500}}
    Path("params.toml").write_text(PARAMS)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-hush")
    with openai_like(stream(piece(content="Hi"), piece("stop"), cost)) as cloud, replaying(chat=said("Hi")) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", cloud.url)
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        for line in ("gpt-x", "gpt-x,local_m"):
            shell.run_cell_magic("llm", f"{line} --quiet", "Hi")
        capsys.readouterr()
        shell.run_line_magic("llm", "usage")
    head, cloudy, local, total = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert head[-1] == "money"
    assert (cloudy[:4], cloudy[-1]) == (["gpt-x", "2", "2,000", "1,000"], "0.0120"), "2,000 x 2 + 1,000 x 8 millionths"
    assert local[:4] == ["local_m", "1", "0", "1"]
    assert (total[:4], total[-1]) == (["all", "3", "2,000", "1,001"], "0.0120")


def test_usage_says_what_it_does_not_know(
    shell: InteractiveShell, capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    with replaying(chat=said("Hel", done=False)) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        with pytest.raises(LLMError):
            shell.run_cell_magic("llm", "local_m --quiet", "Hi")
        capsys.readouterr()
        shell.run_line_magic("llm", "usage")
        once = capsys.readouterr().out
        with pytest.raises(LLMError):
            shell.run_cell_magic("llm", "local_m --quiet", "Hi")
        shell.run_line_magic("llm", "usage")
    assert "1 answer was stopped or failed before the server counted its tokens" in once
    assert "2 answers were stopped or failed before the server counted their tokens" in capsys.readouterr().out


SECRET_HOST = "http://me:hush@127.0.0.1:1"  # not near the calls: a traceback shows the lines around them


def test_why(shell: InteractiveShell, capsys: Printed, monkeypatch: pytest.MonkeyPatch) -> None:
    shell.run_line_magic("llm", "why")
    assert capsys.readouterr().out == "Nothing has failed in this session.\n"
    monkeypatch.setenv("OLLAMA_HOST", SECRET_HOST)
    with pytest.raises(ServerDown):
        shell.run_line_magic("llm", "ps")
    shell.run_line_magic("xmode", "Verbose")
    capsys.readouterr()
    shell.run_line_magic("llm", "why")
    told = capsys.readouterr().out
    assert "ConnectError" in told, "what caused it is there"
    assert "No server answers at http://127.0.0.1:1" in told
    assert "server_lines.py" in told
    assert "hush" not in told, "values of variables are not shown, however the user likes tracebacks"
    assert shell.InteractiveTB.mode == "Verbose"
    shell.run_line_magic("xmode", "Context")


def test_a_server_that_ended_is_looked_for_again(
    shell: InteractiveShell, there: httpx.Client, server: str, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    assert is_loopback(server)
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:1")
    with pytest.raises(ServerDown):
        shell.run_line_magic("llm", "list")
    monkeypatch.setenv("OLLAMA_HOST", server)
    began = time.monotonic()
    shell.run_line_magic("llm", "list")
    assert "local_tiny" in capsys.readouterr().out
    assert time.monotonic() - began < 30
