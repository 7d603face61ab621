"""The papermill engine `acagent`: what it does before a notebook runs, and what it leaves of it."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from acagent_nb import provenance
from acagent_nb.errors import BadOption, ModelMissing, ServerDown
from acagent_nb.runnable.answer_files import answers
from acagent_nb.runnable.preparing import prepare
from tests.replay import Answer, replaying
from tests.serving import serving
from tests.tutorials import QUICK, on_path

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # papermill's own imports
    import papermill

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:papermill")

SKY = "%%llm local_tiny --temperature 0\nWhy is the sky blue?"
PRINTS = (
    "import sys\nfor n in range(3):\n    print(n, flush=True)\n    sys.stdout.flush()\nprint('no', file=sys.stderr)"
)


def written(path: Path, *cells: str) -> Path:
    """A notebook of these code cells, in a file."""
    nbformat.write(new_notebook(cells=[new_code_cell(cell) for cell in cells]), path)
    return path


def notebook(*cells: str) -> Any:
    return new_notebook(cells=[new_code_cell(cell) for cell in cells])


def command(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run papermill as its users do."""
    words = (sys.executable, "-m", "papermill", "--engine", "acagent", *words)
    return subprocess.run(
        words, env=os.environ | {"PYTHONPATH": on_path(QUICK)} | variables, capture_output=True, text=True, timeout=120
    )


def test_papermills_own_command_with_our_engine(tmp_path: Path, server: str) -> None:
    source = written(tmp_path / "in.ipynb", "%load_ext acagent_nb", SKY, PRINTS)
    ran = command(str(source), str(tmp_path / "out.ipynb"), "--no-progress-bar", OLLAMA_HOST=server)
    assert ran.returncode == 0, ran.stderr
    assert f"The models answer at {server} (OLLAMA_HOST)." in ran.stderr
    assert "in.ipynb: 1 answer shown, 16 tokens in, 24 out" in ran.stderr
    assert "Warning" not in ran.stderr
    done = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert [(output.name, output.text) for output in done.cells[2].outputs] == [
        ("stdout", "0\n1\n2\n"),
        ("stderr", "no\n"),
    ]
    told = done.metadata["acagent_nb"]
    (answer,) = told["answers"]
    assert (answer["cell"], answer["execution_count"], answer["model"]) == (1, 2, "local_tiny")
    assert answer["options"] == {"temperature": 0}
    assert told["totals"]["tokens_out"] == answer["eval_count"] == 24
    assert told["versions"]["server"] == ["embedded"]
    assert told["versions"]["packages"][0]["python"]
    assert "sky" not in str(told)
    assert len(provenance(tmp_path / "out.ipynb")) == 1, "each output has its own still"


def test_a_dead_server_is_told_before_any_cell_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with replaying() as gone:
        pass
    source = written(tmp_path / "in.ipynb", "open('ran', 'w')", SKY)
    ran = command(str(source), str(tmp_path / "out.ipynb"), "--cwd", str(tmp_path), OLLAMA_HOST=gone.url)
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr
    first, second = ran.stderr.rstrip().splitlines()[-2:]
    assert first.startswith(f"Error: No server answers at {gone.url}")
    assert second
    monkeypatch.setenv("OLLAMA_HOST", gone.url)
    with pytest.raises(ServerDown):
        papermill.execute_notebook(source, None, engine_name="acagent", kernel_name="python3", progress_bar=False)
    assert not (tmp_path / "ran").exists()


def test_what_is_missing_is_pulled() -> None:
    said: list[str] = []
    with serving() as private:
        asks = notebook("%%llm local_tiny:skills\nHi", 'client.chat("local_no_such_model")')
        prepare(asks, "", said.append, url=private.url)
        there = {model["name"] for model in private.client.get("/api/tags").json()["models"]}
    assert "tiny:skills" in there
    assert said[0].startswith("Pulled local_tiny:skills in ")


def test_a_pull_that_takes_long_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    line = '{"status":"pulling 0123456789ab","digest":"sha256:0","total":4000000,"completed":%d}'
    steps = tuple(line % (bytes * 1_000_000) for bytes in range(5))
    version, tags = Answer(('{"version":"0.32.1"}',)), Answer(('{"models":[]}',))
    pull = Answer((*(f"{step}\n" for step in steps), '{"status":"success"}\n'), pause=0.4)
    with replaying(version=version, tags=tags, pull=pull) as server:
        prepare(notebook("%%llm local_big\nWhy?"), "", [].append, url=server.url)
    assert "big: 4.0 MB, 100 %" in capsys.readouterr().err


def test_a_model_that_nobody_has_fails_only_where_it_is_needed() -> None:
    version, tags = Answer(('{"version":"0.32.1"}',)), Answer(('{"models":[{"name":"tiny:latest"}]}',))
    missing = Answer(('{"error":"pull model manifest: file does not exist"}',))
    said: list[str] = []
    with replaying(version=version, tags=tags, pull=missing) as server:
        prepare(notebook('client.chat("local_nosuch")', SKY), "", said.append, url=server.url)
        with pytest.raises(ModelMissing, match="nosuch"):
            prepare(notebook("%%llm local_nosuch\nWhy?"), "", said.append, url=server.url)
    assert [text for text in said if "local_nosuch is named in the code, and is not pulled" in text]


def test_a_replay_needs_no_server_and_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    with replaying() as gone:
        monkeypatch.setenv("OLLAMA_HOST", gone.url)
        said: list[str] = []
        prepare(notebook("%%llm local_nosuch,gpt-4o\nWhy?"), "replay:/answers.jsonl", said.append)
        assert said == gone.requests == []


def test_what_the_engine_asks_is_not_recorded(tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    setting = f"record:{tmp_path / 'answers.jsonl'}"
    monkeypatch.setenv("ACAGENT_NB_ANSWERS", setting)
    said: list[str] = []
    prepare(notebook(SKY, "%%llm local_tiny:skills\nWhy?"), setting, said.append, url=server)
    assert not (tmp_path / "answers.jsonl").exists()
    assert os.environ["ACAGENT_NB_ANSWERS"] == setting


def test_a_key_that_is_missing_is_only_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    said: list[str] = []
    prepare(notebook("%%llm gpt-4o\nWhy?"), "", said.append)
    (text,) = said
    assert text.startswith("gpt-4o: There is no key for api.openai.com")


def test_the_file_of_answers_is_made_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert answers("replay:a/{notebook}.jsonl", "nb/02_options.ipynb") == f"replay:{tmp_path}/a/02_options.jsonl"
    assert answers("", "x.ipynb") == answers("none", "x.ipynb") == ""
    for wrong in ("replay", "replay:", "play:x.jsonl", "x.jsonl"):
        with pytest.raises(BadOption, match="which file of answers"):
            answers(wrong, "x.ipynb")
