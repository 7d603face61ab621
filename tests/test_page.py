"""The HTML of an answer: what is marked, what folds, what is only text."""

from __future__ import annotations

import pytest

from acagent_nb.growing import Growing
from acagent_nb.messages import Done, Message, Note, Request, Stats, Text, Thinking, ToolCall, ToolResult
from acagent_nb.options import Options
from acagent_nb.page import Page, kept
from acagent_nb.replies import Reply
from tests.test_render import text_of

ASK = Request("tiny", (Message("user", "Why?"),), Options(stop=["$x$", "<b>"]))
EVIL = "<script>alert(1)</script>$x$"


def whole(*events: object, mark: str = "") -> Growing:
    answer = Growing("local_tiny", ASK)
    answer.feed(events)  # type: ignore[arg-type]  # each is an event
    answer.end(mark)
    return answer


def test_the_marks() -> None:
    stats = Stats(prompt_eval_count=1, eval_count=1_234, eval_duration=10**9)
    answer = whole(Text("So"), Done("length", stats, "", truncated=True), Note("It did not fit."))
    answer.replayed = True
    footer = text_of(Page().html(answer)).split("So\n")[1]
    assert footer.strip().startswith(
        "local_tiny · cut off · prompt truncated · replayed · 1 token in · 1,234 out · 1,234 t"
    )
    assert footer.strip().endswith("It did not fit.")


@pytest.mark.parametrize("mark", ["stopped", "broke off", "failed"])
def test_an_answer_that_is_not_whole(mark: str) -> None:
    assert f">{mark}</span>" in Page().html(whole(Text("So"), mark=mark))
    assert f">{mark} before an answer came</span>" in Page().html(whole(mark=mark))
    called = whole(ToolCall("add", {}), Done("stop"), mark=mark)
    assert f">{mark} before an answer came</span>" in Page().html(called), "the model was done, the function was not"


def test_rounds_stay_in_their_order() -> None:
    one, two = ToolCall("add", {"a": 1}), ToolCall("add", {"a": 2})
    answer = whole(
        *(Thinking("First."), Text("Let me see."), one, two, Done("stop")),
        *(ToolResult(one, "11"), ToolResult(two, "no", failed=True)),
        *(Thinking("Then."), Text("It is 11."), Done("stop")),
    )
    page = Page().html(answer)
    places = [
        page.index(each)
        for each in ("First.", "Let me", "add(a=1)", "→ 11", "add(a=2)", "failed: no", "Then.", "It is")
    ]
    assert places == sorted(places)
    assert answer.text == "It is 11."
    assert answer.thinking == "Then."
    assert answer.reply().text == answer.text


def test_nothing_of_a_model_or_a_function_is_more_than_text() -> None:
    call = ToolCall(EVIL, {EVIL: EVIL})
    answer = whole(
        Thinking(EVIL),
        call,
        Done("stop"),
        ToolResult(call, EVIL),
        Text(EVIL.replace("$", "")),
        Note(EVIL),
        Done("stop"),
    )
    for page in (Page().html(answer), kept(answer.reply())):
        assert "<script" not in page
        assert page.count("&lt;script&gt;") >= 5
        assert '<div class="acagent-nb-footer mathjax_ignore"' in page
        assert '<summary class="mathjax_ignore"' in page


def test_while_it_thinks_only_the_end_is_shown() -> None:
    answer = Growing("local_tiny", ASK)
    page = Page()
    for number in range(500):
        answer.feed([Thinking(f"Thought {number}.\n\n")])
    html = page.html(answer)
    assert "Thought 499." in html
    assert "Thought 7." not in html
    assert len(html) < 6_000
    answer.feed([Text("So.")])
    assert "Thought" not in page.html(answer).replace("Thoughts", "")
    answer.end()
    assert "Thought 7." in page.html(answer)


def test_a_reply_by_itself() -> None:
    reply = Reply("It is *so*.", "tiny", "Hm.", done_reason="stop", stats=Stats(eval_count=3, total_duration=2 * 10**9))
    page = kept(reply)
    assert "It is <em>so</em>." in page
    assert "Thoughts · 1 word</summary>" in page
    assert "3 tokens · 2.0 s" in page
    assert ">incomplete</span>" in kept(Reply("It is", "tiny"))
