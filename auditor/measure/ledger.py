"""The rows and arrays behind the numbers of a result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from auditor.measure.arrays import Array
from auditor.measure.columns import Block, Texts, Values

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


@dataclass
class Rows:
    """Measurements per image: every number of a result is an aggregate of some of these."""

    columns: dict[str, Texts | Values] = field(
        default_factory=lambda: {name: Values() if name == "value" else Texts() for name in COLUMNS}
    )

    def note(self, values: Array | Sequence[float], **columns: object) -> None:
        """Add a row for each of several values that is known.

        Parameters
        ----------
        values
            (n,).
        columns
            A text for all rows, or a list or array or `Coded` with something for each. What is coded is not copied, so
            it must stay as it is.
        """
        assert set(columns) < set(COLUMNS)
        numbers = np.asarray(values)
        is_known = np.isfinite(numbers)
        known = None if is_known.all() else np.flatnonzero(is_known).astype(np.int32)
        numbers = numbers.copy() if known is None else numbers[known]  # it may be a part of something larger
        for name, column in self.columns.items():
            if isinstance(column, Texts):
                column.note(columns.get(name), known, len(numbers))
            elif isinstance(column, Values):
                column.add(Block(numbers, None, ()))

    def add(self, **values: str | float | None) -> None:
        """Add a row; columns that are not named stay empty."""
        assert set(values) <= set(COLUMNS)
        for name, column in self.columns.items():
            column.append(values.get(name))  # type: ignore[arg-type]

    def extend(self, other: Rows) -> None:
        """Add all rows of another ledger."""
        for name, column in self.columns.items():
            column.extend(other.columns[name])  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(self.columns["value"])

    def clear(self) -> None:
        """Forget all rows."""
        self.keep_first(0)

    def keep_first(self, count: int) -> None:
        """Forget all rows but the first."""
        for column in self.columns.values():
            column.keep_first(count)
