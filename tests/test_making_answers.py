"""Models of one's own on the embedded server, made through both clients: they really answer as they were made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from acagent_nb import Client, hosts
from acagent_nb.errors import ModelMissing, ServerError
from acagent_nb.messages import Pulling
from acagent_nb.server import claims, gguf, tiny

from . import ggufs
from .clients import Do
from .serving import Server, soon

SKY = "Why is the sky blue?"


def answer(url: str, model: str, prompt: str = SKY, **options: Any) -> Any:
    with Client(url) as client:
        return client.chat(model, prompt, temperature=0, **options)


def test_system_and_parameters_have_their_effect(do: Do, own: Server) -> None:
    do(
        own.url,
        "create",
        "local_brief",
        from_model="local_tiny",
        system="Answer like a pirate.",
        parameters={"num_predict": 3},
    )
    reply = answer(own.url, "local_brief")
    assert (reply.stats.eval_count, reply.done_reason) == (3, "length")
    with Client(own.url) as client:
        assert client.show("local_brief").system == "Answer like a pirate."
        pirate = client.chat("local_tiny", SKY, system="Answer like a pirate.", temperature=0, num_predict=3)
    assert reply.text == pirate.text
    do(own.url, "create", "local_brief", from_model="local_tiny", parameters={"num_predict": 5})  # replaces it
    assert answer(own.url, "local_brief").stats.eval_count == 5


def test_a_modelfile_and_the_packaged_weights(do: Do, own: Server, tmp_path: Path) -> None:
    (tmp_path / "tiny.gguf").symlink_to(tiny.PATH)
    (tmp_path / "Modelfile").write_text(
        "FROM ./tiny.gguf\nPARAMETER stop scatters\nMESSAGE user My name is Anna.\n"
        "MESSAGE assistant Nice to meet you, Anna!\n"
    )
    steps = do(own.url, "create", "local_filed", modelfile=tmp_path / "Modelfile")
    assert steps[0].status == "hashing tiny.gguf"
    assert steps[-1].status == "success"
    assert "scatters" not in answer(own.url, "local_filed").text
    plain = answer(own.url, "local_tiny", "What is my name?")
    named = answer(own.url, "local_filed", "What is my name?")
    assert named.stats.prompt_eval_count > plain.stats.prompt_eval_count + 10
    assert named.text == "Your name is Anna."
    assert "Anna" not in plain.text


def test_an_adapter_changes_the_answers(do: Do, own: Server, tmp_path: Path) -> None:
    query = next(tensor for tensor in gguf.read(tiny.PATH).tensors if tensor.name == "blk.0.attn_q.weight")
    arrays = {
        "blk.0.attn_q.weight.lora_a": ggufs.noise(query.shape[0], 4, scale=1.0),
        "blk.0.attn_q.weight.lora_b": ggufs.noise(4, query.shape[1], scale=1.0),
    }
    kind = {
        "general.type": "adapter",
        "general.architecture": "llama",
        "adapter.type": "lora",
        "adapter.lora.alpha": 8.0,
    }
    file = tmp_path / "lora.gguf"
    file.write_bytes(ggufs.written({**kind, "adapter.lora.alpha": 8.0}, arrays))
    do(own.url, "create", "local_adapted", from_model="local_tiny", adapter=file)
    assert answer(own.url, "local_adapted").text != answer(own.url, "local_tiny").text


def test_what_the_server_can_not_do_it_says(do: Do, own: Server, tmp_path: Path) -> None:
    with pytest.raises(ServerError, match="does not quantize") as caught:
        do(own.url, "create", "local_none", from_model="local_tiny", quantize="q4_K_M")
    assert caught.value.status == 501
    short = tmp_path / "short.gguf"
    short.write_bytes(tiny.PATH.read_bytes()[:-100_000])
    with pytest.raises(ServerError, match="damaged or incomplete"):
        do(own.url, "create", "local_none", file=short)
    with Client(own.url) as client, pytest.raises(ModelMissing):
        client.show("local_none")


def test_stopping_an_upload_leaves_nothing_behind(tmp_path: Path) -> None:
    file, models = tmp_path / "stopped.gguf", tmp_path / "models"
    with file.open("wb") as data:
        data.write(b"GGUF")
        data.truncate(256 << 20)  # or it would be there before anyone can leave

    def unfinished() -> list[Path]:
        return [*models.glob(f"{claims.UNFINISHED}*"), *models.glob("blobs/*")]

    def leave(step: Pulling) -> None:
        if step.status.startswith("uploading") and unfinished():
            raise KeyboardInterrupt

    with hosts.private(models) as private, Client(private.url) as client:
        with pytest.raises(KeyboardInterrupt):
            client.create("local_stopped", watch=leave, file=file)
        soon(lambda: not unfinished())
        assert client.models() == []
