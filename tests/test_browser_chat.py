"""The chat in a real JupyterLab, in a real browser: by keyboard, stopped, and what stays when it is saved."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from tests.lab import CHROMIUM, jupyterlab, open_notebook, page, run_cell
from tests.replay import Answer, replaying, said
from tests.screenshot import KERNEL

pytest.importorskip("ipywidgets", reason="the extra `panel` is not installed")
pytest.importorskip("jupyterlab", reason="JupyterLab is not installed")
pytest.importorskip("playwright", reason="playwright is not installed")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here: apt-get install chromium"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # playwright's and greenlet's own
]

CODE = (
    "Fit the line by **least squares**:\n\n```python\nimport numpy as np\n\nslope, offset = np.polyfit(x, y, 1)\n```\n"
    "\n| part | meaning |\n|---|---|\n| `slope` | rise per step |\n| `offset` | value at 0 |\n"
)
EVIL = "<script>window.hit=1</script> <img src=x onerror='window.hit=1'> ![x](http://127.0.0.1:9/leak.png)"
LONG = [f"Sentence number {number} of a long story.  \n" for number in range(400)]
TAGS = Answer((json.dumps({"models": [{"name": "tiny:latest"}, {"name": "other:1b"}]}) + "\n",))
BUTTONS = ("System prompt", "Send", "Stop", "Regenerate", "Edit", "To a cell", "Clear")
VIEW = {"viewport": {"width": 900, "height": 1000}, "device_scale_factor": 2}


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_chat(tmp_path: Path, dark: bool) -> None:
    folder = tmp_path / "notebooks"
    folder.mkdir()
    cells = ("%load_ext acagent_nb\n%llm chat local_tiny", "1 + 1", "_llm_cell")
    notebook = new_notebook(cells=[new_code_cell(text) for text in cells], metadata=KERNEL)
    nbformat.write(notebook, folder / "chat.ipynb")
    words = (f"{word} " for word in CODE.split(" "))
    answers = [said(*words, f"\n\n{EVIL}"), said(*LONG, pause=0.02), said("Short.")]
    with (
        replaying(chat=answers, tags=TAGS) as server,
        jupyterlab(folder, dark=dark, OLLAMA_HOST=server.url) as url,
        page(url, **VIEW) as tab,
    ):
        asked: list[str] = []
        tab.on("request", lambda request: asked.append(request.url))
        open_notebook(tab, url, "chat.ipynb")
        output = run_cell(tab, 0)
        chat = output.locator(".acagent-nb-chat")
        box = chat.get_by_role("textbox", name="Your message")
        box.wait_for()
        tree = tab.context.new_cdp_session(tab).send("Accessibility.getFullAXTree")["nodes"]
        named = {(node["role"]["value"], node["name"]["value"]) for node in tree if {"role", "name"} <= set(node)}
        fields = {("textbox", "Your message"), ("combobox", "Model")}
        assert fields | {("button", name) for name in BUTTONS} <= named
        assert tab.locator("datalist option").evaluate_all("all => all.map(one => one.value)")[:2] == [
            "local_tiny",
            "local_other:1b",
        ]

        box.click()
        tab.keyboard.type("How do I fit a line?")
        tab.keyboard.press("Enter")
        tab.keyboard.type("With numpy, please.")
        tab.keyboard.press("Tab")
        assert tab.evaluate("document.activeElement.textContent") == "Send"
        tab.keyboard.press("Space")
        _answered(tab, chat, 1)
        assert chat.locator(".acagent-nb-you").first.inner_text() == "How do I fit a line?\nWith numpy, please."
        assert chat.locator(".acagent-nb-answer").inner_text().startswith("Fit the line by least squares:")
        tab.screenshot(path=tmp_path / "answer.png")

        tab.keyboard.press("Shift+Tab")
        assert tab.evaluate("document.activeElement.tagName") == "TEXTAREA"
        tab.keyboard.type("Tell me a story.")
        tab.keyboard.press("Tab")
        tab.keyboard.press("Space")
        chat.get_by_text("Sentence number 30 ").wait_for()
        assert chat.get_by_text("Sentence number 30 ").is_visible(), "the end of a growing answer stays in sight"
        tab.screenshot(path=tmp_path / "growing.png")
        tab.keyboard.press("Tab")
        assert tab.evaluate("document.activeElement.textContent") == "Stop"
        tab.keyboard.press("Space")
        _answered(tab, chat, 2)
        assert server.gone.wait(5), "the connection is closed"
        assert " stopped" in chat.locator(".acagent-nb-footer").last.inner_text()
        assert "Sentence number 399" not in chat.inner_text()
        story = chat.locator(".acagent-nb-answer").last.inner_text()

        tab.screenshot(path=tmp_path / "stopped.png")
        chat.get_by_role("button", name="Edit").click()
        chat.locator(".acagent-nb-you >> nth=1").wait_for(state="detached")
        assert box.input_value() == "Tell me a story."
        chat.get_by_role("button", name="System prompt").click()
        chat.get_by_role("textbox", name="System prompt").fill("Be brief.")
        chat.get_by_role("button", name="Send").click()
        _answered(tab, chat, 2)
        assert story not in chat.inner_text()
        sent = [body for _, path, body in server.requests if path == "/api/chat"][-1]
        assert [turn["role"] for turn in sent["messages"]] == ["system", "user", "assistant", "user"]

        chat.get_by_role("button", name="To a cell").click()
        text = chat.get_by_role("textbox", name="The text of the cell")
        text.wait_for()
        expected = "%%llm local_tiny --system 'Be brief.'\nTell me a story."
        assert text.input_value() == expected
        tab.screenshot(path=tmp_path / "cell.png")
        assert repr(expected) in run_cell(tab, 2).inner_text()
        chat.get_by_role("button", name="Below the cell I run next").click()
        tab.wait_for_timeout(300)
        run_cell(tab, 1)
        tab.locator(".jp-Notebook .jp-Cell").nth(3).wait_for()
        new = tab.locator(".jp-Notebook .jp-Cell").nth(2).locator(".cm-line")
        assert "\n".join(new.all_inner_texts()) == expected

        assert chat.locator("script, iframe, img, form").count() == 0
        assert tab.evaluate("window.hit") is None
        record = output.locator("[class^=acagent-nb-record]")
        assert record.count() == 1
        assert not record.is_visible(), "the living chat hides what a saved page shows"
        tab.keyboard.press("Control+s")
        saved = _saved(tab, folder / "chat.ipynb", "Short.")
        (kept,) = [one for one in saved.cells[0].outputs if "acagent_nb" in one.metadata]
        assert [made["model"] for made in kept.metadata["acagent_nb"]["answers"]] == ["local_tiny"] * 2
        _without_its_kernel(tab, url, saved, folder)
        tab.screenshot(path=tmp_path / "reopened.png")
        assert not [address for address in asked if not address.startswith((url, "data:", "blob:"))]
    print(*sorted(map(os.fspath, tmp_path.glob("*.png"))), sep="\n")


def _answered(tab: Any, chat: Any, count: int) -> None:
    """Wait until so many answers have ended."""
    tab.wait_for_function(
        "count => [...document.querySelectorAll('.widget-html .acagent-nb-footer')].length == count", arg=count
    )
    chat.get_by_role("button", name="Stop", disabled=True).wait_for()


def _saved(tab: Any, path: Path, word: str) -> Any:
    """The notebook, once it is saved."""
    for _ in range(50):
        tab.wait_for_timeout(100)
        if word in path.read_text():
            break
    return nbformat.read(path, as_version=4)


def _without_its_kernel(tab: Any, url: str, saved: Any, folder: Path) -> None:
    """Open what was saved where no kernel knows the widget: the conversation is there."""
    nbformat.write(saved, folder / "reopened.ipynb")
    tab.goto(f"{url}doc/tree/reopened.ipynb?reset")
    record = tab.locator("[class^=acagent-nb-record]")
    record.wait_for(timeout=90_000)
    assert record.is_visible()
    text = record.inner_text()
    for words in ("Be brief.", "With numpy, please.", "Fit the line by least squares:", "Short.", "local_tiny · "):
        assert words in text
