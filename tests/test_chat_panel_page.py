"""What stands on the chat's page and is sent from it: errors, pulls, hostile text, and the page that is saved."""

from __future__ import annotations

import asyncio
import json

import pytest

pytest.importorskip("ipywidgets", reason="the extra `panel` is not installed")

from acagent_nb.errors import BadName, BadPrompt, ServerError
from acagent_nb.messages import Message
from acagent_nb.params import Params
from acagent_nb.widgets.chat_panel import ChatPanel
from tests.kernels import running_kernel
from tests.panels import contents, last, replayed, shown, soon
from tests.replay import Answer, replaying, said

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="


def test_an_error_stands_in_the_place_of_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    bad = Answer((json.dumps({"error": "the <b>runner</b> died"}) + "\n",), 500, "application/json")
    with replaying(chat=[bad, said("Hello"), said("Oh", done=False)]) as server:
        panel = replayed(server, monkeypatch)
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
            await soon(lambda: not panel.busy and panel.view.stop.disabled)

        asyncio.run(retry())
        assert panel.view.again.description == "Regenerate"
        assert panel.messages == (Message("user", "Hi"), Message("assistant", "Hello"))
        assert panel.error is None
        asyncio.run(retry())
        assert "Incomplete" in shown(panel)[-1]
        assert "broke off" in shown(panel)[-1]
        assert panel.messages[-1].content == "Oh"


def test_a_question_that_can_not_be_asked() -> None:
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


def test_what_is_on_the_page_is_what_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    able = Answer((json.dumps({"capabilities": ["completion", "vision"]}) + "\n",), content_type="application/json")
    with replaying(chat=said("Hello"), show=able) as server:
        panel = replayed(server, monkeypatch)
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
            await soon(lambda: not panel.busy and panel.view.stop.disabled)

        asyncio.run(use())
        assert contents(server) == [("system", "Be kind."), ("user", "Look")]
        chat = next(body for _, path, body in server.requests if path == "/api/chat")
        assert chat["messages"][1]["images"] == [PIXEL]
        assert chat["model"] == "other"
        assert panel.reply is not None
        again = ChatPanel(params=Params())
        again.messages = panel.reply.messages
        assert again.messages == panel.messages


def test_a_missing_model_is_pulled_and_then_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = Answer((json.dumps({"error": "model 'new' not found"}) + "\n",), 404, "application/json")
    steps = Answer(tuple(json.dumps({"status": step}) + "\n" for step in ("pulling manifest", "success")), pause=0.2)
    tags = Answer((json.dumps({"models": [{"name": "new:latest"}, {"name": "a name?"}]}) + "\n",))
    with replaying(chat=[missing, said("Hello")], pull=steps, tags=tags) as server:
        panel = replayed(server, monkeypatch)
        panel.model = "local_new"

        async def use() -> None:
            asked = asyncio.ensure_future(panel.send("Hi"))
            await soon(lambda: "pulling manifest" in last(panel))
            assert (await asked).text == "Hello"
            await soon(lambda: "local_new" in panel.view.model.options)

        asyncio.run(use())
    assert panel.view.model.options[:2] == ("local_new", "local_a name?")


def test_untrusted_text_is_only_text(monkeypatch: pytest.MonkeyPatch) -> None:
    evil = "<script>alert(1)</script> ![x](http://127.0.0.1:9/x.png) [x](javascript:alert(1)) **bold**"
    with replaying(chat=said(evil)) as server:
        panel = replayed(server, monkeypatch)
        panel.model = "local_a<b>"
        panel.model = "local_tiny"
        panel.system = "<i>system</i>"
        asyncio.run(panel.send("<img src=x onerror=alert(1)>\n# no heading"))
        bundle = panel._repr_mimebundle_()
    for html in (*shown(panel), bundle["text/html"]):
        assert not any(tag in html for tag in ("<script", "<img", "<i>system", 'href="javascript', "<h1"))
    assert "<strong>bold</strong>" in shown(panel)[1]
    assert "&lt;img src=x" in shown(panel)[0]


def test_the_code_of_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "Do this:\n```python\nx = 1\n```\nand\n```bash\nls\n```\nor\n```\nprint(x)\n```\n"
    with replaying(chat=said(text)) as server:
        panel = replayed(server, monkeypatch)
        asyncio.run(panel.send("How?"))
    assert panel.cells()["The answer's code"] == "x = 1\n\nprint(x)"


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
