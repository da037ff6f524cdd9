"""Gradient ascent on images: the one loop that all optimal inputs come from.

It climbs an objective of a classifier's scores and features, less penalties, in the space of a parametrisation, and
sees each image jittered, turned and scaled anew at every step. All images climb in one batch; what is random is drawn
for each by its own name, and nothing but diversity couples an image to another.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from scipy import sparse
from scipy.ndimage import gaussian_filter

from auditor.explain.optima.parametrisation import Parametrisation
from auditor.explain.texture import SMOOTH, variation
from auditor.measure.arrays import Doubles, Floats, Ints
from auditor.measure.seeds import keyed_generator, keyed_generators
from auditor.subject.model.classifier import Explainable

_WARPS = 16
"""Turns and scalings that one ascent chooses from at every step."""

_BLUR_WIDTH = 0.5
"""Standard deviation, in pixels, of the blur."""


class Judgement(NamedTuple):
    """An objective at n images, and its derivatives by what the classifier says of them."""

    values: Doubles
    """(n,)."""
    by_scores: Floats | None
    """(n, classes)."""
    by_features: Mapping[str, Floats]
    """Layer -> (n, h', w', k)."""


@dataclass(frozen=True)
class Objective:
    """What n images are to excite, image by image."""

    judge: Callable[[Floats, Mapping[str, Floats]], Judgement]
    """Of scores (n, classes) and the features of the layers."""
    layers: tuple[str, ...] = ()
    targets: Ints | None = None
    """(n,): where the objective is the plain score of a class, which one pass gives with its derivative."""


@dataclass(frozen=True)
class Recipe:
    """How to climb; a weight, width or angle of zero switches its part off."""

    steps: int = 96
    rate: float = 0.2
    """Of Adam in parameters; it falls to nothing over the second half of the steps."""
    optimiser: Literal["adam", "plain"] = "adam"
    l2: float = 0.0
    """Weight of the mean square distance from middle grey."""
    total_variation: float = 0.0
    """Weight of the mean length of the gradient between pixels."""
    blur_every: int = 0
    """Steps between blurs of the image itself."""
    jitter: int = 0
    """Pixels that images are rolled by at most, in any direction."""
    scale: float = 0.0
    """Share by which images are scaled at most, up or down."""
    rotation: float = 0.0
    """Degrees that images are turned by at most, either way."""
    diversity: float = 0.0
    """Weight of the mean cosine between an image and the others of its ascent, each less its mean."""


@dataclass(frozen=True)
class Ascent:
    """Where n images got to."""

    images: Floats
    """(n, h, w, c) in [0, 1]."""
    values: Doubles
    """(n,): the objective there, of images as they are."""
    snapshots: dict[int, Floats] = field(default_factory=dict)
    """Step -> (n, h, w, c); step 0 is the start."""
    curve: dict[int, Doubles] = field(default_factory=dict)
    """Step -> (n,) objective of images as they are; the last step is the end."""


def ascend(
    classifier: Explainable,
    objective: Objective,
    parametrisation: Parametrisation,
    parameters: Floats,
    recipe: Recipe,
    *,
    names: list[str],
    units: Doubles | None = None,
    seed: int = 0,
    keep: Collection[int] = (),
    watch: Collection[int] = (),
) -> Ascent:
    """Climb from parameters (n, ...) of n images.

    Parameters
    ----------
    names
        Of the starts: what is random for each is keyed by these.
    units
        (n,): what one unit of the objective is worth, by which the weights of all penalties are multiplied.
    keep, watch
        Steps whose images are kept, and whose objective is measured; 0 is the start, `steps` the end.
    """
    point, images = parameters, parametrisation.to_images(parameters)
    worth = np.float32(1) if units is None else units.astype(np.float32)[:, None, None, None]
    views = _Views(images.shape[1:3], recipe, names, seed)
    climb = _Climb(recipe, point)
    snapshots, curve = {}, {}
    for step in range(recipe.steps + 1):
        if step in keep:
            snapshots[step] = images.copy()
        if step in watch:
            curve[step] = evaluate(classifier, objective, images)
        if step == recipe.steps:
            break
        seen = views.look(images, step)
        slopes = views.pull_back(_slopes(classifier, objective, seen), step)
        slopes -= worth * _penalty_slopes(images, recipe)
        point = climb.step(point, parametrisation.pull_back(images, slopes))
        images = parametrisation.to_images(point)
        if recipe.blur_every and (step + 1) % recipe.blur_every == 0:
            blurred = gaussian_filter(images, (0, _BLUR_WIDTH, _BLUR_WIDTH, 0), mode="nearest")
            point = parametrisation.to_parameters(blurred)
            images = parametrisation.to_images(point)
    values = curve[recipe.steps] if recipe.steps in curve else evaluate(classifier, objective, images)
    return Ascent(images, values, snapshots, curve)


def evaluate(classifier: Explainable, objective: Objective, images: Floats) -> Doubles:
    """The objective (n,) at images (n, h, w, c)."""
    seen = classifier.linearise(images, objective.layers)
    return objective.judge(seen.scores, seen.features).values


def mean_cosines(images: Floats, groups: Ints) -> Doubles:
    """Mean cosine (n,) of each image (n, h, w, c), less its mean, with the others of its group; 0 for one alone."""
    found = np.zeros(len(images))
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        if len(rows) > 1:
            unit, _ = _directions(images[rows])
            found[rows] = (unit @ unit.sum(axis=0) - 1) / (len(rows) - 1)
    return found


def warp_matrices(height: int, width: int, recipe: Recipe, seed: int) -> list[sparse.csr_array]:
    """Bilinear resamplings (h w, h w) of images by seeded angles and scales about the centre.

    Beyond the frame its edge goes on. Every row is a weighted mean of pixels, so images stay in their range, and the
    transpose is the exact adjoint.
    """
    random = keyed_generator(seed, "warps", f"{height} x {width}")
    angles = np.deg2rad(random.uniform(-recipe.rotation, recipe.rotation, _WARPS))
    scales = 1 + random.uniform(-recipe.scale, recipe.scale, _WARPS)
    rows, columns = np.mgrid[0:height, 0:width].reshape(2, -1)
    down, right = rows - (height - 1) / 2, columns - (width - 1) / 2
    matrices = []
    for angle, scale in zip(angles, scales, strict=True):
        y = np.clip((np.cos(angle) * down + np.sin(angle) * right) / scale + (height - 1) / 2, 0, height - 1)
        x = np.clip((np.cos(angle) * right - np.sin(angle) * down) / scale + (width - 1) / 2, 0, width - 1)
        matrices.append(_bilinear(y, x, height, width))
    return matrices


class _Views:
    """How each image is seen at each step: rolled, then turned and scaled; drawn for all steps beforehand."""

    def __init__(self, frame: tuple[int, ...], recipe: Recipe, names: list[str], seed: int) -> None:
        generators = keyed_generators(seed, "activation_maximisation views", names)
        reach, steps = recipe.jitter, recipe.steps
        self._shifts = np.stack([each.integers(-reach, reach + 1, (steps, 2)) for each in generators], axis=1)
        self._warps: list[sparse.csr_array] = []
        if recipe.scale or recipe.rotation:
            self._warps = warp_matrices(frame[0], frame[1], recipe, seed)
            self._adjoints = [matrix.T.tocsr() for matrix in self._warps]
            self._chosen = np.stack([each.integers(len(self._warps), size=steps) for each in generators], axis=1)

    def look(self, images: Floats, step: int) -> Floats:
        return self._warp(self._roll(images, self._shifts[step]), step, is_adjoint=False)

    def pull_back(self, slopes: Floats, step: int) -> Floats:
        return self._roll(self._warp(slopes, step, is_adjoint=True), -self._shifts[step])

    def _roll(self, images: Floats, shifts: Ints) -> Floats:
        if not shifts.any():
            return images.copy()
        rolled = np.empty_like(images)
        for shift in np.unique(shifts, axis=0):
            rows = np.flatnonzero((shifts == shift).all(axis=1))
            rolled[rows] = np.roll(images[rows], shift, axis=(1, 2))
        return rolled

    def _warp(self, images: Floats, step: int, *, is_adjoint: bool) -> Floats:
        if not self._warps:
            return images
        warped = np.empty_like(images)
        height, width, channels = images.shape[1:]
        for number in np.unique(self._chosen[step]):
            rows = np.flatnonzero(self._chosen[step] == number)
            matrix = self._adjoints[number] if is_adjoint else self._warps[number]
            columns = images[rows].reshape(len(rows), height * width, channels).transpose(1, 0, 2)
            mapped = (matrix @ columns.reshape(height * width, -1)).reshape(height, width, len(rows), channels)
            warped[rows] = mapped.transpose(2, 0, 1, 3)
        return warped


class _Climb:
    """Steps of Adam (Kingma and Ba 2015), or plain ones, from parameter to parameter."""

    def __init__(self, recipe: Recipe, point: Floats) -> None:
        self._recipe = recipe
        self._taken = 0
        self._mean = np.zeros_like(point)
        self._square = np.zeros_like(point)

    def step(self, point: Floats, slopes: Floats) -> Floats:
        recipe = self._recipe
        rate = np.float32(recipe.rate * min(1.0, 2 * (1 - self._taken / recipe.steps)))
        self._taken += 1
        if recipe.optimiser == "plain":
            return point + rate * slopes
        self._mean += np.float32(0.1) * (slopes - self._mean)
        self._square += np.float32(0.001) * (slopes * slopes - self._square)
        mean = self._mean * np.float32(1 / (1 - 0.9**self._taken))
        spread = np.sqrt(self._square * np.float32(1 / (1 - 0.999**self._taken)))
        return point + rate * mean / (spread + np.float32(1e-8))


def _slopes(classifier: Explainable, objective: Objective, images: Floats) -> Floats:
    if objective.targets is not None:
        return classifier.differentiate(images, objective.targets).gradient
    seen = classifier.linearise(images, objective.layers)
    judged = objective.judge(seen.scores, seen.features)
    return seen.pull_back(judged.by_scores, judged.by_features)


def _penalty_slopes(images: Floats, recipe: Recipe) -> Floats | np.float32:
    slopes: Floats | np.float32 = np.float32(0)
    size = images[0].size
    if recipe.l2:
        slopes = slopes + np.float32(2 * recipe.l2 / size) * (images - np.float32(0.5))
    if recipe.total_variation:
        slopes = slopes + np.float32(recipe.total_variation / size) * variation(images, SMOOTH)[1]
    if recipe.diversity:
        slopes = slopes + np.float32(recipe.diversity) * _cosine_slopes(images)
    return slopes


def _cosine_slopes(images: Floats) -> Floats:
    """Derivative of each image's mean cosine with the others, which stand still meanwhile; zero for one alone."""
    unit, lengths = _directions(images)
    others = (unit.sum(axis=0) - unit) / max(len(images) - 1, 1)
    along = (unit * others).sum(axis=1, keepdims=True)
    turned = (others - along * unit) / lengths
    return (turned - turned.mean(axis=1, keepdims=True)).reshape(images.shape).astype(np.float32)


def _directions(images: Floats) -> tuple[Doubles, Doubles]:
    """Images (n, h, w, c) less their means, as unit vectors (n, pixels), and their lengths (n, 1)."""
    flat = images.reshape(len(images), -1).astype(np.float64)
    flat -= flat.mean(axis=1, keepdims=True)
    lengths = np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
    return flat / lengths, lengths


def _bilinear(y: Doubles, x: Doubles, height: int, width: int) -> sparse.csr_array:
    """Rows that read an image at points (y, x), each from the four pixels around it."""
    top, left = (np.minimum(v.astype(np.int64), limit - 2) for v, limit in ((y, height), (x, width)))
    top, left = np.maximum(top, 0), np.maximum(left, 0)
    below, beside = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    part_y, part_x = y - top, x - left
    at = np.arange(height * width)
    corners = [
        (top, left, (1 - part_y) * (1 - part_x)),
        (top, beside, (1 - part_y) * part_x),
        (below, left, part_y * (1 - part_x)),
        (below, beside, part_y * part_x),
    ]
    weights = np.concatenate([weight for _, _, weight in corners]).astype(np.float32)
    sources = np.concatenate([row * width + column for row, column, _ in corners])
    return sparse.csr_array((weights, (np.tile(at, 4), sources)), shape=(height * width, height * width))
