"""Which models a notebook names is known before it runs."""

from __future__ import annotations

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from acagent_nb.names import Target
from acagent_nb.params import Params
from acagent_nb.runnable.asked_models import Named, models

LAB = {"endpoints": {"lab": {"base_url": "http://127.0.0.1:1/v1"}}}


def named(*cells: str, params: Params | None = None, **tags: str) -> Named:
    """What a notebook of these cells names; a cell's number as `c1="tag"` gives it a tag."""
    made = [new_code_cell(cell) for cell in cells]
    for number, tag in tags.items():
        made[int(number[1:]) - 1].metadata.tags = [tag]
    return models(new_notebook(cells=[new_markdown_cell('Ask "local_text".'), *made]), params or Params())


@pytest.mark.parametrize(
    ("cell", "local"),
    [
        ("%%llm local_a\nWhy?", {"a": True}),
        ("%%llm local_a,local_b:1b --seed 1\nWhy?", {"a": True, "b:1b": True}),
        ("%%llm --model local_a\nWhy?", {"a": True}),
        ("%%llm local_a --no-pull\nWhy?", {}),
        ("%%llm local_a --help\n", {}),
        ("%%llm local_a --nonsense\nWhy?", {}),
        ("%llm use local_a", {"a": True}),
        ("%llm pull a", {"a": True}),
        ("%llm load local_a", {"a": True}),
        ("x = %llm chat local_a", {"a": True}),
        ("%llm ask --model local_a Why is it so?", {"a": True}),
        ("%llm rm a", {}),
        ('client.chat("local_a", "Why?")', {"a": False}),
        ('%%time\nclient.chat("local_a", "Why?")', {"a": False}),
        ('await client.chat("local_a", "Why?")', {"a": False}),
        ('model = "local_a"\nclient.chat(model, "Why?")', {"a": False}),
        ('client.embed(model="local_a", texts=["Why?"])', {"a": False}),
        ('with Client() as client:\n    client.load("local_a")', {"a": False}),
        ('client.chat("local_a", "Why?", pull=False)', {}),
        ('try:\n    client.chat("local_a", "Why?")\nexcept LLMError:\n    pass', {}),
        ('Client("http://there:11434").chat("local_a", "Why?")', {}),
        ('team = Client(params={"WRITER": "local_a"})\nteam.chat("local_a", "Why?")', {}),
        ('model = "local_a"', {}),
        ('client.asked("local_llama3.2:1b")', {}),
        ('params = {"WRITER": "local_llama3.2:1b"}', {}),
        ('assert reply.model == "local_a"', {}),
        ('kind = "local_time"\nchat(kind)', {}),
        ('print("local_ models are near, local_a too")', {}),
        ('f"local_{size}"', {}),
        ("f\"{client.chat('local_a', 'Why?')} and local_b\"", {"a": False}),
        ('model.startswith("local_")', {}),
        ("this is no Python: local_a", {}),
        ("%%bash\necho local_a", {}),
    ],
)
def test_a_cell(cell: str, local: dict[str, bool]) -> None:
    assert named(cell).local == local


def test_what_the_notebook_makes_is_not_there_before() -> None:
    assert named('client.create("local_mine", from_model="local_a")', "%%llm local_mine\nWhy?").local == {}
    assert named('mine = "local_mine:v1"\nclient.create(mine, modelfile=text)', "%%llm local_mine:v1\nWhy?").local == {}
    assert named('client.copy("local_a", "local_b")', "%%llm local_b\nWhy?").local == {}
    assert named("!acagent-nb create mine --from tiny", "%%llm local_mine\nWhy?").local == {}


def test_a_parameter_takes_the_place_of_its_default() -> None:
    default, given = 'model = "local_big"\nother = "local_a"', 'model = "local_tiny"'
    asks = "client.chat(model, other)\nclient.chat(other, model)"
    assert named(default, asks, c1="parameters").local == {"big": False, "a": False}
    assert named(default, given, asks, c1="parameters", c2="injected-parameters").local == {"a": False, "tiny": False}


def test_what_may_fail_on_purpose_is_left_alone() -> None:
    assert named("%%llm local_nosuch\nWhy?", c1="raises-exception").local == {}


def test_roles_and_the_usual_model() -> None:
    params = Params.of(LAB | {"roles": {"PLAN_MODEL": "local_planner", "FAST_MODEL": "lab/quick"}, "model": "local_a"})
    assert named("%%llm PLAN_MODEL\nWhy?", params=params).local == {"planner": True}
    assert named('client.chat("PLAN_MODEL", "Why?")', params=params).local == {"planner": False}
    assert named("%%llm\nWhy?", params=params).local == {"a": True}
    assert named("%%llm FAST_MODEL\nWhy?", params=params) == Named({}, [Target("lab", "quick")])


def test_cloud_models_are_known_where_one_is_plainly_asked() -> None:
    found = named(
        "%%llm local_a,gpt-4o\nWhy?",
        'client = Client()\nclient.chat("gpt-4o-mini", "Why?")\nteam.chat("gpt-5", "Why?")',
        'print("gpt-5", "is no name")',
    )
    assert found == Named({"a": True}, [Target("openai", "gpt-4o"), Target("openai", "gpt-4o-mini")])


def test_a_model_of_a_server_of_one_s_own_is_no_cloud_model() -> None:
    asks = 'client = Client(base_url="http://127.0.0.1:1/v1")\nclient.chat(cloud_model, "Why?")'
    assert named('cloud_model = "gpt-4o-mini"', asks, c1="injected-parameters").cloud == []


def test_a_role_that_code_gives_is_no_cloud_model() -> None:
    given = 'team = Client(params={"WRITER": model, "PLAN_MODEL": model})'
    asks = 'team.chat("WRITER", "Why?")\nteam.chat("PLAN_MODEL", "Why?")\nclient = Client()\nclient.chat("WRITER", "")'
    assert named(given, asks, "%%llm WRITER\nWhy?") == Named({}, [])
