"""A model of one's own, as a flow (see `wire.py`): out of another model, or out of GGUF files.

Files are hashed and sent, unless the server has them; a model to start from is pulled if it is
missing; then the server is told what to make of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterable, Mapping
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from .asking import Turn, message
from .delivery import blob, create, pulling, shown
from .errors import BadParams
from .messages import Note, Pulling
from .modelfile import GONE, Modelfile, path_of, read
from .options import Options
from .wire import Flow, Run, Step

_PIECE = 8 << 20  # bytes that are hashed between two looks at the progress
_WHERE = "Give from_model, or file, or a Modelfile with a FROM line."


def making(
    model: str,
    *,
    from_model: str | None = None,
    file: str | Path | Iterable[str | Path] | None = None,
    adapter: str | Path | None = None,
    modelfile: Modelfile | str | Path | None = None,
    system: str | None = None,
    template: str | None = None,
    parameters: Mapping[str, Any] | Options | None = None,
    messages: Iterable[Turn] | None = None,
    license: str | Iterable[str] | None = None,
    quantize: str | None = None,
) -> Flow[Pulling | Note]:
    """Make a model; one of this name is replaced.

    What is given here counts more than what the Modelfile says; parameters of both are put together.

    Parameters
    ----------
    model
        The new model's name.
    from_model
        The model to start from, by the name that its server knows; it is pulled if the server lacks it.
    file
        The GGUF file to start from, or several that belong together: a model and its projector. What
        the server has already is not sent again.
    adapter
        A GGUF file with a LoRA adapter.
    modelfile
        What `modelfile.read` reads, or has read.
    system, template
        What every conversation begins with, and a template for its prompts in Go's language.
    parameters
        Model options by their names.
    messages
        Turns that every conversation begins with.
    license
        The text of its license, or of several.
    quantize
        Convert the weights to this type first, such as "q4_K_M".

    Yields
    ------
    Note
        A parameter that today's servers ignore.
    Pulling
        How far it is: hashing, uploading, and then the server's own words, "success" last.

    Raises
    ------
    BadParams
        The Modelfile can't be read, a file is not there or no GGUF, or there is nothing to start from.
    BadOption, BadPrompt, BadName
        A parameter, a message or a name that can't be meant.
    ModelMissing
        `from_model` is not there, and can't be pulled.
    DiskFull, ServerError
        What the server says went wrong.
    Incomplete
        The stream ended before the server said it was done.
    """
    told = modelfile if isinstance(modelfile, Modelfile) else read(modelfile) if modelfile else Modelfile(())
    own = {
        "system": system,
        "template": template,
        "adapter": None if adapter is None else str(_path(adapter)),
        "messages": None if messages is None else tuple(message(turn) for turn in messages),
        "license": None if license is None else (license,) if isinstance(license, str) else tuple(license),
    }
    options = parameters if isinstance(parameters, Options) else Options.of(parameters or {})
    told = replace(
        told,
        parameters={**told.parameters, **options.sent()},
        **{name: value for name, value in own.items() if value is not None},
    )
    source, files = _start(told, from_model, file)
    adapter_file, draft_file = ([_checked(Path(path))] if path else [] for path in (told.adapter, told.draft))
    for text in told.notes:
        yield Note(text)
    weights = yield from _sent(files, model)
    adapters = yield from _sent(adapter_file, model)
    drafts = yield from _sent(draft_file, model)
    if source and (yield from shown(source)) is None:
        yield from pulling(source)
    yield from create(
        model,
        from_model=source,
        files=weights or None,
        adapters=adapters or None,
        draft_files=drafts or None,
        system=told.system or None,
        template=told.template or None,
        parameters={name: value for name, value in told.parameters.items() if name not in GONE} or None,
        messages=told.messages or None,
        license=list(told.license) or None,
        quantize=quantize,
        requires=told.requires or None,
        renderer=told.renderer or None,
        parser=told.parser or None,
        sent=sum(path.stat().st_size for path in [*files, *adapter_file, *draft_file]),
    )


def _start(
    told: Modelfile, from_model: str | None, file: str | Path | Iterable[str | Path] | None
) -> tuple[str | None, list[Path]]:
    """The model to start from, or else the files, all of which are looked at."""
    if from_model is not None and file is not None:
        raise BadParams("A model starts from another model or from a file, not from both.", "Leave one of them out.")
    names: list[str] = []
    paths: list[Path] = []
    if from_model is not None:
        names = [from_model]
    elif file is not None:
        paths = [_path(each) for each in ([file] if isinstance(file, (str, Path)) else file)]
    else:
        for text in told.from_:
            path = path_of(text)
            names, paths = (names, [*paths, path]) if path else ([*names, text], paths)
    if len(names) > 1 or (names and paths):
        raise BadParams(f"A model starts from one model: {', '.join(map(str, [*names, *paths]))}.", "Leave one FROM.")
    if not names and not paths:
        raise BadParams("There is nothing to make the model from.", _WHERE)
    files = [_checked(path) for path in paths]
    if len({path.name for path in files}) < len(files):
        raise BadParams("Two of the files have the same name.", "Rename one: the server knows them by their names.")
    return (names[0] if names else None), files


def _path(text: str | Path) -> Path:
    """A file's path, its `~` written out."""
    return path_of(str(text)) or Path(text)


def _checked(path: Path) -> Path:
    """The path, if there is a GGUF file."""
    try:
        with path.open("rb") as data:
            magic = data.read(4)
    except IsADirectoryError:
        raise BadParams(f"{path} is a folder.", "Name the GGUF file in it.") from None
    except OSError as error:
        raise BadParams(f"The file {path} can't be read: {error.strerror}.", "Check the path.") from None
    if magic != b"GGUF":
        raise BadParams(f"{path} is no GGUF file.", "Convert it with llama.cpp's convert_hf_to_gguf.py first.")
    return path


def _sent(files: Iterable[Path], model: str) -> Generator[Step | Pulling, Any, dict[str, str]]:
    """See to it that the server has these files; their names and digests."""
    digests = {}
    for path in files:
        digests[path.name] = yield from _digest(path, model)
        yield from blob(digests[path.name], path, model)
    return digests


def _digest(path: Path, model: str) -> Generator[Run | Pulling, Any, str]:
    """A file's digest, worked out piece by piece, so that whoever watches sees how far it is."""
    seen, done, size = hashlib.sha256(), 0, path.stat().st_size
    with path.open("rb") as data:

        def more() -> int:
            piece = data.read(_PIECE)
            seen.update(piece)
            return len(piece)

        while count := (yield Run(more)):
            done += count
            yield Pulling(model, f"hashing {path.name}", done, size)
    return f"sha256:{seen.hexdigest()}"
