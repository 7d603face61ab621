"""How an answer was made: written into the metadata of its output, and read back from a notebook.

No prompt and no answer is in it, only their messages' hashes; no key, and no name or password of a host.
"""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from . import __version__
from .addresses import without_secrets
from .errors import BadParams
from .messages import Message
from .models import Shown
from .options import TABLE, default, state

if TYPE_CHECKING:
    from .growing import Growing

KEY = "acagent_nb"  # in an output's metadata
_PACKAGES = ("httpx", "openai", "ipython", "ipykernel", "markdown-it-py")
_PARAMETER = re.compile(r"^(\w+)\s+(.+)$", re.MULTILINE)


def saved(answers: Sequence[Growing]) -> dict[str, Any]:
    """What is saved with an output: of one answer itself, of several `answers`, a list."""
    told = [of(answer) for answer in answers]
    return {KEY: told[0] if len(told) == 1 else {"answers": told}}


def of(answer: Growing) -> dict[str, Any]:
    """How an answer was made, as far as it is known; what is not known is left out.

    Returns
    -------
    dict
        `model` (as the user wrote it), `served_as`, `provider`, `digest`, `server`, `server_version`, `engine`, `host`;
        `options` (what was sent) and `defaults` (what held for the others: what the model's author set, else what this
        version of the server does); `num_ctx`, as the model was loaded; `think`, `format`, `keep_alive`, `truncate`,
        `tools`; `messages`, the SHA-256 of each as JSON, and `format_hash`; token counts and durations (nanoseconds) in
        the wire's words, `seconds`, `first_token_seconds`, `began` (UTC); `done_reason`, `mark`, `truncated`,
        `replayed`; `packages` and their versions.
    """
    known = {**answer.asked, "host": answer.host and without_secrets(answer.host.url)}
    if answer.ended:
        known |= _ended(answer)
    return {name: value for name, value in known.items() if value is not None}


def asked(answer: Growing) -> dict[str, Any]:
    """The part of it that is known before the answer comes; `None` where there is nothing to say."""
    request = answer.request
    return {
        "model": answer.name,
        "served_as": request.model,
        "provider": request.provider,
        "options": request.options.sent(),
        "think": request.think,
        "keep_alive": request.keep_alive,
        "truncate": request.truncate,
        "format": request.format and ("json" if request.format == "json" else "schema"),
        "format_hash": request.format and _hash(request.format),
        "tools": [str(tool.get("function", tool).get("name")) for tool in request.tools] or None,
        "messages": [_hash(message) for message in request.messages],
        "began": datetime.fromtimestamp(answer.began, timezone.utc).isoformat(timespec="milliseconds"),
        "packages": _packages(),
    }


def provenance(notebook: str | PathLike[str]) -> Any:
    """How the answers in a notebook were made.

    Parameters
    ----------
    notebook
        The path of an `.ipynb` file.

    Returns
    -------
    pandas.DataFrame or list of dict
        A row for each answer: `cell` (counted from 0, as nbformat does), `execution_count`, and what was saved
        with it; an option is a column of its own. A list of dicts where pandas is not installed.

    Raises
    ------
    BadParams
        The file can't be read, or is no notebook.

    Examples
    --------
    >>> acagent_nb.provenance("notebooks/01_first_cell.ipynb")[["cell", "model", "digest", "seed"]]
    """
    try:
        cells = json.loads(Path(notebook).read_text(encoding="utf-8"))["cells"]
        rows = list(_rows(cells))
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no notebook of format 4"
        raise BadParams(f"{Path(notebook).name} can't be read: {why}.", "Give the path of an .ipynb file.") from None
    try:
        import pandas
    except ImportError:
        return rows
    return pandas.DataFrame(rows)


def _rows(cells: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for number, cell in enumerate(cells):
        for output in cell.get("outputs", ()):
            told = output.get("metadata", {}).get(KEY)
            for each in told.get("answers", [told]) if told else ():
                if "model" not in each:  # what the panels leave of themselves is no answer
                    continue
                where = {"cell": number, "execution_count": cell.get("execution_count")}
                yield {**where, **each, **each.get("options", {})}


def _ended(answer: Growing) -> dict[str, Any]:
    """What is known of an answer in the end; while it grows, it would cost more to tell than to draw."""
    reply = answer.reply()
    known = {name: getattr(reply.stats, name) for name in reply.stats.__struct_fields__}
    known |= {"done_reason": reply.done_reason, "mark": answer.mark or None, "truncated": reply.truncated}
    known |= {"seconds": round(answer.seconds, 3), "replayed": answer.replayed or None}
    known["first_token_seconds"] = answer.first and round(answer.first, 3)
    if answer.version is not None:
        known["server"] = "embedded" if answer.version.engine else "ollama"
        known["server_version"] = answer.version.version
        known["engine"] = None if answer.replayed else answer.version.engine  # a recording does not hold it
        known["defaults"] = _defaults(answer)
    if answer.running is not None:
        known["num_ctx"] = answer.running.context_length or None
    known["digest"] = reply.digest or (answer.running and answer.running.digest) or None
    return known


def _defaults(answer: Growing) -> dict[str, Any]:
    """What held for the options that were not sent."""
    assert answer.version is not None
    engine, told = answer.version.engine, answer.version.version
    known = {
        name: row.default if engine else default(name, told)
        for name, row in TABLE.items()
        if state(name, told, engine).word == "live"
    }
    known |= _parameters(answer.shown) if answer.shown else {}
    if answer.running is not None and answer.running.context_length:
        known["num_ctx"] = answer.running.context_length
    sent = answer.request.options.sent()
    return {name: value for name, value in known.items() if value is not None and name not in sent}


def _parameters(shown: Shown) -> dict[str, Any]:
    """The options that a model comes with."""
    found: dict[str, Any] = {}
    for name, text in _PARAMETER.findall(shown.parameters):
        try:
            value = json.loads(text)
        except ValueError:
            value = text.strip()
        if name in TABLE and TABLE[name].kind is list:
            found[name] = [*found.get(name, []), value]
        elif name in TABLE:
            found[name] = value
    return found


def _hash(thing: Message | str | dict[str, Any]) -> str:
    """The SHA-256 of a value as JSON with sorted keys."""
    data = json.dumps(msgspec.to_builtins(thing), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return f"sha256:{sha256(data.encode(errors='surrogatepass')).hexdigest()}"


@cache
def _packages() -> dict[str, str]:
    known = {"acagent_nb": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            known[name] = version(name)
        except PackageNotFoundError:
            continue
    return known
