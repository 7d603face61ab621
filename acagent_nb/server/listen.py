"""Where a server listens: the socket, and how to say where that is."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket

from ..errors import LLMError


def bound(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one.

    Raises
    ------
    LLMError
        There is no such port or address, or it can't be listened on.
    """
    if not 0 <= port < 1 << 16:  # which the system would cut off, or take for a fault of the address
        raise LLMError(
            f"{port} is no port: these are the numbers from 0 to 65535.",
            "Choose another with --port, or 0 for any that is free.",
        )
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        sock = socket.socket(family, kind, proto)
    except (OSError, UnicodeError) as error:  # the second is a host with an empty part, or a very long one
        raise LLMError(
            f"There is no address {host!r} on this machine.", "Leave --host out to use 127.0.0.1."
        ) from error
    try:
        if os.name == "posix":  # a port whose last server has just ended is free; elsewhere this would share it
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(256)
    except OSError as error:
        sock.close()
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            taken = error.errno == errno.EADDRINUSE
            what = "in use, perhaps by Ollama itself" if taken else "not allowed for this user"
            raise LLMError(
                f"Port {port} of {host} is {what}.", "Choose another with --port, or --port 0 for any that is free."
            ) from error
        raise LLMError(
            f"Can't listen on {host}, port {port}: {error.strerror}.", "Try another --host or --port."
        ) from error
    return sock


def is_loopback(sock: socket.socket) -> bool:
    """Whether only this machine can reach it."""
    return ipaddress.ip_address(sock.getsockname()[0]).is_loopback


def url(sock: socket.socket) -> str:
    """Its address, as clients write it."""
    name, port = sock.getsockname()[:2]
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"
