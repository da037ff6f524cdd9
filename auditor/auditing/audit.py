"""One audit, from a configuration to an `AuditResult` with its rows and arrays."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

import numpy as np

from auditor.artefacts.describe import describe_artefact
from auditor.artefacts.kinds import Artefact
from auditor.artefacts.record import ArtefactRecord
from auditor.artefacts.varied import Varied
from auditor.auditing.mistakes import Mistake
from auditor.auditing.opening import NOTHING, TO_KEEP, Handed, Subject, open_subject, read_strata
from auditor.auditing.plan import describe_method, plan_methods
from auditor.config.file import AuditConfig
from auditor.errors import AuditError, MethodError
from auditor.explain.attribution.exemplars import BASELINE, Case, Exhibits, explain_case
from auditor.explain.attribution.methods import ALL_ZERO
from auditor.explain.attribution.record import Agreement, MethodRecord
from auditor.explain.inquiry import Inquiry, NotApplicableError
from auditor.explain.table import STUDIES
from auditor.measure.intervals import median_interval, share_interval
from auditor.measure.ledger import NewArrays, Rows
from auditor.measure.measurement import Note
from auditor.measure.pieces import Piece, Told, check_pieces
from auditor.measure.seeds import audit_generator
from auditor.run.migrate import SCHEMA_VERSION
from auditor.run.provenance import describe_run
from auditor.run.result import AuditResult, WorkUnit
from auditor.run.store import Run
from auditor.subject.data.pictures import to_pixels
from auditor.subject.describe import describe_data
from auditor.verdict.calibration import Asked, calibrate, is_calibrated
from auditor.verdict.findings import judge_all
from auditor.verdict.notes import note_images, note_interventions, note_parts
from auditor.verdict.observations import Observations
from auditor.verdict.record import Finding, Rule
from auditor.verdict.trial import Progress, Survey, survey

Record = TypeVar("Record", WorkUnit, MethodRecord)

NONE_EXPLAINED = "no images were explained"


def run_audit(
    config: AuditConfig, progress: Progress, keep: Callable[[Run], object] = lambda run: None, handed: Handed = NOTHING
) -> Run:
    """Run the whole audit.

    Parameters
    ----------
    keep
        Told the run as it stands: first when there are verdicts, before anything is explained, then after each unit of
        work. What fails later takes nothing from it.
    handed
        A model and images that are objects, not names of files.

    Raises
    ------
    AuditError
        There can be no verdicts. What concerns one artefact alone becomes a finding instead, and whatever a method or
        study throws becomes that one's error.
    """
    started, clock = datetime.now(UTC), time.monotonic()
    subject = open_subject(config, handed)
    progress("loading", 1, 1)
    classifier, dataset, seed = subject.classifier, subject.dataset, config.data.seed
    plan = plan_methods(config, classifier, subject.why_no_gradients)
    seen = survey(
        classifier,
        dataset,
        subject.artefacts,
        fills=config.interventions.fills,
        alpha=config.verdict.alpha,
        seed=seed,
        batch_size=config.model.batch_size,
        progress=progress,
        columns=read_strata(config, dataset),
    )
    verdict = config.verdict
    rule = Rule(verdict.margin, verdict.margin_sd, verdict.alpha, verdict.min_groups)
    findings = _judge(subject, seen, rule)
    exhibits = _begin_exhibits(subject, seen, findings, rule)
    cases = _cases(subject, findings, seen, config) if plan.attributions else []
    waiting = [f"maps: {case.artefact.name}" if case.artefact else "maps" for case in cases]
    waiting += [*plan.studies, *plan.sections]
    methods = plan.records
    for method in plan.attributions if not cases else []:
        methods = _changed(methods, method.name, status="not_applicable", reason=NONE_EXPLAINED)
    result = AuditResult(
        schema_version=SCHEMA_VERSION,
        title=config.report.title,
        calibrated=is_calibrated(findings),
        rule=rule,
        exit_code=exit_code(findings),
        findings=findings,
        artefacts=_describe_artefacts(subject, exhibits.arrays),
        region_scores=[],
        methods=methods,
        agreement=_no_agreement(),
        exemplars=[],
        model=subject.model,
        data=describe_data(config, dataset, seen.images, classifier.classes, rule.level),
        warnings=[*_uncalibrated(findings), *subject.notes],
        provenance=describe_run(config, started, time.monotonic() - clock, seen.passes),
        preface=config.report.preface,
        units=[WorkUnit("verdicts", "done"), *(WorkUnit(name, "missing") for name in waiting)],
    )

    def settle() -> Run:
        seconds = round(time.monotonic() - clock, 1)
        told = replace(_settled(result, exhibits), provenance=replace(result.provenance, seconds=seconds))
        if len(dataset.skipped) > len(result.data.skipped):
            count = len(dataset.skipped) - len(result.data.skipped)
            gone = f"{count} images were changed or gone when they were to be explained, and are left out there."
            told = replace(told, warnings=[*told.warnings, Note("images", gone)])
        return Run(told, exhibits.rows, exhibits.arrays)

    keep(settle())
    inquiry = Inquiry(
        classifier=classifier,
        dataset=dataset,
        images=seen.images,
        artefacts=subject.artefacts,
        targets=[None if each.target is None else classifier.classes.index(each.target) for each in findings],
        mean_image=seen.mean_image,
        attributions=plan.attributions,
        rows=exhibits.rows,
        arrays=exhibits.arrays,
        seed=seed,
        level=rule.level,
        progress=progress,
    )
    for number, case in enumerate(cases):
        progress("explanations", number, len(cases))
        asked = [method for method in plan.attributions if method.name not in exhibits.failures]
        try:
            explain_case(exhibits, case, replace(inquiry, attributions=asked))
            result = _end(result, waiting[number])
        except (Exception, SystemExit) as fault:  # the verdicts stand without explanations
            failure = MethodError(waiting[number], fault, traceback.format_exc())
            result = _end(result, waiting[number], failure)
            exhibits.failures |= {method.name: failure for method in asked if method.name not in exhibits.diagnostics}
        for method in asked:
            result = _end_method(result, method.name, exhibits.failures.get(method.name))
        progress("explanations", number + 1, len(cases))
        keep(settle())
    for number, (name, study) in enumerate(plan.studies.items()):
        progress("studies", number, len(plan.studies))
        asked = [method for method in plan.attributions if method.name not in exhibits.failures]
        own = replace(inquiry, attributions=asked, rows=Rows(), arrays=NewArrays())
        result = _run_study(result, name, study, own, exhibits.arrays)
        exhibits.rows.extend(own.rows)
        exhibits.arrays.extend(own.arrays)
        progress("studies", number + 1, len(plan.studies))
        keep(settle())
    for name, section in plan.sections.items():
        try:
            pieces = check_pieces(section(settle().result, exhibits.arrays), exhibits.arrays)
            result = _end(_tell(result, name, section, pieces), name)
        except (Exception, SystemExit) as fault:
            result = _end(result, name, MethodError(name, fault, traceback.format_exc()))
        keep(settle())
    return settle()


def _run_study(
    result: AuditResult, name: str, study: Callable[[Inquiry], Any], inquiry: Inquiry, kept: NewArrays
) -> AuditResult:
    """The result with what a study found, or with why it found nothing.

    A method of attribution that fails in it fails alone, and the study is done without it; so it is without images that
    were found to be gone meanwhile.
    """
    inquiry = inquiry.of_what_is_there()
    try:
        found = study(inquiry)
        if name in STUDIES:
            result = replace(result, **{name: found})
        else:
            result = _tell(result, name, study, check_pieces(found, {**kept, **inquiry.arrays}))
        return _end_method(_end(result, name), name)
    except NotApplicableError as obstacle:
        ended = _end(result, name)
        return replace(ended, methods=_changed(ended.methods, name, status="not_applicable", reason=str(obstacle)))
    except (Exception, SystemExit) as fault:  # the verdicts stand without it
        inquiry.rows.clear()
        inquiry.arrays.clear()
        if len(inquiry.of_what_is_there().images) < len(inquiry.images):
            return _run_study(result, name, study, inquiry, kept)
        others = [method for method in inquiry.attributions if method.name != getattr(fault, "name", None)]
        if isinstance(fault, MethodError) and len(others) < len(inquiry.attributions):
            result = _end_method(result, fault.name, fault)
            return _run_study(result, name, study, replace(inquiry, attributions=others), kept)
        failure = MethodError(name, fault, traceback.format_exc())
        return _end_method(_end(result, name, failure), name, failure)


def _tell(result: AuditResult, name: str, function: Callable[..., Any], pieces: list[Piece]) -> AuditResult:
    """The result with what a function of the user's told, under the first sentence of its docstring."""
    title, _ = describe_method(getattr(function, "func", function))
    return replace(result, told=result.told | {name: Told(title.rstrip(".") or name, pieces)})


def _end(result: AuditResult, unit: str, failure: MethodError | None = None) -> AuditResult:
    """The result with a unit of work ended."""
    return replace(result, units=_changed(result.units, unit, **_ended("done", failure)))


def _end_method(result: AuditResult, name: str, failure: MethodError | None = None) -> AuditResult:
    """The result with what became of a method."""
    return replace(result, methods=_changed(result.methods, name, **_ended("ok", failure)))


def _ended(well: str, failure: MethodError | None) -> dict[str, str | None]:
    if failure is None:
        return {"status": well, "reason": None}
    return {"status": "error", "reason": failure.reason, "trace": failure.trace}


def _changed(records: list[Record], name: str, **fields: Any) -> list[Record]:
    """Records in which that of a name has other fields."""
    return [replace(each, **fields) if each.name == name else each for each in records]


def _settled(result: AuditResult, exhibits: Exhibits) -> AuditResult:
    """The result with what was explained so far, and with what failed or is missing said."""
    ended: list[MethodRecord | WorkUnit] = [*result.methods, *result.units]
    failures = dict.fromkeys(f"{each.name}: {each.reason}" for each in ended if each.status == "error")
    missing = [unit.name for unit in result.units if unit.status == "missing"]
    warnings = [*result.warnings, *(Note("failed", f"Explanations failed: {failure}") for failure in failures)]
    if missing:
        warnings.append(Note("missing", f"The audit ended before these were done: {', '.join(missing)}."))
    for entry in exhibits.region_scores:
        about = f"{entry.artefact}, {entry.map}"
        warnings += [Note(BASELINE, f"{about}: {note.text}") for note in entry.notes if note.kind == BASELINE]
    return replace(
        result,
        exit_code=AuditError.exit_code if failures or missing else result.exit_code,
        region_scores=list(exhibits.region_scores),
        methods=[_with_diagnostics(record, exhibits, result.rule.level) for record in result.methods],
        agreement=exhibits.agreement or result.agreement,
        exemplars=list(exhibits.exemplars),
        made_up=list(exhibits.arrays.made_up),
        warnings=warnings,
    )


def _begin_exhibits(subject: Subject, seen: Survey, findings: list[Finding], rule: Rule) -> Exhibits:
    """What is shown and noted of the images and of the interventions on them."""
    rows = Rows()
    columns = next((each.columns for each in seen.observed if isinstance(each, Observations)), {})
    note_images(rows, subject.dataset, subject.classifier.classes, seen.images, columns)
    for finding, observed in zip(findings, seen.observed, strict=True):
        if isinstance(observed, Observations):
            note_interventions(rows, subject.dataset, finding, observed)
            note_parts(rows, subject.dataset, finding, observed, rule)
    exhibits = Exhibits(rows=rows)
    exhibits.arrays.keep("mean image", to_pixels(seen.mean_image), of_data=True)
    return exhibits


def _describe_artefacts(subject: Subject, arrays: NewArrays) -> list[ArtefactRecord]:
    frame, classes = subject.classifier.image_shape, subject.classifier.classes
    return [
        describe_artefact(artefact, frame, classes, picture=f"artefact {number}", arrays=arrays)
        for number, artefact in enumerate(subject.artefacts)
    ]


def exit_code(findings: list[Finding]) -> int:
    """3 where a finding is an error, else 1 where an artefact is relied on, else 4 where anything is open, else 0."""
    verdicts = {finding.verdict for finding in findings}
    if "error" in verdicts:
        return 3
    if "relies" in verdicts:
        return 1
    return 0 if verdicts == {"no_evidence"} else 4


def _judge(subject: Subject, seen: Survey, rule: Rule) -> list[Finding]:
    pairs = list(zip(subject.artefacts, seen.observed, strict=True))
    tried = [(observed, artefact.target) for artefact, observed in pairs if isinstance(observed, Observations)]
    judged = iter(judge_all(tried, rule))
    findings = []
    for artefact, observed in pairs:
        if isinstance(observed, Observations):
            finding = _withhold(next(judged), [] if subject.is_as_written else subject.mistakes)
            findings.append(replace(finding, calibration=calibrate(_asked(subject, seen, artefact), rule)))
        else:
            target = None if artefact.target is None else subject.classifier.classes[artefact.target]
            findings.append(Finding(artefact.name, target, "error", None, "none", None, None, str(observed), {}))
    return findings


def _asked(subject: Subject, seen: Survey, artefact: Artefact) -> Asked:
    """How the audit asks about an artefact."""
    images = seen.images
    return Asked(
        output=subject.classifier.output,
        classes=len(subject.classifier.classes),
        images=len(images),
        groups=len(np.unique(images.groups)),
        present=artefact.present,
        kind="varied" if isinstance(artefact.appearance, Varied) else artefact.kind,
        is_scan=artefact.target is None,
    )


def _uncalibrated(findings: list[Finding]) -> list[Note]:
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
    return replace(finding, verdict="inconclusive", direction=None, severity="none", reason=reason)


def _cases(subject: Subject, findings: list[Finding], seen: Survey, config: AuditConfig) -> list[Case]:
    """What is to be explained: for each artefact a seeded choice of carriers and of images to insert it into."""
    wanted, shown, seed = config.explain.images, config.explain.exemplars, config.data.seed
    usable = np.zeros(len(subject.dataset), bool)
    usable[seen.images.positions] = True
    order = audit_generator(seed, "explained images").permutation(len(usable))
    if not subject.artefacts:
        chosen = [int(at) for at in order if usable[at]][:wanted]
        return [Case(None, None, [], chosen, shown)]
    cases = []
    for artefact, finding, observed in zip(subject.artefacts, findings, seen.observed, strict=True):
        if finding.target is None or not isinstance(observed, Observations):
            continue
        target = subject.classifier.classes.index(finding.target)
        with_it = set() if observed.removals is None else set(observed.removals.images.positions.tolist())
        free: set[int] = set()
        if observed.insertion is not None:
            images = observed.insertion.images
            free = set(images.positions[~images.has[:, target]].tolist())
        carriers = [int(at) for at in order if at in with_it]
        inserted = [int(at) for at in order if at in free and usable[at]]
        half = wanted // 2
        taken = carriers[: max(half, wanted - len(inserted))]
        cases.append(Case(artefact, target, taken, inserted[: wanted - len(taken)], shown))
    return cases


def _with_diagnostics(record: MethodRecord, exhibits: Exhibits, level: float) -> MethodRecord:
    """A method with the medians of its own checks over all images explained."""
    measured = {}
    for (check, variant), parts in exhibits.diagnostics.get(record.name, {}).items():
        name = f"{check} ({variant})" if variant else check
        values = np.concatenate([values for values, _ in parts])
        groups = np.concatenate([groups for _, groups in parts])
        if check == ALL_ZERO:
            measured[name] = share_interval(values > 0, groups, level)
        else:
            measured[name] = median_interval(values, groups, level, unit="median")
    return replace(record, diagnostics=measured)


def _no_agreement() -> list[Agreement]:
    return [Agreement(name, "not_applicable", NONE_EXPLAINED, None, None) for name in ("gradient", "grad_cam")]
