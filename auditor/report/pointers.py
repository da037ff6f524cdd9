"""Where in `result.json` a number stands, so that the report can lead to it."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar, cast

from auditor.measure.measurement import Measurement

_T = TypeVar("_T")


@dataclass(frozen=True)
class Pointed(Measurement):
    """A measurement that knows its place."""

    pointer: str = ""
    """JSON pointer (RFC 6901) into `result.json`."""


def point(value: _T) -> _T:
    """The same record, with every measurement inside it told its place."""
    return cast(_T, _point(value, ""))


def _point(value: Any, pointer: str) -> Any:
    if isinstance(value, Measurement):
        return Pointed(**{field.name: getattr(value, field.name) for field in fields(Measurement)}, pointer=pointer)
    if is_dataclass(value) and not isinstance(value, type):
        inside = {field.name: getattr(value, field.name) for field in fields(value)}
        return replace(value, **{name: _point(item, f"{pointer}/{name}") for name, item in inside.items()})
    if isinstance(value, dict):
        return {key: _point(item, f"{pointer}/{_escape(str(key))}") for key, item in value.items()}
    if isinstance(value, list):
        return [_point(item, f"{pointer}/{number}") for number, item in enumerate(value)]
    return value


def pointer_of(measured: Measurement) -> str:
    """Where it stands; empty for one that is not of a result."""
    return measured.pointer if isinstance(measured, Pointed) else ""


def _escape(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
