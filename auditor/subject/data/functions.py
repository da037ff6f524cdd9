"""A function of the user's as a source of images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from auditor.errors import DataError
from auditor.measure.arrays import Array
from auditor.stores.address import Place
from auditor.subject.data.listed import Names
from auditor.subject.data.pictures import CorruptImageError, RawImage


class FunctionSource:
    """A function that returns an iterable of (image, label or None, id, group or None).

    It is called again for every pass and must give the same images in the same order each time.
    """

    def __init__(self, function: Callable[[], Any], name: str) -> None:
        self._function = function
        self._name = name
        self.notes: list[str] = []
        ids: list[str] = []
        labels: list[Any] = []
        groups: list[str] = []
        for _, label, identity, group in self._items():
            ids.append(str(identity))
            labels.append(label)
            groups.append(str(identity if group is None else group))
        self.ids: Sequence[str] = Names(ids)
        self.labels: list[Any] | None = None if all(label is None for label in labels) else labels
        self.groups: list[str] | None = groups
        self.masks: list[Place | None] | None = None

    def stream(self, wanted: Sequence[int]) -> Iterator[tuple[int, RawImage | CorruptImageError]]:
        """See `Source.stream`."""
        remaining = iter(wanted)
        position = next(remaining, None)
        for at, (image, _, identity, _) in enumerate(self._items()):
            if position is None:
                return
            if at < position:
                continue
            if str(identity) != self.ids[at]:
                raise DataError(
                    f"{self._name}: image {at} was {self.ids[at]} and is now {identity}; the order must stay"
                )
            yield at, _as_array(image)
            position = next(remaining, None)
        if position is not None:
            raise DataError(
                f"{self._name}: image {position} was {self.ids[position]} and is gone; the images must stay"
            )

    def array(self, name: str) -> Array | None:
        """See `Source.array`; a function has none."""
        del name
        return None

    def sha256(self) -> str | None:
        """See `Source.sha256`; a function is no file."""
        return None

    def _items(self) -> Iterator[tuple[Any, Any, Any, Any]]:
        try:
            for item in self._function():
                if not isinstance(item, tuple) or len(item) != 4:
                    raise DataError(f"{self._name}: got {type(item).__name__}, wanted (image, label, id, group)")
                yield item
        except DataError:
            raise
        except Exception as fault:  # the user's code may raise anything
            raise DataError(f"{self._name} failed: {type(fault).__name__}: {fault}") from None


def _as_array(image: Any) -> RawImage | CorruptImageError:
    try:
        return np.asarray(image)
    except Exception as fault:  # the user's object may be anything
        return CorruptImageError(f"not an array: {fault}")
