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
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from .addresses import cloud_url, from_environment, is_loopback, origin, without_secrets
from .errors import BadParams, KeyMissing

if TYPE_CHECKING:
    from .params import Endpoint

OPENAI = "https://api.openai.com/v1"
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
        return _opened(Cloud(url, _known(api_key, "api_key"), None), variable, needed=variable is not None)
    home = from_environment("OPENAI_BASE_URL", cloud_url) or OPENAI
    url = home if base_url is None else cloud_url(base_url)
    ours = origin(url) == origin(home)
    given = Cloud(url, _known(api_key, "api_key"), None, openai_env=ours)
    return _opened(given, "OPENAI_API_KEY" if ours else None, needed=True)


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


def _opened(cloud: Cloud, variable: str | None, *, needed: bool) -> Cloud:
    """The same with the key of an environment variable, unless it has one or needs none."""
    if cloud.api_key:
        return cloud
    if variable and (key := _known(os.environ.get(variable), variable)):
        return replace(cloud, api_key=key, key_env=variable)
    if not needed or is_loopback(cloud.base_url):
        return replace(cloud, api_key=NO_KEY)
    host = urlsplit(cloud.base_url).hostname
    if variable is None:
        raise KeyMissing(
            f"There is no key for {host}: OPENAI_API_KEY belongs to another host.",
            "Give api_key together with base_url, or name the server under [endpoints] in a params.toml.",
        )
    raise KeyMissing(
        f"There is no key for {host}: the environment variable {variable} is not set.",
        f"Set {variable}; a model on this machine needs none, its name starts with local_.",
    )


def _known(key: str | None, where: str) -> str:
    """A key without the blanks around it, or an empty text; one that can't be sent would be shown by others."""
    if not isinstance(key, (str, type(None))):
        raise KeyMissing(f"What is in {where} can't be a key: it is no text.", "Give it in quotes.")
    key = (key or "").strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise KeyMissing(f"What is in {where} can't be a key: it has blanks or special letters in it.", "Copy it anew.")
    return key
