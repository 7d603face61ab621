"""`--chat` and `%llm chats`: conversations over cells, kept beyond a kernel, and never changed by what fails."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from acagent_nb import BadOption, Incomplete, LLMError, chats
from acagent_nb.chatting import HELP, WORDS
from acagent_nb.messages import Message, ToolCall
from tests.replay import replaying, said


def ask(shell: InteractiveShell, line: str, prompt: str) -> Any:
    shell.run_cell_magic("llm", line, prompt)
    return shell.user_ns["_llm"]


def run(shell: InteractiveShell, capsys: pytest.CaptureFixture[str], line: str) -> str:
    """What `%llm chats ...` prints."""
    capsys.readouterr()
    shell.run_line_magic("llm", f"chats {line}")
    return capsys.readouterr().out


def said_so_far(shell: InteractiveShell, name: str) -> list[tuple[str, str]]:
    chat = shell.magics_manager.registry["LLMMagics"]._session.chats[name]
    return [(message.role, message.content) for message in chat.messages]


def again(shell: InteractiveShell) -> None:
    """A new session, as after a restart of the kernel."""
    shell.run_line_magic("reload_ext", "acagent_nb")
    shell.run_line_magic("llm", "use local_tiny")


def test_it_goes_on_over_cells(tiny: InteractiveShell) -> None:
    ask(tiny, "--chat trip", "My name is Anna.")
    assert "Anna" in ask(tiny, "--chat trip", "What is my name?").text
    assert "Anna" not in ask(tiny, "--chat other", "What is my name?").text
    assert [role for role, _ in said_so_far(tiny, "trip")] == ["user", "assistant"] * 2


def test_model_and_instructions_may_change(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> None:
    with replaying(chat=said("Yes.")) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        shell.user_ns["who"] = "a pirate {{who}}"
        ask(shell, "local_a --chat trip --system 'Be {{who}}.'", "one")
        ask(shell, "local_b --chat trip", "two")
        ask(shell, "local_b --chat trip --system 'Be brief.'", "three")
        bodies = [body for _, path, body in server.requests if path == "/api/chat"]
    assert [body["model"] for body in bodies] == ["a", "b", "b"]
    told = [[(turn["role"], turn["content"]) for turn in body["messages"]] for body in bodies]
    pirate = ("system", "Be a pirate {{who}}.")
    assert told[0] == [pirate, ("user", "one")]
    assert told[1] == [pirate, ("user", "one"), ("assistant", "Yes."), ("user", "two")]
    assert told[2] == [("system", "Be brief."), *told[1][1:], ("assistant", "Yes."), ("user", "three")]


def test_what_fails_is_no_part_of_it(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> None:
    with replaying(chat=[said("Hello."), said("Hel", done=False), said("You too.")]) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        ask(shell, "local_tiny --chat trip", "Hi")
        with pytest.raises(Incomplete) as caught:
            ask(shell, "local_tiny --chat trip", "Bye")
        assert caught.value.message.endswith("The conversation 'trip' is as it was.")
        assert said_so_far(shell, "trip") == [("user", "Hi"), ("assistant", "Hello.")]
        ask(shell, "local_tiny --chat trip", "Bye")
    assert said_so_far(shell, "trip")[2:] == [("user", "Bye"), ("assistant", "You too.")]


def test_where_it_is_saved_does_not_tell_whose_machine_it_is(
    tiny: InteractiveShell, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(tiny, "--chat trip", "My name is Anna.")
    assert run(tiny, capsys, "save trip trip.json") == "trip is saved: 1 turn, in trip.json\n"
    Path("deep").mkdir()
    monkeypatch.chdir("deep")
    assert run(tiny, capsys, "save trip") == f"trip is saved: 1 turn, in {Path('~/acagent_nb/chats/trip.json')}\n"
    assert run(tiny, capsys, "export trip trip.md") == "trip is written to trip.md\n"


def test_a_saved_one_survives(tiny: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tiny, capsys, "").startswith("There is no conversation.")
    ask(tiny, "--chat trip --system 'Be kind.'", "My name is Anna.")
    assert run(tiny, capsys, "save trip").startswith("trip is saved: 1 turn, in ")
    again(tiny)
    assert run(tiny, capsys, "list").split() == ["name", "here", "saved", "trip", "-", "1", "turn"]
    assert run(tiny, capsys, "load trip") == "trip is here: 1 turn; go on with --chat trip\n"
    assert run(tiny, capsys, "").split() == ["name", "here", "saved", "trip", "1", "turn", "1", "turn"]
    reply = ask(tiny, "--chat trip", "What is my name?")
    assert "Anna" in reply.text
    assert reply.messages[0] == Message("system", "Be kind.")
    run(tiny, capsys, "save trip")
    again(tiny)
    assert "2 turns" in run(tiny, capsys, "load trip")


def test_a_new_one_says_that_another_is_saved(tiny: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    ask(tiny, "--chat trip", "My name is Anna.")
    run(tiny, capsys, "save trip")
    again(tiny)
    reply = ask(tiny, "--chat trip", "What is my name?")
    assert reply.notes == ("This is a new conversation; a saved 'trip' can be brought with: %llm chats load trip",)
    assert reply.notes[0] in capsys.readouterr().out
    assert len(reply.messages) == 2
    for line in ("save trip", "load trip"):
        with pytest.raises(LLMError):
            run(tiny, capsys, line)
    assert "1 turn" in run(tiny, capsys, "load trip first")
    assert ask(tiny, "--chat trip", "What is my name?").notes == ()


def test_files(tiny: InteractiveShell, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    ask(tiny, "--chat trip", "My name is Anna.")
    run(tiny, capsys, "save trip deep/trip.json")
    path = tmp_path / "deep" / "trip.json"
    assert json.loads(path.read_bytes())["messages"][0] == {
        **{"role": "user", "content": "My name is Anna.", "thinking": "", "images": [], "tool_calls": []},
        **{"tool_name": "", "tool_call_id": ""},
    }
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["trip.json"]
    run(tiny, capsys, "load deep/trip.json mine")
    assert said_so_far(tiny, "mine") == said_so_far(tiny, "trip")


def test_nothing_is_written_over(tiny: InteractiveShell, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    ask(tiny, "--chat trip", "My name is Anna.")
    for name, line in (("a.json", "save trip a.json"), ("a.md", "export trip a.md")):
        (tmp_path / name).write_text("{}")
        with pytest.raises(LLMError, match="holds something else, which would be lost"):
            run(tiny, capsys, line)
        assert (tmp_path / name).read_text() == "{}"


def test_export(tiny: InteractiveShell, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    reply = ask(tiny, "--chat trip --system 'Be kind.'", "My name is Anna.")
    for _ in range(2):
        run(tiny, capsys, "export trip trip.md")
    text = (tmp_path / "trip.md").read_text()
    assert text == (
        f"# trip\n\n## Instructions\n\nBe kind.\n\n## User\n\nMy name is Anna.\n\n## Assistant\n\n{reply.text}\n"
    )
    assert run(tiny, capsys, "show trip").strip() == text.strip()


def test_branch(tiny: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    for prompt in ("My name is Anna.", "Why is the sky blue?", "What is my name?"):
        ask(tiny, "--chat trip", prompt)
    run(tiny, capsys, "branch trip all")
    run(tiny, capsys, "branch trip first 1")
    assert said_so_far(tiny, "all") == said_so_far(tiny, "trip")
    assert said_so_far(tiny, "first") == said_so_far(tiny, "trip")[:2]
    ask(tiny, "--chat first", "What is my name?")
    assert len(said_so_far(tiny, "trip")) == 6
    with pytest.raises(LLMError, match="There is a conversation 'all' already"):
        run(tiny, capsys, "branch trip all")
    with pytest.raises(BadOption, match="A number of turns is not 'two'"):
        run(tiny, capsys, "branch trip more two")


def test_forget(tiny: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    ask(tiny, "--chat trip", "My name is Anna.")
    run(tiny, capsys, "save trip")
    assert "The saved one stays" in run(tiny, capsys, "forget trip")
    with pytest.raises(LLMError) as caught:
        run(tiny, capsys, "show trip")
    assert caught.value.hint == "Bring it with: %llm chats load trip"
    run(tiny, capsys, "forget trip --saved")
    assert run(tiny, capsys, "").startswith("There is no conversation.")
    with pytest.raises(LLMError, match="No conversation 'trip' is saved"):
        run(tiny, capsys, "forget trip --saved")


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        ("sav trip", "There is no %llm chats sav.", "Did you mean %llm chats save?"),
        ("zzz", "There is no %llm chats zzz.", "The words are: list, help, show,"),
        ("save", "%llm chats save takes other words.", "Write: %llm chats save NAME [FILE.json]"),
        ("list now", "%llm chats list takes other words.", "Write: %llm chats"),
        ("show trap", "There is no conversation 'trap'.", "Did you mean trip?"),
        ("load nowhere", "The conversation ", "%llm chats lists those"),
        ("forget trip now", "'now' is a word too many.", ""),
        ("branch trip ../x", "'../x' can't be a conversation's name.", ""),
    ],
)
def test_what_can_not_be_done(
    tiny: InteractiveShell, capsys: pytest.CaptureFixture[str], line: str, message: str, hint: str
) -> None:
    ask(tiny, "--chat trip", "My name is Anna.")
    with pytest.raises(LLMError) as caught:
        run(tiny, capsys, line)
    assert caught.value.message.startswith(message)
    assert caught.value.hint.startswith(hint)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"name": "x", "messages": [{"content": "no role"}]}', "\xff"])
def test_what_is_no_conversation(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(LLMError, match="holds no conversation"):
        chats.load(path)


def test_all_that_a_conversation_holds_comes_back(tmp_path: Path) -> None:
    call = ToolCall("add", {"a": 1, "b": [None, {"c": "é"}]}, "id1")
    chat = chats.Conversation(
        "trip",
        "Be kind.",
        (
            Message("user", "1 + 2?", images=("iVBORw0KGgo=",)),
            Message("assistant", thinking="Hm.", tool_calls=(call,)),
            Message("tool", "3", tool_name="add", tool_call_id="id1"),
            Message("assistant", "3"),
        ),
    )
    chats.save(chat, tmp_path / "trip.json")
    assert chats.load(tmp_path / "trip.json") == chat
    told = chat.markdown()
    assert 'add(a=1, b=[null, {"c": "é"}])' in told
    assert "*1 picture*" in told
    assert "iVBOR" not in told


def test_the_help_tells_every_word(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(shell, capsys, "help") == f"{HELP}\n"
    for word in WORDS:
        assert f"%llm chats {word if word != 'list' else ' '}" in HELP
