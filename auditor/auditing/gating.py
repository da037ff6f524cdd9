"""The gate of an audit: judged once the run is kept, so that nothing that is wrong with it can take the run away."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

from auditor.auditing.conduct import AuditedRun
from auditor.config.file import AuditConfig
from auditor.run.gate import judge_run, read_gate
from auditor.run.store import Run, grow_run


def pass_gate(
    run: AuditedRun, config: AuditConfig, today: date | None = None, *, accepted: Path | None = None
) -> AuditedRun:
    """The run with what the gate of its configuration says, kept in its folder if it has one; as it is without a gate.

    Parameters
    ----------
    today
        The day that waivers are judged on, in UTC.
    accepted
        The folder of runs with the one that was accepted, where that is another than its own.

    Raises
    ------
    ReportError
        The folder cannot be written.
    """
    gate = read_gate(config)
    if gate is None:
        return run
    assert isinstance(run.run, Run)
    reports = accepted or (None if run.folder is None else run.folder.parent)
    record = judge_run(run.run, reports, gate, today or datetime.now(UTC).date())
    judged = replace(run.run, result=replace(run.result, gate=record))
    if run.folder is not None:
        grow_run(judged, run.folder)
    return replace(run, run=judged)
