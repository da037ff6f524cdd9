"""Runs in MLflow: their numbers as metrics, their verdicts as tags, their files as artifacts.

    with mlflow.start_run():
        auditor.mlflow.log_run(auditor.audit("audit.toml"))

    asked = {"config": "audit.toml"}
    mlflow.models.evaluate(model, data, targets="label", evaluators="auditor", evaluator_config=asked)

The evaluator is registered under the entry point `mlflow.model_evaluator`, so the second needs no import of Auditor.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain, count
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from auditor.auditing.conduct import AuditedRun
from auditor.errors import ConfigError
from auditor.run.result import AuditResult
from auditor.run.store import SavedRun
from auditor.verdict.record import Finding

if TYPE_CHECKING:
    from auditor.auditing.integrations.mlflow_evaluator import AuditEvaluator

__all__ = ["AuditEvaluator", "log_run", "metrics_of", "tags_of"]


def log_run(run: AuditedRun | str | Path, *, run_id: str | None = None) -> dict[str, float]:
    """Log an audit to a run of MLflow; returns the metrics.

    Parameters
    ----------
    run
        An audit, or the folder of a saved one. The files of a saved run become artifacts under `auditor/`.
    run_id
        Of the run of MLflow; without it the active one, or a new one that is then active.

    Raises
    ------
    ConfigError
        MLflow is not installed.
    ReportError
        The folder is no run, or is damaged.
    """
    mlflow = _import_mlflow()
    run = run if isinstance(run, AuditedRun) else AuditedRun(SavedRun(Path(run)), Path(run))
    metrics, client = metrics_of(run.result), mlflow.MlflowClient()
    if run_id is None:
        run_id = (mlflow.active_run() or mlflow.start_run()).info.run_id
    for name, value in metrics.items():
        client.log_metric(run_id, name, value)
    for name, text in tags_of(run.result).items():
        client.set_tag(run_id, name, text)
    if run.folder is not None:
        client.log_artifacts(run_id, str(run.folder), "auditor")
    return metrics


def metrics_of(result: AuditResult) -> dict[str, float]:
    """Metrics of a result by their names: `auditor/exit_code`, and for each artefact and class what was measured.

    `auditor/tag/cat/effect` with `effect_low` and `effect_high` is what the verdict was taken on, beside its `margin`;
    the others have the names of the measurements in `result.json`. What was not measured is left out.
    """
    found = {f"{_PREFIX}/exit_code": float(result.final_code)}
    for path, finding in _by_path(result):
        if finding.effect is not None:
            effect = finding.effect
            parts = {"effect": effect.value, "effect_low": effect.low, "effect_high": effect.high}
            found |= {f"{path}/{name}": value for name, value in parts.items() if value is not None}
        if finding.margin is not None:
            found[f"{path}/margin"] = finding.margin
        measured = {name: measurement.value for name, measurement in finding.measurements.items()}
        found |= {f"{path}/{name}": float(value) for name, value in measured.items() if value is not None}
    return found


def tags_of(result: AuditResult) -> dict[str, str]:
    """Tags of a result: the verdict on each artefact and class, and its severity."""
    found = {}
    for path, finding in _by_path(result):
        direction = f" ({finding.direction})" if finding.direction else ""
        found[f"{path}/verdict"] = finding.told.replace("_", " ") + direction
        found[f"{path}/severity"] = finding.severity or "not judged"
    return found


def _by_path(result: AuditResult) -> Iterator[tuple[str, Finding]]:
    """Each finding under a name of its own that MLflow takes."""
    used: set[str] = set()
    for finding in result.findings:
        plain = "/".join([_PREFIX, _plain(finding.artefact), _plain(finding.target or "every class")])
        names = chain([plain], (f"{plain} {number}" for number in count(2)))
        path = next(name for name in names if name not in used)
        used.add(path)
        yield path, finding


def _plain(name: str) -> str:
    """A name as a part of a path: letters, digits, and what MLflow allows between them."""
    return re.sub(r"[^\w\- ]", "_", name)[:_LONGEST].strip() or "_"


def _import_mlflow() -> ModuleType:
    try:
        import mlflow
    except ImportError:
        raise ConfigError("auditor.mlflow needs MLflow: `pip install 'auditor[mlflow]'`") from None
    return mlflow


def __getattr__(name: str) -> object:
    if name == "AuditEvaluator":
        from auditor.auditing.integrations.mlflow_evaluator import AuditEvaluator

        return AuditEvaluator
    raise AttributeError(f"module 'auditor.mlflow' has no attribute {name!r}")


_PREFIX = "auditor"

_LONGEST = 80
"""Signs of a name that are told: a metric's whole name may have 250."""
