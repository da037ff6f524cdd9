"""Loads the model that a configuration names: a file, one that comes with Keras, or what a function returns."""

from __future__ import annotations

import hashlib
import inspect
import socket
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import keras
import numpy as np

from auditor.config.file import AuditConfig
from auditor.config.options import APPLICATIONS, is_function_spec, suggest
from auditor.errors import ModelError, OptionError
from auditor.subject.model.classifier import Explainable
from auditor.subject.model.files import (
    MODEL_LOADERS,
    load_model_file,
    refuse_unknown_kind,
)
from auditor.subject.model.foreign import failing_as, first_line
from auditor.subject.model.given import GivenClassifier
from auditor.subject.model.keras import KerasClassifier
from auditor.subject.model.surgery import narrowed
from auditor.subject.model.trial import Trial, try_first
from auditor.subject.model.weights import load_weights
from auditor.subject.record import ModelRecord

_MOST_NAMES = 16 * 2**20
"""Bytes of a file of class names."""

_PATIENCE = 10
"""Seconds without an answer after which weights are no longer waited for."""


@dataclass(frozen=True)
class _Loaded:
    """A model, and what came with it."""

    model: Any
    sha256: str | None = None
    """Of the file or folder; None where only the weights themselves can be hashed."""
    preprocess: Callable[[Any], Any] | None = None
    """What the model's makers feed it through, a function of pixels in [0, 255]."""
    mended: Sequence[str] = ()
    """What was changed of its file for it to be read, in sentences."""


def load_classifier(
    config: AuditConfig, image_shape: tuple[int, int, int] | None, handed: Any = None
) -> tuple[KerasClassifier | GivenClassifier, ModelRecord]:
    """Load the model that a configuration names.

    Parameters
    ----------
    image_shape
        Height, width and channels of the data, for a model that leaves them open.
    handed
        The model itself, in place of one that the configuration names.

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
    try:
        loaded = _load(config, classes, image_shape) if handed is None else _Loaded(handed)
        classifier: KerasClassifier | GivenClassifier
        if isinstance(loaded.model, keras.Model):
            classifier = KerasClassifier(
                narrowed(loaded.model, section.inputs, section.outputs),
                classes=classes,
                image_shape=image_shape,
                input_range=input_range,
                preprocess=loaded.preprocess if preprocess is None and input_range is None else preprocess,
                output=section.output,
                batch_size=section.batch_size,
            )
            classifier.mended = loaded.mended
        else:
            _refuse_preprocessing(config)
            classifier = GivenClassifier(
                loaded.model, classes=classes, image_shape=image_shape, batch_size=section.batch_size
            )
        image = np.random.default_rng(0).random((1, *classifier.image_shape)).astype(np.float32)
        if not np.allclose(classifier.scores(image), classifier.scores(image), rtol=1e-3, atol=1e-3):
            raise ModelError(
                "gives the same image other scores each time, as with a dropout that is always on (training=True); "
                "wanted a model that does not draw at random, such as one that averages many draws"
            )
    except ModelError as error:
        where = config.place("model", "source")
        raise ModelError(f"{where}: model.source: {section.source}: {error}") from None
    except OptionError as error:
        raise config.fault(("model", error.option), error.message) from None
    _refuse_unknown_layers(config, classifier)
    return classifier, classifier.record(section.source, loaded.sha256)


def _load(config: AuditConfig, classes: tuple[str, ...] | None, image_shape: tuple[int, int, int] | None) -> _Loaded:
    section, path = config.model, config.path(config.model.source, "model", "source")
    is_application, is_function = section.source.startswith(APPLICATIONS), is_function_spec(section.source)
    if section.weights is not None and not (is_application or is_function):
        beside = f'"{APPLICATIONS}NAME" or "package.module:function"'
        raise OptionError("weights", f"has an effect only beside source = {beside}; leave it out")
    if "signature" in section.model_fields_set and not path.is_dir():
        raise OptionError("signature", "has an effect only where source is the folder of a SavedModel; leave it out")
    if is_application:
        return _load_application(config, classes, image_shape)
    if is_function:
        return _load_from_function(config)
    refuse_unknown_kind(path, section.source, trust=section.trust)
    sha256 = _hash_folder(path) if path.is_dir() else _hash_file(path)
    if not section.trust:
        try_first(Trial(str(path.absolute()), section.signature, image_shape, sha256))
    model, told = load_model_file(path, section.signature, trust=section.trust)
    return _Loaded(model, sha256, mended=told)


def _load_from_function(config: AuditConfig) -> _Loaded:
    """What a function of the user's returns, with weights from a file where one is named."""
    model = _call_user(config, config.model.source)
    if config.model.weights is None:
        return _Loaded(model)
    file = _weights_file(config, config.model.weights, "wanted")
    if not isinstance(model, keras.Model):
        raise OptionError("weights", f"are loaded into Keras models, and the function returned {type(model).__name__}")
    if not model.built:
        raise ModelError("returned a model without weights yet; call it once on an image, or give it an Input")
    load_weights(model, file, "the model that the function builds", trust=config.model.trust)
    return _Loaded(model, _hash_file(file))


def _weights_file(config: AuditConfig, weights: str, wanted: str) -> Path:
    file = config.path(weights, "model", "weights")
    if file.suffix not in MODEL_LOADERS:
        raise OptionError("weights", f"got {weights!r}, {wanted} a .weights.h5, .h5, .hdf5 or .keras file")
    if not file.is_file():
        raise OptionError("weights", f"{file}: no such file")
    return file


def _load_application(
    config: AuditConfig, classes: tuple[str, ...] | None, image_shape: tuple[int, int, int] | None
) -> _Loaded:
    """A model that comes with Keras, with weights that do not."""
    name, weights = config.model.source.removeprefix(APPLICATIONS), config.model.weights
    known = {name: build for name, build in vars(keras.applications).items() if inspect.isfunction(build)}
    if name not in known:
        raise OptionError("source", f"keras.applications has no model {name!r}{suggest(name, sorted(known))}")
    build, sha256 = known[name], None
    if weights is None:
        wanted = 'wanted weights = "FILE.weights.h5", or "imagenet" to fetch them'
        raise OptionError("weights", f"missing; {wanted}, as random weights are never audited")
    if weights == "imagenet":
        model = _fetch_application(build)
    else:
        file = _weights_file(config, weights, "wanted imagenet, or")
        frame = (*image_shape[:2], 3) if image_shape is not None and config.data.fit == "exact" else None
        count = 1000 if classes is None else len(classes)
        with failing_as("cannot be built"):
            model = build(weights=None, input_shape=frame, classes=count)
        load_weights(model, file, f"{name} with {count} classes", trust=config.model.trust)
        sha256 = _hash_file(file)
    preprocess = sys.modules[build.__module__].preprocess_input
    pixels = keras.ops.zeros((1, 1, 1, 3))
    passes_through = preprocess(pixels) is pixels  # then the model's own first layers do it
    return _Loaded(model, sha256, None if passes_through else preprocess)


def _fetch_application(build: Callable[..., Any]) -> Any:
    is_chatty, patience = keras.config.is_interactive_logging_enabled(), socket.getdefaulttimeout()
    keras.config.disable_interactive_logging()
    socket.setdefaulttimeout(_PATIENCE)
    try:
        return build(weights="imagenet")
    except Exception as fault:  # Keras raises plain exceptions
        raise ModelError(
            f"the weights 'imagenet' cannot be fetched ({first_line(fault)}); fetch that file elsewhere, and set "
            'weights = "FILE.h5"'
        ) from None
    finally:
        socket.setdefaulttimeout(patience)
        if is_chatty:
            keras.config.enable_interactive_logging()


def _hash_file(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _hash_folder(folder: Path) -> str:
    """Over the lines that `sha256sum` would print of its files, in the order of their names."""
    files = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
    lines = "".join(f"{_hash_file(folder / name)}  {name}\n" for name in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def _call_user(config: AuditConfig, spec: str) -> Any:
    function = config.function(("model", "source"), spec)
    with failing_as("failed"):
        return function()


def _refuse_preprocessing(config: AuditConfig) -> None:
    """A classifier of the user's own does that itself."""
    for key in ("preprocess", "input_range", "output", "outputs", "inputs"):
        if getattr(config.model, key) not in ("none", None, "auto", {}):
            raise OptionError(key, "lies inside a classifier of your own, and cannot be said here; leave it out")


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


def _refuse_unknown_layers(config: AuditConfig, classifier: Explainable) -> None:
    """Find out before the audit, not at its end, that Grad-CAM was asked for a layer that is not there."""
    options = config.methods["grad_cam"].options if "grad_cam" in config.methods else {}
    for index, layer in enumerate(options.get("layers", ())):
        if layer not in classifier.layers:
            why = suggest(layer, list(classifier.layers)) or f": {classifier.why_no_features}"
            message = f"{layer!r} is no layer with feature maps{why}"
            raise config.fault(("methods", "grad_cam", "layers", index), message)


def _class_names(config: AuditConfig) -> tuple[str, ...] | None:
    labels = config.model.labels
    if not isinstance(labels, str):
        names = labels
    elif labels == "imagenet":
        names = tuple(
            resources.files("auditor.subject.model").joinpath("imagenet_classes.txt").read_text("utf-8").splitlines()
        )
    else:
        file = config.path(labels, "model", "labels")
        try:
            if file.exists() and not (file.is_file() and file.stat().st_size <= _MOST_NAMES):
                raise config.fault(("model", "labels"), f"{file}: wanted a file of {_MOST_NAMES >> 20} MiB at most")
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
