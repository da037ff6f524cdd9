"""Do optimal inputs carry an artefact? Its pattern in them, and the direction that it moves features along."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from auditor.artefacts.appearance import Edit, box_of
from auditor.artefacts.kinds import Artefact
from auditor.explain.attribution.regions import LARGEST_SHARE
from auditor.explain.optima.objectives import (
    Pattern,
    cut_pattern,
    feature_direction,
    match_patterns,
    random_phases,
)
from auditor.explain.optima.record import ArtefactMatch, FeatureOptimum
from auditor.explain.optima.search import Maximiser, Way
from auditor.measure.arrays import Doubles, Floats, Ints
from auditor.measure.intervals import mean_interval, share_interval
from auditor.measure.measurement import Measurement

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
    inquiry = maximiser.inquiry
    artefact, target = inquiry.artefacts[number], inquiry.targets[number]
    name = None if target is None else inquiry.classifier.classes[target]
    pattern = None if why_not(artefact) else _cut(artefact, artefact.appearance.insert, inquiry.mean_image)
    if pattern is None or target is None or target not in classes or len(classes) < 2:
        reason = why_not(artefact) or _why_no_match(pattern, target, classes)
        return ArtefactMatch(artefact.name, name, "not_applicable", reason)
    assert name is not None
    placebos = _placebos(artefact, pattern, inquiry.mean_image, inquiry.seed)
    drawn = [draw for draws in placebos.values() for draw in draws]
    restarts = optima.shape[1]
    height, width = pattern.values.shape[:2]
    reach = max(1, round(0.25 * min(height, width)))
    flat = optima.reshape(-1, *optima.shape[2:])
    here = match_patterns(flat, [pattern], reach)[0].reshape(len(classes), restarts)
    quality, places = match_patterns(flat, [pattern, *drawn])
    quality, places = quality.reshape(len(classes), restarts, -1), places[:, 0].reshape(len(classes), restarts, 2)
    ends = np.cumsum([len(draws) for draws in placebos.values()])[:-1]
    of_placebos = np.stack([part.mean(axis=2) for part in np.split(quality[..., 1:], ends, axis=2)], axis=2)
    own, others = int(np.flatnonzero(classes == target)[0]), classes != target
    correlation, lead = quality[..., 0], quality[..., 0] - np.median(of_placebos, axis=2)

    def over_restarts(values: Doubles, unit: str = "correlation") -> Measurement:
        return mean_interval(values, np.arange(restarts), inquiry.level, unit=unit)

    difference = "difference of correlations"

    rival = int(np.where(others, lead.mean(axis=1), -np.inf).argmax())
    near = np.abs(places - pattern.place).max(axis=2) <= reach
    of_class = np.repeat(np.arange(len(classes)), restarts).reshape(near.shape)
    best = int(correlation[own].argmax())
    row, column = places[own, best]
    names = inquiry.classifier.classes
    order = [own, *(at for at in np.argsort(-correlation.mean(axis=1), kind="stable") if at != own)]
    conditions = {"the artefact": correlation}
    conditions |= {f"placebo: {kind}": of_placebos[..., number] for number, kind in enumerate(placebos)}
    for condition, values in conditions.items():
        inquiry.rows.note(
            values.ravel(),
            image=[f"optimum of {names[classes[at]]}, {restart}" for at, restart in np.ndindex(*values.shape)],
            artefact=artefact.name,
            target=[names[classes[at]] for at, _ in np.ndindex(*values.shape)],
            measurement="correlation with the pattern",
            condition=condition,
            method="optima",
        )
    on_grey = artefact.insert(np.full((1, *inquiry.mean_image.shape), 0.5, np.float32), ["grey"])[0]
    top, left = pattern.place
    return ArtefactMatch(
        artefact=artefact.name,
        target=name,
        status="ok",
        reason=None,
        pattern=maximiser.keep(f"pattern {number}", on_grey[top : top + height, left : left + width], of_data=False),
        found=maximiser.keep(
            f"found {number}", optima[own, best, row : row + height, column : column + width], of_data=of_data
        ),
        measurements={
            "correlation": over_restarts(correlation[own]),
            "over_classes": over_restarts(correlation[own] - correlation[others].mean(axis=0), difference),
            "over_placebos": over_restarts(lead[own], difference),
            "over_both": over_restarts(lead[own] - lead[others].mean(axis=0), difference),
            "over_next": over_restarts(lead[own] - lead[rival], difference),
            "here": over_restarts(here[own]),
            "here_others": over_restarts(here[others].mean(axis=0)),
            "own_place": share_interval(near[own], np.arange(restarts), inquiry.level),
            "own_place_others": share_interval(near[others].ravel(), of_class[others].ravel(), inquiry.level),
        },
        classes={names[classes[at]]: over_restarts(correlation[at]) for at in order},
        placebos={kind: over_restarts(of_placebos[own, :, k]) for k, kind in enumerate(placebos)},
        next_class=names[classes[rival]],
    )


def find_direction(maximiser: Maximiser, number: int, way: Way, restarts: int) -> FeatureOptimum | None:
    """What excites the direction that an artefact moves the last features along; None where it has no look."""
    inquiry = maximiser.inquiry
    artefact = inquiry.artefacts[number]
    if not inquiry.classifier.feature_layers or why_not(artefact):
        return None
    layer = inquiry.classifier.feature_layers[0]
    carries = inquiry.artefacts[number].carriers[maximiser.positions]
    chosen = np.flatnonzero(~carries)[:_FOR_DIRECTION]
    if not len(chosen):
        chosen = np.arange(min(_FOR_DIRECTION, len(maximiser.images)))
    before = maximiser.mean_features(maximiser.images[chosen], layer)
    ids = inquiry.dataset.named(maximiser.positions[chosen])
    after = maximiser.mean_features(artefact.insert(maximiser.images[chosen], ids), layer)
    direction = (after - before).mean(axis=0)
    length = float(np.linalg.norm(direction))
    if length < 1e-9:
        return None
    direction = direction / length
    everywhere = maximiser.mean_features(maximiser.images, layer) @ direction
    groups = inquiry.images.groups[maximiser.at[chosen]]

    def measure(values: Doubles) -> Measurement:
        return mean_interval(values @ direction, groups, inquiry.level, unit="feature")

    return maximiser.excite(
        f"{artefact.name} in {layer}",
        "direction",
        artefact.name,
        feature_direction(layer, direction),
        way,
        restarts,
        everywhere,
        usual=measure(before),
        with_artefact=measure(after),
    )


def _why_no_match(pattern: Pattern | None, target: int | None, classes: Ints) -> str:
    if pattern is None:
        return "on the mean image it cannot be seen, so it has no pattern to look for"
    if target is None or target not in classes:
        return "no class was tested for it" if target is None else "its target is not among the classes optimised"
    return "there is no other class to compare its target with"


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


def _placebos(artefact: Artefact, pattern: Pattern, mean_image: Floats, seed: int) -> dict[str, Sequence[Pattern]]:
    """Innocent patterns of the same box: the controls of the interventions, and the same spectrum with random phases.

    The veil is left out: its look is the image's own.
    """
    edits, _ = artefact.appearance.controls(artefact.controls, seed)
    found: dict[str, Sequence[Pattern]] = {
        "random phases": [random_phases(pattern, seed, f"{artefact.name}, {draw}") for draw in range(_PHASES)]
    }
    for name, draws in edits.items():
        seen = [cut for draw in draws if (cut := _cut(artefact, draw, mean_image)) is not None]
        if seen and name != "veil":
            found[name] = seen
    return found
