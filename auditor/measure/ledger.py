"""The rows and arrays behind the numbers of a result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt

Arrays = Mapping[str, npt.NDArray[Any]]


NewArrays = dict[str, npt.NDArray[Any]]


COLUMNS = (
    "image", "group", "label", "predicted", "artefact", "target", "measurement", "condition", "method", "value",
)  # fmt: skip


@dataclass
class Rows:
    """Measurements per image: every number of a result is an aggregate of some of these."""

    columns: dict[str, list[str | float | None]] = field(default_factory=lambda: {name: [] for name in COLUMNS})

    def add(self, **values: str | float | None) -> None:
        """Add a row; columns that are not named stay empty."""
        assert set(values) <= set(COLUMNS)
        for name, column in self.columns.items():
            column.append(values.get(name))

    def extend(self, other: Rows) -> None:
        """Add all rows of another ledger."""
        for name, column in self.columns.items():
            column += other.columns[name]

    def clear(self) -> None:
        """Forget all rows."""
        for column in self.columns.values():
            column.clear()
