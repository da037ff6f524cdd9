"""How well the order that a map puts pixels in tells what moves the score, beside random orders and an edge filter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from auditor.explain.attribution.likeness import rank_correlations
from auditor.explain.attribution.methods import make_baseline
from auditor.explain.attribution.regions import edge_map
from auditor.explain.inquiry import Inquiry
from auditor.explain.trust.randomisation import region_lifts
from auditor.explain.trust.record import ReadingRecord
from auditor.explain.trust.sample import Sample
from auditor.explain.trust.sanity import FlipCurves, Reading, cell_side, flip_pixels, gains, read_map
from auditor.measure.arrays import Doubles, Floats
from auditor.measure.intervals import mean_interval
from auditor.measure.measurement import Measurement
from auditor.measure.seeds import keyed_generators

Fill = Literal["mean", "blur"]

_FILLS: tuple[Fill, ...] = ("mean", "blur")
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
    flip_pixels: FlipCurves
    """Mean of the fills."""


class PixelFlipping:
    """A sample's images, and how deletion and insertion go on them in random order and in that of an edge filter."""

    def __init__(self, inquiry: Inquiry, sample: Sample) -> None:
        self._inquiry = inquiry
        self._sample = sample
        self.side = cell_side(*inquiry.classifier.image_shape[:2])
        self._fills = {name: make_baseline(name, sample.images, inquiry.mean_image) for name in _FILLS}
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
        scores = self._compare(one, others), self._compare(self._edge, self._random)
        maps = {"random order": self._noise[0], "edge filter": self._edges}
        return [
            _record(name, score, heat, None, self._sample, self._inquiry.level)
            for (name, heat), score in zip(maps.items(), scores, strict=True)
        ]

    def _compare(self, curves: dict[Fill, FlipCurves], random: Sequence[dict[Fill, FlipCurves]]) -> Score:
        found, over_edges = [], []
        for fill, own in curves.items():
            count = len(own.deletion)
            found.append(gains(own, [other[fill].first(count) for other in random]))
            over_edges.append(gains(own, [self._edge[fill].first(count)])["together"])
        return Score(
            {kind: np.mean([one[kind] for one in found], axis=0) for kind in found[0]},
            np.mean(over_edges, axis=0),
            {fill: one["together"] for fill, one in zip(curves, found, strict=True)},
            FlipCurves(
                np.mean([own.deletion for own in curves.values()], axis=0),
                np.mean([own.insertion for own in curves.values()], axis=0),
            ),
        )

    def _flip(self, order: Floats) -> dict[Fill, FlipCurves]:
        count, sample = len(order), self._sample.first(len(order))
        randoms = keyed_generators(self._inquiry.seed, "ties", sample.ids)
        classifier = self._inquiry.classifier
        return {
            name: flip_pixels(
                classifier, sample.images, sample.targets, order, fill[:count], side=self.side, randoms=randoms
            )
            for name, fill in self._fills.items()
        }

    def _draw_maps(self, number: int) -> Floats:
        shape = self._sample.images.shape[1:3]
        randoms = keyed_generators(self._inquiry.seed, f"random order {number}", self._sample.ids)
        return np.stack([random.random(shape, dtype=np.float32) for random in randoms])


def record_readings(maps: Floats, scores: dict[Reading, Score], sample: Sample, level: float) -> list[ReadingRecord]:
    """What is kept of each way to read maps (n, h, w, c), beside the absolute one."""
    absolute = read_map(maps, "absolute"), scores["absolute"]
    return [
        _record(reading, score, read_map(maps, reading), absolute, sample, level) for reading, score in scores.items()
    ]


def _record(
    name: str, score: Score, heat: Floats, absolute: tuple[Floats, Score] | None, sample: Sample, level: float
) -> ReadingRecord:
    groups = sample.groups

    def measure(values: Doubles) -> Measurement:
        return mean_interval(values, groups, level)

    likeness = over_absolute = None
    if absolute is not None:
        likeness = mean_interval(rank_correlations(absolute[0], heat), groups, level, unit="correlation")
        if name != "absolute":
            over_absolute = measure(score.gains["together"] - absolute[1].gains["together"])
    lifts = region_lifts(heat, sample) if (heat >= 0).all() else np.full(len(heat), np.nan)
    return ReadingRecord(
        reading=name,
        gains={kind: measure(values) for kind, values in score.gains.items()},
        over_absolute=over_absolute,
        over_edges=measure(score.over_edges),
        fills={fill: measure(values) for fill, values in score.by_fill.items()},
        likeness=likeness,
        lift=mean_interval(lifts, groups, level, unit="ratio"),
        deletion=[measure(column) for column in score.flip_pixels.deletion.T],
        insertion=[measure(column) for column in score.flip_pixels.insertion.T],
    )


def readings_of(method: str, maps: Floats) -> list[Reading]:
    """The ways in which a method's maps (n, h, w, c) are read: unsigned ones only in one."""
    if not (maps.sum(axis=-1) < 0).any():
        return ["absolute"]
    return ["absolute", "signed", *(("positive", "smoothed") if method in _READ_IN_EVERY_WAY else ())]


_READ_IN_EVERY_WAY = ("gradient", "smoothgrad")
