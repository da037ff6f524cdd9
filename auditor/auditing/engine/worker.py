"""One worker: it opens the model and the images itself, and does units of work that are told by ids alone."""

from __future__ import annotations

import os
import pickle
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from auditor.artefacts.kinds import ARTEFACT_KINDS
from auditor.auditing.engine.units import Broken, Done, Outcome, Refused
from auditor.auditing.engine.wire import Before, Evidence, Grown, Maps, Sight
from auditor.auditing.explaining import explain_maps, run_study
from auditor.auditing.growing import Growing, changed
from auditor.auditing.metering import Meter
from auditor.auditing.opening import Subject, hasten, open_subject
from auditor.auditing.plan import Plan, plan_methods
from auditor.auditing.resuming import Fingerprint, take_fingerprint
from auditor.config.file import AuditConfig, check_config
from auditor.config.options import KeyPath
from auditor.config.places import Place
from auditor.errors import AuditError, describe_fault
from auditor.explain.attribution.exemplars import Case, Exhibits
from auditor.explain.inquiry import Inquiry
from auditor.explain.table import METHODS, STUDIES
from auditor.measure.ledger import NewArrays, Rows
from auditor.run.provenance import describe_software
from auditor.subject.model.classifier import Classifier
from auditor.subject.pooling import Pool
from auditor.verdict.gathered import Cost
from auditor.verdict.interventions import Trial
from auditor.verdict.looking import Course, look_for_another
from auditor.verdict.passes import Carried, Counted, Journalled, Kept


@dataclass(frozen=True)
class Opening:
    """A configuration as a worker reads it: the same text, the same folder, the same place to stand."""

    data: dict[str, Any]
    """The keys that were written."""
    file: str
    places: dict[KeyPath, Place]
    overridden: dict[KeyPath, str]
    folder: str
    """Where relative paths of the command line begin."""


def opening_of(config: AuditConfig) -> Opening:
    """What workers are told of a configuration."""
    data = config.model_dump(mode="json", exclude={"file", "places", "overridden", "calls"}, exclude_unset=True)
    return Opening(data, str(config.file), config.places, config.overridden, os.getcwd())


class Worker:
    """A process with the model; it begins with `open`, and then does whatever `do` is told."""

    def __init__(self) -> None:
        self._subject: Subject | None = None
        self._plan: Plan | None = None
        self._config: AuditConfig | None = None
        self._trials: tuple[int, dict[int, Trial]] = (-1, {})
        self._carried = Carried()
        self._asked: Classifier | None = None

    def hello(self) -> tuple[int, dict[str, str]]:
        """Its process, and the versions of all that numbers may depend on."""
        return os.getpid(), describe_software()

    def open(self, opening: Opening) -> Outcome:
        """Open model and images; gives the fingerprint of what will be audited."""
        return _caught(lambda: self._open(opening))

    def do(self, call: str, *arguments: Any) -> Outcome:
        """Do a unit of work."""
        return _caught(lambda: getattr(self, call)(*arguments))

    def _open(self, opening: Opening) -> Fingerprint:
        file = Path(opening.file)
        if Path(opening.folder).is_dir():
            os.chdir(opening.folder)  # so that faults name files as they were named there
        else:
            file = Path(opening.folder) / file
        config = check_config(
            opening.data,
            file,
            opening.places,
            opening.overridden,
            kinds=ARTEFACT_KINDS,
            methods=METHODS,
        )
        # whether too many images are spoilt is told by who sees all of them
        lenient = config.model_copy(update={"data": config.data.model_copy(update={"max_corrupt": 1.0})})
        self._config, self._subject = config, open_subject(lenient)
        self._plan = plan_methods(config, self._subject.classifier, self._subject.why_no_gradients)
        fingerprint = take_fingerprint(config, self._subject)
        hasten(self._subject)
        return fingerprint

    def look(self, sight: Sight, course: Course, known: tuple[Kept, ...]) -> tuple[Any, Carried]:
        """Look at a batch of images: see `look_for_another`; and its passes, where they are to be kept."""
        assert self._subject is not None
        assert self._config is not None
        self._carried.known = {kept.number: kept for kept in known}
        self._carried.new, self._carried.is_of_another = [], False
        if self._asked is None:
            classifier: Classifier = self._subject.classifier
            self._asked = Journalled(classifier, self._carried) if sight.is_kept else classifier
        if isinstance(self._asked, Journalled):
            self._asked.number = sight.first_pass
        if self._trials[0] != sight.course:
            self._trials = sight.course, {}
        dataset, config, size = self._subject.dataset, self._config, self._config.model.batch_size
        for at in sight.artefacts:
            if at not in self._trials[1]:
                counted = Counted(self._asked, pool=Pool(self._asked, size))
                artefact, fills = self._subject.artefacts[at], config.interventions.fills
                chosen = course.chosen[at]
                self._trials[1][at] = Trial(counted, dataset, artefact, fills, config.data.seed, course.first, chosen)
        trials = {at: self._trials[1][at] for at in sight.artefacts}
        here = replace(course, is_first=course.is_first and sight.is_first)
        looked = look_for_another(self._asked, self._subject.classifier.work, dataset, trials, here, sight.rows)
        looked.notes = list(self._subject.classifier.notes_of_memory)
        for gathered in looked.gathered.values():
            gathered.failure = gathered.failure and _portable(gathered.failure)
        return looked, replace(self._carried, known={})

    def explain(self, name: str, maps: Maps | None, before: Before, evidence: Evidence) -> Grown:
        """Do a unit of explanation: the maps of a case, or a study."""
        assert self._subject is not None
        assert self._plan is not None
        assert self._config is not None
        subject, plan, config, clock = self._subject, self._plan, self._config, time.monotonic()
        classifier, dataset = subject.classifier, subject.dataset
        dataset.groups = evidence.groups
        dataset.skipped.clear()
        dataset.skipped.update(before.skipped)
        artefacts, result = [*subject.artefacts, *evidence.suspects], evidence.result
        for method in before.failed:
            result = replace(result, methods=changed(result.methods, method, status="error"))
        exhibits = Exhibits(Rows(), shown_before=before.shown, has_second_opinion=before.has_second_opinion)
        if maps is None:
            exhibits.arrays.extend(evidence.arrays)
        minutes = config.audit.minutes
        growing = Growing(result, exhibits, subject, clock, Meter(work=classifier.work), minutes)
        needed, made = Counter(classifier.work.needed), Counter(classifier.work.made)
        classifier.work.ends = clock + before.until - time.time()
        inquiry = Inquiry(
            classifier=classifier,
            dataset=dataset,
            images=evidence.images,
            artefacts=artefacts,
            targets=evidence.targets,
            mean_image=evidence.mean_image,
            attributions=growing.well(plan.attributions),
            rows=exhibits.rows,
            arrays=exhibits.arrays if maps is not None else NewArrays(),
            seed=config.data.seed,
            level=evidence.result.rule.level,
            progress=lambda stage, done, total: None,
        )
        try:
            if maps is not None:
                artefact = None if maps.artefact is None else artefacts[maps.artefact]
                case = Case(artefact, maps.target, maps.carriers, maps.inserted, maps.shown)
                explain_maps(growing, name, case, inquiry)
            else:
                inquiry = replace(inquiry, rows=Rows())
                run_study(growing, name, plan.studies[name], inquiry)
        finally:
            classifier.work.ends = float("inf")
        after = growing.result
        return Grown(
            unit=next(unit for unit in after.units if unit.name == name),
            methods=[new for new, old in zip(after.methods, result.methods, strict=True) if new != old],
            found={each: getattr(after, each) for each in STUDIES if each == name},
            told={each: told for each, told in after.told.items() if each == name},
            rows=inquiry.rows,
            arrays=inquiry.arrays,
            exemplars=exhibits.exemplars,
            region_scores=exhibits.region_scores,
            agreement=exhibits.agreement,
            diagnostics={method: dict(of) for method, of in exhibits.diagnostics.items()},
            skipped={row: image for row, image in dataset.skipped.items() if row not in before.skipped},
            cost=Cost(needed=classifier.work.needed - needed, made=classifier.work.made - made),
            notes=list(classifier.notes_of_memory),
        )


def _caught(call: Callable[[], Any]) -> Outcome:
    try:
        return Done(call())
    except AuditError as fault:
        return Refused(_portable(fault))
    except (Exception, SystemExit) as fault:
        return Broken(f"{describe_fault(fault)} (in {traceback.extract_tb(fault.__traceback__)[-1].name})")


def _portable(fault: AuditError) -> AuditError:
    """The fault, or one of the same text where it cannot travel as it is."""
    try:
        return pickle.loads(pickle.dumps(fault))
    except TypeError:
        return AuditError(str(fault))
