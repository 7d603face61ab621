"""Formulas on a page are drawn without a script, and no formula can do anything else."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from acagent_nb.render import html
from acagent_nb.runnable.html_clean import clean_html
from acagent_nb.runnable.html_maths import with_maths
from acagent_nb.runnable.html_page import html_page
from tests.lab import CHROMIUM, page
from tests.test_render import ATTACKS

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # nbconvert's own

X2 = "<math><msup><mi>x</mi><mn>2</mn></msup></math>"
PROSE = r"""# About $E=mc^2$

Inline $x^2$, $5 or $10, `$x^2$`, $\nobody{x}$, and $\href{javascript:alert(1)}{x}$.

$$M = \begin{pmatrix} a & b \\ c & d \end{pmatrix}$$

\begin{align}
a_1 &= b < c \\
    &= d
\end{align}

| a formula | money |
|---|---|
| $x^2$ | $5 |

```
$x^2$
```
"""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<p>$x^2$</p>", f"<p>{X2}</p>"),
        (r"<p>a &lt; \(x^2\) &amp;</p>", f"<p>a &lt; {X2} &amp;</p>"),
        ("<p>$5 or $10, and a $</p>", "<p>$5 or $10, and a $</p>"),
        ("<p>$x &lt; 1$</p>", "<p><math><mi>x</mi><mo>&lt;</mo><mn>1</mn></math></p>"),
        ("<pre>$x^2$</pre><code>$x^2$</code>$x^2$", f"<pre>$x^2$</pre><code>$x^2$</code>{X2}"),
        ('<div class="a mathjax_ignore">$<br>x^2$<p>$x^2$</p></div>$x^2$', None),
        (
            '<a href="http://a.example/$x$" title="a > $x$">$5</a>',
            '<a href="http://a.example/$x$" title="a > $x$">$5</a>',
        ),
        ("<p><span>$</span>x<span>$</span></p>", "<p><span>$</span>x<span>$</span></p>"),
        (r"<p>$\nobody{x}$ and $x^2$</p>", rf"<p>$\nobody{{x}}$ and {X2}</p>"),
        (r"$\frac{a$", r"$\frac{a$"),
        (r"$\cancel{x}$", r"$\cancel{x}$"),  # it would be drawn without what is meant by it
        (r"$\hspace{9999em}x$", r"$\hspace{9999em}x$"),
        (r"$\eqref{x}$", r"$\eqref{x}$"),
    ],
)
def test_formulas_in_clean_html_become_mathml(text: str, shown: str | None) -> None:
    if shown is None:
        ignored, _, rest = text.partition("</div>")
        shown = f"{ignored}</div>{rest.replace('$x^2$', X2)}"
    assert with_maths(text) == shown


def test_lines_that_jupyterlab_does_not_number_have_no_numbers() -> None:
    shown = with_maths(r"\begin{align} a &amp;= b \\ c &amp;= d \tag{7} \end{align}")
    assert re.findall(r"<mtext>(.*?)</mtext>", shown) == ["(7)"]
    assert "display=" in with_maths(r"\[\begin{split} a &amp;= b \\ &amp;= c \end{split}\]")


def test_formulas_of_prose_answers_and_outputs_are_drawn() -> None:
    answer = new_output("display_data", {"text/html": html("So $x^2$ for $5, or $4.\n\n```\n$x^2$\n```")})
    latex = new_output("display_data", {"text/latex": r"$\displaystyle x^2$ <b>"})
    printed = new_output("stream", text="$x^2$")
    cells = [new_markdown_cell(PROSE), new_code_cell("'$x^2$'", outputs=[answer, latex, printed])]
    shown = html_page(new_notebook(cells=cells), "A page")
    body = shown[shown.index("<main>") :]
    prose, outputs = body.split('class="jp-Cell jp-CodeCell', 1)
    assert prose.count("<math") == 5
    assert prose.count(X2) == 2
    assert r"$5 or $10, <code>$x^2$</code>, $\nobody{x}$, and $\href{javascript:alert(1)}{x}$." in prose
    assert "<pre><code>$x^2$\n</code></pre>" in prose
    assert outputs.count("<math") == 2
    assert f"So {X2} for <span>$</span>5, or <span>$</span>4." in outputs
    assert "&lt;b&gt;" in outputs
    assert "<pre>$x^2$" in outputs


HARMLESS = {"class", "display", "displaystyle", "lspace", "rspace", "scriptlevel", "stretchy", "style"}
HARMLESS |= {"href", "rel", "start", "target", "title"}  # of links, code and lists


@pytest.mark.parametrize(
    "attack",
    [
        *ATTACKS,
        r"$\text{<img src=x onerror=alert(1)>}$",
        r"$\text{</mtext></math><script>alert(1)</script>}$",
        r"$\text{&lt;script&gt;alert(1)&lt;/script&gt;}$",
        r"$\color{red;position:fixed}x$",
        r'$\operatorname{" onclick="alert(1)}$',
        r"$\providecommand{\x}{y}\x$",
        r"\begin{equation}\label{x} a \end{equation}",
        "<math><mi>x</mi><mtext><script>alert(1)</script></mtext></math>",
        "<math><maction actiontype='statusline#http://evil.example' href='javascript:alert(1)'>x</maction></math>",
        "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=alert(1)&gt;'>",
    ],
)
def test_no_formula_does_more_than_to_be_drawn(attack: str) -> None:
    found: list[tuple[str, str, str]] = []
    text: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            assert tag not in ("script", "img", "svg", "iframe", "style", "form", "maction", "mglyph")
            found.extend((tag, name, value or "") for name, value in attrs)

        def handle_data(self, data: str) -> None:
            text.append(data)

    for shown in (with_maths(clean_html(html(attack))), with_maths(clean_html(attack))):
        Reader().feed(shown)
    assert {name for _, name, _ in found} <= HARMLESS
    assert not [value for _, name, value in found if name == "style" and ("position" in value or "url(" in value)]
    assert all(tag == "a" for tag, name, _ in found if name == "href")
    assert "".join(text).strip() or "[x]:" in attack


@pytest.mark.parametrize("deep", [r"\sqrt{", "{", r"\frac", r"\left(", r"\hat"])
def test_a_formula_that_is_deep_beyond_measure_stays_a_text(deep: str) -> None:
    code = (
        "import sys, threading\nfrom acagent_nb.runnable.html_maths import with_maths\n"
        "threading.stack_size(1 << 20)\n"
        "text = '$' + sys.argv[1] * 150 + 'x' + '}' * 150 * ('{' in sys.argv[1]) + '$'\n"
        "work = threading.Thread(target=lambda: [with_maths(text), print(with_maths(text.replace(sys.argv[1], "
        "sys.argv[1] * 200)) == text.replace(sys.argv[1], sys.argv[1] * 200))])\n"
        "work.start()\nwork.join()"
    )
    ran = subprocess.run([sys.executable, "-c", code, deep], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (0, "True\n"), ran.stderr


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here: apt-get install chromium")
def test_a_browser_draws_them(tmp_path: Path) -> None:
    pytest.importorskip("playwright", reason="playwright is not installed")
    wide = "$" + "+".join("abcdefgh" * 20) + "$"
    place = tmp_path / "page.html"
    cells = [new_markdown_cell(PROSE), new_markdown_cell(wide), new_markdown_cell(f"${wide}$")]
    place.write_text(html_page(new_notebook(cells=cells), "A page"), encoding="utf-8")
    with page("file://", viewport={"width": 500, "height": 800}) as tab:
        tab.goto(place.as_uri())
        top, bottom = (tab.locator("mfrac, mtable mtr").nth(at).bounding_box() for at in (0, 1))
        assert top["y"] + top["height"] <= bottom["y"] + 1, "the lines of a matrix stand one above the other"
        assert tab.locator("math").first.bounding_box()["height"] > 10
        assert tab.evaluate("document.documentElement.scrollWidth") <= 500, "a wide formula scrolls by itself"
