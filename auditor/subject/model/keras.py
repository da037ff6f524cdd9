"""A Keras model behind the `Classifier` protocol."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import tensorflow as tf

from auditor.errors import ModelError, OptionError
from auditor.measure.arrays import Floats, Ints
from auditor.measure.measurement import Note
from auditor.subject.model import OTHER_BACKEND
from auditor.subject.model.anatomy import Anatomy, Place, trace, zeros_for_none
from auditor.subject.model.backend import refuse_other_backend
from auditor.subject.model.batches import cut_batches, finite, gather, join, sparing
from auditor.subject.model.classifier import Linearisation, Output, Pass
from auditor.subject.model.describe import describe_model
from auditor.subject.model.features import FeatureReader
from auditor.subject.model.foreign import user_code
from auditor.subject.model.head import Declared, doubt, find_head, settle_output
from auditor.subject.model.pixels import (
    FedIn,
    Range,
    find_contradiction,
    find_input_range,
    say_feeding,
    settle_input_range,
)
from auditor.subject.model.surgery import (
    describe_structure,
    find_batch_size,
    find_image_shape,
    find_weights,
    from_one_float_tensor_to_one,
    permuted,
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
        output: Declared = "auto",
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
        refuse_other_backend()
        self._model = from_one_float_tensor_to_one(model)
        self.only_batch_size = find_batch_size(model)
        self.batch_size = self.only_batch_size or batch_size
        self._preprocess = preprocess
        self.image_shape, self._has_channel_axis = find_image_shape(model, image_shape)
        self._input_range = input_range or (0.0, 1.0)
        layers = list(self._model._flatten_layers(include_self=False))
        shape = self.image_shape if self._has_channel_axis else self.image_shape[:2]
        with user_code(f"the model cannot be run on images {self.image_shape}"):
            fed = tf.TensorSpec((len(self._probe_images()), *shape), tf.float32)
            self._anatomy = Anatomy(self._run, fed, layers)
        known = find_input_range(self._anatomy) if preprocess is None else None
        if preprocess is None:
            self._input_range = settle_input_range(input_range, known)
        self._range_told = known
        self._head = find_head(self._anatomy, self._values(self._probe_images()), output)
        self.output: Output = settle_output(output, self._head)
        units = self._head.units
        named = 2 if self.output == "binary" else units
        self.classes = tuple(str(number) for number in range(named)) if classes is None else classes
        if len(self.classes) != named:
            output_units = "1 output unit" if units == 1 else f"{units} output units"
            got = f"got {len(self.classes)} names, wanted {named}"
            raise OptionError("labels", f"{got}: the model has {output_units}")
        self._maps = FeatureReader(self._anatomy, self._run, self.to_input, self._probe_images())
        self.why_no_features = self._maps.why_none  # "" where there are some
        self.feature_layers = self._maps.usual
        self._weights, self.why_no_weights = find_weights(self._anatomy, self._model)  # "" where there are some
        self._reaches_pixels, self.notes_of_memory = True, list[Note]()
        self.mended: Sequence[str] = ()  # what was changed of its file for it to be read
        self.traces: dict[tuple[Any, ...], Any] = {}
        """What has been traced of each kind of pass."""

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
        return self._maps.names

    @property
    def weight_layers(self) -> tuple[str, ...]:
        """See `Classifier.weight_layers`."""
        return tuple(self._weights)

    @property
    def notes(self) -> list[Note]:
        """What was guessed about the model, and what of it cannot be shown."""
        found = [] if OTHER_BACKEND is None else [Note("backend", OTHER_BACKEND)]
        found += [*self.notes_of_memory, *(Note("mended", text) for text in self.mended)]
        contradiction = find_contradiction(self._input_range, self._range_told)
        found += [Note("range", contradiction)] if contradiction else []
        if self._head.is_guess or self._head.is_doubted:
            found.append(Note("head", f"The model's head: {self.head}."))
        found += [Note("layers", text) for layer in self.feature_layers for text in self._maps.notes(layer)]
        return found

    @property
    def input_range(self) -> Range | None:
        """The pixel range that the model is fed with; None behind a preprocessing function."""
        return None if self._preprocess is not None else self._input_range

    @property
    def input_scale(self) -> float | None:
        """Width of that range."""
        return None if self.input_range is None else self.input_range[1] - self.input_range[0]

    def fed_in(self, limits: Range) -> FedIn:
        """The scores of the same model, fed with pixels in another range; nothing is traced anew."""
        return FedIn(self, self._input_range, limits)

    @sparing
    def scores(self, images: Floats) -> Floats:
        """See `Classifier.scores`."""
        if ("scores",) not in self.traces:
            self.traces["scores",] = self._trace(self._only_scores, self._image_spec(), doing="run")
        if not len(images):
            return np.empty((0, len(self.classes)), np.float32)
        results = ([self.traces["scores",](batch).numpy()] for batch in cut_batches(images, self.batch_size))
        with user_code("the model cannot be run"):
            (scores,) = gather(results, len(images))
        return finite(scores, "scores")

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

    @sparing
    def linearise(self, images: Floats, layers: tuple[str, ...] = ()) -> Linearisation:
        """See `Classifier.linearise`.

        Raises
        ------
        ModelError
            As `differentiate` does.
        """
        self._maps.refuse_unknown(layers)
        count, size = len(images), self.batch_size
        if count > size:
            return join([self.linearise(images[at : at + size], layers) for at in range(0, count, size)])
        if ("forward", layers) not in self.traces:
            self.traces["forward", layers] = self._trace_forward(layers)
        batch = next(cut_batches(images, size))
        with user_code("the model cannot be differentiated"):
            scores, *features = [part.numpy()[:count] for part in self.traces["forward", layers](batch)]

        def pull_back(by_scores: Floats | None, by_features: Mapping[str, Floats]) -> Floats:
            key = "back", tuple(by_features), by_scores is None
            slopes = [*([] if by_scores is None else [by_scores]), *by_features.values()]
            padded = [np.concatenate([s, np.zeros((size - count, *s.shape[1:]), np.float32)]) for s in slopes]
            if key not in self.traces:
                specs = [tf.TensorSpec(slope.shape, tf.float32) for slope in padded]
                self.traces[key] = self._trace_pull_back(*key[1:], specs)
            with user_code("the model cannot be differentiated"):
                gradient = self.traces[key](batch, padded)
            if gradient is None:
                raise ModelError(_UNREACHED)
            return finite(gradient.numpy()[:count], "derivatives")

        return Linearisation(finite(scores, "scores"), dict(zip(layers, features, strict=True)), pull_back)

    def sized(self, batch_size: int) -> KerasClassifier:
        """See `Classifier.sized`; a model that takes one number of images only stays as it is."""
        if (self.only_batch_size or batch_size) == self.batch_size:
            return self
        other = copy.copy(self)
        other.batch_size, other.traces = batch_size, {}
        return other

    @contextmanager
    def randomised(self, layers: tuple[str, ...], seed: int) -> Iterator[KerasClassifier]:
        """See `Classifier.randomised`; what has been traced serves on, for weights are variables."""
        with permuted({name: self._weights[name] for name in layers}, seed):
            yield self

    @property
    def can_give_logits(self) -> bool:
        """Whether `as_logits` can: the softmax or sigmoid is a layer's, or there is none."""
        return self._head.logits is None or self._head.layer is not None

    @contextmanager
    def as_logits(self) -> Iterator[Any]:
        """The Keras model, giving logits for as long as the context is open."""
        with self._head.taken_off():
            yield self._model

    def settle(self, images: Floats) -> None:
        """Look at what the model gives for real images (n, height, width, channels) where noise alone spoke before."""
        if not self._head.is_open or not len(images):
            return
        count = len(self._probe_images())
        batches = [self._values(batch) for batch in cut_batches(images, count)]
        head = doubt(self._head, np.concatenate(batches))
        if head is not self._head:
            self._head, self.traces = head, {}
            self.output = settle_output("auto", head)

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
        feeding = say_feeding(self._input_range, self._range_told)
        if self._preprocess is not None:
            feeding = f"{getattr(self._preprocess, '__name__', 'a function')} of pixels in [0, 255]"
        return describe_model(self, self._model, source=source, sha256=sha256, preprocessing=feeding)

    def _image_spec(self) -> Any:
        return tf.TensorSpec((self.batch_size, *self.image_shape), tf.float32)

    def _trace(self, function: Callable[..., Any], *specs: Any, doing: str = "differentiated") -> Any:
        with user_code(f"the model cannot be {doing}"):
            return trace(function, *specs, in_place=self._anatomy.is_open)

    def _score_tensor(self, images: Any, places: tuple[Place, ...] = ()) -> tuple[Any, list[Any]]:
        """Scores, and the tensors at some places of the model, in a trace under way."""
        own = () if self._head.logits is None else (self._head.logits,)
        output, found = self._anatomy.replay(self._run, self.to_input(images), (*own, *places))
        values = found[0] if own else output
        return self._head.to_scores(tf.cast(values, tf.float32), self.output), found[len(own) :]

    def _only_scores(self, images: Any) -> Any:
        return self._score_tensor(images)[0]

    def _score_and_record(self, images: Any, layers: tuple[str, ...]) -> tuple[Any, list[list[Any]]]:
        """Scores, and for each layer what each of its calls gave that sees the whole picture."""
        kept = [self._maps.places(name) for name in layers]
        scores, found = self._score_tensor(images, tuple(place for places in kept for place in places))
        rest = iter(found)
        return scores, [[next(rest) for _ in places] for places in kept]

    def _trace_forward(self, layers: tuple[str, ...]) -> Any:
        def compute(images: Any) -> list[Any]:
            scores, features = self._score_and_record(images, layers)
            laid = [self._maps.laid(name, calls) for name, calls in zip(layers, features, strict=True)]
            return [scores, *(tf.cast(part, tf.float32) for part in laid)]

        return self._trace(compute, self._image_spec())

    def _trace_pull_back(self, layers: tuple[str, ...], by_features_alone: bool, specs: list[Any]) -> Any:
        """A pass of its own, forward and backward: kept from an earlier one it would differentiate all weights too."""

        def compute(images: Any, slopes: list[Any]) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(images)
                scores, features = self._score_and_record(images, layers)
                laid = [self._maps.laid(name, calls) for name, calls in zip(layers, features, strict=True)]
            outputs = laid if by_features_alone else [scores, *laid]
            pairs = zip(slopes, outputs, strict=True)
            return tape.gradient(outputs, images, [tf.cast(slope, output.dtype) for slope, output in pairs])

        return self._trace(compute, self._image_spec(), specs)

    @sparing
    def _differentiate(self, images: Floats, aims: tuple[Ints, ...], layers: tuple[str, ...]) -> list[Pass]:
        """For each of several classes per image, aims (n,), a pass; the forward one is shared."""
        self._maps.refuse_unknown(layers)
        key = "gradient", len(aims), layers
        if key not in self.traces:
            self.traces[key] = self._trace_gradient(*key[1:])
        function, size = self.traces[key], self.batch_size
        batches = (cut_batches(values, size) for values in (images, *(aim.astype(np.int32) for aim in aims)))
        results = ([part.numpy() for part in function(*batch)] for batch in zip(*batches, strict=True))
        with user_code("the model cannot be differentiated"):
            scores, *rest = gather(results, len(images))
        if not self._reaches_pixels:
            raise ModelError(_UNREACHED)
        finite(scores, "scores")
        count = len(layers)
        features = dict(zip(layers, rest[:count], strict=True))
        found = []
        for at in range(count, len(rest), 1 + count):
            gradient, *slopes = (finite(part, "derivatives") for part in rest[at : at + 1 + count])
            found.append(Pass(scores, gradient, features, dict(zip(layers, slopes, strict=True))))
        return found

    def _trace_gradient(self, count: int, layers: tuple[str, ...]) -> Any:
        """A function of images and `count` classes of each: scores, features, then the derivatives of each class."""

        def compute(images: Any, *aims: Any) -> list[Any]:
            with tf.GradientTape(persistent=count > 1) as tape:
                tape.watch(images)
                scores, features = self._score_and_record(images, layers)
                sums = [tf.reduce_sum(tf.gather(scores, aim, batch_dims=1)) for aim in aims]
            found = [scores, *(self._maps.laid(name, calls) for name, calls in zip(layers, features, strict=True))]
            for each in sums:
                gradient, slopes = tape.gradient(each, (images, features))
                self._reaches_pixels = gradient is not None
                gradient = tf.zeros_like(images) if gradient is None else gradient
                slopes = [zeros_for_none(*part) for part in zip(slopes, features, strict=True)]
                found += [gradient, *(self._maps.laid(name, calls) for name, calls in zip(layers, slopes, strict=True))]
            return [tf.cast(part, tf.float32) for part in found]

        aim = tf.TensorSpec((self.batch_size,), tf.int32)
        return self._trace(compute, self._image_spec(), *[aim] * count)

    def _probe_images(self) -> Floats:
        count = self.only_batch_size or 4
        return np.random.default_rng(0).random((count, *self.image_shape)).astype(np.float32)

    def _run(self, inputs: Any) -> Any:
        """The model's only output, out of whatever structure it comes in."""
        outputs = tf.nest.flatten(self._model(inputs, training=False))
        if len(outputs) != 1:
            raise ModelError(f"the model has {len(outputs)} outputs, wanted one: the scores of the classes")
        if outputs[0].shape.rank != 2 or outputs[0].shape[1] == 0:
            raise ModelError(f"the model's output has shape {tuple(outputs[0].shape)}, wanted (images, classes)")
        return outputs[0]

    def _values(self, images: Floats) -> Floats:
        """What the model itself gives (n, units) for images, as many as it was taken apart with."""
        with user_code(f"preprocess fails on images {self.image_shape}"):
            fed = self.to_input(images)
        with user_code(f"the model cannot be run on images {self.image_shape}"):
            return np.asarray(self._anatomy.values(fed), np.float32)
