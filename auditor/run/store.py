"""The runs in a folder of reports: each a folder with `result.json`, `rows.parquet`, `arrays.npz` and their hashes."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pydantic

from auditor.errors import ReportError
from auditor.measure.ledger import Arrays, Rows
from auditor.run.files import ARRAYS, HASHES, PAGE, PDF, RESULT, ROWS, is_beside, make_folder, sync, write_files
from auditor.run.limits import refuse_odd
from auditor.run.parts import SavedArrays, write_arrays, write_rows
from auditor.run.result import AuditResult, result_from_json, result_to_json
from auditor.run.unfinished import in_hand
from auditor.stores.address import Place


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
    (folder / RESULT).write_text(result_to_json(run.result), encoding="utf-8")
    write_rows(folder / ROWS, run.rows)
    write_arrays(folder / ARRAYS, run.arrays)
    for name in (RESULT, ROWS, ARRAYS):
        sync(folder / name)
    hashes = {file: hash_file(folder / file) for file in (RESULT, ROWS, ARRAYS)}
    _write_hashes(folder, Hashes(hashes))  # last: where they are, all is whole


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
        return parse_hashes(file.read_bytes(), file)
    except FileNotFoundError:
        return None
    except OSError as fault:
        raise ReportError(f"{file}: damaged: {str(fault).splitlines()[0]}") from None


def parse_hashes(data: bytes, file: Place) -> Hashes:
    """What a record of hashes says, which lies there.

    Raises
    ------
    ReportError
        It is damaged.
    """
    try:
        return pydantic.TypeAdapter(Hashes).validate_json(data)
    except pydantic.ValidationError as fault:
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


def _write_hashes(folder: Path, hashes: Hashes) -> None:
    write_files({folder / HASHES: (json.dumps(asdict(hashes), indent=2) + "\n").encode()})
