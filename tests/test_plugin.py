"""The pytest plugin: notebooks of language models under nbval and nbmake, and what their authors are told."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import nbformat
import pytest

from acagent_nb.runnable.answer_files import VARIABLE
from acagent_nb.runnable.plugin import FLAG
from acagent_nb.runnable.sanitised import alike
from tests.tutorials import NOWHERE, SKY, TOKEN, edit, execute, pytest_in, replace, write

NBVAL = ("--nbval", "--nbval-current-env")
NO_INI = ("-o", "acagent_nb_answers=replay:no")
INI = """[tool.pytest.ini_options]
addopts = "--strict-config --strict-markers"
filterwarnings = ["error"]
acagent_nb_answers = "replay:answers/{notebook}.jsonl"
"""
FOLDED = (
    "from IPython.display import clear_output, display\nimport ipywidgets\n\n"
    "shown = display('first', display_id=True)\nshown.update('second')",
    "shown.update('third')\nprint('one', flush=True)\nprint('two')",
    "print('gone')\nclear_output(wait=True)\nprint('stays')\ndisplay('gone', display_id='other')\nclear_output()\n1",
    "out = ipywidgets.Output()\nwith out:\n    print('in the widget')\nout",
    "class Poem:\n    pass\n\n\nprint(Poem())\n[Poem()]",
    "raise ValueError(f'meant {id(shown):#x} so'.replace(f'{id(shown):#x}', 'it'))",
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, server: str, api: object) -> Path:
    """A folder with two notebooks that were run, and the answers that they got."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "pyproject.toml").write_text(INI, encoding="utf-8")
    for name, sources in {"sky": SKY, "token": TOKEN}.items():
        answers = f"record:{folder / 'answers' / name}.jsonl"
        execute(write(folder / f"{name}.ipynb", *sources), OLLAMA_HOST=server, ACAGENT_NB_ANSWERS=answers)
    return folder


def copied(project: Path, name: str, new: str) -> Path:
    """A notebook and its answers under another name."""
    shutil.copy(project / "answers" / f"{name}.jsonl", project / "answers" / f"{new}.jsonl")
    return Path(shutil.copy(project / f"{name}.ipynb", project / f"{new}.ipynb"))


@pytest.mark.parametrize(
    ("flags", "environment"),
    [
        (("sky.ipynb", "token.ipynb"), {}),
        (("token.ipynb", "sky.ipynb", f"{FLAG}=replay:kept/{{notebook}}.jsonl"), {VARIABLE: "replay:no"}),
        (("sky.ipynb", "token.ipynb", "-n", "2", *NO_INI), {VARIABLE: "replay:kept/{notebook}.jsonl"}),
        (("sky.ipynb", "token.ipynb", "-n", "2", "--dist", "loadgroup"), {}),
    ],
    ids=["the line", "the flag overrides the environment", "the environment overrides the line", "groups"],
)
def test_recorded_notebooks_pass_in_any_order_and_need_no_server(
    project: Path, flags: tuple[str, ...], environment: dict[str, str]
) -> None:
    shutil.copytree(project / "answers", project / "kept", dirs_exist_ok=True)
    ran = pytest_in(project, *NBVAL, *flags, **environment)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "2 notebooks, 5 cells, outputs compared, all answers replayed." in ran.stdout


@pytest.fixture(scope="module")
def told(project: Path) -> dict[str, str]:
    """What is said of damaged notebooks: a text for each cell that failed."""
    edit(copied(project, "sky", "changed"), replace("the blue part of", "the green part of"))
    edit(copied(project, "token", "unrecorded"), replace("What is a token?", "What is a poem?"))
    shutil.copy(project / "sky.ipynb", project / "missing.ipynb")
    execute(write(project / "raised.ipynb", "1 + 1", "answer = 42\n1 / (answer - 42)"[:11], "answer"))
    edit(project / "raised.ipynb", lambda notebook: notebook.cells[1].update(source="answer = 42\n1 / (answer - 42)"))
    execute(write(project / "later.ipynb", "shown = display(1, display_id=True)", "answer = 2"))
    edit(project / "later.ipynb", lambda notebook: notebook.cells[1].update(source="shown.update(2)"))
    execute(write(project / "died.ipynb", "import os", "os.getpid() and None", "3"))
    edit(project / "died.ipynb", lambda notebook: notebook.cells[1].update(source="os._exit(1)"))
    names = ("changed", "unrecorded", "missing", "raised", "later", "died")
    report = project / "report.xml"
    ran = pytest_in(project, *NBVAL, f"--junitxml={report}", *(f"{name}.ipynb" for name in names))
    assert ran.returncode == 1, ran.stdout + ran.stderr
    found = {}
    for case in ElementTree.parse(report).iter("testcase"):
        for wrong in (*case.iter("failure"), *case.iter("error")):
            found[f"{case.get('classname')} {case.get('name')}"] = wrong.text or ""
    return found


def test_a_changed_answer_is_shown_as_a_difference(told: dict[str, str]) -> None:
    assert told["changed.ipynb Cell 1"] == (
        "changed.ipynb, cell [2]: %%llm local_tiny\n"
        "The output is not the one in the notebook (- in the notebook, + now):\n\n"
        "- Because air scatters the green part of sunlight much more than the red part.\n"
        "+ Because air scatters the blue part of sunlight much more than the red part.\n\n"
        "If the new output is right, keep it: acagent-nb check changed.ipynb --update"
    )


def test_an_answer_that_was_not_recorded_is_told_in_the_recording_s_words(told: dict[str, str]) -> None:
    where, line, what, remedy, ours = told["unrecorded.ipynb Cell 1"].splitlines()
    assert where == "unrecorded.ipynb, cell [2]: with Client() as client:"
    assert line == 'line 2: print(client.chat("local_tiny", question, temperature=0).text)'
    assert what.startswith("NotRecorded: ")
    assert "has no answer for this chat with local_tiny" in what
    assert remedy.startswith("Record what is missing: ACAGENT_NB_ANSWERS=auto:")
    file = "answers/unrecorded.jsonl"
    assert ours.startswith("In this check: acagent-nb check unrecorded.ipynb --update --answers auto:")
    assert ours.endswith(file)


def test_a_notebook_that_was_never_recorded_fails_once_and_says_how_to_record_it(told: dict[str, str]) -> None:
    (said,) = [text for name, text in told.items() if name.startswith("missing.ipynb")]
    assert said.splitlines()[-2:] == [
        "The answers of missing.ipynb are to be replayed from answers/missing.jsonl, and there is no such file.",
        "Record them: acagent-nb check missing.ipynb --update --answers record:answers/missing.jsonl",
    ]


def test_an_error_is_told_without_the_way_there(told: dict[str, str]) -> None:
    assert told["raised.ipynb Cell 1"] == (
        "raised.ipynb, cell [2]: answer = 42\nline 2: 1 / (answer - 42)\nZeroDivisionError: division by zero"
    )
    assert "raised.ipynb Cell 2" not in told, "the cells below run all the same"


def test_a_display_that_a_later_cell_changes_is_told_with_both_cells(told: dict[str, str]) -> None:
    said = told["later.ipynb Cell 1"]
    assert said.startswith(
        "later.ipynb, cell [2]: shown.update(2)\nIt changes what cell [1]: shown = display(1, display_id=True) shows.\n"
    )
    assert "- 1\n+ 2\n" in said


def test_a_kernel_that_dies_is_noticed(told: dict[str, str]) -> None:
    assert told["died.ipynb Cell 1"] == (
        "died.ipynb, cell [2]: os._exit(1)\n"
        "The kernel died while this cell ran; most often it needed more memory than there is."
    )
    assert told["died.ipynb Cell 2"].splitlines()[1:] == [
        "The kernel has ended before this cell.",
        "This may follow from cell [2]: os._exit(1)",
    ]


def test_a_dead_server_is_told_with_its_address(project: Path) -> None:
    ran = pytest_in(project, *NBVAL, "sky.ipynb", "--acagent-nb-answers=none")
    assert ran.returncode == 1
    assert f"sky.ipynb, cell [2]: %%llm local_tiny\nServerDown: No server answers at {NOWHERE} " in ran.stdout
    assert "sky.ipynb, cell [3]: _llm.text\n" in ran.stdout
    assert "This may follow from cell [2]: %%llm local_tiny" in ran.stdout
    assert "Traceback" not in ran.stdout
    assert "all answers asked live" in ran.stdout


def test_what_is_shown_in_the_end_is_compared(tmp_path: Path) -> None:
    execute(write(tmp_path / "folded.ipynb", *FOLDED, tags={5: "raises-exception"}))
    ran = pytest_in(tmp_path, *NBVAL, "folded.ipynb", "-W", "error")
    assert ran.returncode == 0, ran.stdout
    alone = pytest_in(tmp_path, *NBVAL, "folded.ipynb", "-p", "no:acagent_nb")
    assert alone.returncode == 1, "nbval by itself does not know what was shown"
    assert "passed" in alone.stdout


def test_users_own_patterns_and_marks_hold(tmp_path: Path) -> None:
    write(
        tmp_path / "timed.ipynb",
        "import time\n\nprint('It is', time.time_ns(), flush=True)",
        "# NBVAL_IGNORE_OUTPUT\ntime.time_ns()",
        "# NBVAL_SKIP\nraise ValueError",
        "print('done at', time.time_ns())",
    )
    edit(tmp_path / "timed.ipynb", lambda notebook: notebook.cells[2].update(source="None"))
    execute(tmp_path / "timed.ipynb")
    edit(tmp_path / "timed.ipynb", lambda notebook: notebook.cells[2].update(source="# NBVAL_SKIP\nraise ValueError"))
    (tmp_path / "patterns.cfg").write_text("regex: It is \\d+\nreplace: It is TIME\n", encoding="utf-8")
    ran = pytest_in(tmp_path, *NBVAL, "timed.ipynb", "--nbval-sanitize-with", "patterns.cfg")
    assert "1 failed, 2 passed, 1 skipped" in ran.stdout
    assert "timed.ipynb, cell [4]: print('done at', time.time_ns())" in ran.stdout


def test_nbmake_gets_the_answers_too(project: Path) -> None:
    shutil.copy(project / "sky.ipynb", project / "unmade.ipynb")
    ran = pytest_in(project, "--nbmake", "sky.ipynb", "token.ipynb", "unmade.ipynb", "-W", "default")
    assert "2 passed, 1 error" in ran.stdout, ran.stdout
    assert "Record them: acagent-nb check unmade.ipynb --update --answers record:answers/unmade.jsonl" in ran.stdout


def test_plain_nbclient_replays_them(project: Path, tmp_path: Path) -> None:
    again = Path(shutil.copy(project / "sky.ipynb", tmp_path))
    execute(again, OLLAMA_HOST=NOWHERE, ACAGENT_NB_ANSWERS=f"replay:{project / 'answers' / 'sky.jsonl'}")
    before, now = (nbformat.read(path, as_version=4) for path in (project / "sky.ipynb", again))
    assert "replayed" in now.cells[1].outputs[0].data["text/html"]
    for old, new in zip(before.cells, now.cells, strict=True):
        assert alike(old.outputs, new.outputs)


def test_a_run_without_notebooks_loads_nothing(tmp_path: Path) -> None:
    (tmp_path / "test_plain.py").write_text(
        "import sys\n\n\n"
        "def test_plain():\n"
        "    ours = {name for name in sys.modules if name.startswith('acagent_nb')}\n"
        "    assert ours == {'acagent_nb', 'acagent_nb.runnable', 'acagent_nb.runnable.plugin'}\n"
        "    assert not {'nbformat', 'httpx', 'msgspec', 'IPython'} & set(sys.modules)\n",
        encoding="utf-8",
    )
    ran = pytest_in(tmp_path, "-p", "no:nbval", "-p", "no:nbmake", "-W", "error", "--strict-config")
    assert ran.returncode == 0, ran.stdout
    assert "1 passed" in ran.stdout


def test_pytest_can_be_started_by_a_program_that_uses_the_package(tmp_path: Path) -> None:
    (tmp_path / "test_plain.py").write_text("def test_plain():\n    pass\n", encoding="utf-8")
    code = (
        "import acagent_nb, pytest; raise SystemExit(pytest.main(['-q', '-W', 'error', '-p', 'no:hypothesispytest']))"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
