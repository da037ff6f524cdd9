"""A whole audit: conducted, judged by its gate and published; and kept, until then, for another to go on with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from auditor.auditing.conduct import AuditedRun, Tell, conduct, publish
from auditor.auditing.gating import pass_gate
from auditor.auditing.metering import Meter
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
    meter: Meter | None = None,
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
    meter
        Measures what each part costs.

    Raises
    ------
    AuditError
        There can be no verdicts, the run cannot be saved, or its report not be drawn. This, and whatever else ends it,
        carries a note where something is kept to go on from.
    """
    meter = meter or Meter()
    with Keeping(reports, resume=resume, note=note) as keeping:
        run = conduct(config, reports, progress, told=told, handed=handed, keeping=keeping, meter=meter)
        run = pass_gate(run, config)
        if run.result.gate is not None:
            gated(run.result.gate)
        progress("report", 0, 1)
        meter.begin("report")
        run = publish(run, config, own)
        meter.end()
        progress("report", 1, 1)
    return run
