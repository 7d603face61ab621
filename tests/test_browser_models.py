"""The model manager in a real JupyterLab, in a real browser: by mouse and by keyboard alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from tests.lab import CHROMIUM, jupyterlab, open_notebook, page, run_cell
from tests.registries import fake, made, slow
from tests.screenshot import KERNEL
from tests.serving import Server, serving

pytest.importorskip("ipywidgets", reason="ipywidgets is not installed")
pytest.importorskip("jupyterlab", reason="JupyterLab is not installed")
pytest.importorskip("playwright", reason="playwright is not installed")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here: apt-get install chromium"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # playwright's and greenlet's own
]

CELLS = (
    "%load_ext acagent_nb",
    "from acagent_nb.widgets.model_manager import ModelManager\nModelManager(insecure=True)",
)
VIEW = {"viewport": {"width": 900, "height": 1000}, "device_scale_factor": 1.5}


@pytest.fixture(scope="module")
def mine() -> Iterator[Server]:
    """A server with models of many kinds of names."""
    recipe = {"model": "pirate", "from": "tiny", "system": "Answer like a pirate.", "license": "A license."}
    with serving() as server:
        server.client.post("/api/pull", json={"model": "tiny:skills", "stream": False}).raise_for_status()
        server.client.post("/api/create", json={**recipe, "stream": False}).raise_for_status()
        for name in ("hf.co/some-user/a-model-with-a-long-name-GGUF:Q4_K_M", "doomed"):
            server.client.post("/api/copy", json={"source": "tiny", "destination": name}).raise_for_status()
        yield server


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_model_manager(mine: Server, tmp_path: Path, dark: bool) -> None:
    folder = tmp_path / "notebooks"
    folder.mkdir()
    notebook = new_notebook(cells=[new_code_cell(text) for text in CELLS], metadata=KERNEL)
    nbformat.write(notebook, folder / "models.ipynb")
    with (
        fake(lambda turn: slow(turn, 0.1)) as registry,
        jupyterlab(folder, dark=dark, OLLAMA_HOST=mine.url) as url,
        page(url, **VIEW) as browser,
    ):
        model = registry.add(made(3_000_000))
        open_notebook(browser, url, "models.ipynb")
        run_cell(browser, 0)
        panel = run_cell(browser, 1)
        rows = panel.locator(".acagent-nb-models-row")
        rows.filter(has_text="tools, thinking").wait_for()
        (_shows_all if dark else _works)(browser, panel, mine, f"{registry.host}/library/m", tmp_path)
        assert panel.locator("script, iframe, img, form").count() == 0
        if not dark:
            assert registry.ranges(model.digests[0])


def _works(browser: Any, panel: Any, mine: Server, pulled: str, folder: Path) -> None:
    rows = panel.locator(".acagent-nb-models-row")
    numbers = rows.filter(has_text="pirate").locator(".acagent-nb-models-cells > span")
    heads = panel.locator(".acagent-nb-models-head .acagent-nb-models-cells > span")
    for number in range(1, 5):  # each number ends where its column's name does
        cell, head = numbers.nth(number).bounding_box(), heads.nth(number).bounding_box()
        assert cell["x"] + cell["width"] == pytest.approx(head["x"] + head["width"], abs=1)

    panel.get_by_role("combobox", name="Model to pull").fill(pulled)
    panel.get_by_role("button", name="Pull", exact=True).click()
    panel.get_by_role("progressbar", name=f"Pulling {pulled}").wait_for()
    panel.get_by_text(re.compile(r"downloading · \d")).wait_for()
    rows.filter(has_text="pirate").get_by_role("button", name="Details").click()
    rows.filter(has_text="pirate").get_by_role("region", name="System of local_pirate").wait_for()
    rows.filter(has_text="doomed").get_by_role("button", name="Delete").click()
    panel.get_by_role("button", name="Yes, delete local_doomed").wait_for()
    browser.screenshot(path=folder / "working.png")
    panel.get_by_role("button", name="Cancel").click()
    panel.get_by_text(re.compile(r"Stopped at \d+%\. What has come is kept")).wait_for()
    assert "library/m" not in mine.client.get("/api/tags").text

    keep = rows.filter(has_text="doomed").get_by_role("button", name="Keep")
    keep.focus()
    browser.keyboard.press("Tab")  # from here on by keyboard alone
    browser.keyboard.press("Enter")
    rows.filter(has_text="doomed").wait_for(state="detached")
    assert "doomed" not in mine.client.get("/api/tags").text
    load = rows.filter(has_text="tools, thinking").get_by_role("button", name="Load")
    load.focus()
    browser.keyboard.press("Enter")
    rows.filter(has_text="in memory").wait_for()
    assert mine.loaded() == ["tiny:skills"]
    browser.keyboard.press("Enter")  # the focus has stayed where it was
    rows.filter(has_text="in memory").wait_for(state="detached")
    assert mine.loaded() == []
    _named(panel)


def _shows_all(browser: Any, panel: Any, mine: Server, pulled: str, folder: Path) -> None:
    """Many models scroll in a fixed height, and a narrow page cuts nothing off."""
    for number in range(20):
        copied = {"source": "tiny", "destination": f"copy:{number}"}
        mine.client.post("/api/copy", json=copied).raise_for_status()
    panel.get_by_role("button", name="Refresh").click()
    panel.get_by_text(":19").wait_for()
    browser.screenshot(path=folder / "many.png")
    scroller = panel.locator(".acagent-nb-models-list")
    height, content = scroller.evaluate("box => [box.clientHeight, box.scrollHeight]")
    assert content > height
    head = panel.locator(".acagent-nb-models-head")
    top = head.bounding_box()["y"]
    assert head.bounding_box()["height"] > 20
    scroller.evaluate("box => { box.scrollTop = box.scrollHeight }")
    assert head.bounding_box()["y"] == pytest.approx(top, abs=1)
    browser.set_viewport_size({"width": 560, "height": 1000})
    browser.wait_for_timeout(300)
    browser.screenshot(path=folder / "narrow.png")
    assert scroller.evaluate("box => box.scrollWidth <= box.clientWidth")
    row = panel.locator(".acagent-nb-models-row").last
    facts, button = row.locator(".acagent-nb-models-cells").bounding_box(), row.get_by_role("button").first
    assert button.bounding_box()["y"] >= facts["y"] + facts["height"] - 1
    _named(panel)


def _named(panel: Any) -> None:
    """Every control has a name that a screen reader can say."""
    tree = panel.aria_snapshot()
    controls = re.findall(r"- (button|combobox|textbox|progressbar|checkbox)(.*)", tree)
    assert len(controls) >= 3
    assert all(re.match(r' "\S', rest) for _, rest in controls), tree
