"""Blobs from a client: streamed to the disk, and kept only under the digest that is theirs."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from typing import BinaryIO

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ..errors import ServerError
from .manifest import file_name
from .partial import check_room, writing
from .reply import JSON, refusal
from .store import Store

_STEP = 1 << 20  # bytes that are written at a time
_DIGEST = re.compile(r"sha256[:-][0-9a-fA-F]{64}")


def checked(digest: str) -> str:
    """A digest as the store writes it.

    Raises
    ------
    ServerError
        Status 400: it is none.
    """
    if not _DIGEST.fullmatch(digest):
        raise ServerError("invalid digest format", status=400)
    return digest.replace("-", ":").lower()


async def head(store: Store, request: Request) -> Response:
    """Whether a blob is here: 200 or 404, with no body."""
    try:
        there = store.has(checked(request.path_params["digest"]))
    except ServerError as error:
        return Response(status_code=error.status, headers={"content-type": JSON})
    return Response() if there else Response(status_code=404, headers={"content-type": JSON})


class Upload:
    """Takes one blob: 201 when it is new, 200 when it was here already.

    It reads the request itself, because a blob can be larger than the memory.
    """

    def __init__(self, store: Store) -> None:
        self.store = store

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        try:
            status = await self._taken(request, checked(request.path_params["digest"]))
        except ClientDisconnect:
            return  # nothing is kept of half a blob
        except ServerError as error:
            await refusal(error)(scope, receive, send)
            return
        await Response(status_code=status)(scope, receive, send)

    async def _taken(self, request: Request, digest: str) -> int:
        if self.store.has(digest):
            return 200
        with writing(self.store.blobs):
            self.store.blobs.mkdir(parents=True, exist_ok=True)
            length = request.headers.get("content-length", "0")
            check_room(int(length) if length.isascii() and length.isdigit() else 0, self.store.blobs)
            with self.store.writing(self.store.blobs / file_name(digest)) as file:
                seen, waiting = hashlib.sha256(), bytearray()
                async for piece in request.stream():
                    waiting += piece
                    if len(waiting) >= _STEP:
                        await asyncio.to_thread(_write, file, seen, bytes(waiting))
                        waiting.clear()
                await asyncio.to_thread(_write, file, seen, bytes(waiting), last=True)
                if (found := f"sha256:{seen.hexdigest()}") != digest:
                    raise ServerError(f'digest mismatch, expected "{digest}", got "{found}"', status=400)
        return 201


def _write(file: BinaryIO, seen: hashlib._Hash, data: bytes, *, last: bool = False) -> None:
    """In a thread: other requests go on while the disk is slow."""
    seen.update(data)
    file.write(data)
    if last:
        file.flush()
        os.fsync(file.fileno())
