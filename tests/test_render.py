"""Model text is shown as Markdown, and nothing in it can run or fetch."""

from __future__ import annotations

import time
from html.parser import HTMLParser
from statistics import median

import pytest

from acagent_nb.colours import _COLOURS
from acagent_nb.render import _BLOCK, _CODE, _SELECT, Rendered, html

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
    "$\\href{javascript:alert(1)}{x}$",
    "$$\\href{javascript:alert(1)}{x}$$",
    "$x<script>alert(1)</script>$",
    "$$\n<img src=x onerror=alert(1)>\n$$",
    "\\[<script>alert(1)</script>\\]",
    "\\begin{align}<svg/onload=alert(1)>\\end{align}",
    "```html\n<script>alert(1)</script><img src=x onerror=alert(1)>\n```",
    '```python\nx = "</span><script>alert(1)</script>"\n```',
)
TAGS = {
    *("a", "blockquote", "br", "code", "div", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre"),
    *("s", "span", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul"),
}
CLEAR = "background-color: transparent"
STYLES = {
    "overflow-x: auto",
    *(f"text-align:{side}" for side in ("left", "right", "center")),
    _BLOCK,
    _SELECT,
    _CODE,
    CLEAR,
}
STYLES |= {f"color: var(--jp-mirror-editor-{name}-color, {colour})" for name, colour in _COLOURS.values()}
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
    growing = Rendered()
    for end in range(len(attack)):
        _harmless(html("So:\n\n" + attack[:end]))
        _harmless(growing.html("So:\n\n" + attack[:end]))


def test_links_open_elsewhere_and_tell_nothing() -> None:
    page = html("[a](https://a.example) <mailto:me@a.example> [b](#here)")
    assert page.count('rel="noopener noreferrer" target="_blank"') == 3
    assert 'href="https://a.example"' in page
    assert 'href="mailto:me@a.example"' in page


def test_an_image_is_its_words() -> None:
    page = html("See ![a *big* <cat>](https://a.example/cat.png)!")
    assert page == "<p>See a big &lt;cat&gt;!</p>\n"


def test_what_models_write() -> None:
    page = html("| a | b |\n|--|--:|\n| 1 | 2 |\n\n```nothing\nx < 1\n```\n\n1. one\n2. ~~two~~ **three**")
    assert '<th style="text-align:left">a</th>' in page
    assert '<td style="text-align:right">2</td>' in page
    assert f'<pre style="{_CODE}"><code class="language-nothing" style="{CLEAR}">x &lt; 1\n</code></pre>' in page
    assert "<s>two</s> <strong>three</strong>" in page


def test_the_lines_of_a_poem_stay_lines() -> None:
    assert html("Waves fold\ninto foam").count("<br />") == 1


def test_headings_stand_below_the_notebooks_own() -> None:
    assert html("# a\n## b\n##### c\n") == "<h3>a</h3>\n<h4>b</h4>\n<h6>c</h6>\n"


def test_an_open_fence_is_code_already() -> None:
    assert f'<code class="language-none" style="{CLEAR}">x = [</code></pre>' in html("```none\nx = [")


@pytest.mark.parametrize("text", ["", ".", "/etc/passwd", "http://a.example", "\x00", "\ud800"])
def test_odd_texts_are_just_text(text: str) -> None:
    _harmless(html(text))


def test_code_is_coloured_as_the_editor_does() -> None:
    page = html("```python\ndef f(x):\n    return 'a<b'  # why\n```")
    for word, kind in (("def", "keyword"), ("f", "def"), ("&#x27;a&lt;b&#x27;", "string"), ("# why", "comment")):
        assert f"--jp-mirror-editor-{kind}-color" in page
        assert word.replace("&#x27;", "'") in page
    assert text_of(page).strip() == "def f(x):\n    return 'a<b'  # why", "it can be copied as it is"


def test_code_that_is_too_long_to_colour_stays_readable() -> None:
    assert "color: var(--jp-mirror" not in html("```python\n" + "x = 1\n" * 5_000 + "```")


FORMULAS = (
    "$a_i * b_i$ and $c_i * d_i$",
    "so \\(x_1 < y_1\\) and \\(x_2\\)",
    "$$\\sum_{i=1}^n x_i$$",
    "$$\na \\\\\n- b_1\n+ c_1 & d\n$$",
    "\\[\nf(x) = \\int_0^1 x\\,dx\n\\]",
    "\\begin{align*}\na &= b_1 \\\\\n- c &= d_1\n\\end{align*}",
    "Text\n\\[ a_1*b*c \\]\nmore",
    "$\\{a, b\\}$",
    "- one $a_1$\n- two \\(b_1\\)",
)


@pytest.mark.parametrize("text", FORMULAS)
def test_formulas_come_through_as_they_are(text: str) -> None:
    page = html(text)
    assert text_of(page).replace("\n", " ").split() == text.replace("- one", "one").replace("- two", "two").split()
    assert "<em>" not in page
    assert "<span>" not in page
    assert "<br" not in page or text.startswith("Text")
    _harmless(page)


@pytest.mark.parametrize(
    "text",
    ["It costs $5, or $10 for two.", "`$x$`", "\\$x\\$", "a \\\\( b \\\\) c", "$ x $", "US$ and CA$", "$x", "\\(x"],
)
def test_what_is_no_formula_is_not_typeset(text: str) -> None:
    page = html(text)
    bare = page.replace("<span>$</span>", "").replace("<span>\\</span>", "").replace("<code>$x$</code>", "")
    assert "$" not in bare
    assert "\\" not in bare


def test_thousands_of_dollars_without_an_end_are_text_soon() -> None:
    page = html("$a \\ " * 20_000)  # each of them was looked after to the text's end: half a minute
    assert page.count("<span>$</span>") == 20_000
    assert "<span>$</span>" not in html(f"${'x' * 900}$")
    assert html(f"${'x' * 1100}$").count("<span>$</span>") == 2


def test_a_formula_that_leads_somewhere_is_text() -> None:
    for evil in ("\\href{javascript:alert(1)}{x}", "\\style{position:fixed}{x}", "\\def\\frac{x}", "\\HREF{a}{b}"):
        for around in ("${}$", "$${}$$", "\\({}\\)", "\\[{}\\]", "$$\n{}\n$$", "\\begin{{align}}{}\\end{{align}}"):
            page = html(around.format(evil))
            assert "<span>" in page
            assert "$" not in page.replace("<span>$</span>", "")
            assert "\\" not in page.replace("<span>\\</span>", "")


ANSWER = """# A title

First *paragraph* with a [link][1]
and `code`.

- a
- b

  still b
1.5 is lazy
1. one
2. two

> quote
lazy

| a | b |
|---|--:|
| 1 | 2 |

```python
x = [1,

2]
```

    indented

    code
Setext
===
$$
a_1 - b

[1]: https://a.example
***
\\[ a_1 \\]
The [end][1]
"""


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_text_that_grows_ends_as_the_whole(step: int, end: str) -> None:
    text = ANSWER.replace("[link][1]", "[link](https://a.example)").replace("\n", end)
    growing = Rendered()
    for at in range(0, len(text) + step, step):
        page = growing.html(text[:at])
        _harmless(page)
    assert page == html(text)


def test_what_is_over_is_not_rendered_again() -> None:
    growing, took = Rendered(), []
    for number in range(1, 401):
        began = time.process_time()
        growing.html("Some *words* and `code`.\n\n" * number)
        took.append(time.process_time() - began)
    assert median(took[-100:]) < 5 * median(took[:100]), "the whole would take twenty times as long"


def text_of(page: str) -> str:
    """The text that a browser would show, and copy."""
    words: list[str] = []

    class Reader(HTMLParser):
        def handle_data(self, data: str) -> None:
            words.append(data)

    Reader().feed(page)
    return "".join(words)
