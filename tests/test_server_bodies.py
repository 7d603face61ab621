"""Bodies as Go's JSON decoder reads them: names in any case, nulls, and what is refused in which words."""

from __future__ import annotations

from typing import Any

import pytest

from .serving import SKY, Server, serving


@pytest.fixture(scope="module")
def own() -> Any:
    with serving() as server:
        server.client.post("/api/pull", json={"model": "tiny:skills", "stream": False}).raise_for_status()
        yield server


def asked(server: Server, body: dict[str, Any] | str, path: str = "/api/chat") -> tuple[int, Any]:
    given = {"content": body} if isinstance(body, str) else {"json": body}
    answer = server.client.post(path, **given)  # type: ignore[arg-type]  # one of the two, each of its own type
    return answer.status_code, answer.json()


def with_tools(**more: Any) -> dict[str, Any]:
    return {"model": "tiny:skills", "messages": SKY, "stream": False, "options": {"num_predict": 1}, **more}


def test_names_of_fields_may_be_spelled_in_any_case(own: Server) -> None:
    told = [
        own.chat(options={"temperature": 0, "num_predict": 8}),
        own.client.post(
            "/api/chat",
            json={
                "Model": "tiny",
                "MESSAGES": [{"Role": "user", "CONTENT": SKY[0]["content"]}],
                "Stream": False,
                "Options": {"temperature": 0, "num_predict": 8},
            },
        ).json(),
    ]
    assert told[0]["message"] == told[1]["message"]
    assert asked(own, {"Model": "tiny"}, "/api/show")[0] == 200
    assert asked(own, {"Model": "tiny", "Input": "a"}, "/api/embed")[0] == 200


def test_of_two_spellings_the_last_one_counts_unless_it_says_nothing(own: Server) -> None:
    assert asked(own, '{"model":"none","Model":"tiny"}')[1]["model"] == "tiny"
    assert asked(own, '{"Model":"none","model":"tiny"}')[1]["model"] == "tiny"
    assert asked(own, '{"model":"tiny","Model":null}')[1]["model"] == "tiny"


def test_but_options_and_a_tools_own_parameters_are_what_they_are(own: Server) -> None:
    status, told = asked(own, {"model": "tiny", "messages": SKY, "stream": False, "options": {"Num_Predict": 1}})
    assert status == 200
    assert told["done_reason"] == "stop"
    function = {"name": "f", "parameters": {"type": "object", "properties": {"Type": {"type": "string"}}}}
    assert asked(own, with_tools(tools=[{"type": "function", "function": function}]))[0] == 200


_FUNCTION = "ChatRequest.tools.function"
_CALL = "ChatRequest.messages.tool_calls"


@pytest.mark.parametrize(
    ("tool", "said"),
    [
        (5, "number into Go struct field ChatRequest.tools of type api.Tool"),
        ({"function": 5}, f"number into Go struct field {_FUNCTION} of type api.ToolFunction"),
        ({"function": {"name": 5}}, f"number into Go struct field {_FUNCTION}.name of type string"),
        ({"function": {"description": []}}, f"array into Go struct field {_FUNCTION}.description of type string"),
        (
            {"function": {"parameters": "x"}},
            f"string into Go struct field {_FUNCTION}.parameters of type api.ToolFunctionParameters",
        ),
        (
            {"function": {"parameters": {"required": [1]}}},
            f"number into Go struct field {_FUNCTION}.parameters.required of type string",
        ),
    ],
)
def test_tools_that_are_none(own: Server, tool: Any, said: str) -> None:
    assert asked(own, with_tools(tools=[tool])) == (400, {"error": f"json: cannot unmarshal {said}"})


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (5, f"number into Go struct field {_CALL} of type api.ToolCall"),
        ({"function": {"name": 5}}, f"number into Go struct field {_CALL}.function.name of type string"),
        (
            {"function": {"name": "f", "arguments": "{}"}},
            f"string into Go struct field {_CALL}.function.arguments of type api.ToolCallFunctionArguments",
        ),
        (
            {"function": {"name": "f", "arguments": [1]}},
            f"array into Go struct field {_CALL}.function.arguments of type api.ToolCallFunctionArguments",
        ),
    ],
)
def test_calls_that_are_none(own: Server, call: Any, said: str) -> None:
    messages = [{"role": "assistant", "tool_calls": [call]}]
    assert asked(own, with_tools(messages=messages)) == (400, {"error": f"json: cannot unmarshal {said}"})


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": [None, *SKY]},
        {"tools": [None]},
        {"tools": [{"type": "function"}]},
        {"tools": [{"function": {"name": "f", "parameters": {"type": None, "required": None}}}]},
        {
            "messages": [
                {"role": "assistant", "tool_calls": [None, {"function": {"name": "f", "arguments": None}}]},
                *SKY,
            ]
        },
    ],
)
def test_nulls_say_nothing(own: Server, fields: dict[str, Any]) -> None:
    status, told = asked(own, with_tools(**fields))
    assert status == 200, told


def test_a_null_among_images_is_an_image_without_a_byte(own: Server) -> None:
    status, told = asked(own, {"model": "tiny", "messages": [{"role": "user", "images": [None]}]})
    assert status == 400
    assert "Multimodal" in told["error"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("10000000h", 'time: invalid duration "10000000h"'),
        ("2562048h", 'time: invalid duration "2562048h"'),
        ("\u0661s", 'time: invalid duration "\u0661s"'),
        ("1\u0661s", 'time: unknown unit "\u0661s" in duration "1\u0661s"'),
    ],
)
def test_a_time_that_go_does_not_know(own: Server, text: str, said: str) -> None:
    assert asked(own, {"model": "tiny", "keep_alive": text}) == (400, {"error": said})


def test_the_longest_time_that_go_knows(own: Server) -> None:
    assert asked(own, {"model": "tiny", "keep_alive": "2562047h"})[0] == 200


@pytest.mark.parametrize("name", ["tiny:local", "tiny:latest:LOCAL", "registry.ollama.ai/library/tiny:local"])
def test_a_model_that_shall_run_here(own: Server, name: str) -> None:
    assert own.chat(model=name, options={"num_predict": 1})["model"] == name
    assert asked(own, {"model": name, "input": "a"}, "/api/embed")[0] == 200
    assert asked(own, {"model": name}, "/api/show")[0] == 200


V1 = {"messages": SKY, "prompt": "a", "input": "a"}
ROUTES = ["/api/chat", "/api/generate", "/api/embed", "/api/embeddings", "/api/show", "/api/pull"]
OPENAIS = ["/v1/chat/completions", "/v1/completions", "/v1/embeddings"]


@pytest.mark.parametrize("path", [*ROUTES, *OPENAIS])
@pytest.mark.parametrize("name", ["gpt-oss:120b-cloud", "gpt-oss:120b:cloud", "kimi-k2:cloud"])
def test_a_model_of_the_cloud_is_not_here(own: Server, path: str, name: str) -> None:
    status, told = asked(own, {"model": name, **(V1 if path in OPENAIS else {})}, path)
    said = told["error"]["message"] if path in OPENAIS else told["error"]
    assert (status, said) == (
        501,
        f"'{name}' runs in Ollama's cloud: the embedded server runs models on this machine only",
    )


def test_unless_somebody_called_one_of_here_so(own: Server) -> None:
    own.client.post("/api/copy", json={"source": "tiny", "destination": "mine:big-cloud"}).raise_for_status()
    assert own.chat(model="mine:big-cloud", options={"num_predict": 1})["done"] is True
    assert own.client.request("DELETE", "/api/delete", json={"model": "mine:big-cloud"}).status_code == 200
    assert own.client.request("DELETE", "/api/delete", json={"model": "mine:big-cloud"}).status_code == 404
    assert asked(own, {"model": "mine:big-cloud"})[0] == 501


@pytest.mark.parametrize("path", ROUTES)
def test_here_and_in_the_cloud_at_once(own: Server, path: str) -> None:
    said = 'use either :local or :cloud, not both: "tiny:cloud:local"'
    assert asked(own, {"model": "tiny:cloud:local"}, path) == (400, {"error": said})


def test_the_cloud_is_off_and_says_why_as_ollama_does(own: Server) -> None:
    assert own.client.get("/api/status").json() == {"cloud": {"disabled": True, "source": "env"}}
