"""The demo model as shipped, asked through a real llama.cpp server: it knows what it learnt, and refuses the rest."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from acagent_nb.server import tiny
from acagent_nb.server.tiny.corpus import Corpus, load, plain
from acagent_nb.server.tiny.exam import Item, items, offered, user
from acagent_nb.server.tiny.recipe import Recipe
from acagent_nb.server.tiny.render import pieces
from acagent_nb.server.tiny.served import Message, Served
from acagent_nb.server.tiny.sums import every_sum

pytest.importorskip("xllamacpp")


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return load()


@pytest.fixture(scope="module")
def chat() -> Iterator[Served]:
    with Served() as served:
        yield served


@pytest.fixture(scope="module")
def skills() -> Iterator[Served]:
    with Served(template=tiny.SKILLS_TEMPLATE) as served:
        yield served


@pytest.fixture(scope="module")
def figures(corpus: Corpus, chat: Served, skills: Served) -> dict[str, list[tuple[Item, Message, bool]]]:
    """Every item of the exam, by its kind, with the model's answer and whether it is right."""
    found: dict[str, list[tuple[Item, Message, bool]]] = {}
    for item in items(corpus):
        message = item.ask(skills if item.skills else chat)
        found.setdefault(item.kind, []).append((item, message, item.right(message)))
    return found


# The least share of right answers. Above the line: what the model promises. Below: what was measured, less a margin.
LEAST = {
    "known": 0.98,
    "held": 0.60,
    "unknown held": 0.85,
    "sums": 1.0,
    # ---
    "sums held": 0.98,
    "sums too hard": 0.95,
    "unknown": 0.98,
    "labels held rows": 0.90,
    "labels held rows, phrasings": 0.90,
    "labels held phrasings": 0.85,
    "extraction held phrasings": 0.95,
    "extraction invented": 0.85,
    "chats": 0.95,
    "other system": 0.95,
    "styles": 0.85,
    "styles held": 0.50,
    "thinking": 0.80,
    "not thinking": 0.95,
    "thinking, unknown": 0.80,
    "thoughts": 0.75,
    "thoughts held": 0.40,
    "calls": 0.95,
    "calls held": 0.90,
    "tool results": 0.90,
    "tools, not needed": 0.90,
}


@pytest.mark.parametrize("kind", LEAST)
def test_it_answers(kind: str, figures: dict[str, list[tuple[Item, Message, bool]]]) -> None:
    asked = figures[kind]
    missed = [
        (item.messages[-1]["content"], item.call or item.say, message) for item, message, right in asked if not right
    ]
    assert len(asked) >= 5
    assert 1 - len(missed) / len(asked) >= LEAST[kind], missed[:20]


def test_every_kind_has_its_bound(figures: dict[str, list[tuple[Item, Message, bool]]]) -> None:
    assert figures.keys() == LEAST.keys()


def test_every_question_is_asked_once_at_least(corpus: Corpus) -> None:
    asked = {plain(item.messages[-1]["content"]) for item in items(corpus) if item.kind == "known"}
    for question in corpus.questions():
        if len(question.say) == 1 and not question.copies:
            assert asked & {plain(text) for text in question.ask}, question.ask[0]


def test_the_file_is_the_one_that_was_examined() -> None:
    assert f"sha256:{hashlib.sha256(tiny.PATH.read_bytes()).hexdigest()}" == tiny.DIGEST
    assert tiny.PATH.stat().st_size <= 3_000_000


def test_the_corpus_keeps_its_rules(corpus: Corpus) -> None:
    assert corpus.faults(every_sum()) == []
    assert len(corpus.questions()) >= 250
    assert all(len(question.ask) >= 6 for question in corpus.questions())


def test_the_rules_can_be_broken(tmp_path: Path) -> None:
    (tmp_path / "few.toml").write_text(
        '[[question]]\nask = ["Why?", "why"]\nheld = ["WHY!"]\nsay = ["So."]\n'
        '[unknown]\nask = ["why?"]\nheld = []\n'
        '[[call]]\ntool = "none"\nask = ["a"]\nsay = "b"\narguments = "{}"\nresult = "c"\n',
        encoding="utf-8",
    )
    faults = " ".join(load(tmp_path).faults())
    for words in (
        "only 1 questions",
        "a phrasing twice",
        "only 1 phrasings",
        "unknown, yet known",
        "held out",
        "call of no tool",
    ):
        assert words in faults


def test_held_out_phrasings_are_never_trained_on(corpus: Corpus) -> None:
    recipe = Recipe(corpus, seed=3)
    drawn = {plain(turn.user) for _ in range(5_000) for turn in recipe.conversation().turns}
    assert len(drawn) > 5_000
    assert not drawn & {plain(text) for text in corpus.unknown_held}
    held = {plain(text) for question in corpus.questions() if not question.copies for text in question.held}
    assert len(held) > 250
    assert not drawn & held


def test_the_template_is_what_was_trained_on(corpus: Corpus, chat: Served, skills: Served) -> None:
    recipe, compared = Recipe(corpus, seed=4), 0
    for _ in range(60):
        conversation = recipe.conversation()
        if conversation.tools or conversation.thinking:
            continue
        compared += 1
        messages = [{"role": "system", "content": conversation.system}] if conversation.system else []
        for turn in conversation.turns:
            messages += [user(turn.user), {"role": "assistant", "content": turn.say}]
        text = "".join(text for text, _ in pieces(conversation))
        for served in (chat, skills):
            more = {"chat_template_kwargs": {"enable_thinking": False}} if served is skills else {}
            prompt = served.post("/apply-template", {"messages": messages[:-1], **more})["prompt"]
            assert text == prompt + messages[-1]["content"] + "<|im_end|>\n"
    assert compared > 20


def test_tools_stand_in_the_prompt_by_name(corpus: Corpus, skills: Served) -> None:
    body = {
        "messages": [{"role": "system", "content": "Be brief."}, user("Hi")],
        "tools": offered(corpus, ["get_weather", "add"]),
    }
    prompt = skills.post("/apply-template", {**body, "chat_template_kwargs": {"enable_thinking": True}})["prompt"]
    assert prompt == (
        "<|im_start|>system\nBe brief.\n\nTools: get_weather(city), add(a, b)<|im_end|>\n"
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n<think>\n"
    )


def test_seed_and_temperature_do_something(corpus: Corpus, chat: Served) -> None:
    creative = [question for question in corpus.questions() if len(question.say) > 1]
    assert len(creative) >= 6
    for question in creative:
        ask = [user(question.ask[0])]

        def said(seed: int, ask: list[Message] = ask) -> str:
            text: str = chat.chat(ask, temperature=0.8, top_k=40, top_p=0.9, min_p=0.0, seed=seed)["content"]
            return text

        greedy = {chat.chat(ask, seed=seed)["content"] for seed in range(4)}
        assert len(greedy) == 1
        assert greedy <= set(question.say), greedy
        assert said(5) == said(5)
        assert len({said(seed) for seed in range(8)}) >= 3, question.ask[0]


def test_a_tool_is_called_and_its_result_used(corpus: Corpus, skills: Served) -> None:
    tools = offered(corpus, ["add", "get_weather"])
    messages = [user("What is the weather in Paris?")]
    answer = skills.chat(messages, tools=tools, chat_template_kwargs={"enable_thinking": True})
    assert answer["reasoning_content"]
    (call,) = answer["tool_calls"]
    assert call["function"]["name"] == "get_weather"
    assert json.loads(call["function"]["arguments"]) == {"city": "Paris"}
    messages += [answer, {"role": "tool", "tool_call_id": call["id"], "content": "21 degrees and sunny"}]
    assert "21 degrees and sunny in Paris" in skills.chat(messages, tools=tools)["content"]


def test_without_its_tool_nothing_is_called(skills: Served) -> None:
    for thinking in (True, False):
        answer = skills.chat(
            [user("What is the weather in Paris?")], chat_template_kwargs={"enable_thinking": thinking}
        )
        assert answer["content"] == tiny.FALLBACK
        assert not answer.get("tool_calls")


def test_streams_are_parsed_too(corpus: Corpus, skills: Served) -> None:
    body = {
        "messages": [user("What is the weather in Rome?")],
        "tools": offered(corpus, ["get_weather"]),
        "chat_template_kwargs": {"enable_thinking": True},
        "temperature": 0,
        "stream": True,
    }
    with skills.open("/v1/chat/completions", body) as reply:
        lines = [line[6:] for line in reply.read().decode().splitlines() if line.startswith("data: {")]
    deltas = [json.loads(line)["choices"][0]["delta"] for line in lines if json.loads(line)["choices"]]
    thought = "".join(delta.get("reasoning_content") or "" for delta in deltas)
    calls = [call["function"] for delta in deltas for call in delta.get("tool_calls") or ()]
    assert "Rome" in thought
    assert "".join(call.get("name") or "" for call in calls) == "get_weather"
    assert json.loads("".join(call.get("arguments") or "" for call in calls)) == {"city": "Rome"}
    assert not "".join(delta.get("content") or "" for delta in deltas).strip()


def test_loading_it_is_light() -> None:
    code = "import sys, acagent_nb.server.tiny; print({'torch', 'numpy', 'gguf', 'xllamacpp'} & set(sys.modules))"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        == "set()"
    )


def test_training_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('no torch here')")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); sys.argv = ['train']"
    code += "; from acagent_nb.server.tiny.train import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "acagent_nb[train]" in done.stderr
    assert "Traceback" not in done.stderr
