"""What the options panel learns of the server and the model: which options work there, and their defaults.

    /api/version ──► what works        /api/show ──► what the author chose        /api/tags ──► the picker

No server is started for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from html import escape
from importlib.util import find_spec

from .. import answers, builtin, hosts, liveness, names
from ..asynchronous import AsyncClient
from ..errors import LLMError, ModelMissing, ServerDown
from ..options import Options
from ..params import Params
from ..row import Value
from .option_text import Where, authors
from .parts import two_lines


@dataclass(frozen=True)
class Learnt:
    """What is known now.

    Attributes
    ----------
    where
        Of the server and the model.
    said
        The same for the user, as HTML, with what to do if something is missing.
    models
        Names to choose from, as users write them.
    model
        Whose defaults these are; `None` if there is none to choose.
    """

    where: Where
    said: str
    models: list[str] = field(default_factory=list)
    model: str | None = None


def project(params: Params) -> Mapping[str, Value]:
    """What `params.toml` sends beneath a call's own options."""
    return params.options(Options()).sent()


async def learnt(params: Params, model: str | None) -> Learnt:
    """Ask the server; without a model, take the first that it has. What goes wrong is said, not raised."""
    where = Where(project=project(params))
    try:
        target = params.target(model) if model else None
    except LLMError as error:
        return Learnt(where, two_lines(error), model=model)
    if target and target.provider != "ollama":
        told = (
            f"{escape(target.provider)} answers for {escape(model or '')}: what only Ollama knows does nothing there."
        )
        return Learnt(replace(where, provider=target.provider), told, await _known(params), model)
    try:
        host = await asyncio.to_thread(_there)
        if host is None:
            return _nobody(params, where, model)
        async with AsyncClient(host.url, params=params) as client:
            return await _asked(client, host, params, where, model)
    except LLMError as error:
        return Learnt(where, two_lines(error), [*params.roles], model)


async def _asked(client: AsyncClient, host: hosts.Host, params: Params, where: Where, model: str | None) -> Learnt:
    """What a server says that is there."""
    version = await client.version()
    listed = await _listed(client)
    where = replace(where, version=version.version, engine=version.engine)
    models, model = [*params.roles, *listed], model or next(iter(listed), None)
    said = f"{where.name[0].upper()}{where.name[1:]}"
    if not version.engine and liveness.parsed(version.version) is None:
        said = f"Ollama of version {version.version!r}, which is not known and so counts as the newest"
    said = escape(said if host.how == hosts.EMBEDDED else f"{said} ({host.how})")
    if model is None:
        return Learnt(where, f"{said}. Choose a model to see what its author chose.", models)
    name = f"<b>{escape(model)}</b>"
    try:
        shown = await client.show(model)
    except ModelMissing:
        return Learnt(where, f"{said}. It does not have {name} yet: the first question pulls it.", models, model)
    except LLMError as error:  # what the server itself is, is known all the same
        return Learnt(where, f"{said}. {two_lines(error)}", models, model)
    chosen = authors(shown.parameters)
    told = f"the author of {name} chose {', '.join(chosen) or 'no options'}"
    if shown.context_length:
        told += f"; it was made for {shown.context_length:,} tokens"
    return Learnt(replace(where, authors=chosen, context=shown.context_length), f"{said}: {told}.", models, model)


async def _known(params: Params) -> list[str]:
    """The names to choose from for who uses a cloud model: the server need not be there."""
    try:
        host = await asyncio.to_thread(_there)
        if host is None:
            return [*params.roles]
        async with AsyncClient(host.url, params=params) as client:
            return [*params.roles, *await _listed(client)]
    except LLMError:
        return [*params.roles]


async def _listed(client: AsyncClient) -> list[str]:
    """The models that the server has, as users write them."""
    return [names.LOCAL + model.name.removesuffix(f":{names.TAG}") for model in await client.models()]


def _nobody(params: Params, where: Where, model: str | None) -> Learnt:
    """No server runs: what will be there with the first question, or what to do."""
    if find_spec("xllamacpp") is None:
        error = ServerDown(
            "No Ollama server answers, so these are the options of the newest.",
            f"Start Ollama, or set OLLAMA_HOST, or install a server: {hosts.INSTALL}",
        )
        return Learnt(where, two_lines(error), [*params.roles], model)
    models = [*params.roles, *(names.LOCAL + name for name in builtin.listed())]
    said = "No server runs now: the first question starts the embedded one, whose options these are."
    return Learnt(replace(where, engine=True), said, models, model or names.LOCAL + builtin.listed()[0])


def _there() -> hosts.Host | None:
    """The server that a question would go to, if there is one already."""
    if host := answers.host() or hosts.present():
        return host
    url = hosts.embedded_running()
    return hosts.Host(url, hosts.EMBEDDED) if url else None
