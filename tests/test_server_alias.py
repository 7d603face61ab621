"""`--alias`: a model under another name, for examples that name a cloud's."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from acagent_nb import hosts

from . import serving as shared
from .serving import Server, serving

SKY: Any = shared.SKY  # the openai package has types of its own for messages


@pytest.fixture(scope="module")
def own() -> Iterator[Server]:
    """A server with two aliases, whose models nobody has pulled."""
    with serving("--alias", "gpt-4o-mini=tiny", "--alias", "gpt-4o=tiny:skills") as server:
        yield server


def test_its_model_is_pulled_at_the_start() -> None:
    with hosts.private(None, "--alias", "gpt-4o-mini=tiny") as private:
        told = httpx.get(f"{private.url}/api/tags", trust_env=False).json()["models"]
    assert {model["name"] for model in told} == {"tiny:latest", "gpt-4o-mini:latest"}
    assert len({model["digest"] for model in told}) == 1


def test_openai_by_the_clouds_name(own: Server) -> None:
    with openai.OpenAI(base_url=f"{own.url}/v1", api_key="none") as client:
        told = [
            client.chat.completions.create(model=model, messages=SKY, temperature=0)
            for model in ("gpt-4o-mini", "tiny", "gpt-4o-mini")
        ]
        stream = client.chat.completions.create(model="gpt-4o-mini", messages=SKY, temperature=0, stream=True)
        chunks = list(stream)
        assert client.models.retrieve("gpt-4o-mini").id == "gpt-4o-mini:latest"
        assert {"gpt-4o-mini:latest", "gpt-4o:latest"} < {model.id for model in client.models.list()}
        assert client.embeddings.create(model="gpt-4o-mini", input="a").data[0].embedding
    assert len({whole.choices[0].message.content for whole in told}) == 1
    assert [whole.model for whole in told] == ["gpt-4o-mini", "tiny", "gpt-4o-mini"]
    assert {chunk.model for chunk in chunks} == {"gpt-4o-mini"}


def test_every_route_knows_it(own: Server) -> None:
    whole = own.chat(model="gpt-4o-mini", options={"temperature": 0})
    assert whole["model"] == "gpt-4o-mini"
    assert whole["message"] == own.chat(options={"temperature": 0})["message"]
    bodies: dict[str, dict[str, Any]] = {
        "/api/generate": {"prompt": "hello", "stream": False, "options": {"num_predict": 2}},
        "/api/embed": {"input": "hello"},
        "/api/show": {},
    }
    for path, body in bodies.items():
        assert own.client.post(path, json={"model": "GPT-4o-mini", **body}).status_code == 200, path
    shown = own.client.post("/api/show", json={"model": "gpt-4o"}).json()
    assert shown["capabilities"] == ["completion", "tools", "thinking"]


def test_two_names_share_a_child(own: Server) -> None:
    own.chat()
    before = own.children
    for model in ("gpt-4o-mini", "tiny", "gpt-4o-mini"):
        own.chat(model=model, options={"num_predict": 1})
    assert own.children == before
    assert "gpt-4o-mini:latest" in own.loaded()  # the name that was used last


def test_to_pull_it_is_to_pull_its_model_which_is_here(own: Server) -> None:
    """No registry is asked: there, gpt-4o-mini is unknown, and tests have no network."""
    told = [
        [json.loads(line) for line in own.client.post("/api/pull", json={"model": name}).iter_lines()]
        for name in ("tiny", "GPT-4o-mini")
    ]
    assert told[0] == told[1]
    assert told[1][-1] == {"status": "success"}


def test_its_model_can_be_pulled_again_by_its_name(own: Server) -> None:
    own.client.request("DELETE", "/api/delete", json={"model": "tiny:skills"}).raise_for_status()
    assert "not found" in own.chat(model="gpt-4o")["error"]
    assert own.client.post("/api/pull", json={"model": "gpt-4o", "stream": False}).json() == {"status": "success"}
    assert own.chat(model="gpt-4o", options={"num_predict": 1})["done"] is True


def test_nobody_can_change_it_and_its_copy_is_real(own: Server) -> None:
    client = own.client
    said = {"error": "'gpt-4o-mini' stands for 'tiny' as long as this server runs"}
    gone = client.request("DELETE", "/api/delete", json={"model": "gpt-4o-mini"})
    assert (gone.status_code, gone.json()) == (400, said)
    onto = client.post("/api/copy", json={"source": "tiny:skills", "destination": "gpt-4o-mini"})
    assert (onto.status_code, onto.json()) == (400, said)
    made = client.post("/api/create", json={"model": "gpt-4o-mini", "from": "tiny", "system": "Be brief."})
    assert (made.status_code, made.json()) == (400, said)
    assert client.post("/api/copy", json={"source": "gpt-4o-mini", "destination": "mine"}).status_code == 200
    assert own.chat(model="mine", options={"num_predict": 1})["done"] is True
    assert client.request("DELETE", "/api/delete", json={"model": "mine"}).status_code == 200


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model named `mine`."""
    folder = tmp_path_factory.mktemp("models")
    with hosts.private(folder, "--alias", "other=tiny") as private:
        body = {"source": "tiny", "destination": "mine"}
        httpx.post(f"{private.url}/api/copy", json=body, trust_env=False).raise_for_status()
    return folder


@pytest.mark.parametrize(
    ("alias", "first", "second"),
    [
        ("tiny=tiny:skills", "'tiny' can't be an alias: it is a model already.", "Choose another name."),
        ("mine=tiny", "'mine' can't be an alias: it is a model already.", "Choose another name."),
        ("gpt-4o=llama3.2:1b", "There is no model 'llama3.2:1b' that 'gpt-4o' could stand for.", "acagent-nb pull"),
        ("gpt-4o=local_no", "There is no model 'no' that 'gpt-4o' could stand for.", "acagent-nb pull no"),
        ("gpt-4o", "'gpt-4o' is no alias.", "--alias gpt-4o-mini=tiny"),
        ("a b=tiny", "", "a b"),
    ],
)
def test_what_can_not_be_an_alias_is_said_at_the_start(models: Path, alias: str, first: str, second: str) -> None:
    command = [sys.executable, "-m", "acagent_nb", "serve", "--port", "0", "--models", str(models), "--alias", alias]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith(first)
    assert second in ended.stderr
    assert "Traceback" not in ended.stderr
