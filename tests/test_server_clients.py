"""What people use: curl, ollama-python, the openai package; one at a time and eight at once."""

from __future__ import annotations

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor

import httpx
import ollama
import openai
import pytest

from .serving import SKY


def test_curl(server: str, api: httpx.Client) -> None:
    body = json.dumps({"model": "tiny", "messages": SKY})
    command = ["curl", "--no-progress-meter", "--noproxy", "*", f"{server}/api/chat", "-d", body]
    out = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
    assert json.loads(out.splitlines()[-1])["done"] is True


def test_ollama_python(server: str, api: httpx.Client) -> None:
    with ollama.Client(host=server, trust_env=False) as client:
        _use(client)


def _use(client: ollama.Client) -> None:
    options = {"temperature": 0}
    whole = client.chat("tiny", SKY, options=options)
    pieces = list(client.chat("tiny", SKY, options=options, stream=True))
    assert "".join(piece.message.content or "" for piece in pieces) == whole.message.content
    assert pieces[-1].done_reason == "stop"
    assert client.generate("tiny", "what is 2+2?", options=options).response
    assert len(client.embed("tiny", ["a", "b"]).embeddings) == 2
    assert [line.status for line in client.pull("tiny", stream=True)][-1] == "success"
    assert "tiny:latest" in [model.model for model in client.list().models]
    assert client.show("tiny:skills").capabilities == ["completion", "tools", "thinking"]
    assert "tiny:latest" in [model.model for model in client.ps().models]
    client.copy("tiny", "copied")
    client.delete("copied")
    with pytest.raises(ollama.ResponseError, match="model 'copied' not found") as refusal:
        client.chat("copied", SKY)
    assert refusal.value.status_code == 404


def test_openai(server: str, api: httpx.Client) -> None:
    with openai.OpenAI(base_url=f"{server}/v1", api_key="none") as client:
        whole = client.chat.completions.create(model="tiny", messages=SKY, temperature=0)  # type: ignore[arg-type]
        stream = client.chat.completions.create(model="tiny", messages=SKY, temperature=0, stream=True)  # type: ignore[call-overload]
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
        assert text == whole.choices[0].message.content
        assert whole.model == "tiny"  # as it was asked, like Ollama
        assert client.completions.create(model="tiny", prompt="Hello", max_tokens=3).choices[0].finish_reason
        assert len(client.embeddings.create(model="tiny", input="a").data[0].embedding) > 10
        assert "tiny:latest" in [model.id for model in client.models.list()]
        assert client.models.retrieve("tiny:skills").id == "tiny:skills"
        with pytest.raises(openai.NotFoundError, match="model 'nope' not found"):
            client.chat.completions.create(model="nope", messages=SKY)  # type: ignore[arg-type]


def test_eight_at_once_answer_as_one_does(server: str, api: httpx.Client) -> None:
    def ask(_: int) -> str:
        body = {"model": "tiny", "messages": SKY, "options": {"temperature": 0}}
        lines = httpx.post(f"{server}/api/chat", json=body, timeout=60, trust_env=False).iter_lines()
        return "".join(json.loads(line)["message"]["content"] for line in lines)

    with ThreadPoolExecutor(8) as pool:
        answers = set(pool.map(ask, range(8)))
    assert answers == {ask(0)}
