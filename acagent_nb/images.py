"""Pictures for a model: a file, bytes, base64 or a picture object becomes base64 without any beginning.

What is no picture is refused here, by its first bytes: a server would say it later, and less clearly.
Nothing is ever fetched, and no error shows what a picture holds.
"""

from __future__ import annotations

import base64
import binascii
import io
import os
from pathlib import Path
from typing import Any

from .errors import BadPrompt

_ENDINGS = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp")
_LOSSLESS = {"1", "L", "LA", "I;16", "P", "RGB", "RGBA"}  # Pillow's modes that PNG can hold
_TAKEN = "Give a file's path, the bytes of a PNG, JPEG, GIF, WebP or BMP, its base64, or a PIL image."


def encoded(image: Any) -> str:
    """A picture as the wire wants it: base64, without a data-URI's beginning.

    Parameters
    ----------
    image
        A path; bytes; a PIL image; a matplotlib figure; or text. Text that names a file that is
        there is that file, and all other text must be base64 or a data-URI.

    Raises
    ------
    BadPrompt
        It is no picture, there is no such file, or it is an address in the web.
    """
    if isinstance(image, str):
        return _of_text(image)
    if isinstance(image, os.PathLike):
        return _of_bytes(_read(Path(image)))
    if isinstance(image, (bytes, bytearray, memoryview)):
        return _of_bytes(bytes(image))
    if callable(getattr(image, "savefig", None)):
        return _of_bytes(_drawn(image))
    if callable(getattr(image, "save", None)) and hasattr(image, "mode"):
        return _of_bytes(_saved(image))
    raise BadPrompt(f"A value of the type {type(image).__name__} is no picture.", _TAKEN)


def _of_text(text: str) -> str:
    """A path, a data-URI or base64, tried in this order: base64 of a picture is no file's name."""
    beginning = text[:8].lower()
    if beginning.startswith(("http://", "https://")):
        raise BadPrompt(
            "A picture's address in the web is not fetched: the model's server could not be told what was seen there.",
            "Download it first, and give the file's path or its bytes.",
        )
    if beginning.startswith("data:"):
        head, _, payload = text.partition(",")
        if not head.lower().endswith(";base64"):
            raise BadPrompt("This data-URI does not hold base64.", _TAKEN)
        return _of_base64(payload)
    path = os.path.expanduser(text)
    if os.path.isfile(path):
        return _of_bytes(_read(Path(path)))
    if text.lower().endswith(_ENDINGS) and len(text) < 256 and text.isprintable():
        raise BadPrompt(f"There is no file {text!r}.", f"The kernel's folder is {os.getcwd()!r}.")
    return _of_base64(text)


def _of_base64(text: str) -> str:
    """Base64, in one line whatever breaks it came with, if it holds a picture."""
    try:
        return _of_bytes(base64.b64decode("".join(text.split()), validate=True))
    except (binascii.Error, ValueError):
        raise BadPrompt("This text is neither the path of a file nor the base64 of a picture.", _TAKEN) from None


def _of_bytes(data: bytes) -> str:
    if not _is_picture(data):
        raise BadPrompt("These bytes are no picture that a model's server can read.", _TAKEN)
    return base64.b64encode(data).decode("ascii")


def _is_picture(data: bytes) -> bool:
    """By the signature that each format's files begin with."""
    if data[:4] == b"RIFF":
        return data[8:12] == b"WEBP"
    if data[:2] == b"BM":
        return data[6:10] == bytes(4)  # reserved, always zero: plain text may begin with these two letters
    return data.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a"))


def _read(path: Path) -> bytes:
    try:
        return path.expanduser().read_bytes()
    except OSError as error:
        raise BadPrompt(f"The file {str(path)!r} can't be read: {error.strerror}.", "Check the path.") from None


def _saved(image: Any) -> bytes:
    """A PIL image's bytes: a JPEG stays one, as PNG a photograph is ten times the size; all else is PNG."""
    buffer = io.BytesIO()
    if getattr(image, "format", None) == "JPEG":
        image.save(buffer, format="JPEG", quality="keep")
    else:
        (image if image.mode in _LOSSLESS else image.convert("RGB")).save(buffer, format="PNG")
    return buffer.getvalue()


def _drawn(figure: Any) -> bytes:
    """What a matplotlib figure looks like."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight")
    return buffer.getvalue()
