"""One check: audited in a process of its own, unless all that it depends on is as it was, and judged."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from auditor.auditing.checks.child import Ending
from auditor.auditing.checks.fingerprint import take_fingerprint
from auditor.auditing.checks.hashing import Hashes
from auditor.config.checks import Cell, ChecksConfig, to_seconds
from auditor.errors import AuditError, ConfigError, ReportError
from auditor.run.checked import CODES, CheckRecord, State
from auditor.run.files import RESULT
from auditor.run.index import enter_run
from auditor.run.store import load_result

How = Literal["audited", "judged anew", "unchanged"]

Audit = Callable[[list[str], Path, float], Ending]
"""Runs the command line with these words from a folder for so many seconds at most: `run_auditor`."""


@dataclass(frozen=True)
class Checked:
    """What became of a check, and how it was come to."""

    record: CheckRecord
    how: How
    is_new: bool
    """It is in another state than before, or there was none."""
    note: str = ""
    """Why it was audited though nothing is known to have changed."""


def check_cell(
    cell: Cell,
    config: ChecksConfig,
    before: CheckRecord | None,
    hashes: Hashes,
    audit: Audit,
    *,
    may_skip: bool,
) -> Checked:
    """Check one cell; whatever goes wrong with it is its own state, and never a good one.

    Parameters
    ----------
    before
        What became of it last.
    may_skip
        Let it be what it was where all that it depends on is as it was.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    reports = config.folder / config.reports
    try:
        seen = take_fingerprint(cell, config.folder, hashes)
    except AuditError as fault:
        state: State = "wrong" if isinstance(fault, ConfigError) else "broken"
        return _settle(before, CheckRecord(cell.name, state, str(fault), now, now))
    is_same = before is not None and before.evidence == seen.digest and not seen.unknown
    if may_skip and is_same and before is not None and (reports / (before.run or "") / RESULT).is_file():
        return Checked(replace(before, checked=now), "unchanged", False)
    words = ["audit", _relative(cell.config, config.folder), "--output", _relative(reports, config.folder), "--quiet"]
    words += [word for item in cell.overrides for word in ("--set", item)]
    ending = audit(words, config.folder, to_seconds(config.limit))
    record = _judge(cell, ending, config, now)
    if not seen.unknown and record.state not in ("broken", "wrong"):
        record = replace(record, evidence=seen.digest)
    return _settle(before, record, seen.unknown if may_skip else "")


def _judge(cell: Cell, ending: Ending, config: ChecksConfig, now: str) -> CheckRecord:
    """What an audit that ended in this way amounts to."""
    found = re.findall(rf"^{re.escape(RESULT)}: (.+)$", ending.out, re.MULTILINE)
    folder = config.folder / found[-1].removesuffix(RESULT) if found else None
    record = CheckRecord(cell.name, "broken", ending.error, now, now)
    if ending.is_late:
        record = replace(record, reason=f"it took longer than {config.limit} and was ended")
    if folder is None:
        is_wrong = ending.code == ConfigError.exit_code
        silent = "it ended as if it were complete, and left no run"
        told = record.reason if ending.is_late or ending.code in (2, 3) or ending.code < 0 else silent
        return replace(record, state="wrong" if is_wrong else "broken", reason=told)
    try:
        result = load_result(folder)
    except ReportError as fault:
        return replace(record, reason=str(fault))
    entry = enter_run(folder.name, result, 0)
    record = replace(record, run=folder.name, audited=entry.started, outcomes=entry.outcomes)
    if ending.is_late or ending.code not in (0, 1, 4):
        return record
    state = next(state for state, code in CODES.items() if code == result.exit_code)
    return replace(record, state=state, reason=_say(record))


def _say(record: CheckRecord) -> str:
    """What was found, the worst of it, in a line."""
    found = sorted(record.outcomes, key=lambda outcome: _WORST.index(outcome.verdict))
    if not found:
        return "no artefact is named"
    first = found[0]
    direction = f" ({first.direction})" if first.direction else ""
    severity = f", severity {first.severity}" if first.severity != "none" else ""
    more = f"; {len(found) - 1} more" if len(found) > 1 else ""
    return f"{first.artefact} -> {first.target or 'every class'}: {first.verdict}{direction}{severity}{more}"


def _settle(before: CheckRecord | None, record: CheckRecord, note: str = "") -> Checked:
    """A new record, with what it has of the one before."""
    if before is None:
        return Checked(record, "audited", True, note)
    is_new = before.state != record.state
    since = record.since if is_new else before.since
    return Checked(replace(record, since=since, told=before.told), "audited", is_new, note)


def _relative(path: Path, folder: Path) -> str:
    """As the user would write it, where that is shorter."""
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path.absolute())


_WORST = ("error", "relies", "inconclusive", "not_applicable", "no_evidence")
