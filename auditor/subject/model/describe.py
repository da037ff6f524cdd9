"""What a result tells of a Keras model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from auditor.subject.model.surgery import count_parameters, hash_weights
from auditor.subject.record import ModelRecord

if TYPE_CHECKING:
    from auditor.subject.model.keras import KerasClassifier


def describe_model(
    classifier: KerasClassifier, model: Any, *, source: str, sha256: str | None, preprocessing: str
) -> ModelRecord:
    """The record of a classifier around a Keras model; without a file, its weights are what is hashed."""
    return ModelRecord(
        source=source,
        sha256=sha256 or hash_weights(model),
        structure=classifier.structure,
        classes=list(classifier.classes),
        image_shape=classifier.image_shape,
        input_range=classifier.input_range,
        preprocessing=preprocessing,
        head=classifier.head,
        output=classifier.output,
        score=classifier.score_name,
        parameters=count_parameters(model),
        feature_layers=list(classifier.feature_layers),
    )
