"""The maps of errors: compared, measured in regions, shown, and their strongest pixels removed."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from auditor.explain.attribution.methods import saliency
from auditor.explain.attribution.record import MapName
from auditor.explain.attribution.regions import LARGEST_SHARE, edge_map, lift, mass_in
from auditor.explain.errors.maps import (
    Choice,
    Likeness,
    compare_maps,
    move_elsewhere,
    speaking_for,
    strongest_pixels,
)
from auditor.explain.errors.mending import Cases, measure_margins, replace_strongest
from auditor.explain.errors.record import ContrastExemplar, ContrastMaps
from auditor.explain.inquiry import Inquiry
from auditor.measure.arrays import Bools, Floats, Numbers, take
from auditor.measure.seeds import keyed_generators, seeded_order
from auditor.subject.data.pictures import to_pixels

Regions = list[list[Bools | None]]
"""Artefact by artefact, error by error, the region; None where there is none."""

RANDOM, EDGES = MapName("random pixels"), MapName("edges")
"""The references that know nothing of the model."""

_CHUNK = 16
"""Errors whose maps are held at once."""


@dataclass
class ErrorMaps:
    """What was found of each error in turn."""

    margins: list[float] = field(default_factory=list)
    """Of the predicted class over the true one, in log-odds."""
    likeness: dict[MapName, list[Likeness]] = field(default_factory=lambda: defaultdict(list))
    """None where the two classes share one logit."""
    shares: dict[tuple[int, MapName], list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))
    """By artefact and map: shares of the margin's and of the predicted class's map in the region, NaN without it."""
    lifts: dict[int, list[list[float]]] = field(default_factory=lambda: defaultdict(list))
    """By artefact, of each error by every method: the region's share of what speaks for the error, over its area."""
    areas: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    """By artefact: share of the frame, NaN without region."""
    mended: dict[Choice, list[Bools]] = field(default_factory=lambda: defaultdict(list))
    """By the choice of pixels that were removed: (n, fills), chunk by chunk."""
    falls: dict[Choice, list[Floats]] = field(default_factory=lambda: defaultdict(list))
    """Of the margin, likewise."""
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
    found = ErrorMaps()
    order = seeded_order(inquiry.seed, "contrastive exemplars", errors.ids)
    is_shown = np.isin(np.arange(len(errors)), order[:shown])
    for start in range(0, len(errors), _CHUNK):
        rows = np.arange(start, min(start + _CHUNK, len(errors)))
        part = take(errors, rows)
        regions = [_regions(inquiry, number, part, flags[rows]) for number, flags in enumerate(carries)]
        _explain(inquiry, found, part, regions, share, fills, is_shown[rows], inserted)
    return found


def _explain(
    inquiry: Inquiry,
    found: ErrorMaps,
    part: Cases,
    regions: Regions,
    share: float,
    fills: tuple[str, ...],
    shown: Bools,
    inserted: str | None,
) -> None:
    classifier = inquiry.classifier
    question = inquiry.ask(part.images, part.predicted, part.ids, foils=part.true)
    at, scores = np.arange(len(part)), question.first.scores
    margins = measure_margins(scores[at, part.predicted], scores[at, part.true], classifier.output)
    found.margins += margins.tolist()
    for number, masks in enumerate(regions):
        found.areas[number] += [np.nan if mask is None else float(mask.mean()) for mask in masks]
        found.lifts[number] += [[] for _ in masks]
    count = max(1, round(share * classifier.image_shape[0] * classifier.image_shape[1]))
    chosen: dict[Choice, Bools] = {}
    if fills:
        chosen[Choice(RANDOM)] = _strongest(inquiry, part, np.zeros(part.images.shape[:3]), count)
        chosen[Choice(EDGES)] = _strongest(inquiry, part, np.stack([edge_map(image) for image in part.images]), count)
    keep = partial(inquiry.arrays.keep, of_data=True)
    kept: dict[int, dict[str, ContrastMaps]] = {int(row): {} for row in np.flatnonzero(shown)}
    for name, attribution in inquiry.explain(question).items():
        assert attribution.contrast is not None
        foil, margin = attribution.contrast.foil, attribution.contrast.margin
        if classifier.output != "binary":  # of one logit the two maps are opposites
            randoms = _randoms(inquiry, part, f"strongest of both maps {name}")
            pairs = zip(attribution.maps, foil, randoms, strict=True)
            found.likeness[name] += [compare_maps(first, second, share, random) for first, second, random in pairs]
        _measure_in_regions(found, name, attribution.maps, margin, regions)
        if fills:
            strongest = _strongest(inquiry, part, speaking_for(margin), count)
            randoms = _randoms(inquiry, part, "elsewhere")
            moved = np.stack([move_elsewhere(*one) for one in zip(strongest, randoms, strict=True)])
            alone = _strongest(inquiry, part, speaking_for(attribution.maps), count)
            chosen |= {Choice(name): strongest, Choice(name, "elsewhere"): moved}
            chosen |= {Choice(name, "predicted class alone"): alone}
        for row in [row for row, maps in kept.items() if name.method not in maps]:  # of variants the first is shown
            key = f"{_key(part.ids[row], inserted)} {name}"
            maps = {"predicted": attribution.maps[row], "true": foil[row], "margin": margin[row]}
            kept[row][name.method] = ContrastMaps(
                name, *(keep(f"{key} {what}", values) for what, values in maps.items())
            )
    for row, by_method in kept.items():
        key = keep(_key(part.ids[row], inserted), to_pixels(part.images[row]))
        label, predicted = classifier.classes[part.true[row]], classifier.classes[part.predicted[row]]
        shown_maps = list(by_method.values())
        found.exemplars.append(
            ContrastExemplar(part.ids[row], label, predicted, float(margins[row]), key, inserted, shown_maps)
        )
    if fills:
        for choice, (mended, falls) in replace_strongest(classifier, part, chosen, fills, margins).items():
            found.mended[choice].append(mended)
            found.falls[choice].append(falls)


def _regions(inquiry: Inquiry, number: int, part: Cases, carries: Bools) -> list[Bools | None]:
    """Where the artefact is in each error; None where it is not, or nearly everywhere, and so in no region."""
    artefact, frame = inquiry.artefacts[number], inquiry.classifier.image_shape
    masks = [artefact.region(name, frame) if has else None for name, has in zip(part.ids, carries, strict=True)]
    return [mask if mask is not None and 0 < mask.mean() <= LARGEST_SHARE else None for mask in masks]


def _measure_in_regions(found: ErrorMaps, name: MapName, maps: Floats, margin: Floats, regions: Regions) -> None:
    responsible, strengths = speaking_for(margin), [saliency(one) for one in (margin, maps)]
    for number, masks in enumerate(regions):
        for row, mask in enumerate(masks):
            if mask is None:
                found.shares[number, name].append((np.nan, np.nan))
                continue
            found.shares[number, name].append((mass_in(strengths[0][row], mask), mass_in(strengths[1][row], mask)))
            found.lifts[number][row - len(masks)].append(lift(responsible[row], mask))


def _strongest(inquiry: Inquiry, part: Cases, values: Numbers, count: int) -> Bools:
    """The strongest pixels of values (n, h, w) as masks; ties in random order."""
    randoms = _randoms(inquiry, part, "pixels")
    return np.stack([strongest_pixels(each, count, random) for each, random in zip(values, randoms, strict=True)])


def _randoms(inquiry: Inquiry, part: Cases, purpose: str) -> list[np.random.Generator]:
    return keyed_generators(inquiry.seed, f"contrastive {purpose}", part.ids)


def _key(image_id: str, inserted: str | None) -> str:
    return f"contrast {image_id}" if inserted is None else f"contrast {image_id} with {inserted}"
