"""Roles, default options and further servers, from a `params.toml` or from code.

    [roles] JSON_PLAN_MODEL = "local_llama3.2:1b"  ─► target("JSON_PLAN_MODEL") == Target("ollama", "llama3.2:1b")
    [endpoints.lab] base_url = "https://..."       ─► target("lab/qwen3") == Target("lab", "qwen3")

A role can stand wherever a model's name can. The file is looked for from the working folder upwards.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from . import names
from .addresses import cloud_url, is_loopback
from .errors import BadName, BadParams, LLMError
from .options import Options
from .prose import toml

FILE = "params.toml"

_SPELLINGS = {  # what a setting may be called; upper case as in AutoCodeAgent's params.py
    "model": "model",
    "roles": "roles",
    "options": "model_options",
    "model_options": "model_options",
    "MODEL_OPTIONS": "model_options",
    "MODELS_OPTIONS": "model_options",
    "apply_model_options": "apply_model_options",
    "APPLY_MODEL_OPTIONS": "apply_model_options",
    "endpoints": "endpoints",
    "prices": "prices",
}
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_ENDPOINT = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")  # small letters would let a key pass for a variable's name
_UPPER = re.compile(r"[A-Z][A-Z0-9_]*")
_LIKE_A_ROLE = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+")
_SECRET = re.compile(r"key|token|secret|password|authorization|headers", re.IGNORECASE)
_TAKEN = {"ollama", "openai", "local"}
_OTHERS_KEYS = {"OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OLLAMA_API_KEY"}  # each was given for one host


class Endpoint(NamedTuple):
    """An OpenAI-compatible server; its models are named `NAME/MODEL`.

    Attributes
    ----------
    name
        What stands before the slash.
    base_url
        Its address, such as "https://lab.example.org/v1".
    key_env
        The environment variable with its key; `None` for a server that wants none.
    insecure
        Whether the key may go over plain http to another machine, where all on the way can read it.
    """

    name: str
    base_url: str
    key_env: str | None = None
    insecure: bool = False


@dataclass(frozen=True)
class Params:
    """What a project says about its models.

    Attributes
    ----------
    roles
        Names of roles to names of models, or of other roles.
    model
        The model, or the role, when none is named.
    apply_model_options
        If false, none of `model_options` is sent.
    model_options
        The default options, beneath what a call says.
    endpoints
        By their names.
    prices
        Money per million tokens, in and out, by the model's name.
    path
        The file that it came from.
    """

    roles: Mapping[str, str] = field(default_factory=dict)
    model: str | None = None
    apply_model_options: bool = True
    model_options: Options = Options()
    endpoints: Mapping[str, Endpoint] = field(default_factory=dict)
    prices: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    path: Path | None = None

    @classmethod
    def of(cls, mapping: Mapping[str, Any], path: Path | None = None) -> Params:
        """Check a mapping of the file's shape; roles may also stand beside the settings, in upper case.

        Parameters
        ----------
        mapping
            For example `{"JSON_PLAN_MODEL": "local_llama3.2:1b", "APPLY_MODEL_OPTIONS": False}`.
        path
            The file that it came from, for the errors.

        Raises
        ------
        BadParams
            An unknown setting (with the nearest known one), a value of the wrong kind, a name that no
            server accepts, or a key, which belongs into an environment variable.
        """
        try:
            return _checked(_table(mapping, "params"), path)
        except LLMError as error:
            where = f"{path}: " if path else ""
            raise BadParams(where + error.message, error.hint) from None

    @classmethod
    def read(cls, path: str | Path) -> Params:
        """What the TOML file at `path` says. Raises `BadParams` with the file, and the line where it is no TOML."""
        return cls.of(_toml(path := Path(path)), path)

    @classmethod
    def found(cls, folder: str | Path | None = None) -> Params:
        """What the nearest `params.toml` says, from a folder upwards; empty if there is none.

        A file in which not one setting has a name like one of ours is another program's, and passed over.

        Parameters
        ----------
        folder
            Where to begin; the working folder if left out.

        Raises
        ------
        BadParams
            See `read`.
        """
        try:
            begin = Path(folder) if folder is not None else Path.cwd()
            begin = begin.resolve()
        except OSError:  # the working folder is gone
            return cls()
        for place in (begin, *begin.parents):
            path = place / FILE
            try:
                there = path.is_file()
            except OSError:  # we may not look into this folder
                continue
            if there and _ours(mapping := _toml(path)):
                return cls.of(mapping, path)
        return cls()

    def target(self, name: str | None = None) -> names.Target:
        """Who answers to a role or to a model's name.

        Parameters
        ----------
        name
            A role, exactly as it is written here; `ENDPOINT/MODEL`; or what `names.target` takes.
            Without it, `model`.

        Raises
        ------
        BadName
            No name and no `model`, a role that is not there or that is written in other letters, roles that go round
            in a circle, or a name that no server accepts.
        """
        if name is None:
            if self.model is None:
                raise BadName("No model is named.", f'Name one, or set model = "local_llama3.2" in a {FILE}.')
            name = self.model
        seen: list[str] = []
        while (text := name.strip() if isinstance(name, str) else "") in self.roles:
            if text in seen:
                raise BadName(f"The roles go round in a circle: {' -> '.join([*seen, text])}.", "Let one name a model.")
            seen.append(text)
            name = self.roles[text]
        if _LIKE_A_ROLE.fullmatch(text) or (_UPPER.fullmatch(text) and _nearest(text, self.roles)):
            raise BadName(f"There is no role {text!r}.", _near(text, self.roles, f"Add it to [roles] in a {FILE}."))
        like = [role for role, meant in self.roles.items() if role.lower() == text.lower() and meant != text]
        if like and not seen:
            raise BadName(f"There is no role {text!r}, in these letters.", f"Did you mean {like[0]}?")
        first, slash, model = text.partition("/")
        if slash and first in self.endpoints:
            if not model.strip():
                raise BadName(f"{text!r} names no model.", f"Write {first}/ and the model's name there.")
            return names.Target(first, names.cloud(model))
        if slash and (near := _nearest(first, self.endpoints)):
            raise BadName(f"There is no endpoint {first!r}.", f"Did you mean {near}/{model}?")
        return names.target(name)

    def options(self, own: Options) -> Options:
        """The default options with a call's `own` above them; the call's alone if defaults are switched off."""
        return self.model_options | own if self.apply_model_options else own


def target(name: str | None = None, params: Params | None = None) -> names.Target:
    """`Params.target` of these params, or without them of the nearest `params.toml`."""
    return (Params.found() if params is None else params).target(name)


def _checked(mapping: Mapping[str, Any], path: Path | None) -> Params:
    """Every setting of a mapping, checked."""
    given: dict[str, Any] = {}
    roles: dict[str, Any] = {}
    for key, value in mapping.items():
        if setting := _SPELLINGS.get(key):
            if setting in given:
                raise BadParams(f"{key} is said twice, in two spellings.", "Keep one.")
            given[setting] = value
        elif _UPPER.fullmatch(key) and not difflib.get_close_matches(key, _SPELLINGS, 1, 0.85):
            roles[key] = value
        else:
            raise BadParams(f"There is no setting {key!r}.", _near(key, _SPELLINGS, "The settings are", all=True))
    for role, name in _table(given.get("roles", {}), "roles").items():
        if role in roles:
            raise BadParams(f"The role {role} is said twice.", "Keep one.")
        roles[role] = name
    for role, name in roles.items():
        _role(role, name)
    apply = given.get("apply_model_options", True)
    if not isinstance(apply, bool):
        raise BadParams(f"APPLY_MODEL_OPTIONS takes true or false, not {_kind(apply)}.")
    model = given.get("model")
    if model is not None and not isinstance(model, str):
        raise BadParams(f"model takes a model's name, not {_kind(model)}.")
    options = given.get("model_options", {})
    endpoints = _table(given.get("endpoints", {}), "endpoints")
    prices = _table(given.get("prices", {}), "prices")
    params = Params(
        roles,
        model,
        apply,
        options if isinstance(options, Options) else Options.of(_table(options, "options")),
        {name: _endpoint(name, value) for name, value in endpoints.items()},
        {name: _price(name, value) for name, value in prices.items()},
        path,
    )
    for what, name in (*((role, role) for role in roles), *([("model", model)] if model is not None else [])):
        try:
            params.target(name)
        except BadName as error:
            raise BadParams(f"{what}: {error.message}", error.hint) from None
    return params


def _role(role: str, name: Any) -> None:
    """Refuse what is no role, or no role's model."""
    if _SECRET.search(role.rpartition("_")[2]):
        raise BadParams(
            f"{role} looks like a key, and keys don't belong here.", "Set the environment variable instead."
        )
    if not _WORD.fullmatch(role) or role.lower().startswith(names.LOCAL):
        raise BadParams(
            f"{role!r} can't be a role's name.", f"Take letters, digits and _, and don't begin with {names.LOCAL}."
        )
    if not isinstance(name, str):
        raise BadParams(f"The role {role} takes a model's name, not {_kind(name)}.", f'{role} = "local_llama3.2:1b"')


def _endpoint(name: str, value: Any) -> Endpoint:
    """One endpoint's table, checked."""
    if isinstance(value, Endpoint):
        value = {"base_url": value.base_url, "key_env": value.key_env, "insecure": value.insecure}
    if not _ENDPOINT.fullmatch(name) or name.lower() in _TAKEN or name.lower().startswith(names.LOCAL):
        raise BadParams(f"{name!r} can't be an endpoint's name.", "Take a plain word, other than ollama and openai.")
    where = f"endpoints.{name}"
    for key in (given := _table(value, where)):
        if key in ("base_url", "key_env", "insecure"):
            continue
        if _SECRET.search(key):
            raise BadParams(
                f"{where} has {key!r}, but no key may stand in this file.",
                f'Put it into an environment variable and write key_env = "{name.upper().replace("-", "_")}_API_KEY".',
            )
        known = ("base_url", "key_env", "insecure")
        raise BadParams(f"{where} has no setting {key!r}.", _near(key, known, "It takes", all=True))
    key_env, insecure = given.get("key_env"), given.get("insecure", False)
    if key_env is not None and not (isinstance(key_env, str) and _VARIABLE.fullmatch(key_env)):
        raise BadParams(
            f"key_env of {where} takes an environment variable's name in upper case.",
            "If it was a key that stood there, put it into such a variable.",
        )
    if key_env in _OTHERS_KEYS:
        raise BadParams(f"{key_env} was given for another host than {where}.", "Give this one a variable of its own.")
    if not isinstance(insecure, bool):
        raise BadParams(f"insecure of {where} takes true or false, not {_kind(insecure)}.")
    if not isinstance(given.get("base_url"), str):
        raise BadParams(f"{where} needs its address.", 'Write base_url = "https://lab.example.org/v1".')
    url = cloud_url(given["base_url"])
    if "@" in url.split("/")[2]:
        raise BadParams(f"base_url of {where} holds a name or a password.", "Leave out what stands before the @.")
    if key_env and not insecure and url.startswith("http:") and not is_loopback(url):
        raise BadParams(
            f"{where} would send its key over plain http, where all on the way can read it.",
            "Use https://, or write insecure = true if you trust the network.",
        )
    return Endpoint(name, url, key_env, insecure)


def _price(name: str, value: Any) -> tuple[float, float]:
    """Money per million tokens, in and out."""
    if isinstance(value, (tuple, list)) and len(value) == 2:
        value = {"in": value[0], "out": value[1]}
    for key in (given := _table(value, f"prices.{name!r}")):
        if key not in ("in", "out"):
            raise BadParams(f"The price of {name} has no part {key!r}.", "It takes in and out, per million tokens.")
    money = [given.get(key) for key in ("in", "out")]
    good = [n for n in money if isinstance(n, (int, float)) and not isinstance(n, bool) and math.isfinite(n) and n >= 0]
    if len(good) != 2:
        raise BadParams(
            f"The price of {name} takes two numbers of at least 0.", "in = 0.15 and out = 0.60, for example."
        )
    return float(good[0]), float(good[1])


def _toml(path: Path) -> dict[str, Any]:
    """A TOML file as it is."""
    try:
        return toml(path.read_text(encoding="utf-8-sig"))  # some editors begin a file with a mark
    except UnicodeDecodeError:
        raise BadParams(f"{path} is not written in UTF-8.", "Save it as UTF-8.") from None
    except (ValueError, RecursionError) as error:
        raise BadParams(f"{path} is no TOML: {error}.", "Mend that line.") from None
    except OSError as error:
        raise BadParams(f"{path} can't be read: {error.strerror}.") from None


def _ours(mapping: Mapping[str, Any]) -> bool:
    """Whether a file called params.toml is for us; an empty one is."""
    return not mapping or any(_UPPER.fullmatch(key) or _nearest(key, _SPELLINGS) for key in mapping)


def _table(value: Any, where: str) -> Mapping[str, Any]:
    """A table with texts for keys."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise BadParams(f"{where} takes a table, not {_kind(value)}.", "")
    return value


def _kind(value: Any) -> str:
    """What a value is, in TOML's words; never the value, which may be a key."""
    words = {str: "a text", bool: "true or false", int: "a number", float: "a number", list: "a list", tuple: "a list"}
    plain = "a table" if isinstance(value, Mapping) else "None" if value is None else type(value).__name__
    return words.get(type(value), plain)


def _nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that is most like this one, upper and lower case alike."""
    by_case = {each.lower(): each for each in known}
    near = difflib.get_close_matches(word.lower(), by_case, 1, 0.75)
    return by_case[near[0]] if near else None


def _near(word: str, known: Iterable[str], otherwise: str, *, all: bool = False) -> str:
    """A hint for a word that is not known; `all` lists the known ones after `otherwise`."""
    if near := _nearest(word, known):
        return f"Did you mean {near}?"
    return f"{otherwise} {', '.join(known)}." if all else otherwise
