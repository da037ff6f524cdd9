"""Attribution methods: which pixels speak for a target class, by a model's own gradients.

Each method is a plain function of a `Question`; its keyword-only parameters are its options in `audit.toml`. It
returns one `Attribution` per variant (a layer, a baseline).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Literal

import numpy as np
from PIL import Image
from pydantic import Field
from scipy.ndimage import gaussian_filter

from auditor.explain.attribution.question import Attribution, Contrast, Question
from auditor.measure.arrays import Array, Doubles, Floats, Ints
from auditor.measure.seeds import keyed_generators

Baseline = Literal["mean", "blur", "black", "grey", "white"]
Count = Annotated[int, Field(ge=1, le=4096)]
Tolerance = Annotated[float, Field(gt=0, lt=1)]

ALL_ZERO = "all-zero map"
"""Name of the check (0 or 1 per image) whether a map says nothing."""

_ROUND = 8
"""Samples that SmoothGrad adds at a time: fixed, so that its early stop does not depend on the batch size."""

_CHUNK_SAMPLES = 128
_CHUNK_FLOATS = 2**20
"""Noisy or interpolated images held at once: this many, or as many as fit into 4 MiB."""


def gradient(question: Question) -> dict[str, Attribution]:
    """Derivative of the target's score by each pixel.

    References: Simonyan, Vedaldi, Zisserman, "Deep inside convolutional networks" (2014).
    """
    slopes = [one.gradient for one in (question.first, question.against) if one is not None]
    return {"": _attribute(slopes, {ALL_ZERO: _is_zero(slopes[0])})}


def grad_cam(question: Question, *, layers: tuple[str, ...] = ()) -> dict[str, Attribution]:
    """Feature maps weighted by their mean gradient, rectified, then enlarged; one variant per layer.

    Without `layers`: the last layer at the resolution of the last convolution, and the one a resolution earlier.

    References: Selvaraju et al., "Grad-CAM" (2017).
    """
    return {name: _grad_cam(question, name) for name in layers or question.classifier.feature_layers}


def smoothgrad(
    question: Question, *, noise: Tolerance = 0.15, samples: Count = 64, tolerance: Tolerance = 0.1
) -> dict[str, Attribution]:
    """Mean signed gradient under Gaussian noise, in antithetic pairs, until its standard error is small.

    `noise` is the standard deviation as a share of the range [0, 1]; `samples` is the cap, and an image stops early
    once the norm of the standard error is under `tolerance` times the norm of the mean. Noisy pixels are not clipped.

    References: Smilkov et al., "SmoothGrad" (2017).
    """
    images = question.images
    count, shape = len(images), images.shape[1:]
    pixels = int(np.prod(shape))
    generators = keyed_generators(question.seed, "smoothgrad", question.ids)
    total = np.zeros((len(question.aims), count, pixels), np.float64)
    squares = np.zeros_like(total)
    pairs = np.zeros(count, np.int64)
    error = np.full(count, np.inf)
    active = np.arange(count)
    cap = max(1, samples // 2)
    while len(active):
        width = min(_ROUND // 2, cap - int(pairs[active[0]]))
        chunks = _chunks(active, 2 * width, pixels)
        all_noisy = np.empty((len(chunks[0]), 2, width, *shape), np.float32)
        for part in chunks:
            noisy = all_noisy[: len(part)]
            _draw_pairs(noisy, images, part, generators, noise)
            for aim, slopes in enumerate(question.slopes(noisy.reshape(-1, *shape), part)):
                by_sample = slopes.reshape(len(part), 2, width, pixels)
                by_pair = np.add(by_sample[:, 0], by_sample[:, 1], out=noisy.reshape(by_sample.shape)[:, 0])
                total[aim, part] += by_pair.sum(axis=1) / 2
                squares[aim, part] += np.einsum("nwp,nwp->np", by_pair, by_pair) / 4
            pairs[part] += width
        n = pairs[active]
        if n[0] > 1:
            mean = total[:, active] / n[0]
            variance = np.maximum(squares[:, active] / n[0] - mean**2, 0) / (n[0] - 1)
            scale = np.maximum(np.linalg.norm(mean, axis=2), np.finfo(np.float32).tiny)
            error[active] = (np.sqrt(variance.sum(axis=2)) / scale).max(axis=0)
        active = active[(error[active] > tolerance) & (n < cap)]
    maps = (total / np.maximum(pairs, 1)[:, None]).astype(np.float32).reshape(-1, *images.shape)
    return {"": _attribute(list(maps), {"samples": 2.0 * pairs, "relative standard error": error})}


def integrated_gradients(
    question: Question,
    *,
    baselines: Annotated[tuple[Baseline, ...], Field(min_length=1)] = ("mean", "blur"),
    nodes: Count = 16,
    most_nodes: Count = 128,
    tolerance: Tolerance = 0.02,
) -> dict[str, Attribution]:
    """Difference to a baseline times the mean gradient on the way there; one variant per baseline.

    The path is integrated with Gauss-Legendre nodes; an image whose maps do not sum to the change of its score
    within `tolerance` gets twice as many, up to `most_nodes`. What is then missing is its completeness residual.

    References: Sundararajan, Taly, Yan, "Axiomatic attribution for deep networks" (2017).
    """
    return {name: _integrate(question, name, nodes, max(nodes, most_nodes), tolerance) for name in baselines}


def make_baseline(name: Baseline, images: Floats, mean_image: Floats) -> Floats:
    """Reference images (n, h, w, c) of a path method: `mean` of the data, `blur` of the image, or one tone."""
    if name == "mean":
        return np.broadcast_to(mean_image, images.shape).astype(np.float32)
    if name == "blur":
        sigma = max(images.shape[1:3]) / 8
        return gaussian_filter(images, (0, sigma, sigma, 0), mode="nearest").astype(np.float32)
    tone = {"black": 0.0, "grey": 0.5, "white": 1.0}[name]
    return np.full_like(images, tone)


def saliency(maps: Floats) -> Floats:
    """Attribution (n, h, w, c) as its absolute sum over channels (n, h, w)."""
    return np.abs(maps).sum(axis=-1, dtype=np.float64).astype(np.float32)


def _draw_pairs(noisy: Floats, images: Floats, rows: Ints, generators: list[np.random.Generator], noise: float) -> None:
    """Fill `noisy` (rows, 2, pairs, h, w, c) with images plus and minus noise, image by image on all cores."""

    def draw(row: int) -> None:
        at = rows[row]
        plus, minus = noisy[row]
        generators[at].standard_normal(dtype=np.float32, out=minus)
        minus *= np.float32(noise)
        np.add(images[at], minus, out=plus)
        np.subtract(images[at], minus, out=minus)

    with ThreadPoolExecutor() as pool:  # numpy lets other threads run while it draws
        list(pool.map(draw, range(len(rows))))


def _attribute(maps: Sequence[Floats], diagnostics: dict[str, Array], baseline: Floats | None = None) -> Attribution:
    """An attribution by a method that is linear in the score, so that of a margin it is the difference of both maps."""
    contrast = Contrast(maps[1], maps[0] - maps[1]) if len(maps) > 1 else None
    return Attribution(maps[0], diagnostics, baseline, contrast)


def _grad_cam(question: Question, layer: str) -> Attribution:
    features = question.first.features[layer].astype(np.float64)
    height, width = question.images.shape[1:3]

    def weigh(slopes: Floats) -> Floats:
        cam = np.maximum(np.einsum("nhwk,nk->nhw", features, slopes.mean(axis=(1, 2), dtype=np.float64)), 0)
        return np.stack([_enlarge(one, height, width) for one in cam.astype(np.float32)])[..., None]

    slopes = [one.feature_gradients[layer] for one in (question.first, question.against) if one is not None]
    maps = weigh(slopes[0])
    contrast = Contrast(weigh(slopes[1]), weigh(slopes[0] - slopes[1])) if len(slopes) > 1 else None
    return Attribution(maps, {ALL_ZERO: _is_zero(maps)}, contrast=contrast)


def _is_zero(maps: Floats) -> Doubles:
    return (np.abs(maps).reshape(len(maps), -1).max(axis=1) == 0).astype(np.float64)


def _enlarge(image: Floats, height: int, width: int) -> Floats:
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR), dtype=np.float32)


def _integrate(question: Question, name: Baseline, nodes: int, most_nodes: int, tolerance: float) -> Attribution:
    images = question.images
    baseline = make_baseline(name, images, question.mean_image)
    difference = images - baseline
    rows, shape = np.arange(len(images)), images.shape[1:]
    pixels = int(np.prod(shape))
    gained = question.first.scores.astype(np.float64) - question.classifier.scores(baseline)
    change = np.stack([gained[rows, aim] for aim in question.aims])
    maps = np.zeros((len(change), *images.shape), np.float64)
    residual = np.full(len(images), np.inf)
    used = np.zeros(len(images))
    active = rows
    while len(active):
        places, weights = np.polynomial.legendre.leggauss(nodes)
        steps = ((places + 1) / 2).astype(np.float32)[:, None, None, None]
        halves = (weights / 2).astype(np.float32)
        chunks = _chunks(active, nodes, pixels)
        whole_path = np.empty((len(chunks[0]), nodes, *shape), np.float32)
        for part in chunks:
            path = whole_path[: len(part)]
            for row, at in enumerate(part):
                np.multiply(steps, difference[at], out=path[row])
                path[row] += baseline[at]
            for aim, slopes in enumerate(question.slopes(path.reshape(-1, *shape), part)):
                # einsum, not matmul: BLAS keeps its threads spinning, and TensorFlow then waits for a core
                mean_slope = np.einsum("s,nsp->np", halves, slopes.reshape(len(part), nodes, pixels))
                maps[aim, part] = difference[part] * mean_slope.reshape(len(part), *shape).astype(np.float64)
        gap = np.abs(maps[:, active].sum(axis=(2, 3, 4)) - change[:, active])
        # a change of score near zero has no meaningful relative residual, so a hundredth of a logit is the least scale
        residual[active] = (gap / np.maximum(np.abs(change[:, active]), 0.01)).max(axis=0)
        used[active] = nodes
        if nodes >= most_nodes:
            break
        active = active[residual[active] > tolerance]
        nodes = min(2 * nodes, most_nodes)
    return _attribute(list(maps.astype(np.float32)), {"nodes": used, "completeness residual": residual}, baseline)


def _chunks(rows: Ints, samples: int, pixels: int) -> list[Ints]:
    """Rows in chunks small enough for the cache, yet of enough samples to fill a classifier's batches."""
    fitting = max(_CHUNK_SAMPLES, _CHUNK_FLOATS // max(pixels, 1)) // samples
    size = 2 ** max(0, fitting.bit_length() - 1)
    return [rows[start : start + size] for start in range(0, len(rows), size)]


ATTRIBUTIONS: dict[str, Callable[..., dict[str, Attribution]]] = {
    "gradient": gradient,
    "grad_cam": grad_cam,
    "smoothgrad": smoothgrad,
    "integrated_gradients": integrated_gradients,
}
