"""A whole cell, through a real shell or kernel, against the embedded engine: what is asked, shown and kept."""

from __future__ import annotations

import base64
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell

from acagent_nb import BadAnswer, BadName, BadOption, BadPrompt, Incapable, LLMError, ModelMissing, Reply, TimedOut
from tests.kernels import Kernel, running_kernel
from tests.replay import Answer, Replay, replaying, said

JSON = "Extract name and age as JSON: Anna is 31 years old."
TOOLS = """
def get_weather(city: str) -> str:
    "The weather in a city."
    asked.append(city)
    return "sunny, 21 degrees"
def add(a: float, b: float) -> float:
    "Add two numbers."
def multiply(a: float, b: float) -> float:
    "Multiply two numbers."
def get_time(city: str) -> str:
    "The time in a city."
def get_population(country: str) -> int:
    "How many people live in a country."
def convert_currency(amount: float, source: str, target: str) -> float:
    "Convert money."
asked = []
"""
OFFERED = "--tool get_weather --tool add --tool multiply --tool get_time --tool get_population --tool convert_currency"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(30)


@pytest.fixture
def tiny(shell: InteractiveShell, server: str, api: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> InteractiveShell:
    """A shell whose server is the embedded one, with the tiny model to ask when none is named."""
    monkeypatch.setenv("OLLAMA_HOST", server)
    shell.run_line_magic("llm", "use local_tiny")
    return shell


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> Iterator[Replay]:
    """A server that says the same again and again, to see what it was asked."""
    with replaying(chat=said("Hello ", "you.")) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        yield server


@pytest.fixture(scope="module")
def kernel(server: str, api: httpx.Client) -> Iterator[Kernel]:
    with running_kernel(OLLAMA_HOST=server) as kernel:
        assert kernel.run("%load_ext acagent_nb\n%llm use local_tiny").status == "ok"
        yield kernel


def ask(shell: InteractiveShell, line: str, prompt: str = "What is 2 + 2?") -> Any:
    """Run a cell, which gives nothing back, and look at what it left."""
    assert shell.run_cell_magic("llm", line, prompt) is None
    return shell.user_ns["_llm"]


def body(server: Replay) -> Any:
    """The last chat's body."""
    return [body for _, path, body in server.requests if path == "/api/chat"][-1]


def about(capability: str) -> Answer:
    """What a server knows of a model that can do this."""
    return Answer((json.dumps({"capabilities": ["completion", capability]}),), content_type="application/json")


def test_the_session_s_model(tiny: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(tiny, "").model == "tiny"
    capsys.readouterr()
    tiny.run_line_magic("llm", "use")
    assert capsys.readouterr().out == "local_tiny answers if no model is named.\n"
    assert ask(tiny, "local_tiny:skills --no-think").model == "tiny:skills"
    assert ask(tiny, "--model local_tiny:skills --no-think").model == "tiny:skills"


def test_a_model_from_the_configuration(tiny: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    tiny.run_line_magic("config", "LLMMagics.model = 'local_tiny:skills'")
    assert ask(tiny, "--no-think").model == "tiny:skills"
    tiny.run_line_magic("llm", "use local_tiny")
    assert tiny.run_line_magic("config", "LLMMagics.model") == "local_tiny"
    tiny.run_line_magic("reload_ext", "acagent_nb")
    assert ask(tiny, "--no-think").model == "tiny:skills", "what was configured outlives a session"


def test_a_model_and_roles_from_the_project(
    tiny: InteractiveShell, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "params.toml").write_text('model = "PLAN_MODEL"\n[roles]\nPLAN_MODEL = "local_tiny:skills"\n')
    tiny.run_line_magic("reload_ext", "acagent_nb")
    assert ask(tiny, "--no-think").model == "tiny:skills"
    tiny.run_line_magic("llm", "use PLAN_MODEL")
    assert ask(tiny, "--no-think").model == "tiny:skills"
    assert ask(tiny, "local_tiny").model == "tiny"
    with pytest.raises(BadName, match="There is no role 'PLAN_MODLE'"):
        tiny.run_line_magic("llm", "use PLAN_MODLE")


def test_no_model_at_all(tiny: InteractiveShell) -> None:
    tiny.run_line_magic("reload_ext", "acagent_nb")
    with pytest.raises(BadName) as caught:
        ask(tiny, "")
    assert caught.value.message.startswith("No model is named. The server has local_tiny")
    assert caught.value.hint.endswith(("%llm use local_tiny", "%llm use local_tiny:skills"))


def test_no_model_and_no_server(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> None:
    with replaying() as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
    with pytest.raises(BadName) as caught:
        ask(shell, "")
    assert caught.value.message == "No model is named."
    assert caught.value.hint.startswith("Name one, for example: %%llm local_tiny")


def test_a_question_on_one_line(tiny: InteractiveShell) -> None:
    assert tiny.run_cell("%llm ask --seed 3 What's the capital of France?").success
    reply = tiny.user_ns["_llm"]
    assert reply.messages[0].content == "What's the capital of France?"
    assert "Paris" in reply.text
    assert reply.options.seed == 3
    assert tiny.run_cell("if True:\n    %llm ask --into there Why is the sky blue?\n    x = there.text").success
    assert "scatters" in tiny.user_ns["x"]
    with pytest.raises(BadOption, match="There is nothing to ask"):
        tiny.run_line_magic("llm", "ask --seed 3")


def test_values_of_the_notebook(shell: InteractiveShell, there: Replay) -> None:
    shell.user_ns |= {"rows": [1, 2], "role": "a pirate", "_private": 3}
    ask(
        shell,
        "local_tiny --system 'Be {{role}}, {role}.'",
        'How {many} are {{rows}}? {"a": {{len(rows)}}} {{_private}}',
    )
    system, user = body(there)["messages"]
    assert system["content"] == "Be a pirate, {role}."
    assert user["content"] == 'How {many} are [1,2]? {"a": 2} 3'
    with pytest.raises(BadPrompt, match="There is no 'row' in the notebook"):
        ask(shell, "local_tiny", "{{row}}")
    assert len(there.requests) == 1


def test_a_long_table_is_told_of(shell: InteractiveShell, there: Replay, capsys: pytest.CaptureFixture[str]) -> None:
    shell.user_ns["long"] = pd.DataFrame({"a": range(1000)})
    reply = ask(shell, "local_tiny", "Look at {{long}}")
    note = "Of {{long}} the model sees the first 50 of its 1,000 rows."
    assert reply.notes == (note,)
    assert note in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "sent"),
    [
        ("--json", {"format": "json", "truncate": False}),
        ("--schema form", {"format": {"type": "object"}, "truncate": False}),
        ("--think high", {"think": "high", "truncate": False}),
        ("--no-think", {"think": False, "truncate": False}),
        ("--keep-alive 5m", {"keep_alive": "5m", "truncate": False}),
        ("--keep-alive 0", {"keep_alive": 0, "truncate": False}),
        ("--truncate", {}),
    ],
)
def test_what_a_flag_sends(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch, flags: str, sent: Any) -> None:
    shell.user_ns["form"] = {"type": "object"}
    with replaying(chat=said("{}"), show=about("thinking")) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        ask(shell, f"local_tiny {flags}", "Hi")
        told = body(server)
    assert {name: told[name] for name in told if name not in ("model", "messages", "options")} == sent


def test_json(tiny: InteractiveShell) -> None:
    reply = ask(tiny, "--json --into anna", JSON)
    assert reply.value == tiny.user_ns["anna"] == {"name": "Anna", "age": 31}


SHAPES = """
from dataclasses import dataclass
from typing_extensions import TypedDict
from pydantic import BaseModel
@dataclass
class Data:
    name: str
    age: int
class Model(BaseModel):
    name: str
    age: int
class Typed(TypedDict):
    name: str
    age: int
schema = Model.model_json_schema()
"""


def test_schemas(tiny: InteractiveShell) -> None:
    assert tiny.run_cell(SHAPES).success
    names = tiny.user_ns
    anna = {"name": "Anna", "age": 31}
    for schema, value in (("Data", names["Data"](**anna)), ("Model", names["Model"](**anna))):
        assert ask(tiny, f"--schema {schema} --into x", JSON).value == names["x"] == value
    for schema in ("Typed", "schema"):
        assert ask(tiny, f"--schema {schema} --into x", JSON).value == names["x"] == anna
    with pytest.raises(BadPrompt) as caught:
        ask(tiny, "--schema Modl", JSON)
    assert caught.value.hint == "Did you mean Model?"


@pytest.mark.parametrize("schema", ["list[Data]", "list[Model]", "list[Typed]"])
def test_a_list_of_objects_is_a_table(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch, schema: str) -> None:
    shell.run_cell(SHAPES)
    rows = [{"name": "Anna", "age": 31}, {"name": "Ben", "age": 5}]
    with replaying(chat=[said(json.dumps(rows)), said("[]")]) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        reply = ask(shell, f"local_tiny --schema {schema} --into people", JSON)
        pd.testing.assert_frame_equal(shell.user_ns["people"], pd.DataFrame(rows))
        assert [type(one).__name__ for one in reply.value] == [schema[5:-1] if schema != "list[Typed]" else "dict"] * 2
        ask(shell, f"local_tiny --schema {schema} --into people", JSON)
        assert list(shell.user_ns["people"].columns) == ["name", "age"]
        assert len(shell.user_ns["people"]) == 0


def test_the_models_name_may_be_a_value_of_the_notebook(tiny: InteractiveShell) -> None:
    tiny.user_ns["chosen"] = "local_tiny:skills"
    assert ask(tiny, "{{chosen}} --temperature 0 --no-think", "What is 2 + 2?").model == "tiny:skills"
    replies = ask(tiny, "local_tiny,{{chosen}} --temperature 0 --no-think", "What is 2 + 2?")
    assert [reply.model for reply in replies] == ["tiny", "tiny:skills"]
    for wrong in ("{chosen}", "$chosen"):
        with pytest.raises(BadName, match="not a model's name"):
            ask(tiny, wrong, "A prompt that no cloud shall see.")


def test_without_pandas_tables_are_lists(tiny: InteractiveShell, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.run_cell(SHAPES)
    monkeypatch.setitem(sys.modules, "pandas", None)  # which is how Python notes that it is not there
    ask(tiny, "--json --temperature 0,0.1 --into both", JSON)
    assert [(row["temperature"], row["value"]) for row in tiny.user_ns["both"]] == [
        (0.0, {"name": "Anna", "age": 31}),
        (0.1, {"name": "Anna", "age": 31}),
    ]
    rows = [{"name": "Anna", "age": 31}, {"name": "Ben", "age": 5}]
    with replaying(chat=said(json.dumps(rows))) as one:
        monkeypatch.setenv("OLLAMA_HOST", one.url)
        tiny.run_line_magic("reload_ext", "acagent_nb")  # another server from now on
        ask(tiny, "local_tiny --schema list[Typed] --into people", JSON)
    assert tiny.user_ns["people"] == rows


def test_an_answer_of_the_wrong_shape(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> None:
    with replaying(chat=said('{"name": 1}')) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        shell.run_cell(SHAPES)
        with pytest.raises(BadAnswer) as caught:
            ask(shell, "local_tiny --schema Model --into x --chat trip", JSON)
    assert caught.value.message.endswith("The conversation 'trip' is as it was.")
    assert shell.user_ns["_llm"].text == '{"name": 1}'
    assert "x" not in shell.user_ns


def test_into(tiny: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    reply = ask(tiny, "--into answer")
    assert tiny.user_ns["answer"] is reply
    assert isinstance(reply, Reply)
    assert "hides" not in capsys.readouterr().out
    ask(tiny, "--into max")
    assert "max is a name of Python's own, which --into hides now" in capsys.readouterr().out


def test_several_models_and_values(tiny: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    replies = ask(tiny, "local_tiny, local_tiny:skills --seed=-1,2 --temperature 0 --no-think --into table")
    assert [(reply.model, reply.options.seed) for reply in replies] == [
        ("tiny", -1),
        ("tiny", 2),
        ("tiny:skills", -1),
        ("tiny:skills", 2),
    ]
    table = tiny.user_ns["table"]
    assert list(table.seed) == [-1, 2, -1, 2]
    assert list(table.text) == [reply.text for reply in replies]
    assert "local_tiny:skills · seed -1" in capsys.readouterr().out


def test_several_values_of_one_model_and_a_form(tiny: InteractiveShell) -> None:
    ask(tiny, "--json --temperature 0,0.1 --into table", JSON)
    assert list(tiny.user_ns["table"].value) == [{"name": "Anna", "age": 31}] * 2


def test_one_of_several_that_fails(tiny: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ModelMissing):
        ask(tiny, "local_nope,local_tiny --no-pull --into table")
    assert [reply.complete for reply in tiny.user_ns["_llm"]] == [False, True]
    assert "table" not in tiny.user_ns
    assert "2 + 2 = 4." in capsys.readouterr().out


def test_a_picture_for_a_model_without_eyes(tiny: InteractiveShell, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    with pytest.raises(Incapable, match="has no vision"):
        ask(tiny, "--image a.png", "What is this?")
    with pytest.raises(BadPrompt, match=r"There is no file 'b\.png'"):
        ask(tiny, "--image b.png", "What is this?")


def test_pictures(shell: InteractiveShell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    with replaying(chat=said("A cat."), show=about("vision")) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        ask(shell, "local_tiny --image a.png --image=a.png", "What is this?")
        assert body(server)["messages"][0]["images"] == [base64.b64encode(PNG).decode()] * 2


def test_thinking(tiny: InteractiveShell) -> None:
    assert "legs" in ask(tiny, "local_tiny:skills --think", "Is a spider an insect?").thinking
    assert ask(tiny, "local_tiny:skills --no-think", "Is a spider an insect?").thinking == ""


def test_tools_without_asking(tiny: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    tiny.run_cell(TOOLS)
    reply = ask(tiny, f"local_tiny:skills {OFFERED} --yes", "What is the weather in Rome?")
    assert tiny.user_ns["asked"] == ["Rome"]
    assert reply.tool_results[0].content == "sunny, 21 degrees"
    assert "Call get_weather" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "called"), [("y\n", True), ("YES\n", True), ("n\n", False), ("\n", False), ("", False)]
)
def test_tools_are_asked_for(
    tiny: InteractiveShell,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answer: str,
    called: bool,
) -> None:
    tiny.run_cell(TOOLS)
    monkeypatch.setattr("sys.stdin", io.StringIO(answer * 9))
    reply = ask(tiny, f"local_tiny:skills {OFFERED}", "What is the weather in Rome?")
    assert (tiny.user_ns["asked"] != []) is called
    assert reply.tool_results[0].failed is not called
    assert '\nCall get_weather(city="Rome")? [y/N]' in capsys.readouterr().out, "on a line of its own"


def test_a_tool_that_is_not_there(tiny: InteractiveShell) -> None:
    tiny.run_cell(TOOLS)
    with pytest.raises(BadPrompt) as caught:
        ask(tiny, "local_tiny:skills --tool get_wether")
    assert caught.value.hint == "Did you mean get_weather?"


def test_quiet(tiny: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert ask(tiny, "--quiet").text == "2 + 2 = 4."
    assert capsys.readouterr().out == ""


def test_a_timeout(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> None:
    with replaying(chat=said("Hello", late=60)) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        with pytest.raises(TimedOut):
            ask(shell, "local_tiny --timeout 0.1")
        assert server.gone.wait(10)


def test_all_answers_are_remembered_for_usage(tiny: InteractiveShell) -> None:
    ask(tiny, "--seed 1,2")
    with pytest.raises(LLMError):
        ask(tiny, "local_nope --no-pull")
    session = tiny.magics_manager.registry["LLMMagics"]._session
    assert [answer.name for answer in session.answers] == ["local_tiny", "local_tiny", "local_nope"]
    assert isinstance(session.error, ModelMissing)


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
