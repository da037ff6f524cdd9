"""The runs in a folder of reports: each a folder with `result.json`, `rows.parquet`, `arrays.npz` and their hashes."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import os
import shutil
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pydantic

from auditor.errors import ReportError
from auditor.measure.arrays import Array
from auditor.measure.ledger import COLUMNS, Arrays, Rows
from auditor.run.files import ARRAYS, HASHES, PAGE, PDF, RESULT, ROWS, is_beside, make_folder, sync, write_files
from auditor.run.limits import refuse_odd
from auditor.run.result import AuditResult, result_from_json, result_to_json
from auditor.run.unfinished import in_hand


@dataclass(frozen=True)
class Run:
    """An audit's result with the data behind it."""

    result: AuditResult
    rows: Rows
    arrays: Arrays


@dataclass(frozen=True)
class Hashes:
    """What the files of a run were when they were written."""

    files: dict[str, str]
    """SHA-256 by name of the file."""
    run: str = ""
    """Name of the run as its report shows it; empty where there is no report yet."""
    versions: dict[str, str] = field(default_factory=dict)
    """Of all that drew the report: another version may draw it otherwise."""
    pictures: str = ""
    """How much the report shows of the audited images."""
    templates: str = ""
    """The folder of the user's own templates that drew the report, from the run's; empty for the built-in ones ..."""
    templates_hash: str = ""
    """... and what they were."""


def save_run(run: Run, reports: Path, name: str = "") -> Path:
    """Write a run into a new folder below `reports`, whole or not at all; returns the folder.

    It is on the disk, its folder too, when this returns.

    Parameters
    ----------
    name
        Of the folder, or how its name begins where there is one of that name; without it, when the run started.

    Raises
    ------
    ReportError
        The folder cannot be written.
    """
    if not name:
        stamp = run.result.provenance.started[:19].replace(":", "").replace("-", "")
        name = f"{stamp}-{hashlib.sha256(result_to_json(run.result).encode()).hexdigest()[:8]}"
    with in_hand(reports / name) as partial:
        try:
            make_folder(reports)
            partial.mkdir()
            _write_parts(run, partial)
            target = reports / name
            for attempt in range(1, 1000):
                try:
                    if not target.exists():
                        os.rename(partial, target)
                        sync(reports)
                        return target
                except OSError as fault:  # another process may have been quicker
                    if fault.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                        raise
                target = reports / f"{name}-{attempt}"
            raise ReportError(f"{reports}: no free name for run {name}")
        except OSError as fault:
            raise ReportError(f"{reports}: the run cannot be saved: {fault.strerror or fault}") from None
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def grow_run(run: Run, folder: Path) -> None:
    """Put what a run has become into its folder: all of it, or what stood there stands.

    What is added lies whole beside the run before any of it is put in its place: where that is cut short,
    `complete_growth` ends it.

    Raises
    ------
    ReportError
        The folder cannot be written.
    """
    with in_hand(folder, "growth") as growth:
        try:
            growth.mkdir()
            _write_parts(run, growth)
            sync(folder.parent)
            complete_growth(growth, folder)
        except OSError as fault:
            raise ReportError(f"{folder}: the run cannot be saved: {fault.strerror or fault}") from None
        finally:
            shutil.rmtree(growth, ignore_errors=True)


def complete_growth(growth: Path, folder: Path) -> None:
    """Put what was added to a run in its place, or what is left of it; nothing, where it was never whole.

    Raises
    ------
    OSError
        The folder cannot be written.
    """
    if not (growth / HASHES).is_file():  # the last to be written, and to be moved
        return
    for name in (ARRAYS, ROWS, RESULT, HASHES):  # a result never names an array that is not there yet
        with contextlib.suppress(FileNotFoundError):
            os.replace(growth / name, folder / name)
    sync(folder)


def _write_parts(run: Run, folder: Path) -> None:
    """The files of a run, on the disk."""
    import pyarrow.parquet as pq

    (folder / RESULT).write_text(result_to_json(run.result), encoding="utf-8")
    pq.write_table(tabulate(run.rows), folder / ROWS, compression="zstd")
    _write_arrays(folder / ARRAYS, run.arrays)
    for name in (RESULT, ROWS, ARRAYS):
        sync(folder / name)
    _write_hashes(
        folder, Hashes({file: hash_file(folder / file) for file in (RESULT, ROWS, ARRAYS)})
    )  # last: all is whole


@dataclass(frozen=True)
class SavedRun:
    """A run in its folder: each part is read when it is first asked for, and once.

    Raises
    ------
    ReportError
        At the reading of a part that is missing or damaged.
    """

    folder: Path

    @cached_property
    def text(self) -> str:
        """What `result.json` holds."""
        file = self.folder / RESULT
        refuse_odd(file)
        try:
            return file.read_bytes().decode("utf-8")
        except (FileNotFoundError, NotADirectoryError):
            raise ReportError(f"{self.folder}: no {RESULT} there; wanted the folder of a saved run") from None
        except (OSError, UnicodeDecodeError) as fault:
            raise ReportError(f"{file}: cannot be read: {fault}") from None

    @cached_property
    def result(self) -> AuditResult:
        """All that the audit found."""
        file = self.folder / RESULT
        try:
            return result_from_json(self.text, str(file))
        except (RecursionError, ValueError) as fault:  # nesting or a number that no reader of JSON takes
            raise ReportError(f"{file}: damaged: {fault}") from None

    @cached_property
    def arrays(self) -> Arrays:
        """Pictures and maps, each read when it is asked for."""
        return SavedArrays(self.folder / ARRAYS)

    @cached_property
    def rows(self) -> Any:
        """Measurements per image, an Arrow table."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        file = self.folder / ROWS
        refuse_odd(file)
        try:
            return pq.read_table(file, partitioning=None)
        except FileNotFoundError:
            raise ReportError(f"{file}: missing; wanted the rows of a saved run") from None
        except (OSError, pa.ArrowException) as fault:
            raise ReportError(f"{file}: damaged: {fault}") from None


def load_result(folder: Path) -> AuditResult:
    """Read a run's result, and nothing else.

    Raises
    ------
    ReportError
        The folder is no run, or its result is damaged.
    """
    return SavedRun(folder).result


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


def load_hashes(folder: Path) -> Hashes | None:
    """Read what a run's files were when they were written; None where nobody wrote it down.

    Raises
    ------
    ReportError
        The record is damaged.
    """
    file = folder / HASHES
    refuse_odd(file)
    try:
        return pydantic.TypeAdapter(Hashes).validate_json(file.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, pydantic.ValidationError) as fault:
        raise ReportError(f"{file}: damaged: {str(fault).splitlines()[0]}") from None


def record_report(
    folder: Path,
    names: Iterable[str],
    versions: Mapping[str, str],
    pictures: str,
    templates: tuple[Path, str] | None,
) -> list[str]:
    """Add the hashes of a new report to a run's; those of its evidence stay as they were first written.

    Parameters
    ----------
    templates
        The folder of the user's own templates that drew the report, and what they hold (`OwnTemplates.digest`), empty
        for the built-in ones; without them the circumstances recorded stay: what was written needs none of them.

    Returns
    -------
    list[str]
        Pages that lie there and were drawn otherwise than the new one: their hashes are no longer known.
    """
    known = load_hashes(folder) or Hashes({})
    drawn = Hashes({}, folder.absolute().name, dict(versions), pictures)
    if templates is not None and templates[1]:
        origin = Path(os.path.relpath(templates[0].resolve(), folder.resolve())).as_posix()
        drawn = replace(drawn, templates=origin, templates_hash=templates[1])
    if templates is None and known.run:
        drawn = replace(known, files={})
    new = {name: hash_file(folder / name) for name in names}
    is_other = replace(known, files={}) != drawn
    other = [name for name in (PAGE, PDF) if is_other and name not in new and name in known.files]
    kept = {
        name: digest
        for name, digest in known.files.items()
        if name not in other and (not is_beside(name) or ((folder / name).exists() and PAGE not in other))
    }
    _write_hashes(folder, replace(drawn, files=kept | new))
    return [name for name in other if (folder / name).exists()]


def record_files(folder: Path, names: Iterable[str]) -> None:
    """Add the hashes of further files to a run's, which makes them its own."""
    new = {name: hash_file(folder / name) for name in names}
    if new:
        known = load_hashes(folder) or Hashes({})
        _write_hashes(folder, replace(known, files=known.files | new))


def hash_file(file: Path) -> str:
    """SHA-256 of a file's bytes."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def tabulate(rows: Rows) -> Any:
    """Rows as the Arrow table that they are saved as."""
    import pyarrow as pa

    types = {column: pa.float64() if column == "value" else pa.string() for column in COLUMNS}
    return pa.table({column: pa.array(map(_storable, rows.columns[column]), types[column]) for column in COLUMNS})


def _storable(value: str | float | None) -> str | float | None:
    """Halves of surrogate pairs, which names of files may hold and UTF-8 may not, written out."""
    return value.encode("utf-8", "backslashreplace").decode("utf-8") if isinstance(value, str) else value


def _write_arrays(file: Path, arrays: Arrays) -> None:
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


def _write_hashes(folder: Path, hashes: Hashes) -> None:
    write_files({folder / HASHES: (json.dumps(asdict(hashes), indent=2) + "\n").encode()})
