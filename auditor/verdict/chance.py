"""What random innocent content does: to a class that is named, and to the strongest of all, for a scan to beat."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from auditor.measure.arrays import Array, Bools, Ints
from auditor.measure.intervals import share_interval
from auditor.measure.measurement import Measurement
from auditor.measure.words import say
from auditor.verdict.contrasts import class_contrasts, control_contrasts, masked_means
from auditor.verdict.observations import Draws, Insertion, Observations
from auditor.verdict.record import Rule


class Innocent(NamedTuple):
    """What random innocent content does to the strongest of all classes."""

    chance: dict[int, float]
    """Class -> share of the draws (and the artefact itself) whose strongest class moves as far."""
    strongest: Measurement
    words: str


def compare_with_chance(observed: Observations, numbers: list[int], together: Bools, rule: Rule) -> Innocent | None:
    """How far draws of innocent content move the strongest of some classes; None where that cannot be said.

    Where fewer draws were made than wanted, those that are missing count as moving nothing: they were left out because
    that could change no decision.

    Parameters
    ----------
    together
        (numbers, classes): those that the artefact promotes along with each, which are no rivals of it.
    """
    insertion, drawn = observed.insertion, observed.draws
    if insertion is None or drawn is None or not len(drawn.shifts) or not insertion.controls or len(numbers) < 2:
        return None
    own, innocent = strongest_by_chance(observed, insertion, drawn, np.array(numbers), together)
    if not np.isfinite(innocent.max(axis=1)).all():
        return None
    chance = (1 + (~(innocent < own)).sum(axis=0)) / (1 + drawn.count)
    low, middle, high = np.quantile(
        innocent.max(axis=1), [rule.alpha / 2, 0.5, 1 - rule.alpha / 2], method="inverted_cdf"
    )
    groups = len(np.unique(insertion.images.groups[drawn.drawn]))
    strongest = Measurement(
        float(middle), float(low), float(high), rule.level, len(drawn.drawn), groups, "log-odds", "log-odds"
    )
    words = f"theta {say(strongest, 'brief')} over {len(innocent)} draws"
    return Innocent(dict(zip(numbers, chance.tolist(), strict=True)), strongest, words)


def measure_chance(observed: Observations, target: int, rule: Rule) -> dict[str, Measurement]:
    """Share of draws of random innocent content that move a named class as far as the artefact does, by direction.

    They are told and decide nothing: what innocent content does to the class itself is left to the controls. Draws end
    with one that does as much, so few of them tell that there is such content, and hardly how much of it.
    """
    insertion, drawn = observed.insertion, observed.draws
    if insertion is None or drawn is None or not len(drawn.shifts):
        return {}
    found = {}
    for sign, name in ((1, "promoted_by_chance"), (-1, "suppressed_by_chance")):
        reached = reached_by_chance(observed, insertion, drawn, target, sign)
        if reached is not None:
            found[name] = share_interval(reached, np.arange(len(reached)), rule.level)
    return found


def reached_by_chance(
    observed: Observations, insertion: Insertion, drawn: Draws, target: int, sign: int
) -> Bools | None:
    """Which draws of innocent content (draws,) move a class as far as the artefact does, in one direction.

    Its lift and its lead over the controls are compared, whatever becomes of other classes.

    None where none of the images that they were tried on tells.
    """
    at = np.array([target])
    part = insertion.rows(drawn.drawn)
    if not (part.images.has[:, target] == (sign < 0)).any():
        return None
    own = _thetas(observed, part, part.shift, at, sign, None)[0]
    innocent = np.array([_thetas(observed, part, shifts, at, sign, None)[0] for shifts in drawn.shifts])
    return np.asarray(innocent >= own)


def strongest_by_chance(
    observed: Observations, insertion: Insertion, drawn: Draws, targets: Ints, together: Bools | None
) -> tuple[Array, Array]:
    """Theta of each class (targets,), and beside it the largest of any *other* class under each draw (draws, targets).

    Both are point values on the images that the draws of innocent content were tried on, formula, controls and rivals
    being the same. What innocent content does to the class itself is left to the controls: where a model has learnt
    something as coarse as a speckled patch, scrambled ink promotes the very class that the artefact does.

    Parameters
    ----------
    together
        (targets, classes): those that are no rivals of a target; None leaves the class contrast out.
    """
    part = insertion.rows(drawn.drawn)
    innocent = np.array([_thetas(observed, part, shifts, targets, 1, together) for shifts in drawn.shifts])
    innocent = np.where(np.isnan(innocent), -np.inf, innocent)  # a class that every drawn image has is moved by none
    first = innocent.argmax(axis=1)
    rows_of = np.arange(len(innocent))
    others = np.repeat(innocent.max(axis=1)[:, None], len(targets), axis=1)
    if len(targets) > 1:
        others[rows_of, first] = np.sort(innocent, axis=1)[:, -2]
    return _thetas(observed, part, part.shift, targets, 1, together), others


def _thetas(
    observed: Observations, part: Insertion, shifts: Array, targets: Ints, sign: int, together: Bools | None
) -> Array:
    """Theta of some classes (targets,) in one direction, by the mean shifts (n, classes) alone."""
    shifts, rows = sign * shifts, part.images.has[:, targets] == (sign < 0)
    controls = [sign * values[:, targets] for values in part.controls.values()]
    leads = [shifts[:, targets]]
    leads += [control_contrasts(shifts[:, targets], controls, rows)] if controls else []
    if together is not None and not observed.one_logit and len(observed.classes) > 2:
        leads.append(class_contrasts(shifts, targets, rows, together))
    return np.asarray(np.fmin.reduce([masked_means(lead, rows) for lead in leads]))
