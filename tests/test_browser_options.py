"""The options panel in a real JupyterLab, in a real browser: by mouse, by keyboard, in light and dark."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from tests.lab import CHROMIUM, jupyterlab, open_notebook, page, run_cell
from tests.screenshot import KERNEL

pytest.importorskip("jupyterlab", reason="JupyterLab is not installed")
pytest.importorskip("playwright", reason="playwright is not installed")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here: apt-get install chromium"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # playwright's and greenlet's own
]

CELLS = ("%load_ext acagent_nb", "%llm options", "%%llm local_tiny --seed 3\nWhy is the sky blue?", "%llm options")
VIEW = {"viewport": {"width": 1000, "height": 1100}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "notebooks"
    folder.mkdir()
    cells = [new_code_cell(cell) for cell in CELLS]
    nbformat.write(new_notebook(cells=cells, metadata=KERNEL), folder / "options.ipynb")
    return folder


def row(panel: Any, name: str) -> Any:
    """One option's controls."""
    return panel.locator(".an-row").filter(has=panel.page.get_by_label(f"Send {name}", exact=True))


def sends(panel: Any, options: dict[str, Any]) -> None:
    """Wait until the page says that this is sent."""
    shown = panel.locator(".an-json pre")
    for _ in range(100):
        if json.loads(shown.inner_text()) == options:
            return
        panel.page.wait_for_timeout(50)
    raise AssertionError(f"{shown.inner_text()} instead of {options}")


def unnamed(panel: Any) -> list[str]:
    """What a screen reader would call by no name, but the sliders, which ipywidgets gives none.

    Each slider stands beside a field of the same value that has a name.
    """
    session = panel.page.context.new_cdp_session(panel.page)
    found = session.send("Runtime.evaluate", {"expression": "document.querySelector('.acagent-nb-options')"})
    asked = {"objectId": found["result"]["objectId"]}
    nodes = session.send("Accessibility.queryAXTree", asked)["nodes"]
    roles = {"textbox", "checkbox", "combobox", "button", "listbox", "spinbutton"}
    inputs = [node for node in nodes if not node["ignored"] and node["role"]["value"] in roles]
    assert len(inputs) > 40
    return [node["role"]["value"] for node in inputs if not node.get("name", {}).get("value", "").strip()]


def test_the_panel_by_mouse_and_keyboard(folder: Path, api: httpx.Client, server: str, tmp_path: Path) -> None:
    with jupyterlab(folder, OLLAMA_HOST=server) as url, page(url, **VIEW) as browser:
        open_notebook(browser, url, "options.ipynb")
        run_cell(browser, 0)
        output = run_cell(browser, 1)
        panel = output.locator(".acagent-nb-options")
        panel.get_by_text("it was made for 2,048 tokens").wait_for()
        browser.screenshot(path=tmp_path / "opened.png")
        assert panel.bounding_box()["height"] <= 720
        assert not output.locator(".acagent-nb-sent").is_visible()
        assert unnamed(panel) == []

        handle = row(panel, "temperature").locator(".noUi-handle")
        box = handle.bounding_box()
        browser.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        browser.mouse.down()
        browser.mouse.move(box["x"] + 300, box["y"], steps=8)
        browser.mouse.up()
        sends(panel, {"temperature": 1.5})
        assert panel.get_by_label("Send temperature").is_checked()
        assert panel.get_by_label("temperature", exact=True).input_value() == "1.5"

        panel.get_by_label("top_k", exact=True).click()
        browser.keyboard.type("500")
        browser.keyboard.press("Enter")
        sends(panel, {"temperature": 1.5, "top_k": 500})
        panel.get_by_label("top_p", exact=True).click()
        browser.keyboard.type("2")
        browser.keyboard.press("Tab")
        row(panel, "top_p").get_by_role("alert").wait_for()
        assert "from 0 to 1" in row(panel, "top_p").get_by_role("alert").inner_text()
        assert panel.get_by_label("Send min_p").evaluate("box => box === document.activeElement")

        panel.get_by_label("stop", exact=True).click()
        browser.keyboard.type("###")
        browser.keyboard.press("Enter")
        sends(panel, {"temperature": 1.5, "top_k": 500, "stop": ["###"]})
        browser.screenshot(path=tmp_path / "set.png")
        row(panel, "stop").get_by_role("button", name="### ✕").click()
        sends(panel, {"temperature": 1.5, "top_k": 500})

        panel.get_by_role("button", name="precise").click()
        sends(panel, {"temperature": 0.2})
        panel.get_by_label("Send temperature").uncheck()
        sends(panel, {})
        assert panel.get_by_text("(changed)").is_visible()
        assert panel.get_by_label("temperature", exact=True).input_value() == "0.2"
        panel.get_by_label("Send temperature").focus()
        browser.keyboard.press("Space")
        sends(panel, {"temperature": 0.2})

        panel.get_by_text("No effect on the embedded server").click()
        dead = row(panel, "draft_num_predict")
        dead.get_by_text("The embedded server does nothing with draft_num_predict.").wait_for()
        assert panel.get_by_label("Send draft_num_predict").is_disabled()
        browser.screenshot(path=tmp_path / "dead.png")
        panel.get_by_text("No effect on the embedded server").click()

        panel.get_by_role("button", name="TOML").click()
        text = panel.get_by_label("Text to copy")
        browser.wait_for_function("e => e.value.startsWith('[options]')", arg=text.element_handle())
        text.focus()
        browser.keyboard.press("Control+A")
        picked = text.evaluate("e => e.value.slice(e.selectionStart, e.selectionEnd)")
        assert picked == "[options]\ntemperature = 0.2"

        panel.get_by_label("Prompt to try").fill("What is the capital of France?")
        panel.get_by_role("button", name="Run").click()
        footer = panel.locator(".acagent-nb-footer")
        footer.wait_for()
        assert "temperature 0.2" in footer.inner_text()
        assert "Paris" in panel.locator(".acagent-nb-answer").inner_text()
        browser.screenshot(path=tmp_path / "tried.png")

        asked = run_cell(browser, 2).locator(".acagent-nb-footer").inner_text()
        assert "temperature 0.2" in asked
        assert "seed 3" in asked

        second = run_cell(browser, 3).locator(".acagent-nb-options")
        sends(second, {"temperature": 0.2})
        field = second.get_by_label("seed", exact=True)
        field.fill("7")
        field.press("Enter")
        for view in (second, panel):
            sends(view, {"seed": 7, "temperature": 0.2})
        assert panel.get_by_label("seed", exact=True).input_value() == "7"

        browser.get_by_role("button", name="Save and create checkpoint").click()
        for _ in range(100):
            with suppress(nbformat.reader.NotJSONError):  # it is just being written
                if saved := nbformat.read(folder / "options.ipynb", as_version=4).cells[1].outputs:
                    break
            browser.wait_for_timeout(100)
        assert "<b>seed</b>" in saved[1].data["text/html"]
        assert saved[1].metadata["acagent_nb"]["options"] == {"seed": 7, "temperature": 0.2}
        assert "<script" not in saved[1].data["text/html"]


def test_the_panel_in_the_dark(folder: Path, api: httpx.Client, server: str, tmp_path: Path) -> None:
    with jupyterlab(folder, dark=True, OLLAMA_HOST=server) as url, page(url, **VIEW) as browser:
        open_notebook(browser, url, "options.ipynb")
        run_cell(browser, 0)
        panel = run_cell(browser, 1).locator(".acagent-nb-options")
        panel.get_by_role("button", name="creative").click()
        sends(panel, {"temperature": 1.2, "top_k": 0, "top_p": 1.0, "min_p": 0.05})
        browser.screenshot(path=tmp_path / "dark.png")
        light = "e => getComputedStyle(e).color.match(/[0-9.]+/g).slice(0, 3).map(Number)"
        for seen in (row(panel, "temperature").locator(".an-name"), panel.locator(".an-json pre")):
            assert min(seen.evaluate(light)) > 150  # light letters on the dark page
