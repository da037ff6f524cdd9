"""Whether a folder of runs is in order: every run, what lies between them, the index, and what was accepted."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from auditor.errors import ReportError
from auditor.report.checks_page import CHECKS_PAGE
from auditor.report.index_page import INDEX_PAGE, refresh_index
from auditor.report.verify import compare_files
from auditor.run.accepted import ACCEPTED, find_changes, read_accepted
from auditor.run.checked import CHECKS, read_records
from auditor.run.files import ARRAYS, HASHES, RESULT, ROWS
from auditor.run.index import INDEX, locked, read_line, read_runs, rewrite_lines
from auditor.run.journal import find_journals
from auditor.run.leftovers import Leftover, find_leftovers, foreign_files, sweep
from auditor.run.store import SavedRun, load_hashes

Weight = Literal["damage", "loose end", "note"]
"""Evidence is missing, changed or cannot be read; something is to be done; nothing has to be done."""

EXIT_CODES: dict[Weight, int] = {"damage": 1, "loose end": 4, "note": 0}


@dataclass(frozen=True)
class Trouble:
    """Something that is not in order."""

    where: Path
    what: str
    advice: str
    """What to do about it."""
    weight: Weight

    def __str__(self) -> str:
        return f"{self.weight}: {self.where}: {self.what}; {self.advice}"


def examine(reports: Path) -> Iterator[Trouble]:
    """Everything in a folder of runs that is not in order; reads all of it and writes nothing.

    Raises
    ------
    ReportError
        The folder cannot be read.
    """
    try:
        leftovers = find_leftovers(reports)
        names = sorted(os.listdir(reports))
    except OSError as fault:
        raise ReportError(f"{reports}: cannot be read: {fault.strerror}") from None
    yield from map(_of_leftover, leftovers)
    journals = [folder for folder, _ in find_journals(reports) if folder not in {each.path for each in leftovers}]
    for folder in journals:
        advice = "`auditor audit CONFIG --resume` goes on with it, or remove the folder"
        yield Trouble(folder, "what an audit had measured when it was cut short", advice, "loose end")
    listing = read_runs(reports)
    for reason in listing.faults:
        yield Trouble(reports, reason, "put back a copy, or move it away", "damage")
    written = {leftover.run for leftover in leftovers if leftover.writer}
    runs = {entry.id for entry in listing.entries}
    for name in sorted(runs - written):
        yield from _of_run(reports / name)
    yield from _of_index(reports, runs, [entry.id for entry in listing.unlisted])
    yield from _of_accepted(reports)
    for reason in read_records(reports)[1]:
        yield Trouble(reports / CHECKS, reason, "remove it: the next check audits anew", "loose end")
    known = {INDEX, INDEX_PAGE, ACCEPTED, CHECKS, CHECKS_PAGE, *runs, *(path.name for path in journals)}
    known |= {leftover.path.name for leftover in leftovers}
    for name in names:
        if name not in known and not os.path.lexists(reports / name / RESULT):
            yield Trouble(reports / name, "not written by Auditor", "it is left alone", "note")


def repair(reports: Path) -> list[Path]:
    """Do what is harmless: sweep what killed processes left and make the index anew; returns what was swept.

    Raises
    ------
    ReportError
        The folder cannot be read or written.
    """
    try:
        with locked(reports):
            swept = sweep(reports)
            rewrite_lines(reports, read_runs(reports).entries)
    except OSError as fault:
        raise ReportError(f"{reports}: cannot be read: {fault.strerror}") from None
    refresh_index(reports)
    return swept


def exit_code(troubles: Iterable[Trouble]) -> int:
    """1 where there is damage, else 4 where there is a loose end, else 0."""
    codes = {EXIT_CODES[trouble.weight] for trouble in troubles}
    return next((code for code in (1, 4) if code in codes), 0)


def _of_leftover(leftover: Leftover) -> Trouble:
    if leftover.writer:
        return Trouble(leftover.path, f"{leftover.writer} is writing it", "it is left alone", "note")
    if leftover.foreign:
        what = f"left by a process that is gone, and holds {leftover.foreign!r}, which Auditor did not write"
        return Trouble(leftover.path, what, "move that away, then `auditor doctor --repair`", "loose end")
    what = "left by a process that is gone"
    return Trouble(leftover.path, what, "the next command that writes here sweeps it, or --repair", "loose end")


def _of_run(run: Path) -> Iterator[Trouble]:
    try:
        yield from _of_files(run)
        missing = [unit.name for unit in SavedRun(run).result.units if unit.status == "missing"]
        if missing:
            what = f"the audit ended before these were done: {', '.join(missing)}"
            yield Trouble(run, what, "`auditor audit CONFIG --resume` goes on", "loose end")
        for name in foreign_files(run):
            what = f"holds {name!r}, which is no file of a run"
            yield Trouble(run, what, "move it away; `auditor prune` spares the run for it", "loose end")
    except ReportError as fault:
        yield Trouble(run, str(fault).removeprefix(f"{run}: "), "put back a copy of the run", "damage")


def _of_files(run: Path) -> Iterator[Trouble]:
    hashes = load_hashes(run)
    if hashes is None:
        saved = SavedRun(run)
        assert saved.rows is not None
        for name in saved.arrays:
            saved.arrays[name]
        yield Trouble(run / HASHES, "missing", "nothing says whether the run is as it was written", "loose end")
        return
    for check in compare_files(run, hashes):
        if check.state in ("differs", "missing"):
            is_evidence = check.what in (RESULT, ROWS, ARRAYS)
            advice = "put back a copy of the run" if is_evidence else f"`auditor render {run}` draws it again"
            what = f"{check.state}{f': {check.reason}' if check.reason else ''}"
            yield Trouble(run / check.what, what, advice, "damage" if is_evidence else "loose end")
        elif check.state == "not recorded":
            advice = f"`auditor render {run}` draws it again"
            yield Trouble(run / check.what, "nobody wrote down what it was", advice, "loose end")


def _of_index(reports: Path, runs: set[str], unlisted: list[str]) -> Iterator[Trouble]:
    file, advice = reports / INDEX, "the next audit mends it, or `auditor index`, or --repair"
    if file.is_symlink():
        yield Trouble(file, "a symbolic link, which is not followed", advice, "loose end")
        return
    if not file.is_file():
        yield Trouble(file, "missing", advice, "loose end")
        return
    gone, torn = 0, []
    for number, line in enumerate(file.read_bytes().split(b"\n"), 1):
        entry = read_line(line) if line else None
        if entry is not None:
            gone += entry.id not in runs
        elif line:
            torn.append(number)
    for number in torn:
        yield Trouble(file, f"line {number} is torn, or of another version", "--repair takes it out", "loose end")
    if gone:
        yield Trouble(
            file, f"{gone} lines of runs that are gone", "they count no more; --repair takes them out", "note"
        )
    for name in unlisted:
        yield Trouble(file, f"no line for the run {name}, or one of another size", advice, "loose end")


def _of_accepted(reports: Path) -> Iterator[Trouble]:
    try:
        for acceptance in read_accepted(reports):
            changed = find_changes(reports, acceptance)
            if changed:
                what = f"{', '.join(changed)} changed or gone since it was accepted on {acceptance.when[:10]}"
                yield Trouble(reports / acceptance.run, what, "put back a copy, or accept another run", "damage")
    except ReportError as fault:
        yield Trouble(reports / ACCEPTED, str(fault).removeprefix(f"{reports / ACCEPTED}: "), "mend the line", "damage")
