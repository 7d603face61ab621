"""What is cut out of outputs before two runs are compared, and what is not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas
import pytest

from acagent_nb import columns
from acagent_nb.columns import Columns
from acagent_nb.growing import Growing
from acagent_nb.hosts import Host
from acagent_nb.messages import Done, Request, Stats, Text
from acagent_nb.options import Options
from acagent_nb.page import Page
from acagent_nb.runnable.executed import WIDGET
from acagent_nb.runnable.sanitised import alike, sanitised
from acagent_nb.tables import Table

from .kernels import Kernel, running_kernel


def answer(text: str = "Because.", *, speed: int = 1, replayed: bool = False, seed: int = 1) -> Growing:
    """An answer that has ended, with costs and a host of its own for each speed."""
    growing = Growing("local_tiny", Request("tiny", options=Options(seed=seed)), f"seed {seed}")
    growing.host, growing.known_hosts = Host(f"http://127.0.0.1:{40000 + speed}", "OLLAMA_HOST"), ()
    stats = Stats(prompt_eval_count=16, eval_count=24, eval_duration=10**8 * speed, total_duration=10**9 * speed)
    growing.feed([Text(text), Done("stop", stats, "2ab1" * 16)])
    growing.end()
    growing.replayed = replayed
    growing._took = growing.first = float(speed)
    return growing


def shown(html: str, text: str, **metadata: Any) -> list[dict[str, Any]]:
    data = {"text/html": html, "text/plain": text}
    return [{"output_type": "display_data", "metadata": {"acagent_nb": metadata}, "data": data}]


def alone(growing: Growing) -> list[dict[str, Any]]:
    return shown(Page().html(growing), growing.text, **growing.provenance())


def beside(*answers: Growing) -> list[dict[str, Any]]:
    return shown(Columns().html(answers), columns.plain(answers))


def printed(text: str) -> list[dict[str, Any]]:
    return [{"output_type": "stream", "name": "stdout", "text": text}]


def test_what_an_answer_costs_and_where_it_comes_from_makes_no_difference() -> None:
    live, kept = alone(answer(speed=1)), alone(answer(speed=7, replayed=True))
    assert live != kept
    assert "replayed" in kept[0]["data"]["text/html"]
    assert alike(live, kept)


def test_its_words_do(recwarn: pytest.WarningsRecorder) -> None:
    assert not alike(alone(answer("Because.")), alone(answer("Because!")))
    near = "It is at http://127.0.0.1:{}, 0.5 s away, sha256:" + "ab" * 32
    assert not alike(alone(answer(near.format(8080))), alone(answer(near.format(9090))))


def test_several_answers_are_compared_by_their_words_and_tokens() -> None:
    here = beside(answer(seed=1, speed=1), answer(seed=2, speed=2))
    assert alike(here, beside(answer(seed=1, speed=3), answer(seed=2, speed=4)))
    assert not alike(here, beside(answer(seed=1), answer(seed=3)))
    (left,) = sanitised(here)
    assert "24" in left["data"]["text/html"], "so many tokens"
    assert "tokens/s" not in left["data"]["text/html"]


def frame(*answers: Growing) -> list[dict[str, Any]]:
    table = columns.frame(answers)
    assert isinstance(table, pandas.DataFrame)
    return shown(table._repr_html_(), repr(table))


def test_a_sweep_s_table_is_compared_without_its_times() -> None:
    assert alike(frame(answer(speed=1)), frame(answer(speed=123)))
    assert not alike(frame(answer("One.")), frame(answer("Two.")))


def test_a_user_s_own_table_is_compared_whole() -> None:
    first, second = (pandas.DataFrame({"city": ["Bonn"], "seconds": [each]}) for each in (1.5, 2.5))
    assert not alike(*(shown(table._repr_html_(), repr(table)) for table in (first, second)))


@pytest.mark.parametrize(
    ("head", "one", "other"),
    [
        (("name", "unloaded"), ("local_tiny", "in 4 minutes"), ("local_tiny", "in 59 seconds")),
        (("model", "tokens out", "seconds"), ("local_tiny", "24", "0.34"), ("local_tiny", "24", "1.2")),
        ((), ("changed", "3 minutes ago"), ("changed", "for ever")),
        (("name", "size", "loaded"), ("local_tiny", "2.0 MB", "on the CPU"), ("local_tiny", "2.0 MB", "")),
    ],
    ids=["ps", "usage", "show", "list"],
)
def test_tables_of_line_commands_are_compared_without_times_and_machines(
    head: tuple[str, ...], one: tuple[str, ...], other: tuple[str, ...]
) -> None:
    first, second = (Table(head, [row, ("same",) * len(row)]) for row in (one, other))
    assert alike(shown(first.html, first.text), shown(second.html, second.text))
    third = Table(head, [(*one[:1], *one[1:]), ("another",) * len(one)])
    assert not alike(shown(first.html, first.text), shown(third.html, third.text))


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    with running_kernel() as kernel:
        assert kernel.run("%load_ext acagent_nb").status == "ok"
        yield kernel


@pytest.mark.parametrize("line", ["doctor", "disk", "logs"])
def test_what_tells_of_the_machine_is_not_compared(kernel: Kernel, server: str, line: str) -> None:
    kernel.use(server)
    # The server that the tests have started keeps no log in a file.
    show = "from acagent_nb.tables import show_machine\nshow_machine('one', get_ipython())"
    ran = kernel.run(show if line == "logs" else f"%llm {line}")
    assert ran.status == "ok"
    ((_, shown_here),) = ran.drawings
    here = [{"output_type": "display_data", "metadata": shown_here["metadata"], "data": shown_here["data"]}]
    data = {"text/plain": "another", "text/html": '<div class="acagent-nb mathjax_ignore">another</div>'}
    there = [{"output_type": "display_data", "metadata": shown_here["metadata"], "data": data}]
    assert alike(here, there)
    assert not alike(here, [{**there[0], "metadata": {}}])
    assert not alike(here, [])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("<__main__.Poem object at 0x7f2e4c10>", "<__main__.Poem object at 0x10>"),
        ("Reply(text='Hi', replayed=True)", "Reply(text='Hi', replayed=False)"),
        ("Stats(eval_duration=12, eval_count=2)", "Stats(eval_duration=13, eval_count=2)"),
        (f"sha256:{'ab' * 32}", f"sha256:{'cd' * 32}"),
        ("asked http://127.0.0.1:41234/api/tags", "asked http://ollama:11434/api/tags"),
    ],
)
def test_printed_texts_are_compared_without_addresses_and_digests(one: str, other: str) -> None:
    assert alike(printed(one), printed(other))
    assert not alike(printed(one), printed(f"{other}!"))


def test_widgets_are_not_compared_and_streams_are_in_one_piece() -> None:
    widget = {"output_type": "display_data", "metadata": {}, "data": {WIDGET: {}, "text/plain": "Output()"}}
    assert alike([*printed("a"), widget, *printed("b")], printed("ab"))
    assert not alike(printed("ab"), [])


def test_a_panel_s_record_is_compared_without_its_name() -> None:
    one, other = ('<div class="acagent-nb-record-{}">seed {}</div>'.format(*each) for each in (("a1", 1), ("b2", 1)))
    assert alike(shown(one, "seed 1"), shown(other, "seed 1"))
    assert not alike(shown(one, "seed 1"), shown(other.replace("seed 1", "seed 2"), "seed 1"))


def test_what_is_compared_is_not_changed() -> None:
    before = alone(answer())
    html = before[0]["data"]["text/html"]
    sanitised(before)
    assert before[0]["data"]["text/html"] == html
    assert "acagent-nb-footer" in html
