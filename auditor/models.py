"""Loads the model that a configuration names: `MODEL_LOADERS`, a row per kind of file."""

from __future__ import annotations

import hashlib
import zipfile
from collections import Counter
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import keras
import numpy as np

from auditor.config import AuditConfig
from auditor.errors import ModelError, OptionError
from auditor.keras_classifier import KerasClassifier, first_line
from auditor.options import is_function_spec, suggest
from auditor.records import ModelRecord


def load_classifier(
    config: AuditConfig, image_shape: tuple[int, int, int] | None
) -> tuple[KerasClassifier, ModelRecord]:
    """Load the model that a configuration names.

    Parameters
    ----------
    image_shape
        Height, width and channels of the data, for a model that leaves them open.

    Raises
    ------
    ConfigError
        The file is missing, or the labels do not fit.
    ModelError
        The model cannot be loaded, run or read.
    """
    section = config.model
    preprocess, input_range = _preprocessing(config)
    classes = _class_names(config)
    sha256 = None
    if is_function_spec(section.source):
        model = _call_user(config, section.source)
    else:
        file = config.path(section.source)
        loader = MODEL_LOADERS.get(file.suffix)
        if loader is None:
            wanted = ", ".join([*MODEL_LOADERS, "package.module:function"])
            raise config.fault(("model", "source"), f"got {section.source!r}, wanted one of: {wanted}")
        if not file.is_file():
            raise config.fault(("model", "source"), f"{file}: no such file")
        model = loader(file, section.trust, config.place("model", "source"))
        sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    try:
        classifier = KerasClassifier(
            model,
            classes=classes,
            image_shape=image_shape,
            input_range=input_range,
            preprocess=preprocess,
            output=section.output,
            batch_size=section.batch_size,
        )
        classifier.scores(np.zeros((1, *classifier.image_shape), np.float32))  # as a graph, too, before the audit
    except ModelError as error:
        where = config.place("model", "source")
        raise ModelError(f"{where}: model.source: {section.source}: {error}") from None
    except OptionError as error:
        raise config.fault(("model", error.option), error.message) from None
    _refuse_unknown_layers(config, classifier.layers)
    return classifier, classifier.record(section.source, sha256)


def _load_keras_file(file: Path, trust: bool, where: str) -> Any:
    if file.suffix == ".keras" and not zipfile.is_zipfile(file):
        message = "cannot be loaded: it is no zip archive, as .keras files are, or it is cut short"
        raise ModelError(f"{where}: model.source: {file} {message}")
    try:
        return keras.models.load_model(file, compile=False, safe_mode=not trust)
    except Exception as fault:  # Keras raises whatever its readers raise
        text = str(fault)
        if "safe_mode" in text or ("Lambda" in text and "deserializ" in text):
            raise ModelError(
                f"{where}: model.source: {file.name} holds a Lambda layer, that is Python code which loading would "
                "run; if you know where it comes from, set trust = true under [model]"
            ) from None
        raise ModelError(f"{where}: model.source: {file} cannot be loaded: {first_line(fault)}") from None


def _call_user(config: AuditConfig, spec: str) -> Any:
    function = config.function(("model", "source"), spec)
    where = config.place("model", "source")
    try:
        model = function()
    except Exception as fault:  # the user's code may raise anything
        raise ModelError(f"{where}: model.source: {spec} failed: {first_line(fault)}") from None
    if not isinstance(model, keras.Model):
        raise ModelError(f"{where}: model.source: {spec} returned {type(model).__name__}, wanted a keras.Model")
    return model


def _preprocessing(config: AuditConfig) -> tuple[Callable[[Any], Any] | None, tuple[float, float] | None]:
    """The preprocessing function and the pixel range that a configuration declares."""
    section = config.model
    if is_function_spec(section.preprocess):
        if section.input_range is not None:
            message = f"has no effect beside preprocess = {section.preprocess!r}, which is given [0, 255]; leave it out"
            raise config.fault(("model", "input_range"), message)
        return config.function(("model", "preprocess"), section.preprocess), None
    if section.preprocess != "none":
        wanted = "wanted 'none' or package.module:function"
        raise config.fault(("model", "preprocess"), f"got {section.preprocess!r}, {wanted}")
    return None, section.input_range


def _refuse_unknown_layers(config: AuditConfig, layers: tuple[str, ...]) -> None:
    """Find out before the audit, not at its end, that Grad-CAM was asked for a layer that is not there."""
    options = config.methods["grad_cam"].options if "grad_cam" in config.methods else {}
    for index, layer in enumerate(options.get("layers", ())):
        if layer not in layers:
            message = f"{layer!r} is no layer with feature maps{suggest(layer, list(layers))}"
            raise config.fault(("methods", "grad_cam", "layers", index), message)


def _class_names(config: AuditConfig) -> tuple[str, ...] | None:
    labels = config.model.labels
    if not isinstance(labels, str):
        names = labels
    elif labels == "imagenet":
        names = tuple(resources.files("auditor").joinpath("imagenet_classes.txt").read_text("utf-8").splitlines())
    else:
        file = config.path(labels)
        try:
            text = file.read_text(encoding="utf-8-sig")
        except FileNotFoundError:
            raise config.fault(("model", "labels"), f"{file}: no such file") from None
        except (OSError, UnicodeDecodeError) as fault:
            raise config.fault(("model", "labels"), f"{file}: cannot be read as UTF-8 text: {fault}") from None
        names = tuple(line.strip() for line in text.splitlines() if line.strip())
    repeated = [name for name, count in Counter(names or ()).items() if count > 1]
    if repeated:
        raise config.fault(("model", "labels"), f"got {repeated[0]!r} twice, wanted a name of its own for each class")
    return names


MODEL_LOADERS: dict[str, Callable[[Path, bool, str], Any]] = {
    ".keras": _load_keras_file,
    ".h5": _load_keras_file,
}
