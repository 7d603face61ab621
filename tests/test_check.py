"""`acagent-nb check`: its exit status, what it says, and how it updates notebooks."""

from __future__ import annotations

import shutil
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from acagent_nb.cli import main
from acagent_nb.errors import BadOption
from acagent_nb.runnable.paths import notebooks
from tests.tutorials import NOWHERE, QUICK, SKY, TOKEN, edit, execute, on_path, replace, write

REPLAY = "replay:answers/{notebook}.jsonl"


@pytest.fixture
def folder(tmp_path: Path, recorded: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of two notebooks with their answers, and no server."""
    shutil.copytree(recorded, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setenv("OLLAMA_HOST", NOWHERE)
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:hypothesispytest")  # which takes a second to load
    monkeypatch.setenv("PYTHONPATH", on_path(QUICK))
    monkeypatch.delenv("ACAGENT_NB_ANSWERS", raising=False)
    return tmp_path / "project"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, server: str, api: object) -> Path:
    made = tmp_path_factory.mktemp("recorded")
    for name, sources in {"sky": SKY, "token": TOKEN}.items():
        answers = f"record:{made / 'answers' / name}.jsonl"
        execute(write(made / f"{name}.ipynb", *sources), OLLAMA_HOST=server, ACAGENT_NB_ANSWERS=answers)
    return made


def test_all_is_well(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "test_surprise.py").write_text("def test_surprise():\n    assert False\n", encoding="utf-8")
    (folder / ".ipynb_checkpoints").mkdir()
    shutil.copy(folder / "sky.ipynb", folder / ".ipynb_checkpoints" / "sky-checkpoint.ipynb")
    shutil.copy(folder / "sky.ipynb", folder / "other.ipynb")  # has no answers
    assert main(["check", ".", "--answers", REPLAY, "-n", "2", "-k", "sky or token"]) == 0
    assert "2 notebooks, 5 cells, outputs compared, all answers replayed." in capfd.readouterr().out


def test_a_difference_is_told_kept_and_gone(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    same, token = (folder / "sky.ipynb").read_bytes(), folder / "token.ipynb"
    edit(token, replace("A token is", "A word is"))
    edit(
        token, lambda notebook: notebook.metadata.update(mine="stays", kernelspec={"name": "my", "display_name": "My"})
    )
    assert main(["check", "token.ipynb", "--answers", REPLAY]) == 1
    told = capfd.readouterr().out
    assert "- A word is" in told
    assert "+ A token is" in told
    assert f"keep it: acagent-nb check token.ipynb --update --answers '{REPLAY}'" in told
    assert main(["check", "sky.ipynb", "token.ipynb", "--answers", REPLAY, "--update"]) == 0
    told = capfd.readouterr().out
    assert "2 notebooks run, all answers replayed; new outputs in token.ipynb (1 cell)." in told
    assert (folder / "sky.ipynb").read_bytes() == same, "nothing is written for another time"
    kept = nbformat.read(token, as_version=4)
    assert kept.cells[1].outputs[0].text.startswith("A token is")
    assert (kept.metadata.mine, kept.metadata.kernelspec.name) == ("stays", "my")


def test_run_and_check_name_a_cell_alike(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    cells = [new_markdown_cell("# Prose"), new_code_cell("1", execution_count=16), new_code_cell(" ")]
    cells += [new_code_cell("1 / 0", execution_count=17)]
    nbformat.write(new_notebook(cells=cells), folder / "wrong.ipynb")
    assert main(["check", "wrong.ipynb"]) == 1
    assert "wrong.ipynb, cell [2]: 1 / 0\nZeroDivisionError" in capfd.readouterr().out
    assert main(["check", "wrong.ipynb", "--update"]) == 1
    assert "wrong.ipynb, cell [2]: 1 / 0\nZeroDivisionError" in capfd.readouterr().out
    assert main(["run", "wrong.ipynb", "-o", "out.ipynb"]) == 1
    assert "  Cell [2] failed: ZeroDivisionError" in capfd.readouterr().out
    assert nbformat.read(folder / "out.ipynb", as_version=4).cells[-1].execution_count == 2


@pytest.mark.parametrize("flags", [(), ("--update",), ("-n", "2")])
def test_cells_that_ask_although_it_is_recorded_are_counted(
    folder: Path,
    server: str,
    flags: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", server)
    edit(folder / "sky.ipynb", replace("%%llm local_tiny", "%%llm local_tiny --fresh --temperature 0"))
    edit(folder / "token.ipynb", replace("temperature=0", "temperature=0, fresh=True"))
    main(["check", "sky.ipynb", "token.ipynb", "--answers", REPLAY, *flags])
    assert ", all answers replayed, but for 2 cells that asked live" in capfd.readouterr().out


def test_an_update_from_a_recording_leaves_what_was_measured(folder: Path) -> None:
    (folder / "answers" / "measured.jsonl").touch()
    measured = execute(
        write(folder / "measured.ipynb", "# NBVAL_IGNORE_OUTPUT\nimport time\n\ntime.time_ns()", "1 + 1")
    )
    before = measured.read_bytes()
    edit(measured, replace('"2"', '"3"'))
    assert main(["check", "measured.ipynb", "--answers", REPLAY, "--update"]) == 0
    assert nbformat.reads(before, as_version=4) == nbformat.read(measured, as_version=4)
    assert main(["check", "measured.ipynb", "--answers", "none", "--update"]) == 0
    assert nbformat.reads(before, as_version=4) != nbformat.read(measured, as_version=4)


def test_an_update_that_fails_changes_nothing(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    edit(folder / "token.ipynb", replace("What is a token?", "What is a poem?"))
    before = (folder / "token.ipynb").read_bytes()
    assert main(["check", "token.ipynb", "--answers", REPLAY, "--update"]) == 1
    told = capfd.readouterr().out
    assert "token.ipynb, cell [2]: with Client() as client:\nline 2: print(client.chat(" in told
    assert "\nNotRecorded: " in told
    assert "\nThe notebook was left as it is." in told
    assert (folder / "token.ipynb").read_bytes() == before


def test_what_asks_nothing_can_be_recorded_as_the_error_says(
    folder: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder / "quiet.ipynb", "import acagent_nb", "# NBVAL_SKIP\nraise ValueError", "1 + 1")
    edit(folder / "quiet.ipynb", lambda notebook: notebook.cells[0].update(execution_count=1))
    monkeypatch.setenv("OLLAMA_HOST", server)
    remedy = "check quiet.ipynb --update --answers record:answers/quiet.jsonl"
    assert main(remedy.split()) == 0
    assert main(["check", "quiet.ipynb", "--answers", REPLAY]) == 0
    assert nbformat.read(folder / "quiet.ipynb", as_version=4).cells[2].outputs[0].data["text/plain"] == "2"


def test_only_tagged_outputs_are_compared_if_lax(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    edit(folder / "token.ipynb", replace("A token is", "A word is"))
    assert main(["check", "token.ipynb", "--answers", REPLAY, "--lax"]) == 0
    assert "errors only, and tagged outputs" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("path", "message", "hint"),
    [
        ("nowhere.ipynb", "There is no notebook nowhere.ipynb.", "Check the path; notebooks end in .ipynb."),
        ("skye.ipynb", "There is no notebook skye.ipynb.", "Did you mean sky.ipynb?"),
        ("*.ipy", "No notebook matches *.ipy.", "Notebooks end in .ipynb."),
        ("pyproject.toml", "pyproject.toml is no notebook.", "Notebooks end in .ipynb."),
        ("answers", "There is no notebook in answers.", "Notebooks end in .ipynb."),
        ("empty.ipynb", "empty.ipynb is called a notebook, but its content is none.", "Open it in Jupyter, or"),
    ],
)
def test_what_is_no_notebook_is_refused(
    folder: Path, path: str, message: str, hint: str, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "pyproject.toml").touch()
    (folder / "empty.ipynb").touch()
    assert main(["check", path]) == 2
    said = capfd.readouterr().err.splitlines()
    assert (said[0], said[1][: len(hint)]) == (message, hint)


def test_a_setting_that_says_nothing_is_refused(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "sky.ipynb", "--answers", "reply:x"]) == 2
    assert "Write record:FILE, replay:FILE or auto:FILE" in capfd.readouterr().err


def test_notebooks_are_found_once_each(folder: Path) -> None:
    assert [str(path) for path in notebooks(["token.ipynb", "*.ipynb"])] == ["token.ipynb", "sky.ipynb"]
    with pytest.raises(BadOption):
        notebooks(["answers"])
