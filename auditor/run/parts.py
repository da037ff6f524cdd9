"""The rows and arrays of a saved run, as files: a table, and an archive of which each array is read by itself."""

from __future__ import annotations

import contextlib
import io
import zipfile
import zlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from auditor.errors import ReportError
from auditor.measure.arrays import Array
from auditor.measure.columns import Texts, Values
from auditor.measure.ledger import COLUMNS, Arrays, Rows
from auditor.run.limits import refuse_odd


def write_rows(file: Path, rows: Rows) -> None:
    """Write rows as Parquet, some at a time: as a table they take far more memory than as they are held."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    usual = pa.default_memory_pool()
    pa.set_memory_pool(pa.system_memory_pool())  # the usual one keeps three times as much as it uses
    try:
        first = tabulate(rows, slice(_ROWS_AT_ONCE))
        with pq.ParquetWriter(file, first.schema, compression="zstd") as writer:
            writer.write_table(first)
            for at in range(_ROWS_AT_ONCE, len(rows), _ROWS_AT_ONCE):
                writer.write_table(tabulate(rows, slice(at, at + _ROWS_AT_ONCE)))
    finally:
        pa.set_memory_pool(usual)


_ROWS_AT_ONCE = 2**14


def tabulate(rows: Rows, part: slice = slice(None)) -> Any:
    """Rows, or some of them, as the Arrow table that they are saved as."""
    import pyarrow as pa

    table = {}
    for name in COLUMNS:
        column = rows.columns[name]
        if isinstance(column, Texts):
            known: dict[str | None, int] = {}  # one table for all blocks, of which there are many and short ones
            codes = [np.zeros(0, np.int64)]
            for block, start, stop in column.blocks(part):
                used, at = np.unique(block.part(start, stop), return_inverse=True)
                numbers = [known.setdefault(block.table[code], len(known)) for code in used.tolist()]
                codes.append(np.array(numbers, np.int64)[at])
            texts = pa.array(map(_storable, known), pa.string())
            table[name] = texts.take(pa.array(np.concatenate(codes)))
        elif isinstance(column, Values):
            table[name] = pa.array(column.numbers(part), pa.float64(), from_pandas=True)
        else:
            table[name] = pa.array(map(_storable, column[part]), pa.float64() if name == "value" else pa.string())
    return pa.table(table)


def _storable(value: str | float | None) -> str | float | None:
    """Halves of surrogate pairs, which names of files may hold and UTF-8 may not, written out."""
    return value.encode("utf-8", "backslashreplace").decode("utf-8") if isinstance(value, str) else value


def write_arrays(file: Path, arrays: Arrays) -> None:
    """As `numpy.savez` does, under plain names: keys hold user text, which must not become paths inside a zip.

    What hardly shrinks is stored as it is: maps are noise to a compressor, and are read sooner without one.
    """
    names = np.array(list(arrays), dtype=np.str_)
    with zipfile.ZipFile(file, "w") as archive:
        for name, values in [
            ("names", names),
            *((f"a{number}", values) for number, values in enumerate(arrays.values())),
        ]:
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.asanyarray(values), allow_pickle=False)
            sample = buffer.getvalue()[:_SAMPLE]
            shrinks = len(zlib.compress(sample)) < _WORTHWHILE * len(sample)
            way = zipfile.ZIP_DEFLATED if shrinks else zipfile.ZIP_STORED
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), buffer.getbuffer(), way)


_SAMPLE, _WORTHWHILE = 2**16, 0.7
"""Bytes of an array that are tried, and how far they must shrink."""


class SavedArrays(Arrays):
    """A run's pictures and maps, each read when it is asked for: all of them at once may not fit into memory.

    Raises
    ------
    ReportError
        At the first look that they are missing or damaged; of one array this is found when it is read.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    @cached_property
    def _archive(self) -> zipfile.ZipFile:
        refuse_odd(self._file)
        return zipfile.ZipFile(self._file)

    @cached_property
    def _keys(self) -> dict[str, str]:
        with self._told():
            names = _decode(self._archive.read("names.npy"))
            return {str(name): f"a{number}.npy" for number, name in enumerate(names)}

    def __getitem__(self, name: str) -> Array:
        key = self._keys[name]
        with self._told():
            return _decode(self._archive.read(key))

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise ReportError(f"{self._file}: missing; the run cannot be shown without its pictures") from None
        except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as fault:
            raise ReportError(f"{self._file}: damaged: {fault}") from None


def _decode(data: bytes) -> Array:
    """An array as `numpy.save` writes it, without the copies that `numpy.load` makes of a zip's members."""
    buffer = io.BytesIO(data)
    if np.lib.format.read_magic(buffer) == (1, 0):
        shape, is_turned, dtype = np.lib.format.read_array_header_1_0(buffer)
        if not is_turned and not dtype.hasobject:
            return np.frombuffer(data, dtype, offset=buffer.tell()).reshape(shape)
    buffer.seek(0)
    values: Array = np.lib.format.read_array(buffer, allow_pickle=False)
    return values
