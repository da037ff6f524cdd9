"""Reads manifests: tables, as CSV or Parquet, that name picture files with their labels, groups and masks.

The columns are `path` and perhaps `label`, `group`, `mask` and `id`; others may say which images carry an artefact.
"""

from __future__ import annotations

import csv
import math
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from auditor.errors import DataError, MisfitError, OptionError
from auditor.measure.arrays import Bools
from auditor.stores.address import Place, Stored, is_address, read_place
from auditor.subject.data.naming import OF_COLUMNS, Naming

MOST_BYTES, MOST_CELLS, MOST_COLUMNS = 128 * 2**20, 10_000_000, 1000
"""Of a table as text, or of one column of it; values of a table; and its columns."""

_ROWS_AT_ONCE = 4096

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")


class WrittenLabel(str):
    """A label out of a table of text: the name of a class, its number, or several separated by `|`."""

    __slots__ = ()


@dataclass(frozen=True)
class Manifest:
    """What a manifest says of each image, in its order."""

    files: list[Place]
    ids: list[str]
    """The column `id`, else the path as it is written."""
    labels: list[Any] | None
    """Written labels and class numbers; None for images without one."""
    groups: list[str] | None
    masks: list[Place | None] | None
    notes: list[str]
    """What was guessed about its columns."""
    further: list[str]
    """The names of all other columns."""
    _table: _Table

    def column(self, name: str) -> list[Any]:
        """The values of a further column, as the table has them.

        Raises
        ------
        DataError
            It cannot be read.
        """
        return self._table.column(name)

    def flags(self, name: str) -> Bools | None:
        """A further column (images,) of true and false; None where there is none of that name.

        Raises
        ------
        DataError
            One of its values is neither.
        """
        if name not in self._table.names:
            return None
        found = np.zeros(len(self.files), bool)
        for row, value in enumerate(self._table.column(name)):
            word = str(value).lower()
            if word not in _FLAGS:
                raise MisfitError(f"{self._table.place(row)}: {name}: got {value!r}, wanted {_listed(list(_FLAGS))}")
            found[row] = _FLAGS[word]
        return found


def read_manifest(
    file: Path,
    where: str = "",
    declared: dict[str, str] | None = None,
    origin: Stored | None = None,
    root: Place | None = None,
) -> Manifest:
    """Read a manifest; paths in it are relative to its folder.

    Parameters
    ----------
    where
        What errors name as their place, before the file's own name and line.
    declared
        What columns are called, where otherwise than usual: `images` (the paths), `labels`, `groups` or `ids` -> name.
    origin
        What the file is a copy of; paths are relative to the folder of that ...
    root
        ... unless it is said what they are relative to. Where that is on a store, addresses in the same bucket are
        taken too: whoever wrote the table says of no other place that it be read.

    Raises
    ------
    DataError
        It cannot be read, has no rows or no paths, or its rows are ragged.
    """
    folder, shown = root or (origin or file).parent, f"{where}{origin or file}"
    table = MANIFESTS[file.suffix.lower()](file, shown)
    if len(table.names) > MOST_COLUMNS:
        raise DataError(f"{shown}: got {len(table.names):,} columns, wanted {MOST_COLUMNS} at most")
    repeated = [name for name in table.names if table.names.count(name) > 1]
    if repeated:
        raise MisfitError(f"{shown}: got two columns {repeated[0]!r}, wanted a name of its own for each")
    naming = Naming(table.names, OF_COLUMNS, "column", declared or {})
    try:
        found = {key: naming.find(key) for key in OF_COLUMNS}
    except DataError as fault:
        raise type(fault)(f"{shown}: {fault}") from None
    if found["images"] is None:
        raise MisfitError(f"{shown}: no column 'path'; its columns are: {', '.join(table.names) or 'none'}")
    columns = {key: table.column(name) for key, name in found.items() if name is not None}
    texts = {key: [_text(value) for value in columns.get(key, [])] for key in ("images", "ids", "groups", "masks")}
    paths, ids, groups, masks = texts.values()
    if not paths:
        raise MisfitError(f"{shown}: it has no rows, wanted one for each image")
    for row, path in enumerate(paths):
        if not path:
            raise MisfitError(f"{table.place(row)}: path is empty, wanted the file of an image")
    ids = [identity or path for identity, path in zip(ids or paths, paths, strict=True)]
    labels = [_label(value) for value in columns.get("labels", [])]

    def located(row: int, path: str) -> Place:
        try:
            return _locate(folder, path)
        except OptionError as fault:
            raise MisfitError(f"{table.place(row)}: {fault.message}") from None

    return Manifest(
        files=[located(row, path) for row, path in enumerate(paths)],
        ids=ids,
        labels=labels if any(label is not None for label in labels) else None,
        groups=[group or identity for group, identity in zip(groups, ids, strict=True)] if groups else None,
        masks=[located(row, mask) if mask else None for row, mask in enumerate(masks)] if any(masks) else None,
        notes=naming.notes,
        further=[name for name in table.names if name not in found.values()],
        _table=table,
    )


def _locate(folder: Place, path: str) -> Place:
    """What a path in a manifest in that folder names."""
    if not is_address(path):
        return folder / path if isinstance(folder, Stored) else _existing(folder / path)
    place = read_place(path)
    if isinstance(folder, Path):
        raise OptionError("", f'got {path!r}; wanted a path, or root = "s3://BUCKET" under [data] and paths from there')
    if isinstance(place, Path) or (place.store, place.bucket) != (folder.store, folder.bucket):
        wanted = f"wanted a path, or an address in {folder.store}://{folder.bucket}"
        raise OptionError("", f"got {path!r}, {wanted}, where what is relative begins")
    return place


def _existing(file: Path) -> Path:
    """The file, under a name of the same signs that are composed otherwise (NFC, NFD) where only that one is there."""
    if str(file).isascii() or file.exists():
        return file
    others = (file.parent / unicodedata.normalize(form, file.name) for form in ("NFC", "NFD"))
    return next((other for other in others if other.exists()), file)


@dataclass(frozen=True)
class _Table:
    names: list[str]
    column: Callable[[str], list[Any]]
    """The values of a column by its name."""
    place: Callable[[int], str]
    """Where a row stands."""


def _read_csv(file: Path, name: str) -> _Table:
    try:
        with file.open("rb") as opened:
            data = opened.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise DataError(f"{name}: too large; wanted {MOST_BYTES >> 20} MiB at most, or Parquet")
        text = data.decode("utf-8-sig")
        del data
    except UnicodeDecodeError as fault:
        line, got = fault.object.count(b"\n", 0, fault.start) + 1, fault.object[fault.start]
        raise DataError(f"{name}:{line}: not UTF-8 text: got byte 0x{got:02x}; save the file as UTF-8") from None
    reader = csv.reader((found[0] for found in _LINE.finditer(text)), strict=True, skipinitialspace=True)
    names: list[str] = []
    rows: list[list[str]] = []
    lines: list[int] = []
    line = 1
    try:
        for row in reader:
            begun, line = line, reader.line_num + 1
            if not row:
                continue
            if not names:
                names = [name.strip() for name in row]
                continue
            if len(row) != len(names):
                raise DataError(f"{name}:{begun}: got {len(row)} values, wanted {len(names)}: {', '.join(names)}")
            if (len(rows) + 1) * len(names) > MOST_CELLS:
                raise DataError(f"{name}:{begun}: too many values; wanted {MOST_CELLS:,} at most")
            rows.append(row)
            lines.append(begun)
    except csv.Error as fault:
        raise DataError(f"{name}:{line}: not CSV: {fault}") from None

    def column(wanted: str) -> list[Any]:
        at = names.index(wanted)
        return [row[at] for row in rows]

    return _Table(names, column, lambda row: f"{name}:{lines[row]}")


def _read_parquet(file: Path, name: str) -> _Table:
    import pyarrow
    import pyarrow.parquet

    faults = (pyarrow.ArrowException, OSError, ValueError, KeyError)

    def column(wanted: str) -> list[Any]:
        values: list[Any] = []
        room = MOST_BYTES
        try:
            # a text that a file holds once, for many rows, is read once
            with pyarrow.parquet.ParquetFile(file, read_dictionary=[wanted] if wanted in texts else None) as opened:
                for batch in opened.iter_batches(_ROWS_AT_ONCE, columns=[wanted]):
                    room -= _unpacked(batch.column(0))
                    if room < 0:
                        raise DataError(f"{name}: column {wanted!r}: wanted {MOST_BYTES >> 20} MiB at most")
                    values += batch.column(0).to_pylist()
        except faults as fault:
            raise DataError(f"{name}: column {wanted!r} cannot be read: {_first_line(fault)}") from None
        return values

    try:
        with pyarrow.parquet.ParquetFile(file) as opened:
            names, groups = list(opened.schema_arrow.names), opened.metadata
            texts = {field.name for field in opened.schema_arrow if field.type in (pyarrow.string(), pyarrow.binary())}
            count = 0
            for group in (groups.row_group(number) for number in range(groups.num_row_groups)):
                count += sum(group.column(number).num_values for number in range(group.num_columns))
    except faults as fault:
        raise DataError(f"{name}: not a readable Parquet file: {_first_line(fault)}") from None
    if count > MOST_CELLS:
        raise DataError(f"{name}: got {count:,} values, wanted {MOST_CELLS:,} at most")
    return _Table(names, column, lambda row: f"{name}: row {row + 1}")


def _unpacked(values: Any) -> int:
    """Bytes of a column of Arrow once each of its rows has a value of its own."""
    import pyarrow
    import pyarrow.compute

    if not pyarrow.types.is_dictionary(values.type):
        return int(values.nbytes)
    lengths = pyarrow.compute.binary_length(values.dictionary.cast(pyarrow.large_binary()))
    return int(pyarrow.compute.sum(lengths.take(values.indices.drop_null())).as_py() or 0)


def _first_line(fault: Exception) -> str:
    return next(iter(str(fault).splitlines()), type(fault).__name__)


def _text(value: Any) -> str:
    return "" if _is_missing(value) else str(value)


def _label(value: Any) -> Any:
    if _is_missing(value) or value == "":
        return None
    if isinstance(value, str):
        return WrittenLabel(value)
    # numbers of classes become floats where a table of numbers has gaps
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _listed(words: list[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


_FLAGS = {"true": True, "false": False, "yes": True, "no": False, "1": True, "0": False}

MANIFESTS: dict[str, Callable[[Path, str], _Table]] = {
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}
