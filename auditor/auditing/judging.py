"""Findings on artefacts that were tried, with how often such verdicts err; and the code that an audit ends with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from auditor.artefacts.artefact import Artefact
from auditor.artefacts.varied import Varied
from auditor.auditing.mistakes import Mistake
from auditor.auditing.opening import TO_KEEP, Subject
from auditor.errors import AuditError
from auditor.measure.measurement import Note
from auditor.verdict.calibration import Asked, calibrate, carried_by
from auditor.verdict.findings import judge_all
from auditor.verdict.observations import Observations
from auditor.verdict.record import Finding, Rule


def exit_code(findings: Sequence[Finding], suspects: int = 0) -> int:
    """3 where a finding is an error, else 1 where an artefact is relied on, else 4 where anything is open, else 0.

    Parameters
    ----------
    suspects
        How many findings, the last of them, are on suspects that nobody named: that these are not confirmed is no
        all-clear, and with nothing else to decide on it is 4.
    """
    verdicts = {finding.verdict for finding in findings}
    if "error" in verdicts:
        return 3
    if "relies" in verdicts:
        return 1
    named = {finding.verdict for finding in findings[: len(findings) - suspects]}
    return 0 if named == {"no_evidence"} else 4


def judge_tried(
    subject: Subject, artefacts: Sequence[Artefact], tried_on: Sequence[Observations | AuditError], rule: Rule
) -> list[Finding]:
    """A finding on each of some artefacts, which were judged together."""
    pairs = list(zip(artefacts, tried_on, strict=True))
    tried = [(observed, artefact.target) for artefact, observed in pairs if isinstance(observed, Observations)]
    judged = iter(judge_all(tried, rule))
    findings = []
    for artefact, observed in pairs:
        if isinstance(observed, Observations):
            finding = _withhold(next(judged), [] if subject.is_as_written else subject.mistakes)
            findings.append(replace(finding, calibration=calibrate(_asked(subject, observed, artefact), rule)))
        else:
            target = None if artefact.target is None else subject.classifier.classes[artefact.target]
            findings.append(Finding(artefact.name, target, "error", None, None, None, None, str(observed), {}))
    return findings


def _asked(subject: Subject, observed: Observations, artefact: Artefact) -> Asked:
    """How the audit asks about an artefact."""
    images = observed.everything
    assert images is not None
    own = None if artefact.target is None else images.has[:, artefact.target]
    return Asked(
        output=subject.classifier.output,
        classes=len(subject.classifier.classes),
        images=len(images),
        groups=len(np.unique(images.groups)),
        carried=carried_by(artefact.carriers[images.positions], own),
        kind="varied" if isinstance(artefact.appearance, Varied) else artefact.kind,
        is_scan=artefact.target is None,
    )


def note_uncalibrated(findings: list[Finding]) -> list[Note]:
    """A warning on each finding of which it is not known how often such verdicts err."""
    notes = []
    for finding in findings:
        if finding.calibration is not None and finding.calibration.reason is not None:
            told = f"Not calibrated: how often verdicts on {finding.artefact} err is not known, for"
            notes.append(Note("calibration", f"{told} {finding.calibration.reason}."))
    return notes


def _withhold(finding: Finding, mistakes: list[Mistake]) -> Finding:
    """The finding, inconclusive where accuracy says that it is about another model than the user's."""
    if not mistakes or finding.verdict not in ("relies", "no_evidence"):
        return finding
    reason = f"{mistakes[0].text} {TO_KEEP} So no verdict is given, which would be: {finding.reason}"
    return replace(finding, verdict="inconclusive", direction=None, severity=None, reason=reason)
