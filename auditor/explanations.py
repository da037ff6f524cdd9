"""The records of the studies that explain a model: what each method found on the audited images."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ActivationRecord:
    """What activation maximisation found: the inputs that excite the model most."""


@dataclass(frozen=True)
class CounterfactualRecord:
    """What counterfactual optimisation found: the least changes that change the model's answer."""


@dataclass(frozen=True)
class ContrastRecord:
    """What the contrast of the predicted with the true class says about the errors."""


@dataclass(frozen=True)
class TrustRecord:
    """Which methods of attribution passed the tests that one that deserves trust must pass."""
