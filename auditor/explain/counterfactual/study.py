"""The study of least changes: what has to change for the model to change its answer, and where that is."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from pydantic import Field

from auditor.errors import OptionError
from auditor.explain.attribution.regions import LARGEST_SHARE, mass_in
from auditor.explain.counterfactual.adversarial import (
    IN_BLOCK,
    IN_PLACE,
    SURVIVES,
    VISIBLE,
    VISIBLE_RMS,
    blur_of,
    energy,
    find_traits,
    least_block,
    moved,
)
from auditor.explain.counterfactual.aims import NAME, Goal, GoalFinder
from auditor.explain.counterfactual.record import (
    AdversarialRule,
    ChangedImage,
    ChangeSet,
    Correction,
    CounterfactualRecord,
)
from auditor.explain.counterfactual.search import Cost, Counterfactuals, Norm, find_counterfactuals
from auditor.explain.inquiry import Inquiry, NotApplicableError, Selection
from auditor.explain.texture import high_frequency_share
from auditor.measure.arrays import Bools, Doubles, Ints, join, take
from auditor.measure.intervals import median_interval, missing, share_interval
from auditor.measure.measurement import Measurement, Note
from auditor.subject.data.pictures import to_pixels
from auditor.subject.model.classifier import predicted_classes
from auditor.subject.population import name_classes

Count = Annotated[int, Field(ge=0, le=1024)]
Price = Annotated[float, Field(ge=0, le=100)]

_AFFORDABLE = 600_000
"""Numbers of all images of one aim together, where the number of images is left open."""
_FEWEST, _USUAL = 6, 16
_FEWER_STEPS, _STEPS = 24, 30
_PAIRS = 200
"""Pairs of real images whose differences are compared with changes."""


def study_counterfactuals(
    inquiry: Inquiry,
    *,
    errors: Count | None = None,
    images: Annotated[int, Field(ge=1, le=1024)] | None = None,
    pairs: tuple[tuple[str, str], ...] = (),
    norm: Norm = "elastic net",
    l1: Price = 0.05,
    l2: Price = 1.0,
    variation: Price = 0.0,
    confidence: Annotated[float, Field(gt=0, le=100)] = 0.1,
    steps: Annotated[int, Field(ge=5, le=10_000)] | None = None,
    shown: Count = 3,
) -> CounterfactualRecord:
    """The least change of an image that makes the model say something else, by elastic-net optimisation in the box.

    References: Beck and Teboulle, "A fast iterative shrinkage-thresholding algorithm" (2009); Chen et al., "EAD:
    elastic-net attacks to deep neural networks" (2018); Wachter, Mittelstadt, Russell, "Counterfactual explanations
    without opening the black box" (2018).
    """
    if not l1 and not l2:
        raise OptionError("l1", f"methods.{NAME}: got l1 = 0 and l2 = 0, so every change would be free")
    held = int(np.prod(inquiry.classifier.image_shape))
    affordable = int(np.clip(_AFFORDABLE // held, _FEWEST, _USUAL))
    finder = GoalFinder(inquiry, affordable if images is None else images, affordable if errors is None else errors)
    finder.add_errors()
    finder.add_pairs(pairs)
    for number in range(len(inquiry.artefacts)):
        finder.add_artefact(number)
    if affordable < _USUAL and None in (images, errors, steps):
        told = (
            f"an image has {held} numbers here, so where nothing else is asked for {affordable} images are changed for "
            f"each aim, in {_FEWER_STEPS} steps; images = {_USUAL}, errors = {_USUAL} and steps = {_STEPS} ask for more"
        )
        finder.notes.append(Note("large images", told))
    if not finder.goals:
        raise NotApplicableError(
            "; ".join(note.text for note in finder.notes) or "there is no image whose answer could be changed"
        )
    cost = Cost(norm, l1, l2, variation)
    usual_steps = _STEPS if affordable == _USUAL else _FEWER_STEPS
    return _answer(finder, cost, confidence, steps or usual_steps, shown)


@dataclass(frozen=True)
class _Answer:
    """What was found for a goal, image by image."""

    positions: Ints
    said: Bools
    """(n, classes): what the model says of the image ..."""
    says: Bools
    """... and of the changed one."""
    found: Counterfactuals
    values: dict[str, Doubles]
    """Measurement -> (n,); NaN where no change was found."""
    shares: dict[str, Doubles]
    """Artefact -> (n,): share of the energy in its region."""


def _answer(finder: GoalFinder, cost: Cost, confidence: float, steps: int, shown: int) -> CounterfactualRecord:
    inquiry, everything = finder.inquiry, join(finder.goals)
    images, aim, within = everything.images, everything.aim, everything.within
    classifier = inquiry.classifier.sized(32 if images[0].size <= 20_000 else 8)
    # artefacts of one target ask the same of the same images: each is answered once
    aims = zip(aim.classes.tolist(), aim.away.tolist(), strict=True)
    asked = [(image.tobytes(), mask.tobytes(), each) for image, mask, each in zip(images, within, aims, strict=True)]
    numbers: dict[tuple[object, ...], int] = {}
    again = np.array([numbers.setdefault(key, len(numbers)) for key in asked])
    _, once = np.unique(again, return_index=True)
    solved = find_counterfactuals(
        classifier, images[once], take(aim, once), cost=cost, confidence=confidence, steps=steps, within=within[once]
    )
    found = take(solved, again)
    traits = find_traits(classifier, images, found.images, aim)
    says = predicted_classes(classifier.scores(found.images), classifier.output)
    said = predicted_classes(classifier.scores(images), classifier.output)
    changes = found.images - images
    values = {
        "adversarial": traits.is_adversarial.astype(np.float64),
        "changed pixels": moved(changes).mean(axis=(1, 2)),
        "L1": np.abs(changes).reshape(len(changes), -1).sum(axis=1, dtype=np.float64),
        "L2": np.sqrt(energy(changes).sum(axis=(1, 2))),
        "L-infinity": traits.largest,
        "RMS": traits.rms,
        "high frequencies": high_frequency_share(changes),
        "survival": traits.survival,
        "spread": traits.spread,
        "block": traits.block,
    }
    values = {name: np.where(found.found, column, np.nan) for name, column in values.items()}
    energies = np.where(found.found[:, None, None], energy(changes), np.nan)
    shares, areas = _region_shares(inquiry, everything, energies)
    whole = _Answer(everything.positions, said, says, found, values, shares)
    ends = np.cumsum([len(goal.images) for goal in finder.goals])
    answers = [take(whole, rows) for rows in np.split(np.arange(len(images)), ends[:-1])]
    sets, following = [], [*finder.goals[1:], None]
    for number, (goal, after, answer) in enumerate(zip(finder.goals, following, answers, strict=True)):
        is_compared = not (goal.control or goal.confined) and after is not None and after.control
        pictures = list(_show(inquiry, number, goal, answer, shown))
        sets.append(_summarise(inquiry, goal, answer, answers[number + 1] if is_compared else None, pictures))
        _note_rows(inquiry, goal, answer)
    frame = inquiry.classifier.image_shape[:2]
    blur, block = blur_of(frame), least_block(frame)
    return CounterfactualRecord(
        sets=sets,
        areas=areas,
        rule=AdversarialRule(VISIBLE, VISIBLE_RMS, SURVIVES, IN_PLACE, blur, IN_BLOCK, block),
        real_high_frequency=_real_differences(finder),
        passes=found.passes,
        notes=finder.notes,
    )


def _summarise(
    inquiry: Inquiry, goal: Goal, answer: _Answer, control: _Answer | None, shown: list[ChangedImage]
) -> ChangeSet:
    """What is measured of the changes of one goal, and, image by image, beside those towards a random class."""
    groups, level, found = goal.groups, inquiry.level, answer.found.found
    measured = {"success": share_interval(found, groups, level)}
    calls = answer.values["adversarial"][found] > 0
    measured["adversarial"] = share_interval(calls, groups[found], level)
    if not found.any():
        measured["adversarial"] = missing("no change was found", unit="share")
    for name, values in answer.values.items():
        if name != "adversarial":
            measured[name] = median_interval(values, groups, level, unit=_UNITS.get(name, "share"))
    if not found.all():
        best = median_interval(answer.found.margins[~found], groups[~found], level, unit="log-odds")
        measured["best margin"] = replace(best, score="margin of scores")
    regions = {name: median_interval(values, groups, level, unit="share") for name, values in answer.shares.items()}
    leads, nearness = {}, None
    if control is not None:
        _, mine, theirs = np.intersect1d(answer.positions, control.positions, return_indices=True)
        for name, values in answer.shares.items():
            lead = values[mine] - control.shares[name][theirs]
            leads[name] = median_interval(lead, groups[mine], level, unit="share")
        with np.errstate(divide="ignore", invalid="ignore"):  # pairs that lack a change, or have none, are left out
            ratios = np.log(answer.values["L2"][mine]) - np.log(control.values["L2"][theirs])
        nearness = median_interval(ratios, groups[mine], level, unit="ratio").mapped(math.exp)
    return ChangeSet(
        reason=goal.reason,
        artefact=goal.artefact,
        wanted=goal.wanted,
        control=goal.control,
        confined=goal.confined,
        images=len(found),
        measurements=measured,
        regions=regions,
        leads=leads,
        nearness=nearness,
        shown=shown,
        corrections=list(_corrections(goal, answer)),
    )


def _corrections(goal: Goal, answer: _Answer) -> Iterator[Correction]:
    """What each change of errors is, where they are led to what they are."""
    if goal.reason != "errors" or goal.control:
        return
    calls, pixels = answer.values["adversarial"], answer.values["changed pixels"]
    for at, name in enumerate(goal.ids):
        found = bool(answer.found.found[at])
        yield Correction(name, bool(calls[at]) if found else None, float(pixels[at]) if found else None)


def _region_shares(
    inquiry: Inquiry, images: Selection, energies: Doubles
) -> tuple[dict[str, Doubles], dict[str, float]]:
    """For each artefact with a local region, the share of energy in it (n,), and how much of the frame it covers."""
    shares, areas = {}, {}
    for artefact in inquiry.artefacts:
        places = zip(images.positions, images.ids, images.images, strict=True)
        masks = [artefact.region_at(*place) for place in places]
        known = [float(mask.mean()) for mask in masks if mask is not None and mask.any()]
        if known and np.mean(known) <= LARGEST_SHARE:
            areas[artefact.name] = float(np.mean(known))
            pairs = zip(energies, masks, strict=True)
            shares[artefact.name] = np.array([mass_in(heat, mask) for heat, mask in pairs])
    return shares, areas


def _show(inquiry: Inquiry, number: int, goal: Goal, answer: _Answer, count: int) -> Iterator[ChangedImage]:
    """Pictures of the first few images; confined and random ones are not shown."""
    if goal.confined or goal.control:
        return
    classes, keep = inquiry.classifier.classes, inquiry.keep
    for at in range(min(count, len(goal.positions))):
        key = f"{NAME} {number} image {at}"
        changed = answer.found.images[at]
        difference = changed - goal.images[at]
        found = bool(answer.found.found[at])
        change = difference.astype(np.float64)
        yield ChangedImage(
            image=goal.ids[at],
            label=inquiry.dataset.label(goal.positions[at], classes),
            before=name_classes(answer.said[at], classes),
            after=name_classes(answer.says[at], classes),
            wanted=("not " if goal.aim.away[at] else "") + classes[goal.aim.classes[at]],
            found=found,
            margin=float(answer.found.margins[at]),
            adversarial=bool(answer.values["adversarial"][at]) if found else None,
            changed_pixels=float(moved(difference).mean()),
            l2=float(np.sqrt(np.square(change).sum())),
            largest=float(np.abs(change).max()),
            picture_before=keep(f"{key} before", to_pixels(goal.images[at])),
            picture_after=keep(f"{key} after", to_pixels(changed)),
            difference=keep(f"{key} difference", difference),
        )


def _note_rows(inquiry: Inquiry, goal: Goal, answer: _Answer) -> None:
    condition = f"{goal.reason}, {goal.confined or 'everywhere'}{', random class' if goal.control else ''}"
    columns = {"success": answer.found.found.astype(np.float64), "margin": answer.found.margins} | answer.values
    columns |= {f"share in {name}": values for name, values in answer.shares.items()}
    for name, values in columns.items():
        inquiry.note(
            goal,
            values,
            name,
            artefact=goal.artefact,
            target=[inquiry.classifier.classes[number] for number in goal.aim.classes],
            condition=condition,
            method=NAME,
        )


def _real_differences(finder: GoalFinder) -> Measurement:
    """Share of high frequencies in differences between images that are predicted differently."""
    population = finder.inquiry.images
    rows = finder.order[: 2 * min(_PAIRS, len(finder.order) // 2)]
    first, second = rows[::2], rows[1::2]
    differ = (population.predicted[first] != population.predicted[second]).any(axis=1)
    one, other = (finder.inquiry.select(population.positions[some[differ]]) for some in (first, second))
    shares = high_frequency_share(one.images - other.images)
    return median_interval(shares, one.groups, finder.inquiry.level, unit="share")


_UNITS = {"L1": "sum of changes", "L2": "root of squares", "L-infinity": "range of pixels", "RMS": "range of pixels"}
"""Of measurements that are no shares."""
