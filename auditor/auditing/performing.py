"""A whole audit: conducted, judged by its gate and published; and kept, until then, for another to go on with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from auditor.auditing.conduct import AuditedRun, Tell, conduct, publish
from auditor.auditing.gating import pass_gate
from auditor.auditing.opening import NOTHING, Handed
from auditor.auditing.resuming import Keeping
from auditor.config.file import AuditConfig
from auditor.run.ruling import GateRecord
from auditor.verdict.trial import Progress

if TYPE_CHECKING:
    from auditor.report.templates import OwnTemplates


def perform(
    config: AuditConfig,
    reports: Path,
    progress: Progress,
    own: OwnTemplates,
    *,
    handed: Handed = NOTHING,
    resume: bool = False,
    told: Tell = lambda result, folder: None,
    gated: Callable[[GateRecord], object] = lambda record: None,
    note: Callable[[str], object] = lambda text: None,
) -> AuditedRun:
    """Run a whole audit; whatever cuts it short, what was measured is kept.

    Parameters
    ----------
    own
        The user's templates.
    resume
        Go on from where an audit of the same model, data, configuration and version was cut short.
    told, gated
        Told the verdicts, as `conduct` tells them, and what the gate says, if there is one.
    note
        Told, for people, what became of the resuming.

    Raises
    ------
    AuditError
        There can be no verdicts, the run cannot be saved, or its report not be drawn. This, and whatever else ends it,
        carries a note where something is kept to go on from.
    """
    with Keeping(reports, resume=resume, note=note) as keeping:
        run = pass_gate(conduct(config, reports, progress, told=told, handed=handed, keeping=keeping), config)
        if run.result.gate is not None:
            gated(run.result.gate)
        progress("report", 0, 1)
        run = publish(run, config, own)
        progress("report", 1, 1)
    return run
