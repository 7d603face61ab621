"""What a model's name means: `"local_llama3.2:1b"` -> `Target("ollama", "llama3.2:1b")`.

A name that starts with `local_` is a model on an Ollama server, any other a cloud model. Ollama's
own grammar (`types/model/name.go`) is `[scheme://]host/namespace/model:tag`, where all but the
model has a default, and case is kept but not compared.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from .errors import BadName

LOCAL = "local_"
HOST, NAMESPACE, TAG = "registry.ollama.ai", "library", "latest"

_PART = {  # what follows the first letter, digit or underscore, and the greatest length
    "host": re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,349}"),
    "namespace": re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,79}"),
    "model": re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}"),
    "tag": re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}"),
}
_LONGEST = {"host": 350}  # all others 80
_LIKE = "Names look like llama3.2, llama3.2:1b or hf.co/user/model:Q4_K_M."
_ALMOST_LOCAL = re.compile(r"(?:local[-_:/ ]|ollama[/:])\s*(?=\S)", re.IGNORECASE)
_PAGES = re.compile(r"(?:www\.)?(?:ollama\.com/(?:library/)?|registry\.ollama\.ai/library/)", re.IGNORECASE)
_SIZE_OR_TAG = re.compile(r"\d[\d.]*[bm]\S*|latest|q\d\w*|instruct\S*", re.IGNORECASE)


class Target(NamedTuple):
    """Who answers (`"ollama"`, `"openai"` or an endpoint's name), and the model's name there."""

    provider: str
    model: str


class Name(NamedTuple):
    """An Ollama model's name in its four parts, every one filled."""

    host: str
    namespace: str
    model: str
    tag: str

    @property
    def full(self) -> str:
        """All four parts: `registry.ollama.ai/library/tiny:latest`."""
        return f"{self.host}/{self.namespace}/{self.model}:{self.tag}"

    @property
    def short(self) -> str:
        """The shortest form that says the same, the tag always shown: `tiny:latest`."""
        if self.host.lower() != HOST:
            return self.full
        if self.namespace.lower() != NAMESPACE:
            return f"{self.namespace}/{self.model}:{self.tag}"
        return f"{self.model}:{self.tag}"

    @property
    def key(self) -> str:
        """Equal for names that mean the same model: case is not compared."""
        return self.full.lower()


def parse(text: str) -> Name:
    """Read a name in Ollama's grammar; parts that are left out get their defaults.

    A `:cloud` or `:local` at the end, which tells Ollama where the model shall run, is understood as Ollama
    does: `gpt-oss:120b:cloud` is the model `gpt-oss:120b-cloud`, and `tiny:local` is `tiny`.

    Raises
    ------
    BadName
        A part is empty, too long, or has a character that Ollama does not allow. The hint says which,
        and names what may have been meant.
    """
    return _parsed(text, "")


def source(text: str) -> str:
    """Where a name says that its model shall run: `"cloud"`, `"local"`, `"both"`, which is an error, or nothing."""
    base, said = _source(text)
    return "both" if said and _source(base)[1] else said


def is_name(text: str) -> bool:
    """Whether what a server or a notebook calls a model is a name; others can't be compared, or asked for."""
    try:
        parse(text)
    except BadName:
        return False
    return True


def target(text: str) -> Target:
    """Who answers to this name, checked before anything is sent.

    Raises
    ------
    BadName
        The name is empty or no text; it starts with `local_` and is none that Ollama accepts; it is a
        cloud model's and has blanks in it, or looks like a local one that is written another way.
    """
    text = _stripped(text)
    if text.startswith(LOCAL):
        model = text[len(LOCAL) :]
        _parsed(model, LOCAL)
        return Target("ollama", model)
    if almost := _ALMOST_LOCAL.match(text):
        near = _nearest(text[almost.end() :])
        raise BadName(
            f"{_shown(text)} is not a model's name: a local one starts with {LOCAL}.",
            f"Did you mean {LOCAL}{near}?" if near else _LIKE,
        )
    if text[0] in "\"'" or text[-1] in "\"'":
        bare = text.strip("\"' ")
        raise BadName(
            f"{_shown(text)} is not a model's name: it has quotes around it.",
            f"Did you mean {bare}?" if _good(bare) else _LIKE,
        )
    if "://" in text:
        near = _nearest(text)
        raise BadName(
            f"{_shown(text)} is an address, not a model's name.", f"Did you mean {LOCAL}{near}?" if near else _LIKE
        )
    return Target("openai", cloud(text))


def cloud(text: str) -> str:
    """The name of a cloud model, without the blanks around it; only its server knows whether there is such a model.

    Raises
    ------
    BadName
        It is empty, or there are blanks, control characters, braces or dollars in it.
    """
    text = _stripped(text)
    if any(letter.isspace() or not letter.isprintable() for letter in text):
        words = text.split()
        brief = len(text) <= 40 and len(words) <= 3 and "\n" not in text  # and so hardly a prompt
        near = "-".join(words) if brief and text.replace(" ", "").isprintable() else ""
        raise BadName(
            f"{_shown(text)} is not a model's name: it has blanks in it, or what can't be seen.",
            f"Did you mean {near}?" if _good(near) else "The name comes first, then the prompt.",
        )
    if set(text) & set("{}$"):  # a value was meant, and no cloud should get a prompt in its place
        raise BadName(f"{_shown(text)} is not a model's name.", "In %%llm, {{name}} stands for a variable's value.")
    return text


def _good(text: str) -> bool:
    """Whether a text that may be suggested is a name."""
    try:
        target(text)
    except BadName:
        return False
    return True


def _stripped(text: str) -> str:
    """A name that is a text and not empty."""
    if not isinstance(text, str):
        kind = "None" if text is None else type(text).__name__
        raise BadName(f"A model's name is a text, not {kind}.", "Name one, for example local_tiny.")
    if not (text := text.strip()):
        raise BadName("The model's name is empty.", "Name one, for example local_tiny.")
    return text


def _parsed(text: str, prefix: str) -> Name:
    """A name; `prefix` is what the hint puts before the one that may have been meant."""
    if not isinstance(text, str):
        kind = "None" if text is None else type(text).__name__
        raise BadName(f"A model's name is a text, not {kind}.", _LIKE)
    wrong = _wrong(name := _parts(text), text)
    if not wrong:
        return name
    near = _nearest(text)
    raise BadName(
        f"{_shown(text)} is not a model's name.",
        f"{wrong} Did you mean {prefix}{near}?" if near else f"{wrong} {_LIKE}",
    )


def _parts(text: str) -> Name:
    """A name's parts as Ollama cuts them, from the right; whether they are any good is not tried."""
    where = source(text)
    base = _source(text)[0]
    if where == "local":
        text = base
    elif where == "cloud" and ":" in base.rpartition("/")[2]:
        text = f"{base}-cloud"
    host = namespace = ""
    tag = TAG
    if text.rfind(":") > text.rfind("/"):  # a host may have a port, but a tag has no slash
        text, _, tag = text.rpartition(":")
    rest, slash, model = text.rpartition("/")
    if slash:
        rest, slash, namespace = rest.rpartition("/")
        namespace = namespace or "/"  # left out between two slashes: nothing that a default may fill
        host = rest.partition("://")[2] if "://" in rest else rest
        host = host or ("" if not slash or "://" in rest else "/")
    return Name(host or HOST, namespace or NAMESPACE, model, tag)


def _source(text: str) -> tuple[str, str]:
    """A name without the word that tells Ollama where the model shall run, and that word."""
    base, colon, last = text.rpartition(":")
    word = last.strip().lower()
    if colon and word in ("cloud", "local"):
        return base, word
    if colon and "/" not in last and word.endswith("-cloud"):
        return f"{base}:{last.strip()[: -len('-cloud')]}", "cloud"
    return text, ""


def _wrong(name: Name, text: str) -> str:
    """What is wrong with a name, as a sentence; empty if nothing is."""
    if not text:
        return "It is empty."
    if source(text) == "both":
        return "It says twice where the model shall run."
    if "@" in text:
        return "Ollama takes no digest after an @, only a tag after a colon."
    for part, value in name._asdict().items():
        if _PART[part].fullmatch(value):
            continue
        if value in ("", "/"):
            return f"Its {part} is empty."
        if len(value) > (most := _LONGEST.get(part, 80)):
            return f"Its {part} is longer than {most} characters."
        good = _PART[part].match(value)
        return f"Its {part} can't hold {value[good.end()]!r}." if good else f"Its {part} can't begin with {value[0]!r}."
    return ""


def _nearest(text: str) -> str | None:
    """The name that may have been meant, if Ollama would accept it."""
    if len(text) > 100:
        return None
    name = text.strip().strip("\"'").strip().partition("@")[0].replace("\\", "/")
    name = _PAGES.sub("", name.partition("://")[2] or name, count=1)
    name = re.sub(r"^(?:www\.)?huggingface\.co/", "hf.co/", name)
    name = re.sub(r"/+", "/", name).strip("/ ").rstrip(":/ ")
    name = re.sub(r"\s*([:/])\s*", r"\1", name)
    name = re.sub(r"\s+(?=[\d.]+(?:[\s:]|$))", "", name)  # "Llama 3" is written in one word
    front, blank, last = name.rpartition(" ")
    if blank and ":" not in name and _SIZE_OR_TAG.fullmatch(last):
        name = f"{front.strip()}:{last}"
    name = re.sub(r"\s+", "-", name)
    name = re.sub(r"^((?:.*/)?[^/:]+:[^/:]+):([^/:]+)$", r"\1-\2", name)  # llama3.2:1b:q8_0
    return name if name and not _wrong(_parts(name), name) else None


def _shown(text: str) -> str:
    """A name as an error may show it: what is too long for one may be a prompt, which no error shows."""
    return repr(text) if len(text) <= 100 and "\n" not in text else f"A text of {len(text)} characters"
