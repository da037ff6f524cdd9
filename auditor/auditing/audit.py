"""One audit, from a configuration to an `AuditResult` with its rows and arrays."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from auditor.artefacts.describe import describe_artefact
from auditor.auditing.opening import Subject, open_subject
from auditor.config.file import AuditConfig, MethodConfig
from auditor.config.options import bind_options
from auditor.errors import AuditError, OptionError
from auditor.explain.attribution.exemplars import Case, Exhibits, Plan, explain_case
from auditor.explain.attribution.methods import ALL_ZERO, ATTRIBUTIONS
from auditor.explain.attribution.record import Agreement, MethodRecord, RegionScores
from auditor.explain.counterfactual.aims import find_pairs
from auditor.explain.inquiry import Inquiry, NotApplicableError
from auditor.explain.optima.objectives import find_features
from auditor.explain.table import METHODS, STUDIES
from auditor.measure.intervals import median_interval, share_interval
from auditor.measure.ledger import Rows
from auditor.run.migrate import SCHEMA_VERSION
from auditor.run.provenance import describe_run
from auditor.run.result import AuditResult
from auditor.run.store import Run
from auditor.subject.describe import describe_data
from auditor.subject.model.keras import KerasClassifier
from auditor.verdict.findings import judge_all
from auditor.verdict.notes import note_images, note_interventions
from auditor.verdict.observations import Evidence
from auditor.verdict.record import Finding, Rule
from auditor.verdict.trial import Progress, Survey, survey

Bools = npt.NDArray[np.bool_]

UNCALIBRATED = (
    "Not calibrated: the rule was tested on small models of known truth; how often it errs on models like this one is "
    "not known."
)


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
    plans, records = _plan_methods(config, classifier)
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

    rows = Rows()
    note_images(rows, dataset, classifier.classes, seen.images)
    exhibits = Exhibits(rows=rows)
    exhibits.keep_picture("mean image", seen.mean_image)
    cases = _cases(subject, findings, seen, config)
    failures = []
    maps = {name: plan for name, plan in plans.items() if name in ATTRIBUTIONS}
    for number, case in enumerate(cases):
        progress("explanations", number, len(cases))
        try:
            explain_case(exhibits, case, classifier, dataset, seen.mean_image, maps, seed=seed, level=rule.level)
        except AuditError as failure:  # the verdicts stand without explanations
            failures.append(str(failure))
        progress("explanations", number + 1, len(cases))
    for finding, evidence in zip(findings, seen.evidence, strict=True):
        if isinstance(evidence, Evidence):
            note_interventions(rows, dataset, finding, evidence)
    inquiry = Inquiry(
        classifier=classifier,
        dataset=dataset,
        images=seen.images,
        artefacts=subject.artefacts,
        carriers=subject.carriers,
        targets=[None if finding.target is None else classifier.classes.index(finding.target) for finding in findings],
        mean_image=seen.mean_image,
        attributions={name: plan.options for name, plan in maps.items()},
        rows=rows,
        arrays=exhibits.arrays,
        seed=seed,
        level=rule.level,
        progress=progress,
    )
    studies, records, failed = _study(inquiry, plans, records)
    failures += failed

    result = AuditResult(
        schema_version=SCHEMA_VERSION,
        title=config.report.title,
        calibrated=False,
        rule=rule,
        exit_code=AuditError.exit_code if failures else exit_code(findings),
        findings=findings,
        artefacts=[
            describe_artefact(
                artefact,
                carries,
                classifier.image_shape,
                classifier.classes,
                picture=f"artefact {number}",
                arrays=exhibits.arrays,
            )
            for number, (artefact, carries) in enumerate(zip(subject.artefacts, subject.carriers, strict=True))
        ],
        region_scores=exhibits.region_scores,
        methods=_with_diagnostics(records, exhibits, failures, rule.level),
        agreement=exhibits.agreement or _no_agreement(),
        exemplars=exhibits.exemplars,
        model=subject.model,
        data=describe_data(config, dataset, seen.images, classifier.classes, rule.level),
        warnings=[UNCALIBRATED, *_warnings(subject, exhibits.region_scores, failures)],
        provenance=describe_run(config, started, time.monotonic() - clock),
        preface=config.report.preface,
        **studies,
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
    """The methods to run, attributions and studies, and a record of every method there is."""
    plans: dict[str, Plan] = {}
    records = []
    for name, function in METHODS.items():
        section = config.methods.get(name, MethodConfig())
        options = bind_options(function, section.options, ("methods", name))
        summary, reference = describe_method(function)
        only_exemplars = section.on == "exemplars"
        if only_exemplars and name in STUDIES:
            raise config.fault(("methods", name, "on"), f"{name} chooses its own images; leave it out")
        status, reason = "ok", None
        if not section.enabled:
            status, reason = "off", "switched off in the configuration"
        elif only_exemplars and not config.explain.exemplars:
            status, reason = "off", "for exemplars only, and none are shown"
        elif name == "grad_cam" and not classifier.feature_layers:
            status, reason = "not_applicable", classifier.why_no_features
        else:
            plans[name] = Plan(options, exemplars_only=only_exemplars)
            _refuse_what_the_model_lacks(config, classifier, name, options)
        plain = {key: list(value) if isinstance(value, tuple) else value for key, value in options.items()}
        plain |= {"on": section.on} if only_exemplars else {}
        records.append(MethodRecord(name, status, reason, plain, summary, reference))  # type: ignore[arg-type]
    return plans, records


def _refuse_what_the_model_lacks(
    config: AuditConfig, classifier: KerasClassifier, name: str, options: Mapping[str, Any]
) -> None:
    """At once, not after all that is measured first."""
    try:
        if name == "optima":
            find_features(classifier, options["features"])
        elif name == "counterfactual":
            find_pairs(classifier, options["pairs"])
    except OptionError as fault:
        raise config.fault(("methods", name, fault.option), fault.message) from None


def _study(
    inquiry: Inquiry, plans: Mapping[str, Plan], records: list[MethodRecord]
) -> tuple[dict[str, Any], list[MethodRecord], list[str]]:
    """What each study found, by its name, the records with what became of it, and what failed."""
    found: dict[str, Any] = {}
    ended: dict[str, tuple[Literal["not_applicable", "error"], str]] = {}
    failures = []
    planned = [name for name in STUDIES if name in plans]
    for number, name in enumerate(planned):
        inquiry.progress("studies", number, len(planned))
        try:
            found[name] = STUDIES[name](inquiry, **plans[name].options)
        except NotApplicableError as obstacle:
            ended[name] = "not_applicable", str(obstacle)
        except AuditError as failure:  # the verdicts stand without it
            ended[name] = "error", str(failure)
            failures.append(f"{name}: {failure}")
        inquiry.progress("studies", number + 1, len(planned))
    changed = [
        replace(record, status=ended[record.name][0], reason=ended[record.name][1]) if record.name in ended else record
        for record in records
    ]
    return found, changed, failures


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
