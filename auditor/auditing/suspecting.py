"""Suspects that nobody named: proposed on half of the images, and judged by the rule of the verdict on the other half.

Proposals do not decide: `discovery` does not know `verdict`. What brings both together stands here.
"""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from auditor.artefacts.artefact import Artefact
from auditor.auditing.judging import judge_tried
from auditor.auditing.opening import Subject, open_subject, read_strata
from auditor.auditing.suspect_pictures import describe_suspect, show_embedding
from auditor.config.file import AuditConfig
from auditor.discovery.candidate import Candidate
from auditor.discovery.columns import look_at_columns, measure_pixels
from auditor.discovery.control import plant_and_seek
from auditor.discovery.material import Material, halve
from auditor.discovery.proposing import SOURCES, Proposed, propose
from auditor.discovery.record import ColumnsRecord
from auditor.discovery.weighing import LEAST_CARRIED, Weighed, weigh
from auditor.errors import AuditError, MethodError
from auditor.measure.arrays import Array, Bools, Ints, join, take
from auditor.measure.ledger import NewArrays
from auditor.measure.measurement import Note
from auditor.measure.seeds import seeded_order
from auditor.run.result import WorkUnit
from auditor.run.suspects import SET_APART, DiscoveryRecord, Standing, Suspect
from auditor.subject.model.classifier import Classifier
from auditor.subject.population import Population
from auditor.verdict.observations import Observations
from auditor.verdict.record import SUSPECTED, Finding, Rule, told_as
from auditor.verdict.rounds import SETTLED
from auditor.verdict.trial import Progress, Survey, survey


@dataclass(frozen=True)
class Suspected:
    """What was found of suspects, each list but `suspects` in the order of those that were judged."""

    record: DiscoveryRecord | None = None
    suspects: list[Suspect] = field(default_factory=list)
    artefacts: list[Artefact] = field(default_factory=list)
    observed: list[Observations | AuditError] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    passes: dict[str, int] = field(default_factory=dict)
    arrays: NewArrays = field(default_factory=NewArrays)
    """Pictures of suspects."""
    parts: dict[str, tuple[Population, Array]] = field(default_factory=dict)
    """Column that is named -> the images that were looked at, and its value (n,) on each."""
    units: list[WorkUnit] = field(default_factory=list)
    """What became of the looking, where suspects were looked for."""

    @property
    def confirmed(self) -> list[int]:
        """Numbers of the findings on suspects that the model was found to use, as objects or not."""
        standings = [each.standing for each in self.suspects] if self.findings else []
        return [at for at, standing in enumerate(standings) if standing not in ("not confirmed", "not judged")]


def suspect(
    config: AuditConfig, subject: Subject, seen: Survey, classifier: Classifier, rule: Rule, progress: Progress
) -> Suspected:
    """Look for suspects where they are wanted; where that fails, what was named stands without."""
    if not subject.finds_suspects:
        return Suspected()
    try:
        found = find_suspects(config, subject, seen.images, classifier, rule, progress)
        return replace(found, units=[WorkUnit(UNIT, "done")])
    except (Exception, SystemExit) as fault:
        failure = MethodError(UNIT, fault, traceback.format_exc())
        return Suspected(units=[WorkUnit(UNIT, "error", failure.reason, failure.trace)])


def list_suspects(config: AuditConfig, progress: Progress) -> Suspected:
    """Propose suspects on all images of a configuration, and judge none.

    Raises
    ------
    AuditError
        Whatever is wrong with the configuration, its model or its data.
    """
    subject, verdict = open_subject(config), config.verdict
    rule = Rule(verdict.margin, verdict.margin_sd, verdict.alpha, verdict.min_groups)
    seen = survey(
        subject.classifier,
        subject.dataset,
        [],
        fills=config.interventions.fills,
        rule=rule,
        seed=config.data.seed,
        batch_size=config.model.batch_size,
        progress=progress,
    )
    return find_suspects(config, subject, seen.images, subject.classifier, rule, progress, is_judging=False)


def find_suspects(
    config: AuditConfig,
    subject: Subject,
    images: Population,
    classifier: Classifier,
    rule: Rule,
    progress: Progress,
    *,
    is_judging: bool = True,
) -> Suspected:
    """Propose suspects and judge them.

    Parameters
    ----------
    images
        All usable images, as they came.
    classifier
        What is asked to judge; proposals ask that of the subject.
    is_judging
        Without, suspects are only proposed, on all images.
    """
    groups = len(np.unique(images.groups))
    why_not = "" if is_judging else "they were only asked for"
    if is_judging and groups < FEWEST_GROUPS:
        count = "is 1 independent group" if groups == 1 else f"are {groups} independent groups"
        why_not = f"there {count} of images, too few for two halves ({FEWEST_GROUPS})"
    named = [subject.dataset.group_names[group] for group in images.groups.tolist()]
    proposes = halve(named, config.data.seed) if not why_not else np.ones(len(images), bool)
    progress("suspects", 0, 2)
    material = _gather(config, subject, images, proposes)
    sources = [name for name in config.discovery.sources if name in SOURCES]
    proposed = propose(material, config.discovery.most, config.discovery.passes, sources)
    progress("suspects", 1, 2)
    deciding = _gather(config, subject, images, ~proposes if not why_not else proposes)
    weighed = [weigh(deciding, each if not why_not else each.unfiltered()) for each in proposed.candidates]
    columns, parts = _look_at_columns(config, subject, [material] if why_not else [material, deciding], rule)
    record = DiscoveryRecord(
        columns=columns,
        proposing=int(proposes.sum()),
        deciding=0 if why_not else int((~proposes).sum()),
        groups=groups,
        tried=proposed.tried,
        skipped=proposed.skipped,
        dropped=proposed.dropped,
        why_not_judged=why_not,
        control=plant_and_seek(material) if "stamps" in sources else None,
    )
    judged = Suspected(record, parts=parts)
    if not why_not and proposed.candidates:
        judged = replace(
            _judge(config, subject, images.positions[~proposes], proposed, classifier, rule, record), parts=parts
        )
    suspects, arrays = list[Suspect](), judged.arrays
    for number, (candidate, weight) in enumerate(zip(proposed.candidates, weighed, strict=True)):
        finding = judged.findings[number] if judged.findings else None
        standing, evidence = _stand(finding, weight, candidate)
        suspects.append(describe_suspect(number + 1, candidate, material, standing, evidence, arrays))
        if finding is not None and standing in SET_APART:
            judged.findings[number] = _set_apart(finding, standing)
    embedding = show_embedding(material, proposed.candidates, arrays)
    progress("suspects", 2, 2)
    return replace(judged, suspects=suspects, record=replace(record, embedding=embedding))


def _gather(config: AuditConfig, subject: Subject, images: Population, chosen: Bools) -> Material:
    """Some images with what is known of them, no more than are held in memory.

    The model is asked itself, so that no journal keeps what proposals ask: an audit that goes on proposes anew.
    """
    seed, dataset = config.data.seed, subject.dataset
    rows = np.flatnonzero(chosen)
    order = seeded_order(seed, "images of suspects", dataset.named(images.positions[rows]))
    part = take(images, np.sort(rows[order][: config.discovery.images]))
    kept, pixels = dataset.read(part.positions)
    part = take(part, np.isin(part.positions, kept))
    return Material(subject.classifier, pixels, part, dataset.named(part.positions), seed, config.model.batch_size)


def _look_at_columns(
    config: AuditConfig, subject: Subject, materials: list[Material], rule: Rule
) -> tuple[ColumnsRecord | None, dict[str, tuple[Population, Array]]]:
    """What goes with a class beside the pictures: all images count, for nothing is decided."""
    if "columns" not in config.discovery.sources:
        return None, {}
    seen = join([material.seen for material in materials])
    told = subject.dataset.columns(seen.positions, config.discovery.ignore)
    pixels = [measure_pixels(material.images) for material in materials]
    hidden = {name.casefold() for name in config.discovery.ignore}
    measured: dict[str, Any] = {
        name: np.concatenate([each[name] for each in pixels])
        for name in pixels[0]
        if not {name, name.partition(": ")[2]} & hidden
    }
    record, values = look_at_columns(
        told.given,
        dict[str, Sequence[Any]](told.of_files) | measured,
        seen,
        subject.classifier.classes,
        alpha=rule.alpha,
        margins=np.maximum(rule.margin, rule.margin_sd * seen.scores.std(axis=0, dtype=np.float64)),
        least=rule.min_groups,
    )
    record = replace(record, left_out=[*told.not_read, *record.left_out])
    return record, {column: (seen, each) for column, each in values.items()}


def _judge(
    config: AuditConfig,
    subject: Subject,
    rows: Ints,
    proposed: Proposed,
    classifier: Classifier,
    rule: Rule,
    record: DiscoveryRecord,
) -> Suspected:
    """The verdicts on suspects, by the images of some rows alone."""
    dataset, nobody = subject.dataset, np.zeros(len(subject.dataset), bool)
    artefacts = [
        Artefact(each.name, each.proposal.kind, each.look, each.target, "none", nobody, seed=config.data.seed)
        for each in proposed.candidates
    ]
    seen = survey(
        classifier,
        dataset,
        artefacts,
        fills=config.interventions.fills,
        rule=rule,
        seed=config.data.seed,
        batch_size=config.model.batch_size,
        progress=lambda stage, done, total: None,
        columns=read_strata(config, dataset),
        rounds=[rows],
    )
    observed = [_of_a_half(each) for each in seen.observed]
    findings = [_of_a_suspect(each) for each in judge_tried(subject, artefacts, observed, rule)]
    return Suspected(record, [], artefacts, observed, findings, seen.passes)


def _of_a_suspect(finding: Finding) -> Finding:
    """The finding, marked as one that nobody asked for: whatever it shows, nothing is cleared by it."""
    note, reason = Note(SUSPECTED, "nobody named it"), finding.reason
    if told_as(finding.verdict, is_suspect=True) == "unconfirmed":
        note = Note(SUSPECTED, "nobody named it, and that it is not confirmed clears nothing")
        reason = f"Not confirmed on images that did not propose it{reason.removeprefix('No evidence')}"
    return replace(finding, reason=reason, notes=[*finding.notes, note])


def _of_a_half(observed: Observations | AuditError) -> Observations | AuditError:
    """Without the remark that images were left out because all was clear: they were left out to decide nothing."""
    if isinstance(observed, AuditError):
        return observed
    return replace(observed, notes=tuple(note for note in observed.notes if note.kind != SETTLED))


def _stand(finding: Finding | None, weighed: Weighed, candidate: Candidate) -> tuple[Standing, list[str]]:
    """What became of a suspect, and what says so."""
    told, is_told_by_images = weighed.told, candidate.proposal.source != "universal"
    if finding is None:
        return "not judged", told
    if finding.verdict != "relies":
        return "not confirmed", told
    if weighed.carried < LEAST_CARRIED and not (weighed.is_apart and is_told_by_images):
        return "shown by hardly any image", [told[0], UNSEEN]
    return ("shortcut candidate" if weighed.is_apart else "part of the object, perhaps"), told


def _set_apart(finding: Finding, standing: Standing) -> Finding:
    """The finding, inconclusive because what was found may be no shortcut."""
    why = SET_APART[standing]
    reason = f"{why} So no verdict is given, which would be: {finding.reason}"
    notes = [*finding.notes, Note(standing, why.rstrip("."))]
    return replace(finding, verdict="inconclusive", direction=None, severity=None, reason=reason, notes=notes)


UNSEEN = "So nothing tells whether the model learnt it, or answers to it by chance, as every network does to something."

UNIT = "suspects"

FEWEST_GROUPS = 24
"""Fewer independent groups are not divided: suspects are listed and not judged."""
