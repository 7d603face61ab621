"""Python functions that a model may call: their schemas, their calls, and what the model is told of the results.

    Tools.of([get_weather]).schemas          ──► Request.tools
    Tools.of([get_weather]).runs(call)()     ──► get_weather(city="Rome"), its arguments checked
    told(result)                             ──► text for the model

Pydantic reads the signature and checks the arguments, docstring-parser reads what they mean.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from inspect import Parameter
from typing import TYPE_CHECKING, Any, get_type_hints

import msgspec
from msgspec import Struct

from .errors import BadPrompt
from .messages import ToolCall
from .shapes import Schema, extra, faults, first_line, schema_of

if TYPE_CHECKING:
    from pydantic import TypeAdapter

TOLD = 20_000  # characters of a result that a model is told, about 5,000 tokens

_TAKEN = "Give functions with a name, annotations and a docstring, or schemas as dicts."


class _Function(Struct, frozen=True):
    """A function, its schema, and the check of its arguments."""

    call: Callable[..., Any]
    parameters: dict[str, Parameter]
    arguments: TypeAdapter[Any]
    schema: Schema

    def __call__(self, arguments: dict[str, Any]) -> Any:
        """Call it with what a model gave; `TypeError` if that does not fit."""
        try:
            checked = self.arguments.validate_python(arguments)
        except extra("pydantic").ValidationError as error:
            raise TypeError(f"These arguments do not fit: {faults(error)}") from None
        given = {
            name: getattr(checked, field)
            for field, name in _fields(self.parameters).items()
            if field in checked.model_fields_set
        }  # a default is the function's own matter
        places = [name for name, each in self.parameters.items() if each.kind is Parameter.POSITIONAL_ONLY]
        return self.call(*[given.pop(name) for name in places if name in given], **given)


class Tools(Struct, frozen=True):
    """What a model may call.

    Attributes
    ----------
    schemas
        For `Request.tools`, in the form that both APIs share.
    """

    schemas: tuple[Schema, ...] = ()
    _functions: dict[str, _Function] = {}

    @classmethod
    def of(cls, things: Iterable[Callable[..., Any] | Schema] | Callable[..., Any] | Schema | None) -> Tools:
        """Functions, and ready schemas as dicts, whose calls are left to the caller; one may stand alone.

        Raises
        ------
        BadPrompt
            One has no name or no schema, or two have the same name.
        MissingExtra
            There is a function, and pydantic or docstring-parser is not installed.
        """
        schemas: dict[str, Schema] = {}
        functions = {}
        for thing in _several(things):
            if isinstance(thing, dict):
                ready = _ready(thing)
            else:
                function = _function(thing)
                ready = function.schema
                functions[ready["function"]["name"]] = function
            name = ready["function"]["name"]
            if name in schemas:
                raise BadPrompt(f"Two tools have the name {name!r}.", "Give one of them another name.")
            schemas[name] = ready
        return cls(tuple(schemas.values()), functions)

    def runs(self, call: ToolCall) -> Callable[[], Any] | None:
        """What does this call; `None` if it is the caller's to do.

        The arguments are checked, and turned into what the function's annotations say, when it
        runs: it raises `TypeError` if they don't fit, `LookupError` if there is no such function.
        """
        if call.name in self._functions:
            return functools.partial(self._functions[call.name], call.arguments)
        if not self._functions or call.name in {schema["function"]["name"] for schema in self.schemas}:
            return None
        return functools.partial(_missing, call.name, tuple(self._functions))


def _several(things: Any) -> Iterable[Any]:
    """What may be one thing, several, or none."""
    if things is None:
        return ()
    return things if isinstance(things, Iterable) and not isinstance(things, (dict, type)) else (things,)


def schema(function: Callable[..., Any]) -> Schema:
    """The schema of a function, in the form that Ollama's and OpenAI's APIs share.

    Types come from the annotations, descriptions from the docstring (numpy's, Google's or Sphinx's
    style) or from a `Field` in an `Annotated`. `*args` and `**kwargs` are left out, as a model
    can't name what belongs there; so are arguments that a `functools.partial` has set already.

    Raises
    ------
    BadPrompt
        It has no name, or an annotation without a JSON schema.
    MissingExtra
        pydantic or docstring-parser is not installed.
    """
    return _function(function).schema


def _function(thing: Any) -> _Function:
    if not callable(thing) or isinstance(thing, type):
        raise BadPrompt(f"{_kind(thing)} is no tool.", _TAKEN)
    bare = thing
    while isinstance(bare, functools.partial):
        bare = bare.func
    name = getattr(bare, "__name__", type(bare).__name__)
    if not name.isidentifier():
        raise BadPrompt("A lambda has no name that a model could call.", "Write it as a function, with def.")
    code = bare if hasattr(bare, "__name__") else type(bare).__call__  # an object that can be called
    summary, said = _docstring(bare)
    try:
        parameters = _parameters(thing)
        arguments = _arguments(name, parameters, get_type_hints(code, include_extras=True), said)
        whole = schema_of(arguments)
    except (extra("pydantic").PydanticUserError, TypeError, ValueError, NameError) as error:
        raise BadPrompt(f"The parameters of {name} have no JSON schema ({first_line(error)}).", _TAKEN) from error
    if next(iter(parameters), "") in ("self", "cls"):
        raise BadPrompt(f"{name} belongs to a class and wants an object of it.", f"Give it as object.{name}.")
    return _Function(thing, parameters, arguments, _schema(name, summary, whole))


def _parameters(thing: Any) -> dict[str, Parameter]:
    """The parameters that a model can fill, by their names."""
    bound: set[str] = set()
    inner = thing
    while isinstance(inner, functools.partial):
        bound |= inner.keywords.keys()
        inner = inner.func
    free = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
    each = inspect.signature(thing).parameters
    return {name: one for name, one in each.items() if one.kind not in free and name not in bound}


def _docstring(bare: Any) -> tuple[str, dict[str, str]]:
    """A docstring's text, and what it says of each parameter."""
    doc = extra("docstring_parser").parse(inspect.getdoc(bare) or "")
    said = {
        name.strip(): " ".join(one.description.split())
        for one in doc.params
        for name in one.arg_name.split(",")
        if one.description
    }
    return (doc.description or "").strip(), said


def _fields(parameters: dict[str, Parameter]) -> dict[str, str]:
    """A field's name for each parameter: the parameter's own could hide something of pydantic's."""
    return {f"p{place}": name for place, name in enumerate(parameters)}


def _arguments(
    name: str, parameters: dict[str, Parameter], hints: dict[str, Any], said: dict[str, str]
) -> TypeAdapter[Any]:
    """What checks a function's arguments."""
    pydantic = extra("pydantic")
    fields: dict[str, Any] = {}
    for field, parameter in _fields(parameters).items():
        hint, default = hints.get(parameter, Any), parameters[parameter].default
        described = any(getattr(each, "description", None) for each in getattr(hint, "__metadata__", ()))
        about = {} if described or parameter not in said else {"description": said[parameter]}
        default = ... if default is Parameter.empty else default
        fields[field] = (hint, pydantic.Field(default, alias=parameter, **about))
    config = pydantic.ConfigDict(extra="forbid", coerce_numbers_to_str=True)
    checked: TypeAdapter[Any] = pydantic.TypeAdapter(pydantic.create_model(name, __config__=config, **fields))
    return checked


def _schema(name: str, summary: str, whole: Schema) -> Schema:
    """The form that both APIs share, from the schema of the arguments."""
    required = whole.get("required", [])
    properties = {
        each: one if each in required else _optional(one) for each, one in whole.get("properties", {}).items()
    }
    parameters: Schema = {"type": "object", "properties": properties, "required": required}
    if "$defs" in whole:
        parameters["$defs"] = whole["$defs"]
    return {"type": "function", "function": {"name": name, "description": summary, "parameters": parameters}}


def _optional(one: Schema) -> Schema:
    """A parameter that may be left out, without the `null` that says so twice: small models send it as a word."""
    one = {key: value for key, value in one.items() if not (key == "default" and value is None)}
    kinds = [kind for kind in one.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) != 1:
        return one
    del one["anyOf"]
    return {**kinds[0], **one}


def _ready(thing: Schema) -> Schema:
    """A schema of the caller's, as it is."""
    function = thing.get("function")
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise BadPrompt(
            "This dict is no tool's schema.", 'It looks like {"type": "function", "function": {"name": ..., ...}}.'
        )
    return thing


def _missing(name: str, there: tuple[str, ...]) -> Any:
    raise LookupError(f"There is no function {name!r}. There are: {', '.join(there)}.")


def _kind(thing: Any) -> str:
    return f"The class {thing.__name__}" if isinstance(thing, type) else f"A value of the type {type(thing).__name__}"


def told(value: Any) -> str:
    """What a function gave back, as text for the model.

    Text stays as it is, a table becomes CSV, other data JSON, an exception its class and message,
    and all else what `str` makes of it. More than `TOLD` characters are cut off, with a word that
    says so: a result that fills the context window would push the question out of it.
    """
    if isinstance(value, BaseException):
        text = f"{type(value).__name__}: {value}"
    elif isinstance(value, str):
        text = value
    elif hasattr(value, "to_csv") and hasattr(value, "head"):
        text = value.head(TOLD).to_csv()
    else:
        text = _json(value)
    if len(text) > TOLD:
        text = f"{text[:TOLD]}\n[cut off after {TOLD} characters of {len(text)}]"
    return text.encode(errors="replace").decode()  # half characters, as in some files' names, can't be sent


def _json(value: Any) -> str:
    try:
        text = msgspec.json.encode(value, enc_hook=_simpler).decode()
    except (TypeError, ValueError, RecursionError):  # half characters, or a list that holds itself
        return str(value)
    return msgspec.json.decode(text, type=str) if text.startswith('"') else text  # a date, say: no quotes around it


def _simpler(value: Any) -> Any:
    """What msgspec does not know: pydantic's models, numpy's arrays and numbers, anything."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    return value.tolist() if hasattr(value, "tolist") else str(value)
