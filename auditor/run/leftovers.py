"""What a killed process leaves in a folder of runs, and the sweeping of it: nothing foreign, nothing still written."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from auditor.errors import ReportError
from auditor.run.files import ARRAYS, BUNDLE, FOLDER, FORMATS, HASHES, RESULT, ROWS, is_pictures, sync
from auditor.run.journal import is_of_journal, is_written, read_journal_name
from auditor.run.store import complete_growth, load_hashes
from auditor.run.unfinished import Unfinished, read_unfinished

_OWN = {RESULT, ROWS, ARRAYS, HASHES, BUNDLE, *FORMATS.values()}
"""Files of a run, in whatever format its report is."""


_LONGEST_WAIT = 30 * 24 * 3600.0
"""Seconds that the journal of an audit is kept for it to be resumed."""


@dataclass(frozen=True)
class Leftover:
    """Something unfinished in a folder of runs."""

    path: Path
    run: str
    """The folder of the run that it belongs to; empty for what belongs to all of them."""
    writer: str
    """Who is at it; empty where nobody is any more."""
    foreign: str = ""
    """Something in it that the product did not write."""

    @property
    def is_abandoned(self) -> bool:
        """Whether it may be swept."""
        return not self.writer and not self.foreign


def find_leftovers(reports: Path) -> list[Leftover]:
    """Everything unfinished in a folder of runs, what is being written among it.

    Raises
    ------
    OSError
        The folder cannot be read.
    """
    found = []
    with os.scandir(reports) as items:
        for item in items:
            if read_journal_name(item.name) and item.is_dir(follow_symlinks=False):
                found += _of_journal(Path(item.path), item.stat().st_mtime)
            elif item.name.startswith("."):
                unfinished = read_unfinished(Path(item.path))
                if unfinished is not None and not item.is_symlink():
                    found.append(_of_run(unfinished) if item.is_dir() else _of_file(unfinished, ""))
            elif item.is_dir(follow_symlinks=False):
                found += _inside(item.path, item.name)
    return found


def _of_journal(folder: Path, changed: float) -> list[Leftover]:
    """One that is written, or that nobody came back to; any other waits for its audit to be resumed."""
    run = read_journal_name(folder.name)
    if is_written(folder):
        return [Leftover(folder, run, "an audit")]
    return [Leftover(folder, run, "", _foreign_in(folder))] if time.time() - changed > _LONGEST_WAIT else []


def _inside(folder: str, run: str) -> list[Leftover]:
    """Files of a report that were never put in their places."""
    found = []
    with contextlib.suppress(OSError), os.scandir(folder) as items:  # a fault is told where runs are listed
        for item in items:
            if item.name == FOLDER and item.is_dir(follow_symlinks=False) and not folder.endswith(FOLDER):
                found += _inside(item.path, run)
            elif item.name.startswith(".") and item.is_file(follow_symlinks=False):
                unfinished = read_unfinished(Path(item.path))
                found += [] if unfinished is None else [_of_file(unfinished, run)]
    return found


def _of_file(unfinished: Unfinished, run: str) -> Leftover:
    return Leftover(unfinished.path, run, unfinished.writer)


def _of_run(unfinished: Unfinished) -> Leftover:
    return Leftover(unfinished.path, unfinished.name, unfinished.writer, _foreign_in(unfinished.path))


def _foreign_in(folder: Path) -> str:
    try:
        return next(iter(foreign_files(folder)), "")
    except ReportError as fault:
        return str(fault)


def sweep(reports: Path) -> list[Path]:
    """Clear away what is abandoned, and end what was cut short; returns what was swept.

    What cannot be swept stays: it is in nobody's way. Whoever calls this holds the lock of the folder's index.

    Raises
    ------
    OSError
        The folder cannot be read.
    """
    swept = []
    for leftover in find_leftovers(reports):
        if leftover.is_abandoned:
            with contextlib.suppress(OSError):
                _clear(leftover)
                swept.append(leftover.path)
    return swept


def _clear(leftover: Leftover) -> None:
    path = leftover.path
    if not path.is_dir():
        path.unlink(missing_ok=True)
        return
    run = path.parent / leftover.run
    if path.suffix == ".growth" and run.is_dir() and not run.is_symlink():
        complete_growth(path, run)
    remove_own(path)


def remove_own(folder: Path) -> None:
    """Remove a folder in which there is nothing foreign; its record of what is its own goes last.

    Raises
    ------
    OSError
        It cannot be removed, or something foreign came into it meanwhile, which stays.
    """
    recorded = _recorded(folder)
    with os.scandir(folder) as items:
        found = sorted(items, key=lambda item: item.name == HASHES)
    for item in found:
        if is_pictures(Path(item.path)):
            for picture in Path(item.path).iterdir():
                picture.unlink(missing_ok=True)
            os.rmdir(item.path)
        elif _is_own(item, recorded):
            Path(item.path).unlink(missing_ok=True)
    folder.rmdir()
    sync(folder.parent)


def foreign_files(folder: Path) -> list[str]:
    """Names of what Auditor did not write in the folder of a run.

    Raises
    ------
    ReportError
        The folder cannot be read.
    """
    try:
        with os.scandir(folder) as found:
            known = _recorded(folder)
            names = [item.name for item in found if not (_is_own(item, known) or is_pictures(folder / item.name))]
    except OSError as fault:
        raise ReportError(f"{folder}: cannot be read: {fault.strerror}") from None
    return sorted(name.encode("utf-8", "replace").decode() for name in names)


def _recorded(folder: Path) -> set[str]:
    """Files that Auditor wrote down as those of a run, what a user's exporter made among them."""
    try:
        hashes = load_hashes(folder)
    except ReportError:
        return set()
    return set() if hashes is None else set(hashes.files)


def is_own_name(name: str, recorded: Collection[str]) -> bool:
    """Whether a file of that name in the folder of a run is Auditor's; `recorded` are those of its `hashes.json`."""
    return name in _OWN or name in recorded or is_of_journal(name)


def _is_own(item: os.DirEntry[str], recorded: set[str]) -> bool:
    is_known = is_own_name(item.name, recorded)
    return (is_known or read_unfinished(Path(item.path)) is not None) and item.is_file(follow_symlinks=False)
