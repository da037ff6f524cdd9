"""What a gate says of a run, as it is kept in the result."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from auditor.measure.measurement import Measurement
from auditor.measure.words import name_in_words
from auditor.verdict.record import Finding


@dataclass(frozen=True)
class Waived:
    """Who answers for it that a demand is not made, why, and until when."""

    owner: str
    reason: str
    expires: str
    """The last day on which it holds, `2026-12-31`."""
    is_expired: bool


@dataclass(frozen=True)
class Ruling:
    """What became of one demand."""

    demand: str
    """A verdict, or a metric: `relies`; `accuracy, limit`; `effect, accepted`. Or `audit`, `accepted` and `waiver`, for
    what concerns the audit, the accepted run, or a waiver."""
    artefact: str | None
    target: str | None
    state: Literal["kept", "open", "broken", "failed"]
    """Failed where something that the demand rests on could not be read or done."""
    level: Literal["warn", "error"]
    sentence: str
    measured: Measurement | None = None
    """Of a metric, its value; against the accepted run, by how much it is worse."""
    waiver: Waived | None = None

    @property
    def is_waived(self) -> bool:
        """Whether it counts no more than a warning: a waiver holds."""
        return self.waiver is not None and not self.waiver.is_expired

    @property
    def counts(self) -> Literal["pass", "warn", "error"]:
        """What it does to the gate."""
        if self.state == "kept":
            return "pass"
        return "warn" if self.is_waived else self.level


@dataclass(frozen=True)
class GateRecord:
    """What a gate says of a run."""

    state: Literal["pass", "warn", "error"]
    exit_code: int
    """3 where something failed, else 1 where a demand of level error is broken, else 4 where one is open, else 0."""
    preset: str
    judged: str
    """The day, in UTC: waivers expire."""
    accepted: str | None = None
    """The run that it was compared with."""
    rulings: list[Ruling] = field(default_factory=list)
    """What fails the gate first, then what warns, then what is kept."""


def subject_of(finding: Finding) -> tuple[str, str | None]:
    """Artefact and class; of a scan that finds nothing, every class."""
    is_open = finding.scanned and finding.verdict != "relies"
    return finding.artefact, "every class" if is_open else finding.target


def question_of(finding: Finding) -> tuple[str, str | None]:
    """What was asked, which findings of two runs have in common: artefact and class, every class in a scan."""
    return finding.artefact, "every class" if finding.scanned else finding.target


def say_verdict(finding: Finding) -> str:
    """`relies (promotes dog)`, `no evidence`."""
    what = f" ({finding.direction} {finding.target})" if finding.direction else ""
    return f"{name_in_words(finding.told)}{what}"


def is_new_reliance(old: Finding | None, new: Finding) -> bool:
    """Whether a finding relies on what an earlier one did not: on another class, too, or in the other direction."""
    if new.verdict != "relies":
        return False
    if old is None or old.verdict != "relies":
        return True
    known = [(old.target, old.direction)]
    known += [(entry.target, entry.direction) for entry in old.scanned if entry.verdict == "relies"]
    return (new.target, new.direction) not in known


def rulings_on(gate: GateRecord, finding: Finding) -> list[Ruling]:
    """What a gate says of the verdict on a finding."""
    demands = (finding.verdict, "newly_relies")
    return [
        ruling
        for ruling in gate.rulings
        if ruling.demand in demands and (ruling.artefact, ruling.target) == subject_of(finding)
    ]
