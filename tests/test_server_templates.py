"""Go's templates, said in Jinja or refused, and thoughts however a template marks them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acagent_nb.server import layers, manifest, tiny
from acagent_nb.server.store import Store

from .serving import SKY, WEATHER, Server, serving
from .test_server_create import create, refused, shown, upload

GREEDY = {"temperature": 0, "num_predict": 8}
QUESTION = SKY[0]["content"]
INSTRUCT = "[INST] {{ if .System }}<<SYS>>\n{{ .System }}\n<</SYS>>\n\n{{ end }}{{ .Prompt }} [/INST]\n"
TALKS = "{{- if .System }}S:{{ .System }};{{ end }}\n{{- if .Prompt }}U:{{ .Prompt }};{{ end }}A:{{ .Response }}<end>"
WALKS = "{{ range .Messages }}{{ .Role }}: {{ .Content }}{{ end }}"

THINKS = """{%- for message in messages -%}<|im_start|>{{ message.role }}
{% if message.reasoning_content %}[THINK]{{ message.reasoning_content }}[/THINK]{% endif -%}
{{ message.content }}<|im_end|>
{% endfor -%}
{%- if reasoning_effort == "high" %}Think long and well, and do not give up before you know.{% endif -%}
{%- if add_generation_prompt %}<|im_start|>assistant
[THINK]{% endif -%}"""
HARMONY = """{%- for message in messages -%}
{%- if message.role == "assistant" -%}
{%- if message.thinking %}<|start|>assistant<|channel|>analysis<|message|>{{ message.thinking }}<|end|>{% endif -%}
<|start|>assistant<|channel|>final<|message|>{{ message.content }}<|return|>
{%- else -%}<|start|>{{ message.role }}<|message|>{{ message.content }}<|end|>{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}<|start|>assistant{%- endif -%}"""


@pytest.fixture(scope="module")
def own() -> Iterator[Server]:
    """A server with `bare`, too: tiny's weights in a file without a template."""
    with serving() as server:
        data = tiny.PATH.read_bytes().replace(b"tokenizer.chat_template", b"tokenizer.none_template")
        create(server, "bare", files={"a.gguf": upload(server, data)})
        yield server


@pytest.fixture(scope="module")
def walker(own: Server) -> str:
    """A model as an old pull leaves it: Go's template beside a file without one."""
    folder = Path(shown(own, "bare")["modelfile"].split("\nFROM ")[1].split("/blobs/")[0])
    store = Store(folder)
    bare = store.find("bare")
    assert bare is not None
    told = json.loads(bare.manifest.read_bytes())
    told["layers"].append(layers.entry(manifest.TEMPLATE, store.keep(WALKS.encode()), len(WALKS)))
    store.copy(bare, "walker")
    copied = store.find("walker")
    assert copied is not None
    store.write(copied.name, layers.manifest(told["layers"], told["config"]))
    return "walker"


def check_asked(server: Server, name: str, messages: list[dict[str, str]], prompt: str) -> None:
    """Whether this is what a model is asked: it answers just as if it had been told so."""
    body = {"model": "bare", "prompt": prompt, "raw": True, "stream": False, "options": GREEDY, "logprobs": True}
    check_same(
        server.chat(model=name, messages=messages, options=GREEDY, logprobs=True),
        server.client.post("/api/generate", json=body).json(),
    )


def check_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Whether two answers can only be to the same prompt."""
    tokens, others = ([each for each in said["logprobs"] if each["token"]] for said in (one, other))
    assert one["prompt_eval_count"] == other["prompt_eval_count"]
    assert [each["token"] for each in tokens] == [each["token"] for each in others]
    assert [each["logprob"] for each in tokens] == pytest.approx([each["logprob"] for each in others], abs=0.01)


def turns(*said: str) -> list[dict[str, str]]:
    """Messages, each beginning with its role's letter."""
    roles = {"S": "system", "U": "user", "A": "assistant"}
    return [{"role": roles[text[0]], "content": text} for text in said]


def test_a_go_template_is_used_where_the_file_has_none_and_said_to_be(own: Server) -> None:
    lines = create(own, "instructed", **{"from": "bare"}, template=INSTRUCT)
    (line,) = [line for line in lines if "Go's" in line]
    assert line.endswith("it is kept for Ollama, while this server writes prompts with a Jinja one that says the same")
    check_asked(own, "instructed", SKY, f"[INST] {QUESTION} [/INST]\n")
    prompt = f"[INST] <<SYS>>\nS\n<</SYS>>\n\n{QUESTION} [/INST]\n"
    check_asked(own, "instructed", [*turns("S"), *SKY], prompt)
    show = shown(own, "instructed")
    assert show["ollama_template"] == INSTRUCT
    assert "[INST] " in show["template"]
    assert "macro" in show["template"]
    assert own.chat(model="instructed", tools=[WEATHER])["error"].endswith("does not support tools")


@pytest.mark.parametrize(
    ("messages", "prompt"),
    [
        (turns("U1"), "U:U1;A:"),
        (turns("S", "U1", "A1", "U2"), "S:S;U:U1;A:A1<end>U:U2;A:"),
        (turns("U1", "U2", "A1", "A2", "U3"), "U:U1\n\nU2;A:A1\n\nA2<end>U:U3;A:"),
        (turns("S1", "U1", "A1", "S2", "U2"), "S:S1;U:U1;A:A1<end>S:S2;U:U2;A:"),
        (turns("U1", "S", "U2"), "U:U1;A:<end>S:S;U:U2;A:"),
        (turns("A1", "U1"), "A:A1<end>U:U1;A:"),
        (turns("S", "U1", "A1"), "S:S;U:U1;A:A1"),  # an answer that the client began
    ],
)
def test_turns_are_made_of_messages_as_ollama_makes_them(own: Server, messages: Any, prompt: str) -> None:
    create(own, "talker", **{"from": "bare"}, template=TALKS)
    check_asked(own, "talker", messages, prompt)


def test_and_or_not_and_texts_are_understood(own: Server) -> None:
    template = (
        '{{/* "}} */}}{{ if and .First .System }}a{{ else if (or .System "b") }}{{ "{{b}}" }}{{ end }} {{- .Prompt }}'
    )
    create(own, "thinker", **{"from": "bare"}, template=template)
    check_asked(own, "thinker", turns("U1"), "{{b}}U1")


def test_without_any_template_a_prompt_goes_as_it_is(own: Server) -> None:
    check_asked(own, "bare", SKY, QUESTION)


def test_a_go_template_that_can_not_be_followed_is_refused(own: Server) -> None:
    status, text = refused(own, **{"from": "bare"}, template=WALKS)
    assert status == 400
    assert "not of the plain kind" in text
    assert "give a Jinja template" in text


def test_a_pulled_model_with_such_a_one_never_answers_with_another(own: Server, walker: str) -> None:
    show = shown(own, walker)
    assert (show["ollama_template"], "template" in show, show["capabilities"]) == (WALKS, False, ["completion"])
    body = {"model": walker, "prompt": QUESTION, "stream": False, "options": GREEDY}
    chat = own.client.post("/api/chat", json={"model": walker, "messages": SKY})
    generate = own.client.post("/api/generate", json=body)
    openai = own.client.post("/v1/chat/completions", json={"model": walker, "messages": SKY})
    assert [each.status_code for each in (chat, generate, openai)] == [400, 400, 400]
    for refusal, task in ((chat.json()["error"], "chat"), (generate.json()["error"], "generate")):
        assert refusal.startswith(f"walker:latest can't {task}: its template is Go's")
        assert "set `raw`" in refusal
        assert "with a Jinja `template`" in refusal
    assert own.client.post("/api/generate", json=body | {"raw": True}).json()["done"] is True
    assert own.chat(model=walker, messages=[])["done_reason"] == "load"
    jinja = shown(own, "tiny")["template"]
    create(own, "cured", **{"from": walker}, template=jinja)
    cured, tiny_ = (own.chat(model=name, options=GREEDY, logprobs=True) for name in ("cured", "tiny"))
    check_same(cured, tiny_)


@pytest.mark.parametrize("base", ["tiny", "bare"])
@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{{ .Prompt", ":1: unclosed action"),
        ("a\n{{ if .System }}b", ":2: unexpected EOF"),
        ("a{{ end }}", ":1: unexpected {{end}}"),
        ("a\n{{ else }}", ":2: unexpected {{else}}"),
        ("{{ }}", ":1: missing value for command"),
    ],
)
def test_what_is_no_go_template_is_refused(own: Server, base: str, template: str, why: str) -> None:
    assert refused(own, **{"from": base}, template=template) == (400, f"template error: template: {why}")


@pytest.mark.parametrize("template", [THINKS, HARMONY, THINKS.replace("[THINK]", "<seed:think>")])
def test_models_that_think_are_known_by_any_of_their_marks(own: Server, template: str) -> None:
    create(own, "ponders", **{"from": "tiny"}, template=template)
    assert shown(own, "ponders")["capabilities"] == ["completion", "thinking"]


def test_thoughts_in_other_marks_are_told_apart_and_their_effort_is_passed_on(own: Server) -> None:
    create(own, "ponders", **{"from": "tiny"}, template=THINKS)
    for think in (None, True, "low", False):  # this one can't be switched off
        message = own.chat(model="ponders", think=think, options=GREEDY)["message"]
        assert message["thinking"].strip()
        assert "[THINK]" not in message["content"] + message["thinking"]
    low, high = (
        own.chat(model="ponders", think=think, options=GREEDY)["prompt_eval_count"] for think in ("low", "high")
    )
    assert high > low + 8


def test_channels_are_thoughts_too(own: Server) -> None:
    create(own, "harmonic", **{"from": "tiny"}, template=HARMONY)
    options = GREEDY | {"num_predict": 30}
    told = own.chat(model="harmonic", think="low", format={"const": "yes"}, options=options)  # which makes it keep
    assert told["message"]["thinking"].strip()
    assert "<|" not in str(told["message"])


def test_a_template_may_call_its_switch_thinking(own: Server) -> None:
    create(own, "switched", **{"from": "tiny"}, template="{% if thinking %}{{ 'think hard ' * 5 }}{% endif %}" + THINKS)
    on, off = (own.chat(model="switched", think=think, options=GREEDY) for think in (True, False))
    assert on["prompt_eval_count"] > off["prompt_eval_count"] + 8
    assert "thinking" in on["message"]
