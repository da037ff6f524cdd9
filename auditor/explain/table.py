"""All methods by the name of their section in `audit.toml`: attributions explain images, studies the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from auditor.explain.attribution.methods import ATTRIBUTIONS
from auditor.explain.counterfactual.study import study_counterfactuals
from auditor.explain.errors.study import study_errors
from auditor.explain.optima.study import study_optima
from auditor.explain.trust.study import study_trust

STUDIES: dict[str, Callable[..., Any]] = {
    "trust": study_trust,
    "optima": study_optima,
    "counterfactual": study_counterfactuals,
    "errors": study_errors,
}
"""Plain functions of an `Inquiry`; their keyword-only parameters are their options. What they return is the field of
the same name in `AuditResult`."""

METHODS: dict[str, Callable[..., Any]] = {**ATTRIBUTIONS, **STUDIES}
