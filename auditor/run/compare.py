"""Two runs side by side: what became of each artefact, what else is different, and the same images' maps."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from auditor.measure.measurement import Measurement
from auditor.measure.words import listed, name_in_words
from auditor.run.evidence import Evidence
from auditor.run.metrics import change_of_decisions, say_change
from auditor.run.paired import Pairing
from auditor.run.result import AuditResult
from auditor.run.ruling import is_new_reliance, question_of, say_verdict
from auditor.run.store import Run, SavedRun
from auditor.verdict.record import Finding

Course = Literal["new reliance", "grew", "shrank", "unchanged", "no clear change", "new", "gone", "not comparable"]

DECIDED = ("relies", "no_evidence")

SMALLEST_CHANGE = 0.5
"""Margins by which an effect must clearly change to have grown or shrunk, and stay clearly within to be unchanged."""


@dataclass(frozen=True)
class PartChange:
    """What became of an effect in a part of the images."""

    part: str
    """`class = dog`."""
    course: Course
    effect: Measurement
    """By how many margins it grew, image by image."""


@dataclass(frozen=True)
class Change:
    """What became of one artefact and target."""

    artefact: str
    target: str
    before: Finding | None
    after: Finding | None
    course: Course
    """Of the effect. Image by image it grew, shrank or is unchanged where the whole interval of the paired difference
    says so; of runs that share no images, where the two intervals do not overlap, a strict reading."""
    reason: str
    effect: Measurement | None = None
    """By how many margins the effect grew, image by image; null where the runs cannot be compared so."""
    turned: Measurement | None = None
    """By how much the share of decisions turned rose, likewise."""
    parts: tuple[PartChange, ...] = ()
    """The same of each part of the images that both runs know."""

    @property
    def is_worse(self) -> bool:
        """Whether the model relies on it now, and did not before or did so less, in all images or in a part."""
        grew = self.course in _GREW or any(part.course == "grew" for part in self.parts)
        return self.after is not None and self.after.verdict == "relies" and grew

    @property
    def is_open(self) -> bool:
        """Whether something was decided before and is not now."""
        was_decided = self.before is not None and self.before.verdict in DECIDED
        return was_decided and (self.after is None or self.after.verdict not in DECIDED)


def compare_runs(before: Run | SavedRun, after: Run | SavedRun) -> list[Change]:
    """What became of every artefact and target of two runs, image by image where they share images.

    Raises
    ------
    ReportError
        A run is damaged.
    """
    return compare_results(before.result, after.result, pair_runs(before, after))


def pair_runs(before: Run | SavedRun, after: Run | SavedRun) -> Pairing:
    """Two runs whose intervals of change hold for all artefacts and parts at once."""
    old = {question_of(finding): finding for finding in before.result.findings}
    both = [finding for finding in after.result.findings if question_of(finding) in old]
    tests = sum(2 + len(_shared_parts(old[question_of(finding)], finding)) for finding in both)
    return Pairing(Evidence(before), Evidence(after), max(tests, 1), both_ends=True)


def compare_results(before: AuditResult, after: AuditResult, pairing: Pairing | None = None) -> list[Change]:
    """What became of every artefact and target of both runs, what got worse first.

    Parameters
    ----------
    pairing
        The same runs, image by image; without it intervals are compared.
    """
    old, new = ({question_of(finding): finding for finding in result.findings} for result in (before, after))
    changes = [
        _compare((artefact, target or "–"), old.get((artefact, target)), new.get((artefact, target)), pairing)
        for artefact, target in dict.fromkeys([*new, *old])
    ]
    return sorted(changes, key=lambda change: (not change.is_worse, not change.is_open))


def exit_code(changes: list[Change]) -> int:
    """1 where something got worse, else 4 where something was decided and is not now, else 0."""
    if any(change.is_worse for change in changes):
        return 1
    return 4 if any(change.is_open for change in changes) else 0


def summarise(changes: list[Change]) -> Iterator[str]:
    """Did the mending work: what became of each shortcut of the earlier run, and whether another grew; sentences."""
    found = [change for change in changes if change.before is not None and change.before.verdict == "relies"]
    for change in found:
        now = "no longer audited" if change.after is None else _NOW[change.after.told]
        told = {"grew": "grew", "shrank": "shrank", "gone": "is no longer audited"}.get(change.course)
        yield f"The shortcut {_name(change)} {told or 'did not clearly shrink'}; it is {now}."
    parts = [(change, part) for change in changes if change.course not in _GREW for part in change.parts]
    grew = [_name(change) for change in changes if change not in found and change.course in _GREW]
    grew += [f"{_name(change)} where {part.part}" for change, part in parts if part.course == "grew"]
    if grew:
        yield f"{'Another' if found else 'One'} grew: {listed(grew, 5)}."
        return
    none, known = "No other" if found else "None", ("shrank", "unchanged")
    still_open = [_name(change) for change in changes if change not in found and change.course not in known]
    still_open += [f"{_name(change)} where {part.part}" for change, part in parts if part.course not in known]
    if still_open:
        yield f"{none} clearly grew, but this is open for {listed(still_open, 5)}."
    elif changes:
        yield f"{none} grew by {SMALLEST_CHANGE:g} margins or more, in all images or in any part of them."


def _name(change: Change) -> str:
    return f"{change.artefact} → {change.target}"


def _compare(key: tuple[str, str], before: Finding | None, after: Finding | None, pairing: Pairing | None) -> Change:
    if before is None or after is None or pairing is None:
        return Change(*key, before, after, *_judge(before, after))
    effect = pairing.change_of_effect(before, after)
    if effect.value is None:
        course, reason = _judge(before, after)
        return Change(*key, before, after, course, f"{reason}; {effect.reason}")
    turned = change_of_decisions(pairing, before, after)
    parts = [(part, pairing.change_of_effect(before, after, part)) for part in _shared_parts(before, after)]
    course, told = _course(effect), f"on the same images its effect {say_change(effect, 'grew', 'shrank')}"
    if turned.value is not None:
        told += f"; the share of decisions that it turns {say_change(turned, 'rose', 'fell')}"
    if is_new_reliance(before, after):
        course, told = "new reliance", f"the verdict was {say_verdict(before)}; {told}"
    known = tuple(PartChange(part, _course(grown), grown) for part, grown in parts if grown.value is not None)
    return Change(*key, before, after, course, told, effect, turned, known)


def _course(grown: Measurement) -> Course:
    """What a paired difference says."""
    if grown.against(SMALLEST_CHANGE) == "above":
        return "grew"
    if grown.against(-SMALLEST_CHANGE) == "below":
        return "shrank"
    return "unchanged" if grown.lies_in(-SMALLEST_CHANGE, SMALLEST_CHANGE) else "no clear change"


def _shared_parts(before: Finding, after: Finding) -> list[str]:
    known = {stratum.name for stratum in before.strata}
    return [stratum.name for stratum in after.strata if stratum.name in known and before.target == after.target]


def _judge(before: Finding | None, after: Finding | None) -> tuple[Course, str]:
    """What can be said of two findings by their intervals alone."""
    relies_now = after is not None and after.verdict == "relies"
    if before is None:
        return ("new reliance" if relies_now else "new"), "only the later run has it"
    if after is None:
        return "gone", "only the earlier run has it"
    old, new = before.effect, after.effect
    if is_new_reliance(before, after):
        return "new reliance", f"the verdict was {say_verdict(before)}"
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
    """What effects are read in, by name: model, data, methods, versions and configuration, but for where it ran."""
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
    yield from _flatten("", {name: value for name, value in provenance.config.items() if name != "execution"})


def _flatten(path: str, value: Any) -> Iterator[tuple[str, str]]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if children is None or not value:
        yield path, json.dumps(value, ensure_ascii=False)
        return
    for key, inner in children:
        yield from _flatten(f"{path}.{key}" if path else str(key), inner)


_GREW = ("new reliance", "grew")

_NOW = {
    "relies": "still relied on",
    "no_evidence": "no longer relied on above the margin",
    "unconfirmed": "no longer confirmed",
    "inconclusive": "now inconclusive",
    "not_applicable": "now not applicable",
    "error": "now an error",
}
