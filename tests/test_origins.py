"""What is saved of an answer's making, and read back; nothing that was said, no key, no host's password."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from acagent_nb import __version__, provenance
from acagent_nb.errors import BadParams
from tests.kernels import Kernel, Ran, running_kernel
from tests.replay import Answer, replaying, said


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    with running_kernel() as kernel:
        assert kernel.run("%load_ext acagent_nb").status == "ok"
        yield kernel


def line(**said: object) -> Answer:
    return Answer((json.dumps(said),), content_type="application/json")


def saved(ran: Ran) -> dict[str, Any]:
    return dict(ran.output["metadata"]["acagent_nb"])


def test_all_that_is_known(kernel: Kernel) -> None:
    running = {"name": "tiny:latest", "size": 100, "size_vram": 40, "digest": "ab12", "context_length": 2048}
    shown = {"parameters": 'temperature    0.6\nstop    "<|im_end|>"\nstop    "###"\nseed   9', "details": {}}
    with replaying(
        chat=said("Hi"), version=line(version="0.32.1"), ps=line(models=[running]), show=line(**shown)
    ) as server:
        server.url = server.url.replace("://", "://me:hush@")
        kernel.use(server.url)
        ran = kernel.run("%%llm local_tiny --seed 3 --system 'Tell nobody'\nWhy?")
    told = saved(ran)
    assert told["model"] == "local_tiny"
    assert told["served_as"] == "tiny"
    assert told["provider"] == "ollama"
    assert told["digest"] == "ab12"
    assert (told["server"], told["server_version"]) == ("ollama", "0.32.1")
    assert told["host"] == server.url.replace("me:hush@", "")
    assert told["options"] == {"seed": 3}
    assert told["num_ctx"] == 2048
    defaults = told["defaults"]
    assert defaults["temperature"] == 0.6, "the model's author chose it"
    assert defaults["stop"] == ["<|im_end|>", "###"]
    assert defaults["num_ctx"] == 2048, "as the model was loaded"
    assert defaults["top_k"] == 40, "the server's own"
    assert "seed" not in defaults
    assert (told["eval_count"], told["eval_duration"], told["done_reason"]) == (1, 10**9, "stop")
    assert told["packages"]["acagent_nb"] == __version__
    assert 0 < told["first_token_seconds"] <= told["seconds"]
    assert told["began"].endswith("+00:00")
    question = {"content": "Why?", "images": [], "role": "user", "thinking": ""}
    question |= {"tool_call_id": "", "tool_calls": [], "tool_name": ""}
    data = json.dumps(question, sort_keys=True, separators=(",", ":")).encode()
    assert told["messages"][1] == f"sha256:{sha256(data).hexdigest()}"
    assert len(told["messages"]) == 2
    sent = json.dumps([content for _, content in ran.drawings])
    for secret in ("hush", "Tell nobody", "Why?"):
        assert secret not in sent
    assert all("acagent_nb" in content["metadata"] for _, content in ran.drawings)


def test_a_server_that_says_nothing_of_itself(kernel: Kernel) -> None:
    nothing = Answer(("no",), 500, "text/plain")
    with replaying(chat=said("Hi", done=False), version=nothing, ps=nothing, show=nothing) as server:
        kernel.use(server.url)
        told = saved(kernel.run("%%llm local_tiny\nWhy?"))
    assert told["mark"] == "broke off"
    assert not {"digest", "server", "defaults", "num_ctx", "done_reason"} & set(told)


def test_it_is_read_back(kernel: Kernel, server: str, tmp_path: Path) -> None:
    kernel.use(server)
    one = kernel.run("%%llm local_tiny --temperature 0\nWhat is a token?", seconds=60)
    two = kernel.run("%%llm local_tiny --seed 1,2\nWhat is a token?", seconds=60)
    assert one.status == two.status == "ok"
    outputs = [new_output("display_data", ran.output["data"], metadata=ran.output["metadata"]) for ran in (one, two)]
    cells = [new_code_cell("1"), *(new_code_cell("", outputs=[output], execution_count=7) for output in outputs)]
    path = tmp_path / "x.ipynb"
    nbformat.write(new_notebook(cells=cells), path)
    pytest.importorskip("pandas", reason="the table is one of pandas")
    table = provenance(path)
    assert list(table["cell"]) == [1, 2, 2]
    assert list(table["execution_count"]) == [7, 7, 7]
    assert set(table["model"]) == {"local_tiny"}
    assert list(table["seed"])[1:] == [1, 2]
    assert set(table["server"]) == {"embedded"}
    assert table["digest"].str.len().eq(64).all()


def test_without_pandas_it_is_a_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.ipynb"
    output = new_output("display_data", {}, metadata={"acagent_nb": {"model": "m", "options": {"seed": 1}}})
    nbformat.write(new_notebook(cells=[new_code_cell("", outputs=[output])]), path)
    monkeypatch.setitem(sys.modules, "pandas", None)  # which is how Python notes that it is not there
    row = {"cell": 0, "execution_count": None, "model": "m", "options": {"seed": 1}, "seed": 1}
    assert provenance(path) == [row]


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"cells": 3}', '{"cells": [1]}'])
def test_what_is_no_notebook(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "x.ipynb"
    if text is not None:
        path.write_text(text)
    with pytest.raises(BadParams, match=r"x\.ipynb can't be read"):
        provenance(path)


def test_what_a_panel_leaves_of_itself_is_no_answer() -> None:
    notebook = Path(__file__).parent.parent / "notebooks" / "02_options.ipynb"
    assert "%llm options" in notebook.read_text(encoding="utf-8")
    assert provenance(notebook)["model"].notna().all()
