"""Names: who answers to them, and Ollama's grammar."""

from __future__ import annotations

import string
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acagent_nb.errors import BadName
from acagent_nb.names import HOST, NAMESPACE, TAG, Target, cloud, parse, source, target

quiet = settings(max_examples=200)

FIRST = string.ascii_letters + string.digits + "_"
ALLOWED = {"host": FIRST + ".:-", "namespace": FIRST + "-", "model": FIRST + ".-", "tag": FIRST + ".-"}
MOST = {"host": 350, "namespace": 80, "model": 80, "tag": 80}


def part(kind: str, most: int = 12) -> st.SearchStrategy[str]:
    """A good part of a name."""
    rest = st.text(ALLOWED[kind], max_size=most - 1)
    return st.tuples(st.sampled_from(FIRST), rest).map("".join)


SOURCES = {"cloud", "local"}
TAGS = part("tag").filter(lambda tag: tag.lower() not in SOURCES and not tag.lower().endswith("-cloud"))
SCRIBBLES = st.lists(
    st.sampled_from(
        ["llama3.2", "1b", ":", "/", " ", "hf.co", "@sha256:00", "latest", "://", "local_", "cloud", ".", "-"]
    )
    | st.text(max_size=3),
    max_size=7,
).map("".join)


@pytest.mark.parametrize(
    ("text", "full", "short"),
    [
        ("tiny", "registry.ollama.ai/library/tiny:latest", "tiny:latest"),
        ("llama3.2:1b", "registry.ollama.ai/library/llama3.2:1b", "llama3.2:1b"),
        ("me/mine", "registry.ollama.ai/me/mine:latest", "me/mine:latest"),
        ("hf.co/user/repo:Q4_K_M", "hf.co/user/repo:Q4_K_M", "hf.co/user/repo:Q4_K_M"),
        ("127.0.0.1:5055/library/slow", "127.0.0.1:5055/library/slow:latest", "127.0.0.1:5055/library/slow:latest"),
        ("https://registry.ollama.ai/library/Tiny:latest", "registry.ollama.ai/library/Tiny:latest", "Tiny:latest"),
    ],
)
def test_a_name_has_four_parts(text: str, full: str, short: str) -> None:
    name = parse(text)
    assert (name.full, name.short) == (full, short)
    assert parse(name.short) == name


def test_case_is_kept_but_not_compared() -> None:
    assert parse("Tiny") != parse("tiny")
    assert parse("Tiny").key == parse("tiny:LATEST").key


@pytest.mark.parametrize(
    "text",
    ["", "a b", "a//c", "a/b/c/d", "tiny:", ":1b", "-tiny", "u.ser/model", "x" * 81, "hf.co/us.er/m", "m@sha256:00"],
)
def test_what_ollama_refuses_is_refused_before_it_is_asked(text: str) -> None:
    with pytest.raises(BadName, match="is not a model's name"):
        parse(text)


def test_local_means_ollama_and_all_else_the_cloud() -> None:
    assert target("local_llama3.2:1b") == Target("ollama", "llama3.2:1b")
    assert target(" gpt-4o-mini ") == Target("openai", "gpt-4o-mini")


@pytest.mark.parametrize("text", ["", "  ", "local_", "local_a b"])
def test_a_target_is_checked(text: str) -> None:
    with pytest.raises(BadName) as caught:
        target(text)
    assert caught.value.hint


@quiet
@given(part("host"), part("namespace"), part("model"), TAGS)
def test_good_parts_are_found_again(host: str, namespace: str, model: str, tag: str) -> None:
    assert parse(model) == (HOST, NAMESPACE, model, TAG)
    assert parse(f"{model}:{tag}") == (HOST, NAMESPACE, model, tag)
    assert parse(f"{namespace}/{model}:{tag}") == (HOST, namespace, model, tag)
    assert parse(f"{host}/{namespace}/{model}") == (host, namespace, model, TAG)
    name = parse(f"{host}/{namespace}/{model}:{tag}")
    assert name == (host, namespace, model, tag)
    assert parse(f"https://{name.full}") == name
    assert parse(name.short).key == name.key
    assert parse(name.full.swapcase()).key == name.key


@quiet
@given(st.text() | SCRIBBLES)
def test_any_text_is_a_name_of_four_good_parts_or_is_refused_with_advice(text: str) -> None:
    try:
        name = parse(text)
    except BadName as error:
        _advised(error, text, parse)
        return
    for kind, value in name._asdict().items():
        assert 1 <= len(value) <= MOST[kind]
        assert value[0] in FIRST
        assert set(value) <= set(ALLOWED[kind])


@quiet
@given(st.text() | SCRIBBLES | SCRIBBLES.map("local_".__add__))
def test_any_text_is_a_target_or_is_refused_with_advice(text: str) -> None:
    try:
        provider, model = target(text)
    except BadName as error:
        _advised(error, text, target)
        return
    assert provider in ("ollama", "openai")
    assert model
    assert model in text
    assert not any(letter.isspace() for letter in model)
    assert (provider == "ollama") == text.strip().startswith("local_")


def _advised(error: BadName, text: str, read: Callable[[str], object]) -> None:
    """There is a hint, and a name that it suggests is one."""
    assert error.hint
    assert len(error.message) < 700
    _, asked, near = error.hint.partition("Did you mean ")
    if asked:
        assert near.removesuffix("?") != text
        assert read(near.removesuffix("?"))


@pytest.mark.parametrize("kind", MOST)
def test_a_part_may_be_so_long_and_no_longer(kind: str) -> None:
    parts = {"host": "h", "namespace": "n", "model": "m", "tag": "t"}
    longest = parse("{host}/{namespace}/{model}:{tag}".format(**parts | {kind: "x" * MOST[kind]}))
    assert getattr(longest, kind) == "x" * MOST[kind]
    with pytest.raises(BadName) as caught:
        parse("{host}/{namespace}/{model}:{tag}".format(**parts | {kind: "x" * (MOST[kind] + 1)}))
    assert f"Its {kind} is longer than {MOST[kind]} characters." in caught.value.hint


def test_a_scheme_stands_before_a_host_only() -> None:
    assert parse("http://lab:5000/me/mine:1b") == ("lab:5000", "me", "mine", "1b")
    for text in ("https://mine", "https://lab/mine", "https://a/b/c/d"):
        with pytest.raises(BadName):
            parse(text)


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("m:cloud", "registry.ollama.ai/library/m:cloud"),
        ("gpt-oss:120b-cloud", "registry.ollama.ai/library/gpt-oss:120b-cloud"),
        ("gpt-oss:120b:cloud", "registry.ollama.ai/library/gpt-oss:120b-cloud"),
        ("gpt-oss:120b:CLOUD", "registry.ollama.ai/library/gpt-oss:120b-cloud"),
        ("gpt-oss:120b:local", "registry.ollama.ai/library/gpt-oss:120b"),
        ("tiny:local", "registry.ollama.ai/library/tiny:latest"),
        ("hf.co/user/repo:Local", "hf.co/user/repo:latest"),
        ("127.0.0.1:5055/library/tiny:local", "127.0.0.1:5055/library/tiny:latest"),
    ],
)
def test_where_a_model_shall_run_may_stand_at_the_end(text: str, full: str) -> None:
    assert parse(text).full == full
    assert target(f"local_{text}") == Target("ollama", text)  # the server reads that word itself


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("m", ""),
        ("m:1b", ""),
        ("a:cloud/m", ""),
        ("m:local", "local"),
        ("m:1b-CLOUD", "cloud"),
        ("m:1b:cloud", "cloud"),
    ],
)
def test_where_it_shall_run_can_be_told(text: str, where: str) -> None:
    assert source(text) == where


@pytest.mark.parametrize("text", ["m:local:cloud", "m:cloud:local", "m:1b-cloud:cloud", "m:1b-cloud:local"])
def test_but_only_once(text: str) -> None:
    assert source(text) == "both"
    with pytest.raises(BadName) as caught:
        parse(text)
    assert "twice" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("local_llama3.2 1b", "local_llama3.2:1b"),
        ("local_Llama 3", "local_Llama3"),
        ("local_llama 3.2:1b", "local_llama3.2:1b"),
        ("local_qwen3 latest", "local_qwen3:latest"),
        ("local_ tiny", "local_tiny"),
        ("local_tiny:", "local_tiny"),
        ("local_tiny: 1b", "local_tiny:1b"),
        ("local_tiny/", "local_tiny"),
        ("local_me//mine", "local_me/mine"),
        ("local_llama3.2:1b:q8_0", "local_llama3.2:1b-q8_0"),
        ("local_tiny@sha256:" + 64 * "0", "local_tiny"),
        ("local_'tiny'", "local_tiny"),
        ("'local_tiny'", "local_tiny"),
        ("local-llama3.2", "local_llama3.2"),
        ("Local_llama3.2", "local_llama3.2"),
        ("LOCAL_llama3.2:1b", "local_llama3.2:1b"),
        ("local/llama3.2", "local_llama3.2"),
        ("local llama3.2", "local_llama3.2"),
        ("ollama/llama3.2", "local_llama3.2"),
        ("https://ollama.com/library/llama3.2:1b", "local_llama3.2:1b"),
        ("https://huggingface.co/user/model", "local_hf.co/user/model"),
        ("gpt 4o mini", "gpt-4o-mini"),
    ],
)
def test_what_may_have_been_meant(text: str, meant: str) -> None:
    with pytest.raises(BadName) as caught:
        target(text)
    assert caught.value.hint.endswith(f"Did you mean {meant}?")


def test_the_hint_says_what_is_wrong() -> None:
    for text, wrong in (
        ("u.ser/model", "Its namespace can't hold '.'."),
        ("-tiny", "Its model can't begin with '-'."),
        (":1b", "Its model is empty."),
        ("me//mine", "Its namespace is empty."),
    ):
        with pytest.raises(BadName) as caught:
            parse(text)
        assert caught.value.hint.startswith(wrong)


@pytest.mark.parametrize("text", [None, 3, b"local_tiny", ["local_tiny"]])
def test_only_a_text_is_a_name(text: str) -> None:
    for read in (parse, target, cloud):
        with pytest.raises(BadName, match="is a text, not"):
            read(text)


@pytest.mark.parametrize("text", ["gpt-4o\x00", "gpt\t4o", "gpt\u00a04o", "gpt-\u202e4o", "gpt-4o\n\nx"])
def test_a_cloud_models_name_has_no_blanks_and_nothing_that_is_not_seen(text: str) -> None:
    with pytest.raises(BadName):
        target(text)


@pytest.mark.parametrize("text", ["ft:gpt-4o-mini:org::id", "meta-llama/Llama-3.1-8B-Instruct", "o3", "localized-1"])
def test_other_names_are_the_clouds(text: str) -> None:
    assert target(text) == Target("openai", text)


def test_a_prompt_in_the_names_place_is_not_shown() -> None:
    prompt = "Dear diary, " * 20
    for text in (prompt, f"local_{prompt}", f"Local_{prompt}", "secret\nline"):
        with pytest.raises(BadName) as caught:
            target(text)
        assert "diary" not in str(caught.value)
        assert "secret" not in str(caught.value)
