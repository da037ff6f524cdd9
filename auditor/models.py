"""Keras models behind the `Classifier` protocol.

This is the only module that imports TensorFlow, and the only one that looks inside a model: layers are observed by
recording what their `call` returns while the model is traced, which works alike for functional, nested, Sequential
and subclassed models.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from auditor.classifier import Floats, Ints, Output, Pass
from auditor.config import AuditConfig, is_function_spec, suggest
from auditor.errors import ModelError, OptionError
from auditor.records import ModelRecord

_SMALLEST_PROBABILITY = 1e-12


class KerasClassifier:
    """A Keras 3 model behind the `Classifier` protocol.

    Every call runs batches of one fixed shape (the last one padded), so the model is traced once, and no image
    can depend on the size of the batch it came in.
    """

    def __init__(
        self,
        model: Any,
        *,
        classes: tuple[str, ...] | None = None,
        image_shape: tuple[int, int, int] | None = None,
        input_range: tuple[float, float] | None = None,
        preprocess: Callable[[Any], Any] | None = None,
        output: Literal["auto", "softmax", "binary", "multilabel"] = "auto",
        batch_size: int = 64,
    ) -> None:
        """Wrap a model.

        Parameters
        ----------
        classes
            Names in the order of the outputs (two names, negative first, for one output unit); numbers by default.
        image_shape
            Height, width and channels where the model leaves them open.
        input_range
            The pixel values that the model expects; read from its own Rescaling or Normalization where it has one.
        preprocess
            A differentiable function of float images in [0, 255], used instead of `input_range`.

        Raises
        ------
        ModelError
            Several inputs or outputs, no image input, or scores that are not finite.
        OptionError
            An unknown input range, a wrong number of names, or an output that is not the model's.
        """
        self._model = model
        self._batch_size = batch_size
        self._preprocess = preprocess
        self.image_shape, self._has_channel_axis = _image_shape(model, image_shape)
        self._input_range = input_range or (0.0, 1.0)
        calls = self._observe()
        if preprocess is None and input_range is None:
            self._input_range = _known_input_range(calls)
            calls = self._observe()  # again, on pixels that the model expects
        self._head = _find_head(calls, lambda head: self._is_same_model(head, calls.output))
        self.output: Output = _settle_output(output, self._head)
        units = self._head.units
        named = 2 if self.output == "binary" else units
        self.classes = tuple(str(number) for number in range(named)) if classes is None else classes
        if len(self.classes) != named:
            output_units = "1 output unit" if units == 1 else f"{units} output units"
            got = f"got {len(self.classes)} names, wanted {named}"
            raise OptionError("labels", f"{got}: the model has {output_units}")
        self._layers = _feature_layers(calls)
        self.feature_layers = tuple(self._layers)[:2]
        self._scores_function: Any = None
        self._gradient_functions: dict[tuple[str, ...], Any] = {}

    @property
    def head(self) -> str:
        """How scores are taken from the model's output, in words."""
        return self._head.description

    @property
    def score_name(self) -> str:
        """`logit` or `log-probability`."""
        return "log-probability" if self._head.kind in ("probabilities", "sigmoid probabilities") else "logit"

    @property
    def structure(self) -> str:
        """`functional`, `sequential` or `subclassed`, and whether models are nested in it."""
        return _structure(self._model)

    @property
    def layers(self) -> tuple[str, ...]:
        """All layers with feature maps, those that Grad-CAM takes by default first."""
        return tuple(self._layers)

    @property
    def input_scale(self) -> float | None:
        """Width of the pixel range that the model is fed with; None behind a preprocessing function."""
        low, high = self._input_range
        return None if self._preprocess is not None else high - low

    def scores(self, images: Floats) -> Floats:
        """See `Classifier.scores`."""
        if self._scores_function is None:
            self._scores_function = tf.function(self._score_tensor, input_signature=[self._image_spec()])
        if not len(images):
            return np.empty((0, len(self.classes)), np.float32)
        results = ([self._scores_function(batch).numpy()] for batch, _ in self._batches(images))
        with _user_code("the model cannot be run"):
            (scores,) = _gather(results, len(images))
        return _finite(scores, "scores")

    def differentiate(self, images: Floats, targets: Ints, layers: tuple[str, ...] = ()) -> Pass:
        """See `Classifier.differentiate`.

        Raises
        ------
        ModelError
            A layer that the model lacks or that has no feature maps, or derivatives that are not finite.
        """
        unknown = [layer for layer in layers if layer not in self._layers]
        if unknown:
            raise ModelError(f"layer {unknown[0]!r} has no feature maps; layers that have: {', '.join(self._layers)}")
        if layers not in self._gradient_functions:
            self._gradient_functions[layers] = self._trace_gradient(layers)
        function = self._gradient_functions[layers]
        pairs = zip(self._batches(images), self._batches(targets.astype(np.int32)), strict=True)
        results = ([part.numpy() for part in function(batch, aim)] for (batch, _), (aim, _) in pairs)
        with _user_code("the model cannot be differentiated"):
            scores, gradient, *rest = _gather(results, len(images))
        count = len(layers)
        return Pass(
            _finite(scores, "scores"),
            _finite(gradient, "derivatives"),
            dict(zip(layers, rest[:count], strict=True)),
            {name: _finite(part, "derivatives") for name, part in zip(layers, rest[count:], strict=True)},
        )

    @contextmanager
    def as_logits(self) -> Iterator[Any]:
        """The Keras model, giving logits for as long as the context is open."""
        with self._head.taken_off():
            yield self._model

    def to_input(self, images: Floats) -> Any:
        """Images in [0, 1] as the tensor that the model itself is fed with."""
        pixels = tf.convert_to_tensor(images, tf.float32)
        if self._preprocess is not None:
            pixels = tf.cast(self._preprocess(pixels * 255.0), tf.float32)
        else:
            low, high = self._input_range
            pixels = pixels * (high - low) + low
        return pixels if self._has_channel_axis else pixels[..., 0]

    def record(self, source: str, sha256: str | None) -> ModelRecord:
        """Describe the model for the result."""
        preprocessing = (
            f"pixels in [{self._input_range[0]:g}, {self._input_range[1]:g}] are fed to the model"
            if self._preprocess is None
            else f"{getattr(self._preprocess, '__name__', 'a function')} of pixels in [0, 255]"
        )
        return ModelRecord(
            source=source,
            sha256=sha256 or _hash_weights(self._model),
            structure=self.structure,
            classes=list(self.classes),
            image_shape=self.image_shape,
            input_range=None if self._preprocess else self._input_range,
            preprocessing=preprocessing,
            head=self.head,
            output=self.output,
            score=self.score_name,
            parameters=int(self._model.count_params()),
            feature_layers=list(self.feature_layers),
        )

    def _image_spec(self) -> Any:
        return tf.TensorSpec((self._batch_size, *self.image_shape), tf.float32)

    def _score_tensor(self, images: Any) -> Any:
        with self._head.taken_off():
            output = self._model(self.to_input(images), training=False)
        return self._head.to_scores(tf.cast(output, tf.float32), self.output)

    def _trace_gradient(self, layers: tuple[str, ...]) -> Any:
        def compute(images: Any, targets: Any) -> list[Any]:
            with tf.GradientTape() as tape:
                tape.watch(images)
                with _recording([self._layers[name] for name in layers]) as calls:
                    scores = self._score_tensor(images)
                aim = tf.reduce_sum(tf.gather(scores, targets, batch_dims=1))
            last_output = {id(layer): output for layer, output in calls}
            features = [last_output[id(self._layers[name])] for name in layers]
            zero = tf.UnconnectedGradients.ZERO
            gradient, *by_features = tape.gradient(aim, [images, *features], unconnected_gradients=zero)
            return [scores, gradient, *(tf.cast(part, tf.float32) for part in [*features, *by_features])]

        return tf.function(compute, input_signature=[self._image_spec(), tf.TensorSpec((self._batch_size,), tf.int32)])

    def _batches(self, values: npt.NDArray[Any]) -> Iterator[tuple[npt.NDArray[Any], int]]:
        size = self._batch_size
        for start in range(0, len(values), size):
            part = values[start : start + size]
            missing = size - len(part)
            padded = np.concatenate([part, np.repeat(part[-1:], missing, axis=0)]) if missing else part
            yield padded, len(part)

    def _probe_images(self) -> Floats:
        return np.random.default_rng(0).random((4, *self.image_shape)).astype(np.float32)

    def _observe(self) -> _Calls:
        """Run the model once and note what each layer was given and gave."""
        with _user_code(f"preprocess fails on images {self.image_shape}"):
            inputs = self.to_input(self._probe_images())
        with (
            _user_code(f"the model cannot be run on images {self.image_shape}"),
            _recording(list(self._model._flatten_layers(include_self=False))) as calls,
        ):
            output = self._model(inputs, training=False)
        if isinstance(output, (list, tuple, dict)) and len(output) == 1:
            output = next(iter(output.values())) if isinstance(output, dict) else output[0]
        if isinstance(output, (list, tuple, dict)):
            raise ModelError(f"the model has {len(output)} outputs, wanted one: the scores of the classes")
        if output.shape.rank != 2:
            raise ModelError(f"the model's output has shape {tuple(output.shape)}, wanted (images, classes)")
        return _Calls(calls, output)

    def _is_same_model(self, head: _Head, output: Any) -> bool:
        """Whether the model without its head gives the same output once the activation is put back."""
        with head.taken_off():
            logits = self._model(self.to_input(self._probe_images()), training=False)
        activation = {"softmax": tf.nn.softmax, "sigmoid": tf.nn.sigmoid}[head.kind]
        return bool(np.allclose(activation(logits).numpy(), np.asarray(output), atol=1e-4))


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


@dataclass(frozen=True)
class _Calls:
    """What was seen while the model ran once."""

    calls: list[tuple[Any, Any]]
    output: Any


@dataclass(frozen=True)
class _Head:
    """How the model's last step is undone."""

    kind: Literal["softmax", "sigmoid", "linear", "probabilities", "sigmoid probabilities"]
    layer: Any
    """The layer whose activation is taken off; None where nothing is."""
    units: int
    description: str

    @contextmanager
    def taken_off(self) -> Iterator[None]:
        if self.layer is None:
            yield
        elif isinstance(self.layer, keras.layers.Softmax):
            with _replaced(self.layer, lambda inputs, mask=None: inputs):
                yield
        else:
            activation = self.layer.activation
            self.layer.activation = keras.activations.linear
            try:
                yield
            finally:
                self.layer.activation = activation

    def to_scores(self, output: Any, meaning: Output) -> Any:
        if self.kind == "probabilities":
            output = tf.math.log(tf.maximum(output, _SMALLEST_PROBABILITY))
        elif self.kind == "sigmoid probabilities":
            clipped = tf.clip_by_value(output, 1e-7, 1 - 1e-7)
            output = tf.math.log(clipped) - tf.math.log1p(-clipped)
        return tf.concat([-output, output], axis=1) if meaning == "binary" else output


def _find_head(calls: _Calls, agrees: Callable[[_Head], bool]) -> _Head:
    output = calls.output
    units = int(output.shape[1])
    values = np.asarray(output)
    if not np.isfinite(values).all():
        raise ModelError("the model's scores are not finite (NaN or infinity) on random images")
    final = next((layer for layer, result in calls.calls if result is output), None)
    activation = getattr(getattr(final, "activation", None), "__name__", None)
    if isinstance(final, keras.layers.Softmax):
        activation = "softmax"
    if final is not None and activation in ("softmax", "sigmoid"):
        head = _Head(
            activation,
            final,
            units,
            f"the {activation} of layer {final.name!r} is taken off; scores are logits",
        )
        if agrees(head):
            return head
    in_unit_interval = bool((values >= 0).all() and (values <= 1).all())
    if in_unit_interval and units > 1 and np.allclose(values.sum(axis=1), 1, atol=1e-3):
        return _Head("probabilities", None, units, "the model gives probabilities; scores are their logarithms")
    if in_unit_interval and activation != "linear" and final is None:
        return _Head("sigmoid probabilities", None, units, "the model gives probabilities; scores are their log-odds")
    name = f"layer {final.name!r}" if final is not None else "the output"
    return _Head("linear", None, units, f"{name} has no softmax or sigmoid; its values are the scores (logits)")


def _settle_output(declared: Literal["auto", "softmax", "binary", "multilabel"], head: _Head) -> Output:
    if declared == "auto":
        if head.units == 1:
            return "binary"
        return "multilabel" if head.kind.startswith("sigmoid") else "softmax"
    if (declared == "binary") != (head.units == 1):
        raise OptionError("output", f"got {declared!r}, but the model has {head.units} output units")
    if declared == "multilabel" and head.kind in ("softmax", "probabilities"):
        raise OptionError("output", "got 'multilabel', but the model's outputs are a softmax")
    return declared


def _image_shape(model: Any, hint: tuple[int, int, int] | None) -> tuple[tuple[int, int, int], bool]:
    """Height, width, channels, and whether the model's input has an axis of channels."""
    inputs = getattr(model, "inputs", None) or []
    if len(inputs) > 1:
        raise ModelError(f"the model has {len(inputs)} inputs, wanted one: the images")
    shape = tuple(inputs[0].shape)[1:] if inputs else _built_shape(model)
    if not shape and hint is None:
        raise ModelError("the model does not say what images it takes; give it an Input, or data to take them from")
    if not shape:
        shape = hint or ()
    has_channel_axis = len(shape) == 3
    if len(shape) == 2:
        shape = (*shape, 1)
    if len(shape) != 3:
        raise ModelError(f"the model's input has shape {shape}, wanted (height, width, channels)")
    full = tuple(size if size is not None else (hint or (None,) * 3)[axis] for axis, size in enumerate(shape))
    height, width, channels = full
    if height is None or width is None or channels is None:
        raise ModelError(f"the model leaves its input open, {shape}, and the data do not settle it")
    if channels not in (1, 3):
        raise ModelError(f"the model takes {channels} channels, wanted 1 (grey) or 3 (colour), channels last")
    return (int(height), int(width), int(channels)), has_channel_axis


def _built_shape(model: Any) -> tuple[int | None, ...]:
    """The input shape that a subclassed model was built with, or nothing."""
    shapes = getattr(model, "_build_shapes_dict", None) or {}
    return tuple(next(iter(shapes.values()), ()))[1:]


def _known_input_range(calls: _Calls) -> tuple[float, float]:
    """The pixel range that a leading Rescaling or Normalization layer was made for."""
    for layer, _ in calls.calls:
        if isinstance(layer, keras.layers.Rescaling):
            brightest = np.max(np.abs(255.0 * np.asarray(layer.scale) + np.asarray(layer.offset)))
            return (0.0, 255.0) if brightest <= 10 else (0.0, 1.0)
        if isinstance(layer, keras.layers.Normalization):
            return (0.0, 255.0) if float(np.max(np.abs(np.asarray(layer.mean)))) > 1.5 else (0.0, 1.0)
        is_container = isinstance(layer, keras.Model)
        if not (is_container or isinstance(layer, keras.layers.InputLayer) or not layer.weights):
            break
    raise OptionError(
        "preprocess",
        "the model has no Rescaling or Normalization of its own that would tell its pixel range; "
        'declare it: preprocess = "none" and, say, input_range = [0, 1]',
    )


def _feature_layers(calls: _Calls) -> dict[str, Any]:
    """Layers with feature maps by name: the two that Grad-CAM takes by default first, then all from last to first.

    The usual choice is the last layer at the resolution of the last convolution; the second, the last one at the
    resolution before that.
    """
    maps = [
        (layer, tuple(output.shape))
        for layer, output in calls.calls
        if not isinstance(layer, (keras.Model, keras.layers.InputLayer))
        and getattr(getattr(output, "shape", None), "rank", None) == 4
        and output.shape[1] * output.shape[2] > 1
    ]
    convolutions = [at for at, (layer, _) in enumerate(maps) if _is_convolution(layer)]
    if not convolutions:
        return {}
    maps = maps[convolutions[0] :]
    sizes: list[tuple[int, int]] = []
    for _, shape in reversed(maps):
        size = (shape[1], shape[2])
        if size not in sizes and any(_is_convolution(other) and s[1:3] == size for other, s in maps):
            sizes.append(size)
    usual = [next(layer for layer, shape in reversed(maps) if shape[1:3] == size) for size in sizes[:2]]
    if len(usual) == 1:
        usual += [layer for layer, _ in reversed(maps) if _is_convolution(layer) and layer is not usual[0]][:1]
    ordered = [*usual, *(layer for layer, _ in reversed(maps))]
    unique = list({id(layer): layer for layer in ordered}.values())
    repeated = {name for name, count in Counter(layer.name for layer in unique).items() if count > 1}
    return {(layer.path if layer.name in repeated else layer.name): layer for layer in unique}


def _is_convolution(layer: Any) -> bool:
    kernel = getattr(layer, "kernel", getattr(layer, "depthwise_kernel", None))
    return kernel is not None and len(kernel.shape) == 4


@contextmanager
def _recording(layers: list[Any]) -> Iterator[list[tuple[Any, Any]]]:
    """Note (layer, output) for every call of these layers while the context is open."""
    calls: list[tuple[Any, Any]] = []

    def noting(layer: Any, call: Any) -> Any:
        def noted(*args: Any, **kwargs: Any) -> Any:
            output = call(*args, **kwargs)
            calls.append((layer, output))
            return output

        return noted

    unique = list({id(layer): layer for layer in layers}.values())
    for layer in unique:
        layer.__dict__["call"] = noting(layer, layer.call)
    try:
        yield calls
    finally:
        for layer in unique:
            del layer.__dict__["call"]


@contextmanager
def _replaced(layer: Any, call: Any) -> Iterator[None]:
    shadowed = layer.__dict__.get("call")
    layer.__dict__["call"] = call
    try:
        yield
    finally:
        if shadowed is None:
            del layer.__dict__["call"]
        else:
            layer.__dict__["call"] = shadowed


def _structure(model: Any) -> str:
    kind = {"Functional": "functional", "Sequential": "sequential"}.get(type(model).__name__, "subclassed")
    is_nested = any(isinstance(layer, keras.Model) for layer in model._flatten_layers(include_self=False))
    return f"{kind}, nested" if is_nested else kind


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
        raise ModelError(f"{where}: model.source: {file} cannot be loaded: {_first_line(fault)}") from None


def _call_user(config: AuditConfig, spec: str) -> Any:
    function = config.function(("model", "source"), spec)
    where = config.place("model", "source")
    try:
        model = function()
    except Exception as fault:  # the user's code may raise anything
        raise ModelError(f"{where}: model.source: {spec} failed: {_first_line(fault)}") from None
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
    if section.preprocess not in ("auto", "none"):
        wanted = "wanted 'auto', 'none' or package.module:function"
        raise config.fault(("model", "preprocess"), f"got {section.preprocess!r}, {wanted}")
    if section.preprocess == "none" and section.input_range is None:
        message = "missing; it is required where preprocess = 'none', for example input_range = [0, 1]"
        raise config.fault(("model", "input_range"), message)
    return None, section.input_range


def _refuse_unknown_layers(config: AuditConfig, layers: tuple[str, ...]) -> None:
    """Find out before the audit, not at its end, that Grad-CAM was asked for a layer that is not there."""
    for index, layer in enumerate(config.methods.get("grad_cam", {}).get("layers", ())):
        if layer not in layers:
            message = f"{layer!r} is no layer with feature maps{suggest(layer, list(layers))}"
            raise config.fault(("methods", "grad_cam", "layers", index), message)


def _class_names(config: AuditConfig) -> tuple[str, ...] | None:
    labels = config.model.labels
    if not isinstance(labels, str):
        names = labels
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


def _gather(batches: Iterator[list[npt.NDArray[Any]]], count: int) -> list[Floats]:
    """Arrays (count, ...) from those of each batch; a batch's own arrays are let go at once, which is faster."""
    gathered: list[Floats] = []
    at = 0
    for parts in batches:
        if not gathered:
            gathered = [np.empty((count, *part.shape[1:]), np.float32) for part in parts]
        for whole, part in zip(gathered, parts, strict=True):
            rows = whole[at : at + len(part)]
            rows[:] = part[: len(rows)]
        at += len(parts[0])
    return gathered


def _hash_weights(model: Any) -> str:
    digest = hashlib.sha256()
    for weight in model.weights:
        digest.update(np.ascontiguousarray(weight.numpy()).tobytes())
    return digest.hexdigest()


def _finite(values: Floats, what: str) -> Floats:
    is_finite = np.isfinite(values)
    if not is_finite.all():
        count = len(values) - int(is_finite.reshape(len(values), -1).all(axis=1).sum())
        raise ModelError(f"the model's {what} are not finite (NaN or infinity) for {count} of {len(values)} images")
    return values


@contextmanager
def _user_code(what: str) -> Iterator[None]:
    """Where the model and its preprocessing run, which are not ours and may raise anything."""
    try:
        yield
    except (ModelError, MemoryError):
        raise
    except tf.errors.ResourceExhaustedError as fault:
        raise MemoryError(_first_line(fault)) from None
    except Exception as fault:
        raise ModelError(f"{what}: {_first_line(fault)}") from None


def _first_line(fault: BaseException) -> str:
    lines = [line.strip() for line in str(fault).splitlines() if line.strip()]
    if not lines:
        return f"{type(fault).__name__}: no message"
    if lines[0] == "in user code:":  # TensorFlow's own account of a trace: the fault itself stands last
        return lines[-1][:300]
    return f"{type(fault).__name__}: {lines[0][:300]}"


MODEL_LOADERS: dict[str, Callable[[Path, bool, str], Any]] = {
    ".keras": _load_keras_file,
    ".h5": _load_keras_file,
}
