"""No key goes to a host that it was not given for."""

from __future__ import annotations

import pytest

from acagent_nb.addresses import base_url
from acagent_nb.errors import BadName, BadParams, KeyMissing
from acagent_nb.keys import NO_KEY, OPENAI, Cloud, cloud, headers, provider
from acagent_nb.params import Endpoint

LAB = Endpoint("lab", "https://lab.example.org/v1", "LAB_API_KEY")


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "LAB_API_KEY", "OLLAMA_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def test_openais_key_goes_to_openai(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", " sk-secret\n")
    for there in (cloud(), cloud(OPENAI), cloud("https://API.openai.com:443/v1/")):
        assert (there.api_key, there.key_env, there.openai_env) == ("sk-secret", "OPENAI_API_KEY", True)
    assert cloud().base_url == OPENAI


@pytest.mark.parametrize(
    "url", ["https://evil.example/v1", "http://api.openai.com/v1", "https://api.openai.com:8443/v1"]
)
def test_and_to_nobody_else(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    with pytest.raises(KeyMissing, match="belongs to another host") as caught:
        cloud(url)
    assert "secret" not in str(caught.value)
    assert cloud(url, "its-own") == Cloud(url, "its-own")


def test_the_key_follows_openai_base_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "gateways")
    monkeypatch.setenv("OPENAI_BASE_URL", " https://gateway.example/v1/ ")
    assert cloud() == Cloud("https://gateway.example/v1", "gateways", "OPENAI_API_KEY", True)
    assert cloud("https://gateway.example/v2").api_key == "gateways"
    with pytest.raises(KeyMissing, match=r"api\.openai\.com"):
        cloud(OPENAI)


def test_a_given_key_is_taken_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "of the environment")
    assert cloud(api_key="mine") == Cloud(OPENAI, "mine", None, True)


@pytest.mark.parametrize("blank", ["", "  "])
def test_blank_variables_count_as_unset(monkeypatch: pytest.MonkeyPatch, blank: str) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", blank)
    monkeypatch.setenv("OPENAI_BASE_URL", blank)
    with pytest.raises(KeyMissing, match="OPENAI_API_KEY is not set") as caught:
        cloud()
    assert "OPENAI_API_KEY" in caught.value.hint


@pytest.mark.parametrize("url", ["http://localhost:8000/v1", "http://[::1]:8000/v1", "http://127.0.0.1:1234/v1"])
def test_this_machine_needs_no_key_and_gets_none(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    assert cloud(url) == Cloud(url, NO_KEY)
    assert cloud(url, "its-own").api_key == "its-own"


def test_an_endpoint_gets_its_own_key_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    with pytest.raises(KeyMissing, match="LAB_API_KEY is not set") as caught:
        cloud(endpoint=LAB)
    assert caught.value.hint == "Set LAB_API_KEY, which params.toml names for the endpoint lab."
    monkeypatch.setenv("LAB_API_KEY", "labs")
    assert cloud(endpoint=LAB) == Cloud("https://lab.example.org/v1", "labs", "LAB_API_KEY")
    assert cloud(endpoint=LAB._replace(key_env=None)).api_key == NO_KEY
    assert cloud(api_key="mine", endpoint=LAB).api_key == "mine"
    with pytest.raises(TypeError, match="not both"):
        cloud("https://lab.example.org/v1", endpoint=LAB)


def test_what_a_server_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [provider().name, provider(OPENAI).name, provider(endpoint=LAB).name] == ["openai", "openai", "lab"]
    assert provider("https://me:hush@gateway.example:8443/v1", "secret").name == "gateway.example"
    assert "secret" not in str(provider(api_key="secret"))
    monkeypatch.setenv("OPENAI_BASE_URL", "https://gateway.example/v1")
    assert [provider().name, provider(OPENAI).name] == ["gateway.example", "openai"]
    monkeypatch.setenv("OPENAI_BASE_URL", "gateway.example/v1")
    assert provider().name == "openai", "what is no address is refused by `cloud`"


def test_a_key_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    there = cloud("https://me:password@gateway.example/v1", "secret-key")
    assert "secret" not in repr(there) + str(there)
    assert "password" not in repr(there) + str(there)
    for bad in ("secret key", "sécret", "secret\nX-Evil: 1", "secret\0"):
        with pytest.raises(KeyMissing, match="can't be a key") as caught:
            cloud(api_key=bad)
        assert "cret" not in str(caught.value)
        if "\0" not in bad:  # which no variable can hold
            monkeypatch.setenv("OPENAI_API_KEY", bad)
            with pytest.raises(KeyMissing, match="OPENAI_API_KEY can't be a key"):
                cloud()


def test_a_bad_address_is_refused_before_any_key_is_read() -> None:
    with pytest.raises(BadName, match="not a server's address"):
        cloud("gateway.example/v1", "secret-key")


def test_a_variable_that_is_no_address_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "gateway.example/v1")
    with pytest.raises(BadName, match="OPENAI_BASE_URL: ") as caught:
        cloud()
    assert caught.value.hint == "Did you mean https://gateway.example/v1?"


def test_ollamas_key_goes_to_ollama_com_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_API_KEY", "secret")
    assert headers(base_url("ollama.com")) == {"Authorization": "Bearer secret"}
    for url in ("http://ollama.com", "https://ollama.com.evil.example", "localhost", "https://ollama.com:8443"):
        assert headers(base_url(url)) == {}
    own = {"authorization": "Bearer mine"}
    assert headers("https://ollama.com:443", own) == own


def test_a_key_that_is_no_text_is_refused() -> None:
    with pytest.raises(KeyMissing, match="no text"):
        cloud("http://127.0.0.1:1/v1", 5)  # type: ignore[arg-type]  # the wrong type is what it is about


def test_extra_headers_are_checked_and_their_values_never_shown() -> None:
    assert headers("http://lab:80", {"X-Api-Key": "secret"}) == {"X-Api-Key": "secret"}
    for bad in (
        {"X-Api-Key": "secret\r\nX-Evil: 1"},
        {"X-Api-Key": "sécret"},
        {"X-Api-Key": 3},
        {"X Api": "secret"},
        {"Content-Length": "0"},
        ["secret"],
        5,
    ):
        with pytest.raises(BadParams) as caught:
            headers("http://lab:80", bad)  # type: ignore[arg-type]  # the wrong types are what it is about
        assert "cret" not in str(caught.value)
        assert caught.value.hint
