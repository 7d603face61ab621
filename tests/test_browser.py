"""The first cell in a real JupyterLab, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from tests.lab import CHROMIUM, jupyterlab, open_notebook, page, run_cell
from tests.replay import replaying, said
from tests.screenshot import KERNEL

pytest.importorskip("jupyterlab", reason="JupyterLab is not installed")
pytest.importorskip("playwright", reason="playwright is not installed")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here: apt-get install chromium"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # playwright's and greenlet's own
]

EVIL = (
    "<img src=x onerror='window.hit=1'> <script>window.hit=1</script>\n\n![x](http://127.0.0.1:9/leak.png)\n\n"
    "[x](javascript:window.hit=1)\n\n<iframe srcdoc='<script>parent.hit=1</script>'></iframe>\n\n"
    "| a |\n|---|\n| **bold** |\n"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("notebooks")
    cells = ("%load_ext acagent_nb", "%%llm local_tiny --temperature 0\nWhy is the sky blue?", "_llm.text")
    evil = (
        "%load_ext acagent_nb",
        "%%llm local_evil\nWhat now?",
        "%env OLLAMA_HOST=http://127.0.0.1:9\n%reload_ext acagent_nb",
        "%%llm local_evil\nWhat now?",
    )
    for name, texts in (("first", cells), ("evil", evil)):
        notebook = new_notebook(cells=[new_code_cell(text) for text in texts], metadata=KERNEL)
        nbformat.write(notebook, folder / f"{name}.ipynb")
    return folder


@pytest.fixture
def tab(folder: Path, tmp_path: Path) -> Iterator[Any]:
    """A page with a picture of its end in pytest's folder, for when something is not as it should be."""
    yield tmp_path / "end.png"
    print(tmp_path / "end.png")


def test_the_first_cell(folder: Path, server: str, tab: Path) -> None:
    with jupyterlab(folder, OLLAMA_HOST=server) as url, page(url) as browser:
        open_notebook(browser, url, "first.ipynb")
        run_cell(browser, 0)
        output = run_cell(browser, 1)
        value = run_cell(browser, 2)
        browser.screenshot(path=tab)
        answer = output.locator(".acagent-nb-answer")
        assert answer.is_visible()
        assert repr(answer.inner_text().strip()) == value.inner_text().split("\n")[-1].strip()
        footer = output.locator(".acagent-nb-footer").inner_text()
        assert footer.startswith("local_tiny · ")
        assert " tokens/s · " in footer
        assert "CPU · temperature 0\n" in footer
        assert f"embedded server at {server} (OLLAMA_HOST)" in footer
        assert output.locator(".jp-OutputArea-child").count() == 1
        assert output.locator("script, iframe, img, form, style").count() == 0


def test_an_evil_model_and_an_error(folder: Path, tab: Path) -> None:
    with (
        replaying(chat=said(*EVIL.splitlines(keepends=True), pause=0.05)) as server,
        jupyterlab(folder, OLLAMA_HOST=server.url) as url,
        page(url) as browser,
    ):
        asked: list[str] = []
        browser.on("request", lambda request: asked.append(request.url))
        open_notebook(browser, url, "evil.ipynb")
        run_cell(browser, 0)
        output = run_cell(browser, 1)
        browser.wait_for_timeout(500)
        assert output.locator(".acagent-nb-footer").is_visible()
        assert output.locator("td strong").inner_text() == "bold"
        assert output.locator("script, iframe, img, form, style").count() == 0
        assert browser.evaluate("window.hit") is None
        assert not [address for address in asked if not address.startswith((url, "data:", "blob:"))]
        run_cell(browser, 2)
        failed = run_cell(browser, 3)
        browser.screenshot(path=tab)
        error = failed.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.stderr']").inner_text()
        assert error.strip().startswith("ServerDown: No server answers at http://127.0.0.1:9")
        assert len(error.strip().splitlines()) == 2
