"""Activation maximisation: what excites a class, a channel, a neuron or a direction most, and what it looks like.

Objectives are derivatives by scores and features, so they hold for any classifier. Looks are measured: how smooth an
image is, how much of it is fine detail, and how well the pattern of an artefact matches any place in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import fft

from auditor.errors import OptionError
from auditor.explain.optima.ascent import Judgement, Objective
from auditor.explain.optima.parametrisation import Parametrisation
from auditor.measure.arrays import Doubles, Floats, Ints, Numbers
from auditor.measure.seeds import keyed_generator, keyed_generators
from auditor.subject.model.classifier import Explainable, Output, log_odds, to_probability


@dataclass(frozen=True)
class Feature:
    """A channel of a hidden layer, or one neuron of it."""

    layer: str
    channel: int
    place: tuple[int, int] | None = None
    """Row and column of a neuron; None for the whole channel."""

    def __str__(self) -> str:
        return f"{self.layer}:{self.channel}" + (f"@{self.place[0]},{self.place[1]}" if self.place else "")


def class_logit(targets: Ints) -> Objective:
    """The score of each image's own class, targets (n,)."""

    def judge(scores: Floats, features: Mapping[str, Floats]) -> Judgement:
        rows, slopes = np.arange(len(targets)), np.zeros_like(scores)
        slopes[rows, targets] = 1
        return Judgement(scores[rows, targets].astype(np.float64), slopes, {})

    return Objective(judge, targets=targets)


def class_log_odds(targets: Ints, output: Output) -> Objective:
    """The log-odds of each image's own class, targets (n,), which push all other classes down, too."""

    def judge(scores: Floats, features: Mapping[str, Floats]) -> Judgement:
        rows = np.arange(len(targets))
        values = log_odds(scores, output)[rows, targets].astype(np.float64)
        slopes = np.zeros_like(scores)
        if output == "softmax":
            others = scores.astype(np.float64)
            others[rows, targets] = -np.inf
            others = np.exp(others - others.max(axis=1, keepdims=True))
            slopes -= others / others.sum(axis=1, keepdims=True)
        slopes[rows, targets] = 1
        return Judgement(values, slopes, {})

    return Objective(judge)


def class_probability(targets: Ints, output: Output) -> Objective:
    """The probability of each image's own class, targets (n,): softmax, or sigmoid where classes are independent."""
    odds = class_log_odds(targets, output)

    def judge(scores: Floats, features: Mapping[str, Floats]) -> Judgement:
        values, slopes, _ = odds.judge(scores, features)
        assert slopes is not None
        share = to_probability(values)
        return Judgement(share, (slopes * (share * (1 - share))[:, None]).astype(np.float32), {})

    return Objective(judge)


def feature_mean(features: Sequence[Feature]) -> Objective:
    """For each image its own feature: the mean of a channel over the frame, or one neuron; all of one layer."""
    (layer,) = {feature.layer for feature in features}

    def weights(maps: Floats) -> Floats:
        found = np.zeros_like(maps)
        for row, feature in enumerate(features):
            if feature.place is None:
                found[row, :, :, feature.channel] = 1 / (maps.shape[1] * maps.shape[2])
            else:
                found[row, feature.place[0], feature.place[1], feature.channel] = 1
        return found

    return _weighted_sum(layer, weights)


def feature_direction(layer: str, direction: Numbers) -> Objective:
    """The mean over the frame of a layer's features along a direction (k,), for all images."""
    return _weighted_sum(
        layer,
        lambda maps: np.broadcast_to(direction / (maps.shape[1] * maps.shape[2]), maps.shape).astype(np.float32),
    )


def _weighted_sum(layer: str, weigh: Callable[[Floats], Floats]) -> Objective:
    """The sum of a layer's features (n, h', w', k), weighted by what is made of them, in the same shape."""

    def judge(scores: Floats, features: Mapping[str, Floats]) -> Judgement:
        weights = weigh(features[layer])
        return Judgement(np.einsum("nhwk,nhwk->n", features[layer], weights, dtype=np.float64), None, {layer: weights})

    return Objective(judge, (layer,))


def parse_feature(text: str) -> Feature:
    """A feature as options write it: `layer:channel`, or `layer:channel@row,column` for one neuron.

    Raises
    ------
    OptionError
        It is written otherwise.
    """
    match = re.fullmatch(r"(.+):(\d+)(?:@(\d+),(\d+))?", text)
    if match is None:
        wanted = "'layer:channel' or 'layer:channel@row,column'"
        raise OptionError("features", f"got {text!r}, wanted {wanted}, such as 'conv_2:5' or 'conv_2:5@3,4'")
    layer, channel, row, column = match.groups()
    return Feature(layer, int(channel), None if row is None else (int(row), int(column)))


def find_features(classifier: Explainable, texts: Sequence[str]) -> list[Feature]:
    """The features that options name, checked against the classifier.

    Raises
    ------
    OptionError
        One is written wrongly, or the classifier has no such layer, channel or neuron.
    """
    features = [parse_feature(text) for text in texts]
    alone, grey = classifier.sized(1), np.full((1, *classifier.image_shape), 0.5, np.float32)
    for text, feature in zip(texts, features, strict=True):
        layer, channel, place = feature.layer, feature.channel, feature.place
        if layer not in classifier.layers:
            known = ", ".join(classifier.layers[:12]) or "none"
            more = f", … ({len(classifier.layers)} in all)" if len(classifier.layers) > 12 else ""
            message = f"got {text!r}, but no layer {layer!r} has feature maps; layers that have: {known}{more}"
            raise OptionError("features", message)
        _, height, width, channels = alone.linearise(grey, (layer,)).features[layer].shape
        if channel >= channels:
            wanted = f"a channel from 0 to {channels - 1} of {layer!r}"
            raise OptionError("features", f"got channel {channel} in {text!r}, wanted {wanted}")
        if place is not None and not (place[0] < height and place[1] < width):
            wanted = f"a row from 0 to {height - 1} and a column from 0 to {width - 1} of {layer!r}"
            raise OptionError("features", f"got row {place[0]}, column {place[1]} in {text!r}, wanted {wanted}")
    return features


def draw_noise(
    parametrisation: Parametrisation, shape: tuple[int, int, int], names: Sequence[str], strength: float, seed: int
) -> Floats:
    """Parameters (n, ...) of grey images with noise in the parameters, each drawn by its own name."""
    grey = parametrisation.to_parameters(np.full((1, *shape), 0.5, np.float32))
    randoms = keyed_generators(seed, "activation_maximisation start", names)
    drawn = [random.standard_normal(grey.shape[1:], np.float32) for random in randoms]
    return grey + np.float32(strength) * np.stack(drawn)


@dataclass(frozen=True)
class Pattern:
    """What an overlay adds to an image, cut out: its box and a margin around it, where the frame has room."""

    values: Doubles
    """(h', w', c), each channel less its mean."""
    place: tuple[int, int]
    """Row and column of its upper left corner in the frame."""


def cut_pattern(change: Floats, box: tuple[int, int, int, int]) -> Pattern | None:
    """The pattern of a change (h, w, c) of an image in a box (left, top, right, bottom); None where it has no contrast.

    The margin, a quarter of the box, shows where a plain patch ends.
    """
    left, top, right, bottom = box
    margin = max(1, round(0.25 * max(right - left, bottom - top)))
    top, left = max(0, top - margin), max(0, left - margin)
    part = change[top : bottom + margin, left : right + margin].astype(np.float64)
    part = part - part.mean(axis=(0, 1))
    return Pattern(part, (top, left)) if np.abs(part).max() > _FAINT else None


def random_phases(pattern: Pattern, seed: int, name: str) -> Pattern:
    """Another pattern of the same spectrum, hence as smooth: what matches by chance must match it as well."""
    noise = keyed_generator(seed, "activation_maximisation phases", name).standard_normal(pattern.values.shape[:2])
    turns = fft.fft2(noise)[..., None]
    turned = fft.ifft2(fft.fft2(pattern.values, axes=(0, 1)) * turns / np.maximum(np.abs(turns), 1e-12), axes=(0, 1))
    return Pattern(np.asarray(turned.real), pattern.place)


def match_patterns(images: Floats, patterns: Sequence[Pattern], reach: int | None = None) -> tuple[Doubles, Ints]:
    """How well patterns match the best place of images (n, h, w, c), at most `reach` pixels from their own.

    Returns the largest normalised cross-correlation (n, patterns) over all such shifts that keep a pattern in the
    frame, in [-1, 1], and where it is: row and column (n, patterns, 2) of the pattern's upper left corner.
    """
    frame = images.shape[1:3]
    values = images.astype(np.float64) - images.mean(axis=(1, 2), keepdims=True, dtype=np.float64)
    spectra = fft.rfft2(values, axes=(1, 2))
    best = np.empty((len(images), len(patterns)))
    places = np.empty((len(images), len(patterns), 2), np.int64)
    spreads: dict[tuple[int, ...], Doubles] = {}
    for number, pattern in enumerate(patterns):
        height, width = pattern.values.shape[:2]
        kernel = np.conj(fft.rfft2(pattern.values, s=frame, axes=(0, 1)))
        products = fft.irfft2((spectra * kernel).sum(axis=3), s=frame, axes=(1, 2))
        products = products[:, : frame[0] - height + 1, : frame[1] - width + 1]
        if (height, width) not in spreads:
            spreads[height, width] = _spread_in_windows(values, height, width)
        least = np.sqrt(pattern.values.size) * _FAINT  # where a window has less contrast, nothing matches
        scale = np.maximum(spreads[height, width], least) * np.linalg.norm(pattern.values)
        quality = np.clip(products / scale, -1, 1)
        if reach is not None:
            down, right = np.ogrid[: quality.shape[1], : quality.shape[2]]
            is_far = np.maximum(np.abs(down - pattern.place[0]), np.abs(right - pattern.place[1])) > reach
            quality[:, is_far] = -1
        quality = quality.reshape(len(images), -1)
        at = quality.argmax(axis=1)
        best[:, number] = quality[np.arange(len(images)), at]
        places[:, number] = np.stack(np.divmod(at, products.shape[2]), axis=1)
    return best, places


def _spread_in_windows(values: Doubles, height: int, width: int) -> Doubles:
    """Length of every window (h', w') of images (n, h, w, c) as a vector, each channel less its mean there."""

    def sums(of: Doubles) -> Doubles:
        padded = np.pad(of, ((0, 0), (1, 0), (1, 0), (0, 0))).cumsum(axis=1).cumsum(axis=2)
        rows = padded[:, height:] - padded[:, :-height]
        return np.asarray(rows[:, :, width:] - rows[:, :, :-width])

    squares = sums(values * values) - sums(values) ** 2 / (height * width)
    return np.asarray(np.sqrt(np.maximum(squares.sum(axis=3), 0)))


_FAINT = 0.5 / 255
"""Less contrast than half a step of 8-bit colour counts as none."""
