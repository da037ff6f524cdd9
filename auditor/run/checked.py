"""What became of the checks of a file, kept beside the runs in a file that is written whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

import pydantic

from auditor.errors import ReportError
from auditor.run.files import write_files
from auditor.run.index import Outcome
from auditor.run.limits import refuse_odd
from auditor.verdict.record import Told

CHECKS = "checks"
"""The folder, among those of the runs, of what is kept between checks."""

State = Literal["pass", "warn", "open", "fail", "broken", "wrong"]
"""`open`: nothing could be decided; `broken`: the audit could not be completed; `wrong`: its configuration is."""

MOST_RUNS = 40
"""Runs of a check that its record names."""

CODES: dict[State, int] = {"pass": 0, "warn": 0, "open": 4, "fail": 1, "broken": 3, "wrong": 2}
"""State of a check -> exit code."""

SEVEREST = (2, 3, 1, 4, 0)
"""Exit codes, the one that stands for all of them first."""


@dataclass(frozen=True)
class CheckRecord:
    """What became of one check."""

    name: str
    state: State
    reason: str
    """Why, in a line or more."""
    since: str
    """When it came into this state ..."""
    checked: str
    """... and when it was last looked at."""
    run: str | None = None
    """The run that it was judged on: the name of its folder ..."""
    audited: str | None = None
    """... and when that began."""
    outcomes: list[Outcome] = field(default_factory=list)
    """What the run found."""
    waived: list[str] = field(default_factory=list)
    """What would fail it and is waived, a sentence each."""
    evidence: str = ""
    """The fingerprint of what the audit depends on; empty where the next check must audit it anew."""
    judged: str = ""
    """The fingerprint of what it was judged by."""
    model: str = ""
    """Its row of the matrix ..."""
    data: str = ""
    """... and its column; empty for one that stands by itself."""
    history: list[str] = field(default_factory=list)
    """Its latest runs, oldest first."""
    told: State = "pass"
    """The state that was last told of."""


@dataclass(frozen=True)
class ChecksRecord:
    """What became of the checks of one file."""

    file: str
    """The file of checks, relative to the folder of the runs."""
    begun: str
    ended: str | None
    """None while a check runs, and where one was cut off."""
    checks: list[CheckRecord]
    next_due: str | None = None
    """When its schedule runs it again, where it has one."""
    version: Literal[1] = 1


def record_file(reports: Path, checks: Path) -> Path:
    """Where what became of a file of checks is kept."""
    written = os.path.relpath(checks.resolve(), reports.resolve())
    digest = hashlib.sha256(written.encode("utf-8", "surrogateescape")).hexdigest()
    return reports / CHECKS / f"{checks.stem}-{digest[:8]}.json"


def read_record(file: Path) -> ChecksRecord | None:
    """What was kept; None where nothing was yet.

    Raises
    ------
    ReportError
        It is damaged.
    """
    refuse_odd(file)
    try:
        return _adapter().validate_json(file.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as fault:
        raise ReportError(f"{file}: cannot be read: {fault.strerror or fault}") from None
    except pydantic.ValidationError as fault:
        first = fault.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ReportError(f"{file}: damaged: {place}: {first['msg']}") from None


def refuse_newer(file: Path) -> None:
    """Leave alone what a newer version has kept: to write it anew would lose what only that one can read.

    Raises
    ------
    ReportError
        It is of a newer version.
    """
    with contextlib.suppress(OSError, ValueError):
        kept = json.loads(file.read_bytes())
        version = kept.get("version") if isinstance(kept, dict) else None
        if isinstance(version, int) and version > ChecksRecord.version:
            raise ReportError(f"{file}: version: got {version}, wanted {ChecksRecord.version}; update Auditor")


def write_record(file: Path, record: ChecksRecord) -> None:
    """Keep what became of the checks, on the disk.

    Raises
    ------
    ReportError
        It cannot be written; what stood there stands.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise ReportError(f"{file.parent}: cannot be made: {fault.strerror or fault}") from None
    text = json.dumps(asdict(record), indent=2, ensure_ascii=False) + "\n"
    write_files({file: text.encode("utf-8", "backslashreplace")})


def read_records(reports: Path) -> tuple[list[ChecksRecord], list[str]]:
    """All records of a folder of runs, by the names of their files, and what is wrong with others."""
    records, faults = [], []
    folder = reports / CHECKS
    for file in [] if folder.is_symlink() else sorted(folder.glob("*.json")):
        try:
            if file.is_symlink():
                raise ReportError(f"{file}: a symbolic link; wanted the file itself")
            record = read_record(file)
        except ReportError as fault:
            faults.append(str(fault))
            continue
        records += [] if record is None else [record]
    return records, faults


def has_checks(reports: Path) -> bool:
    """Whether checks have ever run on a folder of runs."""
    return next((reports / CHECKS).glob("*.json"), None) is not None


def worst_first(outcomes: list[Outcome]) -> list[Outcome]:
    """What a run found, the worst of it first."""
    return sorted(outcomes, key=lambda outcome: _WORST.index(outcome.told))


def exit_code(records: list[CheckRecord]) -> int:
    """As `auditor check` ends: the severest of all checks."""
    codes = {CODES[record.state] for record in records}
    return next((code for code in SEVEREST if code in codes), 0)


_WORST: tuple[Told, ...] = ("error", "relies", "inconclusive", "not_applicable", "unconfirmed", "no_evidence")


@cache
def _adapter() -> pydantic.TypeAdapter[ChecksRecord]:
    return pydantic.TypeAdapter(ChecksRecord)
