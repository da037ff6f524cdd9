"""The rows and arrays behind the numbers of a result."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator, Mapping, MutableSequence, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from auditor.measure.arrays import Array, Doubles, Ints

Arrays = Mapping[str, Array]


class NewArrays(Arrays):
    """The pictures and maps of a run that is being made, and which of them show nothing of the audited images."""

    def __init__(self) -> None:
        self.made_up: list[str] = []
        self._kept: dict[str, Array] = {}

    def keep(self, key: str, values: Array, *, of_data: bool) -> str:
        """Keep an array; returns its key.

        Parameters
        ----------
        values
            A picture (h, w, 1 or 3) uint8, or finite numbers, as a map (h, w, c).
        of_data
            Whether it shows audited images, or was made from some: a report may have to withhold it.

        Raises
        ------
        ValueError
            It is neither: no report could show it.
        """
        misfit = why_unfit(values)
        if misfit:
            raise ValueError(f"array {key!r}: {misfit}")
        self._kept[key] = values
        if not of_data:
            self.made_up.append(key)
        return key

    def extend(self, other: NewArrays) -> None:
        """Add all arrays of another ledger."""
        self._kept |= other._kept
        self.made_up += other.made_up

    def clear(self) -> None:
        """Forget all arrays."""
        self.keep_first(0)

    def keep_first(self, count: int) -> None:
        """Forget all arrays but the first."""
        kept = list(self._kept)[:count]
        self._kept = {key: self._kept[key] for key in kept}
        self.made_up[:] = [key for key in self.made_up if key in self._kept]

    def __getitem__(self, key: str) -> Array:
        return self._kept[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._kept)

    def __len__(self) -> int:
        return len(self._kept)


def why_unfit(values: Array) -> str:
    """Why no report can show an array; empty for a picture (h, w, 1 or 3) uint8 and for finite numbers."""
    if values.dtype == np.uint8 and not (values.ndim == 3 and values.shape[-1] in (1, 3) and values.size):
        wanted = "a picture (height, width, 1 or 3)"
    elif not np.issubdtype(values.dtype, np.number) or not (values.size and np.isfinite(values).all()):
        wanted = "finite numbers"
    else:
        return ""
    return f"got {values.dtype} {values.shape}, wanted {wanted}"


COLUMNS = (
    "image", "group", "label", "predicted", "artefact", "target", "measurement", "condition", "method", "value",
)  # fmt: skip


class Column(MutableSequence[Any]):
    """A column of rows, in a byte or a few for each, where a list takes fifty: there may be millions."""

    _codes: array[Any]

    def _encode(self, item: Any) -> Any: ...

    def _decode(self, code: Any) -> Any: ...

    def __len__(self) -> int:
        return len(self._codes)

    def __getitem__(self, at: Any) -> Any:
        found = self._codes[at]
        return [self._decode(code) for code in found] if isinstance(at, slice) else self._decode(found)

    def __setitem__(self, at: Any, item: Any) -> None:
        code = self._encode(item)
        self._codes[at] = code

    def __delitem__(self, at: Any) -> None:
        del self._codes[at]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    def insert(self, at: int, item: Any) -> None:
        """See `list.insert`."""
        code = self._encode(item)
        self._codes.insert(at, code)

    def extend(self, items: Iterable[Any]) -> None:
        """See `list.extend`."""
        codes = [self._encode(item) for item in items]  # which may want a wider array
        self._codes.extend(codes)

    def clear(self) -> None:
        """See `list.clear`."""
        del self._codes[:]


class Texts(Column):
    """Texts, or None, of which most stand in many rows: each is kept once, and a row has its number."""

    def __init__(self) -> None:
        self._codes = array("B")
        self._texts: list[str | None] = []
        self._known: dict[str | None, int] = {}

    def _encode(self, item: str | None) -> int:
        code = self._known.setdefault(item, len(self._texts))
        if code == len(self._texts):
            self._texts.append(item)
            if code == _FEW:
                self._codes = array("i", self._codes)
        return code

    def _decode(self, code: int) -> str | None:
        return self._texts[code]

    def coded(self, part: slice) -> tuple[Ints, list[str | None]]:
        """Some rows as numbers of texts, and the texts."""
        return np.array(self._codes[part], np.int64), self._texts


_FEW = 256


class Values(Column):
    """Finite numbers, or None."""

    def __init__(self) -> None:
        self._codes = array("d")

    def _encode(self, item: float | None) -> float:
        return math.nan if item is None else float(item)

    def _decode(self, code: float) -> float | None:
        return None if math.isnan(code) else code

    def numbers(self, part: slice) -> Doubles:
        """Some rows, NaN for None."""
        return np.array(self._codes[part])


@dataclass
class Rows:
    """Measurements per image: every number of a result is an aggregate of some of these."""

    columns: dict[str, MutableSequence[Any]] = field(
        default_factory=lambda: {name: Values() if name == "value" else Texts() for name in COLUMNS}
    )

    def note(self, values: Array | Sequence[float], **columns: object) -> None:
        """Add a row for each of several values that is known.

        Parameters
        ----------
        values
            (n,).
        columns
            A text for all rows, or a list or array with something for each.
        """
        assert set(columns) < set(COLUMNS)
        known = np.flatnonzero(np.isfinite(values)).tolist()
        for name, column in self.columns.items():
            given = columns.get(name)
            if name == "value":
                column += [float(values[at]) for at in known]
            elif isinstance(given, list | tuple | np.ndarray):
                column += [None if given[at] is None else str(given[at]) for at in known]
            else:
                column += [None if given is None else str(given)] * len(known)

    def add(self, **values: str | float | None) -> None:
        """Add a row; columns that are not named stay empty."""
        assert set(values) <= set(COLUMNS)
        for name, column in self.columns.items():
            column.append(values.get(name))

    def extend(self, other: Rows) -> None:
        """Add all rows of another ledger."""
        for name, column in self.columns.items():
            column += other.columns[name]

    def __len__(self) -> int:
        return len(self.columns["value"])

    def clear(self) -> None:
        """Forget all rows."""
        self.keep_first(0)

    def keep_first(self, count: int) -> None:
        """Forget all rows but the first."""
        for column in self.columns.values():
            del column[count:]
