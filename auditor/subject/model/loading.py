"""Loads the model that a configuration names: `MODEL_LOADERS`, a row per kind of file."""

from __future__ import annotations

import hashlib
import inspect
import json
import socket
import sys
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any

import h5py
import keras
import numpy as np

from auditor.config.file import AuditConfig
from auditor.config.options import is_function_spec, suggest
from auditor.errors import ModelError, OptionError
from auditor.subject.model.classifier import Explainable
from auditor.subject.model.foreign import first_line
from auditor.subject.model.given import GivenClassifier
from auditor.subject.model.keras import KerasClassifier
from auditor.subject.model.saved_model import GRAPH_FILE, load_saved_model
from auditor.subject.record import ModelRecord

APPLICATIONS = "keras.applications:"
"""How the source of a model that comes with Keras begins."""

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
                loaded.model,
                classes=classes,
                image_shape=image_shape,
                input_range=input_range,
                preprocess=loaded.preprocess if preprocess is None and input_range is None else preprocess,
                output=section.output,
                batch_size=section.batch_size,
            )
        else:
            _refuse_preprocessing(config)
            classifier = GivenClassifier(
                loaded.model, classes=classes, image_shape=image_shape, batch_size=section.batch_size
            )
        image = np.random.default_rng(0).random((1, *classifier.image_shape)).astype(np.float32)
        classifier.scores(image)  # as a graph, too, before the audit
    except ModelError as error:
        where = config.place("model", "source")
        raise ModelError(f"{where}: model.source: {section.source}: {error}") from None
    except OptionError as error:
        raise config.fault(("model", error.option), error.message) from None
    _refuse_unknown_layers(config, classifier)
    return classifier, classifier.record(section.source, loaded.sha256)


def _load(config: AuditConfig, classes: tuple[str, ...] | None, image_shape: tuple[int, int, int] | None) -> _Loaded:
    section, path = config.model, config.path(config.model.source, "model", "source")
    is_application = section.source.startswith(APPLICATIONS)
    if section.weights is not None and not is_application:
        raise OptionError("weights", f'has an effect only beside source = "{APPLICATIONS}NAME"; leave it out')
    if "signature" in section.model_fields_set and not path.is_dir():
        raise OptionError("signature", "has an effect only where source is the folder of a SavedModel; leave it out")
    if is_application:
        return _load_application(config, classes, image_shape)
    if is_function_spec(section.source):
        return _Loaded(_call_user(config, section.source))
    if path.is_dir():
        if not (path / GRAPH_FILE).is_file():
            raise OptionError("source", f"{path}: no {GRAPH_FILE} there; wanted the folder of a SavedModel")
        with _failing_as("cannot be loaded, it is damaged or incomplete"):
            return _Loaded(load_saved_model(path, section.signature, trust=section.trust), _hash_folder(path))
    loader = MODEL_LOADERS.get(path.suffix)
    if loader is None:
        others = ["the folder of a SavedModel", f"{APPLICATIONS}NAME", "package.module:function"]
        wanted = ", ".join([*MODEL_LOADERS, *others])
        raise OptionError("source", f"got {section.source!r}, wanted one of: {wanted}")
    if not path.is_file():
        raise OptionError("source", f"{path}: no such file")
    return _Loaded(loader(path, section.trust), _hash_file(path))


def _load_keras_archive(file: Path, trust: bool) -> Any:
    try:
        with zipfile.ZipFile(file) as archive:
            names, config = archive.namelist(), json.loads(archive.read("config.json"))
        foreign = sorted(set(_find_foreign_parts(config)))
    except Exception as fault:  # whatever a file that is none makes of its readers
        what = "it is no archive of Keras, as .keras files are, or it is cut short"
        raise ModelError(f"cannot be loaded: {what} ({first_line(fault)})") from None
    outside = [name for name in names if name.startswith("/") or ".." in PurePosixPath(name).parts]
    if outside:
        raise ModelError(f"cannot be loaded: it holds a file that would be written outside of it, {outside[0]!r}")
    if foreign:
        raise ModelError(
            f"is made of what is no part of Keras: {', '.join(foreign)}; write a function that imports it and returns "
            'the model, and name that, source = "package.module:function"'
        )
    _refuse_lambdas(config, trust)
    return _load_keras_file(file, trust)


def _find_foreign_parts(config: Any) -> Iterator[str]:
    """Classes and functions that an architecture names and that neither come with Keras nor were registered."""
    if isinstance(config, dict):
        module, name = config.get("module"), config.get("class_name")
        if isinstance(module, str) and isinstance(name, str):
            registered = keras.saving.get_registered_object(str(config.get("registered_name")))
            if module.partition(".")[0] not in _KERAS and registered is None:
                yield f"{module}.{name}"
        for value in config.values():
            yield from _find_foreign_parts(value)
    elif isinstance(config, list):
        for value in config:
            yield from _find_foreign_parts(value)


def _load_hdf5(file: Path, trust: bool) -> Any:
    if not h5py.is_hdf5(file):
        raise ModelError(f"cannot be loaded: it is no HDF5 file, as {file.suffix} files are")
    with _failing_as("cannot be loaded: it is damaged or cut short"), h5py.File(file) as content:
        architecture = content.attrs.get("model_config")
        config = None if architecture is None else json.loads(architecture)
    if config is None:
        raise ModelError(
            "holds weights only, not the model that they belong to; write a function that builds it and loads them, "
            f'or, where it comes with Keras, set source = "{APPLICATIONS}NAME" and weights = "{file.name}"'
        )
    _refuse_lambdas(config, trust)
    return _load_keras_file(file, trust)


def _refuse_lambdas(config: Any, trust: bool) -> None:
    """Keras itself refuses code in a Lambda, yet not the name of any function of its own, which may write files."""
    waiting = [] if trust else [config]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict) and node.get("class_name") == "Lambda":
            raise ModelError(_LAMBDA)
        waiting += node.values() if isinstance(node, dict) else node if isinstance(node, list) else []


def _load_keras_file(file: Path, trust: bool) -> Any:
    try:
        with _failing_on_fresh_weights():
            return keras.models.load_model(file, compile=False, safe_mode=not trust)
    except Exception as fault:  # Keras raises whatever its readers raise
        said = first_line(fault)
        if "safe_mode" in str(fault) or ("Lambda" in said and "deserializ" in said):
            if "lambda" in said.lower():
                raise ModelError(_LAMBDA) from None
            raise ModelError(
                _UNTRUSTED.format(f"a layer that loading would let reach beyond the file ({said})")
            ) from None
        raise ModelError(f"cannot be loaded: {said}") from None


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
        file = config.path(weights, "model", "weights")
        if file.suffix not in MODEL_LOADERS:
            raise OptionError("weights", f"got {weights!r}, wanted imagenet, or a .weights.h5, .h5 or .keras file")
        if not file.is_file():
            raise OptionError("weights", f"{file}: no such file")
        frame = (*image_shape[:2], 3) if image_shape is not None and config.data.fit == "exact" else None
        count = 1000 if classes is None else len(classes)
        with _failing_as("cannot be built"):
            model = build(weights=None, input_shape=frame, classes=count)
        _load_weights(model, file, f"{name} with {count} classes")
        sha256 = _hash_file(file)
    preprocess = sys.modules[build.__module__].preprocess_input
    pixels = keras.ops.zeros((1, 1, 1, 3))
    passes_through = preprocess(pixels) is pixels  # then the model's own first layers do it
    return _Loaded(model, sha256, None if passes_through else preprocess)


def _load_weights(model: Any, file: Path, what: str) -> None:
    """Load weights, and make sure that no weight of the model is left as it was."""
    weights = [weight for weight in model.weights if "float" in weight.dtype]
    for weight in weights:
        weight.assign(np.full(weight.shape, np.nan))
    with _failing_as(f"{file.name} does not hold the weights of {what}"), _failing_on_fresh_weights():
        model.load_weights(file)
    missing = [weight.path for weight in weights if np.isnan(keras.ops.convert_to_numpy(weight)).all()]
    if missing:
        raise ModelError(f"{file.name} does not hold the weights of {what}: {missing[0]} is missing")


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


@contextmanager
def _failing_as(what: str) -> Iterator[None]:
    """Where readers that are not ours may raise anything."""
    try:
        yield
    except (ModelError, OptionError, MemoryError):
        raise
    except Exception as fault:
        raise ModelError(f"{what}: {first_line(fault)}") from None


@contextmanager
def _failing_on_fresh_weights() -> Iterator[None]:
    """Keras only warns where a file lacks weights, and keeps the random ones."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="(?s).*freshly-initialized")
        yield


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
    with _failing_as("failed"):
        return function()


def _refuse_preprocessing(config: AuditConfig) -> None:
    """A classifier of the user's own does that itself."""
    for key in ("preprocess", "input_range", "output"):
        if getattr(config.model, key) not in ("none", None, "auto"):
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


_UNTRUSTED = "holds {}; if you know where it comes from, set trust = true under [model]"
_LAMBDA = _UNTRUSTED.format("a Lambda layer, that is Python code which loading would run")

_KERAS = ("keras", "keras_hub", "keras_cv", "keras_nlp", "builtins")
"""Packages whose parts Keras itself finds; of `builtins` it takes names of its own functions only."""

MODEL_LOADERS: dict[str, Callable[[Path, bool], Any]] = {
    ".keras": _load_keras_archive,
    ".h5": _load_hdf5,
    ".hdf5": _load_hdf5,
}
