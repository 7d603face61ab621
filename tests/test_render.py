"""Model text is shown as Markdown, and nothing in it can run or fetch."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from acagent_nb.render import _CODE, html

ATTACKS = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<style>body{background:url(http://evil.example/)}</style>",
    "<form action='http://evil.example'><input></form>",
    "<a href='javascript:alert(1)'>x</a>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](java&#10;script:alert(1))",
    "[x](\x01javascript:alert(1))",
    "[x](&#106;avascript:alert(1))",
    "[x](vbscript:msgbox(1))",
    "[x](data:text/html,<script>alert(1)</script>)",
    "[x](file:///etc/passwd)",
    "[x](//evil.example/)",
    "[x](/api/shutdown)",
    "[x](../files/secret.txt)",
    "![x](http://evil.example/leak.png)",
    "![x](data:image/svg+xml;base64,PHN2Zy8+)",
    "![x][1]\n\n[1]: http://evil.example/leak.png",
    "[![x](http://evil.example/leak.png)](http://good.example/)",
    "<javascript:alert(1)>",
    "[x]: javascript:alert(1)\n\n[x]",
    '[x](http://a.example/ "\\" onmouseover=alert(1) \\"")',
    "[x](http://a.example/\"onmouseover='alert(1))",
    '```" onmouseover="alert(1)\ncode\n```',
    "```<script>alert(1)</script>\n<script>alert(2)</script>",
    "`<script>alert(1)</script>`",
    "| a |\n|---|\n| <script>alert(1)</script> |",
    "- <b onclick=alert(1)>x</b>",
    "# <script>alert(1)</script>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "</div></div><script>alert(1)</script>",
    "<!-- --><script>alert(1)</script>",
    "<![CDATA[<script>alert(1)</script>]]>",
)
TAGS = {
    *("a", "blockquote", "br", "code", "div", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre"),
    *("s", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul"),
}
CLEAR = "background-color: transparent"
STYLES = {"overflow-x: auto", *(f"text-align:{side}" for side in ("left", "right", "center")), _CODE, CLEAR}
ATTRIBUTES = {"class", "href", "rel", "start", "style", "target", "title"}


class _Seen(HTMLParser):
    """What a browser would see: tags, attributes, and how deep it is at the end."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.open = 0
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        self.open += tag not in ("br", "hr")

    def handle_endtag(self, tag: str) -> None:
        self.open -= tag not in ("br", "hr")


def _harmless(page: str) -> None:
    seen = _Seen(page)
    assert seen.tags <= TAGS
    assert {name for name, _ in seen.attributes} <= ATTRIBUTES
    for name, value in seen.attributes:
        if name == "href":
            assert value.startswith(("http://", "https://", "mailto:", "#"))
        if name == "style":
            assert value in STYLES
    assert seen.open == 0, "every tag is closed, so nothing leaks into the page around it"


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_becomes_harmless(attack: str) -> None:
    _harmless(html(attack))


@pytest.mark.parametrize("attack", ATTACKS)
def test_it_is_harmless_at_every_moment_of_its_growth(attack: str) -> None:
    for end in range(len(attack)):
        _harmless(html("So:\n\n" + attack[:end]))


def test_links_open_elsewhere_and_tell_nothing() -> None:
    page = html("[a](https://a.example) <mailto:me@a.example> [b](#here)")
    assert page.count('rel="noopener noreferrer" target="_blank"') == 3
    assert 'href="https://a.example"' in page
    assert 'href="mailto:me@a.example"' in page


def test_an_image_is_its_words() -> None:
    page = html("See ![a *big* <cat>](https://a.example/cat.png)!")
    assert page == "<p>See a big &lt;cat&gt;!</p>\n"


def test_what_models_write() -> None:
    page = html("| a | b |\n|--|--:|\n| 1 | 2 |\n\n```python\nx < 1\n```\n\n1. one\n2. ~~two~~ **three**")
    assert '<th style="text-align:left">a</th>' in page
    assert '<td style="text-align:right">2</td>' in page
    assert f'<pre style="{_CODE}"><code class="language-python" style="{CLEAR}">x &lt; 1\n</code></pre>' in page
    assert "<s>two</s> <strong>three</strong>" in page


def test_the_lines_of_a_poem_stay_lines() -> None:
    assert html("Waves fold\ninto foam").count("<br />") == 1


def test_headings_stand_below_the_notebooks_own() -> None:
    assert html("# a\n## b\n##### c\n") == "<h3>a</h3>\n<h4>b</h4>\n<h6>c</h6>\n"


def test_an_open_fence_is_code_already() -> None:
    assert (
        html("```py\nx = [") == f'<pre style="{_CODE}"><code class="language-py" style="{CLEAR}">x = [</code></pre>\n'
    )


@pytest.mark.parametrize("text", ["", ".", "/etc/passwd", "http://a.example", "\x00", "\ud800"])
def test_odd_texts_are_just_text(text: str) -> None:
    _harmless(html(text))
