"""How a server's address is read: as Ollama reads OLLAMA_HOST, and for a cloud's server."""

from __future__ import annotations

from importlib import import_module
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acagent_nb.addresses import base_url, cloud_url, is_loopback, origin, without_secrets
from acagent_nb.errors import BadName

quiet = settings(max_examples=150)

SCHEMES = st.sampled_from(["", "http://", "https://", "HTTP://", "ftp://", "://", "http:///"])
PLACES = st.sampled_from(
    [
        "",
        "lab",
        "lab.example.org",
        "127.0.0.1",
        "0.0.0.0",
        "::",
        "[::]",
        "::1",
        "[::1",
        "[::1]",
        ":::",
        "a..b",
        "münchen",
    ]
) | st.text(max_size=8)
PORTS = st.sampled_from(["", ":", ":0", ":80", ":-1", ":65535", ":65536", ":abc", ":+80", ":1:2"])
PATHS = st.sampled_from(["", "/", "/ollama", "//ollama/", "/a b", "/?x#y", "/ü"])
USERS = st.sampled_from(["", "me:secret@", "me:s#cr?t@", "a@b@", "@"])
WRITTEN = st.tuples(SCHEMES, USERS, PLACES, PORTS, PATHS).map("".join)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("", "http://127.0.0.1:11434"),
        ("127.0.0.1", "http://127.0.0.1:11434"),
        ("127.0.0.1:99", "http://127.0.0.1:99"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:99", "http://127.0.0.1:99"),
        ("::", "http://[::1]:11434"),
        ("[::]:99", "http://[::1]:99"),
        ("[::1]", "http://[::1]:11434"),
        ("[::1]:99", "http://[::1]:99"),
        ("[::1", "http://[::1]:11434"),
        ("::1", "http://[::1]:11434"),
        ("::ffff:0.0.0.0", "http://127.0.0.1:11434"),
        ("fe80::1%eth0", "http://[fe80::1%eth0]:11434"),
        (":1234", "http://127.0.0.1:1234"),
        (":0", "http://127.0.0.1:0"),
        ("http://lab", "http://lab:80"),
        ("https://lab", "https://lab:443"),
        ("HTTP://lab", "http://lab:11434"),
        ("https://1.2.3.4:4321", "https://1.2.3.4:4321"),
        ("ollama.com", "https://ollama.com:443"),
        ("ollama.com:80", "http://ollama.com:80"),
        ("https://lab/ollama/", "https://lab:443/ollama"),
        ("lab/a b", "http://lab:11434/a%20b"),
        ("lab:66000", "http://lab:11434"),
        ("lab:-1", "http://lab:11434"),
        ("lab:x", "http://lab:11434"),
        ("http://lab:x", "http://lab:80"),
        ("lab:" + "9" * 5000, "http://lab:11434"),
        ("lab:", "http://lab:11434"),
        (" \"'lab'\" ", "http://lab:11434"),
        (' " 1.2.3.4 " ', "http://1.2.3.4:11434"),
        ("https://me:s#cr?t@lab", "https://me:s%23cr%3Ft@lab:443"),
        ("münchen", "http://xn--mnchen-3ya:11434"),
    ],
)
def test_an_address_is_read_as_ollama_reads_it(text: str, url: str) -> None:
    assert base_url(text) == url


@pytest.mark.parametrize(
    "text",
    [
        "http://:::",
        "[::1]x",
        "lab:1:2",
        "[lab]",
        "ftp://lab",
        "://lab",
        "lab?x",
        "a..b",
        "999.1.1.1",
        "²",
        "a\nb",
        "�",
        "x" * 64,
        "https://me:pass/word@lab",
    ],
)
def test_what_is_no_address_is_refused_with_advice(text: str) -> None:
    with pytest.raises(BadName) as caught:
        base_url(text)
    assert caught.value.hint
    assert "word" not in str(caught.value).replace("password", "")


@pytest.mark.parametrize("text", [None, 11434, b"lab"])
def test_only_a_text_is_an_address(text: str) -> None:
    with pytest.raises(BadName, match="is a text, not"):
        base_url(text)
    with pytest.raises(BadName, match="is a text, not"):
        cloud_url(text)


def _is_told(error: BadName) -> None:
    assert error.message
    assert error.hint


@quiet
@given(WRITTEN | st.text())
def test_an_address_that_is_read_can_be_used_and_read_again(text: str) -> None:
    try:
        url = base_url(text)
    except BadName as error:
        _is_told(error)
        return
    parts = urlsplit(url)
    assert parts.scheme in ("http", "https")
    assert parts.hostname
    assert parts.port is not None
    assert httpx.URL(url).host
    parts.hostname.encode("idna") if ":" not in parts.hostname else None  # as the resolver does
    assert base_url(url) == url
    assert "@" not in urlsplit(without_secrets(url)).netloc


@quiet
@given(
    st.sampled_from(["", "http://", "https://"]),
    st.from_regex(r"[a-z][a-z0-9]{0,20}(\.[a-z]{2,5}){0,2}", fullmatch=True) | st.ip_addresses(v=4).map(str),
    st.none() | st.integers(1, 65535),
    st.sampled_from(["", "/", "/ollama", "/a/b/"]),
)
def test_it_agrees_with_ollamas_own_python_package(scheme: str, name: str, port: int | None, path: str) -> None:
    text = f"{scheme}{name}{'' if port is None else f':{port}'}{path}"
    if name not in ("0.0.0.0", "ollama.com"):  # which that package leaves as they are, unlike `ollama` itself
        assert base_url(text) == import_module("ollama._client")._parse_host(text)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.9.9.9:1",
        "http://[::1]:1",
        "http://localhost",
        "http://LOCALHOST.:1",
        "https://a.localhost/v1",
        "http://[::ffff:127.0.0.1]:1",
        "http://0.0.0.0:8000/v1",
        "http://[::]",
        "http://127.1",
        "http://2130706433",
        "http://me:secret@127.0.0.1",
        "http://0",
    ],
)
def test_loopback_is_known(url: str) -> None:
    assert is_loopback(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org",
        "http://10.0.0.1",
        "http://localhost@evil.example",
        "http://127.0.0.1@evil.example:80",
        "http://localhost.evil.example",
        "http://127.0.0.1.evil.example",
        "http://evil.example/localhost",
        "http://evil.example#@localhost",
        "http://evil.example\\@localhost",
        "http://[::1",
        "",
        "localhost",
        "http://[::ffff:8.8.8.8]",
        "http://128.0.0.1",
        "http://notlocalhost",
    ],
)
def test_nobody_else_passes_for_loopback(url: str) -> None:
    assert not is_loopback(url)


@quiet
@given(st.text() | WRITTEN)
def test_asking_whether_it_is_loopback_never_fails(text: str) -> None:
    assert is_loopback(text) in (True, False)
    assert isinstance(without_secrets(text), str)


@quiet
@given(st.integers(0, 2**24 - 1), st.integers(1, 65535))
def test_all_of_127_is_loopback_in_every_spelling(rest: int, port: int) -> None:
    number = (127 << 24) + rest
    dotted = ".".join(str(byte) for byte in number.to_bytes(4, "big"))
    for spelling in (dotted, f"[::ffff:{dotted}]", str(number), hex(number)):
        assert is_loopback(f"http://{spelling}:{port}")
    assert is_loopback(base_url(f"{dotted}:{port}"))


@pytest.mark.parametrize(
    ("text", "url"),
    [
        (" https://lab.example.org/v1/ ", "https://lab.example.org/v1"),
        ("HTTPS://lab.example.org", "https://lab.example.org"),
        ("http://0.0.0.0:8000/v1", "http://127.0.0.1:8000/v1"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("https://me:secret@lab/v1", "https://me:secret@lab/v1"),
    ],
)
def test_a_clouds_address(text: str, url: str) -> None:
    assert cloud_url(text) == url
    assert cloud_url(url) == url


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("lab.example.org/v1", "Did you mean https://lab.example.org/v1?"),
        ("", "Write it like"),
        ("me:secret@lab/v1", "Write it like"),
        ("lab/v1?token=secret", "Write it like"),
        ("ws://lab", "scheme"),
        ("https:///v1", "no host"),
        ("https://lab:abc/v1", "port"),
        ("https://lab/v1?token=secret", "ends before"),
        ("https://lab?token=secret", "A host is a name"),
        ("https://me:secret/@lab", "port"),
    ],
)
def test_a_clouds_address_must_be_whole(text: str, hint: str) -> None:
    with pytest.raises(BadName) as caught:
        cloud_url(text)
    assert hint in caught.value.hint
    assert "secret" not in str(caught.value)


@quiet
@given(WRITTEN | st.text())
def test_a_clouds_address_that_is_read_can_be_used_and_read_again(text: str) -> None:
    try:
        url = cloud_url(text)
    except BadName as error:
        _is_told(error)
        return
    assert cloud_url(url) == url
    assert httpx.URL(url).host
    assert origin(url)[1]


def test_an_origin_is_scheme_host_and_port() -> None:
    assert origin("https://api.openai.com/v1") == origin("https://API.openai.com.:443/other")
    assert origin("http://api.openai.com/v1") != origin("https://api.openai.com/v1")
    assert origin("https://api.openai.com:8443/v1") != origin("https://api.openai.com/v1")


def test_secrets_are_left_out() -> None:
    assert without_secrets("https://me:secret@lab:443/a") == "https://lab:443/a"
    assert without_secrets("http://lab/@x") == "http://lab/@x"
    assert without_secrets("http://me:secret@[::1") == "http://[::1"
