"""Whether images that are said to carry an artefact show it, and where it is named: what taking it out rests on.

Pure functions of arrays; the first axis is always the image.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from auditor.measure.arrays import Array, Bools, Groups
from auditor.measure.intervals import mean_interval, missing, share_interval
from auditor.measure.measurement import Measurement, Note
from auditor.measure.words import say
from auditor.verdict.observations import Observations, Removals, Shown
from auditor.verdict.record import Rule


def measure_found(observed: Observations, rule: Rule) -> dict[str, Measurement]:
    """Share of the images said to carry the artefact in which it was found, and of those where it lies elsewhere."""
    removals = observed.removals
    if removals is None or removals.found is None or removals.offset is None:
        return {}
    found, groups = removals.found, removals.images.groups
    elsewhere = (removals.offset != 0).any(axis=1)[found]
    return {
        "found": share_interval(found, groups, rule.level),
        "found_elsewhere": share_interval(elsewhere, groups[found], rule.level),
    }


def measure_shown(shown: Shown, groups: Groups, level: float, least: int, rows: Bools) -> dict[str, Measurement]:
    """How much of the artefact images show where it is named: 1 where they carry it so, 0 where they do not.

    `shown_by_carriers` is what some that are said to carry it (`rows`) show beyond those that are not, where these are
    of `least` groups or more: what is like it by nature is in both. `shown_by_others` is what the latter show, and
    `shown_elsewhere` how much more the carriers show a pixel or two beside: at the place where that is clearest, with
    an interval that holds for all places. `change_by_inserting` is how much inserting it changes the others, over what
    it changes plain images of their mean colours: little where they carry it unsaid, if it is not faint. Nothing is
    said of either where they are of fewer groups.

    References: Cochran, "Sampling techniques" (1977) for the ratio; Zou and Donner, "Construction of confidence limits
    about effect measures" (2008) for the difference.
    """
    others, places = ~shown.carries, range(1, shown.likeness.shape[1])
    is_known = len(np.unique(groups[others])) >= least
    own, found = shown.likeness[:, 0], dict[str, Measurement]()

    def measured(likeness: Array, level: float) -> Measurement:
        of_carriers, of_others = (
            _ratio(likeness[part], shown.energy[part], groups[part], level) for part in (rows, others)
        )
        return _difference(of_carriers, of_others) if is_known else of_carriers

    if is_known:
        found["shown_by_others"] = _ratio(own[others], shown.energy[others], groups[others], level)
        change, plain = shown.change[others], shown.change_of_plain[others]
        found["change_by_inserting"] = _ratio(change, plain, groups[others], level)
    if len(np.unique(groups[rows])) < least:
        return found
    found["shown_by_carriers"] = measured(own, level)
    if places:
        share = 1 - (1 - level) / len(places)
        beside = [measured(shown.likeness[:, place] - own, share) for place in places]
        found["shown_elsewhere"] = max(beside, key=lambda gain: gain.bounds[0])
    return found


def bears_out(shown: dict[str, Measurement]) -> bool:
    """Whether carriers clearly show the artefact where it is named, and not more of it beside.

    So, too, where that was not looked at: it has no place, is looked for in each carrier, or these are few.
    """
    if "shown_by_carriers" not in shown:
        return True
    beside = shown.get("shown_elsewhere")
    is_there = shown["shown_by_carriers"].against(HALF) == "above"
    return is_there and (beside is None or beside.against(0) != "above")


def describe_found(removals: Removals) -> list[Note]:
    """In how many of the images that carry it the artefact was found, where not in all, at the place that is named."""
    if removals.found is None or removals.offset is None:
        return []
    found, moved = removals.found, removals.offset[(removals.offset != 0).any(axis=1)]
    notes = []
    if not found.all():
        told = f"it was found in {found.sum()} of {len(found)} images that are said to carry it"
        notes.append(Note("not found", f"{told}; it is taken out of the others where it is named, and not exactly"))
    if len(moved):
        far = np.median(np.hypot(*moved.T))
        told = f"in {len(moved)} of {found.sum()} images it lies elsewhere than named"
        notes.append(Note("elsewhere", f"{told}, {far:.0f} pixels off at the median"))
    return notes


def describe_shown(shown: dict[str, Measurement]) -> list[Note]:
    """What it means where carriers do not clearly show all of the artefact where it is named, or others show it."""
    carriers, others = shown.get("shown_by_carriers"), shown.get("shown_by_others")
    if carriers is not None and not bears_out(shown):
        told = f"of the artefact as it is named, images that carry it show {say(carriers)}"
        return [Note("not shown", f"{told}, where 1 is all of it: it may lie elsewhere, or not be in all of them")]
    if carriers is not None and carriers.against(_NEARLY_ALL) == "below":
        told = f"images that are said to carry it show {say(carriers)} of it, where 1 is all of it"
        told += "" if others is None else ", beyond what other images show"
        missed = "what it does to such images could be missed"
        return [Note("partly shown", f"{told}: some may not carry it, or others may, and {missed}")]
    if carriers is None and others is not None and others.against(HALF) == "above":
        told = f"images that are not said to carry it show {say(others)} of it, where 1 is all of it"
        return [Note("not said", f"{told}: if they do carry it, `present` must say so, or what it does is missed")]
    return []


def _ratio(likeness: Array, energy: Array, groups: Groups, level: float) -> Measurement:
    """Ratio of two means."""
    if not len(energy) or not energy.mean() > 0:
        return missing("it does not stand out from the mean colour of the images", unit="of it")
    ratio = likeness.mean() / energy.mean()
    return mean_interval(ratio + (likeness - ratio * energy) / energy.mean(), groups, level, unit="of it")


def _difference(first: Measurement, second: Measurement) -> Measurement:
    """The difference of two measurements on different images."""
    if first.value is None or second.value is None:
        return first
    value = first.value - second.value
    (low, high), (least, most) = first.bounds, second.bounds
    down = np.hypot(first.value - low, most - second.value)
    up = np.hypot(high - first.value, second.value - least)
    return replace(first, value=value, low=value - float(down), high=value + float(up))


HALF = 0.5
"""Of an artefact, or of the images that carry it."""

_NEARLY_ALL = 0.9
"""Of an artefact."""
