"""How well the order that a map puts pixels in tells what moves the score, beside random orders and an edge filter."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from auditor.explain.attribution.likeness import rank_correlations
from auditor.explain.attribution.methods import make_baseline
from auditor.explain.attribution.regions import edge_map
from auditor.explain.inquiry import Inquiry
from auditor.explain.trust.randomisation import region_lifts
from auditor.explain.trust.record import ReadingRecord
from auditor.explain.trust.sample import Sample
from auditor.explain.trust.sanity import FlipCurves, Reading, cell_side, flip_pixels, gains
from auditor.measure.arrays import Doubles, Floats
from auditor.measure.intervals import mean_interval
from auditor.measure.measurement import Measurement
from auditor.measure.seeds import keyed_generators

_FILLS: tuple[Literal["mean", "blur"], ...] = ("mean", "blur")
_RANDOM_ORDERS = 2


@dataclass(frozen=True)
class Score:
    """What deletion and insertion in one order gave, image by image."""

    gains: dict[str, Doubles]
    """`deletion`, `insertion` and `together` -> (n,): over random orders, mean of the fills."""
    over_edges: Doubles
    """(n,): together, over the order of an edge filter."""
    by_fill: dict[str, Doubles]
    """Fill -> (n,): together, over random orders."""
    curves: FlipCurves
    """Mean of the fills."""


class PixelFlipping:
    """A sample's images, and how deletion and insertion go on them in random order and in that of an edge filter."""

    def __init__(self, inquiry: Inquiry, sample: Sample) -> None:
        self._inquiry = inquiry
        self._sample = sample
        self.side = cell_side(*inquiry.classifier.image_shape[:2])
        self._fills = {name: make_baseline(name, sample.images, inquiry.mean_image) for name in _FILLS}
        self._ends: dict[str, Doubles] = {}
        """Fill -> (n, 2): log-odds of the whole and of the filled images, which are the same in every order."""
        self._noise = [self._draw_maps(number) for number in range(_RANDOM_ORDERS)]
        self._random = [self._flip(maps) for maps in self._noise]
        self._edges = np.stack([edge_map(image) for image in sample.images])
        self._edge = self._flip(self._edges)

    def score(self, order: Floats) -> Score:
        """How an order of the pixels, by maps (k, h, w) of the first k images, compares."""
        return self._compare(self._flip(order), self._random)

    def record_controls(self) -> list[ReadingRecord]:
        """The controls themselves: one random order against another, and the edge filter."""
        one, *others = self._random
        return [
            self.record("random order", self._noise[0], self._compare(one, others)),
            self.record("edge filter", self._edges, self._compare(self._edge, self._random)),
        ]

    def record(
        self, name: str, heat: Floats, score: Score, absolute: tuple[Floats, Score] | None = None
    ) -> ReadingRecord:
        """What is kept of one reading (k, h, w) of maps, beside the absolute one where it is another."""
        sample, level = self._sample.first(len(heat)), self._inquiry.level

        def mean(values: Doubles, unit: str = "log-odds") -> Measurement:
            return mean_interval(values, sample.groups, level, unit=unit)

        likeness = over_absolute = None
        if absolute is not None:
            likeness = mean(rank_correlations(absolute[0], heat), "correlation")
            if name != "absolute":
                over_absolute = mean(score.gains["together"] - absolute[1].gains["together"])
        lifts = region_lifts(heat, sample) if (heat >= 0).all() else np.full(len(heat), np.nan)
        return ReadingRecord(
            reading=name,
            gains={kind: mean(values) for kind, values in score.gains.items()},
            over_absolute=over_absolute,
            over_edges=mean(score.over_edges),
            fills={fill: mean(values) for fill, values in score.by_fill.items()},
            likeness=likeness,
            lift=mean(lifts, "ratio"),
            deletion=[mean(column) for column in score.curves.deletion.T],
            insertion=[mean(column) for column in score.curves.insertion.T],
        )

    def _compare(self, own: FlipCurves, random: list[FlipCurves]) -> Score:
        """A score of curves (fills, k, fractions)."""
        count = own.deletion.shape[1]
        found = gains(own, [each.first(count) for each in random])
        over_edges = gains(own, [self._edge.first(count)])["together"]
        return Score(
            {kind: values.mean(axis=0) for kind, values in found.items()},
            over_edges.mean(axis=0),
            dict(zip(self._fills, found["together"], strict=True)),
            FlipCurves(own.deletion.mean(axis=0), own.insertion.mean(axis=0)),
        )

    def _flip(self, order: Floats) -> FlipCurves:
        """Curves (fills, k, fractions)."""
        sample, classifier = self._sample.first(len(order)), self._inquiry.classifier
        randoms = keyed_generators(self._inquiry.seed, "ties", sample.ids)
        flip = partial(flip_pixels, classifier, sample.images, sample.targets, order, side=self.side, randoms=randoms)
        curves = []
        for name, fill in self._fills.items():
            known = self._ends.get(name)
            curves.append(flip(fill[: len(order)], ends=None if known is None else known[: len(order)]))
            if known is None:  # the first order is one of all images
                self._ends[name] = curves[-1].deletion[:, [0, -1]]
        return FlipCurves(np.stack([one.deletion for one in curves]), np.stack([one.insertion for one in curves]))

    def _draw_maps(self, number: int) -> Floats:
        shape = self._sample.images.shape[1:3]
        randoms = keyed_generators(self._inquiry.seed, f"random order {number}", self._sample.ids)
        return np.stack([random.random(shape, dtype=np.float32) for random in randoms])


def readings_of(method: str, maps: Floats) -> list[Reading]:
    """The ways in which a method's maps (n, h, w, c) are read: unsigned ones only in one."""
    if not (maps.sum(axis=-1) < 0).any():
        return ["absolute"]
    return ["absolute", "signed", *(("positive", "smoothed") if method in _READ_IN_EVERY_WAY else ())]


_READ_IN_EVERY_WAY = ("gradient", "smoothgrad")
