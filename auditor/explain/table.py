"""All methods by the name of their section in `audit.toml`: attributions explain images, studies the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from auditor.explain.attribution.methods import ATTRIBUTIONS
from auditor.explain.counterfactual.aims import find_pairs
from auditor.explain.counterfactual.study import study_counterfactuals
from auditor.explain.errors.study import study_errors
from auditor.explain.optima.objectives import find_features
from auditor.explain.optima.study import study_optima
from auditor.explain.trust.study import study_trust
from auditor.subject.model.classifier import Explainable

STUDIES: dict[str, Callable[..., Any]] = {
    "trust": study_trust,
    "errors": study_errors,
    "counterfactual": study_counterfactuals,
    "optima": study_optima,
}
"""Plain functions of an `Inquiry`; their keyword-only parameters are their options. What they return is the field of
the same name in `AuditResult`. They are run in this order: where time is short, the last are left out."""

CHECKS: dict[str, Callable[[Explainable, Mapping[str, Any]], object]] = {
    "optima": lambda classifier, options: find_features(classifier, options["features"]),
    "counterfactual": lambda classifier, options: find_pairs(classifier, options["pairs"]),
}
"""What raises an `OptionError` where options of a study ask for what the model lacks, before anything is measured."""

METHODS: dict[str, Callable[..., Any]] = {**ATTRIBUTIONS, **STUDIES}
