"""What a model asks for, told by the model alone: the smallest change that turns images of others into a class.

The change is the same in every image: a mask, and a pattern that shows through it. Both climb together, on images that
lack the class, from more than one start. It finds a mark that no image shows. But every network is turned by some
change, so how small one is says nothing: what ranks it is how much of the mask lies in one place, whether all starts
find that place, and how even the pattern is there; and what it does beyond edits of equal size decides, as always.

References: Wang et al., "Neural Cleanse: identifying and mitigating backdoor attacks in neural networks" (2019); Kingma
and Ba, "Adam: a method for stochastic optimization" (2015).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, label
from scipy.special import expit

from auditor.artefacts.overlay import Overlay
from auditor.discovery.candidate import CannotLookError, Proposal
from auditor.discovery.gradients import refuse_scores_alone
from auditor.discovery.looks import cut_out, strongest
from auditor.discovery.material import Material
from auditor.measure.arrays import Bools, Doubles, Floats, Ints
from auditor.subject.model.classifier import log_odds


@dataclass(frozen=True)
class Change:
    """What turns images of others into a class, as each start found it."""

    target: int
    masks: Doubles
    """(starts, h, w) in [0, 1]."""
    patterns: Doubles
    """(starts, h, w, c) in [0, 1]."""

    @property
    def mask(self) -> Doubles:
        """(h, w): the mean over starts."""
        return np.asarray(self.masks.mean(axis=0), np.float64)

    @property
    def pattern(self) -> Doubles:
        """(h, w, c): the mean over starts, weighed by their masks."""
        weights = self.masks[..., None] + 1e-9
        return np.asarray((weights * self.patterns).sum(axis=0) / weights.sum(axis=0), np.float64)


@dataclass(frozen=True)
class Asked:
    """A place that a change lies in."""

    change: Change
    region: Bools
    """(h, w)."""
    concentration: float
    """Share of the mask that lies in it, less what would of an even one, in [0, 1]."""
    agreement: float
    """Correlation of the masks of the starts, the least of any two, in [0, 1]."""
    smoothness: float
    """1 less the mean step between neighbours in the pattern there, in [0, 1]."""

    @property
    def likelihood(self) -> float:
        """What it is ranked by, in [0, 1]: the three together."""
        return float((self.concentration * self.agreement * self.smoothness) ** (1 / 3))


def propose_universal(material: Material, passes: int) -> Iterator[Proposal]:
    """The places where the smallest universal changes towards classes lie, the likeliest first.

    Parameters
    ----------
    passes
        About how many images the model may be differentiated at, of 64 x 64 pixels or fewer; larger ones count more.

    Raises
    ------
    CannotLookError
        The model has no derivatives, or so few passes are no search.
    """
    refuse_scores_alone(material)
    classes, steps = plan(material, passes)
    found = [place for change in climb(material, classes, steps) for place in places_of(change)]
    found.sort(key=lambda place: -place.likelihood)
    for place in found[:MOST]:
        number = place.change.target
        own, free = material.own(number), material.images[material.others(number)]
        mine, drawn = material.images[own], [drawn_in(place, share) for share in SHARES]
        strong = strongest(own, mine, drawn[0], free)
        looks = (*drawn, cut_out(material.images[list(strong)], place.region))
        yield Proposal("universal", number, looks, place.likelihood, strong, trust=place.likelihood)


def plan(material: Material, passes: int) -> tuple[list[int], int]:
    """The classes that are climbed to, and in how many steps.

    Of the classes that enough images have and lack: those first that most images are taken for wrongly, then the most
    frequent; as many as leave each a search.

    Raises
    ------
    CannotLookError
        Not even one class does, or there is none.
    """
    if not material.classes:
        raise CannotLookError("no class has images enough")
    wrongly = (material.seen.predicted & ~material.seen.has).sum(axis=0)
    classes = sorted(material.classes, key=lambda number: -int(wrongly[number]))
    cost = STARTS * EACH * material.cost
    count = min(len(classes), passes // (cost * FEWEST_STEPS))
    if not count:
        raise CannotLookError(f"{passes} passes are too few: a search takes {cost * FEWEST_STEPS} for a class")
    return classes[:count], min(STEPS, passes // (cost * count))


def tell_unasked(material: Material, passes: int) -> str:
    """How many classes are climbed to, and of how many, as a clause; empty where it is all that are looked at."""
    classes, whole = plan(material, passes)[0], len(material.classes)
    return "" if len(classes) == whole else f"{passes} passes allow a search for {len(classes)} of {whole} classes"


def climb(material: Material, classes: list[int], steps: int) -> list[Change]:
    """Masks and patterns that raise the score of each class in images of others, and the mask as small as it can be.

    All classes and starts climb in one batch, each on images of its own, drawn anew at every step. An image that is
    turned asks for less; where nearly all are, the mask has to shrink.
    """
    height, width, channels = material.images.shape[1:]
    targets = np.repeat(classes, STARTS)
    count, random = len(targets), material.generator("universal")
    pools = [material.others(int(number), POOL, "turned") for number in targets]
    width_of_blur = BLUR * min(height, width)
    points = [
        random.normal(FIRST_MASK, 0.3, (count, height, width)),
        random.normal(0, 1, (count, height, width, channels)),
    ]
    adam = [_Adam(point) for point in points]
    price, turned = np.full(count, FIRST_PRICE), np.zeros(count)
    aims = np.repeat(targets, EACH)
    for step in range(steps):
        mask, pattern = expit(_blurred(points[0], width_of_blur)), expit(points[1])
        images = material.images[np.stack([random.choice(pool, EACH) for pool in pools])].astype(np.float64)
        shown = images + mask[:, None, :, :, None] * (pattern[:, None] - images)
        slopes, sure = _ask(material, shown.reshape(-1, height, width, channels).astype(np.float32), aims)
        slopes = slopes.reshape(shown.shape)
        turned = 0.8 * turned + 0.2 * (sure.reshape(count, EACH) > 0.5).mean(axis=1)
        price = np.clip(np.where(turned > ENOUGH, price * DEARER, price / DEARER), *PRICES)
        by_mask = (slopes * (pattern[:, None] - images)).sum(axis=-1).mean(axis=1) - price[:, None, None]
        by_pattern = slopes.mean(axis=1) * mask[..., None]
        rate = RATE * min(1.0, 2 * (1 - step / steps))
        points[0] += rate * adam[0].step(_blurred(by_mask * mask * (1 - mask), width_of_blur))
        points[1] += rate * adam[1].step(by_pattern * pattern * (1 - pattern))
    masks, patterns = expit(_blurred(points[0], width_of_blur)), expit(points[1])
    parts = [slice(at, at + STARTS) for at in range(0, count, STARTS)]
    return [Change(number, masks[part], patterns[part]) for number, part in zip(classes, parts, strict=True)]


def _ask(material: Material, images: Floats, aims: Ints) -> tuple[Doubles, Doubles]:
    """The derivative (n, h, w, c) of the log-probability of each image's class, about, and the probability (n,).

    That of the class's own score, less where the image is turned already: one pass back, for any model.
    """
    found = material.classifier.differentiate(images, aims)  # type: ignore[attr-defined]
    odds = log_odds(found.scores, material.classifier.output)[np.arange(len(aims)), aims]
    sure = expit(odds.astype(np.float64))
    return found.gradient * (1 - sure)[:, None, None, None], sure


def places_of(change: Change) -> list[Asked]:
    """The connected places that hold most of a change's mask, two at the most, and none most of the frame."""
    mask, height = change.mask, min(change.mask.shape)
    smooth = gaussian_filter(mask, max(0.5, height / 56))
    parts, count = label(smooth > NEARLY * smooth.max(), np.ones((3, 3)))
    regions = [parts == part for part in range(1, count + 1)]
    regions = [region for region in regions if region.sum() >= FEWEST_PIXELS and region.mean() < MOST_OF_FRAME]
    regions.sort(key=lambda region: -float(mask[region].sum()))
    together = np.corrcoef(change.masks.reshape(len(change.masks), -1))
    agreement = float(np.clip(np.nan_to_num(together.min()), 0, 1))
    found = []
    for region in regions[:OF_A_CLASS]:
        share = float(mask[region].sum() / mask.sum())
        concentration = float(np.clip((share - region.mean()) / (1 - region.mean()), 0, 1))
        found.append(Asked(change, region, concentration, agreement, _smoothness(change.pattern, region)))
    return found


def drawn_in(place: Asked, share: float = 0.0) -> Overlay:
    """What the model asks for where the mask of a place is at least a share of its highest value there; opaque."""
    mask = np.where(place.region, place.change.mask, 0)
    region = place.region & (mask >= share * mask.max())
    return Overlay(region.astype(np.float32), np.where(region[..., None], place.change.pattern, 0).astype(np.float32))


def _smoothness(pattern: Doubles, region: Bools) -> float:
    """1 less the mean absolute step from each pixel of a region (h, w) to its neighbours in it."""
    steps = []
    for axis in (0, 1):
        inside = np.take(region, range(1, region.shape[axis]), axis) & np.take(
            region, range(region.shape[axis] - 1), axis
        )
        steps.append(np.abs(np.diff(pattern, axis=axis))[inside].ravel())
    every = np.concatenate(steps)
    return 1 - float(every.mean()) if len(every) else 0.0


def _blurred(maps: Doubles, width: float) -> Doubles:
    """Maps (n, h, w), each blurred; its own adjoint but for the edge."""
    return np.asarray(gaussian_filter(maps, (0, width, width), mode="nearest"))


class _Adam:
    """Steps of Adam towards higher values."""

    def __init__(self, point: Doubles) -> None:
        self._taken, self._mean, self._square = 0, np.zeros_like(point), np.zeros_like(point)

    def step(self, slopes: Doubles) -> Doubles:
        self._taken += 1
        self._mean += 0.1 * (slopes - self._mean)
        self._square += 0.01 * (slopes**2 - self._square)
        mean, square = self._mean / (1 - 0.9**self._taken), self._square / (1 - 0.99**self._taken)
        return np.asarray(mean / (np.sqrt(square) + 1e-10))


STARTS, EACH, POOL = 2, 8, 48
"""Starts for each class; images of others at each step; and how many these are drawn from."""

STEPS, FEWEST_STEPS = 150, 60
"""Of a climb; fewer are no search."""

RATE, BLUR = 0.15, 0.046
"""Of Adam, in logits of mask and pattern; and the width of what the mask is blurred by, as a share of the frame."""

FIRST_MASK, FIRST_PRICE, PRICES = -1.5, 0.02, (1e-4, 1.0)
"""Logit of the mask at the start; and the price of a pixel of it, in log-probability: at first, least and most."""

ENOUGH, DEARER = 0.9, 1.15
"""Share of images that must be turned for the price to rise, and by how much it rises or falls at each step."""

NEARLY, MOST_OF_FRAME, FEWEST_PIXELS = 0.4, 0.5, 4
"""Of the mask's highest value, from where on a place holds it; and what is too large, or too small, for a place."""

SHARES = (0.0, 0.4, 0.7)
"""Of the highest value of a mask in its place, from where on a pixel is drawn: the fewest that do nearly as much are
kept."""

OF_A_CLASS, MOST = 2, 6
"""Proposals of a class, and in all."""
