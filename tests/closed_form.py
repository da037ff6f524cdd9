"""Classifiers whose scores, gradients and attributions are known exactly, and a data set held in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from auditor.measure.arrays import Floats, Ints
from auditor.subject.data.sample import Dataset
from auditor.subject.model.classifier import Linearisation, Output, Pass


@dataclass(frozen=True)
class LinearClassifier:
    """score_c = sum(weights_c * image) + bias_c; its feature maps are the image itself."""

    weights: Floats
    """(classes, h, w, c)."""
    bias: Floats
    output: Output = "multilabel"
    feature_layers: tuple[str, ...] = ("pixels",)

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(f"class {number}" for number in range(len(self.weights)))

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self.weights.shape[1:]

    @property
    def layers(self) -> tuple[str, ...]:
        return self.feature_layers

    @property
    def why_no_features(self) -> str:
        return "" if self.feature_layers else "it has none"

    def scores(self, images: Floats) -> Floats:
        return (np.einsum("nhwc,khwc->nk", images, self.weights) + self.bias).astype(np.float32)

    def slopes(self, images: Floats, targets: Ints) -> Floats:
        return np.broadcast_to(self.weights[targets], images.shape).astype(np.float32)

    def differentiate(self, images: Floats, targets: Ints, layers: tuple[str, ...] = ()) -> Pass:
        slopes = self.slopes(images, targets)
        return Pass(self.scores(images), slopes, dict.fromkeys(layers, images), dict.fromkeys(layers, slopes))

    def weigh(self, images: Floats, targets: Ints, layers: tuple[str, ...]) -> Pass:
        return replace(self.differentiate(images, targets, layers), gradient=np.full_like(images, np.nan))

    def contrast(self, images: Floats, targets: Ints, foils: Ints, layers: tuple[str, ...] = ()) -> tuple[Pass, Pass]:
        return self.differentiate(images, targets, layers), self.differentiate(images, foils, layers)

    def linearise(self, images: Floats, layers: tuple[str, ...] = ()) -> Linearisation:
        count = len(images)
        jacobian = np.stack([self.slopes(images, np.full(count, c)) for c in range(len(self.weights))], axis=1)

        def pull_back(by_scores: Floats | None, by_features: Mapping[str, Floats]) -> Floats:
            total = np.zeros_like(images) if by_scores is None else np.einsum("nk,nkhwc->nhwc", by_scores, jacobian)
            return (total + sum(by_features.values())).astype(np.float32)

        return Linearisation(self.scores(images), dict.fromkeys(layers, images), pull_back)

    @property
    def weight_layers(self) -> tuple[str, ...]:
        return ("weights",)

    @property
    def why_no_weights(self) -> str:
        return ""

    @contextmanager
    def randomised(self, layers: tuple[str, ...], seed: int) -> Iterator[LinearClassifier]:
        order = np.random.default_rng(seed).permutation(self.weights.size)
        yield replace(self, weights=self.weights.ravel()[order].reshape(self.weights.shape))

    why_no_chords = "its derivatives are exact"

    def sized(self, batch_size: int) -> LinearClassifier:
        return self


@dataclass(frozen=True)
class QuadraticClassifier(LinearClassifier):
    """score_c = sum(weights_c * image + curvature_c * image**2 / 2) + bias_c."""

    curvature: Floats = field(default_factory=lambda: np.zeros(()))

    def scores(self, images: Floats) -> Floats:
        bent = np.einsum("nhwc,khwc->nk", images**2 / 2, self.curvature)
        return (super().scores(images) + bent).astype(np.float32)

    def slopes(self, images: Floats, targets: Ints) -> Floats:
        return (self.weights[targets] + self.curvature[targets] * images).astype(np.float32)


@dataclass(frozen=True)
class ExponentialClassifier(LinearClassifier):
    """score_c = sum(weights_c * exp(3 * image)): no quadrature is exact on it."""

    def scores(self, images: Floats) -> Floats:
        return super().scores(np.exp(3 * images))

    def slopes(self, images: Floats, targets: Ints) -> Floats:
        return (3 * self.weights[targets] * np.exp(3 * images)).astype(np.float32)


class MemorySource:
    """Images in memory as a data source."""

    def __init__(
        self, images: Any, labels: Any = None, groups: Any = None, arrays: dict[str, Any] | None = None
    ) -> None:
        self.images = np.asarray(images, np.float32)
        self.ids = [f"image {number:03d}" for number in range(len(self.images))]
        self.labels = None if labels is None else list(labels)
        self.groups = None if groups is None else [str(group) for group in groups]
        self.masks = None
        self.notes: list[str] = []
        self.arrays = arrays or {}

    def stream(self, wanted: Sequence[int]) -> Iterator[tuple[int, Any]]:
        for position in wanted:
            yield position, self.images[position]

    def array(self, name: str) -> Any:
        return self.arrays.get(name)

    def sha256(self) -> str | None:
        return None


def random_images(count: int, shape: tuple[int, int, int] = (6, 7, 3), seed: int = 0) -> Floats:
    return np.random.default_rng(seed).random((count, *shape)).astype(np.float32)


def linear(
    classes: int = 4, shape: tuple[int, int, int] = (6, 7, 3), seed: int = 1, **options: Any
) -> LinearClassifier:
    random = np.random.default_rng(seed)
    weights = random.normal(size=(classes, *shape)).astype(np.float32)
    return LinearClassifier(weights, random.normal(size=classes).astype(np.float32), **options)


def quadratic(classes: int = 4, shape: tuple[int, int, int] = (6, 7, 3), seed: int = 1) -> QuadraticClassifier:
    first = linear(classes, shape, seed)
    curvature = np.random.default_rng(seed + 1).normal(size=first.weights.shape).astype(np.float32)
    return QuadraticClassifier(first.weights, first.bias, curvature=curvature)


def memory_dataset(classifier: LinearClassifier, images: Floats, labels: Any = None, groups: Any = None) -> Dataset:
    source = MemorySource(images, labels, groups)
    return Dataset(source, classes=classifier.classes, image_shape=classifier.image_shape)
