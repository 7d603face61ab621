"""Which key opens which server's door: no key goes to a host that it was not given for.

OPENAI_API_KEY   ─► the host in OPENAI_BASE_URL, or without that one api.openai.com
an endpoint's    ─► the variable in its `key_env` goes to its `base_url`
OLLAMA_API_KEY   ─► https://ollama.com
this machine     ─► needs none
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from .addresses import cloud_url, from_environment, is_loopback, origin, without_secrets
from .errors import BadName, BadParams, KeyMissing

if TYPE_CHECKING:
    from .params import Endpoint

OPENAI = "https://api.openai.com/v1"
_TOGETHER = "Give api_key together with base_url, or name the server under [endpoints] in a params.toml."
_NAMES = "params.toml names for the endpoint"
NO_KEY = "none"  # the openai package insists on a key, also for a server that wants none


@dataclass(frozen=True, repr=False)
class Cloud:
    """Where a cloud model's requests go, and what opens the door.

    Attributes
    ----------
    base_url
        Without a slash at its end.
    api_key
        Never shown; `NO_KEY` for a server that wants none.
    key_env
        The environment variable that the key came from; `None` if it came from none.
    openai_env
        Whether the server is the one that OPENAI_ORG_ID, OPENAI_PROJECT_ID and OPENAI_CUSTOM_HEADERS
        are meant for; the openai package would send these anywhere.
    """

    base_url: str
    api_key: str = field(repr=False)
    key_env: str | None = None
    openai_env: bool = False

    def __repr__(self) -> str:
        return f"Cloud({without_secrets(self.base_url)!r}, key_env={self.key_env!r})"


class Provider(NamedTuple):
    """A cloud model's server, as notes and errors speak of it.

    Attributes
    ----------
    name
        "openai", an endpoint's name, or the host of the address that was given.
    remedy
        What to do if it does not accept the key.
    """

    name: str = "openai"
    remedy: str = "Set OPENAI_API_KEY to a key that is valid."


def cloud(base_url: str | None = None, api_key: str | None = None, endpoint: Endpoint | None = None) -> Cloud:
    """The server and the key for a cloud model, read as the openai package does but for one rule.

    OPENAI_API_KEY belongs to the host in OPENAI_BASE_URL, or without that one to api.openai.com; no
    other gets it. The openai package would send it to any `base_url`. A blank variable counts as unset.

    Parameters
    ----------
    base_url
        The server's address; without it OPENAI_BASE_URL, or else OpenAI's own.
    api_key
        Its key; without it that of the environment, if it is this host's.
    endpoint
        One from `params.toml` instead of `base_url`: it gets the key in its own `key_env` only.

    Raises
    ------
    KeyMissing
        A server that is not this machine's needs a key and there is none; names the variable.
    BadName
        The address is none.
    """
    if endpoint is not None:
        if base_url is not None:
            raise TypeError("cloud() takes a base_url or an endpoint, not both")
        url, variable = cloud_url(endpoint.base_url), endpoint.key_env
        given = Cloud(url, _known(api_key, "api_key"), None)
        return _opened(given, variable, needed=variable is not None, endpoint=endpoint.name)
    home = from_environment("OPENAI_BASE_URL", cloud_url) or OPENAI
    url = home if base_url is None else cloud_url(base_url)
    ours = origin(url) == origin(home)
    given = Cloud(url, _known(api_key, "api_key"), None, openai_env=ours)
    return _opened(given, "OPENAI_API_KEY" if ours else None, needed=True)


def provider(base_url: str | None = None, api_key: str | None = None, endpoint: Endpoint | None = None) -> Provider:
    """What to call the server that `cloud` finds for the same; what is no address is left for `cloud` to refuse."""
    if endpoint is not None:
        return Provider(endpoint.name, _endpoints_remedy(endpoint))
    try:
        home = from_environment("OPENAI_BASE_URL", cloud_url) or OPENAI
        url = cloud_url(base_url) if base_url is not None else home
    except BadName:
        return Provider()
    ours = origin(url) == origin(home)
    name = "openai" if origin(url) == origin(OPENAI) else urlsplit(url).hostname or "the server"
    if api_key:
        instead = "in the place of OPENAI_API_KEY" if ours else "for it: OPENAI_API_KEY is not sent there"
        return Provider(name, f"Check the api_key that was given {instead}.")
    return Provider(name) if ours else Provider(name, _TOGETHER)


def headers(url: str, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """What goes with each request to an Ollama server, so that proxies and ollama.com let it through.

    Parameters
    ----------
    url
        The server, as `base_url` gives it.
    extra
        Headers that were given for this very server. OLLAMA_API_KEY, where they don't authorise, is
        added for https://ollama.com and no other host: a server of one's own knows no keys.

    Raises
    ------
    BadParams
        A header's name or value that can't be sent; the value is not shown.
    """
    try:
        sent = dict(extra or {})
    except (TypeError, ValueError):
        raise BadParams("headers takes a dict of texts.", 'For example {"X-Api-Key": "..."}.') from None
    for name, value in sent.items():
        if not isinstance(name, str) or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
            raise BadParams("A header's name has a character that can't be sent.", "Names look like X-Api-Key.")
        if name.lower() in ("content-length", "transfer-encoding"):
            raise BadParams(
                f"The header {name} says how long a request is, which only its sender knows.", "Leave it out."
            )
        if not isinstance(value, str) or not value.isascii() or not value.isprintable():
            raise BadParams(
                f"The value of the header {name} can't be sent.", "It is a text of plain letters in one line."
            )
    authorised = any(name.lower() == "authorization" for name in sent)
    if not authorised and origin(url) == ("https", "ollama.com", 443):
        variable = "OLLAMA_API_KEY"
        if key := _known(os.environ.get(variable), variable):
            sent["Authorization"] = f"Bearer {key}"
    return sent


def _endpoints_remedy(endpoint: Endpoint) -> str:
    if endpoint.key_env:
        return f"Set {endpoint.key_env}, which {_NAMES} {endpoint.name}, to a key that is valid."
    variable = endpoint.name.upper().replace("-", "_") + "_API_KEY"
    return f'{_NAMES} {endpoint.name} no variable with a key: write key_env = "{variable}" there, and set it.'


def _opened(cloud: Cloud, variable: str | None, *, needed: bool, endpoint: str = "") -> Cloud:
    """The same with the key of an environment variable, unless it has one or needs none."""
    if cloud.api_key:
        return cloud
    if variable and (key := _known(os.environ.get(variable), variable)):
        return replace(cloud, api_key=key, key_env=variable)
    if not needed or is_loopback(cloud.base_url):
        return replace(cloud, api_key=NO_KEY)
    host = urlsplit(cloud.base_url).hostname
    if variable is None:
        raise KeyMissing(f"There is no key for {host}: OPENAI_API_KEY belongs to another host.", _TOGETHER)
    raise KeyMissing(
        f"There is no key for {host}: the environment variable {variable} is not set.",
        f"Set {variable}, which {_NAMES} {endpoint}."
        if endpoint
        else f"Set {variable}; a model on this machine needs none, its name starts with local_.",
    )


def _known(key: str | None, where: str) -> str:
    """A key without the blanks around it, or an empty text; one that can't be sent would be shown by others."""
    if not isinstance(key, (str, type(None))):
        raise KeyMissing(f"What is in {where} can't be a key: it is no text.", "Give it in quotes.")
    key = (key or "").strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise KeyMissing(f"What is in {where} can't be a key: it has blanks or special letters in it.", "Copy it anew.")
    return key
