"""What the address of a server means: text in, text out, nothing is asked of any network.

    Ollama's     base_url("0.0.0.0")               'http://127.0.0.1:11434'
    a cloud's    cloud_url("https://lab.org/v1/")  'https://lab.org/v1'

A text that can't be an address is refused with `BadName`, which never shows the password in it.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from collections.abc import Callable
from urllib.parse import quote, urlsplit

from .errors import BadName

_PORTS = {"http": "80", "https": "443"}
_PATH = "/%:@!$&'()*+,;=~"  # what a path may hold as it is; a % because it may be escaped already
_USER = "%:!$&'()*+,;=~"
_LABEL = r"[A-Za-z0-9_-]{1,63}"
_HOST = re.compile(rf"(?=.{{1,254}}$){_LABEL}(?:\.{_LABEL})*\.?")  # what Python's resolver takes without a crash
_ZONE = re.compile(r"[A-Za-z0-9._~-]+")
_OLD_IPV4 = re.compile(r"[0-9a-fx.]+")  # 127.1, 0x7f.1, 2130706433: no address in a URL, but the resolver reads them


def base_url(text: str) -> str:
    """An address as Ollama reads it from `OLLAMA_HOST`, ready for a client.

    Blanks and quotes around it are dropped, a missing scheme means http and port 11434, a scheme
    without a port its own port; 0.0.0.0 and :: mean loopback for a client; a bad port means the
    default one; a path is kept. Source: Ollama's `envconfig.Host` and `ConnectableHost`. Three things
    go beyond them: a name and a password before an @ are kept, nothing at all before the port means
    127.0.0.1, and what Ollama fails on at the first request is refused here.

    Raises
    ------
    BadName
        A scheme other than http and https, or a host that can't be one.

    Examples
    --------
    >>> base_url("0.0.0.0"), base_url("https://example.org/ollama/")
    ('http://127.0.0.1:11434', 'https://example.org:443/ollama')
    """
    text = _text(text).strip("\"'").strip()
    scheme, found, rest = text.partition("://")
    if not found:
        scheme, rest = ("https", "ollama.com:443") if text == "ollama.com" else ("http", text)
    default = _PORTS.get(scheme, "11434") if found else "11434"  # Ollama compares the scheme with its case
    if scheme.lower() not in _PORTS:
        raise _refused(text, f"Its scheme is {scheme!r}: write http:// or https://.")
    place, _, path = rest.partition("/")
    user, at, place = place.rpartition("@")
    name, port = _name_and_port(place)
    good = _number(port)
    if port and good is None and "@" in path:
        raise _refused(text, "Write %2F for a / in a password.")
    path = quote(path.strip("/"), safe=_PATH)
    host = _connectable(name or "127.0.0.1", text)
    place = f"{quote(user, safe=_USER)}{at}{host}:{default if good is None else good}"
    return f"{scheme.lower()}://{place}{path and '/'}{path}"


def cloud_url(text: str) -> str:
    """The address of an OpenAI-compatible server, without a slash at its end.

    It needs its scheme, and has no default port but that scheme's. 0.0.0.0, which such servers like
    to print, means loopback.

    Raises
    ------
    BadName
        There is no scheme, no host, a port that is none, or a `?` or `#` part.

    Examples
    --------
    >>> cloud_url(" https://lab.example.org/v1/ ")
    'https://lab.example.org/v1'
    """
    text = _text(text)
    scheme, found, rest = text.partition("://")
    if not found:
        bare = re.fullmatch(r"[^@?#]+", text)  # nothing that must not be shown
        raise _refused(text, f"Did you mean https://{text}?" if bare else "Write it like https://lab.example.org/v1.")
    if scheme.lower() not in _PORTS:
        raise _refused(text, f"Its scheme is {scheme!r}: write https://, or http:// for this machine.")
    place, _, path = rest.partition("/")
    user, at, place = place.rpartition("@")
    name, port = _name_and_port(place)
    if not name:
        raise _refused(text, "It names no host.")
    if port and _number(port) is None:
        raise _refused(text, "Its port is no number from 0 to 65535.")
    if "?" in path or "#" in path:
        raise _refused(text, "It ends before any ? or #.")
    path = quote(path.strip("/"), safe=_PATH)
    place = f"{quote(user, safe=_USER)}{at}{_connectable(name, text)}{port and f':{_number(port)}'}"
    return f"{scheme.lower()}://{place}{path and '/'}{path}"


def from_environment(variable: str, read: Callable[[str], str]) -> str | None:
    """The address in an environment variable, as `base_url` or `cloud_url` reads it; a blank one counts as unset.

    Raises
    ------
    BadName
        It is none; names the variable.
    """
    text = os.environ.get(variable, "").strip()
    try:
        return read(text) if text else None
    except BadName as error:
        raise BadName(f"{variable}: {error.message}", error.hint) from None


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port: whose server an address of `cloud_url` or `base_url` is."""
    parts = urlsplit(url)
    port = int(_PORTS[parts.scheme]) if parts.port is None else parts.port
    return parts.scheme, (parts.hostname or "").rstrip("."), port


def is_loopback(url: str) -> bool:
    """Whether an address is this very machine's, so that no proxy may come between.

    That is 127.0.0.0/8, ::1, the same inside IPv6, 0.0.0.0 and ::, `localhost` and all below it, and
    old ways to write these. What is no address is nobody's.
    """
    try:
        name = urlsplit(url).hostname or ""
    except ValueError:
        return False
    if "\\" in url:  # programs don't agree on where the host of such an address begins
        return False
    name = name.removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = _unmapped(ipaddress.ip_address(name))
        return address.is_loopback or address.is_unspecified
    except ValueError:
        pass
    try:
        first, *others = socket.inet_aton(name if _OLD_IPV4.fullmatch(name) else "")
        return first == 127 or not any((first, *others))
    except OSError:
        return False


def without_secrets(url: str) -> str:
    """An address without the name and password that it may hold, even if it is no good one."""
    scheme, found, rest = url.partition("://") if "://" in url else ("", "", url)
    place, slash, path = rest.partition("/")
    return f"{scheme}{found}{place.rpartition('@')[2]}{slash}{path}"


def _text(text: str) -> str:
    """The text without the blanks around it, if it is one that can be printed."""
    if not isinstance(text, str):
        kind = "None" if text is None else type(text).__name__
        raise BadName(f"A server's address is a text, not {kind}.", "Write it like http://localhost:11434.")
    text = text.strip()
    if not text.isprintable():
        raise BadName("A server's address has a character that can't be printed.", "Type it anew.")
    return text


def _refused(text: str, hint: str) -> BadName:
    """The error for a text that is no address."""
    scheme, found, rest = text.rpartition("://")
    shown = scheme + found + rest.rpartition("@")[2]  # cut at the last @, as a password may hold any letter
    shown = re.split(r"[?#]", shown)[0]  # what follows may be a token
    return BadName(f"{shown[:80]!r} is not a server's address.", hint)


def _name_and_port(place: str) -> tuple[str, str]:
    """Split `host:port`, `[::1]:port`, `::1`, `[::1]`, `host` or `:port`, as Go's `net.SplitHostPort` and Ollama do."""
    whole = re.fullmatch(r"\[([^\[\]]*)\]:([^:\[\]]*)|([^:\[\]]*):([^:\[\]]*)", place)
    if whole:
        return whole[1] or whole[3] or "", whole[2] or whole[4] or ""
    bare = place.strip("[]")
    try:
        ipaddress.ip_address(bare)
    except ValueError:
        return place, ""
    return bare, ""


def _number(port: str) -> int | None:
    """A port's number; `None` for one that can't be."""
    if not re.fullmatch(r"0*[0-9]{1,5}", port):
        return None
    number = int(port[-5:])
    return number if number <= 65535 else None


def _connectable(name: str, text: str) -> str:
    """A host that a client can connect to, as it stands in a URL; `text` is the whole, for the error."""
    address, percent, zone = name.partition("%")
    try:
        there = _unmapped(ipaddress.ip_address(address))
    except ValueError:
        return _host(name, text)
    if there.is_unspecified:
        there = ipaddress.ip_address("127.0.0.1" if there.version == 4 else "::1")
    if percent and (there.version == 4 or not _ZONE.fullmatch(zone)):
        raise _refused(text, "Its host has a % that can't stand there.")
    return f"[{there}{percent}{zone}]" if there.version == 6 else str(there)


def _host(name: str, text: str) -> str:
    """A host's name in the letters that the network knows."""
    known = name
    if not name.isascii() or "xn--" in name.lower():
        import idna

        try:
            known = idna.encode(name.lower()).decode()
        except UnicodeError:
            raise _refused(text, "Its host is no name that the network knows.") from None
    four_numbers = re.fullmatch(r"\d+\.\d+\.\d+\.\d+", known)  # and yet no IPv4 address, or we were not here
    if four_numbers or not _HOST.fullmatch(known):
        raise _refused(
            text, "A host is a name like gpu07.example.org, 127.0.0.1 or [::1]; a port comes after one colon."
        )
    return known


def _unmapped(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The IPv4 address in an IPv6 one such as ::ffff:127.0.0.1; any other as it is."""
    return (address.ipv4_mapped or address) if isinstance(address, ipaddress.IPv6Address) else address
