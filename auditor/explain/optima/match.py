"""Do optimal inputs carry an artefact? Its pattern in them, and the direction that it moves features along."""

from __future__ import annotations

from functools import partial

import numpy as np

from auditor.artefacts.appearance import Edit, box_of
from auditor.artefacts.kinds import Artefact
from auditor.explain.attribution.regions import LARGEST_SHARE
from auditor.explain.inquiry import Inquiry
from auditor.explain.optima.objectives import Pattern, cut_pattern, feature_direction, match_patterns, random_phases
from auditor.explain.optima.record import ArtefactMatch, FeatureOptimum
from auditor.explain.optima.search import Maximiser, Way
from auditor.measure.arrays import Doubles, Floats, Ints, take
from auditor.measure.intervals import mean_interval, share_interval

_PHASES = 5
"""Draws of the placebo of random phases."""

_FOR_DIRECTION = 64
"""Images that the direction of an artefact is measured on."""


def match_artefact(maximiser: Maximiser, number: int, classes: Ints, optima: Floats, *, of_data: bool) -> ArtefactMatch:
    """How well the pattern of an artefact matches optima (classes, restarts, h, w, c), beside placebos.

    Each lead is measured restart by restart: over the mean of the other classes' optima, over the median placebo in the
    same optimum, over both, and over the other class whose optima lead most over the placebos. The restarts of
    one class may all end alike, so their interval does not say how classes differ by chance: the last lead does.

    Parameters
    ----------
    of_data
        Whether the optima were made from audited images.
    """
    inquiry, mean = maximiser.inquiry, maximiser.mean
    artefact, target, names = inquiry.artefacts[number], inquiry.targets[number], inquiry.classifier.classes
    pattern = None if why_not(artefact) else _cut(artefact, artefact.appearance.insert, inquiry.mean_image)
    reason = _why_no_match(artefact, pattern, target, classes)
    if reason is not None:
        return ArtefactMatch(artefact.name, None if target is None else names[target], "not_applicable", reason)
    assert pattern is not None
    assert target is not None
    placebos = _placebos(artefact, pattern, inquiry.mean_image, inquiry.seed)
    drawn = [draw for draws in placebos.values() for draw in draws]
    count, restarts = optima.shape[:2]
    height, width = pattern.values.shape[:2]
    reach = max(1, round(0.25 * min(height, width)))
    flat = optima.reshape(-1, *optima.shape[2:])
    here = match_patterns(flat, [pattern], reach)[0].reshape(count, restarts)
    quality, places = match_patterns(flat, [pattern, *drawn])
    quality, places = quality.reshape(count, restarts, -1), places[:, 0].reshape(count, restarts, 2)
    ends = np.cumsum([1, *(len(draws) for draws in placebos.values())])[:-1]
    own_quality, *of_each = np.split(quality, ends, axis=2)
    correlation = own_quality[..., 0]
    of_placebos = {kind: part.mean(axis=2) for kind, part in zip(placebos, of_each, strict=True)}
    lead = correlation - np.median(list(of_placebos.values()), axis=0)
    own, others = int(np.flatnonzero(classes == target)[0]), classes != target
    rival = int(np.where(others, lead.mean(axis=1), -np.inf).argmax())
    near = np.abs(places - pattern.place).max(axis=2) <= reach
    of_others = np.repeat(np.flatnonzero(others), restarts)
    _note(inquiry, artefact.name, [names[at] for at in classes], {"the artefact": correlation} | of_placebos)
    best = int(correlation[own].argmax())
    (row, column), (top, left) = places[own, best], pattern.place
    on_grey = artefact.insert(np.full((1, *inquiry.mean_image.shape), 0.5, np.float32), ["grey"])[0]
    cut = on_grey[top : top + height, left : left + width]
    found = optima[own, best, row : row + height, column : column + width]
    order = [own, *(at for at in np.argsort(-correlation.mean(axis=1), kind="stable") if at != own)]
    difference = "difference of correlations"
    return ArtefactMatch(
        artefact=artefact.name,
        target=names[target],
        status="ok",
        reason=None,
        pattern=maximiser.keep(f"pattern {number}", cut, of_data=False),
        found=maximiser.keep(f"found {number}", found, of_data=of_data),
        measurements={
            "correlation": mean(correlation[own]),
            "over_classes": mean(correlation[own] - correlation[others].mean(axis=0), difference),
            "over_placebos": mean(lead[own], difference),
            "over_both": mean(lead[own] - lead[others].mean(axis=0), difference),
            "over_next": mean(lead[own] - lead[rival], difference),
            "here": mean(here[own]),
            "here_others": mean(here[others].mean(axis=0)),
            "own_place": share_interval(near[own], np.arange(restarts), inquiry.level),
            "own_place_others": share_interval(near[others].ravel(), of_others, inquiry.level),
        },
        classes={names[classes[at]]: mean(correlation[at]) for at in order},
        placebos={kind: mean(values[own]) for kind, values in of_placebos.items()},
        next_class=names[classes[rival]],
    )


def _note(inquiry: Inquiry, artefact: str, classes: list[str], correlations: dict[str, Doubles]) -> None:
    """A row for the correlation of each optimum with each pattern, (classes, restarts), by the pattern's name."""
    for name, values in correlations.items():
        inquiry.rows.note(
            values.ravel(),
            image=[f"optimum of {classes[at]}, {restart}" for at, restart in np.ndindex(*values.shape)],
            artefact=artefact,
            target=np.repeat(classes, values.shape[1]),
            measurement="correlation with the pattern",
            condition=name if name == "the artefact" else f"placebo: {name}",
            method="optima",
        )


def find_direction(maximiser: Maximiser, number: int, way: Way, restarts: int) -> FeatureOptimum | None:
    """What excites the direction that an artefact moves the last features along; None where it has no look."""
    inquiry = maximiser.inquiry
    artefact = inquiry.artefacts[number]
    if not inquiry.classifier.feature_layers or why_not(artefact):
        return None
    layer = inquiry.classifier.feature_layers[0]
    free = np.flatnonzero(~artefact.carriers[maximiser.sample.positions])[:_FOR_DIRECTION]
    sample = take(maximiser.sample, free if len(free) else np.arange(min(_FOR_DIRECTION, len(maximiser.sample))))
    inserted = artefact.insert(sample.images, sample.ids)
    before, after = (maximiser.mean_features(images, layer) for images in (sample.images, inserted))
    direction = (after - before).mean(axis=0)
    length = float(np.linalg.norm(direction))
    if length < 1e-9:
        return None
    direction = direction / length
    mean = partial(mean_interval, groups=sample.groups, level=inquiry.level, unit="feature")
    usual, with_artefact = mean(before @ direction), mean(after @ direction)
    everywhere = maximiser.mean_features(maximiser.sample.images, layer) @ direction
    name = f"{artefact.name} in {layer}"
    excited = maximiser.excite(name, feature_direction(layer, direction), way, restarts, everywhere)
    return FeatureOptimum(name, "direction", artefact.name, *excited, usual, with_artefact)


def _why_no_match(artefact: Artefact, pattern: Pattern | None, target: int | None, classes: Ints) -> str | None:
    if pattern is None:
        return why_not(artefact) or "on the mean image it cannot be seen, so it has no pattern to look for"
    if target is None or target not in classes:
        return "no class was tested for it" if target is None else "its target is not among the classes optimised"
    return "there is no other class to compare its target with" if len(classes) < 2 else None


def why_not(artefact: Artefact) -> str | None:
    """Why an artefact has no pattern to look for; None where it has."""
    region = artefact.appearance.fixed_region
    if not artefact.appearance.can_insert:
        return "only its place is known, not its look"
    if region is None:
        return "its place differs from image to image"
    if region.mean() > LARGEST_SHARE:
        return f"it covers {region.mean():.0%} of the frame, so it has no shape of its own to look for"
    return None


def _cut(artefact: Artefact, edit: Edit, mean_image: Floats) -> Pattern | None:
    """What an edit changes of the mean image in the artefact's box."""
    assert artefact.appearance.fixed_region is not None
    change = edit(mean_image[None], artefact.randoms(["mean image"]))[0] - mean_image
    return cut_pattern(change, box_of(artefact.appearance.fixed_region))


def _placebos(artefact: Artefact, pattern: Pattern, mean_image: Floats, seed: int) -> dict[str, list[Pattern]]:
    """Innocent patterns of the same box: the controls of the interventions, and the same spectrum with random phases.

    The veil is left out: its look is the image's own.
    """
    found = {"random phases": [random_phases(pattern, seed, f"{artefact.name}, {draw}") for draw in range(_PHASES)]}
    edits, _ = artefact.appearance.controls(artefact.controls, seed)
    for name, draws in edits.items():
        seen = [cut for draw in draws if (cut := _cut(artefact, draw, mean_image)) is not None]
        if seen and name != "veil":
            found[name] = seen
    return found
