"""Runs that somebody accepted: what later runs of the same model and data are compared with.

`accepted.jsonl` beside the runs has a line for each acceptance, and lines are only ever added. It holds the hashes of
the run's files, so that a run that changed since is noticed, and `prune` removes none that a line names.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Literal

import pydantic

from auditor.errors import ConfigError, ReportError
from auditor.run.files import ARRAYS, RESULT, ROWS, sync
from auditor.run.index import add_lines, is_run_id
from auditor.run.limits import refuse_odd
from auditor.run.result import AuditResult
from auditor.run.store import SavedRun, hash_file, load_hashes
from auditor.stores.address import Place

ACCEPTED = "accepted.jsonl"


@dataclass(frozen=True)
class Acceptance:
    """Who accepted a run, when, why, and what the run was then."""

    key: str
    """What it is compared with: see `key_of`."""
    run: str
    """Name of its folder."""
    digest: str
    """Of `files`: runs of one digest are one and the same."""
    files: dict[str, str]
    """SHA-256 by name of the file."""
    when: str
    by: str
    reason: str
    version: Literal[1] = 1


def key_of(result: AuditResult) -> str:
    """Where model and data come from, which runs have in common however they were trained or drawn."""
    return f"{result.model.source} on {result.data.source}"


def accept_run(folder: Path, reason: str, by: str, *, key: str = "") -> Acceptance:
    """Accept a saved run: later ones are compared with it.

    Parameters
    ----------
    key
        A name to find it by, as that of a check; without it, the model and the data.

    Raises
    ------
    ConfigError
        There is no reason, or no name.
    ReportError
        The run is damaged, not whole, or not as it was written; or the line cannot be added.
    """
    for option, text in (("--reason", reason), ("--by", by)):
        if not text.strip():
            raise ConfigError(f"{option}: got nothing, wanted some words")
    run = SavedRun(folder)
    result, name = run.result, folder.absolute().name
    if not is_run_id(name) or folder.is_symlink():
        raise ReportError(f"{folder}: wanted the folder of a saved run, by its own name")
    if result.exit_code == ReportError.exit_code:
        raise ReportError(f"{folder}: the audit could not be completed; wanted a whole one")
    files, written = _hash_files(folder), load_hashes(folder)
    changed = [file for file, digest in files.items() if written and written.files.get(file, digest) != digest]
    if changed:
        raise ReportError(f"{folder / changed[0]}: not as it was written; see `auditor verify`")
    acceptance = Acceptance(
        key or key_of(result), name, _digest(files), files, datetime.now(UTC).isoformat(timespec="seconds"), by, reason
    )
    reports = folder.absolute().parent
    try:
        add_lines(reports / ACCEPTED, [acceptance])
        sync(reports / ACCEPTED)
        sync(reports)
    except OSError as fault:
        raise ReportError(f"{reports / ACCEPTED}: cannot be written: {fault.strerror or fault}") from None
    return acceptance


def find_accepted(reports: Path, key: str) -> SavedRun | None:
    """The run that was accepted last under a key; None where none ever was.

    Raises
    ------
    ReportError
        It is gone, it changed since it was accepted, or the list is damaged.
    """
    last = next((each for each in reversed(read_accepted(reports)) if each.key == key), None)
    if last is None:
        return None
    folder, changed = reports / last.run, find_changes(reports, last)
    if changed:
        raise ReportError(f"{folder / changed[0]}: changed since the run was accepted for {key!r} on {last.when[:10]}")
    return SavedRun(folder)


def read_accepted(reports: Path) -> list[Acceptance]:
    """Every acceptance among the runs of a folder, in the order in which they were made.

    Raises
    ------
    ReportError
        The list cannot be read, or a line is damaged: it might be the one that counts.
    """
    file = reports / ACCEPTED
    refuse_odd(file)
    try:
        return parse_accepted(file.read_bytes(), file)
    except FileNotFoundError:
        return []
    except OSError as fault:
        raise ReportError(f"{file}: cannot be read: {fault.strerror}") from None


def parse_accepted(data: bytes, file: Place) -> list[Acceptance]:
    """The acceptances that a list of them holds, which lies there.

    Raises
    ------
    ReportError
        A line is damaged: it might be the one that counts.
    """
    found = []
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            acceptance = _adapter().validate_json(line)
        except pydantic.ValidationError:
            raise ReportError(f"{file}:{number}: damaged; wanted a line of `auditor accept`") from None
        if not is_run_id(acceptance.run):
            raise ReportError(f"{file}:{number}: damaged: {acceptance.run!r} is no name of a run")
        found.append(acceptance)
    return found


def find_changes(reports: Path, acceptance: Acceptance) -> list[str]:
    """Files of a run that are gone, or not what they were when it was accepted.

    Raises
    ------
    ReportError
        A file cannot be read.
    """
    folder = reports / acceptance.run
    try:
        now = _hash_files(folder)
    except OSError as fault:
        what = f"was accepted for {acceptance.key!r} and cannot be read"
        raise ReportError(f"{folder}: {what}: {fault.strerror}") from None
    return [file for file, digest in acceptance.files.items() if now.get(file) != digest]


def accepted_runs(reports: Path) -> set[str]:
    """Names of the runs that were ever accepted, which are never cleared away.

    Raises
    ------
    ReportError
        The list cannot be read.
    """
    return {acceptance.run for acceptance in read_accepted(reports)}


def _hash_files(folder: Path) -> dict[str, str]:
    return {name: hash_file(folder / name) for name in (RESULT, ROWS, ARRAYS) if os.path.lexists(folder / name)}


def _digest(files: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode("ascii")).hexdigest()


@cache
def _adapter() -> pydantic.TypeAdapter[Acceptance]:
    return pydantic.TypeAdapter(Acceptance)
