"""The arrays that everything is measured on, by what they hold, and records of arrays, a row for each image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

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
    return _merged([record], lambda parts: _chosen(parts[0], at))


def join(records: Sequence[Record]) -> Record:
    """One record of all the images of several, in their order; see `take` for what they hold."""
    return _merged(records, _concatenated)


def _chosen(values: Any, at: Ints) -> Any:
    return values[at] if isinstance(values, np.ndarray) else [values[row] for row in at]


def _concatenated(parts: Sequence[Any]) -> Any:
    is_array = isinstance(parts[0], np.ndarray)
    return np.concatenate(parts) if is_array else [item for part in parts for item in part]


def _merged(parts: Sequence[Any], merge: Callable[[Sequence[Any]], Any]) -> Any:
    """A record like the first, with what all of them hold in each place merged."""
    first = parts[0]
    if isinstance(first, np.ndarray | list):
        return merge(parts)
    if isinstance(first, dict):
        return {key: _merged([part[key] for part in parts], merge) for key in first}
    if is_dataclass(first) and not isinstance(first, type):
        names = [field.name for field in fields(first)]
        return replace(first, **{name: _merged([getattr(part, name) for part in parts], merge) for name in names})
    return first
