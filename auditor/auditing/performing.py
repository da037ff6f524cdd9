"""A whole audit: conducted, judged by its gate and published; and kept, until then, for another to go on with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from auditor.auditing.conduct import AuditedRun, Tell, conduct, publish
from auditor.auditing.gating import pass_gate
from auditor.auditing.metering import Meter
from auditor.auditing.opening import NOTHING, Handed
from auditor.auditing.resuming import Keeping
from auditor.config.file import AuditConfig
from auditor.report.index_page import renew_index
from auditor.run.accepted import key_of
from auditor.run.gate import read_gate
from auditor.run.ruling import GateRecord
from auditor.run.shelf import Shelf
from auditor.stores.address import Place
from auditor.verdict.trial import Progress

if TYPE_CHECKING:
    from auditor.report.templates import OwnTemplates


def perform(
    config: AuditConfig,
    reports: Place,
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
    meter, shelf = meter or Meter(), Shelf(reports)
    with Keeping(shelf.folder, resume=resume, note=note) as keeping:
        run = conduct(
            config, shelf.folder, progress, told=told, handed=handed, keeping=keeping, meter=meter, shelf=shelf
        )
        gate = read_gate(config)
        accepted = None
        if gate is not None and gate.compares:
            accepted = shelf.bring_accepted(gate.accepted or key_of(run.result))
        run = pass_gate(run, config, accepted=accepted)
        if run.result.gate is not None:
            gated(run.result.gate)
        progress("report", 0, 1)
        meter.begin("report")
        run = publish(run, config, own)
        meter.end()
        progress("report", 1, 1)
        assert run.folder is not None
        written = [name for name in run.files if (run.folder / name).is_file()]
        there = shelf.finish(run.folder)
        if there is not None:
            told_of_index = renew_index(there.parent)
            run = replace(run, folder=None, address=str(there), files=written, told=[*run.told, *told_of_index])
    return run
