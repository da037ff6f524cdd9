"""Tells whether an image classifier takes shortcuts, and shows how it knows.

    import auditor

    tag = auditor.overlay("tag.png", target="pneumonia")
    run = auditor.audit(model, images, labels, classes=names, artefacts=[tag])
    run.findings, run.warnings, run.exit_code
    run.report("report.html")

Importing it loads nothing but this file; TensorFlow is loaded by the first audit.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from auditor.auditing.api import Artefact, AuditedRun, audit, compare, load, overlay, text
    from auditor.auditing.integrations import mlflow
    from auditor.auditing.integrations.keras_callback import AuditCallback, AuditWarning
    from auditor.errors import AuditError
    from auditor.explain.attribution.question import Attribution, Question
    from auditor.explain.inquiry import Inquiry, NotApplicableError
    from auditor.measure.intervals import mean_interval, share_interval
    from auditor.measure.ledger import Arrays
    from auditor.measure.measurement import Measurement
    from auditor.measure.pieces import (
        Answer,
        Column,
        Curves,
        Interval,
        IntervalPlot,
        Line,
        Picture,
        Piece,
        Remark,
        Row,
        Strip,
        Table,
    )
    from auditor.run.result import AuditResult
    from auditor.subject.model.classifier import Classifier, Differentiable, Pass
    from auditor.verdict.record import Finding

_PLACES = {
    "auditor.auditing.api": ("Artefact", "AuditedRun", "audit", "compare", "load", "overlay", "text"),
    "auditor.auditing.integrations.keras_callback": ("AuditCallback", "AuditWarning"),
    "auditor.errors": ("AuditError",),
    "auditor.explain.attribution.question": ("Attribution", "Question"),
    "auditor.explain.inquiry": ("Inquiry", "NotApplicableError"),
    "auditor.measure.intervals": ("mean_interval", "share_interval"),
    "auditor.measure.ledger": ("Arrays",),
    "auditor.measure.measurement": ("Measurement",),
    "auditor.measure.pieces": (
        "Answer",
        "Column",
        "Curves",
        "Interval",
        "IntervalPlot",
        "Line",
        "Picture",
        "Piece",
        "Remark",
        "Row",
        "Strip",
        "Table",
    ),
    "auditor.run.result": ("AuditResult",),
    "auditor.subject.model.classifier": ("Classifier", "Differentiable", "Pass"),
    "auditor.verdict.record": ("Finding",),
}
"""Module -> the names that it promises here; nothing else may be relied on."""

__all__ = [
    "Answer",
    "Arrays",
    "Artefact",
    "Attribution",
    "AuditCallback",
    "AuditError",
    "AuditResult",
    "AuditWarning",
    "AuditedRun",
    "Classifier",
    "Column",
    "Curves",
    "Differentiable",
    "Finding",
    "Inquiry",
    "Interval",
    "IntervalPlot",
    "Line",
    "Measurement",
    "NotApplicableError",
    "Pass",
    "Picture",
    "Piece",
    "Question",
    "Remark",
    "Row",
    "Strip",
    "Table",
    "__version__",
    "audit",
    "compare",
    "load",
    "mean_interval",
    "mlflow",
    "overlay",
    "share_interval",
    "text",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("auditor")
    if name == "mlflow":
        return import_module("auditor.auditing.integrations.mlflow")
    for module, names in _PLACES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module 'auditor' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
