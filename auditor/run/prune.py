"""Clearing away old runs, and nothing but runs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from auditor.errors import ReportError
from auditor.run.accepted import accepted_runs
from auditor.run.files import ARRAYS, BUNDLE, FORMATS, HASHES, RESULT, ROWS, is_pictures
from auditor.run.index import Entry, Listing, is_run_id, moment
from auditor.run.store import load_hashes

_OWN = {RESULT, ROWS, ARRAYS, HASHES, BUNDLE, *FORMATS.values()}
"""Files of a run, in whatever format its report is."""


@dataclass(frozen=True)
class Plan:
    """What a rule of retention would do."""

    remove: list[Entry]
    keep: list[Entry]
    spared: list[str]
    """Runs that the rule would remove and that hold something Auditor did not write, and what."""


def plan_removal(reports: Path, listing: Listing, *, keep: int | None, older_than: float | None, now: datetime) -> Plan:
    """Which runs to remove: those beyond the `keep` newest that are also older than `older_than` days.

    A run that cannot be read is in no listing, so it is neither counted nor removed. One that was accepted is kept.

    Raises
    ------
    ReportError
        A run's folder, or the list of those accepted, cannot be read.
    """
    assert keep is not None or older_than is not None
    accepted = accepted_runs(reports)
    remove: list[Entry] = []
    kept: list[Entry] = []
    spared = []
    for number, entry in enumerate(listing.entries):
        is_beyond = (keep is None or number >= keep) and entry.id not in accepted
        is_old = older_than is None or moment(entry.started) < now - timedelta(days=older_than)
        foreign = _foreign_files(reports / entry.id) if is_beyond and is_old else []
        if foreign:
            spared.append(f"{reports / entry.id}: holds {foreign[0]!r}, which is no file of a run")
        (remove if is_beyond and is_old and not foreign else kept).append(entry)
    return Plan(remove, kept, spared)


def remove_runs(reports: Path, entries: Sequence[Entry]) -> None:
    """Remove runs; each vanishes at once, so that an interruption leaves no half of one.

    Raises
    ------
    ReportError
        A run cannot be removed.
    """
    for left in reports.glob(".*.removed"):  # by one that was interrupted
        if is_run_id(left.name[1:].removesuffix(".removed")) and not left.is_symlink():
            shutil.rmtree(left, ignore_errors=True)
    for entry in entries:
        folder, doomed = reports / entry.id, reports / f".{entry.id}.removed"
        try:
            if folder.is_symlink():
                continue
            os.rename(folder, doomed)
            shutil.rmtree(doomed)
        except FileNotFoundError:
            continue  # somebody else was quicker
        except OSError as fault:
            raise ReportError(f"{folder}: cannot be removed: {fault.strerror or fault}") from None


def _foreign_files(folder: Path) -> list[str]:
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


def _is_own(item: os.DirEntry[str], recorded: set[str]) -> bool:
    return (item.name in _OWN or item.name in recorded) and item.is_file(follow_symlinks=False)
