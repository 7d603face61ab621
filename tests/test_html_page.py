"""A notebook's page is readable, runs nothing and fetches nothing, whatever the notebook holds."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from acagent_nb.columns import Columns
from acagent_nb.growing import Growing
from acagent_nb.messages import Done, Message, Request, Text, Thinking, ToolCall, ToolResult
from acagent_nb.render import code
from acagent_nb.runnable.html_clean import clean_html
from acagent_nb.runnable.html_index import Entry, about, index, title
from acagent_nb.runnable.html_page import html_page
from tests.lab import CHROMIUM, page
from tests.test_render import ATTACKS

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # nbconvert's own


DOT = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()
VIEW, STATE = "application/vnd.jupyter.widget-view+json", "application/vnd.jupyter.widget-state+json"


def test_what_we_draw_comes_through_unchanged() -> None:
    answer = Growing("local_tiny", Request("tiny", (Message("user", "Why?"),)))
    answer.feed([Thinking("Hm."), Text("# So\n\n| a |\n|--:|\n| `1` |\n\n```\nx\n```\n[l](https://a.example)\n")])
    called = ToolCall("add", {"a": 1})
    answer.feed(
        [called, Done("stop"), ToolResult(called, "2"), Text("```python\nx = 'a'\n```\n$a_1$ for $5"), Done("stop")]
    )
    answer.end()
    html = Columns().html([answer, answer])

    def bare(text: str) -> str:
        return text.replace(" ", "").replace(";", "").replace("&gt", ">").replace("'", '"')

    assert bare(clean_html(html)) == bare(html)


@pytest.mark.parametrize("attack", [*ATTACKS, "<p style='position:fixed;background:url(http://evil.example)'>x"])
def test_others_outputs_and_texts_are_cleaned(attack: str) -> None:
    output = new_output("display_data", {"text/html": attack})
    notebook = new_notebook(cells=[new_code_cell("1", outputs=[output]), new_markdown_cell(attack)])
    shown = html_page(notebook, "A page")
    body = shown[shown.index("<main>") :]
    for tag in ("<script", "<img", "<iframe", "<style", "<form", "<svg"):
        assert tag not in body
    links, styles = attributes(body, "href"), attributes(body, "style")
    # A browser drops blanks and control characters from an address before it looks for a scheme.
    schemes = {urlsplit("".join(char for char in link if char > " ")).scheme for link in links}
    assert schemes <= {"", "http", "https", "mailto"}
    assert not any("position" in style or "url(" in style for style in styles)


def attributes(html: str, name: str) -> list[str]:
    """The values that an attribute really has, on whatever tag; text that only looks like one is none."""
    values: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            values.extend(value or "" for key, value in attrs if key == name)

    Reader().feed(html)
    return values


def test_the_page_asks_no_other_host() -> None:
    shown = html_page(new_notebook(cells=[new_markdown_cell("# Hi\n\nYou.")]), "A <title>")
    assert "<title>A &lt;title&gt;</title>" in shown
    assert "<script" not in shown
    assert "<p>You.</p>" in shown
    assert 'src="http' not in shown
    assert not re.search(r"@import|url\((?!['\"]?data:)", shown)


@pytest.mark.parametrize(
    ("html", "cleaned"),
    [
        (
            f'<img src="data:image/png;base64,{DOT}" alt="a dot">',
            f'<img src="data:image/png;base64,{DOT}" alt="a dot">',
        ),
        ('<img src="http://far.example/x.png" alt="far">', '<a href="http://far.example/x.png">far</a>'),
        ('<img src="https://far.example/x.png">', '<a href="https://far.example/x.png">https://far.example/x.png</a>'),
        ('<img src="near.png" alt="near">', "near"),
        ('<img src="data:image/svg+xml;base64,PHN2Zy8+" alt="drawn">', "drawn"),
        ('<img src="data:text/html;base64,PHN2Zy8+" alt="no">', "no"),
        (f'<a href="data:image/png;base64,{DOT}">x</a>', "<a>x</a>"),
        ('<a href="da\nta:text/html,x">x</a>', "<a>x</a>"),
        ('<a href="#there">x</a>', '<a href="#there">x</a>'),
        ("<style scoped>th { color: red }</style><table></table>", "<table></table>"),
        ("<scr<script></script>ipt>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
    ],
)
def test_pictures_links_and_styles(html: str, cleaned: str) -> None:
    assert clean_html(html) == cleaned


def shown_outputs(*outputs: Any, state: dict[str, Any] | None = None) -> str:
    """The page of a cell with these outputs, from its code on."""
    notebook = new_notebook(cells=[new_code_cell("1", outputs=list(outputs))])
    notebook.metadata["widgets"] = {STATE: {"state": state or {}, "version_major": 2, "version_minor": 0}}
    shown = html_page(notebook, "A page")
    return shown[shown.index("<main>") :]


def widget(kind: str, **state: Any) -> dict[str, Any]:
    return {"model_name": f"{kind}Model", "model_module": "@jupyter-widgets/controls", "state": state}


def view(model: str, **more: str) -> Any:
    return new_output("display_data", {VIEW: {"model_id": model}, "text/plain": f"{model}(...)", **more})


CONTROLS = {
    "box": widget("VBox", children=[f"IPY_MODEL_{name}" for name in ("slider", "menu", "range", "tick", "key", "go")]),
    "slider": widget("IntSlider", description="top_k", value=40),
    "menu": widget("Dropdown", description="model", _options_labels=["a", "<b>"], index=1),
    "range": widget("IntRangeSlider", description="between", value=[1, 5]),
    "tick": widget("Checkbox", description="sent", value=True),
    "key": widget("Password", description="key", value="sk-secret"),
    "go": widget("Button", description="Go"),
    "out": widget("Output", outputs=[{"output_type": "stream", "name": "stdout", "text": "it was said"}]),
}


def test_a_widget_becomes_a_table_of_its_values() -> None:
    body = shown_outputs(view("box"), state=CONTROLS)
    cells = re.findall(r"<td[^>]*>(.*?)</td>", body)
    assert cells == ["top_k", "40", "model", "&lt;b&gt;", "between", "1 to 5", "sent", "yes"]
    assert "secret" not in body
    assert "<script" not in body


def test_a_widget_that_left_something_else_needs_no_table() -> None:
    record = new_output("display_data", {"text/html": '<div class="acagent-nb-record-1"><p>kept</p></div>'})
    body = shown_outputs(view("box"), record, state=CONTROLS)
    assert "<p>kept</p>" in body
    assert "top_k" not in body
    assert "VBox" not in body
    assert "<p>beside</p>" in shown_outputs(view("box", **{"text/html": "<p>beside</p>"}), state=CONTROLS)
    assert "it was said" in shown_outputs(view("out"), state=CONTROLS)
    assert "lost(...)" in shown_outputs(view("lost"), state=CONTROLS)


def test_pictures_of_outputs_are_part_of_the_page() -> None:
    drawn = '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    body = shown_outputs(
        new_output("display_data", {"image/png": DOT, "text/plain": "<Figure>"}),
        new_output("display_data", {"image/svg+xml": drawn}),
        new_output("display_data", {"application/javascript": "alert(1)", "text/plain": "no script"}),
    )
    pictures = attributes(body, "src")
    assert pictures == [
        f"data:image/png;base64,{DOT}",
        f"data:image/svg+xml;base64,{base64.b64encode(drawn.encode()).decode()}",
    ]
    assert "no script" in body
    assert "<script" not in body


def test_pictures_beside_the_notebook_become_part_of_its_page(tmp_path: Path) -> None:
    (tmp_path / "nb").mkdir()
    for place in ("nb/a dot.png", "outside.png"):
        (tmp_path / place).write_bytes(base64.b64decode(DOT))
    prose = "![dot](a%20dot.png) ![out](../outside.png) ![none](none.png) ![far](http://far.example/x.png)"
    shown = html_page(new_notebook(cells=[new_markdown_cell(prose)]), "A page", folder=tmp_path / "nb")
    assert attributes(shown[shown.index("<main>") :], "src") == [f"data:image/png;base64,{DOT}"]


def test_the_pages_of_several_notebooks_lead_to_each_other() -> None:
    body = html_page(new_notebook(), "This", before=("1 a.html", "The <first>"), after=("3.html", "Third"))
    assert {"1%20a.html", "index.html", "3.html"} <= set(attributes(body, "href"))
    assert "The &lt;first&gt;" in body
    assert "<nav" not in html_page(new_notebook(), "Alone")
    listed = index([Entry("1 a.html", "The <first>", "It & more."), Entry("2.html", "Second", "")])
    assert '<a href="1%20a.html">The &lt;first&gt;</a><p>It &amp; more.</p>' in listed
    typeset = "<math><mi>x</mi></math>"
    assert f">Of {typeset}</a><p>So {typeset} for $5.</p>" in index([Entry("1.html", "Of $x$", "So $x$ for $5.")])
    assert f"← Of {typeset}</a>" in html_page(new_notebook(), "This", before=("1.html", "Of $x$"))


@pytest.mark.parametrize(
    ("prose", "called", "first"),
    [
        ("# The *first* cell\n\nAsk a [model](x.html) in `%%llm`. Go on.", "The first cell", "Ask a model in %%llm."),
        ("Only a_name here", "file", "Only a_name here"),
        ("# Head\n\n| a |\n|---|\n\n> quote\n\nIs it 3.5 or\n4? Yes.", "Head", "Is it 3.5 or 4?"),
        ("", "file", ""),
        (
            "```\n# no heading\n\nno prose\n```\n\n# `A` ~b~ \\*c\\*\n\n[![a badge](b.png)](b)\n\n- a list\n\n$$x$$\n\n"
            "*First* ![the](x.png) [word][1] costs $5, and $a_1*b*$ is <b>bold</b> &amp; "
            "[x]( https://a.example 'y' ).\n\n[1]: z",
            "A ~b~ *c*",
            "First the word costs $5, and $a_1*b*$ is bold & x.",
        ),
    ],
)
def test_what_a_notebook_is_called_and_about(prose: str, called: str, first: str) -> None:
    notebook = new_notebook(cells=[new_markdown_cell(prose)])
    assert (title(notebook, Path("file.ipynb")), about(notebook)) == (called, first)
    notebook.metadata["title"] = "By its metadata"
    assert title(notebook, Path("file.ipynb")) == "By its metadata"


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here: apt-get install chromium")
def test_code_in_an_answer_is_selected_by_a_click_although_no_script_runs(tmp_path: Path) -> None:
    pytest.importorskip("playwright", reason="playwright is not installed")
    answer = new_output("display_data", {"text/html": code("x = 1\ny = 2", "python")})
    place = tmp_path / "page.html"
    place.write_text(html_page(new_notebook(cells=[new_code_cell("1", outputs=[answer])]), "A"), encoding="utf-8")
    with page("file://") as tab:
        tab.goto(place.as_uri())
        tab.get_by_title("Select the code").click()
        assert tab.evaluate("getSelection().toString()").strip() == "x = 1\ny = 2"


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here: apt-get install chromium")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_shows_it_light_or_dark_and_fetches_nothing(tmp_path: Path, scheme: str) -> None:
    cells = [new_markdown_cell("# Hi\n\n![x](http://far.example/x.png)"), new_code_cell("1 + 1")]
    pytest.importorskip("playwright", reason="playwright is not installed")
    place = tmp_path / "page.html"
    place.write_text(html_page(new_notebook(cells=cells), "A page"), encoding="utf-8")
    with page("file://", color_scheme=scheme) as tab:
        asked: list[str] = []
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(place.as_uri())
        colours = [
            tab.evaluate(f"getComputedStyle(document.querySelector('{where}')).{which}")
            for where, which in (
                ("body", "backgroundColor"),
                ("h1", "color"),
                (".jp-InputArea-editor", "backgroundColor"),
            )
        ]
    assert asked == [place.as_uri()]
    light = [sum(map(int, re.findall(r"\d+", colour)[:3])) > 380 for colour in colours]
    assert light == ([True, False, True] if scheme == "light" else [False, True, False])
