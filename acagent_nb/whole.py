"""A file that is written whole or not at all: who looks, also after a crash, sees the old one or the new one."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from uuid import uuid4


def write(path: Path, data: bytes, *, private: bool = False) -> None:
    """Put bytes in the place of a file, which keeps its permissions; a new `private` one is its owner's alone.

    Raises
    ------
    OSError
        It can't be written; what was there still is.
    """
    path = Path(os.path.realpath(path))  # a link stays one
    draft = path.with_name(f".{path.name}-{uuid4().hex}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    handle = os.open(draft, flags, 0o600 if private else 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileNotFoundError):
            shutil.copymode(path, draft)
        os.replace(draft, path)
    except BaseException:  # also an interrupt must not leave the draft behind
        draft.unlink(missing_ok=True)
        raise
