"""What data say of each image beside pixels and label: further columns, and what a picture's file tells of itself."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from PIL import ExifTags

from auditor.errors import AuditError
from auditor.measure.arrays import Ints
from auditor.stores.address import Place
from auditor.subject.data.pictures import open_picture


@runtime_checkable
class Telling(Protocol):
    """A source that says more of its images than their labels."""

    further: Sequence[str]
    """The names of its further columns."""
    files: Sequence[Place]
    """The picture of each image, where it has a file of its own; else none."""

    def column(self, name: str) -> Sequence[Any]:
        """The values of a further column, one for each image."""


@dataclass(frozen=True)
class Columns:
    """What is said of some images."""

    given: Mapping[str, list[Any]]
    """Columns of the data."""
    of_files: Mapping[str, list[Any]]
    """What files tell: size, time, format, compression, EXIF; None where one does not."""
    not_read: list[str]
    """What could not be read, and why; sentences."""


def read_columns(source: object, rows: Ints, ignored: Iterable[str]) -> Columns:
    """What a source says of the images at some rows (n,).

    Parameters
    ----------
    ignored
        Names, in whatever letters, of what is not read at all.
    """
    hidden = {name.casefold() for name in ignored}
    given: dict[str, list[Any]] = {}
    not_read: list[str] = []
    if not isinstance(source, Telling):
        return Columns(given, {}, not_read)
    for name in source.further:
        if name.casefold() in hidden:
            continue
        try:
            values = source.column(name)
            given[name] = [values[row] for row in rows.tolist()]
        except AuditError:  # its words may hold values
            not_read.append(f"{name} could not be read.")
    files = [source.files[row] for row in rows.tolist()] if len(source.files) else []
    if any(not isinstance(file, Path) for file in files):
        not_read.append("Files on a store were not asked for what they tell of themselves.")
        files = []
    told = [_keep(read_traits(file), hidden) for file in files if isinstance(file, Path)]
    names = dict.fromkeys(name for each in told for name in each)
    return Columns(given, {name: [each.get(name) for each in told] for name in names}, not_read)


def read_traits(file: Path) -> dict[str, Any]:
    """What the file of a picture tells of itself, by name; nothing of its pixels is read.

    `file: time` is in years, `picture: quantisation` the mean of the first table of a JPEG: the higher, the coarser.
    """
    told: dict[str, Any] = {}
    try:
        state = file.stat()
        told |= {"file: bytes": state.st_size, "file: time": 1970 + state.st_mtime / _SECONDS}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd EXIF
            with open_picture(file) as picture:
                told |= {"picture: width": picture.width, "picture: height": picture.height}
                told |= {"picture: format": picture.format, "picture: mode": picture.mode}
                told["picture: compression"] = picture.info.get("compression")
                tables = getattr(picture, "quantization", None)
                if tables:
                    first = list(next(iter(tables.values())))
                    told["picture: quantisation"] = sum(first) / len(first)
                exif = picture.getexif()
                for number, value in [*exif.items(), *exif.get_ifd(ExifTags.IFD.Exif).items()]:
                    told[f"EXIF: {ExifTags.TAGS.get(number, number)}"] = _plain(number, value)
    except Exception:  # the readers of damaged pictures raise anything; what was told stays
        return told
    return told


def _plain(number: int, value: Any) -> Any:
    """A value of EXIF as a number or a text; a time by its month, for else each image has its own."""
    if isinstance(value, str):
        text = value.replace("\0", "").strip()
        return text[:7] if "DateTime" in str(ExifTags.TAGS.get(number)) else text
    if isinstance(value, bytes | tuple | dict | list):
        return None
    try:
        return float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        return None


def _keep(told: Mapping[str, Any], hidden: set[str]) -> dict[str, Any]:
    """Without what is ignored: by its whole name, or by what stands behind its kind, as `Make` of `EXIF: Make`."""
    return {
        name: value
        for name, value in told.items()
        if name.casefold() not in hidden and name.partition(": ")[2].casefold() not in hidden
    }


_SECONDS = 31_556_952
"""Of a year."""
