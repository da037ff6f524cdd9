"""What a model file may name and still be loaded without trust: parts of Keras that compute on tensors, no others.

Keras builds whatever a configuration names, with the arguments that stand beside it. So the list is one of what is
allowed: what is not on it is refused, whatever it does, and what a later Keras adds is refused until it is looked at.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import keras

from auditor.errors import ModelError
from auditor.subject.model.trial import TO_TRUST

TO_BUILD = 'write a function that imports it and returns the model, and name that, source = "package.module:function"'

_PACKAGES = ("keras", "keras_hub", "keras_cv", "keras_nlp", "builtins")
"""Packages whose parts Keras itself finds; of `builtins` it takes names of its own functions only."""


class ForeignError(ModelError):
    """An architecture is made of what is no part of Keras."""


def refuse_foreign(config: Any) -> None:
    """Refuse an architecture of what neither comes with Keras nor was registered, trusted or not.

    Raises
    ------
    ForeignError
        What is foreign in it.
    """
    foreign = sorted({_path(part) for part, _, _ in _walk(config) if _is_foreign(part)})
    if foreign:
        raise ForeignError(f"is made of what is no part of Keras: {', '.join(foreign)}; {TO_BUILD}")


def refuse_what_runs(config: Any) -> None:
    """Refuse an architecture in which anything may do more than compute.

    Raises
    ------
    ModelError
        The first such part, in one sentence: what it is, where it stands, what can be done.
    """
    for part, where, is_training in _walk(config):
        name = part["class_name"]
        if isinstance(name, str) and name in REACHING:
            article = "an" if name[0] in "AEIO" else "a"
            raise ModelError(f"holds {article} {name} layer ({where}), {REACHING[name]}; {TO_TRUST}")
        if _is_registered(part):  # by code of the user's own, which ran
            continue
        if name == "function":
            is_allowed = _is_allowed_function(part, is_training)
        elif isinstance(name, str) and name in _VALUES:
            is_allowed = _VALUES[name](part.get("config"))
        else:
            is_allowed = _is_allowed_class(part, is_training)
        if not is_allowed:
            raise (ForeignError if _may_be_registered(part) else ModelError)(
                f"names {_path(part)} ({where}), which is none of the layers of Keras, and of what they are made of, "
                f"that are loaded without trust; {TO_TRUST}, or {TO_BUILD}"
            )


def _walk(config: Any) -> Iterator[tuple[dict[str, Any], str, bool]]:
    """Each part that is named by a class, the layer that it stands in, and whether it is of use in training only."""
    waiting: list[tuple[Any, str, bool]] = [(config, "the model itself", False)]
    while waiting:
        node, where, is_training = waiting.pop()
        if isinstance(node, dict):
            if "class_name" in node:
                where = _say_where(node) or where
                yield node, where, is_training
            waiting += [(value, where, is_training or key == "compile_config") for key, value in node.items()]
        elif isinstance(node, list):
            waiting += [(value, where, is_training) for value in node]


def _say_where(part: dict[str, Any]) -> str:
    config = part.get("config")
    name = config.get("name") if isinstance(config, dict) else None
    name = name or part.get("name")
    return f"layer {name[:60]!r}" if isinstance(name, str) and name else ""


def _path(part: dict[str, Any]) -> str:
    name = part["class_name"]
    if name == "function":
        name = part.get("config")
    parts = [text[:80] if isinstance(text, str) else type(text).__name__ for text in (part.get("module"), name) if text]
    return ".".join(parts)


def _is_foreign(part: dict[str, Any]) -> bool:
    module, name = part.get("module"), part["class_name"]
    named = isinstance(module, str) and isinstance(name, str)
    return named and str(module).partition(".")[0] not in _PACKAGES and not _is_registered(part)


def _is_registered(part: dict[str, Any]) -> bool:
    """Whether Keras would take what the user's own code registered, as it looks for functions and for classes."""
    name = part["class_name"]
    key = part.get("config") if name == "function" else part.get("registered_name", name)
    found = keras.saving.get_registered_object(key) if isinstance(key, str) else None
    return found is not None and (name in ("function", key, getattr(found, "__name__", "")))  # older files say the key


def _may_be_registered(part: dict[str, Any]) -> bool:
    """Whether a part goes by a name as `keras.saving.register_keras_serializable` gives them."""
    return any(
        isinstance(part.get(key), str) and ">" in part[key] for key in ("registered_name", "class_name", "config")
    )


def _is_allowed_function(part: dict[str, Any], is_training: bool) -> bool:
    module, name = part.get("module"), part.get("config")
    if not isinstance(name, str) or part.get("registered_name") not in (None, name, "function"):
        return False
    functions = _activations() | (_losses() if is_training else frozenset())
    return module in (None, "builtins", "keras.activations", *(_TRAINING if is_training else ())) and name in functions


def _is_allowed_class(part: dict[str, Any], is_training: bool) -> bool:
    module, name = part.get("module"), part["class_name"]
    if not isinstance(name, str) or not isinstance(module, str | None):
        return False
    paths = _allowed_classes() | (_training_classes() if is_training else frozenset())
    return (module or "", name) in paths


@cache
def _activations() -> frozenset[str]:
    return frozenset(_functions_in(keras.activations))


@cache
def _losses() -> frozenset[str]:
    return frozenset(name for module in (keras.losses, keras.metrics) for name in _functions_in(module))


def _functions_in(module: Any) -> Iterator[str]:
    for name, value in vars(module).items():
        if inspect.isfunction(value) and name not in ("get", "serialize", "deserialize"):
            yield name


@cache
def _allowed_classes() -> frozenset[tuple[str, str]]:
    """Modules and names of all classes that are allowed; without a module as older files write them."""
    paths: set[tuple[str, str]] = set()
    for public in _COMPUTING:
        for name, value in vars(_public(public)).items():
            if inspect.isclass(value) and name not in REACHING and name not in _UNFIT:
                paths |= {(public, name), ("", name), (value.__module__, value.__name__)}
    for operation in _subclasses(keras.Operation):
        path = operation.__module__, operation.__name__
        if (path[0] in _OPERATIONS and path[1] not in _UNFIT) or path in _CORE_OPERATIONS:
            paths.add(path)
    return frozenset(paths | _FURTHER | {("", name) for module, name in _FURTHER})


@cache
def _training_classes() -> frozenset[tuple[str, str]]:
    paths: set[tuple[str, str]] = set()
    for public in _TRAINING:
        for name, value in vars(_public(public)).items():
            if inspect.isclass(value):
                paths |= {(public, name), ("", name), (value.__module__, value.__name__)}
    return frozenset(paths)


def _public(path: str) -> Any:
    module = keras
    for name in path.split(".")[1:]:
        module = getattr(module, name)
    return module


def _subclasses(parent: type) -> Iterator[type]:
    child: type
    for child in parent.__subclasses__():
        yield child
        yield from _subclasses(child)


def _is_plain_kind(config: Any) -> bool:
    """Whether an array is of numbers: a text may be declared as long as one likes."""
    kind = config.get("dtype") if isinstance(config, dict) else None
    return isinstance(kind, str) and re.fullmatch(r"(b?float|u?int|bool|complex)\d{0,3}", kind) is not None


_VALUES: dict[Any, Any] = {
    "__keras_tensor__": lambda config: isinstance(config, dict),
    "__tensor__": _is_plain_kind,
    "__numpy__": _is_plain_kind,
    "__bytes__": lambda config: True,
    "__ellipsis__": lambda config: True,
    "__slice__": lambda config: True,
    "__tuple__": lambda config: True,
    "TensorShape": lambda config: True,
}
"""Values that are written like classes, and when they are allowed."""

REACHING = {
    "Lambda": "that is Python code which loading would run, or a function of Keras with arguments of the file's choice",
    "TFSMLayer": "which runs a graph of TensorFlow from another folder",
    "TorchModuleWrapper": "which unpickles a module of PyTorch",
    "JaxLayer": "which runs a function of Python",
    "FlaxLayer": "which runs a module of Python",
    "StringLookup": "which may read a vocabulary from any file",
    "IntegerLookup": "which may read a vocabulary from any file",
    "TextVectorization": "which may read a vocabulary from any file",
}
"""Layers of Keras that do more than compute, and what."""

_UNFIT = {"Layer", "Wrapper", "InputSpec", "Initializer", "Regularizer", "Constraint", "GPTQConfig", "AWQConfig",
          "JVP"}  # fmt: skip
"""Classes that no file names for itself, or that hold functions."""

_COMPUTING = (
    "keras.layers", "keras.initializers", "keras.regularizers", "keras.constraints", "keras.dtype_policies",
    "keras.quantizers",
)  # fmt: skip
"""Where Keras keeps what layers are and are made of."""

_TRAINING = ("keras.losses", "keras.metrics", "keras.optimizers", "keras.optimizers.schedules")
"""Where it keeps what a model is trained with, which a model within a model was saved with."""

_FURTHER = {
    ("keras", "Sequential"), ("keras.models", "Sequential"), ("keras.src.models.sequential", "Sequential"),
    ("keras", "Functional"), ("keras.models", "Functional"), ("keras.src.models.functional", "Functional"),
    ("keras", "Model"), ("keras.models", "Model"), ("keras.src.models.model", "Model"),
    ("keras", "DTypePolicy"), ("keras", "FloatDTypePolicy"),
    ("keras.mixed_precision", "DTypePolicy"), ("keras.mixed_precision", "Policy"),
    ("keras.random", "SeedGenerator"),
    ("keras.src.applications.convnext", "LayerScale"), ("keras.src.applications.convnext", "StochasticDepth"),
    ("keras.src.applications.inception_resnet_v2", "CustomScaleLayer"),
    ("keras.src.legacy.layers", "RandomHeight"), ("keras.src.legacy.layers", "RandomWidth"),
    ("keras.src.legacy.layers", "ThresholdedReLU"),
    ("keras.src.activations.activations", "ReLU"), ("keras.src.activations.activations", "Mish"),
}  # fmt: skip
"""Modules and names of what stands elsewhere."""

_OPERATIONS = (
    "keras.src.ops.einops", "keras.src.ops.image", "keras.src.ops.linalg", "keras.src.ops.math", "keras.src.ops.nn",
    "keras.src.ops.numpy",
)  # fmt: skip
"""Modules of the operations that are written for `x * 2` or `keras.ops.sqrt(x)`."""

_CORE_OPERATIONS = {
    ("keras.src.ops.core", name)
    for name in (
        "Cast", "ConvertToTensor", "SaturateCast", "Scatter", "ScatterUpdate", "Slice", "SliceUpdate", "StopGradient",
        "Unstack",
    )
}  # fmt: skip
"""Those beside them that take no function."""
