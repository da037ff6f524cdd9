"""Mends architectures that Keras 3 refuses or misreads, most of them written by Keras 2, before anything is built.

Only the configuration is changed, as text; nothing of it runs. What cannot be said in Keras 3 is refused with the layer
that it stands in. A mended model gives the scores that the original gives.
"""

from __future__ import annotations

import copy
import inspect
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import keras

from auditor.errors import ModelError
from auditor.subject.model.foreign import first_line
from auditor.subject.model.keras2_calls import MODELS, mend_calls, plain
from auditor.subject.model.operators import HARD_SIGMOID, MENDED_WITH, OPERATORS, is_known

WAY_OUT = (
    'write a function that builds the model, set source = "package.module:function", and weights to this file, '
    "which are loaded into it"
)
"""For a file that holds what Keras 3 cannot build."""


def is_keras_2(version: Any, config: Any) -> bool:
    """Whether a file was written before Keras 3, by the version that it tells, or by its layers where it tells none."""
    version = version.decode() if isinstance(version, bytes) else version
    if isinstance(version, str) and version:
        return version.partition(".")[0] in ("0", "1", "2")
    return isinstance(config, dict) and not any("module" in layer for layer in _layers(config))


def mended(config: Any, version: Any) -> tuple[Any, list[str]]:
    """An architecture that Keras 3 builds, and what was changed for that, a sentence at most.

    Parameters
    ----------
    config
        As the file has it; it is not changed.
    version
        Of the Keras that wrote it, as the file tells.

    Raises
    ------
    ModelError
        It holds what Keras 3 cannot say.
    """
    config = copy.deepcopy(config)
    mender = _Mender()
    if isinstance(config, dict):
        if is_keras_2(version, config):
            mender.mend(config)
        else:
            for model in _models(config):
                mender.unwrap_within(model)
    if not mender.told:
        return config, []
    shown = "; ".join(f"{what} ({count})" if count > 1 else what for what, count in mender.told.items())
    return config, [f"The file is mended while it is read, as Keras 3 would refuse or misread it: {shown}."]


def build(config: Any, *, trust: bool) -> Any:
    """The model of a mended architecture, with random weights.

    Raises
    ------
    ModelError
        Keras cannot build it: the layer, what Keras says, and the way out.
    """
    try:
        with mending():
            return keras.saving.deserialize_keras_object(_without_training(config), safe_mode=not trust)
    except MemoryError:
        raise
    except Exception as fault:
        raise ModelError(say_why(config, fault)) from None


def mending() -> Any:
    """A scope in which Keras knows what mended architectures name."""
    return keras.saving.custom_object_scope(MENDED_WITH)


def say_why(config: Any, fault: Exception) -> str:
    """Why Keras cannot build an architecture: the first layer that fails by itself, what Keras says, the way out."""
    for layer in _layers(config):
        if layer["class_name"] in ("Lambda", *MODELS) or "module" not in layer:
            continue
        try:
            with mending():
                keras.saving.deserialize_keras_object(_without_training(layer), safe_mode=True)
        except Exception as own:  # whatever Keras raises
            return f"cannot be loaded: layer {_name(layer)!r} ({layer['class_name']}): {first_line(own)}; {WAY_OUT}"
    return f"cannot be loaded: {first_line(fault)}; {WAY_OUT}"


class _Mender:
    """Changes the parts of an architecture in place, and counts what it changed."""

    def __init__(self) -> None:
        self.told: Counter[str] = Counter()

    def mend(self, part: dict[str, Any]) -> None:
        """A model or layer of Keras 2."""
        name, config = part.get("class_name"), part.get("config")
        for key in ("build_config", "compile_config"):  # layers are built when they are called
            part.pop(key, None)
        if name == "Sequential" and isinstance(config, list):  # as Keras wrote before 2.2.3
            config = part["config"] = {"name": "sequential", "layers": config}
        if not isinstance(config, dict):
            return
        if isinstance(config.get("name"), str):
            config["name"] = plain(config["name"])
        if name in MODELS and isinstance(config.get("layers"), list):
            self._mend_model(part)
        elif name in OPERATORS:
            self._mend_operator(part)
        elif isinstance(name, str):
            self._mend_layer(part)

    def unwrap_within(self, model: dict[str, Any]) -> None:
        """A model within a sequence gives its one output as it is: as a list of one the next layer would refuse it."""
        if model["class_name"] != "Sequential":
            return
        for inner in model["config"]["layers"]:
            if inner.get("class_name") in _FUNCTIONAL:
                config, count = inner["config"], 0
                for key in ("input_layers", "output_layers"):
                    held = config.get(key)
                    if isinstance(held, list) and len(held) == 1 and isinstance(held[0], list):
                        config[key], count = held[0], count + 1
                if count:
                    self.told["a model within the sequence takes and gives its one tensor as it is"] += 1

    def _mend_model(self, part: dict[str, Any]) -> None:
        config = part["config"]
        is_sequence = part["class_name"] == "Sequential"
        part["class_name"] = "Sequential" if is_sequence else "Functional"
        part |= {"module": "keras.src.models." + part["class_name"].lower(), "registered_name": part["class_name"]}
        layers = config["layers"]
        if is_sequence and layers and layers[0].get("class_name") != "InputLayer":
            first: Any = layers[0]
            while isinstance(first, dict) and "batch_input_shape" not in first["config"]:
                inner = first["config"].get("layers") if first["class_name"] == "Sequential" else None
                first = inner[0] if inner else None
            if first is not None and layers[0]["class_name"] not in MODELS:
                given = {"batch_shape": first["config"]["batch_input_shape"], "name": "input_of_keras_2"}
                layers.insert(0, {"module": "keras.layers", "class_name": "InputLayer", "config": given})
        for layer in layers:
            self.mend(layer)
        if is_sequence:
            self.unwrap_within(part)
        else:
            mend_calls(config)

    def _mend_operator(self, part: dict[str, Any]) -> None:
        config = part["config"]
        function = config.get("function")
        if not is_known(function):
            shown = f"tf.{function}"[:80]
            raise ModelError(
                f"holds {shown} (layer {_name(part)!r}), a line of Python between layers of Keras 2, which Keras 3 "
                f"cannot read; {WAY_OUT}"
            )
        part |= {"module": None, "class_name": "FunctionOfTensorFlow"}
        part["registered_name"] = "auditor>FunctionOfTensorFlow"
        part["config"] = {"name": config.get("name"), "function": function}
        self.told["operators between the layers call the function of TensorFlow that they name"] += 1

    def _mend_layer(self, part: dict[str, Any]) -> None:
        config = part["config"]
        if part["class_name"] in _REMOVED:
            raise ModelError(
                f"holds a {part['class_name']} layer ({_name(part)!r}), which Keras 3 has no more; {WAY_OUT}"
            )
        if part["class_name"] == "RandomCrop":  # what it does but in training
            config["crop_to_aspect_ratio"] = True
        for key in config:  # they say how weights are drawn, before those of the file are set
            if key.endswith("_initializer") and _is_of_tensorflow(config[key]):
                config[key] = "zeros"
        name = part["class_name"] = _RENAMED.get(part["class_name"], part["class_name"])
        module = _MODULES.get(name, "keras.layers")
        kind = getattr(keras.layers, name, None) or _ELSEWHERE.get(name)
        if kind is None or not inspect.isclass(kind):
            return  # of the user's own: it is looked for as it stands
        part |= {"module": module, "registered_name": None if module == "keras.layers" else name}
        shape = config.pop("batch_input_shape", None)
        if name == "InputLayer" and shape is not None:
            config["batch_shape"] = shape
        if isinstance(config.get("dtype"), dict):
            policy = config["dtype"].get("config")
            if isinstance(policy, dict) and isinstance(policy.get("name"), str):
                config["dtype"] = policy["name"]
        if name == "BatchNormalization" and isinstance(config.get("axis"), list) and len(config["axis"]) == 1:
            config["axis"] = config["axis"][0]
        for key in ("activation", "recurrent_activation"):
            if _says_hard_sigmoid(config.get(key)):
                config[key] = dict(HARD_SIGMOID)
                self.told["hard_sigmoid has the slope of Keras 2, 0.2"] += 1
        for inner in _parts_within(config):
            if inner["class_name"] in MODELS or hasattr(keras.layers, str(inner["class_name"])):
                self.mend(inner)
        self._leave_out(part, kind)

    def _leave_out(self, part: dict[str, Any], kind: type) -> None:
        """Arguments that Keras 3 does not know, where they say what is so anyway."""
        config = part["config"]
        for key in sorted(set(config) - _accepted(kind)):
            if key not in _LEFT_OUT:
                continue
            if not _LEFT_OUT[key](config[key]):
                raise ModelError(
                    f"cannot be loaded: layer {_name(part)!r} ({part['class_name']}) has {key} = {config[key]!r:.80}, "
                    f"which Keras 3 does not have; {WAY_OUT}"
                )
            del config[key]
            if key not in _UNTOLD:
                self.told[f"{key} of {part['class_name']} is left out"] += 1


def _models(part: Any) -> Iterator[dict[str, Any]]:
    """All models with layers in an architecture."""
    if isinstance(part, dict):
        config = part.get("config")
        if part.get("class_name") in MODELS and isinstance(config, dict) and isinstance(config.get("layers"), list):
            yield part
            for layer in config["layers"]:
                yield from _models(layer)


def _layers(config: Any) -> list[dict[str, Any]]:
    layers = [layer for model in _models(config) for layer in model["config"]["layers"]]
    return [layer for layer in layers if isinstance(layer, dict) and "class_name" in layer]


def _parts_within(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Layers that a layer holds as its arguments."""
    for value in config.values():
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, dict) and "class_name" in part and isinstance(part.get("config"), dict):
                yield part


def _without_training(part: dict[str, Any]) -> dict[str, Any]:
    return copy.deepcopy({key: value for key, value in part.items() if key != "compile_config"})


def _name(part: dict[str, Any]) -> str:
    return str(part.get("name") or part["config"].get("name"))[:60]


def _is_of_tensorflow(value: Any) -> bool:
    return isinstance(value, dict) and str(value.get("module")).partition(".")[0] == "tensorflow"


def _says_hard_sigmoid(value: Any) -> bool:
    return value == "hard_sigmoid" or (isinstance(value, dict) and value.get("config") == "hard_sigmoid")


@cache
def _accepted(kind: type) -> frozenset[str]:
    """The arguments that a class of layers takes, with those that it hands on."""
    names: set[str] = set()
    for parent in kind.__mro__:
        if "__init__" in vars(parent):
            parameters = inspect.signature(vars(parent)["__init__"]).parameters
            names |= set(parameters)
            if all(one.kind is not one.VAR_KEYWORD for one in parameters.values()):
                break
    return frozenset(names)


def _always(value: Any) -> bool:
    del value
    return True


def _is(*values: Any) -> Callable[[Any], bool]:
    return lambda value: value in values


_FUNCTIONAL = ("Functional", "Model")

_REMOVED = frozenset({"LocallyConnected1D", "LocallyConnected2D", "CuDNNLSTM", "CuDNNGRU", "ClassMethod",
                      "InstanceMethod", "InstanceProperty", "DenseFeatures", "SequenceFeatures"})  # fmt: skip

_RENAMED = {
    "RandomCrop": "Resizing",
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "SyncBatchNormalization": "BatchNormalization",
    "Custom>CustomScaleLayer": "CustomScaleLayer",  # of the application InceptionResNetV2
    "FixedDropout": "Dropout",  # of the package efficientnet
    "RandomHeight": "Identity",  # it does nothing but in training
    "RandomWidth": "Identity",
}
"""Layers of Keras 2 that are called otherwise now, or do the same as another."""

_MODULES = {
    "LayerScale": "keras.src.applications.convnext",
    "StochasticDepth": "keras.src.applications.convnext",
    "CustomScaleLayer": "keras.src.applications.inception_resnet_v2",
    "ThresholdedReLU": "keras.src.legacy.layers",
}
"""Where Keras 3 keeps what is not among its layers."""

_ELSEWHERE: dict[str, Any] = dict.fromkeys(_MODULES, object)

_LEFT_OUT: dict[str, Callable[[Any], bool]] = {
    "groups": _is(1),
    "time_major": _is(False),
    "renorm": _is(False),
    "renorm_clipping": _always,
    "renorm_momentum": _always,
    "virtual_batch_size": _is(None),
    "adjustment": _is(None),
    "fused": _always,
    "rng_type": _always,
    "kernel_initializer": _always,
    "kernel_regularizer": _always,
    "kernel_constraint": _always,
    "query_shape": _always,
    "key_shape": _always,
    "value_shape": _always,
    "softmax_robust_masking": _always,
    "trainable": _always,
    "noise_shape": _is(None),
    "ragged": _is(False, None),
    "sparse": _is(False, None),
    "factor": _always,  # of RandomHeight and RandomWidth
    "interpolation": _always,
    "seed": _always,
    "input_dim": _always,
    "input_length": _always,
}
"""Arguments of Keras 2 that Keras 3 does not know, and the values that change no score."""

_UNTOLD = frozenset({"trainable", "noise_shape", "ragged", "sparse", "input_dim", "input_length", "kernel_initializer",
                     "kernel_regularizer", "kernel_constraint", "factor", "interpolation", "seed", "fused",
                     "query_shape", "key_shape", "value_shape"})  # fmt: skip
"""Those of them that make no difference to anybody."""
