"""What mends an error, tried out: an artefact taken out or put in, pixels that maps blame removed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from auditor.artefacts.appearance import Edit
from auditor.artefacts.edits import Removal, remove
from auditor.artefacts.fills import FILLS
from auditor.artefacts.kinds import Artefact
from auditor.explain.errors.maps import Choice
from auditor.explain.errors.record import ContrastIntervention
from auditor.explain.inquiry import Inquiry, Selection
from auditor.measure.arrays import Bools, Doubles, Floats, Ints, take
from auditor.measure.intervals import change_interval, missing, share_interval, spanning
from auditor.measure.measurement import Measurement, Note
from auditor.subject.model.classifier import Explainable, Output, predicted_classes
from auditor.subject.population import is_correct, name_classes


@dataclass(frozen=True)
class Cases(Selection):
    """Labelled images with what the model makes of them."""

    has: Bools
    """(n, classes)."""
    predicted: Ints
    """(n,): the class that is predicted wrongly, where it is."""
    true: Ints
    """(n,): the class that is missed."""


@dataclass(frozen=True)
class Outcome:
    """Which images are right after one edit."""

    condition: str
    cases: Cases
    right: Floats
    """(n,): one or zero; of an edit with several draws the share of them."""

    def measure(self, level: float, *, broken: bool = False) -> Measurement:
        """Share of the images that are right, or, where they were so before, that are broken."""
        return share_interval(1 - self.right if broken else self.right, self.cases.groups, level)


@dataclass(frozen=True)
class Replaced:
    """What is left of n errors without some of their pixels."""

    right: Bools
    """(n, fills): whether they are right then."""
    falls: Floats
    """(n, fills): how much their margins have fallen."""

    @property
    def mended(self) -> Bools:
        """(n,): whether they are right by most fills."""
        return np.asarray(self.right.mean(axis=1) > 0.5)

    @property
    def fall(self) -> Doubles:
        """(n,): mean over the fills."""
        return np.asarray(self.falls.mean(axis=1, dtype=np.float64))


@dataclass(frozen=True)
class Trial:
    """What taking an artefact out and putting it in did to errors and to right predictions."""

    record: ContrastIntervention
    outcomes: list[Outcome]
    mended: dict[str, bool]
    """Errors that carried it, by id: whether its removal mends them, by every way where none is exact."""
    mended_by_placebo: dict[str, bool]
    """The same edit elsewhere, by any way; errors where it fits nowhere else are left out."""
    broken: Cases
    """Images that inserting it made errors, as they are with it."""


def try_artefact(inquiry: Inquiry, number: int, errors: Cases, right: Cases, fills: tuple[str, ...]) -> Trial:
    """Take the artefact out of errors that carry it, and put it into errors and right images that do not."""
    artefact, target, classifier = inquiry.artefacts[number], inquiry.targets[number], inquiry.classifier
    carries, level = inquiry.artefacts[number].carriers, inquiry.level
    free, right = (take(cases, ~carries[cases.positions]) for cases in (errors, right))
    removals, placebos, lost = _take_out(classifier, artefact, take(errors, carries[errors.positions]), fills)
    ways = ["exact"] if "exact" in removals else list(removals)
    mended = _by_id([removals[way] for way in ways], all)
    by_placebo = _by_id([placebos[way] for way in ways], any)
    if not removals:
        lead = missing("no misclassified image that was measured carries it", unit="share")
    elif not by_placebo:
        lead = missing("the region fits nowhere else in the frame, so there is no placebo", unit="share")
    else:
        lead = spanning([_lead(removals[way], placebos[way], level) for way in ways])
    told = f"{lost} errors said to carry it have no region that it could be taken from"
    notes = [Note("no region", told)] if lost else []
    outcomes = [*removals.values(), *placebos.values()]
    unknown = missing("its appearance is not known, so it cannot be put in", unit="share")
    put_in = dict.fromkeys(_MENDS + _BREAKS, unknown)
    towards: dict[str, int] = {}
    broken = take(right, np.zeros(len(right), bool))
    if artefact.appearance.can_insert:
        controls, left_out = artefact.appearance.controls(artefact.controls, inquiry.seed)
        notes += left_out
        mends, breaks = (_put_in(classifier, artefact, controls, cases) for cases in (free, right))
        outcomes += [*mends, *breaks]
        put_in = _compare(mends, level) | _compare(breaks, level, broken=True)
        towards, broken = _follow(classifier, artefact, take(right, breaks[0].right == 0))
    record = ContrastIntervention(
        artefact=artefact.name,
        target=None if target is None else classifier.classes[target],
        removals={name: outcome.measure(level) for name, outcome in removals.items()},
        placebos={name: outcome.measure(level) for name, outcome in placebos.items()},
        removal_lead=lead,
        **put_in,
        towards=towards,
        notes=notes,
    )
    return Trial(record, outcomes, mended, by_placebo, broken)


def measure_margins(predicted: Floats, true: Floats, output: Output) -> Floats:
    """Log-odds (n,) of the predicted over the true class from the scores (n,) of either.

    They are the difference of the scores; of a binary model, whose two scores are one logit and its negative, half.
    """
    return (predicted - true) * np.float32(0.5 if output == "binary" else 1)


def replace_strongest(
    classifier: Explainable, errors: Cases, masks: dict[Choice, Bools], fills: tuple[str, ...], margins: Floats
) -> dict[Choice, Replaced]:
    """What is left of errors, which had margins (n,), without some of their pixels, masks (n, h, w) by their choice.

    References: Rong et al., "A consistent and efficient evaluation strategy for attribution methods" (2022).
    """
    scored = []
    for row, image in enumerate(errors.images):
        edited = np.stack([FILLS[fill](image, mask[row]) for fill in fills for mask in masks.values()])
        scored.append(classifier.scores(edited))
    scores, tries = np.concatenate(scored), len(fills) * len(masks)
    at, of = np.arange(len(scores)), np.repeat(np.arange(len(errors)), tries)
    left = measure_margins(scores[at, errors.predicted[of]], scores[at, errors.true[of]], classifier.output)
    right = is_correct(predicted_classes(scores, classifier.output), errors.has[of])
    falls = (margins[of] - left).reshape(len(errors), len(fills), len(masks))
    right = right.reshape(falls.shape)
    return {choice: Replaced(right[..., number], falls[..., number]) for number, choice in enumerate(masks)}


def _take_out(
    classifier: Explainable, artefact: Artefact, errors: Cases, fills: tuple[str, ...]
) -> tuple[dict[str, Outcome], dict[str, Outcome], int]:
    """Outcomes of every way of removal and of its placebo, and how many errors have no region to take it from."""
    rows: list[int] = []
    tried: list[dict[str, Removal]] = []
    for row, name in enumerate(errors.ids):
        seen = artefact.seen_in(errors.images[row], name)
        mask = seen.region
        if mask is None or not mask.any() or (mask.all() and not seen.is_exact):
            continue
        rows.append(row)
        look = seen.look if seen.is_exact else None
        tried.append(remove(errors.images[row], mask, () if mask.all() else fills, look))
    removals, placebos = {}, {}
    for way in dict.fromkeys(way for one in tried for way in one):
        done = [(row, one[way]) for row, one in zip(rows, tried, strict=True) if way in one]
        cases = take(errors, np.array([row for row, _ in done]))
        removed = np.stack([removal.removed for _, removal in done])
        removals[way] = Outcome(f"removed: {way}", cases, _is_right(classifier, removed, cases))
        moved = [(row, removal.placebo) for row, removal in done if removal.placebo is not None]
        cases = take(errors, np.array([row for row, _ in moved], np.int64))
        elsewhere = np.array([placebo for _, placebo in moved], np.float32)
        placebos[way] = Outcome(f"removed elsewhere: {way}", cases, _is_right(classifier, elsewhere, cases))
    return removals, placebos, len(errors) - len(rows)


def _put_in(
    classifier: Explainable, artefact: Artefact, controls: dict[str, list[Edit]], cases: Cases
) -> list[Outcome]:
    """Outcomes of inserting an artefact, and then of every kind of innocent edit: the mean over its draws."""
    found = [Outcome("inserted", cases, _is_right(classifier, artefact.insert(cases.images, cases.ids), cases))]
    for name, edits in controls.items():
        draws = [_is_right(classifier, edit(cases.images, artefact.randoms(cases.ids)), cases) for edit in edits]
        found.append(Outcome(f"control: {name}", cases, np.mean(draws, axis=0, dtype=np.float32)))
    return found


def _compare(outcomes: list[Outcome], level: float, *, broken: bool = False) -> dict[str, Measurement]:
    """What inserting an artefact does, what the kind of innocent edit that does most does, and the lead over all."""
    with_it, *innocent = outcomes
    sign, names = (-1, _BREAKS) if broken else (1, _MENDS)
    strongest = max((one.measure(level, broken=broken) for one in innocent), key=lambda one: one.value or 0.0)
    leads = [change_interval(sign * with_it.right, sign * one.right, one.cases.groups, level) for one in innocent]
    return dict(zip(names, (with_it.measure(level, broken=broken), strongest, spanning(leads)), strict=True))


def _follow(classifier: Explainable, artefact: Artefact, cases: Cases) -> tuple[dict[str, int], Cases]:
    """What images that an artefact breaks are predicted as, and those with one class in place of another, with it."""
    if not len(cases):
        return {}, cases
    with_it = artefact.insert(cases.images, cases.ids)
    flags = predicted_classes(classifier.scores(with_it), classifier.output)
    names = [name_classes(each, classifier.classes) for each in flags]
    predicted, true, is_paired = tell_wrong(flags, cases.has)
    broken = replace(cases, images=with_it, predicted=predicted, true=true)
    return dict(Counter(names).most_common()), take(broken, is_paired)


def tell_wrong(predicted: Bools, has: Bools) -> tuple[Ints, Ints, Bools]:
    """Which class is predicted wrongly and which is missed, (n,), and whether there is one of either."""
    extra, missed = predicted & ~has, has & ~predicted
    is_paired = (extra.sum(axis=1) == 1) & (missed.sum(axis=1) == 1)
    return extra.argmax(axis=1), missed.argmax(axis=1), is_paired


def _lead(removal: Outcome, placebo: Outcome, level: float) -> Measurement:
    """By how much more a removal mends than its placebo, where there is one."""
    compared = np.isin(removal.cases.ids, placebo.cases.ids)
    return change_interval(removal.right[compared], placebo.right, placebo.cases.groups, level)


def _by_id(outcomes: list[Outcome], decide: Callable[[Iterable[bool]], bool]) -> dict[str, bool]:
    names = outcomes[0].cases.ids if outcomes else []
    return {name: decide(bool(outcome.right[row]) for outcome in outcomes) for row, name in enumerate(names)}


def _is_right(classifier: Explainable, images: Floats, cases: Cases) -> Floats:
    if not len(cases):
        return np.zeros(0, np.float32)
    predicted = predicted_classes(classifier.scores(images), classifier.output)
    return is_correct(predicted, cases.has).astype(np.float32)


_MENDS = ("mended_by_insertion", "mended_by_controls", "insertion_lead")
_BREAKS = ("broken", "broken_by_controls", "broken_lead")
"""What inserting an artefact does to errors, and to right predictions, by the names in the record."""
