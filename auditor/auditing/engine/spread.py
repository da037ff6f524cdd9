"""Spreads an audit over workers: what one process would do in turn is asked of many, and taken in by the same order."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from auditor.artefacts.kinds import Artefact
from auditor.auditing.engine.units import Crew, Dispatcher, Failed, Unit, in_order
from auditor.auditing.engine.wire import Before, Evidence, Grown, Maps, Sight
from auditor.auditing.growing import Growing, changed
from auditor.auditing.resuming import Fingerprint, Keeping
from auditor.errors import EngineError, MethodError
from auditor.explain.attribution.exemplars import Case
from auditor.explain.inquiry import Inquiry
from auditor.measure.arrays import Ints
from auditor.measure.measurement import Note
from auditor.subject.data.sample import Dataset
from auditor.subject.model.batches import Work
from auditor.verdict.gathered import Gathered
from auditor.verdict.interventions import Trial
from auditor.verdict.looking import Course, Looked, tell
from auditor.verdict.passes import Carried, Counted

PASSES_OF_A_UNIT = 10**6
"""Numbers in the journal that are set apart for the passes of each unit, and for those of this process."""


@dataclass(frozen=True)
class _Sent:
    """A unit of explanation on its way."""

    number: int
    maps: Maps | None
    before: Before


class Spread:
    """Hands an audit to a crew."""

    def __init__(self, crew: Crew, keeping: Keeping | None, work: Work) -> None:
        """Keep what workers measure in `keeping`, and count in `work` what they ask of the model."""
        self._crew, self._keeping, self._work = crew, keeping, work
        self._dispatcher = Dispatcher(crew)
        self._looks = self._courses = 0
        self._evidence: Any = None
        self._sent: dict[str, _Sent] = {}
        self._notes: list[Note] = []
        self._attributions = frozenset[str]()

    def agree(self, fingerprint: Fingerprint) -> None:
        """Only workers that have opened what has this fingerprint are given anything."""
        self._crew.agree(fingerprint)

    def look(
        self,
        counted: Counted,
        dataset: Dataset,
        trials: Mapping[int, Trial],
        course: Course,
        rows: Ints,
        batch_size: int,
    ) -> Iterator[Looked]:
        """See `auditor.verdict.looking.Look`."""
        self._courses += 1
        shared, number = self._crew.share(course), self._courses
        is_kept = self._keeping is not None and self._keeping.is_on

        def sight(part: Ints, artefacts: tuple[int, ...]) -> Sight:
            first_pass = PASSES_OF_A_UNIT * self._looks
            return Sight(part, artefacts, number, bool(part[0] == rows[0]), first_pass, is_kept)

        def submit(part: Ints) -> int:
            self._looks += 1
            asked = sight(part, _well(trials))
            known = () if self._keeping is None else tuple(self._keeping.recall(asked.first_pass))
            return self._dispatcher.submit(Unit(_name(part), "look", (asked, shared, known)))

        def result(part: Ints, number: int) -> Looked:
            found = self._dispatcher.result(number)
            if isinstance(found, Failed):
                return self._look_apart(
                    part, [replace(sight(part, (at,)), is_kept=False) for at in _well(trials)], shared
                )
            looked, carried = found
            self._keep(carried)
            return looked

        parts = [rows[at : at + batch_size] for at in range(0, len(rows), batch_size)]
        for looked in in_order(parts, submit, result, _WINDOW * self._crew.size + 1):
            tell(looked, counted, self._work, dataset, trials)
            self._notes += [note for note in looked.notes if note not in self._notes]
            yield looked

    def _look_apart(self, part: Ints, sights: Sequence[Sight], shared: Any) -> Looked:
        """Look at images, each artefact in a unit of its own: what fails then fails alone."""
        bare = Sight(part, (), 0, False, 0, False) if not sights else replace(sights[0], artefacts=())
        found = self._dispatcher.result(self._dispatcher.submit(Unit(_name(part), "look", (bare, shared, ()))))
        if isinstance(found, Failed):
            return Looked(skipped=dict.fromkeys(part.tolist(), found.reason))
        looked: Looked = found[0]
        for sight in sights:
            (at,) = sight.artefacts
            unit = Unit(f"artefact {at + 1} on {_name(part)}", "look", (sight, shared, ()))
            found = self._dispatcher.result(self._dispatcher.submit(unit))
            if isinstance(found, Failed):
                looked.gathered[at] = Gathered(failure=EngineError(found.reason))
            elif at in found[0].gathered:
                looked.gathered[at] = found[0].gathered[at]
        return looked

    def _keep(self, carried: Carried) -> None:
        if self._keeping is not None:
            self._keeping.note(carried.new, instead=carried.is_of_another)

    def expect(
        self,
        growing: Growing,
        inquiry: Inquiry,
        cases: Mapping[str, Case],
        studies: Sequence[str],
        suspects: Sequence[Artefact],
    ) -> None:
        """Hand out every unit of explanation that is missing, as though all before it went well.

        Parameters
        ----------
        suspects
            Those of the artefacts that workers do not open.
        """
        exhibits = growing.exhibits
        _note(growing, self._notes)
        self._attributions = frozenset(method.name for method in inquiry.attributions)
        evidence = Evidence(
            inquiry.images,
            inquiry.mean_image,
            inquiry.targets,
            inquiry.dataset.groups,
            growing.result,
            exhibits.arrays,
            list(suspects),
        )
        self._evidence = self._crew.share(evidence)
        before = _before(growing, self._work)
        missing = {unit.name for unit in growing.result.units if unit.status == "missing"}
        for name, case in cases.items():
            if name not in missing:
                continue
            self._send(name, _by_number(case, inquiry.artefacts), before, _SIZE_OF_MAPS)
            is_any = bool(case.carriers or case.inserted)
            is_tested = is_any and case.artefact is not None and case.target is not None
            before = replace(
                before,
                shown=before.shown + (is_any and case.shown > 0),
                has_second_opinion=before.has_second_opinion or is_tested,
            )
        for name in studies:
            if name in missing:
                self._send(name, None, before, 1.0)

    def _send(self, name: str, maps: Maps | None, before: Before, size: float) -> None:
        unit = Unit(name, "explain", (name, maps, before, self._evidence), size)
        self._sent[name] = _Sent(self._dispatcher.submit(unit), maps, before)

    def explain(self, growing: Growing, name: str) -> None:
        """Let a run grow by a unit of explanation, as if it were done here and now."""
        while True:
            sent = self._sent.pop(name)
            found, now = self._dispatcher.result(sent.number), _before(growing, self._work)
            if isinstance(found, Failed):
                failure = MethodError(name, EngineError(found.reason))
                growing.end(name, failure)
                if sent.maps is None:
                    growing.end_method(name, failure)
                elif not any(each.maps is not None for each in self._sent.values()):  # no maps of any can come
                    for record in growing.result.methods:
                        if record.name in self._attributions and record.status == "missing":
                            growing.end_method(record.name, failure)
                return
            if _depends(sent, now):
                self._send(name, sent.maps, now, float("inf"))
                continue
            self._grow(growing, found, is_of_maps=sent.maps is not None)
            return

    def _grow(self, growing: Growing, grown: Grown, *, is_of_maps: bool) -> None:
        exhibits, unit, result = growing.exhibits, grown.unit, growing.result
        units = changed(result.units, unit.name, status=unit.status, reason=unit.reason, trace=unit.trace)
        growing.result = replace(result, units=units, told=result.told | grown.told, **grown.found)
        for record in grown.methods:
            is_well = is_of_maps and unit.status == "error" and record.name in exhibits.diagnostics
            fields = {"status": record.status, "reason": record.reason, "trace": record.trace}
            fields = {"status": "ok", "reason": None} if is_well else fields
            growing.result = replace(growing.result, methods=changed(growing.result.methods, record.name, **fields))
        exhibits.rows.extend(grown.rows)
        exhibits.arrays.extend(grown.arrays)
        exhibits.exemplars += grown.exemplars
        exhibits.region_scores += grown.region_scores
        exhibits.agreement = exhibits.agreement or grown.agreement
        for method, of in grown.diagnostics.items():
            for check, parts in of.items():
                exhibits.diagnostics[method][check] += parts
        growing.subject.dataset.skipped.update(grown.skipped)
        self._work.needed.update(grown.cost.needed)
        self._work.made.update(grown.cost.made)
        _note(growing, grown.notes)


def _note(growing: Growing, notes: Sequence[Note]) -> None:
    """Say of a worker's memory what would be said of that of this process."""
    said = growing.subject.classifier.notes_of_memory
    said += [note for note in notes if note not in said]


def _well(trials: Mapping[int, Trial]) -> tuple[int, ...]:
    return tuple(at for at, trial in trials.items() if trial.failure is None)


def _name(part: Ints) -> str:
    return f"images {part[0] + 1} to {part[-1] + 1} of the sample"


def _by_number(case: Case, artefacts: Sequence[Artefact]) -> Maps:
    names = [artefact.name for artefact in artefacts]
    number = None if case.artefact is None else names.index(case.artefact.name)
    return Maps(number, case.target, case.carriers, case.inserted, case.shown)


def _before(growing: Growing, work: Work) -> Before:
    left = work.ends - time.monotonic()
    return Before(
        failed=tuple(record.name for record in growing.result.methods if record.status == "error"),
        shown=growing.exhibits.shown,
        has_second_opinion=bool(growing.exhibits.agreement),
        skipped=dict(growing.subject.dataset.skipped),
        until=time.time() + left,
    )


def _depends(sent: _Sent, now: Before) -> bool:
    """Whether what has become of the units before makes a unit give something else than it gave."""
    if sent.maps is None:  # a study asks for no second opinion and shows no exemplars
        now = replace(now, shown=sent.before.shown, has_second_opinion=sent.before.has_second_opinion)
    return not sent.before.is_as(now)


_WINDOW = 3
"""Batches of images on their way for each worker: done and not yet taken in, in work, or next."""

_SIZE_OF_MAPS = 2.0
"""Maps are handed out before studies, for they are taken in first."""
