"""Roles, default options, endpoints and prices: from code, and from a params.toml."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acagent_nb import params as room
from acagent_nb.errors import BadName, BadOption, BadParams
from acagent_nb.names import Target
from acagent_nb.options import Options
from acagent_nb.params import Endpoint, Params

WHOLE = """
model = "JSON_PLAN_MODEL"
APPLY_MODEL_OPTIONS = true
[roles]
JSON_PLAN_MODEL = "local_llama3.2:1b"
writer = "lab/qwen3:8b"
[options]
temperature = 0.2
stop = "END"
[endpoints.lab]
base_url = "https://lab.example.org/v1/"
key_env = "LAB_API_KEY"
[endpoints.studio]
base_url = "http://localhost:1234/v1"
[prices."gpt-4o-mini"]
in = 0.15
out = 0.60
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the whole of a params.toml."""
    (tmp_path / "params.toml").write_text(WHOLE, encoding="utf-8")
    return tmp_path


def test_a_file_says_it_all(folder: Path) -> None:
    assert Params.read(folder / "params.toml") == Params(
        roles={"JSON_PLAN_MODEL": "local_llama3.2:1b", "writer": "lab/qwen3:8b"},
        model="JSON_PLAN_MODEL",
        apply_model_options=True,
        model_options=Options(temperature=0.2, stop=["END"]),
        endpoints={
            "lab": Endpoint("lab", "https://lab.example.org/v1", "LAB_API_KEY"),
            "studio": Endpoint("studio", "http://localhost:1234/v1"),
        },
        prices={"gpt-4o-mini": (0.15, 0.6)},
        path=folder / "params.toml",
    )


def test_the_specifications_spelling() -> None:
    params = Params.of(
        {
            "JSON_PLAN_MODEL": "local_llama3.2:1b",
            "TOOL_HELPER_MODEL": "gpt-4o",
            "APPLY_MODEL_OPTIONS": False,
            "MODEL_OPTIONS": {"temperature": 0.8, "seed": 42},
        }
    )
    assert params.target("JSON_PLAN_MODEL") == Target("ollama", "llama3.2:1b")
    assert params.target("TOOL_HELPER_MODEL") == Target("openai", "gpt-4o")
    assert params.model_options == Options(temperature=0.8, seed=42)
    assert not params.apply_model_options


def test_defaults_lie_beneath_what_a_call_says() -> None:
    params = Params.of({"options": Options(temperature=0.8, seed=42)})
    assert params.options(Options(temperature=0)) == Options(temperature=0, seed=42)
    assert Params().options(Options(seed=1)) == Options(seed=1)


def test_switched_off_none_of_the_defaults_is_sent() -> None:
    params = Params.of({"options": {"temperature": 0.8}, "APPLY_MODEL_OPTIONS": False})
    assert params.options(Options(seed=1)).sent() == {"seed": 1}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("JSON_PLAN_MODEL", Target("ollama", "llama3.2:1b")),
        (" JSON_PLAN_MODEL ", Target("ollama", "llama3.2:1b")),
        ("writer", Target("lab", "qwen3:8b")),
        ("local_tiny", Target("ollama", "tiny")),
        ("gpt-4o-mini", Target("openai", "gpt-4o-mini")),
        ("studio/local-model", Target("studio", "local-model")),
        ("lab/meta-llama/Llama-3.1-8B", Target("lab", "meta-llama/Llama-3.1-8B")),
        ("meta-llama/Llama-3.1-8B", Target("openai", "meta-llama/Llama-3.1-8B")),
        (None, Target("ollama", "llama3.2:1b")),
    ],
)
def test_a_role_can_stand_wherever_a_models_name_can(folder: Path, name: str | None, expected: Target) -> None:
    assert Params.found(folder).target(name) == expected
    assert room.target(name, Params.found(folder)) == expected


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("JSON_PLAN_MODLE", "Did you mean JSON_PLAN_MODEL?"),
        ("SOME_OTHER_THING", "Add it to [roles]"),
        ("Writer", "Did you mean writer?"),
        ("Lab/qwen3", "Did you mean lab/qwen3?"),
        ("labb/qwen3", "Did you mean lab/qwen3?"),
        ("lab/", "Write lab/"),
        ("lab/qwen 3", "Did you mean qwen-3?"),
        ("local_llama 3", "Did you mean local_llama3?"),
        ("", "Name one"),
    ],
)
def test_a_wrong_name_is_refused_with_advice(folder: Path, name: str, hint: str) -> None:
    with pytest.raises(BadName) as caught:
        Params.found(folder).target(name)
    assert hint in caught.value.hint


def test_a_name_in_capitals_that_is_nearly_a_roles_is_no_model() -> None:
    params = Params.of({"WRITER": "local_tiny"})
    with pytest.raises(BadName, match="no role 'WRITR'") as caught:
        params.target("WRITR")
    assert caught.value.hint == "Did you mean WRITER?"
    assert params.target("QWEN") == Target("openai", "QWEN")


def test_a_role_in_other_letters_is_no_model() -> None:
    params = Params.of({"JSON_PLAN_MODEL": "local_tiny", "MISTRAL": "mistral"})
    for name in ("json_plan_model", "Json_Plan_Model"):
        with pytest.raises(BadName, match=f"no role '{name}', in these letters") as caught:
            params.target(name)
        assert caught.value.hint == "Did you mean JSON_PLAN_MODEL?"
    assert params.target("MISTRAL") == params.target("mistral") == Target("openai", "mistral")


def test_without_a_name_and_a_model_it_says_how() -> None:
    with pytest.raises(BadName, match="No model is named") as caught:
        Params().target()
    assert "model =" in caught.value.hint
    with pytest.raises(BadName, match="is a text, not"):
        Params().target(3)  # type: ignore[arg-type]  # the wrong type is what it is about


def test_roles_may_name_roles_but_not_in_a_circle() -> None:
    params = Params.of({"roles": {"a": "b", "b": "c", "c": "local_tiny"}})
    assert params.target("a") == Target("ollama", "tiny")
    with pytest.raises(BadParams, match="circle: A_B -> C_D -> A_B"):
        Params.of({"A_B": "C_D", "C_D": "A_B"})
    with pytest.raises(BadName, match="circle"):
        Params(roles={"a": "a"}).target("a")


def test_the_nearest_file_upwards_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = folder / "a" / "b"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    assert Params.found().path == folder.resolve() / "params.toml"
    assert room.target("JSON_PLAN_MODEL") == Target("ollama", "llama3.2:1b")
    (folder / "a" / "params.toml").write_text('model = "local_tiny"')
    assert Params.found().path == folder.resolve() / "a" / "params.toml"
    assert room.target() == Target("ollama", "tiny")


def test_a_folder_of_that_name_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "params.toml").mkdir()
    assert Params.found(tmp_path) == Params()


def test_another_programs_file_is_passed_over(folder: Path) -> None:
    deep = folder / "training"
    deep.mkdir()
    (deep / "params.toml").write_text("[train]\nlr = 0.1\n[featurize]\nngrams = 2\n")
    assert Params.found(deep).path == folder.resolve() / "params.toml"
    (deep / "params.toml").write_text('[rolls]\nX = "local_tiny"\n')
    with pytest.raises(BadParams, match="There is no setting 'rolls'") as caught:
        Params.found(deep)
    assert caught.value.hint == "Did you mean roles?"


def test_no_file_is_no_params(tmp_path: Path) -> None:
    assert Params.found(tmp_path) == Params()
    with pytest.raises(BadParams, match=r"params\.toml can't be read"):
        Params.read(tmp_path / "params.toml")


@pytest.mark.skipif(os.name == "nt" or not hasattr(os, "fork"), reason="a folder in use can't be removed there")
def test_a_working_folder_that_is_gone_has_no_params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert Params.found() == Params()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"model = \n", "line 1"),
        (b'[roles]\nA_B = "x"\nA_B = "y"\n', "line 3"),
        (b'model = "\xff"\n', "UTF-8"),
    ],
)
def test_a_file_that_is_no_toml_says_where(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "params.toml"
    path.write_bytes(content)
    with pytest.raises(BadParams) as caught:
        Params.found(tmp_path)
    assert says in caught.value.message
    assert str(path) in caught.value.message
    assert caught.value.hint


def test_an_editors_mark_at_the_start_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "params.toml").write_bytes(b'\xef\xbb\xbfmodel = "local_tiny"\r\n')
    assert Params.found(tmp_path).target() == Target("ollama", "tiny")


def test_an_error_names_the_file(folder: Path) -> None:
    path = folder / "params.toml"
    path.write_text("[options]\ntemprature = 0.2\n")
    with pytest.raises(BadParams) as caught:
        Params.read(path)
    assert caught.value.message == f"{path}: There is no model option 'temprature'."
    assert caught.value.hint == "Did you mean 'temperature'?"
    assert not isinstance(caught.value, BadOption)


LAB = {"base_url": "https://lab.example.org/v1"}


@pytest.mark.parametrize(
    ("mapping", "message", "hint"),
    [
        ({"modle": "local_tiny"}, "There is no setting 'modle'", "Did you mean model?"),
        ({"APPLY_MODEL_OPTION": True}, "There is no setting 'APPLY_MODEL_OPTION'", "Did you mean APPLY_MODEL_OPTIONS?"),
        ({"xyz": 1}, "There is no setting 'xyz'", "The settings are model, roles"),
        ({"APPLY_MODEL_OPTIONS": "True"}, "takes true or false, not a text", ""),
        ({"APPLY_MODEL_OPTIONS": True, "apply_model_options": True}, "said twice", "Keep one"),
        ({"model": 3}, "model takes a model's name, not a number", ""),
        ({"model": "NO_SUCH_ROLE"}, "model: There is no role 'NO_SUCH_ROLE'", "[roles]"),
        ({"roles": ["a"]}, "roles takes a table, not a list", ""),
        ({"A_B": "o3", "roles": {"A_B": "o3"}}, "The role A_B is said twice", "Keep one"),
        ({"roles": {"A_B": 3}}, "The role A_B takes a model's name, not a number", "local_"),
        ({"roles": {"A_B": "local_a b"}}, "A_B: 'a b' is not a model's name", "Did you mean local_a-b?"),
        ({"roles": {"local_tiny": "local_other"}}, "'local_tiny' can't be a role's name", "local_"),
        ({"roles": {"a/b": "local_other"}}, "'a/b' can't be a role's name", "letters"),
        ({"MODEL_OPTIONS": {"num_ctx": "big"}}, "num_ctx takes a whole number", ""),
        ({"MODEL_OPTIONS": True}, "options takes a table, not true or false", ""),
        ({"endpoints": {"ollama": LAB}}, "'ollama' can't be an endpoint's name", "plain word"),
        ({"endpoints": {"OpenAI": LAB}}, "'OpenAI' can't be an endpoint's name", "plain word"),
        ({"endpoints": {"local_lab": LAB}}, "'local_lab' can't be an endpoint's name", "plain word"),
        ({"endpoints": {"a b": LAB}}, "'a b' can't be an endpoint's name", "plain word"),
        ({"endpoints": {"lab": "https://lab"}}, "endpoints.lab takes a table, not a text", ""),
        ({"endpoints": {"lab": {}}}, "endpoints.lab needs its address", "base_url"),
        ({"endpoints": {"lab": {"base_url": "lab/v1"}}}, "'lab/v1' is not a server's address", "https://lab/v1"),
        ({"endpoints": {"lab": LAB | {"url": "x"}}}, "endpoints.lab has no setting 'url'", "base_url"),
        ({"endpoints": {"lab": LAB | {"insecure": 1}}}, "insecure of endpoints.lab takes true or false", ""),
        ({"prices": {"gpt": {"in": 1}}}, "The price of gpt takes two numbers", ""),
        ({"prices": {"gpt": {"in": 1, "out": -1}}}, "The price of gpt takes two numbers", ""),
        ({"prices": {"gpt": {"in": 1, "out": True}}}, "The price of gpt takes two numbers", ""),
        ({"prices": {"gpt": {"in": 1, "out": float("nan")}}}, "The price of gpt takes two numbers", ""),
        ({"prices": {"gpt": {"input": 1}}}, "has no part 'input'", "in and out"),
        ({1: 2}, "params takes a table", ""),
        ([("model", "x")], "params takes a table, not a list", ""),
    ],
)
def test_what_cannot_be_meant_is_refused(mapping: Any, message: str, hint: str) -> None:
    with pytest.raises(BadParams) as caught:
        Params.of(mapping)
    assert message in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    "mapping",
    [
        {"endpoints": {"lab": LAB | {"api_key": "sk-secret"}}},
        {"endpoints": {"lab": LAB | {"token": "sk-secret"}}},
        {"endpoints": {"lab": LAB | {"key_env": "sk-secret"}}},
        {"endpoints": {"lab": LAB | {"key_env": "gsk_secret"}}},
        {"endpoints": {"lab": {"base_url": "https://me:sk-secret@lab/v1"}}},
        {"endpoints": {"lab": {"base_url": "https://lab/v1?key=sk-secret"}}},
        {"OPENAI_API_KEY": "sk-secret"},
        {"roles": {"LAB_TOKEN": "sk-secret"}},
    ],
)
def test_no_key_may_stand_in_the_file_and_none_is_shown(mapping: Any) -> None:
    with pytest.raises(BadParams) as caught:
        Params.of(mapping)
    assert "secret" not in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize("variable", ["OPENAI_API_KEY", "OLLAMA_API_KEY"])
def test_an_endpoint_can_not_take_a_key_that_another_host_was_given(variable: str) -> None:
    with pytest.raises(BadParams, match=f"{variable} was given for another host"):
        Params.of({"endpoints": {"lab": LAB | {"key_env": variable}}})


def test_a_key_goes_over_plain_http_only_to_this_machine_or_when_told_so() -> None:
    far = {"base_url": "http://gpu07:8000/v1"}
    with pytest.raises(BadParams, match="plain http") as caught:
        Params.of({"endpoints": {"lab": far | {"key_env": "LAB_API_KEY"}}})
    assert "insecure = true" in caught.value.hint
    for table in (far, far | {"key_env": "LAB_API_KEY", "insecure": True}):
        assert Params.of({"endpoints": {"lab": table}}).endpoints["lab"].base_url == "http://gpu07:8000/v1"
    near = {"base_url": "http://0.0.0.0:8000/v1", "key_env": "LAB_API_KEY"}
    assert Params.of({"endpoints": {"lab": near}}).endpoints["lab"].base_url == "http://127.0.0.1:8000/v1"


def test_code_may_give_values_instead_of_tables() -> None:
    lab = Endpoint("lab", "https://lab.example.org/v1", "LAB_API_KEY")
    params = Params.of({"endpoints": {"lab": lab}, "prices": {"gpt": (1, 2)}, "options": Options(seed=1)})
    assert params.endpoints["lab"] == lab
    assert params.prices == {"gpt": (1.0, 2.0)}


KEYS = st.text(max_size=5) | st.sampled_from(
    [
        "model",
        "roles",
        "options",
        "endpoints",
        "prices",
        "APPLY_MODEL_OPTIONS",
        "A_B",
        "C_D",
        "lab",
        "base_url",
        "in",
        "out",
    ]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(["local_tiny", "A_B"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(KEYS, VALUES, max_size=4))
def test_any_mapping_is_params_or_refused(mapping: dict[str, Any]) -> None:
    try:
        params = Params.of(mapping)
    except BadParams:  # and nothing else
        return
    for role in params.roles:
        assert params.target(role).model
