"""`%%llm` through a real shell and a real kernel: what it reads, sends, keeps and refuses."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from acagent_nb import (
    BadName,
    BadOption,
    Incomplete,
    KeyMissing,
    LLMError,
    ModelMissing,
    Reply,
    ServerDown,
    flags,
    hosts,
)
from acagent_nb.options import TABLE
from tests.kernels import Kernel, running_kernel
from tests.refresh import fresh_user
from tests.replay import Answer, Replay, replaying, said


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> Iterator[Replay]:
    """A server that says the same again and again."""
    with replaying(chat=said("Hello ", "you.")) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        yield server


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    with running_kernel() as kernel:
        assert kernel.run("%load_ext acagent_nb").status == "ok"
        yield kernel


def asked(server: Replay) -> Any:
    """The last chat's body."""
    return [body for method, path, body in server.requests if path == "/api/chat"][-1]


VALUES = {int: ("5", 5), float: ("0.5", 0.5), bool: ("true", True), list: ("a b", ["a b"])}


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.parametrize("written", ["--{dashes} {value}", "--{name}={value}"])
def test_every_option_is_a_flag(shell: InteractiveShell, there: Replay, name: str, written: str) -> None:
    text, value = VALUES[TABLE[name].kind]
    if name == "mirostat":
        text, value = "2", 2
    line = written.format(dashes=name.replace("_", "-"), name=name, value=f"'{text}'")
    shell.run_cell_magic("llm", f"local_tiny {line}", "Hi")
    assert asked(there)["options"] == {name: value}
    assert type(asked(there)["options"][name]) is type(value)


def test_nothing_is_sent_that_was_not_said(shell: InteractiveShell, there: Replay) -> None:
    shell.run_cell_magic("llm", "local_tiny", "\nHi {you} $HOME\n\n  there\n")
    assert asked(there) == {
        "model": "tiny",
        "messages": [{"role": "user", "content": "Hi {you} $HOME\n\n  there"}],
        "truncate": False,
    }


def test_the_line_is_taken_as_it_is_typed(shell: InteractiveShell, there: Replay) -> None:
    shell.user_ns["you"] = "me"
    cell = "%%llm local_tiny --system \"Be {you}, $you, 'brief'\" --stop '#' --stop a,b --seed -1 --top_k=5\nHi"
    assert shell.run_cell(cell).success
    assert asked(there)["messages"][0] == {"role": "system", "content": "Be {you}, $you, 'brief'"}
    assert asked(there)["options"] == {"stop": ["#", "a,b"], "seed": -1, "top_k": 5}


def test_the_answer_is_kept(shell: InteractiveShell, there: Replay) -> None:
    shell.run_cell_magic("llm", "local_tiny --seed 1", "Hi")
    reply = shell.user_ns["_llm"]
    assert isinstance(reply, Reply)
    assert (reply.text, reply.model, reply.complete, reply.options.seed) == ("Hello you.", "tiny", True, 1)
    assert reply.stats.eval_count == 2


@pytest.mark.parametrize(
    ("line", "error", "message", "hint"),
    [
        ("local_tiny --temprature 1", BadOption, "There is no flag --temprature.", "Did you mean --temperature?"),
        ("local_tiny --temp 1", BadOption, "There is no flag --temp.", ""),
        ("local_tiny --nopull", BadOption, "There is no flag --nopull.", "Did you mean --no-pull?"),
        ("local_tiny -t 1", BadOption, "There is no flag -t.", "%%llm? shows all flags."),
        ("local_tiny --top-k 1.5", BadOption, "top_k takes a whole number, not 1.5.", ""),
        ("local_tiny --top-k many", BadOption, "top_k takes a whole number, not 'many'.", ""),
        ("local_tiny --top-p 2", BadOption, "top_p takes a number from 0 to 1, not 2.", ""),
        ("local_tiny --top-k inf", BadOption, "top_k takes a whole number, not inf.", ""),
        ("local_tiny --temperature nan", BadOption, "temperature takes a number, not nan.", ""),
        ("local_tiny --use-mmap yes", BadOption, "use_mmap takes true or false, not 'yes'.", ""),
        ("local_tiny --seed", BadOption, "--seed needs a value.", "For example --seed=40"),
        ("local_tiny --seed --top-k 3", BadOption, "--seed needs a value.", "For example --seed=40"),
        ("local_tiny --system", BadOption, "--system needs a value.", 'For example --system="Be brief."'),
        ("local_tiny --no-pull=yes", BadOption, "--no-pull takes no value.", "Write --no-pull alone."),
        ("local_tiny --system be brief", BadOption, "'brief' is a word too many.", ""),
        ("local_tiny --system 'Be", BadOption, "The line has a quote without its partner.", ""),
        ("local_", BadName, "'' is not a model's name.", ""),
    ],
)
def test_a_wrong_line_is_refused_before_anything_is_sent(
    shell: InteractiveShell, there: Replay, line: str, error: type[LLMError], message: str, hint: str
) -> None:
    with pytest.raises(error) as caught:
        shell.run_cell_magic("llm", line, "Hi")
    assert caught.value.message.startswith(message)
    assert caught.value.hint.startswith(hint)
    assert there.requests == []
    assert "_llm" not in shell.user_ns


def test_a_cloud_model_needs_a_key(shell: InteractiveShell, there: Replay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(KeyMissing, match="OPENAI_API_KEY"):
        shell.run_cell_magic("llm", "gpt-4o", "Hi")
    assert there.requests == []


@pytest.mark.parametrize("cell", ["%%llm local_tiny", "%%llm local_tiny\n", "%%llm local_tiny\n  \n\n"])
def test_an_empty_cell_is_an_error(shell: InteractiveShell, there: Replay, cell: str) -> None:
    error = shell.run_cell(cell).error_in_exec
    assert isinstance(error, LLMError)
    assert error.message == "The cell is empty: there is nothing to ask."
    assert there.requests == []


def test_no_pull(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = Answer(('{"error":"model \'tiny\' not found"}\n',), 404, "application/json")
    with replaying(chat=missing) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        with pytest.raises(ModelMissing):
            shell.run_cell_magic("llm", "local_tiny --no-pull", "Hi")
        assert [path for _, path, _ in server.requests] == ["/api/chat"]


def test_a_server_that_is_gone(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> None:
    with replaying() as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url.replace("://", "://me:hush@"))
    with pytest.raises(ServerDown) as caught:
        shell.run_cell_magic("llm", "local_tiny", "Hi")
    assert "hush" not in str(caught.value)


def test_a_partial_answer_is_kept(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> None:
    with replaying(chat=said("Hel", done=False)) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        with pytest.raises(Incomplete):
            shell.run_cell_magic("llm", "local_tiny", "Hi")
    assert shell.user_ns["_llm"].text == "Hel"
    assert not shell.user_ns["_llm"].complete


@pytest.mark.parametrize("cell", ["%%llm --help", "%%llm local_tiny --help\nHi"])
def test_help(shell: InteractiveShell, there: Replay, capsys: pytest.CaptureFixture[str], cell: str) -> None:
    assert shell.run_cell(cell).success
    assert capsys.readouterr().out.rstrip() == flags.help().rstrip()
    assert there.requests == []


def test_a_cell_can_be_typed_in_a_terminal(shell: InteractiveShell) -> None:
    assert shell.check_complete("%%llm local_tiny")[0] == "incomplete"
    assert shell.check_complete("%%llm local_tiny\nWhy?\n\n")[0] == "complete"


def test_reload_and_unload(shell: InteractiveShell) -> None:
    before = list(shell.input_transformers_cleanup)
    for _ in range(2):
        shell.run_line_magic("reload_ext", "acagent_nb")
    assert shell.input_transformers_cleanup == before
    shell.run_line_magic("unload_ext", "acagent_nb")
    assert "llm" not in shell.magics_manager.magics["cell"]
    assert "LLMMagics" not in shell.magics_manager.registry
    shell.run_line_magic("load_ext", "acagent_nb")
    assert "llm" in shell.magics_manager.magics["cell"]


def test_a_reload_forgets_the_server(kernel: Kernel) -> None:
    with replaying(chat=said("one")) as first, replaying(chat=said("two")) as second:
        kernel.use(first.url)
        assert kernel.run("%%llm local_tiny\nHi").text == "one"
        kernel.run(f"%env OLLAMA_HOST={second.url}")
        assert kernel.run("%%llm local_tiny\nHi").text == "one", "a session keeps its server"
        kernel.run("%reload_ext acagent_nb")
        assert kernel.run("%%llm local_tiny\nHi").text == "two"


def test_a_user_who_has_nothing_yet(tmp_path: Path) -> None:
    if sys.platform != "linux" or hosts.answers("http://localhost:11434") or hosts.answers("http://ollama:11434"):
        pytest.skip("only on Linux, and where no Ollama server answers, the embedded one can be started for a test")
    with fresh_user(tmp_path) as environment, running_kernel(**environment) as kernel:
        kernel.run("%load_ext acagent_nb")
        ran = kernel.run("%%llm local_tiny\nWhat is 2 + 2?", seconds=60)
        pages = "".join(content["data"]["text/html"] for _, content in ran.drawings)
        assert "local_tiny · starting the embedded server…" in pages
        assert "local_tiny · waiting for the model…" in pages
        assert "<br>embedded server at http://127.0.0.1:" in ran.html
        first = kernel.value("from acagent_nb import Client; Client().host().url")
        command = [sys.executable, "-m", "acagent_nb", "stop"]
        subprocess.run(command, env=os.environ | environment, check=True)
        again = kernel.run("%%llm local_tiny\nWhat is 2 + 2?", seconds=60)
        assert again.status == "ok", "an embedded server that has ended is started again"
        assert kernel.value("Client().host().url") != first


def test_an_error_fails_the_cell_in_two_lines(kernel: Kernel) -> None:
    ran = kernel.run("%%llm local_tiny --temprature 1\nHi")
    assert ran.status == "error"
    assert ran.error["ename"] == "BadOption"
    assert ran.error["traceback"] == [
        "\x1b[31mBadOption\x1b[0m: There is no flag --temprature.",
        "Did you mean --temperature?",
    ]
    assert ran.drawings == []
    assert ran.printed == ""


def test_python_users_keep_their_traceback(kernel: Kernel) -> None:
    kernel.run("%%llm local_tiny --temprature 1\nHi")
    error = kernel.run("from acagent_nb import Options\nOptions.of({'temprature': 1})").error
    assert len(error["traceback"]) > 2


def test_the_question_mark_explains(kernel: Kernel) -> None:
    told = kernel.run("%%llm?").reply["payload"][0]["data"]["text/plain"]
    assert "Ask a language model" in told
    assert "--temperature NUMBER" in told
    assert "Why is the sky blue?" in told


def test_it_loads_within_30_ms_of_cpu() -> None:
    code = """
import time
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_line_magic("load_ext", "autoreload")  # so that IPython's own share is paid
began = time.process_time()
shell.run_line_magic("load_ext", "acagent_nb")
print(time.process_time() - began)
"""
    took = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
        for _ in range(3)
    ]
    assert min(took) < 0.030
