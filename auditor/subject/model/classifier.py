"""The seam that everything hangs on: what the audit needs of a model, whatever made it.

Images are float32 (n, height, width, channels) in [0, 1]; preprocessing lives inside the classifier. Scores are
logits where the model has them, else log-probabilities.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from scipy.special import expit

from auditor.measure.arrays import Bools, Doubles, Floats, Ints, Numbers

Output = Literal["softmax", "binary", "multilabel"]


@dataclass(frozen=True)
class Pass:
    """What one forward and backward pass gives for n images."""

    scores: Floats
    """(n, classes)."""
    gradient: Floats
    """(n, height, width, channels): derivative of the target's score by the image in [0, 1]; NaN if not asked for."""
    features: Mapping[str, Floats]
    """Layer -> (n, h', w', k)."""
    feature_gradients: Mapping[str, Floats]
    """Layer -> (n, h', w', k): derivative of the target's score by the features."""


@dataclass(frozen=True)
class Linearisation:
    """A model at n images: its values there, and derivatives of whatever is made of those values."""

    scores: Floats
    """(n, classes)."""
    features: Mapping[str, Floats]
    """Layer -> (n, h', w', k)."""
    pull_back: Callable[[Floats | None, Mapping[str, Floats]], Floats]
    """Derivative (n, h, w, c), by the images, of an objective, given its derivative by the scores (n, classes), or
    None, and by the features of some layers (vector-Jacobian product). It may be called several times."""


@dataclass(frozen=True)
class Chords:
    """Mean derivatives on n straight ways."""

    slopes: list[Floats]
    """(n, h, w, c) for each class that was aimed at."""
    bends: Doubles
    """(n, steps - 1): how much the derivative by the first, times the way, differs from one step to the next."""


class Classifier(Protocol):
    """All that a verdict needs of a model: anything with these can be audited."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the scores."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width, channels."""

    @property
    def output(self) -> Output:
        """Whether the classes exclude each other (softmax), are two (binary) or independent (multilabel)."""

    def scores(self, images: Floats) -> Floats:
        """Scores (n, classes) of images (n, height, width, channels) in [0, 1]."""


class Differentiable(Classifier, Protocol):
    """What explanations need besides: gradients, and the features of layers where there are any."""

    @property
    def feature_layers(self) -> tuple[str, ...]:
        """Layers fit for Grad-CAM, the usual choice first; empty where the model has no feature maps."""

    def differentiate(self, images: Floats, targets: Ints, layers: tuple[str, ...] = ()) -> Pass:
        """Scores, and the derivatives of each image's own target score, targets (n,), from one pass."""


class Explainable(Differentiable, Protocol):
    """All that explanations ask for; what a `Differentiable` lacks of it is made of what it has."""

    @property
    def why_no_features(self) -> str:
        """Why there are no feature layers; empty where there are some."""

    @property
    def layers(self) -> tuple[str, ...]:
        """All layers with feature maps, those fit for Grad-CAM first."""

    def contrast(self, images: Floats, targets: Ints, foils: Ints, layers: tuple[str, ...] = ()) -> tuple[Pass, Pass]:
        """What `differentiate` gives for the targets (n,) and for the foils (n,), from one forward pass."""

    def weigh(self, images: Floats, targets: Ints, layers: tuple[str, ...]) -> Pass:
        """What `differentiate` gives, but for the gradient, which is NaN: the way back ends at the layers."""

    def linearise(self, images: Floats, layers: tuple[str, ...] = ()) -> Linearisation:
        """Values at images and, after a look at them, derivatives of any objective that is made of them."""

    @property
    def weight_layers(self) -> tuple[str, ...]:
        """Layers with weights of their own, from the head down; empty where none can be drawn anew."""

    @property
    def why_no_weights(self) -> str:
        """Why there are none; empty where there are some."""

    def randomised(self, layers: tuple[str, ...], seed: int) -> AbstractContextManager[Explainable]:
        """The model with the weights of these layers permuted, keyed by seed and layer, while the context is open."""

    @property
    def why_no_chords(self) -> str:
        """Why `chords` cannot be asked for; empty where it can."""

    def chords(self, starts: Floats, ways: Floats, aims: Sequence[Ints], places: Doubles) -> Chords:
        """Mean derivatives of scores on straight ways, told by the changes between points on them.

        Parameters
        ----------
        starts, ways
            (n, h, w, c): where each way begins, and the difference between its end and that.
        aims
            Classes (n,) whose scores are meant.
        places
            (n, steps + 1): of the points on each way, from 0 to 1. The error falls with about the square of their
            distance, and times the way the result sums to the change of the score.
        """

    def sized(self, batch_size: int) -> Explainable:
        """The same classifier, made for calls with that many images: batches are padded to one size."""


def log_odds(scores: Floats, output: Output) -> Floats:
    """Log-odds (n, classes) of every class: the unit of all interventions.

    For exclusive classes logit_c - logsumexp of the other logits, else the logit itself.
    """
    if output != "softmax":
        return scores
    values = scores.astype(np.float64)
    largest = values.max(axis=1, keepdims=True)
    exponentials = np.exp(values - largest)
    others = exponentials.sum(axis=1, keepdims=True) - exponentials
    winner = values.argmax(axis=1)
    rows = np.arange(len(values))
    # the winner's others are summed anew: subtracting it from the total would cancel
    without_winner = exponentials.copy()
    without_winner[rows, winner] = 0.0
    others[rows, winner] = without_winner.sum(axis=1)
    result = values - largest - np.log(np.maximum(others, np.finfo(np.float64).tiny))
    return result.astype(np.float32)


def to_probability(odds: Numbers) -> Doubles:
    """The probability that log-odds stand for, of exclusive and of independent classes alike."""
    return np.asarray(expit(np.asarray(odds, np.float64)))


def predicted_classes(scores: Floats, output: Output) -> Bools:
    """Which classes (n, classes) are predicted: the highest one, or for multilabel those with a positive logit."""
    if output == "multilabel":
        return scores > 0
    return np.asarray(np.arange(scores.shape[1])[None] == scores.argmax(axis=1)[:, None])
