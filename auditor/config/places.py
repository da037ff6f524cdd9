"""Where each key of a TOML text stands, so that an error can name line and column.

`tomllib` forgets positions; this reads the statements of a text that `tomllib` has already accepted.
"""

from __future__ import annotations

import tomllib
from typing import Any

Path = tuple[str | int, ...]
Place = tuple[int, int]

_MOST_TRIED = 5_000_000
"""Characters that are read, again and again, to find where one statement ends."""

_ENDS = ("]", "}", '"""', "'''")
"""One of these is on the last line of every statement of several lines."""


def find_places(text: str) -> dict[Path, Place]:
    """Map every key path of a valid TOML text to its (line, column), both counted from 1.

    List items and the keys of inline tables stand where their statement stands; a table where its header does.
    """
    places: dict[Path, Place] = {}
    table: Path = ()
    counts: dict[Path, int] = {}
    lines = text.replace("\r\n", "\n").split("\n")  # splitlines() would also split at characters that a string may hold
    at = 0
    while at < len(lines):
        statement, length = _statement(lines, at)
        if not length:  # the places of what follows are not known
            break
        stripped = statement.strip()
        place = (at + 1, len(lines[at]) - len(lines[at].lstrip()) + 1)
        if stripped.startswith("["):
            table = _header_path(stripped, counts)
            for depth in range(1, len(table) + 1):
                places.setdefault(table[:depth], place)
        elif stripped and not stripped.startswith("#"):
            for path in _paths(tomllib.loads(statement)):
                places.setdefault(table + path, place)
        at += length
    return places


def nearest_place(places: dict[Path, Place], path: Path) -> Place:
    """The place of a path, or of the closest table around it; (1, 1) for the whole file."""
    for end in range(len(path), 0, -1):
        if path[:end] in places:
            return places[path[:end]]
    return (1, 1)


def _statement(lines: list[str], start: int) -> tuple[str, int]:
    """The statement that starts at a line, and the number of lines it takes; none where that is long to tell."""
    tried = 0
    for end in range(start + 1, len(lines) + 1):
        if end > start + 1 and not any(mark in lines[end - 1] for mark in _ENDS):
            continue
        statement = "\n".join(lines[start:end])
        tried += len(statement)
        if tried > _MOST_TRIED:
            return "", 0
        try:
            tomllib.loads(statement)
        except tomllib.TOMLDecodeError:
            continue
        return statement, end - start
    raise AssertionError("find_places needs a text that tomllib accepts")


def _header_path(header: str, counts: dict[Path, int]) -> Path:
    """The key path that a `[table]` or `[[list of tables]]` header opens."""
    names: list[str] = []
    node: Any = tomllib.loads(header)
    while node:
        if isinstance(node, list):
            node = node[0]
        else:
            name, node = next(iter(node.items()))
            names.append(name)
    path: Path = ()
    for depth, name in enumerate(names):
        path = (*path, name)
        is_last = depth == len(names) - 1
        if header.startswith("[[") and is_last:
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path = (*path, counts[path])
    return path


def _paths(value: Any, prefix: Path = ()) -> list[Path]:
    found: list[Path] = [prefix] if prefix else []
    if isinstance(value, dict):
        for key, item in value.items():
            found += _paths(item, (*prefix, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            found += _paths(item, (*prefix, index))
    return found
