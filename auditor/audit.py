"""One audit, from a configuration to an `AuditResult` with its rows and arrays."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

import numpy as np
import numpy.typing as npt

from auditor.artefacts import Artefact, Overlay, build_artefacts, find_carriers
from auditor.config import AuditConfig, MethodConfig
from auditor.datasets import Dataset, open_dataset
from auditor.effects import is_correct
from auditor.errors import AuditError
from auditor.evidence import Progress, Survey, survey
from auditor.exhibits import Case, Exhibits, Plan, explain_case
from auditor.explain.attribution import ALL_ZERO, ATTRIBUTIONS
from auditor.history import Rows, Run
from auditor.intervals import median_interval, share_interval
from auditor.interventions import insert
from auditor.keras_classifier import KerasClassifier
from auditor.models import load_classifier
from auditor.observations import Evidence, Population
from auditor.options import bind_options
from auditor.records import (
    SCHEMA_VERSION,
    Agreement,
    ArtefactRecord,
    AuditResult,
    ClassAccuracy,
    DataRecord,
    Finding,
    MethodRecord,
    ModelRecord,
    Provenance,
    RegionScores,
    Rule,
)
from auditor.reliance import judge_all
from auditor.sources import first_image_shape, open_source

Bools = npt.NDArray[np.bool_]

UNCALIBRATED = (
    "Not calibrated: the rule was tested on small models of known truth; how often it errs on models like this one is "
    "not known."
)

_PACKAGES = ("tensorflow", "keras", "numpy", "scipy", "scikit-image", "tf-explain", "pillow")


@dataclass(frozen=True)
class Subject:
    """What an audit is about, opened and checked, before anything is measured."""

    classifier: KerasClassifier
    model: ModelRecord
    dataset: Dataset
    artefacts: list[Artefact]
    carriers: list[Bools]


def open_subject(config: AuditConfig) -> Subject:
    """Open model, data and artefacts, and check all that can be checked without running the audit.

    Raises
    ------
    AuditError
        Whatever is wrong with them.
    """
    source = open_source(config)
    classifier, model = load_classifier(config, first_image_shape(source))
    dataset = open_dataset(
        config,
        source,
        classes=classifier.classes,
        image_shape=classifier.image_shape,
        multilabel=classifier.output == "multilabel",
    )
    artefacts = build_artefacts(config, classifier.image_shape, classifier.classes, dataset.masks)
    carriers = [find_carriers(artefact, dataset, classifier.classes) for artefact in artefacts]
    next(dataset.batches(1), None)
    return Subject(classifier, model, dataset, artefacts, carriers)


def run_audit(config: AuditConfig, progress: Progress) -> Run:
    """Run the whole audit.

    Raises
    ------
    AuditError
        The audit could not be completed. What concerns one artefact alone becomes a finding instead.
    """
    started, clock = datetime.now(UTC), time.monotonic()
    subject = open_subject(config)
    progress("loading", 1, 1)
    classifier, dataset = subject.classifier, subject.dataset
    seed = config.data.seed
    seen = survey(
        classifier,
        dataset,
        subject.artefacts,
        subject.carriers,
        fills=config.interventions.fills,
        alpha=config.verdict.alpha,
        seed=seed,
        batch_size=config.model.batch_size,
        progress=progress,
    )
    verdict = config.verdict
    rule = Rule(verdict.margin, verdict.margin_sd, verdict.alpha, verdict.min_groups)
    findings = _judge(subject, seen, rule)

    plans, records = _plan_methods(config, classifier)
    rows = Rows()
    _note_images(rows, subject, seen.images)
    exhibits = Exhibits(rows=rows)
    exhibits.keep_picture("mean image", seen.mean_image)
    cases = _cases(subject, findings, seen, config)
    failures = []
    for number, case in enumerate(cases):
        progress("explanations", number, len(cases))
        try:
            explain_case(exhibits, case, classifier, dataset, seen.mean_image, plans, seed=seed, level=rule.level)
        except AuditError as failure:  # the verdicts stand without explanations
            failures.append(str(failure))
        progress("explanations", number + 1, len(cases))
    for finding, evidence in zip(findings, seen.evidence, strict=True):
        if isinstance(evidence, Evidence):
            _note_interventions(rows, subject, finding, evidence)

    result = AuditResult(
        schema_version=SCHEMA_VERSION,
        title=config.report.title,
        calibrated=False,
        rule=rule,
        exit_code=AuditError.exit_code if failures else exit_code(findings),
        findings=findings,
        artefacts=[_describe(subject, number, exhibits) for number in range(len(subject.artefacts))],
        region_scores=exhibits.region_scores,
        methods=_with_diagnostics(records, exhibits, failures, rule.level),
        agreement=exhibits.agreement or _no_agreement(),
        exemplars=exhibits.exemplars,
        model=subject.model,
        data=_describe_data(config, dataset, seen.images, classifier.classes, rule),
        warnings=[UNCALIBRATED, *_warnings(subject, exhibits.region_scores, failures)],
        provenance=_provenance(config, started, time.monotonic() - clock),
        preface=config.report.preface,
    )
    return Run(result, rows, exhibits.arrays)


def exit_code(findings: list[Finding]) -> int:
    """3 where a finding is an error, else 1 where an artefact is relied on, else 4 where anything is open, else 0."""
    verdicts = {finding.verdict for finding in findings}
    if "error" in verdicts:
        return 3
    if "relies" in verdicts:
        return 1
    return 0 if verdicts == {"no_evidence"} else 4


def _judge(subject: Subject, seen: Survey, rule: Rule) -> list[Finding]:
    pairs = list(zip(subject.artefacts, seen.evidence, strict=True))
    tried = [(evidence, artefact.target) for artefact, evidence in pairs if isinstance(evidence, Evidence)]
    judged = iter(judge_all(tried, rule))
    findings = []
    for artefact, evidence in pairs:
        if isinstance(evidence, Evidence):
            findings.append(next(judged))
        else:
            target = None if artefact.target is None else subject.classifier.classes[artefact.target]
            findings.append(Finding(artefact.name, target, "error", None, "none", None, None, str(evidence), {}))
    return findings


def _plan_methods(config: AuditConfig, classifier: KerasClassifier) -> tuple[dict[str, Plan], list[MethodRecord]]:
    """The methods to run, and a record of every method there is."""
    plans: dict[str, Plan] = {}
    records = []
    for name, function in ATTRIBUTIONS.items():
        section = config.methods.get(name, MethodConfig())
        options = bind_options(function, section.options, ("methods", name))
        summary, reference = describe_method(function)
        status, reason = "ok", None
        if not section.enabled:
            status, reason = "off", "switched off in the configuration"
        elif section.on == "exemplars" and not config.explain.exemplars:
            status, reason = "off", "for exemplars only, and none are shown"
        elif name == "grad_cam" and not classifier.feature_layers:
            status, reason = "not_applicable", classifier.why_no_features
        else:
            plans[name] = Plan(options, exemplars_only=section.on == "exemplars")
        plain = {key: list(value) if isinstance(value, tuple) else value for key, value in options.items()}
        plain |= {"on": section.on} if section.on != "all" else {}
        records.append(MethodRecord(name, status, reason, plain, summary, reference))  # type: ignore[arg-type]
    return plans, records


def describe_method(function: Any) -> tuple[str, str]:
    """First sentence and reference of a method, from its docstring."""
    text = function.__doc__ or ""
    reference = text.partition("References:")[2].strip()
    return text.strip().splitlines()[0], " ".join(reference.split())


def _cases(subject: Subject, findings: list[Finding], seen: Survey, config: AuditConfig) -> list[Case]:
    """What is to be explained: for each artefact a seeded choice of carriers and of images to insert it into."""
    wanted, shown, seed = config.explain.images, config.explain.exemplars, config.data.seed
    usable = np.zeros(len(subject.dataset), bool)
    usable[seen.images.positions] = True
    random = np.random.default_rng([seed, 1])
    order = random.permutation(len(usable))
    if not subject.artefacts:
        chosen = [int(at) for at in order if usable[at]][:wanted]
        return [Case(None, None, [], chosen, shown)]
    cases = []
    for artefact, finding, evidence in zip(subject.artefacts, findings, seen.evidence, strict=True):
        if finding.target is None or not isinstance(evidence, Evidence):
            continue
        target = subject.classifier.classes.index(finding.target)
        with_it = set() if evidence.removals is None else set(evidence.removals.images.positions.tolist())
        free: set[int] = set()
        if evidence.insertion is not None:
            images = evidence.insertion.images
            free = set(images.positions[~images.has[:, target]].tolist())
        carriers = [int(at) for at in order if at in with_it]
        inserted = [int(at) for at in order if at in free and usable[at]]
        half = wanted // 2
        taken = carriers[: max(half, wanted - len(inserted))]
        cases.append(Case(artefact, target, taken, inserted[: wanted - len(taken)], shown))
    return cases


def _note_images(rows: Rows, subject: Subject, images: Population) -> None:
    """One row per image: its label, prediction and the score of the prediction."""
    dataset, classes = subject.dataset, subject.classifier.classes
    for at, position in enumerate(images.positions):
        predicted = [classes[number] for number in np.flatnonzero(images.predicted[at])]
        has = [classes[number] for number in np.flatnonzero(images.has[at])] if images.labelled[at] else []
        rows.add(
            image=dataset.ids[position],
            group=str(dataset.groups[position]),
            label=", ".join(has) or None,
            predicted=", ".join(predicted) or None,
            measurement="score of the prediction",
            condition="as it came",
            value=float(images.scores[at].max()),
        )


def _note_interventions(rows: Rows, subject: Subject, finding: Finding, evidence: Evidence) -> None:
    """One row per image and intervention: how far the target's log-odds moved."""
    if finding.target is None:
        return
    target = subject.classifier.classes.index(finding.target)
    insertion, removals, at = evidence.insertion, evidence.removals, evidence.column(target)
    shifts: list[tuple[Population, str, npt.NDArray[Any]]] = []
    if insertion is not None:
        images = insertion.images
        shifts.append((images, "inserted", insertion.shift[:, target]))
        shifts += [(images, f"control: {name}", values[:, at]) for name, values in insertion.controls.items()]
        shifts += [(images, f"variant: {name}", values[:, at]) for name, values in insertion.variants.items()]
        shifts += [(images, f"opacity: {dose:g}", values[:, at]) for dose, values in insertion.doses.items()]
    if removals is not None:
        images = removals.images
        shifts += [(images, f"removed: {name}", -values[:, at]) for name, values in removals.fall.items()]
        shifts += [(images, f"removed elsewhere: {name}", -values[:, at]) for name, values in removals.placebo.items()]
    for images, condition, values in shifts:
        for position, value in zip(images.positions, values, strict=True):
            rows.add(
                image=subject.dataset.ids[position],
                group=str(subject.dataset.groups[position]),
                artefact=finding.artefact,
                target=finding.target,
                measurement="shift of the log-odds",
                condition=condition,
                value=float(value) if np.isfinite(value) else None,
            )


def _describe(subject: Subject, number: int, exhibits: Exhibits) -> ArtefactRecord:
    artefact, carries = subject.artefacts[number], subject.carriers[number]
    overlay = artefact.appearance if isinstance(artefact.appearance, Overlay) else None
    picture = None
    if overlay is not None:
        grey = np.full((1, *subject.classifier.image_shape), 0.5, np.float32)
        picture = exhibits.keep_picture(f"artefact {number}", insert(grey, overlay)[0])
    target = None if artefact.target is None else subject.classifier.classes[artefact.target]
    return ArtefactRecord(
        name=artefact.name,
        kind=artefact.kind,
        target=target,
        present=artefact.present,
        carriers=int(carries.sum()),
        coverage=None if overlay is None else float(overlay.mask.mean()),
        box=None if overlay is None else overlay.box,
        opacity=None if overlay is None else overlay.opacity,
        picture=picture,
    )


def _describe_data(
    config: AuditConfig, dataset: Dataset, images: Population, classes: tuple[str, ...], rule: Rule
) -> DataRecord:
    correct = is_correct(images.predicted, images.has)
    labelled = images.labelled
    by_class = []
    for number, name in enumerate(classes):
        rows = images.has[:, number] & labelled
        if rows.any() or images.predicted[:, number].any():
            accuracy = share_interval(images.predicted[rows, number], images.groups[rows], rule.level)
            by_class.append(ClassAccuracy(name, int(rows.sum()), int(images.predicted[:, number].sum()), accuracy))
    overall = share_interval(correct[labelled], images.groups[labelled], rule.level)
    return DataRecord(
        source=config.data.source,
        sha256=dataset.sha256(),
        available=dataset.available,
        sampled=len(dataset),
        used=len(images),
        groups=len(np.unique(images.groups)),
        labelled=bool(labelled.any()),
        skipped=[dataset.skipped[row] for row in sorted(dataset.skipped)],
        accuracy=overall if labelled.any() else replace(overall, reason="the data have no labels"),
        classes=by_class,
        mean_image="mean image",
    )


def _with_diagnostics(
    records: list[MethodRecord], exhibits: Exhibits, failures: list[str], level: float
) -> list[MethodRecord]:
    """The methods with the medians of their own checks over all images explained, or with why they failed."""
    found: list[MethodRecord] = []
    for record in records:
        checks = exhibits.diagnostics.get(record.name, {})
        if failures and not checks and record.status == "ok":
            record = replace(record, status="error", reason=failures[0])
        measured = {}
        for name, parts in checks.items():
            values = np.concatenate([values for values, _ in parts])
            groups = np.concatenate([groups for _, groups in parts])
            if name.startswith(ALL_ZERO):
                measured[name] = share_interval(values > 0, groups, level)
            else:
                measured[name] = median_interval(values, groups, level, unit="median")
        found.append(replace(record, diagnostics=measured))
    return found


def _no_agreement() -> list[Agreement]:
    reason = "no images were explained"
    return [Agreement(name, "not_applicable", reason, None, None) for name in ("gradient", "grad_cam")]


def _warnings(subject: Subject, scores: list[RegionScores], failures: list[str]) -> list[str]:
    found = [f"Explanations failed: {failure}" for failure in failures]
    skipped = len(subject.dataset.skipped)
    if skipped:
        found.append(f"{skipped} {'image' if skipped == 1 else 'images'} could not be used; see what was left out.")
    if not subject.artefacts:
        found.append("No artefact is named in the configuration, so there is nothing to decide on.")
    if not subject.dataset.labelled.any():
        found.append("The data have no labels: images count as what they are predicted, and accuracy is not measured.")
    for entry in scores:
        found += [f"{entry.artefact}, {entry.method}: {note}" for note in entry.notes if "baseline" in note]
    return found


def _provenance(config: AuditConfig, started: datetime, seconds: float) -> Provenance:
    return Provenance(
        started=started.isoformat(timespec="seconds"),
        seconds=round(seconds, 1),
        auditor=_version("auditor") or "not installed",
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        packages=_versions(),
        seed=config.data.seed,
        config_file=config.file.name,
        config=config.echo(),
    )


def _versions() -> dict[str, str]:
    versions: Mapping[str, str | None] = {name: _version(name) for name in _PACKAGES}
    return {name: version for name, version in versions.items() if version is not None}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
