"""What inserting an artefact does to decisions: how many it turns, in which parts of the data, and what stays unseen.

Pure functions of arrays; the first axis is always the image. Formulas are in `docs/method.md`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import stats

from auditor.measure.arrays import Array, Bools, Groups
from auditor.measure.intervals import change_interval, mean_interval, missing, share_interval
from auditor.measure.measurement import Measurement
from auditor.measure.words import PER_CENT
from auditor.subject.population import Population, is_correct
from auditor.verdict.contrasts import control_contrasts, median_control
from auditor.verdict.observations import Insertion, Observations
from auditor.verdict.record import CarrierAccuracy, Missed, Rule, Stratum


def measure_decisions(
    insertion: Insertion, target: int, together: dict[int, Bools], rule: Rule
) -> dict[str, Measurement]:
    """Share of decisions on the target that the artefact turns, raw and beyond the median control (phi).

    `turned` is the share of images of other classes that become the target less that of those that cease to be it;
    `lost` is the share of the target's own images that cease to be recognised less that of those that begin to be.
    Where it promotes a set of classes together, `turned_together` counts images that become any of them.

    Parameters
    ----------
    together
        Direction -> (classes,): the others of the set.
    """
    found: dict[str, Measurement] = {}
    has = insertion.images.has[:, target]
    for name, rows, sign in (("turned", ~has, 1), ("lost", has, -1)):
        raw, beyond = _changes(insertion, rows, [target], sign, rule.level)
        found |= {f"decisions_{name}": beyond, f"decisions_{name}_raw": raw}
    if together[1].any():
        found["decisions_turned_together"] = measure_turned(insertion, target, together[1], rule)
    return found | {"decisions_changed": _changed_either_way(insertion, target, rule.level)}


def decisions_by_image(insertion: Insertion, target: int) -> dict[str, Array]:
    """Each image's part in what insertion does to decisions: name of the measurement -> (n,), NaN of other images.

    The mean of the parts is the measurement.
    """
    has, before, after = insertion.images.has[:, target], insertion.images.predicted[:, target], insertion.predicted
    found: dict[str, Array] = {}
    for sign, beyond, flipped in (
        (1, "decisions_turned", "flip_rate"),
        (-1, "decisions_lost", "suppression_flip_rate"),
    ):
        rows = has == (sign < 0)
        parts = np.full(len(rows), np.nan)
        if insertion.predicted_with and rows.any():
            now, middle = _now_and_middle(insertion, rows, [target])
            parts[rows] = sign * (now - middle)
        held = rows & (before == (sign < 0))
        turned = after[:, target] != before
        found |= {beyond: parts, flipped: np.where(held, turned, np.nan)}
    return found


def measure_turned(insertion: Insertion, target: int, together: Bools, rule: Rule) -> Measurement:
    """Phi of promotion, of the target and the set that it belongs to: see `measure_decisions`."""
    joined = [target, *np.flatnonzero(together).tolist()]
    rows = ~insertion.images.has[:, joined].max(axis=1)
    return _changes(insertion, rows, joined, 1, rule.level)[1]


def measure_strata(observed: Observations, insertion: Insertion, target: int, rule: Rule) -> list[Stratum]:
    """What the artefact does to images of each other class, and to those with each value of the columns declared.

    Parts with fewer than the least number of groups are left out.
    """
    images = insertion.images
    others = ~images.has[:, target]
    found = []
    for column, value, rows in _parts(observed, images):
        part = rows & others
        if len(np.unique(images.groups[part])) >= rule.min_groups:
            found.append((column, value, part))
    sizes = {column: sum(name == column for name, _, _ in found) for column, _, _ in found}
    return [
        _measure_stratum(insertion.rows(rows), target, column, value, 1 - rule.alpha / sizes[column])
        for column, value, rows in found
    ]


def measure_missed(insertion: Insertion, target: int, theta: Measurement, margin: float, rule: Rule) -> Missed:
    """What so many images could not have shown: the smallest effect, and the share that may change unseen.

    An effect shows where its lower bound exceeds the margin, so it must exceed it by the lower half of the interval.
    The share is of images whose decision on the target changes either way; its upper bound is exact.

    References: Clopper and Pearson (1934).
    """
    images = insertion.images
    changed = insertion.predicted[:, target] != images.predicted[:, target]
    smallest = None
    if theta.value is not None and theta.decisive.low is not None:
        smallest = margin + theta.value - theta.decisive.low
    return Missed(smallest, exact_share(changed[~images.has[:, target]], images.groups[~images.has[:, target]], rule))


def exact_share(hits: Bools, groups: Groups, rule: Rule) -> Measurement:
    """Share of n images with the exact interval of the share of groups in which any image is a hit."""
    if not len(hits):
        return missing("no images", unit="share")
    names, inverse = np.unique(groups, return_inverse=True)
    count = len(names)
    struck = int((np.bincount(inverse, weights=hits, minlength=count) > 0).sum())
    ends = stats.binomtest(struck, count).proportion_ci(rule.level, method="exact")
    share = float(hits.mean())
    low, high = min(ends.low, share), max(ends.high, share)
    return Measurement(share, low, high, rule.level, len(hits), count, "share", None)


def measure_carriers(observed: Observations, rule: Rule) -> list[CarrierAccuracy]:
    """Accuracy by class, on images that carry the artefact and on others, as they came."""
    images, carries = observed.images, observed.carries
    if images is None or carries is None or not carries.any():
        return []
    right = is_correct(images.predicted, images.has)
    found = []
    for number, name in enumerate(observed.classes):
        rows = images.has[:, number] & images.labelled
        with_it, without = rows & carries, rows & ~carries
        if with_it.any():
            shares = [share_interval(right[part], images.groups[part], rule.level) for part in (with_it, without)]
            found.append(CarrierAccuracy(name, *shares))
    return found


def carriers_contradict(observed: Observations, target: int, rule: Rule) -> str:
    """Why carriers themselves speak against an all-clear; empty where they do not.

    Images of other classes are called the target far more often where they carry the artefact, or its own images are
    recognised far more often; Fisher's exact test on groups, and a difference of a tenth or more.
    """
    images, carries = observed.images, observed.carries
    if images is None or carries is None or carries.sum() < _FEWEST:
        return ""
    own = images.has[:, target]
    for rows, said in ((~own, "images of other classes are called"), (own, "its own images are called")):
        groups = [_by_group(images, rows & part, target) for part in (carries, ~carries)]
        if min(len(part) for part in groups) < _FEWEST:
            continue
        with_it, without = groups
        table = [[int(part.sum()), len(part) - int(part.sum())] for part in groups]
        gap = float(with_it.mean() - without.mean())
        if gap >= _GAP and stats.fisher_exact(table, alternative="greater").pvalue < rule.alpha / 5:
            name = observed.classes[target]
            shares = [f"{100 * part.mean():.0f}{PER_CENT}" for part in groups]
            return (
                f"as they came, {said} {name} in {shares[0]} of {len(with_it)} that carry it and "
                f"{shares[1]} of {len(without)} others"
            )
    return ""


def _by_group(images: Population, rows: Bools, target: int) -> Bools:
    """For each group of some images whether most of them are called the target."""
    names, inverse = np.unique(images.groups[rows], return_inverse=True)
    hits = np.bincount(inverse, weights=images.predicted[rows, target], minlength=len(names))
    return np.asarray(hits > np.bincount(inverse, minlength=len(names)) / 2)


def _parts(observed: Observations, images: Population) -> Iterator[tuple[str, str, Bools]]:
    if len(observed.classes) > 2:
        for number, name in enumerate(observed.classes):
            yield "class", name, images.has[:, number]
    for column, values in observed.columns.items():
        assert observed.images is not None
        order = np.searchsorted(observed.images.positions, images.positions)
        known = values[order]
        for value in np.unique(known):
            yield column, str(value), known == value


def _measure_stratum(part: Insertion, target: int, column: str, value: str, level: float) -> Stratum:
    groups, shift = part.images.groups, part.shift[:, target]
    rows = np.ones((len(shift), 1), bool)
    contrast = missing("every control equals the artefact")
    if part.controls:
        controls = [values[:, [target]] for values in part.controls.values()]
        contrast = mean_interval(control_contrasts(shift[:, None], controls, rows)[:, 0], groups, level)
    _, beyond = _changes(part, rows[:, 0], [target], 1, level)
    return Stratum(column, value, mean_interval(shift, groups, level), contrast, beyond)


def _changes(
    insertion: Insertion, rows: Bools, targets: list[int], sign: int, level: float
) -> tuple[Measurement, Measurement]:
    """By how much predictions of any of the targets change on some of the images (n,).

    Against the images as they came, and against the median control.
    """
    groups = insertion.images.groups[rows]
    if not len(groups):
        return missing("no images", unit="share"), missing("no images", unit="share")
    flags = (insertion.predicted, insertion.images.predicted)
    now, then = (_any_of(each, rows, targets) for each in flags)
    raw = _signed_change(now, then, sign, groups, level)
    if not insertion.predicted_with:
        return raw, missing("every control equals the artefact", unit="share")
    return raw, _signed_change(*_now_and_middle(insertion, rows, targets), sign, groups, level)


def _now_and_middle(insertion: Insertion, rows: Bools, targets: list[int]) -> tuple[Array, Array]:
    """Whether images are predicted as any of the targets with the artefact, and how often with the median control."""
    now = _any_of(insertion.predicted, rows, targets)
    controls = [np.minimum(_any_of(share, rows, targets), 1.0) for share in insertion.predicted_with.values()]
    return now, median_control(controls)


def _any_of(flags: Array, rows: Bools, targets: list[int]) -> Array:
    """Of some of the images (n,), whether any of the targets is among the flags (n, classes); of shares their sum."""
    if len(targets) == 1:
        return flags[rows, targets[0]].astype(np.float64)
    chosen = flags[:, targets][rows]
    return chosen.max(axis=1).astype(np.float64) if flags.dtype == bool else chosen.sum(axis=1, dtype=np.float64)


def _changed_either_way(part: Insertion, target: int, level: float) -> Measurement:
    """Share of images whose decision on the target changes, whichever way, beyond that of the median control."""
    before = part.images.predicted[:, target]
    if not part.predicted_with or not len(before):
        return missing("every control equals the artefact", unit="share")
    shares = (share[:, target] for share in part.predicted_with.values())
    middle = median_control([np.where(before, 1 - share, share) for share in shares]).astype(np.float64)
    changed = (part.predicted[:, target] != before).astype(np.float64)
    return change_interval(changed, middle, part.images.groups, level)


def _signed_change(now: Array, then: Array, sign: int, groups: Groups, level: float) -> Measurement:
    before, after = (now, then) if sign > 0 else (then, now)
    return change_interval(before, after, groups, level)


_FEWEST, _GAP = 5, 0.1
"""Groups on either side, and the difference of shares, from which carriers can contradict."""
