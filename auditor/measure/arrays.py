"""The arrays that everything is measured on, by what they hold, and records of arrays, a row for each image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Bools = npt.NDArray[np.bool_]
Doubles = npt.NDArray[np.float64]
"""Sums over images, and what is measured of them."""
Floats = npt.NDArray[np.float32]
"""Images, maps, scores: in and out of models."""
Groups = npt.NDArray[np.generic]
"""(n,): the independent group that each image belongs to."""
Ints = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.floating[Any]]
"""Floats or doubles."""

Record = TypeVar("Record")


def take(record: Record, rows: Ints | Bools) -> Record:
    """The same record of some images only, by their numbers or by flags (n,).

    All that it holds has the image first: arrays, lists, dictionaries of such, further records. What is None stays.
    """
    at: Any = np.flatnonzero(rows) if rows.dtype == bool else rows
    return _merged([_loosened(record)], lambda parts: _chosen(parts[0], at))


def join(records: Sequence[Record]) -> Record:
    """One record of all the images of several, in their order; see `take` for what they hold."""
    return _merged([_loosened(record) for record in records], _concatenated)


class Parts(Generic[Record]):
    """Records of arrays that come batch by batch, see `take`, held in little more memory than one of all of them."""

    def __init__(self) -> None:
        self._parts: list[Record] = []
        self._recent: list[Record] = []

    def __bool__(self) -> bool:
        return bool(self._parts or self._recent)

    def add(self, record: Record) -> None:
        """Take one more batch."""
        self._recent.append(record)
        if len(self._recent) == _TOGETHER:  # small arrays take as much by being many as by what they hold
            self._parts.append(join(self._recent))
            self._recent = []

    def extend(self, other: Parts[Record]) -> None:
        """Take all that others hold."""
        for record in (*other._parts, *other._recent):
            self.add(record)

    def joined(self) -> Record:
        """One record of all, which is not to be changed; there must be some."""
        held = [*self._parts, *self._recent]
        if len(held) > 1:
            self._parts, self._recent = [], []
            loose = [_loosened(record) for record in held]
            held = []  # so that each array is forgotten once it is joined
            held = [_merged(loose, _concatenated)]
        self._parts, self._recent = held, []
        return held[0]


_TOGETHER = 32


class _Loose(NamedTuple):
    """A record taken apart, whose values can be taken out one after the other."""

    kind: type
    held: dict[str, Any]


def _loosened(values: Any) -> Any:
    if isinstance(values, dict):
        return {key: _loosened(value) for key, value in values.items()}
    if is_dataclass(values) and not isinstance(values, type):
        return _Loose(type(values), {field.name: _loosened(getattr(values, field.name)) for field in fields(values)})
    return values


def _chosen(values: Any, at: Ints) -> Any:
    return values[at] if isinstance(values, np.ndarray) else [values[row] for row in at]


def _concatenated(parts: Sequence[Any]) -> Any:
    is_array = isinstance(parts[0], np.ndarray)
    return np.concatenate(parts) if is_array else [item for part in parts for item in part]


def _merged(parts: Sequence[Any], merge: Callable[[Sequence[Any]], Any]) -> Any:
    """A record like the first, with what all of them hold in each place merged, and taken out of them."""
    first = parts[0]
    if isinstance(first, np.ndarray | list):
        return merge(parts)
    if isinstance(first, dict):
        return {key: _merged([part.pop(key) for part in parts], merge) for key in [*first]}
    if isinstance(first, _Loose):
        return first.kind(**{name: _merged([part.held.pop(name) for part in parts], merge) for name in [*first.held]})
    return first
