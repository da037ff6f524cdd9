"""What a finding, or a ruling of the gate, rests on: titles and plain data that every format tells alike."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from auditor.measure.measurement import Measurement
from auditor.measure.words import name_in_words
from auditor.report.words import subject
from auditor.run.result import AuditResult
from auditor.run.ruling import Ruling
from auditor.verdict.record import Finding


def title_of(finding: Finding) -> str:
    """Artefact and class."""
    artefact, target = subject(finding)
    return " ".join(f"{artefact} → {target}".split()) if target else artefact


def ruling_title(ruling: Ruling) -> str:
    """What was demanded, and of what."""
    about = " → ".join(part for part in (ruling.artefact, ruling.target) if part)
    return " ".join(f"{name_in_words(ruling.demand)} {about}".split())


def facts_of(result: AuditResult, finding: Finding) -> dict[str, Any]:
    """What a finding rests on, as plain data."""
    facts = (
        {name: getattr(finding, name) for name in _FACTS} | {"verdict": finding.told} | measured_facts(finding.effect)
    )
    facts |= {"model": result.model.source, "data": result.data.source, "calibrated": result.calibrated}
    return {key: value for key, value in facts.items() if value is not None}


def measured_facts(measured: Measurement | None) -> dict[str, Any]:
    """A measurement, as plain data."""
    if measured is None:
        return {}
    facts = {part.name: getattr(measured, part.name) for part in fields(Measurement)}
    facts = {"effect": facts.pop("value"), **facts}
    return {key: value for key, value in facts.items() if value is not None}


_FACTS = ("artefact", "target", "verdict", "direction", "severity", "margin", "endpoint")
