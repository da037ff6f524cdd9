"""The evaluator that MLflow finds under the name `auditor`; importing this needs MLflow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlflow.models.evaluation.base import EvaluationResult, ModelEvaluator

from auditor.auditing.integrations.mlflow import log_run
from auditor.errors import ConfigError


class AuditEvaluator(ModelEvaluator):  # type: ignore[misc]
    """Audits as `evaluator_config["config"]`, an `audit.toml`, says, and logs the run.

    A Keras model behind the model that MLflow evaluates takes the place of the one that the file names; the images are
    those of the file, for MLflow's tables hold none.
    """

    @classmethod
    def can_evaluate(cls, *, model_type: str, evaluator_config: dict[str, Any], **more: Any) -> bool:
        """Whether the model is a classifier, of whatever kind, and a configuration is named."""
        del more
        return model_type in (None, "classifier") and "config" in (evaluator_config or {})

    def evaluate(
        self,
        *,
        model_type: str,
        dataset: Any,
        run_id: str,
        evaluator_config: dict[str, Any],
        model: Any = None,
        **more: Any,
    ) -> EvaluationResult:
        """Audit and log; returns the metrics. See `mlflow.models.evaluate`."""
        del model_type, dataset, more
        unknown = set(evaluator_config) - {"config"}
        if unknown:
            raise ConfigError(
                f"evaluator_config: got {sorted(unknown)[0]!r}, wanted 'config', the path of an audit.toml"
            )
        from auditor.auditing.api import audit_file

        run = audit_file(Path(evaluator_config["config"]), model=_keras_model(model))
        return EvaluationResult(metrics=log_run(run, run_id=run_id), artifacts={}, run_id=run_id)


def _keras_model(model: Any) -> Any:
    """The Keras model that a pyfunc of MLflow wraps; None where it wraps none."""
    raw = model.get_raw_model() if hasattr(model, "get_raw_model") else None
    return raw if type(raw).__module__.partition(".")[0] == "keras" else None
