"""The chat without a page: its buttons and traits in a running loop, a real server behind them."""

from __future__ import annotations

import asyncio
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import httpx
import pytest

pytest.importorskip("ipywidgets", reason="the extra `panel` is not installed")

from acagent_nb.errors import BadName, BadPrompt, ServerError
from acagent_nb.filling import filled
from acagent_nb.messages import Message
from acagent_nb.options import Options
from acagent_nb.params import Params
from acagent_nb.parsing import parse
from acagent_nb.widgets.cells import question
from acagent_nb.widgets.chat_panel import ChatPanel
from tests.kernels import running_kernel
from tests.replay import Answer, Replay, replaying, said

FRANCE = "What is the capital of France?"
PARIS = "The capital of France is Paris."
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
GREEDY = Options(temperature=0.0, seed=1)


@pytest.fixture
def panel(api: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatPanel]:
    """A chat with the tiny model on the embedded server."""
    monkeypatch.setenv("OLLAMA_HOST", str(api.base_url))
    panel = ChatPanel("local_tiny", params=Params(), options=lambda: GREEDY)
    yield panel
    panel.close()


@pytest.fixture
def replayed(monkeypatch: pytest.MonkeyPatch) -> Callable[[Replay], ChatPanel]:
    """Makes a chat with a server that plays back."""

    def made(server: Replay) -> ChatPanel:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        return ChatPanel("local_tiny", params=Params())

    return made


async def until(true: Callable[[], bool], seconds: float = 20) -> None:
    """Wait, and let the loop go on meanwhile."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.005)


def shown(panel: ChatPanel) -> list[str]:
    """The HTML of every turn as it is on the page."""
    return [turn.value for turn in panel.view.all.children[3].children[0].children]


def last(panel: ChatPanel) -> str:
    return "".join(shown(panel)[-1:])


def contents(server: Replay, number: int = -1) -> list[tuple[str, str]]:
    """What a chat's request said."""
    chats = [body for _, path, body in server.requests if path == "/api/chat"]
    return [(turn["role"], turn["content"]) for turn in chats[number]["messages"]]


def test_an_answer_and_its_footer(panel: ChatPanel) -> None:
    reply = asyncio.run(panel.send(FRANCE))
    assert "Paris" in reply.text
    assert reply is panel.reply
    assert reply.complete
    assert reply.options == GREEDY
    assert panel.messages == (Message("user", FRANCE), Message("assistant", reply.text))
    question, answer = shown(panel)
    assert FRANCE in question
    assert "Paris" in answer
    for fact in ("local_tiny", " out · ", " tokens/s · ", " s · CPU", "temperature 0", "seed 1", "embedded server"):
        assert fact in answer
    assert asyncio.run(panel.send("What is the capital of Italy?")).messages[:3] == (
        *panel.messages[:2],
        Message("user", "What is the capital of Italy?"),
    )
    assert "embedded server at" not in shown(panel)[-1], "where it comes from is said once"


def test_the_buttons(panel: ChatPanel) -> None:
    view = panel.view

    async def use() -> None:
        assert [view.again.disabled, view.edit.disabled, view.cell.disabled, view.clear.disabled] == [True] * 4
        view.input.value = "  "
        view.send.click()
        assert not panel.busy, "there is nothing to send"
        view.input.value = FRANCE
        view.send.click()
        assert view.input.value == ""
        view.input.value = "too early"
        view.send.click()
        assert view.input.value == "too early", "one thing at a time, and nothing is lost"
        assert not view.stop.disabled
        await until(lambda: not panel.busy and view.stop.disabled)
        first = panel.reply
        view.again.click()
        await until(lambda: not panel.busy and view.stop.disabled)
        assert panel.reply is not first
        assert first is not None
        assert panel.reply.text == first.text, "the same seed"
        assert len(panel.messages) == 2
        view.input.value = "a draft"
        view.edit.click()
        assert view.input.value == f"{FRANCE}\n\na draft"
        assert panel.messages == ()
        view.input.value = "What is the capital of Italy?"
        view.send.click()
        await until(lambda: not panel.busy and view.stop.disabled)
        assert "Rome" in panel.messages[-1].content
        assert view.fold.description == "System prompt"
        panel.system = "Be brief."
        assert view.fold.description == "System prompt: on"
        assert view.system.layout.display is None, "it is unfolded"
        view.clear.click()
        assert [message.role for message in panel.messages] == ["system"]
        assert shown(panel) == []
        assert view.again.disabled

    asyncio.run(use())


def test_stop_keeps_what_had_come_and_closes_the_connection(replayed: Callable[[Replay], ChatPanel]) -> None:
    with replaying(chat=[said("Once ", "upon ", done=False, pause=0.05, stall=30), said("The end.")]) as server:
        panel = replayed(server)

        async def use() -> None:
            panel.view.input.value = "Tell me a tale."
            panel.view.send.click()
            await until(lambda: "upon" in last(panel))
            with pytest.raises(BadPrompt, match="on its way"):
                await panel.send("And?")
            pressed = time.monotonic()
            panel.view.stop.click()
            await until(server.gone.is_set)
            assert server.left[0] - pressed < 2
            await until(lambda: panel.view.stop.disabled)

        asyncio.run(use())
        assert panel.reply is not None
        assert panel.reply.text == "Once upon "
        assert not panel.reply.complete
        assert panel.error is None
        assert ">stopped<" in shown(panel)[-1]
        assert asyncio.run(panel.send("Go on.")).text == "The end."
        assert contents(server) == [("user", "Tell me a tale."), ("assistant", "Once upon "), ("user", "Go on.")]


def test_stop_before_a_word_and_before_the_question_is_out(replayed: Callable[[Replay], ChatPanel]) -> None:
    with replaying(chat=[said("late", late=30), said("Hello")]) as server:
        panel = replayed(server)

        async def use() -> None:
            asked = asyncio.ensure_future(panel.send("Hi"))
            await until(lambda: bool(server.requests))
            panel.stop()
            assert not (await asked).complete
            assert "stopped before an answer came" in shown(panel)[-1]
            assert panel.messages == (Message("user", "Hi"),)
            assert (await panel.regenerate()).text == "Hello"
            panel.view.again.click()
            panel.stop()
            await until(lambda: not panel.busy)
            await asyncio.sleep(0)
            assert panel.view.stop.disabled

        asyncio.run(use())


def test_an_interrupted_cell_stops_the_answer_too(replayed: Callable[[Replay], ChatPanel]) -> None:
    with replaying(chat=said("Once ", done=False, stall=30)) as server:
        panel = replayed(server)

        async def use() -> None:
            cell = asyncio.ensure_future(panel.send("Hi"))
            await until(lambda: "Once" in last(panel))
            cell.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cell
            await until(server.gone.is_set)
            await until(lambda: panel.view.stop.disabled)

        asyncio.run(use())
        assert ">stopped<" in shown(panel)[-1]


def test_an_error_stands_in_the_place_of_the_answer(replayed: Callable[[Replay], ChatPanel]) -> None:
    bad = Answer((json.dumps({"error": "the <b>runner</b> died"}) + "\n",), 500, "application/json")
    with replaying(chat=[bad, said("Hello"), said("Oh", done=False)]) as server:
        panel = replayed(server)
        with pytest.raises(ServerError):
            asyncio.run(panel.send("Hi"))
        error = shown(panel)[-1]
        assert 'role="alert"' in error
        assert "acagent-nb-footer" not in error, "two lines say it all"
        assert "the &lt;b&gt;runner&lt;/b&gt; died" in error
        assert isinstance(panel.error, ServerError)
        assert panel.view.again.description == "Retry"

        async def retry() -> None:
            panel.view.again.click()
            await until(lambda: not panel.busy and panel.view.stop.disabled)

        asyncio.run(retry())
        assert panel.view.again.description == "Regenerate"
        assert panel.messages == (Message("user", "Hi"), Message("assistant", "Hello"))
        assert panel.error is None
        asyncio.run(retry())
        assert "Incomplete" in shown(panel)[-1]
        assert "broke off" in shown(panel)[-1]
        assert panel.messages[-1].content == "Oh"


def test_a_question_that_can_not_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    panel = ChatPanel("local_no such", params=Params())

    async def use() -> None:
        with pytest.raises(BadName):
            await panel.send("Hi")
        assert "BadName" in shown(panel)[-1]
        panel.view.again.click()
        assert not panel.busy
        with pytest.raises(BadPrompt, match="nothing to send"):
            await panel.send(" \n")
        panel.clear()
        with pytest.raises(BadPrompt, match="no question"):
            await panel.regenerate()

    asyncio.run(use())


def test_what_is_on_the_page_is_what_is_sent(replayed: Callable[[Replay], ChatPanel]) -> None:
    able = Answer((json.dumps({"capabilities": ["completion", "vision"]}) + "\n",), content_type="application/json")
    with replaying(chat=said("Hello"), show=able) as server:
        panel = replayed(server)
        panel.system = "Be brief."
        panel.messages = [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "Hi", "images": (PIXEL,)},
        ]
        assert panel.system == "Be kind."
        assert "with 1 picture" in shown(panel)[0]
        panel.edit()
        panel.view.input.value = "Look"
        panel.model = "local_other"

        async def use() -> None:
            panel.view.send.click()
            await until(lambda: not panel.busy and panel.view.stop.disabled)

        asyncio.run(use())
        assert contents(server) == [("system", "Be kind."), ("user", "Look")]
        chat = next(body for _, path, body in server.requests if path == "/api/chat")
        assert chat["messages"][1]["images"] == [PIXEL]
        assert chat["model"] == "other"
        assert panel.reply is not None
        again = ChatPanel(params=Params())
        again.messages = panel.reply.messages
        assert again.messages == panel.messages


def test_options_are_asked_for_at_each_question(api: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", str(api.base_url))
    options = [Options(num_predict=2), Options(temperature=0.0)]
    panel = ChatPanel("MY_MODEL", params=Params(roles={"MY_MODEL": "local_tiny"}), options=lambda: options[0])
    assert asyncio.run(panel.send(FRANCE)).stats.eval_count == 2
    assert "cut off" in shown(panel)[-1]
    assert "num_predict 2" in shown(panel)[-1]
    del options[0]
    assert asyncio.run(panel.regenerate()).options == Options(temperature=0.0)
    assert "num_predict" not in shown(panel)[-1]
    assert "MY_MODEL" in shown(panel)[-1]


def test_thinking_is_folded(api: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", str(api.base_url))
    panel = ChatPanel("local_tiny:skills", params=Params(), options=lambda: GREEDY)
    reply = asyncio.run(panel.send("Is a spider an insect?"))
    assert reply.thinking
    assert "<details" in shown(panel)[-1]
    assert panel.messages[-1].thinking == reply.thinking


def test_the_models_to_choose_from(api: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", str(api.base_url))
    panel = ChatPanel(params=Params(roles={"MY_MODEL": "local_tiny"}))
    asyncio.run(panel.list_models())
    offered = panel.view.model.options
    assert {"local_tiny", "local_tiny:skills", "MY_MODEL"} <= set(offered)
    assert len(set(offered)) == len(offered)


def test_a_missing_model_is_pulled_and_then_offered(replayed: Callable[[Replay], ChatPanel]) -> None:
    missing = Answer((json.dumps({"error": "model 'new' not found"}) + "\n",), 404, "application/json")
    steps = Answer(tuple(json.dumps({"status": step}) + "\n" for step in ("pulling manifest", "success")), pause=0.2)
    tags = Answer((json.dumps({"models": [{"name": "new:latest"}, {"name": "a name?"}]}) + "\n",))
    with replaying(chat=[missing, said("Hello")], pull=steps, tags=tags) as server:
        panel = replayed(server)
        panel.model = "local_new"

        async def use() -> None:
            asked = asyncio.ensure_future(panel.send("Hi"))
            await until(lambda: "pulling manifest" in last(panel))
            assert (await asked).text == "Hello"
            await until(lambda: "local_new" in panel.view.model.options)

        asyncio.run(use())
    assert panel.view.model.options[:2] == ("local_new", "local_a name?")


def test_untrusted_text_is_only_text(replayed: Callable[[Replay], ChatPanel]) -> None:
    evil = "<script>alert(1)</script> ![x](http://127.0.0.1:9/x.png) [x](javascript:alert(1)) **bold**"
    with replaying(chat=said(evil)) as server:
        panel = replayed(server)
        panel.model = "local_a<b>"
        panel.model = "local_tiny"
        panel.system = "<i>system</i>"
        asyncio.run(panel.send("<img src=x onerror=alert(1)>\n# no heading"))
        bundle = panel._repr_mimebundle_()
    for html in (*shown(panel), bundle["text/html"]):
        assert not any(tag in html for tag in ("<script", "<img", "<i>system", 'href="javascript', "<h1"))
    assert "<strong>bold</strong>" in shown(panel)[1]
    assert "&lt;img src=x" in shown(panel)[0]


def test_drawings_are_few_and_only_of_the_last_turn(replayed: Callable[[Replay], ChatPanel]) -> None:
    words = [f"- **item** {number} `code`\n" for number in range(2000)]
    with replaying(chat=[said("Hello"), said(*words)]) as server:
        panel = replayed(server)
        asyncio.run(panel.send("Hi"))
        drawn: list[tuple[int, float]] = []

        def watch() -> None:
            for place, turn in enumerate(panel.view.all.children[3].children[0].children):
                turn.observe(lambda _, place=place: drawn.append((place, time.monotonic())), "value")

        async def use() -> None:
            asked = asyncio.ensure_future(panel.send("A list"))
            await asyncio.sleep(0)
            watch()
            await asked

        began = time.monotonic()
        asyncio.run(use())
        took = time.monotonic() - began
    assert {place for place, _ in drawn} == {3}
    assert len(drawn) <= 3 + 12 * took
    assert panel.reply is not None
    assert panel.reply.text == "".join(words)


def test_the_page_stays_alive_while_an_answer_comes(replayed: Callable[[Replay], ChatPanel]) -> None:
    with replaying(chat=said(*["word "] * 40, pause=0.02)) as server:
        panel = replayed(server)
        ticks = []

        async def tick() -> None:
            while True:
                await asyncio.sleep(0.01)
                ticks.append(panel.busy)

        async def use() -> None:
            ticking = asyncio.ensure_future(tick())
            await panel.send("Hi")
            ticking.cancel()

        asyncio.run(use())
    assert sum(ticks) >= 10


def test_cells(panel: ChatPanel) -> None:
    assert not any(panel.cells().values()), "nothing was asked"
    panel.system = "Don't say more than you're asked."
    asyncio.run(panel.send(FRANCE))
    cells = panel.cells()
    line, _, question = cells["The question as %%llm"].partition("\n")
    assert question == FRANCE
    words = ["%%llm", "local_tiny", "--system", panel.system, "--seed", "1", "--temperature", "0.0"]
    assert shlex.split(line) == words
    names: dict[str, object] = {}
    exec(cells["The conversation as Python"], names)
    assert panel.reply is not None
    assert str(names["reply"]) == panel.reply.text
    panel.view.cell.click()
    box = panel.view.cells
    assert box.all.layout.display is None
    assert box.kind.options == ("The question as %%llm", "The conversation as Python")
    assert box.text.value == cells["The question as %%llm"]
    box.kind.value = "The conversation as Python"
    assert box.text.value == cells["The conversation as Python"]
    box.done.click()
    assert box.all.layout.display == "none"
    panel.system = "Two\nlines"
    assert panel.cells()["The question as %%llm"] == "", "the line of a magic can't hold them"


def test_a_question_as_a_cell_says_the_same() -> None:
    options = Options(seed=-3, temperature=0.25, stop=["--x", "a b", "it's", "a,b"], use_mmap=True)
    text, system = "Is {{x}} or {{{y}}} JSON?", "Be 'brief' with {{x}}."
    line, _, body = question("local_tiny", [Message("system", system), Message("user", text)], options).partition("\n")
    told = parse(line.removeprefix("%%llm "))
    assert told.models == ("local_tiny",)
    assert Options.of(told.options) == options
    assert filled(told.system or "", {})[0] == system
    assert filled(body, {})[0] == text


def test_the_code_of_an_answer(replayed: Callable[[Replay], ChatPanel]) -> None:
    text = "Do this:\n```python\nx = 1\n```\nand\n```bash\nls\n```\nor\n```\nprint(x)\n```\n"
    with replaying(chat=said(text)) as server:
        panel = replayed(server)
        asyncio.run(panel.send("How?"))
    assert panel.cells()["The answer's code"] == "x = 1\n\nprint(x)"


def test_a_terminal_and_a_page_without_widgets(panel: ChatPanel) -> None:
    asyncio.run(panel.send(FRANCE))
    assert panel.reply is not None
    lines = repr(panel).splitlines()
    assert lines[0] == "Chat with local_tiny"
    assert f"You: {FRANCE}" in lines
    assert f"local_tiny: {panel.reply.text}" in lines
    bundle = panel._repr_mimebundle_()
    assert bundle["text/plain"] == repr(panel)
    assert FRANCE in bundle["text/html"]
    assert panel.reply.text in bundle["text/html"]
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == panel.view.all.model_id
    code = (
        "from IPython.core.interactiveshell import InteractiveShell\nfrom traitlets.config import Config\n"
        "shell = InteractiveShell.instance(config=Config(HistoryManager={'enabled': False}))\n"
        "from acagent_nb.widgets.chat_panel import ChatPanel\nfrom acagent_nb.params import Params\n"
        "shell.user_ns['panel'] = ChatPanel('local_tiny', params=Params())\nshell.run_cell('panel')\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.endswith("Chat with local_tiny\n")


def test_closing_leaves_nothing_running(replayed: Callable[[Replay], ChatPanel]) -> None:
    with replaying(chat=said("Once ", done=False, stall=30)) as server:
        panel = replayed(server)

        async def use() -> None:
            panel.view.input.value = "Hi"
            panel.view.send.click()
            await until(lambda: "Once" in last(panel))
            panel.close()
            await until(server.gone.is_set)
            await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})

        asyncio.run(use())
        assert panel.view.all.comm is None
        assert panel.view.input.comm is None
        assert panel._repr_mimebundle_().keys() == {"text/plain", "text/html"}


def test_in_a_kernel_the_saved_page_keeps_up() -> None:
    with replaying(chat=said("Hel", "lo", pause=0.2)) as server, running_kernel(OLLAMA_HOST=server.url) as kernel:
        kernel.run("%load_ext acagent_nb")
        opened = kernel.run("%llm chat local_tiny")
        assert opened.status == "ok"
        view, record = (content for _, content in opened.of("display_data"))
        assert {"application/vnd.jupyter.widget-view+json", "text/html", "text/plain"} == set(view["data"])
        assert "<b>local_tiny</b>" in view["data"]["text/html"]
        asked = kernel.run("panel = _\nreply = await panel.send('Hi <b>')")
        (_, first), *_, (_, whole) = asked.of("update_display_data")
        assert {first["transient"]["display_id"], whole["transient"]["display_id"]} == {
            record["transient"]["display_id"]
        }
        assert "Hi &lt;b&gt;" in whole["data"]["text/html"]
        assert "<p>Hello</p>" in whole["data"]["text/html"]
        assert "You: Hi <b>\n\nlocal_tiny: Hello" in whole["data"]["text/plain"]
        assert whole["metadata"]["acagent_nb"]["answers"][0]["model"] == "local_tiny"
        assert "Hi" not in str(whole["metadata"])
        kernel.run("panel.view.cell.click()")
        assert kernel.value("_llm_cell") == repr("%%llm local_tiny\nHi <b>")
        assert len(asked.of("update_display_data")) < 6, "it is updated when something has ended, not while it grows"
        kernel.run("panel.view.again.click()")
        assert kernel.value("1 + 1, panel.busy") == "(2, True)", "other cells go on"
