"""`%llm doctor` and `acagent-nb doctor`: what works, what does not, and what to do about it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from IPython.core.interactiveshell import InteractiveShell

from acagent_nb import doctor, hosts
from acagent_nb.doctor import Finding, examined

from .kernels import running_kernel
from .replay import Answer, replaying

VARIABLES = ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OLLAMA_API_KEY", "OLLAMA_HOST", "LAB_API_KEY")
DEAD = "http://127.0.0.1:1"


@pytest.fixture(autouse=True)
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without a params.toml, and an environment without keys."""
    monkeypatch.chdir(tmp_path)
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)


def found(name: str, findings: list[Finding]) -> Finding:
    return next(each for each in findings if each.name == name)


def wrong(findings: list[Finding]) -> list[str]:
    return [each.name for each in findings if each.wrong]


def json_of(server_tells: str) -> Answer:
    return Answer((server_tells,), content_type="application/json")


def test_all_is_well(api: httpx.Client, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", server.replace("://", "://me:hush@"))
    api.post("/api/generate", json={"model": "tiny"}).raise_for_status()
    told = examined()
    assert wrong(told) == []
    assert found("params.toml", told).told == "none, which is fine"
    lives = found("server", told).told
    assert lives.startswith(f"{server} (OLLAMA_HOST) lives: the embedded engine, as Ollama ")
    assert re.search(r", \d+ models$", lives)
    slow = found("loaded", told)
    assert "on the CPU, which works but is far slower than a GPU" in slow.told
    assert slow.remedy == "", "none is smaller than tiny"
    assert " free in " in found("disk", told).told
    assert found("keys", told).told == "OPENAI_API_KEY is not set, OLLAMA_API_KEY is not set"
    assert found("kernel", told).told.startswith("Python 3.")
    assert "ipywidgets 8" in found("widgets", told).told
    assert "hush" not in str(told)


@pytest.mark.parametrize(
    ("sizes", "told", "remedy"),
    [
        ((4_000_000_000, 4_000_000_000), "takes 4.0 GB on the GPU", ""),
        ((4_000_000_000, 1_000_000_000), "25% GPU: the rest on the CPU slows all of it down", "Take a smaller model"),
        ((4_000_000_000, 0), "on the CPU", "Take a smaller model"),
    ],
)
def test_where_a_model_runs(monkeypatch: pytest.MonkeyPatch, sizes: tuple[int, int], told: str, remedy: str) -> None:
    ps = json.dumps({"models": [{"name": "big:latest", "size": sizes[0], "size_vram": sizes[1]}]})
    with replaying(version=json_of('{"version":"0.24.0"}'), tags=json_of('{"models":[]}'), ps=json_of(ps)) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        findings = examined()
    assert ": Ollama 0.24.0, 0 models" in found("server", findings).told
    assert told in found("loaded", findings).told
    assert found("loaded", findings).remedy.startswith(remedy)
    assert wrong(findings) == [], "a CPU is slow, not broken"


def test_a_dead_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", DEAD.replace("://", "://me:hush@"))
    told = examined()
    assert wrong(told) == ["server"]
    assert found("server", told).told.startswith(f"{DEAD} (OLLAMA_HOST) does not work: No server answers at {DEAD}")
    assert found("server", told).remedy == "Start it, or check the address."
    assert "hush" not in str(told)


def test_an_address_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "ftp://me:hush@lab")
    told = examined()
    assert wrong(told) == ["server"]
    assert found("server", told).told.startswith("OLLAMA_HOST: 'ftp://lab' is not a server's address")
    assert "hush" not in str(told)


def test_only_cloud_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", DEAD)
    Path("params.toml").write_text(
        'model = "gpt-x"\n[roles]\nWRITER_MODEL = "lab/qwen3"\n'
        '[endpoints.lab]\nbase_url = "https://lab.example.org/v1"\nkey_env = "LAB_API_KEY"\n'
    )
    told = examined()
    assert sorted(wrong(told)) == ["lab", "openai"], "no local model is named, so nobody misses the server"
    assert found("openai", told).remedy.startswith("Set OPENAI_API_KEY")
    assert found("lab", told).told.endswith("the environment variable LAB_API_KEY is not set.")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-hush")
    monkeypatch.setenv("LAB_API_KEY", "hush-too")
    told = examined()
    assert wrong(told) == []
    assert found("openai", told).told == "api.openai.com, key in OPENAI_API_KEY (set); it was not asked"
    assert found("lab", told).told == "lab.example.org, key in LAB_API_KEY (set); it was not asked"
    assert found("keys", told).told == "OPENAI_API_KEY is set, OLLAMA_API_KEY is not set, LAB_API_KEY is set"
    assert found("params.toml", told).told == f"{Path.cwd() / 'params.toml'}, 1 role, 1 endpoint"
    assert "hush" not in str(told)
    assert wrong(examined(model="local_tiny")) == ["server"], "what %llm use chose needs it"


def test_a_params_toml_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("params.toml").write_text("model = [")
    assert "params.toml" in wrong(examined())


def test_the_extras_are_those_of_the_package() -> None:
    told = {each.name: each for each in examined() if each.name.startswith("[")}
    assert {"[all]", "[dev]", "[train]"}.isdisjoint(told)
    assert told["[embedded]"].told == "complete"


def test_in_a_shell(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    shell.run_line_magic("llm", "use gpt-x")
    capsys.readouterr()
    shell.run_line_magic("llm", "doctor")
    told = capsys.readouterr().out
    assert "ok      params.toml" in told
    assert "wrong   openai" in told
    assert re.search(r"^ {10,}Set OPENAI_API_KEY", told, re.MULTILINE), "the remedy stands below what is wrong"


def test_in_a_notebook() -> None:
    with running_kernel(OLLAMA_HOST=DEAD) as kernel:
        kernel.run("%load_ext acagent_nb")
        ran = kernel.run("%llm doctor")
        assert ran.status == "ok"
        page = ran.drawings[0][1]["data"]
    assert page["text/html"].count("<tr>") == len(page["text/plain"].split("\n")) - page["text/plain"].count("\n   ")
    assert "--jp-warn-color0" in page["text/html"]
    assert "<style" not in page["text/html"]


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    line = [sys.executable, "-m", "acagent_nb", "doctor", *arguments]
    return subprocess.run(line, capture_output=True, text=True, env=kept | environment, timeout=60, encoding="utf-8")


def test_in_a_terminal(server: str) -> None:
    good = command(OLLAMA_HOST=server)
    assert (good.returncode, good.stderr) == (0, "")
    assert f"{server} (OLLAMA_HOST) lives" in good.stdout
    bad = command(OLLAMA_HOST=DEAD)
    assert bad.returncode == 1
    assert "\nwrong   server" in bad.stdout


def test_for_scripts(server: str) -> None:
    good = json.loads(command("--json", OLLAMA_HOST=server).stdout)
    assert good["ok"] is True
    ran = command("--json", OLLAMA_HOST=DEAD)
    told = json.loads(ran.stdout)
    assert (ran.returncode, told["ok"]) == (1, False)
    (server_finding,) = [each for each in told["findings"] if each["wrong"]]
    assert server_finding["name"] == "server"
    assert server_finding["remedy"] == "Start it, or check the address."


def test_nothing_is_started() -> None:
    before = hosts.state_file().exists()
    doctor.table(examined())
    assert hosts.state_file().exists() == before
