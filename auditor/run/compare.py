"""Two runs side by side: what became of each artefact, what else is different, and the same images' maps."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from auditor.measure.measurement import Measurement
from auditor.measure.words import name_in_words
from auditor.run.result import AuditResult
from auditor.verdict.record import Finding

Course = Literal["new reliance", "grew", "shrank", "no clear change", "new", "gone", "not comparable"]

DECIDED = ("relies", "no_evidence")


@dataclass(frozen=True)
class Change:
    """What became of one artefact and target."""

    artefact: str
    target: str
    before: Finding | None
    after: Finding | None
    course: Course
    """Of the effect; an effect grew or shrank where the two intervals do not overlap, a strict reading."""
    reason: str

    @property
    def is_worse(self) -> bool:
        """Whether the model relies on it now, and did not before or did so less."""
        return self.after is not None and self.after.verdict == "relies" and self.course in ("new reliance", "grew")

    @property
    def is_open(self) -> bool:
        """Whether something was decided before and is not now."""
        was_decided = self.before is not None and self.before.verdict in DECIDED
        return was_decided and (self.after is None or self.after.verdict not in DECIDED)


def compare_results(before: AuditResult, after: AuditResult) -> list[Change]:
    """What became of every artefact and target of both runs, what got worse first."""
    old, new = ({_key(finding): finding for finding in result.findings} for result in (before, after))
    changes = [_compare(key, old.get(key), new.get(key)) for key in dict.fromkeys([*new, *old])]
    return sorted(changes, key=lambda change: (not change.is_worse, not change.is_open))


def exit_code(changes: list[Change]) -> int:
    """1 where something got worse, else 4 where something was decided and is not now, else 0."""
    if any(change.is_worse for change in changes):
        return 1
    return 4 if any(change.is_open for change in changes) else 0


def _key(finding: Finding) -> tuple[str, str]:
    return finding.artefact, "every class" if finding.scanned else finding.target or "–"


def _compare(key: tuple[str, str], before: Finding | None, after: Finding | None) -> Change:
    course, reason = _judge(before, after)
    return Change(*key, before, after, course, reason)


def _judge(before: Finding | None, after: Finding | None) -> tuple[Course, str]:
    relies_now = after is not None and after.verdict == "relies"
    if before is None:
        return ("new reliance" if relies_now else "new"), "only the later run has it"
    if after is None:
        return "gone", "only the earlier run has it"
    old, new = before.effect, after.effect
    if relies_now and before.verdict != "relies":
        return "new reliance", f"the verdict was {before.verdict.replace('_', ' ')}"
    if before.target != after.target and "relies" in (before.verdict, after.verdict):
        return "not comparable", f"of all classes the strongest was {before.target}, and is {after.target}"
    if old is None or new is None or before.endpoint != after.endpoint:
        names = [name_in_words(finding.endpoint) if finding.endpoint else "nothing" for finding in (before, after)]
        return "not comparable", f"decided on {names[0]} before, on {names[1]} after"
    if (old.unit, old.score) != (new.unit, new.score):
        return "not comparable", f"measured in {old.score or old.unit} before, in {new.score or new.unit} after"
    if old.low is None or new.low is None:
        return "not comparable", "an interval is missing"
    if new.against(old.bounds[1]) == "above":
        return "grew", "the intervals do not overlap"
    if new.against(old.bounds[0]) == "below":
        return "shrank", "the intervals do not overlap"
    return "no clear change", "the intervals overlap"


def list_circumstances(result: AuditResult) -> Iterator[tuple[str, str | Measurement]]:
    """What effects are read in, by name: model, data, methods, versions and configuration."""
    model, data, provenance = result.model, result.data, result.provenance
    yield "model", model.source
    yield "model, SHA-256", model.sha256 or "–"
    yield "model, structure", f"{model.structure}, {'–' if model.parameters is None else model.parameters} parameters"
    yield "model, classes", ", ".join(model.classes)
    yield "model, head", model.head
    yield "data", data.source
    yield "data, SHA-256", data.sha256 or "–"
    yield "data, images used", f"{data.used} of {data.available}, {data.groups} groups"
    yield "accuracy", data.accuracy
    for record in result.methods:
        yield f"method {record.name}", record.status + (f": {record.reason}" if record.reason else "")
    yield "seed", str(provenance.seed)
    yield "auditor", provenance.auditor
    yield "python", provenance.python
    yield "platform", provenance.platform
    yield from ((f"package {name}", version) for name, version in provenance.packages.items())
    yield from _flatten("", provenance.config)


def _flatten(path: str, value: Any) -> Iterator[tuple[str, str]]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if children is None or not value:
        yield path, json.dumps(value, ensure_ascii=False)
        return
    for key, inner in children:
        yield from _flatten(f"{path}.{key}" if path else str(key), inner)
