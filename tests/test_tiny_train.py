"""Training the demo model anew: a few steps of it, with the packages of the extra ``train``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from acagent_nb.server import tiny
from acagent_nb.server.tiny.served import Served

pytest.importorskip("torch")
pytest.importorskip("tokenizers")
gguf = pytest.importorskip("gguf")

SMALL = ["--batch", "512", "--width", "32", "--layers", "1", "--heads", "1", "--inner", "32", "--vocabulary", "320"]


def command(folder: Path, *more: str) -> list[str]:
    places = ["--out", str(folder / "new.gguf"), "--checkpoint", str(folder / "new.pt"), "--threads", "1"]
    return [sys.executable, "-m", "acagent_nb.server.tiny.train", *SMALL, *places, *more]


def test_a_file_is_trained_and_answers(tmp_path: Path) -> None:
    done = subprocess.run(command(tmp_path, "--steps", "3"), capture_output=True, text=True, check=True)
    assert "step 3/3" in done.stdout
    assert "left" in done.stdout
    fields = gguf.GGUFReader(tmp_path / "new.gguf").fields
    assert fields["llama.context_length"].contents() == tiny.CONTEXT
    assert fields["tokenizer.chat_template"].contents() == tiny.TEMPLATE
    pytest.importorskip("xllamacpp")
    with Served(tmp_path / "new.gguf") as served:
        assert served.chat([{"role": "user", "content": "Hello"}], max_tokens=4)["role"] == "assistant"


@pytest.mark.skipif(os.name == "nt", reason="an interrupt is sent otherwise there")
def test_an_interrupt_keeps_what_was_learnt(tmp_path: Path) -> None:
    child = subprocess.Popen(command(tmp_path, "--steps", "100000"), stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert "parameters" in child.stdout.readline()
    assert "step 50/" in child.stdout.readline()
    child.send_signal(signal.SIGINT)
    said, _ = child.communicate()
    assert child.returncode == 130
    assert "--resume" in said
    assert not (tmp_path / "new.gguf").exists()
    step = int(said.split("stopped at step ")[1].split(";")[0])
    assert step >= 49
    last = str(step + 2)
    done = subprocess.run(command(tmp_path, "--resume", "--steps", last), capture_output=True, text=True, check=True)
    assert f"step {last}/{last}" in done.stdout
    assert (tmp_path / "new.gguf").exists()
