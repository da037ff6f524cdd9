"""The least change of an image that makes a model say something else.

The change d of an image x minimises `l1` |d|_1 + `l2` |d|_2^2 / 2 + `variation` TV(d), or its largest entry, subject to
x + d in [0, 1] and to the margin of what is wanted being at least `confidence`. Images in and out are float32
(n, height, width, channels) in [0, 1]; no image depends on its batch-mates, and nothing is random.

References: Beck and Teboulle, "A fast iterative shrinkage-thresholding algorithm" (2009); Chen et al., "EAD:
elastic-net attacks to deep neural networks" (2018); Rony et al., "Decoupling direction and norm" (2019) for following
the trade-off while descending; Croce and Hein, "Minimally distorted adversarial examples" (2020) for the polish.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from auditor.explain.texture import variation
from auditor.measure.arrays import Bools, Doubles, Floats, Ints, join, take
from auditor.subject.model.classifier import Explainable, Output

Norm = Literal["elastic net", "l-infinity"]

ANY = -1
"""As a foil: whichever other class leads."""


@dataclass(frozen=True)
class Aim:
    """What each of n images shall be made to say."""

    classes: Ints
    """(n,): the class that is wanted, or to be left."""
    away: Bools
    """(n,): whether the class is to be left."""
    foils: Ints
    """(n,): the class that it shall be ahead of, or fall behind; `ANY` for whichever leads."""


def towards(classes: Ints) -> Aim:
    """Make each image say its class, (n,)."""
    return Aim(classes, np.zeros(len(classes), bool), np.full(len(classes), ANY))


def away_from(classes: Ints) -> Aim:
    """Make each image say anything but its class, (n,)."""
    return replace(towards(classes), away=np.ones(len(classes), bool))


@dataclass(frozen=True)
class Cost:
    """What a change is charged for."""

    norm: Norm = "elastic net"
    l1: float = 0.05
    """Price of the sum of absolute changes: the larger, the fewer pixels change."""
    l2: float = 1.0
    """Price of half the sum of squared changes."""
    variation: float = 0.0
    """Price of the total variation of the change: the larger, the smoother it is."""

    def of(self, changes: Floats) -> Doubles:
        """(n,): the cost of changes (n, h, w, c)."""
        flat = changes.reshape(len(changes), -1).astype(np.float64)
        if self.norm == "l-infinity":
            return np.abs(flat).max(axis=1, initial=0)
        total = self.l1 * np.abs(flat).sum(axis=1) + self.l2 / 2 * np.square(flat).sum(axis=1)
        if not self.variation:
            return total
        lengths = variation(changes, _SMOOTH)[0] - np.float32(_SMOOTH)
        return total + self.variation * lengths.reshape(len(changes), -1).sum(axis=1, dtype=np.float64)


@dataclass(frozen=True)
class Counterfactuals:
    """What was found for n images."""

    images: Floats
    """(n, h, w, c): the least changed image that reaches the margin; where none does, the one that came nearest."""
    found: Bools
    """(n,)."""
    margins: Doubles
    """(n,): margin of the image that is given, in the units of the scores."""
    passes: int
    """Forward and backward passes of an image, summed over images."""


def find_counterfactuals(
    classifier: Explainable,
    images: Floats,
    aim: Aim,
    *,
    cost: Cost | None = None,
    confidence: float = 0.1,
    steps: int = 30,
    within: Bools | None = None,
) -> Counterfactuals:
    """The least change of each image that reaches its aim.

    Proximal gradient steps with momentum (FISTA) on cost + trade-off * hinge(`confidence` - margin). Each image has its
    own trade-off: it grows until the hinge first closes (bracketing), then follows the margin up and down in ever
    smaller steps, so that the search for it and the descent are one. The best feasible iterate is kept and polished.

    Parameters
    ----------
    confidence
        The margin to be reached, see `margins`.
    steps
        Steps of an image after it first reached the margin; it has as many to get there.
    within
        (n, h, w): where an image may change; everywhere by default.
    """
    price = cost or Cost()
    fitting = _HELD // images[0].size if len(images) else 1
    size = fitting // 8 * 8 or max(1, fitting)  # whole batches
    parts = []
    for start in range(0, len(images), size):
        rows = np.arange(start, min(start + size, len(images)))
        allowed = np.ones(images[rows].shape[:3], bool) if within is None else within[rows]
        task = _Task(classifier, images[rows], take(aim, rows), price, confidence, allowed)
        parts.append(_polish(task, *_descend(task, steps)))
    if not parts:
        return Counterfactuals(images, np.zeros(0, bool), np.zeros(0), 0)
    return replace(join(parts), passes=sum(part.passes for part in parts))


def margins(scores: Floats, aim: Aim, output: Output) -> tuple[Doubles, Floats]:
    """How far each image (n,) is beyond its aim, and the derivative of that by the scores (n, classes).

    Where classes exclude each other: the class's score minus that of the foil; else the class's logit. The negative
    where the class is to be left.
    """
    rows = np.arange(len(scores))
    slopes = np.zeros(scores.shape, np.float32)
    slopes[rows, aim.classes] = 1
    values = scores[rows, aim.classes].astype(np.float64)
    if output == "softmax":
        others = scores.copy()
        others[rows, aim.classes] = -np.inf
        foils = np.where(aim.foils == ANY, others.argmax(axis=1), aim.foils)
        slopes[rows, foils] = -1
        values -= scores[rows, foils]
    signs = np.where(aim.away, -1, 1)
    return values * signs, slopes * signs[:, None].astype(np.float32)


@dataclass(frozen=True)
class _Task:
    """Images with their aims, and where they may change."""

    classifier: Explainable
    images: Floats
    aim: Aim
    cost: Cost
    confidence: float
    within: Bools

    def about(self, rows: Ints) -> _Task:
        return replace(self, images=self.images[rows], aim=take(self.aim, rows), within=self.within[rows])

    def boxed(self, changes: Floats) -> Floats:
        """Changes cut back to where images may change, and to what keeps them in [0, 1]."""
        kept = np.clip(self.images + changes, 0, 1) - self.images
        return np.where(self.within[..., None], kept, np.float32(0))

    def changed(self, changes: Floats) -> Floats:
        return np.clip(self.images + changes, 0, 1)  # a sum may miss the box by its last bit

    def margins(self, changes: Floats) -> Doubles:
        return margins(self.classifier.scores(self.changed(changes)), self.aim, self.classifier.output)[0]

    def slopes(self, changes: Floats) -> tuple[Doubles, Floats]:
        """Margins (n,), and their derivative by the pixels (n, h, w, c); zero where an image may not change."""
        here = self.classifier.linearise(self.changed(changes))
        values, by_scores = margins(here.scores, self.aim, self.classifier.output)
        return values, np.where(self.within[..., None], here.pull_back(by_scores, {}), np.float32(0))


@dataclass
class _Kept:
    """The best change of each image so far: the cheapest that reaches the margin, else that with the best margin."""

    changes: Floats
    costs: Doubles
    """Infinite where none reached the margin."""
    margins: Doubles

    def offer(self, task: _Task, rows: Ints, changes: Floats, margins: Doubles) -> None:
        """Keep changes of some images where they are better; the task is that of these images alone."""
        reached, costs = margins >= task.confidence, task.cost.of(changes)
        is_nearest = np.isinf(self.costs[rows]) & (margins > self.margins[rows])
        is_better = np.where(reached, costs < self.costs[rows], is_nearest)
        better = rows[is_better]
        self.changes[better] = changes[is_better]
        self.margins[better] = margins[is_better]
        self.costs[better] = np.where(reached, costs, np.inf)[is_better]


def _descend(task: _Task, steps: int) -> tuple[_Kept, int]:
    """The best iterate of each image, and how many passes of an image that took."""
    count = len(task.images)
    kept = _Kept(np.zeros_like(task.images), np.full(count, np.inf), np.full(count, -np.inf))
    at, change = np.zeros_like(task.images), np.zeros_like(task.images)
    trade, reach = np.zeros(count), np.zeros(count)
    since = np.full(count, -1)  # steps since the margin was first reached
    active = np.arange(count)
    passes = 0
    for step in range(2 * steps + 1):
        part, here = task.about(active), at[active]
        values, slopes = part.slopes(here)
        passes += len(active)
        reached = values >= task.confidence
        kept.offer(part, active, here, values)
        since[active] += (since[active] >= 0) | reached
        if step == 0:
            needed = task.confidence - values
            trade = _multipliers(part, slopes, needed)
            if task.cost.norm == "l-infinity":
                trade = np.clip(trade, 1e-3, 1)  # a radius
            reach = _TRUST * _lengths(_family(part, slopes, trade))
            is_stuck = _lengths(slopes) == 0
            since[reached | is_stuck] = steps
        progress = np.clip(since[active] / max(steps - 1, 1), 0, 1)
        trade[active] *= np.exp(np.where(reached, -1, 1) * _between(_TURNS, progress))
        move = part.boxed(_step(task.cost, here, slopes, trade[active], _between(_STEPS, progress))) - here
        # far from an image its slopes say nothing, so no move is longer than a share of what a linear model would need
        shorter = np.minimum(1, reach[active] / np.maximum(_lengths(move), 1e-12))
        moved = here + move * _per_image(shorter)
        at[active] = part.boxed(moved + np.float32(_MOMENTUM) * (moved - change[active]))
        change[active] = moved
        active = active[(since[active] < steps) & ~((since[active] < 0) & (step >= steps))]
        if not len(active):
            break
    return kept, passes


def _step(cost: Cost, at: Floats, slopes: Floats, trade: Doubles, length: Doubles) -> Floats:
    """One proximal gradient step on the cost minus the trade-off times the margin; the box is not yet kept."""
    long, pull = _per_image(length), _per_image(trade)
    if cost.norm == "l-infinity":  # the trade-off is then the radius of the ball that the change is projected on
        return np.clip(at + long * pull * np.sign(slopes), -pull, pull)
    uphill = cost.l2 * at - pull * slopes
    if cost.variation:
        uphill = uphill + np.float32(cost.variation) * variation(at, _SMOOTH)[1]
    return _shrink(at - long * uphill, long * np.float32(cost.l1))


def _polish(task: _Task, kept: _Kept, passes: int) -> Counterfactuals:
    """Changes made as small as they can be: solved anew with the model taken as linear, and shrunk to the margin."""
    rows = np.flatnonzero(np.isfinite(kept.costs) & (kept.costs > 0))
    for _ in range(_ROUNDS if len(rows) else 0):
        part, here = task.about(rows), kept.changes[rows]
        values, slopes = part.slopes(here)
        passes += 2 * len(rows)
        along = (slopes * here).reshape(len(rows), -1).sum(axis=1, dtype=np.float64)
        needed = task.confidence + _SLACK - values + along
        solved = _family(part, slopes, _multipliers(part, slopes, needed))  # the cheapest, were the margin linear
        kept.offer(part, rows, solved, part.margins(solved))
    if len(rows):
        _shorten(task.about(rows), rows, kept)
    images = task.changed(kept.changes)
    return Counterfactuals(images, np.isfinite(kept.costs), kept.margins, passes + _HALVINGS * len(rows))


def _shorten(part: _Task, rows: Ints, kept: _Kept) -> None:
    """Shrink changes along the way from the image to them, until they just reach the margin."""
    whole = kept.changes[rows]
    low, high = np.zeros(len(rows)), np.ones(len(rows))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        changes = whole * _per_image(middle)
        values = part.margins(changes)
        kept.offer(part, rows, changes, values)
        reached = values >= part.confidence
        low, high = np.where(reached, low, middle), np.where(reached, middle, high)


def _multipliers(task: _Task, slopes: Floats, needed: Doubles) -> Doubles:
    """Multipliers (n,) with which the cheapest changes rise just as far as needed, or nearly as far as they can."""

    def rise(multipliers: Doubles) -> Doubles:
        return (slopes * _family(task, slopes, multipliers)).reshape(len(slopes), -1).sum(axis=1, dtype=np.float64)

    most = rise(np.full(len(slopes), np.inf))
    wanted = np.minimum(needed, (1 - 1e-6) * most)
    steepest = np.abs(slopes).reshape(len(slopes), -1).max(axis=1)
    low = np.zeros(len(slopes))
    high = (task.cost.l1 + 1e-3) / np.maximum(steepest, 1e-12).astype(np.float64)
    for _ in range(_DOUBLINGS):
        short = rise(high) < wanted
        if not short.any():
            break
        low, high = np.where(short, high, low), np.where(short, 2 * high, high)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        short = rise(middle) < wanted
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    return high


def _family(task: _Task, slopes: Floats, multipliers: Doubles) -> Floats:
    """The cheapest changes, in the box, for each multiplier of a linear margin; infinite: as far as the box allows."""
    cost = task.cost
    pull = _per_image(multipliers)
    if cost.norm == "l-infinity":
        return task.boxed(np.minimum(pull, 1) * np.sign(slopes))
    flat = max(cost.l2, _LEAST_CURVATURE * cost.l1)
    with np.errstate(invalid="ignore", over="ignore"):
        pulled = np.where(slopes == 0, 0, pull * slopes)
    return task.boxed(np.clip(_shrink(pulled, np.float32(cost.l1)) / np.float32(flat), -1, 1))


def _per_image(values: Doubles) -> Floats:
    """Values (n,) that broadcast over images (n, h, w, c)."""
    return values.astype(np.float32)[:, None, None, None]


def _lengths(values: Floats) -> Doubles:
    """Euclidean length of each image's values, (n,)."""
    return np.sqrt(np.square(values.reshape(len(values), -1).astype(np.float64)).sum(axis=1))


def _shrink(values: Floats, threshold: Floats | np.float32) -> Floats:
    return np.sign(values) * np.maximum(np.abs(values) - threshold, 0)


def _between(ends: tuple[float, float], progress: Doubles) -> Doubles:
    """From the first to the second, in proportion."""
    return ends[0] * (ends[1] / ends[0]) ** progress


_TURNS = (0.2, 0.02)
"""How far the logarithm of the trade-off moves in a step, at first and at last."""
_STEPS = (0.3, 0.02)
"""Step lengths, at first and at last."""
_TRUST = 0.25
"""The longest move, as a share of the change that would do if the model were linear."""
_MOMENTUM = 0.5
_ROUNDS = 2
_HALVINGS = 10
_DOUBLINGS, _BISECTIONS = 60, 26
_SLACK = 1e-4
"""By how much a solution of the linear model may miss the margin, to be on its right side in spite of rounding."""
_LEAST_CURVATURE = 1e-5
"""A cost without `l2` gets this much, or several pixels of one slope would have no least change."""
_SMOOTH = 0.02
_HELD = 2**22
"""Numbers of images that are optimised at once."""
