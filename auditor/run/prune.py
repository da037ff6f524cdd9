"""Clearing away old runs, and nothing but runs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from auditor.errors import ReportError
from auditor.run.accepted import accepted_runs
from auditor.run.elsewhere import read_stored_acceptances, remove_stored_run, why_stored_spared
from auditor.run.files import sync
from auditor.run.index import Entry, Listing, moment
from auditor.run.leftovers import find_leftovers, foreign_files, remove_own
from auditor.run.unfinished import in_hand
from auditor.stores.address import Place, Stored


@dataclass(frozen=True)
class Plan:
    """What a rule of retention would do."""

    remove: list[Entry]
    keep: list[Entry]
    spared: list[str]
    """Runs that the rule would remove and that are being written, or hold something Auditor did not write."""


def plan_removal(
    reports: Place, listing: Listing, *, keep: int | None, older_than: float | None, now: datetime
) -> Plan:
    """Which runs to remove: those beyond the `keep` newest that are also older than `older_than` days.

    A run that cannot be read is in no listing, so it is neither counted nor removed. One that was accepted is kept.

    Raises
    ------
    ReportError
        A run's folder, or the list of those accepted, cannot be read.
    """
    assert keep is not None or older_than is not None
    if isinstance(reports, Stored):
        accepted = {acceptance.run for acceptance in read_stored_acceptances(reports)}
        why_spared = partial(why_stored_spared, reports)
    else:
        accepted, writers = accepted_runs(reports), _writers(reports)
        why_spared = partial(_why_spared, reports, writers)
    remove: list[Entry] = []
    kept: list[Entry] = []
    spared = []
    for number, entry in enumerate(listing.entries):
        is_beyond = (keep is None or number >= keep) and entry.id not in accepted
        is_old = older_than is None or moment(entry.started) < now - timedelta(days=older_than)
        reason = why_spared(entry.id) if is_beyond and is_old else ""
        if reason:
            spared.append(f"{reports / entry.id}: {reason}")
        (remove if is_beyond and is_old and not reason else kept).append(entry)
    return Plan(remove, kept, spared)


def _why_spared(reports: Path, writers: dict[str, str], run: str) -> str:
    """Why a run that a rule would remove stays all the same; empty where it goes."""
    folder = reports / run
    if folder.name in writers:
        return f"{writers[folder.name]} is writing it"
    foreign = foreign_files(folder)
    return f"holds {foreign[0]!r}, which is no file of a run" if foreign else ""


def remove_runs(reports: Place, entries: Sequence[Entry]) -> None:
    """Remove runs; each vanishes at once, so that an interruption leaves no half of one, and nothing foreign with it.

    Raises
    ------
    ReportError
        A run cannot be removed.
    StoreError
        Nor can one on a store.
    """
    if isinstance(reports, Stored):
        for entry in entries:
            remove_stored_run(reports, entry.id)
        return
    writers = _writers(reports)
    for entry in entries:
        folder = reports / entry.id
        try:
            if folder.is_symlink() or entry.id in writers or foreign_files(folder):
                continue  # since it was planned
            with in_hand(folder, "removed") as doomed:
                os.rename(folder, doomed)
                sync(reports)
                remove_own(doomed)
        except OSError as fault:
            if not folder.exists():
                continue  # somebody else was quicker
            raise ReportError(f"{folder}: cannot be removed: {fault.strerror or fault}") from None


def _writers(reports: Path) -> dict[str, str]:
    """Runs that are being written, and who is at it."""
    try:
        return {each.run: each.writer for each in find_leftovers(reports) if each.writer}
    except OSError as fault:
        raise ReportError(f"{reports}: cannot be read: {fault.strerror}") from None
