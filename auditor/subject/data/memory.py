"""Images that a caller holds: an array, paths of pictures, or whatever gives images with labels one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from auditor.errors import MisfitError
from auditor.measure.arrays import Array
from auditor.stores.address import Place
from auditor.subject.data.listed import Names
from auditor.subject.data.pictures import CorruptImageError, Pictures, RawImage
from auditor.subject.data.sources import Label


class HeldSource:
    """Images in memory, or the paths of their pictures, with what is known of each."""

    def __init__(
        self,
        images: Any,
        labels: Any = None,
        *,
        groups: Sequence[Any] | None = None,
        ids: Sequence[Any] | None = None,
        columns: Mapping[str, Sequence[bool]] | None = None,
    ) -> None:
        """Look at what was handed in.

        Parameters
        ----------
        images
            An array (n, h, w[, c]) uint8 or float in [0, 1]; a sequence of such images or of paths; or an iterable of
            (image, label), single or in batches, as a `tf.data.Dataset` and a Keras `PyDataset` are. An iterable is
            gone through once and held in memory.
        labels
            (n,) numbers or names of classes, or (n, classes) of 0 and 1.

        Raises
        ------
        MisfitError
            What was handed in are no images, or not as many as labels, groups, ids or columns.
        """
        self._files: list[Path] | None = None
        self._images: Sequence[Any] | Array = ()
        if isinstance(images, (str, bytes, Mapping)):
            raise MisfitError(f"images: got {type(images).__name__}, wanted images or paths of pictures")
        images = images.to_numpy() if hasattr(images, "to_numpy") else images  # a column of a table
        if not (hasattr(images, "__len__") and hasattr(images, "__getitem__")) or _gives_pairs(images):
            images, labels = _gather(images, labels)
        if len(images) and isinstance(images[0], (str, Path)):
            self._files = [Path(file) for file in images]
            self._pictures = Pictures(self._files)
        else:
            self._images = images
        count = len(images)
        given: dict[str, Sequence[Any] | None] = {"labels": labels, "groups": groups, "ids": ids}
        for name, values in (given | dict(columns or {})).items():
            if values is not None and len(values) != count:
                raise MisfitError(f"{name}: got {len(values)} for {count} images, wanted one each")
        self.labels: list[Label] | None = None if labels is None else [_label(label) for label in labels]
        names = self._files if ids is None and self._files is not None else ids
        digits = len(str(max(count - 1, 0)))
        numbered = (f"{at:0{digits}d}" for at in range(count))
        self.ids: Sequence[str] = Names(numbered if names is None else map(str, names))
        self.groups = None if groups is None else [str(group) for group in groups]
        self.masks: list[Place | None] | None = None
        self.notes: list[str] = []
        self.files: list[Place] = list(self._files or ())
        self.further = list(columns or ())
        self._columns = {name: np.asarray(values) for name, values in (columns or {}).items()}

    def stream(self, wanted: Sequence[int]) -> Iterator[tuple[int, RawImage | CorruptImageError]]:
        """See `Source.stream`."""
        if self._files is not None:
            yield from self._pictures.stream(wanted)
            return
        for at in wanted:
            try:
                yield at, np.asarray(self._images[at])
            except Exception as fault:  # whatever an object that is no image raises
                yield at, CorruptImageError(f"not an array: {fault}")

    def array(self, name: str) -> Array | None:
        """See `Source.array`."""
        return self._columns.get(name)

    def column(self, name: str) -> list[Any]:
        """See `Telling.column`."""
        return list(self._columns[name].tolist())

    def sha256(self) -> str | None:
        """See `Source.sha256`; what is held is no file."""
        return None


def _gives_pairs(images: Any) -> bool:
    """Whether a thing with a length gives images with labels, as a `PyDataset` and a list of pairs do."""
    return not isinstance(images, np.ndarray) and len(images) > 0 and isinstance(images[0], tuple)


def _gather(items: Iterable[Any], labels: Any) -> tuple[list[Any], list[Any] | None]:
    if labels is not None:
        raise MisfitError("labels: got both these and images that come with labels, wanted one of them")
    images: list[Any] = []
    found: list[Any] = []
    for item in items if not hasattr(items, "__getitem__") else (items[at] for at in range(len(items))):  # type: ignore
        image, label = item[:2] if isinstance(item, tuple) and len(item) > 1 else (item, None)
        if isinstance(image, (str, Path)):
            images.append(image)
            found.append(label)
            continue
        values = np.asarray(image)
        is_grey = values.ndim == 3 and values.shape[-1] not in (1, 3)  # (n, h, w), rather than (h, w, c)
        is_batch = values.ndim == 4 or (is_grey and np.ndim(label) == 1 and len(label) == len(values))
        images += list(values) if is_batch else [values]
        found += ([None] * len(values) if label is None else list(np.asarray(label))) if is_batch else [label]
    return images, None if all(label is None for label in found) else found


def _label(label: Any) -> Label:
    """A label as the data set reads it; one class of several as its number."""
    values = np.asarray(label)
    if label is None or values.ndim == 0:
        plain = label if label is None else values.item()
        if isinstance(plain, bytes):
            return plain.decode("utf-8", "replace")
        return int(plain) if isinstance(plain, float) and plain.is_integer() else plain
    if values.size == 1:
        return _label(values.ravel()[0])
    flags = values.ravel().tolist()
    return flags.index(1) if sorted(flags) == [0] * (len(flags) - 1) + [1] else flags
