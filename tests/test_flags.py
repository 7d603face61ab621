"""The line behind `%%llm`: what it says, and what it can't say."""

from __future__ import annotations

from typing import Any

import pytest

from acagent_nb import BadOption
from acagent_nb.flags import GROUPS, OWN, example, help, named
from acagent_nb.options import TABLE
from acagent_nb.parsing import Asked, one_line, parse


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("local_tiny", {"models": ("local_tiny",)}),
        ("", {}),
        ("--model gpt-4o", {"models": ("gpt-4o",)}),
        ("local_tiny,gpt-4o-mini", {"models": ("local_tiny", "gpt-4o-mini")}),
        ("local_tiny, gpt-4o-mini ,lab/qwen3", {"models": ("local_tiny", "gpt-4o-mini", "lab/qwen3")}),
        ("a --seed 1 ,b", {"models": ("a", "b"), "options": {"seed": 1}}),
        ("--temperature 0,0.7,1.2", {"sweeps": {"temperature": [0.0, 0.7, 1.2]}}),
        ("--seed=-1,2 --top-k 5", {"sweeps": {"seed": [-1, 2]}, "options": {"top_k": 5}}),
        ("--seed -1,2", {"sweeps": {"seed": [-1, 2]}}),
        ("--seed '1, 2'", {"sweeps": {"seed": [1, 2]}}),
        ("--use-mmap true,false", {"sweeps": {"use_mmap": [True, False]}}),
        ("--stop a,b --stop '#'", {"options": {"stop": ["a,b", "#"]}}),
        ("--system 'Be brief.'", {"system": "Be brief."}),
        ("--image a.png --image=b.png", {"images": ("a.png", "b.png")}),
        ("--tool add --tool m.f --yes", {"tools": ("add", "m.f"), "yes": True}),
        ("--json", {"json": True}),
        ("--schema list[Person]", {"schema": "list[Person]"}),
        ("--think", {"think": True}),
        ("--think high", {"think": "high"}),
        ("--think local_tiny", {"think": True, "models": ("local_tiny",)}),
        ("--think=low", {"think": "low"}),
        ("--think=false", {"think": False}),
        ("--no-think", {"think": False}),
        ("--no_think", {"think": False}),
        ("--into answer --chat trip-1", {"into": "answer", "chat": "trip-1"}),
        ("--no-pull --truncate", {"pull": False, "truncate": True}),
        ("--timeout 2.5", {"timeout": 2.5}),
        ("--keep-alive 1h30m", {"keep_alive": "1h30m"}),
        ("--keep-alive 0", {"keep_alive": 0}),
        ("--keep-alive=-1", {"keep_alive": -1}),
        ("--keep_alive 90.5", {"keep_alive": 90.5}),
        ("--plain", {"plain": True}),
        ("--quiet", {"quiet": True}),
    ],
)
def test_what_a_line_says(line: str, said: dict[str, Any]) -> None:
    assert parse(line) == Asked()._replace(**said)


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        ("a,,b", "There is a comma without a model beside it.", ""),
        ("a,", "There is a comma without a model beside it.", ""),
        ("a b,c", "'b' is a word too many.", ""),
        ("--seed 1, 2", "--seed has a comma without a value beside it.", "Several values are written without blanks"),
        ("--seed 1,x", "seed takes a whole number, not 'x'.", ""),
        ("--top-p 0.5,2", "top_p takes a number from 0 to 1, not 2.", ""),
        ("--seed 1 --seed 2", "--seed is said twice.", "Several values are written --seed=1,2."),
        ("--into a --into b", "--into is said twice.", "Keep one."),
        ("--json --schema X", "--json and --schema exclude each other.", "Leave out --json."),
        ("--think --no-think", "--think and --no-think exclude each other.", ""),
        ("--plain --quiet", "--plain and --quiet exclude each other.", ""),
        ("--think=hard", "--think takes no 'hard'.", "The levels are low, medium, high, max."),
        ("--yes", "--yes allows the calls of tools, and there is none.", "Name one: --tool get_weather"),
        ("--json=yes", "--json takes no value.", "Write --json alone."),
        ("--into 2x", "'2x' can't be a variable's name.", "For example --into=answer"),
        ("--into class", "'class' can't be a variable's name.", ""),
        ("--into _llm", "_llm is the last answer's own name.", ""),
        ("--chat ../x", "'../x' can't be a conversation's name.", ""),
        ("--timeout 0", "--timeout takes a number of seconds, not '0'.", ""),
        ("--timeout nan", "--timeout takes a number of seconds, not 'nan'.", ""),
        ("--keep-alive soon", "--keep-alive takes seconds or a time such as 5m, not 'soon'.", ""),
        ("--keep-alive inf", "--keep-alive takes seconds or a time such as 5m, not 'inf'.", ""),
        ("--system ''", "--system needs a value.", 'For example --system="Be brief."'),
        ("--tool", "--tool needs a value.", "For example --tool=get_weather"),
        ("--timeout --json", "--timeout needs a value.", "For example --timeout=60"),
        ("--schem X", "There is no flag --schem.", "Did you mean --schema?"),
        ("a,b --chat c", "A conversation goes on with one answer, not with several.", ""),
        ("--chat c --seed 1,2", "A conversation goes on with one answer, not with several.", ""),
        ("a,b --seed " + ",".join(map(str, range(51))), "That would be 102 answers, and a cell shows at most 100.", ""),
    ],
)
def test_what_a_line_can_not_say(line: str, message: str, hint: str) -> None:
    with pytest.raises(BadOption) as caught:
        parse(line)
    assert caught.value.message == message
    assert caught.value.hint.startswith(hint)


@pytest.mark.parametrize(
    ("line", "flags", "prompt"),
    [
        ("Why is the sky blue?", "", "Why is the sky blue?"),
        ('What\'s  "this"  --json?', "", 'What\'s  "this"  --json?'),
        ("--temperature 0.2 What's up", "--temperature 0.2", "What's up"),
        ("--system 'Be brief.' --json  a  b", "--system 'Be brief.' --json", "a  b"),
        ("--think high why", "--think high", "why"),
        ("--think higher?", "--think", "higher?"),
        ("--no-think --seed=-1 -5 + 3", "--no-think --seed=-1", "-5 + 3"),
        ("--model local_tiny,gpt-4o hello", "--model local_tiny,gpt-4o", "hello"),
        ("--quiet", "--quiet", ""),
        ("", "", ""),
    ],
)
def test_a_question_on_one_line(line: str, flags: str, prompt: str) -> None:
    assert one_line(line) == (parse(flags), prompt)


@pytest.mark.parametrize("line", ["--seed", "--system 'Be", "--sed 1 x"])
def test_a_wrong_flag_on_one_line(line: str) -> None:
    with pytest.raises(BadOption):
        one_line(line)


def test_the_help_tells_every_flag() -> None:
    told = help()
    assert max(len(line) for line in told.splitlines()) <= 100
    for name in [*TABLE, *OWN]:
        assert f"  {named(name)} " in told
        assert (TABLE[name].help if name in TABLE else OWN[name].about) in " ".join(told.split())
    for title in GROUPS:
        assert f"\n{title}\n---" in told


@pytest.mark.parametrize("name", [name for name in [*TABLE, *OWN] if name in TABLE or OWN[name].value])
def test_every_example_could_be_meant(name: str) -> None:
    asked = parse(f"{named(name)}={example(name)}")
    assert asked != Asked()
