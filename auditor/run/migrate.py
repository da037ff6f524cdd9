"""Results of earlier schemas, made into results of today's: a saved run stays readable for good."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

SCHEMA_VERSION = 2


def migrate(data: dict[str, Any]) -> dict[str, Any]:
    """The JSON of a result as today's schema has it; what does not fit is left for the reader to refuse.

    Parameters
    ----------
    data
        With a `schema_version` from 1 to today's.
    """
    for version in range(data["schema_version"], SCHEMA_VERSION):
        data = {**_STEPS[version](data), "schema_version": version + 1}
    return data


def _name_studies(data: dict[str, Any]) -> dict[str, Any]:
    """Schema 2 calls a study by one name, in the result as in `audit.toml`."""
    data = {_STUDIES.get(key, key): value for key, value in data.items()}
    methods = data.get("methods")
    if isinstance(methods, list):
        data["methods"] = [_renamed(record) if isinstance(record, dict) else record for record in methods]
    return data


def _renamed(record: dict[str, Any]) -> dict[str, Any]:
    name = str(record.get("name"))
    return {**record, "name": _STUDIES[name]} if name in _STUDIES else record


_STUDIES = {"activation_maximisation": "optima", "contrastive": "errors"}

_STEPS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _name_studies}
"""Schema -> what makes it the next one."""
