"""The runs of a folder on an object store, which knows no rename and no lock.

The files of a run are put there one by one, and `hashes.json` last: a run without it is not whole, and is not listed.
Whoever reads a run holds its files against these hashes. So one that is being replaced is told from a whole one.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from auditor.errors import NotGivenError, ReportError, StoreError
from auditor.run.accepted import ACCEPTED, Acceptance, accept_run, parse_accepted
from auditor.run.files import ARRAYS, HASHES, RESULT, ROWS, is_beside
from auditor.run.index import INDEX, Listing, is_run_id, list_runs, moment, read_lines
from auditor.run.leftovers import is_own_name
from auditor.run.result import AuditResult, result_from_json
from auditor.run.store import Hashes, hash_file, parse_hashes
from auditor.stores.address import Place, Stored
from auditor.stores.fetched import call_copy, fetch_into, refuse_large, scratch
from auditor.stores.store import LOST, kind_of, list_files, read, remove, write

_EVIDENCE = (RESULT, ROWS, ARRAYS)

NOT_WHOLE = f"has no {HASHES}: it is being written, or was cut short"


def read_stored_runs(reports: Stored) -> Listing:
    """Find the runs of a folder on a store; writes nothing.

    Raises
    ------
    StoreError
        There is no such folder, or it cannot be read.
    """
    sizes: dict[str, dict[str, int]] = {}
    for file in list_files(reports):
        run, _, name = file.below(reports).partition("/")
        if name:
            sizes.setdefault(run, {})[name] = file.size or 0
    if not sizes:
        kind_of(reports)
    standing, faults = dict[str, int](), list[str]()
    for run, files in sizes.items():
        if RESULT in files and not run.startswith(".") and is_run_id(run):
            if HASHES in files:
                standing[run] = files[RESULT]
            else:
                faults.append(f"{reports / run}: {NOT_WHOLE}")
    try:
        known = read_lines(read(reports / INDEX))
    except NotGivenError:  # the runs are read instead
        known = {}
    return list_runs(known, standing, faults, load=partial(_load, reports), holds=lambda run, page: page in sizes[run])


@contextlib.contextmanager
def on_disk(run: Place, *, is_whole: bool = False, sends: bool = False) -> Iterator[Path]:
    """The folder of a run; of one on a store a copy with its evidence.

    Parameters
    ----------
    is_whole
        The copy has all files of the run, as they are, whether they fit their hashes or not.
    sends
        What became of the copy is put in the place of the run, unless something is raised.

    Raises
    ------
    ReportError
        The run is not whole, or not as it was written.
    StoreError
        It is not there, or cannot be read or written.
    """
    if isinstance(run, Path):
        yield run
        return
    folder = fetch_run(run, is_whole=is_whole or sends, is_checked=not is_whole)
    fetched = {name: hash_file(folder / name) for name in _names(folder)} if sends else {}
    if sends:  # one that was accepted stays as it was
        (folder.parent / ACCEPTED).write_bytes(_read_if_there(run.parent / ACCEPTED))
    yield folder
    if sends:
        send_run(folder, run, fetched)  # what was not changed may be newer there


def fetch_run(run: Stored, beside: Path | None = None, *, is_whole: bool = False, is_checked: bool = True) -> Path:
    """A copy of a run on a store; into a folder of runs on the disk, else into one of its own.

    Parameters
    ----------
    is_whole
        All files are copied; else the evidence alone.
    is_checked
        The evidence is held against its hashes.

    Raises
    ------
    ReportError
        The run is not whole, or not as it was written.
    StoreError
        It is not there, or cannot be read.
    """
    files = {file.below(run): file for file in list_files(run)}
    if RESULT not in files:
        raise ReportError(f"{run}: no {RESULT} there; wanted the folder of a saved run")
    if HASHES not in files:
        raise ReportError(f"{run}: {NOT_WHOLE}")
    wanted = list(files) if is_whole else [name for name in (*_EVIDENCE, HASHES) if name in files]
    refuse_large(run, sum(files[name].size or 0 for name in wanted))
    folder = (beside or Path(tempfile.mkdtemp(dir=scratch()))) / run.name
    call_copy(folder, run)
    for name in wanted:
        fetch_into(files[name], folder, name)
    known = parse_hashes((folder / HASHES).read_bytes(), run / HASHES)
    for name in _EVIDENCE if is_checked else ():
        if name in known.files and not _is_as_written(folder, name, known):
            raise ReportError(f"{run / name}: is not what {HASHES} says: it is being written, was cut short or changed")
    return folder


def send_run(folder: Path, run: Stored, sent: dict[str, str] | None = None) -> None:
    """Put a run into its place on a store: its files, and then what makes them a run.

    Parameters
    ----------
    sent
        Hashes of what is there already by the names of files, and is not sent again; it is brought up to date.

    Raises
    ------
    StoreError
        The store does not take it.
    """
    sent = {} if sent is None else sent
    hashes = {name: hash_file(folder / name) for name in _names(folder)}
    for name in sorted(hashes, key=lambda name: name == HASHES):
        if sent.get(name) != hashes[name]:
            write(run / name, folder / name)
            sent[name] = hashes[name]
    for file in list_files(run):
        name = file.below(run)
        if is_beside(name) and name not in hashes:  # it may show more than the report that is there now
            remove(file)


def _names(folder: Path) -> list[str]:
    """The names of the files of a run from its folder, but for hidden ones."""
    files = (file for file in folder.rglob("*") if file.is_file() and not file.name.startswith("."))
    return [file.relative_to(folder).as_posix() for file in files]


def remove_stored_run(reports: Stored, run: str) -> None:
    """Remove a run from a store: it is none from the first file on.

    Raises
    ------
    StoreError
        It cannot be removed.
    """
    if why_stored_spared(reports, run):
        return  # since it was planned
    remove(reports / run / HASHES)
    for file in list_files(reports / run):
        remove(file)


def why_stored_spared(reports: Stored, run: str) -> str:
    """Why a run on a store is not to be removed; empty where it may be."""
    names = [file.below(reports / run) for file in list_files(reports / run)]
    if HASHES not in names:
        return "is being written, or removed"
    result = _load(reports, run)
    is_new = moment(result.provenance.started) > datetime.now(UTC) - timedelta(days=1)
    if is_new and any(unit.status == "missing" for unit in result.units):
        return "an audit that began within a day may still add to it"
    recorded = parse_hashes(read(reports / run / HASHES), reports / run / HASHES).files
    foreign = [name for name in names if not (is_own_name(name, recorded) or is_beside(name))]
    return f"holds {foreign[0]!r}, which is no file of a run" if foreign else ""


def read_stored_acceptances(reports: Stored) -> list[Acceptance]:
    """Every acceptance among the runs of a folder on a store.

    Raises
    ------
    ReportError
        The list is damaged.
    StoreError
        There is no such folder, or it cannot be read.
    """
    data = _read_if_there(reports / ACCEPTED)
    if not data:
        kind_of(reports)
    return parse_accepted(data, reports / ACCEPTED)


def bring_accepted(reports: Stored, key: str) -> Path:
    """A folder here with the list of what was accepted, and with the run that was accepted last under a key.

    Raises
    ------
    ReportError
        The list is damaged, or the run is not whole.
    StoreError
        They cannot be read.
    """
    data = _read_if_there(reports / ACCEPTED)
    accepted = parse_accepted(data, reports / ACCEPTED)
    folder = Path(tempfile.mkdtemp(dir=scratch()))
    call_copy(folder, reports)
    (folder / ACCEPTED).write_bytes(data)
    last = next((each.run for each in reversed(accepted) if each.key == key), None)
    if last is not None:
        with contextlib.suppress(NotGivenError, ReportError):  # that it is gone or changed is told by who judges
            fetch_run(reports / last, folder)
    return folder


def accept_stored_run(run: Stored, reason: str, by: str, *, key: str = "") -> Acceptance:
    """Accept a run on a store: see `accept_run`.

    A store has no lock: where two are accepted within a second one may take the other's line away, which is noticed.

    Raises
    ------
    ReportError
        As `accept_run`; or somebody else accepted one at the same time.
    """
    folder, there = fetch_run(run), run.parent / ACCEPTED
    (folder.parent / ACCEPTED).write_bytes(_read_if_there(there))
    acceptance = accept_run(folder, reason, by, key=key)
    write(there, folder.parent / ACCEPTED)
    if acceptance not in read_stored_acceptances(run.parent):
        raise ReportError(f"{there}: somebody else accepted a run at the same time; accept it again")
    return acceptance


def refuse_unwritable_store(reports: Stored) -> None:
    """A run that could not be sent is better not begun.

    Raises
    ------
    StoreError
        The store takes no files there.
    """
    probe = reports / ".auditor"
    write(probe, b"may be removed\n")
    with contextlib.suppress(StoreError):  # who may write need not be one who may remove
        remove(probe)


def _load(reports: Stored, run: str) -> AuditResult:
    file = reports / run / RESULT
    try:
        return result_from_json(read(file).decode("utf-8"), str(file))
    except (ValueError, RecursionError, NotGivenError) as fault:
        raise ReportError(f"{file}: cannot be read: {fault}") from None


def _is_as_written(folder: Path, name: str, known: Hashes) -> bool:
    return (folder / name).is_file() and hash_file(folder / name) == known.files[name]


def _read_if_there(file: Stored) -> bytes:
    """The bytes of a file; none where none is there, which what is denied, or cut short, may well be."""
    try:
        return read(file)
    except NotGivenError as fault:
        if fault.reason != LOST:
            raise
        return b""
