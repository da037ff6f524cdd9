"""A Keras model behind the `Classifier` protocol."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from auditor.errors import ModelError, OptionError
from auditor.measure.arrays import Floats, Ints
from auditor.subject.model.batches import cut_batches, gather, join
from auditor.subject.model.classifier import Linearisation, Output, Pass
from auditor.subject.model.foreign import user_code
from auditor.subject.model.surgery import (
    Calls,
    Head,
    count_parameters,
    describe_structure,
    find_batch_size,
    find_feature_layers,
    find_head,
    find_image_shape,
    find_input_range,
    find_weights,
    from_one_float_tensor_to_one,
    permuted,
    recording,
    settle_input_range,
    settle_output,
)
from auditor.subject.record import ModelRecord

_UNREACHED = (
    "no derivative of its scores reaches the pixels: on the way they become whole numbers, or leave TensorFlow; "
    "it cannot be explained"
)


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
        self._model = from_one_float_tensor_to_one(model)
        self._only_batch_size = find_batch_size(model)
        self._batch_size = self._only_batch_size or batch_size
        self._preprocess = preprocess
        self.image_shape, self._has_channel_axis = find_image_shape(model, image_shape)
        self._input_range = input_range or (0.0, 1.0)
        calls = self._observe()
        if preprocess is None:
            self._input_range = settle_input_range(input_range, find_input_range(calls))
            calls = self._observe()  # again, on pixels that the model expects
        self._head = find_head(calls, lambda head: self._is_same_model(head, calls.output))
        self.output: Output = settle_output(output, self._head)
        units = self._head.units
        named = 2 if self.output == "binary" else units
        self.classes = tuple(str(number) for number in range(named)) if classes is None else classes
        if len(self.classes) != named:
            output_units = "1 output unit" if units == 1 else f"{units} output units"
            got = f"got {len(self.classes)} names, wanted {named}"
            raise OptionError("labels", f"{got}: the model has {output_units}")
        self._layers, self.why_no_features = find_feature_layers(calls)  # "" where there are some
        self.feature_layers = tuple(self._layers)[:2]
        self._weights, self.why_no_weights = find_weights(calls, self._model)  # "" where there are some
        self._reaches_pixels = True
        self._scores_function: Any = None
        self._gradient_functions: dict[tuple[int, tuple[str, ...]], Any] = {}
        self._forward_functions: dict[tuple[str, ...], Any] = {}
        self._pull_back_functions: dict[tuple[tuple[str, ...], bool], Any] = {}

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
        return describe_structure(self._model)

    @property
    def layers(self) -> tuple[str, ...]:
        """All layers with feature maps, those that Grad-CAM takes by default first."""
        return tuple(self._layers)

    @property
    def weight_layers(self) -> tuple[str, ...]:
        """See `Classifier.weight_layers`."""
        return tuple(self._weights)

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
        results = ([self._scores_function(batch).numpy()] for batch in cut_batches(images, self._batch_size))
        with user_code("the model cannot be run"):
            (scores,) = gather(results, len(images))
        return _finite(scores, "scores")

    def differentiate(self, images: Floats, targets: Ints, layers: tuple[str, ...] = ()) -> Pass:
        """See `Classifier.differentiate`.

        Raises
        ------
        ModelError
            A layer that the model lacks or that has no feature maps, or derivatives that are not finite.
        """
        (found,) = self._differentiate(images, (targets,), layers)
        return found

    def contrast(self, images: Floats, targets: Ints, foils: Ints, layers: tuple[str, ...] = ()) -> tuple[Pass, Pass]:
        """See `Classifier.contrast`.

        Raises
        ------
        ModelError
            As `differentiate` does.
        """
        first, second = self._differentiate(images, (targets, foils), layers)
        return first, second

    def linearise(self, images: Floats, layers: tuple[str, ...] = ()) -> Linearisation:
        """See `Classifier.linearise`.

        Raises
        ------
        ModelError
            As `differentiate` does.
        """
        self._refuse_unknown(layers)
        count, size = len(images), self._batch_size
        if count > size:
            return join([self.linearise(images[at : at + size], layers) for at in range(0, count, size)])
        if layers not in self._forward_functions:
            self._forward_functions[layers] = self._trace_forward(layers)
        batch = next(cut_batches(images, size))
        with user_code("the model cannot be differentiated"):
            scores, *features = [part.numpy()[:count] for part in self._forward_functions[layers](batch)]

        def pull_back(by_scores: Floats | None, by_features: Mapping[str, Floats]) -> Floats:
            named = tuple(by_features)
            if (named, by_scores is None) not in self._pull_back_functions:
                self._pull_back_functions[named, by_scores is None] = self._trace_pull_back(named, by_scores is None)
            slopes = [*([] if by_scores is None else [by_scores]), *by_features.values()]
            padded = [np.concatenate([s, np.zeros((size - count, *s.shape[1:]), np.float32)]) for s in slopes]
            with user_code("the model cannot be differentiated"):
                gradient = self._pull_back_functions[named, by_scores is None](batch, padded)
            if gradient is None:
                raise ModelError(_UNREACHED)
            return _finite(gradient.numpy()[:count], "derivatives")

        return Linearisation(_finite(scores, "scores"), dict(zip(layers, features, strict=True)), pull_back)

    def sized(self, batch_size: int) -> KerasClassifier:
        """See `Classifier.sized`; a model that takes one number of images only stays as it is."""
        wanted = self._only_batch_size or batch_size
        if wanted == self._batch_size:
            return self
        other = copy.copy(self)
        other._batch_size = wanted
        other._scores_function, other._gradient_functions = None, {}
        other._forward_functions, other._pull_back_functions = {}, {}
        return other

    @contextmanager
    def randomised(self, layers: tuple[str, ...], seed: int) -> Iterator[KerasClassifier]:
        """See `Classifier.randomised`; what has been traced serves on, for weights are variables."""
        with permuted({name: self._weights[name] for name in layers}, seed):
            yield self

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
            parameters=count_parameters(self._model),
            feature_layers=list(self.feature_layers),
        )

    def _refuse_unknown(self, layers: tuple[str, ...]) -> None:
        unknown = [layer for layer in layers if layer not in self._layers]
        if unknown:
            raise ModelError(f"layer {unknown[0]!r} has no feature maps; layers that have: {', '.join(self._layers)}")

    def _image_spec(self) -> Any:
        return tf.TensorSpec((self._batch_size, *self.image_shape), tf.float32)

    def _score_tensor(self, images: Any) -> Any:
        with self._head.taken_off():
            output = self._run(self.to_input(images))
        return self._head.to_scores(tf.cast(output, tf.float32), self.output)

    def _score_and_record(self, images: Any, layers: tuple[str, ...]) -> tuple[Any, list[Any]]:
        with recording([self._layers[name] for name in layers]) as calls:
            scores = self._score_tensor(images)
        last_output = {id(layer): output for layer, _, output in calls}
        return scores, [last_output[id(self._layers[name])] for name in layers]

    def _trace_forward(self, layers: tuple[str, ...]) -> Any:
        def compute(images: Any) -> list[Any]:
            scores, features = self._score_and_record(images, layers)
            return [scores, *(tf.cast(part, tf.float32) for part in features)]

        return tf.function(compute, input_signature=[self._image_spec()])

    def _trace_pull_back(self, layers: tuple[str, ...], by_features_alone: bool) -> Any:
        """A pass of its own, forward and backward: kept from an earlier one it would differentiate all weights too."""

        def compute(images: Any, slopes: list[Any]) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(images)
                scores, features = self._score_and_record(images, layers)
            outputs = features if by_features_alone else [scores, *features]
            pairs = zip(slopes, outputs, strict=True)
            return tape.gradient(outputs, images, [tf.cast(slope, output.dtype) for slope, output in pairs])

        return tf.function(compute)

    def _differentiate(self, images: Floats, aims: tuple[Ints, ...], layers: tuple[str, ...]) -> list[Pass]:
        """For each of several classes per image, aims (n,), a pass; the forward one is shared."""
        self._refuse_unknown(layers)
        key = len(aims), layers
        if key not in self._gradient_functions:
            self._gradient_functions[key] = self._trace_gradient(*key)
        function, size = self._gradient_functions[key], self._batch_size
        batches = (cut_batches(values, size) for values in (images, *(aim.astype(np.int32) for aim in aims)))
        results = ([part.numpy() for part in function(*batch)] for batch in zip(*batches, strict=True))
        with user_code("the model cannot be differentiated"):
            scores, *rest = gather(results, len(images))
        if not self._reaches_pixels:
            raise ModelError(_UNREACHED)
        _finite(scores, "scores")
        count = len(layers)
        features = dict(zip(layers, rest[:count], strict=True))
        found = []
        for at in range(count, len(rest), 1 + count):
            gradient, *slopes = (_finite(part, "derivatives") for part in rest[at : at + 1 + count])
            found.append(Pass(scores, gradient, features, dict(zip(layers, slopes, strict=True))))
        return found

    def _trace_gradient(self, count: int, layers: tuple[str, ...]) -> Any:
        """A function of images and `count` classes of each: scores, features, then the derivatives of each class."""

        def compute(images: Any, *aims: Any) -> list[Any]:
            with tf.GradientTape(persistent=count > 1) as tape:
                tape.watch(images)
                scores, features = self._score_and_record(images, layers)
                sums = [tf.reduce_sum(tf.gather(scores, aim, batch_dims=1)) for aim in aims]
            slopes = []
            for each in sums:
                gradient, *by_features = tape.gradient(each, [images, *features])
                self._reaches_pixels = gradient is not None
                slopes += [
                    tf.zeros_like(part) if slope is None else slope
                    for part, slope in zip([images, *features], [gradient, *by_features], strict=True)
                ]
            return [scores, *(tf.cast(part, tf.float32) for part in [*features, *slopes])]

        aim = tf.TensorSpec((self._batch_size,), tf.int32)
        return tf.function(compute, input_signature=[self._image_spec(), *[aim] * count])

    def _probe_images(self) -> Floats:
        count = self._only_batch_size or 4
        return np.random.default_rng(0).random((count, *self.image_shape)).astype(np.float32)

    def _run(self, inputs: Any) -> Any:
        """The model's only output, out of whatever structure it comes in."""
        outputs = tf.nest.flatten(self._model(inputs, training=False))
        if len(outputs) != 1:
            raise ModelError(f"the model has {len(outputs)} outputs, wanted one: the scores of the classes")
        return outputs[0]

    def _observe(self) -> Calls:
        """Run the model once and note what each layer was given and gave."""
        with user_code(f"preprocess fails on images {self.image_shape}"):
            inputs = self.to_input(self._probe_images())
        with (
            user_code(f"the model cannot be run on images {self.image_shape}"),
            recording(list(self._model._flatten_layers(include_self=False))) as calls,
        ):
            output = self._run(inputs)
        if output.shape.rank != 2 or output.shape[1] == 0:
            raise ModelError(f"the model's output has shape {tuple(output.shape)}, wanted (images, classes)")
        return Calls(calls, inputs, output)

    def _is_same_model(self, head: Head, output: Any) -> bool:
        """Whether the model without its head gives the same output once the activation is put back."""
        with head.taken_off():
            logits = self._run(self.to_input(self._probe_images()))
        activation = {"softmax": tf.nn.softmax, "sigmoid": tf.nn.sigmoid}[head.kind]
        return bool(np.allclose(activation(logits).numpy(), np.asarray(output), atol=1e-4))


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
