"""The runs of a folder, a line each in its `index.jsonl`: lines are only ever added, and only for folders that stand.

The folders are the truth and the file is what was read of them. A run that the file does not know, copied in or lost
with a torn line, is read from its `result.json` and added; a line whose folder is gone counts no more.
"""

from __future__ import annotations

import errno
import fcntl
import json
import math
import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pydantic

from auditor.errors import ReportError
from auditor.run.files import PAGE, PDF, RESULT, write_files
from auditor.run.limits import refuse_odd
from auditor.run.result import AuditResult
from auditor.run.store import load_result
from auditor.verdict.record import Direction, Finding, Severity, Told, Verdict, told_as

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

INDEX = "index.jsonl"

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")

_PATIENCE = 15.0
"""Seconds to wait for another process that is writing the index."""


@dataclass(frozen=True)
class Outcome:
    """What a run found of one artefact and target."""

    artefact: str
    target: str | None
    """None where every class was tried and none is relied on with it."""
    scanned: bool
    verdict: Verdict
    direction: Direction | None
    severity: Severity | None
    endpoint: str | None
    value: pydantic.FiniteFloat | None
    low: pydantic.FiniteFloat | None
    high: pydantic.FiniteFloat | None
    n: int
    unit: str
    margin: pydantic.FiniteFloat
    is_suspect: bool = False
    """Whether nobody named it."""

    @property
    def told(self) -> Told:
        """The verdict as readers are told it."""
        return told_as(self.verdict, is_suspect=self.is_suspect)


@dataclass(frozen=True)
class Entry:
    """One run, as a line of the index."""

    id: str
    """Name of its folder."""
    started: str
    title: str
    model: str
    model_sha256: str | None
    data: str
    data_sha256: str | None
    exit_code: int
    outcomes: list[Outcome]
    size: int
    """Bytes of its `result.json`: another file in its place has another size and is read again."""
    version: Literal[1] = 1


@dataclass(frozen=True)
class Listing:
    """The runs that stand in a folder, newest first."""

    entries: list[Entry]
    unlisted: list[Entry] = field(default_factory=list)
    """Those among them that `index.jsonl` does not know yet."""
    reports: dict[str, list[str]] = field(default_factory=dict)
    """Which of report.html and report.pdf each run has, by its id."""
    faults: list[str] = field(default_factory=list)
    """Folders that look like runs and could not be listed, and why."""


def is_run_id(name: str) -> bool:
    """Whether a folder of this name may be a run: nothing that a path, an address or a page could take amiss."""
    return _RUN_ID.fullmatch(name) is not None


def read_runs(reports: Path) -> Listing:
    """Find the runs of a folder; writes nothing.

    Raises
    ------
    ReportError
        The folder or its index cannot be read.
    """
    try:
        known = _read_lines(reports / INDEX)
        standing, faults = _find_folders(reports)
    except OSError as fault:
        raise ReportError(f"{reports}: the runs cannot be listed: {fault.strerror or fault}") from None
    return list_runs(
        known,
        standing,
        faults,
        load=lambda name: load_result(reports / name),
        holds=lambda name, page: os.path.isfile(f"{reports}/{name}/{page}"),
    )


def list_runs(
    known: Mapping[str, Entry],
    standing: Mapping[str, int],
    faults: Sequence[str],
    *,
    load: Callable[[str], AuditResult],
    holds: Callable[[str, str], bool],
) -> Listing:
    """The listing of the runs that stand somewhere, each as it is known, else as it is read.

    Parameters
    ----------
    known
        Entries by the ids of runs.
    standing
        Bytes of `result.json` by the names of folders.
    faults
        What is wrong with others.
    load, holds
        Read a run's result; tell whether a run has a file.
    """
    entries, unlisted, faults = list[Entry](), list[Entry](), list(faults)
    for name, size in standing.items():
        entry = known.get(name)
        if entry is None or entry.size != size:
            try:
                entry = enter_run(name, load(name), size)
            except ReportError as fault:
                faults.append(str(fault))
                continue
            unlisted.append(entry)
        entries.append(entry)
    entries.sort(key=lambda entry: (moment(entry.started), entry.id), reverse=True)
    present = {entry.id: [page for page in (PAGE, PDF) if holds(entry.id, page)] for entry in entries}
    return Listing(entries, unlisted, present, faults)


def add_lines(file: Path, entries: Sequence[DataclassInstance]) -> None:
    """Append a line per run in one write, after a line of its own where a process died in the middle of one."""
    if not entries:
        return
    descriptor = _open_lines(file, os.O_APPEND)
    try:
        size = os.fstat(descriptor).st_size
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        data = b"\n" * torn + b"".join(map(_line, entries))
        if os.write(descriptor, data) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(reports: Path) -> Iterator[None]:
    """Let one process at a time renew what is made from the runs of a folder: the last one has seen all of them.

    Raises
    ------
    ReportError
        The folder cannot be written, or another process holds on to it.
    """
    file, deadline = reports / INDEX, time.monotonic() + _PATIENCE
    while True:
        try:
            if file.is_symlink():  # it leads to what was not written here, and gives way
                file.unlink()
            descriptor = _open_lines(file)
        except OSError as fault:
            raise ReportError(f"{file}: cannot be written: {fault.strerror}") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(descriptor), os.lstat(file)):
                break
        except (BlockingIOError, FileNotFoundError):
            pass
        except OSError as fault:  # some network file systems know no locks
            os.close(descriptor)
            raise ReportError(f"{file}: cannot be locked: {fault.strerror}") from None
        os.close(descriptor)  # another process has it, or has put a new one in its place
        if time.monotonic() > deadline:
            raise ReportError(f"{file}: another process has been writing it for {_PATIENCE:g} s")
        time.sleep(0.02)
    try:
        yield
    finally:
        os.close(descriptor)


def read_line(line: bytes) -> Entry | None:
    """The run that a line of the index tells of; None where it is torn, or another version wrote it."""
    try:
        return _adapter().validate_json(line)
    except pydantic.ValidationError:
        return None


def rewrite_lines(reports: Path, entries: Sequence[Entry]) -> None:
    """Put an index of these runs alone in the place of the one that is there; only under the lock.

    Raises
    ------
    ReportError
        The folder cannot be written.
    """
    write_files({reports / INDEX: write_lines(entries)})


def write_lines(entries: Sequence[Entry]) -> bytes:
    """An index of these runs, the newest first, as the file has them."""
    return b"".join(_line(entry) for entry in reversed(entries))


def read_lines(data: bytes) -> dict[str, Entry]:
    """Runs by id as an index has them; a line that was torn, or that another version wrote, counts as not there."""
    entries = map(read_line, data.split(b"\n"))
    return {entry.id: entry for entry in entries if entry is not None}


def _line(entry: DataclassInstance) -> bytes:
    return (json.dumps(asdict(entry), allow_nan=False, separators=(",", ":")) + "\n").encode()


def _open_lines(file: Path, flags: int = 0) -> int:
    """A file of lines to write to, made where it is missing; no link is followed."""
    descriptor = os.open(file, flags | os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "a pipe or a device; wanted a file")
    return descriptor


def enter_run(name: str, result: AuditResult, size: int) -> Entry:
    """The line of a run from its result."""
    return Entry(
        id=name,
        started=result.provenance.started,
        title=_whole(result.title),
        model=_whole(result.model.source),
        model_sha256=result.model.sha256,
        data=_whole(result.data.source),
        data_sha256=result.data.sha256,
        exit_code=result.exit_code,
        outcomes=[_outcome(finding) for finding in result.findings],
        size=size,
    )


def moment(started: str) -> datetime:
    """When a run started; what is no time counts as long ago."""
    try:
        time = datetime.fromisoformat(started)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _outcome(finding: Finding) -> Outcome:
    endpoint = finding.effect
    is_open = finding.scanned and finding.verdict != "relies"
    return Outcome(
        artefact=_whole(finding.artefact),
        target=None if is_open or finding.target is None else _whole(finding.target),
        scanned=bool(finding.scanned),
        verdict=finding.verdict,
        direction=finding.direction,
        severity=finding.severity,
        endpoint=finding.endpoint,
        value=_finite(endpoint.value if endpoint else None),
        low=_finite(endpoint.decisive.low if endpoint else None),
        high=_finite(endpoint.high if endpoint else None),
        n=endpoint.n if endpoint else 0,
        unit=endpoint.unit if endpoint else "",
        margin=_finite(finding.margin) or 0.0,
        is_suspect=finding.is_suspect,
    )


def _whole(text: str) -> str:
    """Text without halves of surrogate pairs, which no reader of JSON lines takes."""
    return text.encode("utf-8", "replace").decode()


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


@cache
def _adapter() -> pydantic.TypeAdapter[Entry]:
    return pydantic.TypeAdapter(Entry)


def _read_lines(file: Path) -> dict[str, Entry]:
    """The runs of an index by id; none where it leads elsewhere or is not there."""
    if file.is_symlink():  # whatever it leads to was not written here
        return {}
    refuse_odd(file)
    try:
        return read_lines(file.read_bytes())
    except FileNotFoundError:
        return {}


def _find_folders(reports: Path) -> tuple[dict[str, int], list[str]]:
    """Size of `result.json` by name of its folder, and what looks like a run and cannot be one."""
    standing, faults = {}, []
    with os.scandir(reports) as found:
        for item in found:
            if item.name.startswith("."):
                continue
            try:
                state = os.lstat(os.path.join(item.path, RESULT))
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as fault:
                faults.append(f"{reports / item.name}: cannot be read: {fault.strerror}")
                continue
            if item.is_symlink() or not stat.S_ISREG(state.st_mode):
                faults.append(f"{reports / item.name}: a symbolic link; wanted the run itself")
            elif not is_run_id(item.name):
                shown = item.name.encode("utf-8", "replace").decode()[:80]
                faults.append(f"{reports}: {shown!r}: no name of a run; wanted letters, digits, '.', '-' and '_'")
            else:
                standing[item.name] = state.st_size
    return standing, faults
