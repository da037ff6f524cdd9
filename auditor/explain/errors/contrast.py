"""The maps of errors: compared, measured in regions, shown, and their strongest pixels removed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from auditor.explain.attribution.methods import saliency
from auditor.explain.attribution.record import MapName
from auditor.explain.attribution.regions import Box, box_of, edge_map, lift, local, mass_in
from auditor.explain.errors.maps import Choice, compare_maps, move_elsewhere, speaking_for, strongest_pixels
from auditor.explain.errors.mending import Cases, Replaced, measure_margins, replace_strongest
from auditor.explain.errors.record import ContrastExemplar, ContrastMaps
from auditor.explain.inquiry import SHOWN_ERRORS, Inquiry
from auditor.measure.arrays import Bools, Doubles, Floats, Numbers, join, take
from auditor.measure.seeds import keyed_generators, seeded_order
from auditor.subject.data.pictures import to_pixels

RANDOM, EDGES = MapName("random pixels"), MapName("edges")
"""The references that know nothing of the model."""

_CHUNK = 16
"""Errors whose maps are held at once."""


@dataclass(frozen=True)
class InRegion:
    """How much of the maps of n errors lies in the region of an artefact; NaN where it has none."""

    margin: Doubles
    """(n,): share of the absolute map of the margin."""
    predicted: Doubles
    """(n,): of that of the predicted class."""
    lift: Doubles
    """(n,): share of what speaks for the error, over the region's share of the frame."""
    area: Doubles
    """(n,): that share."""


class _Maps(NamedTuple):
    """Attributions (n, h, w, c) of the predicted class, of the true one, and of the margin between them."""

    predicted: Floats
    true: Floats
    margin: Floats


@dataclass(frozen=True)
class ErrorMaps:
    """What was found of n errors."""

    margins: Floats = field(default_factory=lambda: np.zeros(0, np.float32))
    """(n,): of the predicted class over the true one, in log-odds."""
    likeness: dict[MapName, Doubles] = field(default_factory=dict)
    """(n, 3): `Likeness` of the maps of both classes; none where these share one logit."""
    in_region: dict[tuple[int, MapName], InRegion] = field(default_factory=dict)
    """By artefact and map."""
    replaced: dict[Choice, Replaced] = field(default_factory=dict)
    """By the choice of pixels that were removed."""
    exemplars: list[ContrastExemplar] = field(default_factory=list)


def explain_errors(
    inquiry: Inquiry,
    errors: Cases,
    carries: list[Bools],
    *,
    share: float,
    fills: tuple[str, ...] = (),
    shown: int = 0,
    inserted: str | None = None,
) -> ErrorMaps:
    """Explain errors, compare their maps, and, where there are fills, remove what the maps hold responsible.

    Parameters
    ----------
    carries
        For each artefact, which errors (n,) have it.
    share
        Of the frame: the strongest pixels.
    shown
        Of so many errors, a seeded choice, pictures and maps are kept.
    inserted
        The artefact that made these errors.
    """
    order = seeded_order(inquiry.seed, SHOWN_ERRORS, errors.ids)
    parts = []
    for start in range(0, len(errors), _CHUNK):
        rows = np.arange(start, min(start + _CHUNK, len(errors)))
        part, seen = take(errors, rows), np.flatnonzero(np.isin(rows, order[:shown])).tolist()
        regions = [_regions(inquiry, number, part, flags[rows]) for number, flags in enumerate(carries)]
        found, maps = _explain(inquiry, part, regions, share)
        if fills:
            chosen = _choose(inquiry, part, maps, share)
            found.replaced.update(replace_strongest(inquiry.classifier, part, chosen, fills, found.margins))
        for row in seen:
            place = box_of(*(masks[row] for masks in regions))
            found.exemplars.append(_show(inquiry, part, maps, found, row, inserted, place))
        parts.append(found)
    return join(parts) if parts else ErrorMaps()


def _explain(
    inquiry: Inquiry, part: Cases, regions: list[list[Bools | None]], share: float
) -> tuple[ErrorMaps, dict[MapName, _Maps]]:
    """Compare and measure the maps of errors, so few that these fit into memory."""
    output = inquiry.classifier.output
    question = inquiry.ask(part.images, part.predicted, part.ids, foils=part.true)
    at, scores = np.arange(len(part)), question.first.scores
    margins = measure_margins(scores[at, part.predicted], scores[at, part.true], output)
    found, maps = ErrorMaps(margins), dict[MapName, _Maps]()
    for name, attribution in inquiry.explain(question).items():
        assert attribution.contrast is not None
        maps[name] = own = _Maps(attribution.maps, attribution.contrast.foil, attribution.contrast.margin)
        if output != "binary":  # of one logit the two maps are opposites
            randoms = _randoms(inquiry, part, f"strongest of both maps {name}")
            pairs = zip(own.predicted, own.true, randoms, strict=True)
            found.likeness[name] = np.array([compare_maps(one, other, share, random) for one, other, random in pairs])
        for number, masks in enumerate(regions):
            found.in_region[number, name] = _measure_in(masks, own)
    return found, maps


def _choose(inquiry: Inquiry, part: Cases, maps: dict[MapName, _Maps], share: float) -> dict[Choice, Bools]:
    """The pixels (n, h, w) that are removed: the strongest of every map, their placebo, and those of references."""
    height, width, _ = inquiry.classifier.image_shape
    count = max(1, round(share * height * width))

    def strongest(values: Numbers) -> Bools:
        pairs = zip(values, _randoms(inquiry, part, "pixels"), strict=True)
        return np.stack([strongest_pixels(each, count, random) for each, random in pairs])

    edges = np.stack([edge_map(image) for image in part.images])
    chosen = {Choice(RANDOM): strongest(np.zeros(edges.shape)), Choice(EDGES): strongest(edges)}
    for name, own in maps.items():
        chosen[Choice(name)] = masks = strongest(speaking_for(own.margin))
        moved = zip(masks, _randoms(inquiry, part, "elsewhere"), strict=True)
        chosen[Choice(name, "elsewhere")] = np.stack([move_elsewhere(mask, random) for mask, random in moved])
        chosen[Choice(name, "predicted class alone")] = strongest(speaking_for(own.predicted))
    return chosen


def _show(
    inquiry: Inquiry,
    part: Cases,
    maps: dict[MapName, _Maps],
    found: ErrorMaps,
    row: int,
    inserted: str | None,
    place: Box | None,
) -> ContrastExemplar:
    """Picture and maps of one error, and whether these mend it; of a method's variants the first is shown."""
    keep, classes = inquiry.keep, inquiry.classifier.classes
    key = f"contrast {part.ids[row]}" if inserted is None else f"contrast {part.ids[row]} with {inserted}"
    kept: dict[str, ContrastMaps] = {}
    for name, own in maps.items():
        if name.method not in kept:
            keys = {what: keep(f"{key} {name} {what}", values[row]) for what, values in own._asdict().items()}
            tried = [found.replaced.get(choice) for choice in (Choice(name), Choice(name, "elsewhere"))]
            mended, elsewhere = (None if replaced is None else bool(replaced.mended[row]) for replaced in tried)
            kept[name.method] = ContrastMaps(name, **keys, mended=mended, mended_elsewhere=elsewhere)
    label, predicted = classes[part.true[row]], classes[part.predicted[row]]
    picture = keep(key, to_pixels(part.images[row]))
    margin = float(found.margins[row])
    return ContrastExemplar(part.ids[row], label, predicted, margin, picture, inserted, list(kept.values()), place)


def _regions(inquiry: Inquiry, number: int, part: Cases, carries: Bools) -> list[Bools | None]:
    """Where the artefact is in each error; None where it is not, or in no region of its own."""
    artefact, places = inquiry.artefacts[number], zip(part.positions, part.ids, part.images, strict=True)
    return [local(artefact.region_at(*place)) if has else None for place, has in zip(places, carries, strict=True)]


def _measure_in(masks: list[Bools | None], maps: _Maps) -> InRegion:
    heats = saliency(maps.margin), saliency(maps.predicted), speaking_for(maps.margin)
    margin, predicted, responsible = (list(zip(heat, masks, strict=True)) for heat in heats)
    return InRegion(
        margin=np.array([mass_in(*one) for one in margin]),
        predicted=np.array([mass_in(*one) for one in predicted]),
        lift=np.array([lift(*one) for one in responsible]),
        area=np.array([np.nan if mask is None else mask.mean() for mask in masks]),
    )


def _randoms(inquiry: Inquiry, part: Cases, purpose: str) -> list[np.random.Generator]:
    return keyed_generators(inquiry.seed, f"contrastive {purpose}", part.ids)
