"""What an answer must look like: the schema that is sent, and how the text becomes Python data.

    Shape.of(Person).wire   ──► Request.format
    Shape.of(Person).read('{"name": "Anna", "age": 31}') ──► Person(name="Anna", age=31)

Pydantic does the work for classes and types; it is only loaded for those.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from .errors import BadAnswer, BadPrompt, MissingExtra
from .replies import Reply

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

Schema = dict[str, Any]

_AGAIN = "Ask again, or choose a larger model; what it said is in the error's reply."
_LONGER = "It was cut off: raise num_predict or num_ctx, or ask for less."
_FENCED = re.compile(r"```(?:json)?(.*?)```", re.DOTALL | re.IGNORECASE)
_TAKEN = 'Give "json", a schema as dict, a pydantic model, a dataclass, or a type such as list[str].'
_SHOWN = 3  # so many faults name what is wrong; more would be an essay


class Shape(Struct, frozen=True):
    """What an answer must look like.

    Attributes
    ----------
    wire
        For `Request.format`: "json", a JSON schema, or `None` for plain text.
    """

    wire: str | Schema | None = None
    _python: Callable[[str], Any] | None = None

    @classmethod
    def of(cls, format: Any) -> Shape:
        """The shape that a user's `format` means.

        Parameters
        ----------
        format
            `None` or "": text. "json": any JSON. A dict: a JSON schema, sent as it is; the server
            keeps the model to it, and the answer is parsed, not checked once more. Any type that
            pydantic knows, such as a model, a dataclass, a `TypedDict`, an `Enum`, `list[Person]`
            or `int`: the answer becomes a value of it.

        Raises
        ------
        BadPrompt
            It is none of these.
        MissingExtra
            It is a type, and pydantic is not installed.
        """
        if format is None or format == "":
            return cls()
        if isinstance(format, str):
            if format != "json":
                raise BadPrompt(
                    'A format in words can only be "json".', "For a shape of its own give a schema or a class."
                )
            return cls("json", _parsed)
        if isinstance(format, dict):
            return cls(format, _parsed)
        if inspect.isroutine(format):
            raise BadPrompt("A function is no format.", _TAKEN)
        pydantic = extra("pydantic")
        try:
            adapter = pydantic.TypeAdapter(format)
            return cls(schema_of(adapter), lambda text: _validated(adapter, text))
        except (pydantic.PydanticUserError, NameError, TypeError) as error:
            raise BadPrompt(f"This format has no JSON schema ({first_line(error)}).", _TAKEN) from error

    def read(self, text: str) -> Any:
        """The answer as Python data; `None` if plain text was asked for.

        Blanks around the JSON and a Markdown fence are allowed for, other words are not.

        Raises
        ------
        BadAnswer
            It is no JSON, or not of this shape. The error says where, never what the answer was.
        """
        if self._python is None:
            return None
        text = text.strip()
        fenced = _FENCED.fullmatch(text)
        return self._python(fenced[1].strip() if fenced else text)

    def value(self, reply: Reply) -> Any:
        """What a whole answer holds; `None` if it is no answer yet.

        That is so if plain text was asked for, the answer was stopped, only a model was loaded, or
        calls of functions wait for the caller.

        Raises
        ------
        BadAnswer
            See `read`; it carries the reply.
        """
        waiting = len(reply.tool_calls) > len(reply.tool_results)
        if not reply.complete or waiting or reply.done_reason in ("load", "unload"):
            return None
        try:
            return self.read(reply.text)
        except BadAnswer as error:
            hint = _LONGER if reply.done_reason == "length" else error.hint
            raise BadAnswer(error.message, hint, reply=reply) from None


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise BadAnswer(f"The answer is not JSON ({error.msg}, line {error.lineno}).", _AGAIN) from None
    except RecursionError:
        raise BadAnswer("The answer's JSON is nested too deeply to be read.", _AGAIN) from None


def _validated(adapter: TypeAdapter[Any], text: str) -> Any:
    try:
        return adapter.validate_json(text)
    except extra("pydantic").ValidationError as error:
        raise BadAnswer(f"The answer does not fit its format: {faults(error)}.", _AGAIN) from None


def extra(module: str) -> Any:
    """A module that an optional extra installs; `MissingExtra` if it is not there."""
    try:
        return __import__(module)
    except ImportError as error:
        raise MissingExtra(
            f"Functions as tools and classes as formats need the package {module}.", 'pip install "acagent-nb[client]"'
        ) from error


def schema_of(adapter: TypeAdapter[Any]) -> Schema:
    """The JSON schema of a type, in one piece; a default that JSON can't say is left out of it."""
    from pydantic.json_schema import GenerateJsonSchema

    class Quiet(GenerateJsonSchema):
        ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012 -- pydantic's own field

    return plain(adapter.json_schema(schema_generator=Quiet))


def faults(error: ValidationError) -> str:
    """What is wrong with data and where, without a word of the data: "age: Input should be a valid integer"."""
    each = error.errors(include_url=False, include_input=False)
    told = [": ".join(filter(None, (".".join(map(str, one["loc"])), _words(one)))) for one in each[:_SHOWN]]
    if len(each) > _SHOWN:
        told.append(f"and {len(each) - _SHOWN} more")
    return "; ".join(told)


def _words(fault: Any) -> str:
    """Pydantic's own words where they can't repeat the data, else the name of the fault."""
    kind = fault["type"]
    return str(fault["msg"] if _MUTE.fullmatch(kind) else kind.replace("_", " "))


_MUTE = re.compile(
    r"missing|enum|literal_error|extra_forbidden|json_invalid|finite_number|int_from_float|multiple_of"
    r"|(int|float|bool|string|list|dict|model|dataclass|tuple|set|none|date|datetime|time)(_attributes)?_type"
    r"|(int|float|bool)_parsing|(greater|less)_than(_equal)?|(string_)?too_(short|long)|string_pattern_mismatch"
)


def first_line(error: Exception) -> str:
    """An error's first line, without its full stop."""
    return str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__


_MAPS = {"properties", "patternProperties", "dependentSchemas", "$defs", "definitions"}
_LISTS = {"anyOf", "oneOf", "allOf", "prefixItems"}
_ONES = {"items", "additionalProperties", "contains", "propertyNames", "not", "if", "then", "else"}


def _below(schema: Schema, change: Callable[[Schema], Any]) -> Schema:
    """A schema with each schema that is directly in it changed; data in it, such as a default, is let be."""

    def changed(key: str, value: Any) -> Any:
        if key in _MAPS and isinstance(value, dict):
            return {name: one(each) for name, each in value.items()}
        if key in _LISTS and isinstance(value, list):
            return [one(each) for each in value]
        return one(value) if key in _ONES else value

    def one(value: Any) -> Any:
        return change(value) if isinstance(value, dict) else value

    return {key: changed(key, value) for key, value in schema.items()}


def plain(schema: Schema) -> Schema:
    """A schema in one piece and without titles, as small models and servers' templates can read it.

    What `$ref` names in `$defs` is put in its place, except where it holds itself: such a tree
    keeps its name and its definition.
    """
    defs = schema.get("$defs", {})
    recursive: dict[str, Schema] = {}

    def flat(node: Schema, inside: tuple[str, ...]) -> Schema:
        name = str(node.get("$ref", "")).removeprefix("#/$defs/")
        if name in inside:
            if name not in recursive:
                recursive[name] = {}  # known before it is worked out, as it holds itself
                recursive[name] = flat(defs[name], (name,))
            return {key: value for key, value in node.items() if key != "title"}
        if name in defs:
            beside = {key: value for key, value in node.items() if key != "$ref"}
            return flat({**defs[name], **beside}, (*inside, name))
        kept = {key: value for key, value in node.items() if key not in ("title", "$defs")}
        return _below(kept, lambda below: flat(below, inside))

    whole = flat(schema, ())
    return {**whole, "$defs": recursive} if recursive else whole


_STRICT = {
    *("type", "description", "enum", "const", "properties", "required", "additionalProperties", "items", "anyOf"),
    *("$ref", "$defs", "pattern", "format", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    *("multipleOf", "minItems", "maxItems"),
}
_DROPPED = {"title", "default", "examples", "discriminator"}  # they tell, and promise nothing


def strict(schema: Schema) -> Schema | None:
    """A schema as OpenAI's strict mode wants it, or `None` if that can't say the same.

    Every object is closed and all its properties are required: one that has a default is then
    always given. Source: OpenAI's guide to structured outputs, "Supported schemas".
    """
    try:
        return _closed(schema) if schema.get("type") == "object" and "properties" in schema else None
    except LookupError:
        return None


def _closed(schema: Schema) -> Schema:
    """One level of it; `LookupError` for what strict mode does not have."""
    kept = {key: value for key, value in schema.items() if key not in _DROPPED}
    if "oneOf" in kept and "anyOf" not in kept:
        kept["anyOf"] = kept.pop("oneOf")  # strict mode knows this one only, and every value of the first fits
    if not kept.keys() <= _STRICT:
        raise LookupError("a word that strict mode does not have")
    if kept.get("type") == "object":
        if kept.get("additionalProperties") or "properties" not in kept:
            raise LookupError("an object with free names")
        kept |= {"additionalProperties": False, "required": list(kept["properties"])}
    return _below(kept, _closed)
