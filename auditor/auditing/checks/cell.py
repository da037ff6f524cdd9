"""One check: audited in a process of its own, unless all that it depends on is as it was, and judged."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

from auditor.auditing.checks.child import Ending
from auditor.auditing.checks.fingerprint import Fingerprint, take_fingerprint
from auditor.auditing.checks.hashing import Hashes
from auditor.auditing.checks.judging import Judging, judge, read_cell, read_judging
from auditor.config.checks import Cell, ChecksConfig, to_seconds
from auditor.errors import AuditError, ConfigError, EngineLostError
from auditor.run.checked import MOST_RUNS, CheckRecord, State
from auditor.run.files import RESULT

How = Literal["audited", "judged anew", "unchanged", "not audited"]

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
    warnings: tuple[str, ...] = ()
    """What the audit warned of."""


def check_cell(
    cell: Cell,
    config: ChecksConfig,
    before: CheckRecord | None,
    hashes: Hashes,
    audit: Audit,
    *,
    may_skip: bool,
    now: datetime,
) -> Checked:
    """Check one cell; whatever goes wrong with it is its own state, and never a good one.

    Parameters
    ----------
    before
        What became of it last.
    may_skip
        Let it be what it was where all that it depends on is as it was.
    """
    today, stamp = now.date(), now.isoformat(timespec="seconds")
    reports = config.folder / config.reports
    blank = CheckRecord(cell.name, "broken", "", stamp, stamp, model=cell.model, data=cell.data)
    how: How = "not audited"
    try:
        data, places = read_cell(cell)
        judging = read_judging(cell, config, data, places, today, hashes)
        seen = take_fingerprint(cell, data, config.folder, hashes)
        is_same = before is not None and before.evidence == seen.digest and not seen.unknown
        if may_skip and is_same and before is not None and (reports / (before.run or "") / RESULT).is_file():
            if before.judged == judging.digest:
                return Checked(replace(before, checked=stamp), "unchanged", False)
            record = judge(blank, reports / str(before.run), judging)
            return _settle(before, _keep(record, seen, judging), "judged anew")
        words = ["audit", _relative(cell.config, config.folder), "--output", _relative(reports, config.folder)]
        words += ["--resume", "--quiet", *(word for item in cell.overrides for word in ("--set", item))]
        ending = audit(words, config.folder, to_seconds(config.limit))
        how = "audited"
        record = _read_ending(blank, ending, config, judging)
    except EngineLostError:  # no other cell can be tried, either
        raise
    except (AuditError, OSError) as fault:  # the system may refuse another process
        state: State = "wrong" if isinstance(fault, ConfigError) else "broken"
        return _settle(before, replace(blank, state=state, reason=str(fault)), how)
    settled = _settle(before, _keep(record, seen, judging), how, seen.unknown if may_skip else "")
    return replace(settled, warnings=ending.warnings)


def _read_ending(blank: CheckRecord, ending: Ending, config: ChecksConfig, judging: Judging) -> CheckRecord:
    """What an audit that ended in this way amounts to."""
    found = re.findall(rf"^{re.escape(RESULT)}: (.+)$", ending.out, re.MULTILINE)
    reason = f"it took longer than {config.limit} and was ended" if ending.is_late else ending.error
    is_whole = not ending.is_late and ending.code in (0, 1, 4)
    if not found:
        is_wrong = ending.code == ConfigError.exit_code and not ending.is_late
        silent = "it ended as if it were complete, and left no run"
        return replace(blank, state="wrong" if is_wrong else "broken", reason=silent if is_whole else reason)
    record = judge(blank, config.folder / found[-1].removesuffix(RESULT), judging)
    return record if is_whole else replace(record, state="broken", reason=reason)


def _keep(record: CheckRecord, seen: Fingerprint, judging: Judging) -> CheckRecord:
    """The record with what it depends on; one that is broken is tried anew, and so is one that may depend on more."""
    if record.state in ("broken", "wrong") or seen.unknown:
        return record
    return replace(record, evidence=seen.digest, judged=judging.digest)


def _settle(before: CheckRecord | None, record: CheckRecord, how: How, note: str = "") -> Checked:
    """A new record, with what it has of the one before."""
    history = [] if before is None else before.history
    if record.run is not None and record.run not in history:
        history = [*history, record.run][-MOST_RUNS:]
    if before is None:
        return Checked(replace(record, history=history), how, True, note)
    is_new = before.state != record.state
    since = record.since if is_new else before.since
    return Checked(replace(record, history=history, since=since, told=before.told), how, is_new, note)


def _relative(path: Path, folder: Path) -> str:
    """As the user would write it, where that is shorter."""
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path.absolute())
