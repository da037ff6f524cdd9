"""What says that a suspect is not the object: where it lies, what it hangs together with, how much it varies.

From pixels alone, on the images that decide, which did not propose it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from auditor.artefacts.overlay import Overlay
from auditor.discovery.candidate import Candidate, say_place
from auditor.discovery.extent import (
    LEAST_SPREAD,
    are_photographs,
    attached,
    changes_ground,
    ground,
    is_visible,
    object_map,
    variation,
)
from auditor.discovery.looks import likeness
from auditor.discovery.material import Material
from auditor.discovery.splits import OF_STAMPS, Filter
from auditor.measure.arrays import Array, Doubles, Floats, Ints
from auditor.measure.words import number


@dataclass(frozen=True)
class Weighed:
    """Whether a suspect is known not to be the object."""

    is_apart: bool
    told: list[str] = field(default_factory=list)
    """What says so, or why nothing does; sentences."""
    covered: float = float("nan")
    """Share of its region that objects cover, as `object_map` tells it."""
    hanging: float = float("nan")
    """Share of what carriers show there that belongs to things which reach beyond it."""
    carried: float = float("nan")
    """Share of the class's images that show it."""
    varied: float = float("nan")
    """How much these vary in its place, of how much they do elsewhere."""


def weigh(material: Material, candidate: Candidate) -> Weighed:
    """Whether a candidate is known not to be the object, by images that did not propose it."""
    look, target = candidate.look, material.classifier.classes[candidate.target]
    if not isinstance(look, Overlay):
        return _weigh_edit(material, candidate)
    told_by = candidate.proposal.filter
    if candidate.proposal.is_common and told_by is not None:
        everything = material.images, material.seen.groups
        divides = _divides(*everything, "the images, of whatever class", told_by, OF_STAMPS)
        return Weighed(bool(divides), [divides or "Nothing divides images that show it from the rest."])
    own, others = material.own(candidate.target), material.others(candidate.target)
    if not len(own) or not len(others):
        return Weighed(False, ["No other images tell whether it is the object."])
    mine, free = material.images[own], material.images[others]
    covered = float(np.average(object_map(mine, free), weights=look.alpha))
    usual = likeness(free, look, free)
    shows = likeness(mine, look, free) > max(SHOWN, float(np.quantile(usual, OTHERS)))
    hanging = attached(mine[shows], look.fixed_region)
    hung = float(np.nanmean(hanging)) if np.isfinite(hanging).any() else 0.0
    varies = variation(mine[shows], look) if shows.sum() >= FEWEST else float("nan")
    most_alike = free[np.argsort(-usual, kind="stable")[: shows.sum()]]
    by_choice = variation(most_alike, look) if shows.sum() >= FEWEST else float("nan")
    where, share = say_place(look.fixed_region), float(shows.mean())
    told = [f"{number(share, 'share')} of {len(own)} images of {target} show it."]
    stands_beside = covered < MOST_COVERED and hung < MOST_HANGING and shows.sum() >= FEWEST
    stands_beside = stands_beside and changes_ground(look, free)
    is_same = varies < min(MOST_VARIED, max(BY_CHOICE * by_choice, SAME))
    is_fixed = is_same and share >= LEAST_CARRIED and is_visible(mine[shows], look)
    if stands_beside:
        told.append(
            f"It stands beside objects: they cover {number(covered, 'share')} of its place ({where}), and in images "
            f"that show it {number(hung, 'share')} of it belongs to things that reach beyond it."
        )
    if is_fixed:
        told.append(
            f"It is the same to the pixel, as objects are not: images that show it vary there {varies:.2f} times as "
            f"much as elsewhere, and the {len(most_alike)} of others that are most like it {by_choice:.2f} times."
        )
    bar = LEAST_GAP if hung < MOST_HANGING else OF_STAMPS
    divides = _divides(mine, material.seen.groups[own], "the class", told_by, bar) if told_by else ""
    if divides:
        told.append(divides)
    if not (stands_beside or is_fixed or divides):
        told.append(
            f"Objects cover {number(covered, 'share')} of its place ({where}), {number(hung, 'share')} of it belongs "
            "to things that reach beyond it, and it varies as objects do: it may be a part of one."
        )
    return Weighed(bool(stands_beside or is_fixed or divides), told, covered, hung, share, varies)


def _weigh_edit(material: Material, candidate: Candidate) -> Weighed:
    """Whether the ground beside objects is as an edit of the whole image would make it: snow is rightly bright."""
    look, target = candidate.look, material.classifier.classes[candidate.target]
    own, others = material.own(candidate.target), material.others(candidate.target)
    whole = "It is an edit of the whole image"
    if min(len(own), len(others)) < FEWEST or are_photographs(material.images[others]):
        return Weighed(False, [f"{whole}, and nothing is known to be ground beside objects: {target} may look so."])
    some = material.images[others[:_EDITED]]
    edited = look.insert(some, np.random.default_rng(0).spawn(len(some)))
    share, sureness = _shown_by_ground(material, own, others, ground(edited) - ground(some))
    if share >= LEAST_CARRIED and sureness >= SURE:
        seen = f"{whole}, and the ground beside objects shows it, too: images of {target} differ there from others by "
        return Weighed(True, [f"{seen}{number(share, 'share')} of it ({sureness:.1f} standard errors)."], carried=share)
    return Weighed(False, [f"{whole}, and the ground beside objects does not show it: {target} may look so."])


def _shown_by_ground(material: Material, own: Ints, others: Ints, changes: Doubles) -> tuple[float, float]:
    """How much of an edit the ground of a class shows more than that of others, and in how many standard errors.

    Parameters
    ----------
    changes
        (n, k): what the edit does to the ground of single images.
    """
    change = np.nanmean(changes, axis=0)
    mine, free = (_by_group(ground(material.images[rows]), material.seen.groups[rows]) for rows in (own, others))
    if min(len(mine), len(free)) < FEWEST or not np.isfinite(change).all():
        return 0.0, 0.0
    along = np.linalg.solve(np.cov(free.T) + LEAST_SPREAD**2 * np.eye(len(change)), change)
    size = float(change @ along)
    if size < LEAST_CHANGE**2:
        return 0.0, 0.0
    shown, usual = mine @ along, free @ along
    error = float(np.sqrt(shown.var() / len(shown) + usual.var() / len(usual)))
    apart = float(shown.mean() - usual.mean())
    return apart / size, apart / max(error, 1e-12)


def _by_group(values: Doubles, groups: Array) -> Doubles:
    """The mean of each group's values (n, k), (groups, k), of those that have any."""
    kept = np.isfinite(values).all(axis=1)
    names, of = np.unique(groups[kept], return_inverse=True)
    counts = np.bincount(of, minlength=len(names))
    columns = [np.bincount(of, column, minlength=len(names)) / counts for column in values[kept].T]
    return np.stack(columns, axis=1)


def _divides(images: Floats, groups: Array, what: str, told_by: Filter, least: float) -> str:
    """A sentence, where images fall in two with nothing between, and nothing where they do not."""
    shows, gap = told_by.divides(images, groups)
    if gap < least or min(shows.sum(), (~shows).sum()) < FEWEST:
        return ""
    return (
        f"It divides {what}: {shows.sum()} of {len(shows)} independent groups of images show it and the rest show "
        f"nothing of it ({gap:.1f} standard deviations lie between), while objects differ by degrees."
    )


SHOWN, OTHERS = 0.7, 0.98
"""Likeness from which on an image shows it, where so many of the others show less."""

MOST_VARIED, LEAST_CARRIED, FEWEST = 0.6, 0.12, 6
"""How much images that show it may vary there, of how much they do elsewhere, to be the same to the pixel; and the
share of the class, and the number of images, that must show it for that to be told."""

BY_CHOICE, SAME = 0.8, 0.1
"""What images that show it may vary there, of how much as many others do that are most like it: those that are chosen
for being alike vary less, of parts of objects, too. And what is the same in any case: others may carry it as well."""

LEAST_GAP = 5.0
"""Between images that show it and the rest, on images that did not tell how to ask: where it hangs on no object. Where
it does, a gap that objects seldom leave is asked for: one that reaches a place in few images leaves some."""

SURE, LEAST_CHANGE, _EDITED = 4.0, 0.05, 100
"""Standard errors from which on ground is another; what an edit must do to ground to be seen there, in standard
deviations of it; and images that it is tried on."""

MOST_COVERED, MOST_HANGING = 0.2, 0.7
"""Of a suspect that stands beside objects."""
