"""A whole cell in a real kernel: its one output, its questions to the user, and the stop button."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.cells import OFFERED, TOOLS
from tests.kernels import Kernel, running_kernel
from tests.replay import replaying, said


@pytest.fixture(scope="module")
def kernel(server: str, api: httpx.Client) -> Iterator[Kernel]:
    with running_kernel(OLLAMA_HOST=server) as kernel:
        assert kernel.run("%load_ext acagent_nb\n%llm use local_tiny").status == "ok"
        yield kernel


def test_a_kernel_s_cell_shows_and_saves_one_output(kernel: Kernel) -> None:
    ran = kernel.run("%%llm --seed 1,2\nWhat is {{1 + 1}} + 2?")
    assert ran.status == "ok"
    assert ran.of("execute_result") == []
    assert len(ran.of("display_data")) == 1
    assert len(ran.output["metadata"]["acagent_nb"]["answers"]) == 2


def test_plain(kernel: Kernel) -> None:
    ran = kernel.run("%%llm --plain\nWhat is 2 + 2?")
    assert {kind for _, drawn in ran.drawings for kind in drawn["data"]} == {"text/plain"}
    assert ran.text == "2 + 2 = 4."
    assert ran.output["metadata"]["acagent_nb"]["model"]
    assert len(ran.of("display_data")) == 1
    several = kernel.run("%%llm --plain --seed 1,2\nWhat is 2 + 2?")
    assert several.text.count("2 + 2 = 4.") == 2


def test_a_quiet_kernel(kernel: Kernel) -> None:
    ran = kernel.run("%%llm --quiet\nWhat is 2 + 2?")
    assert (ran.drawings, ran.printed) == ([], "")
    assert kernel.value("_llm.text") == "'2 + 2 = 4.'"
    ran = kernel.run("%%llm local_nope --quiet --no-pull\nWhat is 2 + 2?")
    assert (ran.drawings, ran.printed, ran.status) == ([], "", "error")
    assert len(ran.error["traceback"]) == 2


def test_a_question_mark_ends_a_question(kernel: Kernel) -> None:
    assert "Paris" in kernel.run("%llm ask What is the capital of France?").text


def test_the_user_is_asked_in_a_kernel(kernel: Kernel) -> None:
    kernel.run(TOOLS)
    questions = []

    def user(question: str) -> str:
        questions.append(question)
        return "y"

    cell = f"%%llm local_tiny:skills {OFFERED}\nWhat is the weather in Rome?"
    assert kernel.run(cell, user=user).status == "ok"
    assert questions == ['Call get_weather(city="Rome")? [y/N] ']
    assert kernel.value("asked") == "['Rome']"
    alone = kernel.run(cell)
    assert alone.error["traceback"] == [
        "\x1b[31mBadOption\x1b[0m: Nobody is there who could be asked before a function is called.",
        "Write --yes if the model may call these functions without asking.",
    ]
    assert alone.drawings == []
    assert kernel.run(cell.replace("skills", "skills --yes")).status == "ok"
    assert kernel.value("asked") == "['Rome', 'Rome']"


def test_a_stopped_answer_is_no_part_of_a_conversation(kernel: Kernel) -> None:
    with replaying(chat=said("Hel", stall=60)) as server:
        kernel.use(server.url)

        def stop(ran: Any) -> None:
            if ran.drawings and ran.text == "Hel" and not stopped:
                stopped.append(kernel.interrupt())

        stopped: list[float] = []
        ran = kernel.run("%%llm local_tiny --chat trip --into x\nHi", then=stop)
        assert server.gone.wait(10)
    assert ran.error["ename"] == "Interrupted"
    assert "The conversation 'trip' is as it was." in ran.error["traceback"][0]
    assert kernel.value("_llm.text, 'x' in globals()") == "('Hel', False)"
    assert "There is no conversation" in kernel.run("%llm chats").printed
