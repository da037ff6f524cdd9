"""Which methods an audit runs: those of the table and the user's own, with their options, and a record of each."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from auditor.config.file import AuditConfig
from auditor.config.options import Function
from auditor.config.sections import MethodConfig
from auditor.errors import OptionError
from auditor.explain.attribution.question import Method
from auditor.explain.attribution.record import MethodRecord
from auditor.explain.inquiry import Inquiry
from auditor.explain.table import CHECKS, METHODS, STUDIES
from auditor.measure.ledger import Arrays
from auditor.measure.pieces import Piece
from auditor.run.result import AuditResult
from auditor.subject.model.classifier import Explainable

Section = Callable[[AuditResult, Arrays], list[Piece]]
"""Tells, of a result and its arrays, what a section of the report shows."""


@dataclass(frozen=True)
class Plan:
    """What is run."""

    attributions: list[Method]
    studies: dict[str, Callable[[Inquiry], Any]]
    """By name, with their options bound."""
    sections: dict[str, Section]
    """Of the user's own, by name."""
    records: list[MethodRecord]
    """Of every method there is; those that are to be run are `missing` as yet."""


def plan_methods(config: AuditConfig, classifier: Explainable, why_no_gradients: str | None = None) -> Plan:
    """The methods that a configuration switches on, and why the others are not run.

    Raises
    ------
    ConfigError
        An option is wrong, or asks for what the model lacks; or a function of the user's is no method.
    """
    calls, named = config.calls, enumerate(config.report.sections)
    plan = Plan([], {}, {name: calls["report", "sections", at].function for at, name in named}, [])
    for name in {**METHODS, **config.methods}:
        function, options, is_own = calls["methods", name].function, calls["methods", name].options, name not in METHODS
        section = config.methods.get(name, MethodConfig())
        try:
            is_study = name in STUDIES or (is_own and _asks_the_model(function))
        except OptionError as fault:
            raise config.fault(("methods", name), fault.message) from None
        only_exemplars = section.on == "exemplars"
        if only_exemplars and is_study:
            raise config.fault(("methods", name, "on"), f"{name} chooses its own images; leave it out")
        method = Method(name, function, options, only_exemplars)
        status, reason = "missing", "the audit ended before it was run"
        if not section.enabled:
            status, reason = "off", "switched off in the configuration"
        elif only_exemplars and not config.explain.exemplars:
            status, reason = "off", "for exemplars only, and none are shown"
        elif why_no_gradients is not None and not (is_study and is_own):
            status, reason = "not_applicable", why_no_gradients
        elif method.reads_layers and not is_study and not classifier.feature_layers:
            status, reason = "not_applicable", classifier.why_no_features
        elif is_study:
            _refuse_what_the_model_lacks(config, classifier, name, options)
            plan.studies[name] = partial(function, **options)
        else:
            plan.attributions.append(method)
        plain = {key: list(value) if isinstance(value, tuple) else value for key, value in options.items()}
        plain |= {"on": section.on} if only_exemplars else {}
        plan.records.append(MethodRecord(name, status, reason, plain, *describe_method(function)))  # type: ignore[arg-type]
    return plan


def describe_method(function: Function) -> tuple[str, str]:
    """First sentence and reference of a method, from its docstring."""
    text = inspect.getdoc(function) or ""
    reference = text.partition("References:")[2].strip()
    return text.partition("\n")[0], " ".join(reference.split())


def _asks_the_model(function: Function) -> bool:
    """Whether a function of the user's is a study, rather than a method of attribution."""
    first = next(iter(inspect.signature(function).parameters.values()), None)
    kind = "" if first is None else str(getattr(first.annotation, "__name__", first.annotation)).rpartition(".")[2]
    for name, answer in (("Inquiry", True), ("Question", False)):
        if first is not None and (kind == name or first.name == name.lower()):
            return answer
    got = "no parameter" if first is None else f"the first parameter {first.name!r}"
    wanted = "wanted `question` (a method of attribution, auditor.Question) or `inquiry` (a study, auditor.Inquiry)"
    raise OptionError("", f"got {got}, {wanted}")


def _refuse_what_the_model_lacks(
    config: AuditConfig, classifier: Explainable, name: str, options: Mapping[str, Any]
) -> None:
    """At once, not after all that is measured first."""
    try:
        if name in CHECKS:
            CHECKS[name](classifier, options)
    except OptionError as fault:
        raise config.fault(("methods", name, fault.option), fault.message) from None
