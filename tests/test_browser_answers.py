"""All that an answer can look like, in a real JupyterLab, light and dark; with pictures for whoever wants to judge."""

from __future__ import annotations

import re
import time
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

RICH = r"""## Why the sky is blue

Sunlight looks *white*, but air scatters **blue** more: the intensity goes with $I \propto \lambda^{-4}$, so that a
ticket of $5 or $10 stays money and \(x_1 * y_1\) a formula.

$$
\frac{I_\text{blue}}{I_\text{red}} = \left(\frac{700}{450}\right)^4
$$

```python
def scattered(wavelength: float, power: int = 4) -> float:
    '''How much is scattered, in units of 700 nm.'''
    return (700 / wavelength) ** power  # about 5.9
```

| colour | nm | scattered |
|--------|---:|----------:|
| blue | 450 | 5.9 |
| red | 700 | 1.0 |

1. Noon: a short way, a `blue` sky.
2. Evening: a long way, a red one.

$\href{javascript:window.hit=1}{x}$ \style{position:fixed}{x} \[ \href{javascript:window.hit=1}{y} \]
"""
TOOL = '''
def get_weather(city: str) -> str:
    """The weather now.

    Parameters
    ----------
    city
        A city.
    """
    return f"sunny in {city}, 21 degrees"
'''


@pytest.fixture
def folder(tmp_path: Path, server: str) -> Iterator[Path]:
    folder = tmp_path / "notebooks"
    folder.mkdir()
    cells = (
        "%load_ext acagent_nb",
        "%%llm local_rich --temperature 0.5\nWhy is the sky blue?",
        f"%env OLLAMA_HOST={server}\n%reload_ext acagent_nb{TOOL}",
        "%%llm local_tiny:skills --temperature 0\nHow many legs do 3 spiders have?",
        "%%llm local_tiny:skills --tool get_weather --yes --temperature 0\nWhat is the weather in Paris?",
        "%%llm local_tiny --temperature 0,0.9 --seed 7,9\nWrite a haiku about the sea.",
        "%%llm local_tiny,local_tiny:skills,local_nothere --no-pull\nWhy is the sky blue?",
        "_llm[1]",
    )
    nbformat.write(new_notebook(cells=list(map(new_code_cell, cells)), metadata=KERNEL), folder / "all.ipynb")
    nbformat.write(new_notebook(cells=list(map(new_code_cell, cells[:2])), metadata=KERNEL), folder / "stop.ipynb")
    yield folder
    print(*tmp_path.glob("*.png"))


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_all_that_an_answer_can_look_like(folder: Path, dark: bool) -> None:
    pieces = [RICH[at : at + 7] for at in range(0, len(RICH), 7)]
    with (
        replaying(chat=said(*pieces, pause=0.01)) as rich,
        jupyterlab(folder, dark=dark, OLLAMA_HOST=rich.url) as url,
        page(url, viewport={"width": 1000, "height": 3300}) as tab,
    ):
        open_notebook(tab, url, "all.ipynb")
        outputs = [run_cell(tab, number) for number in range(8)]
        tab.wait_for_timeout(1000)
        tab.screenshot(path=folder.with_name(f"answers-{'dark' if dark else 'light'}.png"))
        _, answer, _, thought, called, grid, columns, value = outputs
        assert answer.locator("mjx-container").count() == 3
        assert "$5 or $10" in re.sub(r"\s+", " ", answer.inner_text())
        assert answer.locator("a[href^='javascript']").count() == 0
        assert tab.evaluate("window.hit") is None
        legible(answer, ".acagent-nb-answer p, pre span, .acagent-nb-footer", dark)
        assert copied(tab, answer).strip().startswith("def scattered(wavelength: float")
        folds(thought, ".acagent-nb-thinking", "legs")
        folds(called, ".acagent-nb-call", "sunny in Paris, 21 degrees")
        boxes = [each.bounding_box() for each in columns.locator(".acagent-nb-column").all()]
        assert boxes[0]["y"] == boxes[1]["y"]
        assert boxes[1]["x"] > boxes[0]["x"] + boxes[0]["width"]
        assert "ModelMissing" not in columns.locator(".acagent-nb-column").nth(0).inner_text()
        assert "ModelMissing" in columns.locator(".acagent-nb-column").nth(2).inner_text()
        assert grid.locator(".acagent-nb-column").count() == 4
        assert grid.locator(".acagent-nb-costs tbody tr").count() == 4
        assert value.locator(".acagent-nb-footer").count() == 1
        tab.set_viewport_size({"width": 480, "height": 3300})
        tab.wait_for_timeout(500)
        boxes = [each.bounding_box() for each in columns.locator(".acagent-nb-column").all()]
        assert boxes[0]["x"] == boxes[1]["x"], "on a narrow screen one is below the other"
        assert boxes[1]["y"] >= boxes[0]["y"] + boxes[0]["height"]


def test_the_square_button_stops_the_model(folder: Path) -> None:
    with (
        replaying(chat=said("It is ", "blue", " because", done=False, pause=0.2, stall=60)) as slow,
        jupyterlab(folder, OLLAMA_HOST=slow.url) as url,
        page(url, viewport={"width": 900, "height": 600}) as tab,
    ):
        open_notebook(tab, url, "stop.ipynb")
        run_cell(tab, 0)
        tab.locator(".jp-Notebook .jp-Cell").nth(1).locator(".jp-InputArea-editor").click()
        tab.keyboard.press("Control+Enter")
        tab.get_by_text("It is blue because").wait_for(timeout=30_000)
        tab.locator("[data-command='notebook:interrupt-kernel'], [title^='Interrupt']").first.click()
        pressed = time.monotonic()
        assert slow.gone.wait(10), "the server sees the connection close"
        tab.get_by_text("stopped").first.wait_for(timeout=10_000)
        assert slow.left[0] - pressed < 2
        tab.wait_for_timeout(300)
        tab.screenshot(path=folder.with_name("stopped.png"))
        output = tab.locator(".jp-Notebook .jp-Cell").nth(1).locator(".jp-Cell-outputWrapper").inner_text()
        assert "It is blue because" in output
        assert "Interrupted" in output
        assert len(output.strip().splitlines()) <= 5


def folds(output: Any, what: str, text: str) -> None:
    """It is folded, and opens when it is clicked."""
    fold = output.locator(what).first
    body = fold.locator("div").first
    assert not body.is_visible()
    fold.locator("summary").click()
    assert body.is_visible()
    assert text in fold.inner_text()


def copied(tab: Any, output: Any) -> str:
    """What is selected by a click on the corner of the code."""
    output.locator("[title='Select the code']").click()
    return str(tab.evaluate("getSelection().toString()"))


def legible(output: Any, what: str, dark: bool) -> None:
    """Text has at least the contrast of 3 to 1 to the page behind it."""
    colours = output.locator(what).evaluate_all("all => all.map(each => getComputedStyle(each).color)")
    behind = luminance("rgb(33, 33, 33)" if dark else "rgb(255, 255, 255)")
    assert colours
    for colour in colours:
        lighter, darker = sorted((luminance(colour), behind), reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) >= 3, colour


def luminance(colour: str) -> float:
    """As WCAG 2 defines it, of a colour as a browser computes it."""
    parts = [float(each) for each in re.findall(r"[\d.]+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in (p / 255 for p in parts)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
