"""What a user calls: an audit of a file or of objects, a saved run, and two of them compared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from auditor.auditing.audit import run_audit
from auditor.auditing.opening import NOTHING, Handed
from auditor.config.file import AuditConfig
from auditor.errors import ReportError
from auditor.run.result import AuditResult
from auditor.run.store import Run, grow_run, save_run
from auditor.verdict.trial import Progress


def conduct(
    config: AuditConfig,
    reports: Path | None,
    progress: Progress,
    *,
    told: Callable[[AuditResult, Path | None], object] = lambda result, folder: None,
    handed: Handed = NOTHING,
) -> tuple[Run, Path | None]:
    """Run an audit; keep it in a new folder below `reports` from the moment that there are verdicts.

    Parameters
    ----------
    told
        Called once, as soon as the verdicts are on the disk, with the result as it is then and the run's folder. Where
        they cannot be saved it is called all the same, without a folder, before the error is raised.

    Raises
    ------
    AuditError
        There can be no verdicts, or the run cannot be saved.
    """
    folder: Path | None = None

    def keep(run: Run) -> None:
        nonlocal folder
        if reports is None:
            return
        if folder is not None:
            grow_run(run, folder)
            return
        try:
            folder = save_run(run, reports)
        except ReportError:
            told(run.result, None)
            raise
        told(run.result, folder)

    return run_audit(config, progress, keep, handed), folder
