"""Attribution methods: which pixels speak for a target class, by a model's own gradients.

Each method is a plain function of a `Question`; its keyword-only parameters are its options in `audit.toml`. It
returns one `Attribution` per variant (a layer, a baseline).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import numpy as np
from PIL import Image
from pydantic import Field
from scipy.ndimage import gaussian_filter

from auditor.explain.attribution.noise import smooth
from auditor.explain.attribution.paths import Integrated, integrate
from auditor.explain.attribution.question import Attribution, Contrast, Question
from auditor.measure.arrays import Array, Doubles, Floats

Baseline = Literal["mean", "blur", "black", "grey", "white"]
Count = Annotated[int, Field(ge=1, le=4096)]
Tolerance = Annotated[float, Field(gt=0, lt=1)]

ALL_ZERO = "all-zero map"
"""Name of the check (0 or 1 per image) whether a map says nothing."""


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
    """Mean signed gradient under Gaussian noise, in pairs of both signs, until its standard error is small.

    `noise` is the standard deviation as a share of the range [0, 1]; `samples` is the cap, and an image stops early
    once the norm of the standard error is under `tolerance` times the norm of the mean. Noisy pixels are not clipped.

    References: Smilkov et al., "SmoothGrad" (2017).
    """
    maps, used, error = smooth(question, noise, samples, tolerance)
    return {"": _attribute(list(maps), {"samples": used.astype(np.float64), "relative standard error": error})}


def integrated_gradients(
    question: Question,
    *,
    baselines: Annotated[tuple[Baseline, ...], Field(min_length=1)] = ("mean", "blur"),
    nodes: Count = 6,
    most_nodes: Count = 162,
    tolerance: Tolerance = 0.05,
) -> dict[str, Attribution]:
    """Difference to a baseline times the mean gradient on the way there; one variant per baseline.

    The way is cut into `nodes` parts, then finer, up to `most_nodes`, until the error of an image's map (told by what
    it changed last) and what it lacks of the change of the score (its completeness residual) are under `tolerance`. The
    mean gradient of a part is told by chords of the activations where the model allows, else by its middle.

    References: Sundararajan, Taly, Yan, "Axiomatic attribution for deep networks" (2017); chords: Shrikumar, Greenside,
    Kundaje, "Learning important features through propagating activation differences" (2017).
    """
    chosen: dict[str, Floats] = {name: make_baseline(name, question.images, question.mean_image) for name in baselines}
    found = integrate(question, chosen, nodes, max(nodes, most_nodes), tolerance)
    return {name: _of_path(one, chosen[name]) for name, one in found.items()}


def _of_path(found: Integrated, baseline: Floats) -> Attribution:
    checks = {"nodes": found.nodes.astype(np.float64), "gradients": found.gradients.astype(np.float64)}
    checks |= {"relative error": found.errors, "completeness residual": found.residuals}
    return _attribute(list(found.maps), checks, baseline)


def make_baseline(name: Baseline, images: Floats, mean_image: Floats) -> Floats:
    """Reference images (n, h, w, c) of a path method: `mean` of the data, `blur` of the image, or one tone."""
    if name == "mean":
        return np.broadcast_to(mean_image.astype(np.float32), images.shape)
    if name == "blur":
        sigma = max(images.shape[1:3]) / 8
        return gaussian_filter(images, (0, sigma, sigma, 0), mode="nearest").astype(np.float32)
    tone = {"black": 0.0, "grey": 0.5, "white": 1.0}[name]
    return np.broadcast_to(np.float32(tone), images.shape)


def saliency(maps: Floats) -> Floats:
    """Attribution (n, h, w, c) as its absolute sum over channels (n, h, w)."""
    return np.abs(maps).sum(axis=-1, dtype=np.float64).astype(np.float32)


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


ATTRIBUTIONS: dict[str, Callable[..., dict[str, Attribution]]] = {
    "gradient": gradient,
    "grad_cam": grad_cam,
    "smoothgrad": smoothgrad,
    "integrated_gradients": integrated_gradients,
}

WITHOUT_GRADIENT = frozenset({grad_cam, smoothgrad, integrated_gradients})
"""Those that do not look at the gradient of the first pass: where no other is on, that pass ends at the layers."""
