"""Leads of an artefact, image by image: over innocent controls, and over the other classes. Pure functions of arrays.

The first axis is always the image. Formulas are in `docs/method.md`.
"""

from __future__ import annotations

import numpy as np

from auditor.measure.arrays import Array, Bools, Groups, Ints

CLASS_QUANTILE = 0.9
"""The class contrast compares with this quantile (nearest rank) of the other classes' shifts."""


def median_controls(controls: list[Array], rows: Bools) -> Array:
    """Per image and target what the median control does (n, targets).

    The median is taken of the controls' means over the rows (n, targets) that count for each target; of an even number
    it is the mean of the middle two.
    """
    stacked = np.stack(controls)
    order = np.argsort([masked_means(control, rows) for control in controls], axis=0, kind="stable")
    middle = order[(len(order) - 1) // 2 : len(order) // 2 + 1]
    return np.asarray(np.take_along_axis(stacked, middle[:, None, :], axis=0).mean(axis=0))


def median_control(controls: list[Array]) -> Array:
    """The same of one target, over all images: controls (n,) each, of which there is one at least."""
    stacked = np.stack(controls)
    order = np.argsort(stacked.sum(axis=1, dtype=np.float64) / stacked.shape[1], kind="stable")
    return np.asarray(stacked[order[(len(order) - 1) // 2 : len(order) // 2 + 1]].mean(axis=0))


def control_contrasts(shifts: Array, controls: list[Array], rows: Bools) -> Array:
    """Per image and target: its shift minus its shift by the median control (n, targets)."""
    return np.asarray(shifts - median_controls(controls, rows))


def class_contrasts(shifts: Array, targets: Ints, rows: Bools, excluded: Bools | None = None) -> Array:
    """Per image and target: the target's shift minus that of the class at the 90th percentile of the others.

    The percentile (nearest rank) is taken of the classes' mean shifts over the rows (n, targets) that count. The
    rival is thus chosen by the same images that it is compared on, which makes the contrast a little too small.

    Parameters
    ----------
    excluded
        (targets, classes): classes that are no rivals of a target; NaN where that leaves none.
    """
    rivals = _find_rivals(shifts, targets, rows, excluded)
    return _lead_over(shifts, targets, np.broadcast_to(rivals, (len(shifts), len(targets))))


def split_class_contrasts(
    shifts: Array, targets: Ints, rows: Bools, groups: Groups, excluded: Bools | None = None
) -> Array:
    """The class contrasts with rivals chosen on the other half of the groups, a little too large if anything."""
    _, inverse = np.unique(groups, return_inverse=True)
    first = inverse % 2 == 0
    if first.all():
        return class_contrasts(shifts, targets, rows, excluded)
    halves = [_find_rivals(shifts[half], targets, rows[half], excluded) for half in (~first, first)]
    return _lead_over(shifts, targets, np.where(first[:, None], halves[0][None], halves[1][None]))


def masked_means(values: Array, rows: Bools) -> Array:
    """Means (columns,) of values (n, columns) over the rows that count; NaN where none does."""
    count = rows.sum(axis=0)
    total = np.where(rows, values, 0.0).sum(axis=0, dtype=np.float64)
    return np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)


def _lead_over(shifts: Array, targets: Ints, rivals: Ints) -> Array:
    """The targets' shifts minus those of their rivals (n, targets); NaN where a rival is -1."""
    lead = shifts[:, targets] - np.take_along_axis(shifts, np.maximum(rivals, 0), axis=1)
    return np.where(rivals < 0, np.nan, lead)


def _find_rivals(shifts: Array, targets: Ints, rows: Bools, excluded: Bools | None) -> Ints:
    """For each target the class at the 90th percentile of the others' mean shifts, (targets,); -1 where there is none.

    The means of a target's rows are those of all rows less the few that do not count; where none counts, of all.
    """
    left_out = np.where(rows.any(axis=0), ~rows, False).T.astype(np.float64)
    total = shifts.sum(axis=0, dtype=np.float64)
    means = (total - left_out @ shifts.astype(np.float64)) / (len(shifts) - left_out.sum(axis=1, keepdims=True))
    is_rival = np.ones(means.shape, bool) if excluded is None else ~excluded
    is_rival[np.arange(len(targets)), targets] = False
    counts = is_rival.sum(axis=1)
    means[~is_rival] = np.inf
    found = np.full(len(targets), -1, np.int64)
    for count in np.unique(counts[counts > 0]).tolist():  # most targets have as many rivals as the others
        rank, at = max(round(CLASS_QUANTILE * count) - 1, 0), np.flatnonzero(counts == count)
        found[at] = np.argpartition(means[at], rank, axis=1)[:, rank]
    return found
