"""One audit, from a configuration to an `AuditResult` with its rows and arrays."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from auditor.artefacts.describe import describe_artefact
from auditor.artefacts.record import ArtefactRecord
from auditor.auditing.engine.spread import Spread
from auditor.auditing.engine.units import Crew
from auditor.auditing.explaining import explain_maps, run_study, tell_section
from auditor.auditing.growing import Growing, changed
from auditor.auditing.judging import exit_code, judge_tried, note_uncalibrated
from auditor.auditing.metering import Meter
from auditor.auditing.opening import NOTHING, Handed, Subject, hasten, open_subject, read_strata
from auditor.auditing.plan import plan_methods
from auditor.auditing.resuming import Keeping, take_fingerprint
from auditor.auditing.suspecting import suspect
from auditor.config.file import AuditConfig
from auditor.explain.attribution.exemplars import Case, Exhibits
from auditor.explain.attribution.record import Agreement
from auditor.explain.inquiry import Inquiry
from auditor.measure.arrays import Array
from auditor.measure.ledger import NewArrays, Rows
from auditor.measure.seeds import audit_generator
from auditor.run.migrate import SCHEMA_VERSION
from auditor.run.provenance import describe_run
from auditor.run.result import AuditResult, WorkUnit
from auditor.run.store import Run
from auditor.subject.data.pictures import to_pixels
from auditor.subject.describe import describe_data
from auditor.verdict.calibration import is_calibrated
from auditor.verdict.looking import look_here
from auditor.verdict.notes import COLUMN, note_column, note_images, note_interventions, note_parts
from auditor.verdict.observations import Observations
from auditor.verdict.record import Finding, Rule
from auditor.verdict.rounds import choose_rounds
from auditor.verdict.trial import Progress, Survey, survey

NONE_EXPLAINED = "no images were explained"


def run_audit(
    config: AuditConfig,
    progress: Progress,
    keep: Callable[[Run], object] = lambda run: None,
    handed: Handed = NOTHING,
    keeping: Keeping | None = None,
    meter: Meter | None = None,
    crew: Crew | None = None,
) -> Run:
    """Run the whole audit.

    Parameters
    ----------
    keep
        Told the run as it stands: first when there are verdicts, before anything is explained, then after each unit of
        work. What fails later takes nothing from it.
    handed
        A model and images that are objects, not names of files.
    keeping
        Where what is measured is kept, and what was kept is taken from.
    meter
        Measures what each part costs.
    crew
        Workers that look at images and explain in place of this process.

    Raises
    ------
    AuditError
        There can be no verdicts. What concerns one artefact alone becomes a finding instead, and whatever a method or
        study throws becomes that one's error.
    """
    started, clock, meter = datetime.now(UTC), time.monotonic(), meter or Meter()
    meter.begin("opening")
    subject = open_subject(config, handed)
    meter.work = subject.classifier.work
    progress("loading", 1, 1)
    classifier, dataset, seed = subject.classifier, subject.dataset, config.data.seed
    plan = plan_methods(config, classifier, subject.why_no_gradients)
    begun = started.isoformat(timespec="seconds")
    fingerprint = {} if keeping is None and crew is None else take_fingerprint(config, subject)
    if keeping is not None:
        begun = keeping.begin(fingerprint, begun)
    spread = None if crew is None else Spread(crew, keeping, classifier.work)
    if spread is not None:
        spread.agree(fingerprint)
    meter.begin("verdicts")
    hasten(subject)
    verdict, strata = config.verdict, read_strata(config, dataset)
    rule = Rule(verdict.margin, verdict.margin_sd, verdict.alpha, verdict.min_groups)
    asked = classifier if keeping is None else keeping.over(classifier)
    seen = survey(
        asked,
        dataset,
        subject.artefacts,
        fills=config.interventions.fills,
        rule=rule,
        seed=seed,
        batch_size=config.model.batch_size,
        progress=progress,
        columns=strata,
        rounds=choose_rounds(dataset, subject.artefacts) if config.verdict.sequential else (),
        look=look_here if spread is None else spread.look,
    )
    findings = judge_tried(subject, subject.artefacts, seen.observed, rule)
    named = len(findings)
    if subject.finds_suspects:
        meter.begin("suspects")
    suspected = suspect(config, subject, seen, asked, rule, progress)
    subject = replace(subject, artefacts=[*subject.artefacts, *suspected.artefacts])
    passes = dict(Counter(seen.passes) + Counter(suspected.passes))
    seen = replace(seen, observed=[*seen.observed, *suspected.observed], passes=passes)
    findings += suspected.findings
    exhibits = _begin_exhibits(subject, seen, findings, rule, strata)
    exhibits.arrays.extend(suspected.arrays)
    for column, (images, values) in suspected.parts.items():
        note_column(exhibits.rows, dataset, images, column, values, COLUMN)
    explained = [*range(named), *(named + at for at in suspected.confirmed)]
    cases = _cases(subject, findings, seen, config, explained) if plan.attributions else []
    waiting = [f"maps: {case.artefact.name}" if case.artefact else "maps" for case in cases]
    waiting += [*plan.studies, *plan.sections]
    methods = plan.records
    for method in plan.attributions if not cases else []:
        methods = changed(methods, method.name, status="not_applicable", reason=NONE_EXPLAINED)
    result = AuditResult(
        schema_version=SCHEMA_VERSION,
        title=config.report.title,
        calibrated=is_calibrated(findings),
        rule=rule,
        exit_code=exit_code(findings, len(suspected.findings)),
        findings=findings,
        artefacts=_describe_artefacts(subject, exhibits.arrays, named),
        region_scores=[],
        methods=methods,
        agreement=_no_agreement(),
        exemplars=[],
        model=subject.model,
        data=describe_data(config, dataset, seen.images, classifier.classes, rule.level),
        warnings=[*note_uncalibrated(findings), *subject.notes],
        provenance=replace(
            describe_run(config, begun, time.monotonic() - clock, seen.passes), engine=classifier.engine
        ),
        preface=config.report.preface,
        suspects=suspected.suspects,
        discovery=suspected.record,
        units=[WorkUnit("verdicts", "done"), *suspected.units, *(WorkUnit(name, "missing") for name in waiting)],
    )

    seen = replace(seen, observed=[])  # scores of edits are held no more: what they say stands in rows
    growing = Growing(result, exhibits, subject, clock, meter, config.audit.minutes)
    if keeping is not None:
        keeping.take_up(growing)
    keep(growing.settled())
    if config.audit.minutes is not None:
        meter.work.ends = clock + 60 * config.audit.minutes
    inquiry = Inquiry(
        classifier=classifier,
        dataset=dataset,
        images=seen.images,
        artefacts=[subject.artefacts[at] for at in explained],
        targets=[None if (name := findings[at].target) is None else classifier.classes.index(name) for at in explained],
        mean_image=seen.mean_image,
        attributions=plan.attributions,
        rows=exhibits.rows,
        arrays=exhibits.arrays,
        seed=seed,
        level=rule.level,
        progress=progress,
    )
    if spread is not None:
        maps = dict(zip(waiting, cases, strict=False))
        spread.expect(growing, inquiry, maps, list(plan.studies), inquiry.artefacts[named:])
    for number, case in enumerate(cases):
        progress("explanations", number, len(cases))
        if growing.is_due(waiting[number]):
            meter.begin(waiting[number])
            if spread is not None:
                spread.explain(growing, waiting[number])
            else:
                well = growing.well(plan.attributions)
                explain_maps(growing, waiting[number], case, replace(inquiry, attributions=well))
            keep(growing.settled())
        progress("explanations", number + 1, len(cases))
    if any(unit.status == "left_out" for unit in growing.result.units):
        for method in plan.attributions:
            growing.leave_out(method.name)
    for number, (name, study) in enumerate(plan.studies.items()):
        progress("studies", number, len(plan.studies))
        if growing.is_due(name):
            meter.begin(name)
            if spread is not None:
                spread.explain(growing, name)
            else:
                well = growing.well(plan.attributions)
                own = replace(inquiry, attributions=well, rows=Rows(), arrays=NewArrays())
                run_study(growing, name, study, own)
                exhibits.rows.extend(own.rows)
                exhibits.arrays.extend(own.arrays)
            keep(growing.settled())
        progress("studies", number + 1, len(plan.studies))
    meter.work.ends = math.inf  # sections ask the model nothing
    for name, section in plan.sections.items():
        if growing.is_due(name):
            meter.begin(name)
            tell_section(growing, name, section)
            keep(growing.settled())
    return growing.settled()


def _begin_exhibits(
    subject: Subject, seen: Survey, findings: list[Finding], rule: Rule, strata: Mapping[str, Array]
) -> Exhibits:
    """What is shown and noted of the images and of the interventions on them."""
    rows = Rows()
    columns = {name: values[seen.images.positions] for name, values in strata.items()} if findings else {}
    note_images(rows, subject.dataset, subject.classifier.classes, seen.images, columns)
    for finding, observed in zip(findings, seen.observed, strict=True):
        if isinstance(observed, Observations):
            note_interventions(rows, subject.dataset, finding, observed)
            note_parts(rows, subject.dataset, finding, observed, rule)
    exhibits = Exhibits(rows=rows)
    exhibits.arrays.keep("mean image", to_pixels(seen.mean_image), of_data=True)
    return exhibits


def _describe_artefacts(subject: Subject, arrays: NewArrays, named: int) -> list[ArtefactRecord]:
    """Those that were named, and suspects behind them, which are made of images of the data."""
    frame, classes = subject.classifier.image_shape, subject.classifier.classes
    return [
        describe_artefact(
            artefact, frame, classes, picture=f"artefact {number}", arrays=arrays, of_data=number >= named
        )
        for number, artefact in enumerate(subject.artefacts)
    ]


def _cases(
    subject: Subject, findings: list[Finding], seen: Survey, config: AuditConfig, explained: list[int]
) -> list[Case]:
    """What is to be explained: for each of some artefacts seeded carriers, and images to insert it into."""
    wanted, shown, seed = config.explain.images, config.explain.exemplars, config.data.seed
    usable = np.zeros(len(subject.dataset), bool)
    usable[seen.images.positions] = True
    order = audit_generator(seed, "explained images").permutation(len(usable))
    if not explained:
        chosen = [int(at) for at in order if usable[at]][:wanted]
        return [Case(None, None, [], chosen, shown)]
    cases = []
    for artefact, finding, observed in ((subject.artefacts[at], findings[at], seen.observed[at]) for at in explained):
        if finding.target is None or not isinstance(observed, Observations):
            continue
        target = subject.classifier.classes.index(finding.target)
        with_it = set() if observed.removals is None else set(observed.removals.images.positions.tolist())
        free: set[int] = set()
        if observed.insertion is not None:
            images = observed.insertion.images
            free = set(images.positions[~images.has[:, target]].tolist()) - with_it
        carriers = [int(at) for at in order if at in with_it]
        inserted = [int(at) for at in order if at in free and usable[at]]
        half = wanted // 2
        taken = carriers[: max(half, wanted - len(inserted))]
        cases.append(Case(artefact, target, taken, inserted[: wanted - len(taken)], shown))
    return cases


def _no_agreement() -> list[Agreement]:
    return [Agreement(name, "not_applicable", NONE_EXPLAINED, None, None) for name in ("gradient", "grad_cam")]
