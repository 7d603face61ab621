"""A notebook's page is readable, runs nothing and fetches nothing, whatever the notebook holds."""

from __future__ import annotations

from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from acagent_nb.columns import Columns
from acagent_nb.growing import Growing
from acagent_nb.messages import Done, Message, Request, Text, Thinking, ToolCall, ToolResult
from acagent_nb.runnable.export import clean, html_page
from tests.test_render import ATTACKS

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # nbconvert's own


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

    assert bare(clean(html)) == bare(html)


@pytest.mark.parametrize("attack", [*ATTACKS, "<p style='position:fixed;background:url(http://evil.example)'>x"])
def test_others_outputs_and_texts_are_cleaned(attack: str) -> None:
    output = new_output("display_data", {"text/html": attack})
    notebook = new_notebook(cells=[new_code_cell("1", outputs=[output]), new_markdown_cell(attack)])
    page = html_page(notebook, "A page")
    body = page[page.index("<main>") :]
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
    page = html_page(new_notebook(cells=[new_markdown_cell("# Hi\n\nYou.")]), "A <title>")
    assert "<title>A &lt;title&gt;</title>" in page
    assert "<script" not in page
    assert "<p>You.</p>" in page
    assert 'src="http' not in page
