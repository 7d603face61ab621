"""All notebooks from their recorded answers: no server, no engine, no cloud's package, no key; and their pages."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import lab
from tests.lab import CHROMIUM
from tests.refresh import NOTEBOOKS
from tests.tutorials import QUICK

ROOT = Path(__file__).parent.parent
# What Python runs first, in the command and in each kernel: it then takes these packages for not installed.
_BARE = "import sys\nfor name in ('xllamacpp', 'openai'):\n    sys.modules[name] = None\n"


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a machine with nothing on it that could answer."""
    folder = tmp_path_factory.mktemp("bare")
    (folder / "sitecustomize.py").write_text(_BARE)
    nothing = {name: str(folder / name.lower()) for name in ("XDG_STATE_HOME", "XDG_DATA_HOME")}
    nothing |= {"OLLAMA_HOST": "http://127.0.0.1:9", "PYTHONPATH": os.pathsep.join([str(folder), QUICK, str(ROOT)])}
    kept = {name: value for name, value in os.environ.items() if name not in ("OPENAI_API_KEY", "ACAGENT_NB_ANSWERS")}
    return kept | nothing


def ran(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "acagent_nb", *words]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


def test_every_output_is_as_it_is_kept(bare: dict[str, str]) -> None:
    told = ran(bare, "check", "notebooks/", "--jobs", "2")
    assert told.returncode == 0, told.stdout + told.stderr
    assert f"{len(NOTEBOOKS)} notebooks" in told.stdout
    assert "all answers replayed" in told.stdout


@pytest.fixture(scope="module")
def site(bare: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages of all notebooks."""
    folder = tmp_path_factory.mktemp("pages") / "site"
    answers = "replay:notebooks/answers/{notebook}.jsonl"
    told = ran(bare, "run", "notebooks/*.ipynb", "--jobs", "2", "--answers", answers, "--html", str(folder))
    assert told.returncode == 0, told.stdout + told.stderr
    return folder


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium to open the pages in")
def test_pages_need_nothing_and_run_nothing(site: Path) -> None:
    pytest.importorskip("playwright", reason="playwright drives the browser")
    names = ["index", *(path.stem for path in NOTEBOOKS)]
    assert sorted(path.stem for path in site.glob("*.html")) == sorted(names)
    asked: list[str] = []
    said: list[str] = []
    with lab.page(site.as_uri(), viewport={"width": 900, "height": 1200}) as page:
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        for name in names:
            page.goto(f"{site.as_uri()}/{name}.html")
            assert page.locator("script").count() == 0
            assert page.locator("h1").first.inner_text()
            wide, window = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
            assert wide <= window, f"something runs out of the page {name}"
        page.goto(f"{site.as_uri()}/index.html")
        for name in names[1:]:
            assert page.locator(f'a[href="{name}.html"]').count() >= 1
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert said == []
