"""The gradients of three scores: of the logit, of the log-odds, and of the probability that a softmax makes of them."""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy.special import expit, softmax

from auditor.measure.arrays import Doubles, Floats, Ints
from auditor.subject.model.classifier import Explainable, log_odds

Score = Literal["logit", "log-odds", "probability"]


def differentiate_scores(classifier: Explainable, images: Floats, targets: Ints) -> tuple[dict[Score, Floats], Doubles]:
    """Derivatives (n, h, w, c) by images (n, h, w, c) of each score of the targets (n,), and their probabilities (n,).

    That of the probability p is p (1 - p) times that of the log-odds, exactly: one number scales all pixels of an
    image. Both differ from that of the logit by what the other classes answer to, where classes exclude each other.

    References: Simonyan, Vedaldi, Zisserman, "Deep inside convolutional networks" (2014), which asks for the class
    score before the softmax.
    """
    here = classifier.linearise(images)
    rows, output = np.arange(len(images)), classifier.output
    one_hot = np.zeros(here.scores.shape, np.float32)
    one_hot[rows, targets] = 1
    by_logit = here.pull_back(one_hot, {})
    by_odds = here.pull_back(one_hot - _rivals(here.scores, targets), {}) if output == "softmax" else by_logit
    odds = log_odds(here.scores, output)[rows, targets].astype(np.float64)
    slope = (expit(odds) * expit(-odds))[:, None, None, None]
    maps: dict[Score, Floats] = {
        "logit": by_logit,
        "log-odds": by_odds,
        "probability": (slope * by_odds).astype(np.float32),
    }
    return maps, expit(odds)


def _rivals(scores: Floats, targets: Ints) -> Floats:
    """The share (n, classes) that each other class has of the probability that the target lacks."""
    others = scores.astype(np.float64)
    others[np.arange(len(others)), targets] = -np.inf
    return softmax(others, axis=1).astype(np.float32)
