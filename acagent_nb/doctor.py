"""What works on this machine and what does not, each problem with its one remedy; nothing is started or changed.

    params.toml ─► which servers are needed ─► server, models, disk ─► keys ─► kernel, widgets, extras

Of keys only the names of their variables are told, and of addresses nothing secret. A cloud's server is not
asked: a question may cost money.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator, Sequence
from importlib import metadata
from importlib.util import find_spec
from typing import NamedTuple
from urllib.parse import urlsplit

from . import answers, disk, hosts, keys, terminal
from .addresses import without_secrets
from .client import Client
from .errors import BadName, BadParams, KeyMissing, LLMError
from .models import Running
from .names import Target
from .params import Params
from .tables import Table

_SECONDS = 3.0  # for each question to the server
_LOW_DISK = 2_000_000_000  # bytes: a small model, and some room
_SMALL = 500_000_000  # bytes of a model that any CPU runs quickly
_REQUIREMENT = re.compile(r"([\w.-]+)[^;]*; extra == ['\"]([\w-]+)['\"]$")
_GROUPS = ("all", "dev", "train")  # extras that are made of others, or are not for users
_PANEL = 'pip install "acagent-nb[panel]"'


class Finding(NamedTuple):
    """One thing that was looked at.

    Attributes
    ----------
    name
        What it is: "server", "disk".
    told
        How it is.
    remedy
        What to do about it, if that could be better.
    wrong
        Whether something does not work.
    """

    name: str
    told: str
    remedy: str = ""
    wrong: bool = False


def examined(model: str | None = None, host: hosts.Host | None = None) -> list[Finding]:
    """Look at everything; takes some seconds at most.

    Parameters
    ----------
    model
        The session's, if one was chosen.
    host
        The server that is in use already.
    """
    try:
        params, bad = Params.found(), None
    except BadParams as error:
        params, bad = Params(), error
    targets = [*_targets(params, model)]
    local = not targets or any(target.provider == "ollama" for target in targets)
    told = [Finding("params.toml", *_sentences(bad), wrong=True)] if bad else [_params(params)]
    told += _server(host, needed=local)
    told += _keys(params, targets)
    return [*told, _kernel(), *_widgets(), *_extras()]


def table(findings: Sequence[Finding]) -> Table:
    """All of it, to be shown."""
    rows = [(_mark(each), each.name, "\n".join(filter(None, (each.told, each.remedy)))) for each in findings]
    return Table((), rows, marked={at for at, each in enumerate(findings) if each.wrong}, machine=True)


def tell(*, as_json: bool) -> int:
    """Print it in a terminal; the exit status is 1 if something is wrong."""
    findings = examined()
    wrong = any(each.wrong for each in findings)
    if as_json:
        terminal.print_json({"ok": not wrong, "findings": [each._asdict() for each in findings]})
    else:
        print(table(findings).text)
    return int(wrong)


def door(variable: str | None) -> str:
    """Whether there is a key, in words."""
    if variable is None:
        return "needs no key"
    return f"key in {variable} ({'set' if os.environ.get(variable, '').strip() else 'not set'})"


def _mark(finding: Finding) -> str:
    return "wrong" if finding.wrong else "note" if finding.remedy else "ok"


def _sentences(error: LLMError) -> tuple[str, str]:
    return " ".join(error.message.split()), " ".join(error.hint.split())


def _targets(params: Params, model: str | None) -> Iterator[Target]:
    """Who is asked by what the session and the file name."""
    for name in {*params.roles, *filter(None, (model or params.model,))}:
        try:
            yield params.target(name)
        except BadName:  # a role that was taken out of the file since `%llm use`
            continue


def _params(params: Params) -> Finding:
    if params.path is None:
        return Finding("params.toml", "none, which is fine")
    counts = {"role": len(params.roles), "endpoint": len(params.endpoints), "option": len(params.model_options.sent())}
    told = [f"{count} {name}{'s' * (count > 1)}" for name, count in counts.items() if count]
    return Finding("params.toml", ", ".join([str(params.path), *told]))


def _server(host: hosts.Host | None, *, needed: bool) -> Iterator[Finding]:
    try:
        host = host or hosts.running()
    except BadName as error:
        yield Finding("server", *_sentences(error), wrong=needed)
        return
    if host is None:
        if find_spec("xllamacpp") is not None:
            yield Finding("server", "none runs; the first question to a local model starts the embedded one")
        else:
            remedy = f"Start Ollama (or set OLLAMA_HOST), or install the embedded one: {hosts.INSTALL}"
            yield Finding("server", "none runs, and the embedded one is not installed", remedy, wrong=needed)
        return
    where = f"{without_secrets(host.url)} ({host.how})"
    try:
        with answers.beside(), Client(host.url, timeout=_SECONDS, params=Params()) as client:
            version = client.version()
            models, running = client.models(), client.running()
    except LLMError as error:
        message, hint = _sentences(error)
        yield Finding("server", f"{where} does not work: {message}", hint, wrong=needed)
        return
    kind = "the embedded engine, as Ollama" if version.engine else "Ollama"
    yield Finding("server", f"{where} lives: {kind} {version.version}, {len(models)} model{'s' * (len(models) != 1)}")
    yield from map(_loaded, running)
    folder = disk.folder(host.url, models)
    free = None if folder is None else disk.free(folder)
    if free is None:
        yield Finding("disk", f"not known: the server's models lie {disk.unseen(host.url)}")
    else:
        remedy = "%llm disk tells what takes it, and %llm rm NAME removes a model." if free < _LOW_DISK else ""
        yield Finding("disk", f"{terminal.size(free)} free in {folder}", remedy, wrong=bool(remedy))


def _loaded(model: Running) -> Finding:
    """Where a model runs; what to expect of a CPU is from the specification's "Performance Note"."""
    memory = f"{model.name} takes {terminal.size(model.size)}"
    if model.processor == "GPU":
        return Finding("loaded", f"{memory} on the GPU")
    if model.processor == "CPU":
        told = f"{memory} on the CPU, which works but is far slower than a GPU"
        remedy = "Take a smaller model, or run the server where it can use a GPU."
        return Finding("loaded", told, remedy if model.size > _SMALL else "")
    told = f"{memory}, {model.processor}: the rest on the CPU slows all of it down"
    return Finding("loaded", told, "Take a smaller model, or a smaller num_ctx.")


def _keys(params: Params, targets: Sequence[Target]) -> Iterator[Finding]:
    variables = ["OPENAI_API_KEY", "OLLAMA_API_KEY"]
    variables += [each.key_env for each in params.endpoints.values() if each.key_env]
    yield Finding("keys", ", ".join(_is_set(variable) for variable in dict.fromkeys(variables)))
    providers = dict.fromkeys(target.provider for target in targets if target.provider != "ollama")
    for provider in providers:
        try:
            cloud = keys.cloud(endpoint=params.endpoints.get(provider))
        except (KeyMissing, BadName) as error:
            yield Finding(provider, *_sentences(error), wrong=True)
            continue
        place = urlsplit(cloud.base_url).hostname
        yield Finding(provider, f"{place}, {door(cloud.key_env)}; it was not asked")
    if providers and find_spec("openai") is None:
        yield Finding(
            "openai", "the package openai, which cloud models need, is missing", _install("cloud"), wrong=True
        )


def _is_set(variable: str) -> str:
    return f"{variable} is {'set' if os.environ.get(variable, '').strip() else 'not set'}"


def _kernel() -> Finding:
    told = [f"Python {platform.python_version()}", *(f"{name} {_version(name)}" for name in ("IPython", "ipykernel"))]
    if _version("ipykernel") is None:
        return Finding("kernel", f"{told[0]}, {told[1]}, no ipykernel", "For Jupyter: pip install ipykernel")
    return Finding("kernel", f"{', '.join(told)}, acagent-nb {_version('acagent-nb') or 'not installed'}")


def _widgets() -> Iterator[Finding]:
    """The panels need ipywidgets 8 in the kernel, and its page's part wherever JupyterLab runs."""
    for name, least in (("ipywidgets", 8), ("jupyterlab_widgets", 3)):
        version = _version(name)
        if version is None:
            yield Finding("widgets", f"{name} is not here; %%llm works without, panels do not", _PANEL)
        elif int(re.match(r"\d*", version)[0] or 0) < least:  # type: ignore[index]  # it always matches
            remedy = f"pip install -U {name}"
            yield Finding("widgets", f"{name} {version} is too old for the panels", remedy, wrong=True)
        else:
            yield Finding("widgets", f"{name} {version}")


def _extras() -> Iterator[Finding]:
    """The package's own extras, as its metadata lists them."""
    extras: dict[str, list[str]] = {}
    try:
        listed = metadata.requires("acagent-nb") or []
    except metadata.PackageNotFoundError:  # run from a checkout that was never installed
        return
    for line in listed:
        if (found := _REQUIREMENT.match(line)) and found[2] not in _GROUPS:
            name = re.sub(r"\[.*", "", found[1])
            extras.setdefault(found[2], []).append(name)
    for extra, packages in extras.items():
        missing = [name for name in packages if _version(name) is None]
        if missing:
            yield Finding(f"[{extra}]", f"not here: {', '.join(missing)}", _install(extra))
        else:
            yield Finding(f"[{extra}]", "complete")


def _install(extra: str) -> str:
    return f'If you want it: pip install "acagent-nb[{extra}]"'


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
