"""The audited model and images as a result tells of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from auditor.measure.measurement import Measurement


@dataclass(frozen=True)
class ClassAccuracy:
    """Accuracy on the images of one class, as they came."""

    name: str
    images: int
    predicted: int
    accuracy: Measurement


@dataclass(frozen=True)
class SkippedImage:
    """An image that could not be used, and why."""

    image: str
    reason: str


@dataclass(frozen=True)
class ModelRecord:
    """The audited model."""

    source: str
    sha256: str | None
    structure: str
    classes: list[str]
    image_shape: tuple[int, int, int]
    input_range: tuple[float, float] | None
    preprocessing: str
    head: str
    """How scores were taken from the model's output."""
    output: Literal["softmax", "binary", "multilabel"]
    score: str
    parameters: int | None
    """Null of a classifier that does not tell."""
    feature_layers: list[str]


@dataclass(frozen=True)
class DataRecord:
    """The audited images."""

    source: str
    sha256: str | None
    """Of the file; of a manifest, folder or function, of the pixels and labels used, as the model gets them."""
    available: int
    sampled: int
    used: int
    groups: int
    labelled: bool
    skipped: list[SkippedImage]
    accuracy: Measurement
    classes: list[ClassAccuracy]
    mean_image: str
    """Key of the array."""
