"""`acagent-nb serve --status`: which server is in use, how it was found, and what it is doing."""

from __future__ import annotations

from importlib.util import find_spec

from . import hosts, terminal
from .client import Client


def tell(*, as_json: bool) -> None:
    """Tell which server a request would go to now, and what it is doing; none is started."""
    host = hosts.running()
    if host is None:
        if as_json:
            return terminal.print_json({"running": False})
        print("No server is running.")
        installed = find_spec("xllamacpp") is not None
        return print(
            "The first question starts the embedded one."
            if installed
            else f"Start Ollama, or install the embedded one: {hosts.INSTALL}"
        )
    return _running(host, as_json=as_json)


def _running(host: hosts.Host, *, as_json: bool) -> None:
    """What a server says of itself."""
    with Client(host.url) as client:
        version, running = client.version(), client.running()
    url = hosts.without_secrets(host.url)
    if as_json:
        about = {"running": True, "url": url, "how": host.how, "version": version.version, "engine": version.engine}
        return terminal.print_json(about | {"models": running})
    engine = " ".join(str(value) for value in version.engine.values()) if version.engine else ""
    facts = {
        "address": url,
        "found as": host.how,
        "version": f"Ollama {version.version}" if not engine else f"speaks Ollama {version.version}",
        "engine": engine,
        "loaded": ", ".join(f"{each.name} ({each.processor})" for each in running) or "no model",
    }
    for name, value in facts.items():
        if value:
            print(f"{name:10}{terminal.printable(value)}")
    return None
