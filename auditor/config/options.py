"""Options of a function, by its keyword-only parameters, and faults said in the words of the file.

What a method or an artefact kind can be told is read from the signature of its function, so a new one needs no change
here.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pydantic

from auditor.errors import OptionError

APPLICATIONS = "keras.applications:"
"""How the source of a model that comes with Keras begins."""

KeyPath = tuple[str | int, ...]
Function = Callable[..., Any]


@dataclass(frozen=True)
class Call:
    """A function that a configuration names, with its options as they are passed to it."""

    function: Function
    options: dict[str, Any]


def bind_options(function: Function, options: Mapping[str, Any]) -> tuple[Call, list[tuple[KeyPath, str]]]:
    """The call of a function with its options, checked and converted by the types of its keyword-only parameters.

    Beside it stand the key path and message of everything that is wrong with them: an option is unknown, missing or of
    the wrong type. The call is of use only where there is nothing.

    Raises
    ------
    OptionError
        The parameters cannot be read.
    """
    schema = _options_model(function)
    try:
        bound = schema.model_validate_json(to_json(options), strict=True)
    except pydantic.ValidationError as error:
        return Call(function, {}), explain_faults(error, schema, options)
    return Call(function, {name: getattr(bound, name) for name in schema.model_fields}), []


def import_function(spec: str, folder: Path) -> Function:
    """Import `package.module:function`; modules beside the configuration are found too, then and later.

    Raises
    ------
    OptionError
        The module cannot be imported or has no such function.
    """
    module_name, _, name = spec.partition(":")
    beside = str(folder.resolve())
    if beside not in sys.path:  # it stays there: the function itself may import a neighbour when it is called
        sys.path.insert(0, beside)
    try:
        module = importlib.import_module(module_name)
    except Exception as fault:  # a user's module may raise anything when it is imported
        raise OptionError("", f"module {module_name!r} cannot be imported: {type(fault).__name__}: {fault}") from None
    function = getattr(module, name, None)
    if not callable(function):
        raise OptionError("", f"module {module_name!r} has no function {name!r}")
    return function


def is_function_spec(text: str) -> bool:
    """Whether a text has the form `package.module:function`."""
    return re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", text) is not None


def suggest(got: str, allowed: list[str]) -> str:
    """`; did you mean 'x'?` where something is close, and the list of what is allowed."""
    near = difflib.get_close_matches(got, allowed, n=1, cutoff=0.6)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    shown = ", ".join(allowed[:12]) + (f", … ({len(allowed)} in all)" if len(allowed) > 12 else "")
    return f"{hint} (allowed: {shown})" if allowed else hint


def dotted(path: KeyPath) -> str:
    """`artefacts[0].name` for a key path."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def describe_options(function: Function) -> list[tuple[str, str, str]]:
    """Name, type and default of every option of a function, for people to read."""
    schemas = _options_model(function).model_json_schema()["properties"]
    rows = []
    for name, parameter in _parameters(function):
        is_required = parameter.default is parameter.empty
        default = "required" if is_required else "none" if parameter.default is None else json.dumps(parameter.default)
        rows.append((name, _type_in_words(schemas[name]), default))
    return rows


def _parameters(function: Function) -> list[tuple[str, inspect.Parameter]]:
    parameters = inspect.signature(function, eval_str=True).parameters
    return [(name, p) for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY]


def _options_model(function: Function) -> type[pydantic.BaseModel]:
    try:
        fields: dict[str, Any] = {
            name: (Any if p.annotation is p.empty else p.annotation, ... if p.default is p.empty else p.default)
            for name, p in _parameters(function)
        }
        return pydantic.create_model(
            "Options", __config__=pydantic.ConfigDict(extra="forbid", allow_inf_nan=False), **fields
        )
    except Exception as fault:  # a user's function may be annotated with anything
        raise OptionError("", f"its options cannot be read: {type(fault).__name__}: {fault}") from None


def _type_in_words(schema: Mapping[str, Any]) -> str:
    """The type that a JSON schema describes, as one would say it."""
    if "anyOf" in schema:
        return _either(_type_in_words(part) for part in schema["anyOf"] if part.get("type") != "null")
    if "$ref" in schema:
        return "table"
    if "enum" in schema:
        return " or ".join(map(repr, schema["enum"]))
    if schema.get("type") == "array":
        if "prefixItems" in schema:
            return f"[{', '.join(_type_in_words(part) for part in schema['prefixItems'])}]"
        return f"array of {_type_in_words(schema['items'])}"
    words = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true or false"}
    kind = "path" if schema.get("format") == "path" else words.get(schema.get("type", ""), "anything")
    limits = [f"{sign} {schema[key]:g}" for key, sign in _LIMITS.items() if key in schema]
    return f"{kind} {', '.join(limits)}" if limits else kind


def explain_faults(
    error: pydantic.ValidationError, schema: type[pydantic.BaseModel], data: Mapping[str, Any]
) -> list[tuple[KeyPath, str]]:
    """Each fault's key path and a sentence that says what was got and what was wanted."""
    found: dict[KeyPath, str] = {}
    got: dict[KeyPath, Any] = {}
    wanted: dict[KeyPath, list[str]] = {}
    for fault in error.errors():
        path = _real_path(fault["loc"], data)
        if fault["type"] == "extra_forbidden":
            found[path] = f"unknown key{suggest(str(path[-1]), _fields_at(schema, path[:-1]))}"
        elif fault["type"] == "missing" and isinstance(path[-1], str):
            found[path] = "missing; it is required"
        else:
            words = _wanted(fault)
            if fault["type"] == "missing":
                path, words = path[:-1], f"{int(path[-1]) + 1} items"
                wanted.pop(path, None)
            elif words == "an array" and isinstance(fault["input"], dict):
                words = f"an array of tables, [[{dotted(path)}]]"
            got[path] = fault["input"]
            wanted.setdefault(path, []).append(words)
    for path, alternatives in wanted.items():
        # where one form of a value fails as a whole and another in a part of it, the part is what is wrong
        if not any(other != path and other[: len(path)] == path for other in wanted):
            found[path] = f"got {_shorten(got[path])}, wanted {_either(alternatives)}"
    return list(found.items())


def _either(kinds: Iterable[str]) -> str:
    """Alternatives, each once; a whole number is a number anyway."""
    unique = list(dict.fromkeys(kinds))
    return " or ".join(kind for kind in unique if not ("whole number" in kind and kind.replace("whole ", "") in unique))


def _wanted(fault: Mapping[str, Any]) -> str:
    """What would have been right, in the words of TOML rather than of pydantic."""
    limits = fault.get("ctx", {})
    words = _WANTED.get(fault["type"])
    if words is not None:
        return words.format(**limits)
    return re.sub(r"^(Input|Value|String|List|Tuple) should (be|have) |^Value error, ", "", fault["msg"])


def _real_path(loc: tuple[str | int, ...], data: Any) -> KeyPath:
    """Pydantic's location without the names of union members, which are no keys of the file."""
    path: list[str | int] = []
    node = data
    for position, part in enumerate(loc):
        inside = (isinstance(node, dict) and part in node) or (isinstance(node, list) and isinstance(part, int))
        is_missing_key = isinstance(node, dict) and position == len(loc) - 1
        if not (inside or is_missing_key):
            continue
        path.append(part)
        node = node[part] if inside and (isinstance(node, dict) or part < len(node)) else None  # type: ignore[operator]
    return tuple(path)


def _fields_at(schema: type[pydantic.BaseModel], path: KeyPath) -> list[str]:
    node: Any = schema
    for part in path:
        if isinstance(part, str):
            node = node.model_fields[part].annotation
            # in an array, or where nothing may stand, too
            node = next((kind for kind in get_args(node) if hasattr(kind, "model_fields")), node)
    return list(getattr(node, "model_fields", {}))


def _shorten(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def to_json(data: Mapping[str, Any]) -> str:
    """Values of TOML as JSON: it keeps the strictness of their types, and lets lists become tuples and texts paths."""
    return json.dumps(data, default=str)


def to_toml(value: Any) -> str:
    """A value as TOML writes it: text, a number, a boolean, or an array or table of them."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{to_toml(name)} = {to_toml(item)}' for name, item in value.items())} }}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(to_toml(item) for item in value)}]"
    if isinstance(value, bool):
        return json.dumps(value)
    return str(int(value)) if value == int(value) else repr(value)


_LIMITS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


_WANTED = {
    "string_type": "text",
    "string_too_short": "some text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "tuple_type": "an array",
    "list_type": "an array",
    "dict_type": "a table",
    "model_type": "a table",
    "literal_error": "{expected}",
    "date_type": "a date, 2026-12-31",
    "date_parsing": "a date, 2026-12-31",
    "date_from_datetime_parsing": "a date, 2026-12-31",
    "date_from_datetime_inexact": "a date, 2026-12-31",
    "too_short": "{min_length} or more items",
    "too_long": "{max_length} or fewer items",
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "{ge:g} or more",
    "less_than": "less than {lt:g}",
    "less_than_equal": "{le:g} or less",
}
