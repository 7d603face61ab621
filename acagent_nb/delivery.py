"""How models come to a server, as flows (see `wire.py`): pulled, uploaded, made out of others.

A built-in model is in no registry. Where the server can't pull one, it is uploaded from the package,
so that the same notebook runs against a real Ollama too, offline, with the same answers.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from . import builtin
from .builtin import BuiltIn
from .errors import DiskFull, Incomplete, LLMError, ModelMissing, ServerError
from .library import SHOWN, VERSION
from .messages import Message, Pulling
from .models import Shown
from .refusals import done, fetch, refusal
from .wire import READ, Flow, Open, Step, decode, post


def blob(digest: str, data: Path | bytes, model: str = "") -> Flow[Pulling]:
    """See to it that the server has a file, which is sent only if it lacks it.

    Parameters
    ----------
    digest
        Of the data: "sha256:" and 64 hex digits.
    data
        A file's path, or bytes.
    model
        What it is for, told with the progress.

    Yields
    ------
    Pulling
        Before, while and after it is sent, or once if there is nothing to send.

    Raises
    ------
    ServerError
        The digest is none, or not that of the data.
    """
    path = f"/api/blobs/{digest}"
    name, size = (data.name, data.stat().st_size) if isinstance(data, Path) else (digest[7:19], len(data))
    status = yield Open("HEAD", path)
    if status == 200:
        yield Pulling(model, f"using existing {name}", size, size)
        return
    if status != 404:  # the answer to a HEAD has no body that could say why
        raise ServerError(f"The server refuses the digest {digest!r}.", status=status)

    def sent(count: int) -> Pulling:
        return Pulling(model, f"uploading {name}", min(count, size), size)

    yield sent(0)
    try:
        yield from done(Open("POST", path, data, tell=sent if isinstance(data, Path) else None), model)
    except ServerError as error:
        if "digest mismatch" in error.message and isinstance(data, Path):
            error.hint = "The file has changed since it was hashed: try again."
        raise
    yield sent(size)


def create(
    model: str,
    *,
    from_model: str | None = None,
    files: Mapping[str, str] | None = None,
    adapters: Mapping[str, str] | None = None,
    draft_files: Mapping[str, str] | None = None,
    system: str | None = None,
    template: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    messages: Iterable[Message] | None = None,
    license: str | list[str] | None = None,
    quantize: str | None = None,
    requires: str | None = None,
    renderer: str | None = None,
    parser: str | None = None,
    sent: int = 0,
) -> Flow[Pulling]:
    """Make a model out of another, or out of files that were sent; an existing one of this name is replaced.

    It says just what is asked of the server: see `making.making` for the flow that sends the files too.

    Parameters
    ----------
    model
        Its name.
    from_model
        The model to start from; the server pulls one that it lacks.
    files, adapters, draft_files
        File names to the digests under which `blob` has sent them.
    system, template, parameters, messages, license, requires, renderer, parser
        What is different in the new model; a template is Go's.
    quantize
        Convert the weights to this type, such as "q4_K_M".
    sent
        Bytes that were sent for it, which count as come.

    Yields
    ------
    Pulling
        How far it is, in the server's words.

    Raises
    ------
    BadName, DiskFull, ServerError
        What the server says went wrong.
    Incomplete
        The stream ended before the server said it was done.
    """
    fields = {
        "from": from_model,
        "files": files,
        "adapters": adapters,
        "draft_files": draft_files,
        "system": system,
        "template": template,
        "parameters": parameters,
        "messages": None if messages is None else [{"role": each.role, "content": each.content} for each in messages],
        "license": license,
        "quantize": quantize,
        "requires": requires,
        "renderer": renderer,
        "parser": parser,
    }
    yield from _making(model, {name: value for name, value in fields.items() if value is not None}, sent)


def pulling(model: str, *, insecure: bool = False) -> Flow[Pulling]:
    """Download a model, with its progress over all layers seen so far.

    A built-in model that the server can't download is uploaded from the package; a model of that
    name that is there already is never touched. What has come of a pull that ended early is kept by the
    server, and who pulls a model that somebody else is pulling shares that download: both by the server's doing.

    Parameters
    ----------
    model
        Its name; its first part may be the host of a registry.
    insecure
        Speak plain http with the registry.

    Raises
    ------
    ModelMissing
        The registry does not have it, or does not let us.
    DiskFull
        The server's disk is full.
    ServerError
        Anything else that the server says went wrong.
    Incomplete
        The stream ended before the server said it was done.
    """
    ask = post("/api/pull", {"model": model, "insecure": True} if insecure else {"model": model})
    if not (refused := (yield from _progress(ask, model))):
        return
    error = _failed("Pulling", refused, model)
    built_in = builtin.find(model) if any(word in refused for word in _UNREACHED) else None
    if built_in is None:
        raise error
    if (yield from fetch(Open("GET", "/api/version"), VERSION)).engine is not None:  # our own server has them itself
        raise error
    yield from _uploading(built_in, model)


def _uploading(built_in: BuiltIn, model: str) -> Flow[Pulling]:
    """Make a built-in model on a server, unless its name is taken."""
    there = yield from shown(model)
    if there is None:
        yield from blob(built_in.digest, built_in.file, model)
        there = yield from shown(model)  # once more: somebody may have made one while the file was on its way
    if there is None:
        yield from _making(model, built_in.recipe, built_in.size)
    elif built_in.digest.replace(":", "-") in there.modelfile:
        yield Pulling(model, "success", built_in.size, built_in.size)
    else:
        raise ModelMissing(
            f"The server can't pull {model}, and has another model of this name, which is left as it is.",
            "To get the built-in one, remove or rename that model first.",
        )


def _making(model: str, recipe: Mapping[str, Any], sent: int = 0) -> Flow[Pulling]:
    """Have a model made; the bytes that were `sent` for it count as come."""
    if refused := (yield from _progress(post("/api/create", {"model": model, **recipe}), model, sent)):
        raise _failed("Making", refused, model)


def shown(model: str) -> Generator[Step, Any, Shown | None]:
    """The model as the server shows it, or `None` if it has none of this name."""
    try:
        return (yield from fetch(post("/api/show", {"model": model}), SHOWN, model))
    except ModelMissing:
        return None


def _progress(ask: Open, model: str, sent: int = 0) -> Generator[Step | Pulling, Any, str]:
    """Tell how far a pull or a create is; returns the words it was refused with, or "" at its success."""
    status = yield ask
    if status != 200:
        raise (yield from refusal(status, model))
    layers: dict[str, tuple[int, int]] = {}
    while (line := (yield READ)) is not None:
        if not line.strip():
            continue
        step = decode(_STEP, line)
        if step.error:
            return step.error
        if step.digest:
            layers[step.digest] = min(step.completed, step.total), step.total
        completed, total = (sum(column) for column in zip((sent, sent), *layers.values(), strict=True))
        yield Pulling(model, step.status, completed, total)
        if step.status == "success":
            return ""
    if ask.path == "/api/pull":
        raise Incomplete(f"Pulling {model} broke off.", "Pull it again: what has come is kept.")
    raise Incomplete(f"Making {model} broke off.", "Make it again.")


class _Step(Struct, frozen=True):
    """A line of a pull's or a create's stream; `completed` is missing while it is 0."""

    status: str = ""
    digest: str = ""
    total: int = 0
    completed: int = 0
    error: str = ""


_STEP = msgspec.json.Decoder(_Step)

# The registry does not have it, or can't be reached: Go's words for what a network can do to one.
_UNREACHED = (
    "file does not exist",
    "no such host",
    "connection refused",
    "network is unreachable",
    "no route to host",
    "i/o timeout",
    "TLS handshake timeout",
    "dial tcp",
    "deadline exceeded",
    "x509",
    "server misbehaving",
)

# It has it, and says no; a realm is where one would log in.
_PRIVATE = ("unauthorized", "access denied", "resource is denied", "manifest: 401", "manifest: 403", "realm")

_FAILURES: tuple[tuple[tuple[str, ...], type[ServerError], str], ...] = (  # words that mark them, class, what to do
    (("no space left",), DiskFull, "Free some space on the server's disk, then {again}: what has come is kept."),
    (("permission denied",), ServerError, "Let the server's user write to its folder of models (OLLAMA_MODELS)."),
    (("no such host", "server misbehaving"), ServerError, "The server has no network, or no DNS; {again} when it has."),
    (("HTTP response to HTTPS",), ServerError, "Pull it with insecure=True, if you trust the line to that registry."),
    (("x509",), ServerError, "The server does not trust the registry: is a proxy's certificate missing there?"),
    (
        (*_UNREACHED, "max retries exceeded", "stalled", "EOF"),
        ServerError,
        "The registry does not answer; {again} later.",
    ),
    (("newer version",), ServerError, "Update Ollama on the server."),
    (("digest mismatch",), ServerError, "Try again: the damaged part has been removed."),
    (("MLX",), ServerError, "Choose a model of GGUF files: this server can't run others."),
    (("llama-quantize",), ServerError, "Leave quantize out, or install Ollama's own package on the server."),
    (
        ("GGUF format", "damaged or incomplete"),
        ServerError,
        "Is the file whole? Compare its size with its source's.",
    ),
)


def _failed(doing: str, text: str, model: str) -> LLMError:
    """The error of our tree for what a pull or a create ended with."""
    if doing == "Pulling":
        if "file does not exist" in text:
            return ModelMissing(f"There is no model {model} to pull.", "Check the name against the library's list.")
        if any(word in text for word in _PRIVATE):
            return ModelMissing(f"The registry does not let us pull {model}: {text}", "Is it private, or misspelt?")
    found = next((failure for failure in _FAILURES if any(word in text for word in failure[0])), None)
    _, kind, hint = found or ((), ServerError, "")
    again = "pull it again" if doing == "Pulling" else "make it again"
    return kind(f"{doing} {model} failed: {text}", hint.format(again=again), status=200)
