"""Everything that one verdict is decided on, in plain numbers: what the rule sees of an artefact and a class."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

import numpy as np

from auditor.measure.arrays import Bools
from auditor.measure.intervals import least, mean_intervals, missing
from auditor.measure.measurement import Measurement
from auditor.verdict.carrying import measure_found
from auditor.verdict.chance import Innocent, compare_with_chance, measure_chance
from auditor.verdict.decisions import carriers_contradict, measure_decisions, measure_strata, measure_turned
from auditor.verdict.effects import (
    NAMES,
    ON_OTHERS,
    confirm,
    find_sets,
    margin_of,
    measure_effects,
    measure_leads,
    spread_of,
)
from auditor.verdict.harms import (
    measure_accuracy,
    measure_drops,
    measure_jointly,
    measure_no_op,
    measure_pasted,
    measure_removals,
)
from auditor.verdict.observations import Insertion, Observations
from auditor.verdict.record import Direction, Rule, Stratum

Basis = Literal["insertion", "removal"]


@dataclass(frozen=True)
class Measured:
    """One artefact and one class, measured. A rule that decides on this alone can be changed and asked again."""

    artefact: str
    target: str
    basis: Basis | None
    margin: float
    """In log-odds."""
    spread: float
    """Standard deviation of the target's log-odds over the images as they came."""
    alpha: float
    """Level of the adjusted bounds."""
    values: dict[str, Measurement]
    drops: dict[str, Measurement] = field(default_factory=dict)
    """Way of removal -> removal drop by it alone."""
    controls: dict[str, Measurement] = field(default_factory=dict)
    """Insertion lift of each control."""
    strata: tuple[Stratum, ...] = ()
    promoted: tuple[str, ...] = ()
    """Other classes that it promotes along with the target ..."""
    suppressed: tuple[str, ...] = ()
    """... or suppresses."""
    contradiction: str = ""
    """What carriers as they came say against an all-clear."""
    place: str = ""
    """The neighbouring place or size at which the artefact does most."""
    chance: float | None = None
    """Of a scan: share of draws of innocent content whose strongest other class moves as far."""
    chance_words: str = ""

    @property
    def effects(self) -> dict[Direction, Measurement]:
        """What is decided on in each direction."""
        nothing = missing("no image is free of the artefact, and none carries it in a place that is known")
        return {way: self.values[name] for way, name in self.endpoints.items()} or {"promotes": nothing}

    @property
    def endpoints(self) -> dict[Direction, str]:
        """Direction -> name of the measurement that it is decided on."""
        if self.basis is None:
            return {}
        if self.basis == "insertion" and ON_OTHERS[3] in self.values:
            return {"promotes": NAMES[1][3], "suppresses": ON_OTHERS[3]}
        return _ENDPOINTS[self.basis]

    def together(self, way: Direction) -> tuple[str, ...]:
        """Other classes that move along with the target in one direction."""
        return self.promoted if way == "promotes" else self.suppressed


def measure(observed: Observations, target: int, rule: Rule, alpha: float | None = None) -> Measured:
    """All that the verdict on one class is taken on.

    Parameters
    ----------
    alpha
        Level of the adjusted bounds, which `relies` is decided on; that of the rule unless several are tried.
    """
    level = rule.alpha if alpha is None else alpha
    insertion = observed.insertion
    base = _begin(observed, target, rule, level, _measure_run(observed, rule))
    if insertion is None:
        return base
    values, together = measure_effects(observed, insertion, target, rule, level)
    (controls,) = _measure_controls(insertion, [target], rule)
    (elsewhere,) = _measure_elsewhere(observed, [target], together[1][None], rule)
    complete = _complete(base, observed, insertion, target, rule, values, together, controls, elsewhere)
    return replace(complete, strata=tuple(measure_strata(observed, insertion, target, rule)))


def measure_scan(observed: Observations, rule: Rule, alpha: float) -> list[Measured]:
    """What the verdict on every class is taken on, the adjusted bounds holding for all classes at once.

    Promotion has simultaneous bounds; suppression, on the few images of each class, has Bonferroni's. Parts of the data
    are left out: of so many classes and parts some would seem to move.
    """
    insertion = observed.insertion
    numbers = [1] if observed.one_logit else list(range(len(observed.classes)))
    if insertion is None:
        return [measure(observed, number, rule, alpha / len(numbers)) for number in numbers]
    has, groups = insertion.images.has, insertion.images.groups
    tested = {number for number in numbers if len(np.unique(groups[has[:, number]])) >= rule.min_groups}
    promoted = np.array([number for number in numbers if not has[:, number].all()], dtype=np.int64)
    sets = find_sets(observed, insertion, np.array(numbers), rule)
    innocent = compare_with_chance(observed, numbers, sets[1], rule)
    rows_of = {number: at for at, number in enumerate(numbers)}
    wanted = sets[1][[rows_of[number] for number in promoted.tolist()]]
    leads = dict(
        zip(promoted.tolist(), measure_leads(observed, insertion, promoted, 1, rule, alpha, wanted), strict=True)
    )
    share, controls = alpha / max(len(tested), 1), _measure_controls(insertion, numbers, rule)
    shared, elsewhere = _measure_run(observed, rule), _measure_elsewhere(observed, numbers, sets[1], rule)
    found = []
    for at, number in enumerate(numbers):
        name = observed.classes[number]
        reason = f"no image without the class {name} is free of the artefact"
        values = dict.fromkeys(NAMES[1], missing(reason))
        if number in leads:
            values = dict(zip(NAMES[1], (*leads[number], confirm(insertion, number, 1, rule, share)), strict=True))
        reason = f"{int(has[:, number].sum())} images of the class {name} are free of the artefact"
        values |= dict.fromkeys(NAMES[-1], missing(reason))
        if number in tested:
            own, own_set = insertion.rows(has[:, number]), sets[-1][at][None]
            (falls,) = measure_leads(observed, own, np.array([number]), -1, rule, share, own_set)
            values |= dict(zip(NAMES[-1], (*falls, confirm(insertion, number, -1, rule, share)), strict=True))
        base = _begin(observed, number, rule, alpha, shared)
        together = {sign: sets[sign][at] for sign in (1, -1)}
        complete = _complete(base, observed, insertion, number, rule, values, together, controls[at], elsewhere[at])
        found.append(complete if innocent is None else _beside_chance(complete, innocent, number))
    return found


def _measure_controls(insertion: Insertion, targets: list[int], rule: Rule) -> list[dict[str, Measurement]]:
    """For each class what every control does to it, on images of others."""
    lacks, groups = ~insertion.images.has[:, targets], insertion.images.groups
    by_name = {
        name: mean_intervals(shift[:, targets], lacks, groups, rule.level) for name, shift in insertion.controls.items()
    }
    return [{name: lifts[at] for name, lifts in by_name.items()} for at in range(len(targets))]


def _measure_elsewhere(
    observed: Observations, targets: list[int], together: Bools, rule: Rule
) -> list[dict[str, Measurement]]:
    """What the artefact does to each class at the neighbouring place, where one was found.

    Parameters
    ----------
    together
        (targets, classes): those that are no rivals of a target.
    """
    insertion = observed.elsewhere
    found: list[dict[str, Measurement]] = [{} for _ in targets]
    if insertion is None:
        return found
    rows = np.flatnonzero(~insertion.images.has[:, targets].all(axis=0))
    numbers = np.array(targets)[rows]
    leads = measure_leads(observed, insertion, numbers, 1, rule, None, together[rows])
    for at, number, each in zip(rows.tolist(), numbers.tolist(), leads, strict=True):
        found[at] = {
            "theta_elsewhere": least(each.theta, confirm(insertion, number, 1, rule, rule.alpha)),
            "decisions_turned_elsewhere": measure_turned(insertion, number, np.zeros_like(together[at]), rule),
        }
    return found


def _beside_chance(measured: Measured, innocent: Innocent, number: int) -> Measured:
    """The same with what random innocent content does to the strongest of all classes."""
    values = measured.values | {"strongest_by_chance": innocent.strongest}
    return replace(measured, values=values, chance=innocent.chance[number], chance_words=innocent.words)


class _OfRun(NamedTuple):
    """What is the same for all classes."""

    steadiness: dict[str, Measurement]
    """What scoring again does."""
    accuracy: dict[str, Measurement]
    """How often the model is right on the images as they came, and with the artefact."""


def _measure_run(observed: Observations, rule: Rule) -> _OfRun:
    found, insertion = {}, observed.insertion
    if observed.everything is not None:
        found["accuracy"] = measure_accuracy(observed.everything, rule)
    if insertion is not None:
        marked = replace(insertion.images, scores=insertion.images.scores + insertion.shift)
        found["accuracy_inserted"] = measure_accuracy(marked, rule)
    return _OfRun(measure_no_op(observed.checks, rule), found)


def _begin(observed: Observations, target: int, rule: Rule, alpha: float, shared: _OfRun) -> Measured:
    """What is known without insertion: removal, and the checks of the run."""
    drops = measure_drops(observed, target, rule.level if observed.insertion else 1 - alpha)
    removals = measure_removals(observed, target, rule, drops)
    values = removals | shared.steadiness | measure_pasted(observed.checks, target, rule)
    values |= measure_jointly(observed, target, rule) | measure_found(observed, rule) | observed.shown | shared.accuracy
    if observed.alone is not None:
        (leads,) = measure_leads(observed, observed.alone, np.array([target]), 1, rule, rule.alpha)
        values["alone"] = leads.theta
    return Measured(
        artefact=observed.artefact,
        target=observed.classes[target],
        basis="removal" if removals else None,
        margin=margin_of(observed, target, rule),
        spread=spread_of(observed, target),
        alpha=alpha,
        values=values,
        drops=drops if removals else {},
        contradiction=carriers_contradict(observed, target, rule),
    )


def _complete(
    base: Measured,
    observed: Observations,
    insertion: Insertion,
    target: int,
    rule: Rule,
    values: dict[str, Measurement],
    together: dict[int, Bools],
    controls: dict[str, Measurement],
    elsewhere: dict[str, Measurement],
) -> Measured:
    """The same with all that insertion shows."""
    values = values | elsewhere | measure_decisions(insertion, target, together, rule)
    if observed.target is not None:
        values |= measure_chance(observed, target, rule)
    names = {sign: tuple(observed.classes[at] for at in np.flatnonzero(rows)) for sign, rows in together.items()}
    return replace(
        base,
        basis="insertion",
        values=values | base.values,
        controls=controls,
        promoted=names[1],
        suppressed=names[-1],
        place=observed.place,
    )


_ENDPOINTS: dict[Basis, dict[Direction, str]] = {
    "insertion": {"promotes": "theta", "suppresses": "theta_suppression"},
    "removal": {"promotes": "removal_drop"},
}
