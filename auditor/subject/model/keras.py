"""A Keras model behind the `Classifier` protocol."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Any

import numpy as np
import tensorflow as tf

from auditor.errors import ModelError, OptionError
from auditor.measure.arrays import Array, Doubles, Floats, Ints
from auditor.measure.measurement import Note
from auditor.subject.model import OTHER_BACKEND
from auditor.subject.model.anatomy import Anatomy
from auditor.subject.model.backend import refuse_other_backend
from auditor.subject.model.batches import Kind, Work, cut_batches, finite, gather, join, plan_batches, sparing, steps_of
from auditor.subject.model.chords import find_failure, find_obstacle
from auditor.subject.model.classifier import Chords, Linearisation, Output, Pass
from auditor.subject.model.describe import describe_model
from auditor.subject.model.fast import Fast, find_fast, is_worth_while, say_failed
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
    count_parameters,
    describe_structure,
    find_batch_size,
    find_image_shape,
    find_weights,
    from_one_float_tensor_to_one,
    only_output,
    permuted,
)
from auditor.subject.model.tracing import Traces
from auditor.subject.model.ways import walk
from auditor.subject.record import ModelRecord

_UNREACHED = (
    "no derivative of its scores reaches the pixels: on the way they become whole numbers, or leave TensorFlow; "
    "it cannot be explained"
)


class KerasClassifier:
    """A Keras 3 model behind the `Classifier` protocol.

    Every call runs batches of a few fixed sizes (the last one padded), so the model is traced once for each, and few
    images do not cost as much as many.
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
            self._anatomy = Anatomy(self._run, fed, layers, is_converted=preprocess is not None)
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
        self.notes_of_memory, self.notes_of_engine = list[Note](), list[Note]()
        self.engine = ""
        """What scores the images where that is not TensorFlow, and how near it comes to it."""
        self.mended: Sequence[str] = ()  # what was changed of its file for it to be read
        self.traces = Traces(self._anatomy, self._maps, self._run, self.to_input, self.image_shape)
        self.traces.take(self._head, self.output)
        self.work = Work()
        """What it was asked; this and the traces are shared with all that `sized` gives."""

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
        found += [*self.notes_of_memory, *self.notes_of_engine, *(Note("mended", text) for text in self.mended)]
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
        if not len(images):
            return np.empty((0, len(self.classes)), np.float32)
        if self.traces.fast is not None:
            scores = self._score_fast(images, self.traces.fast)
            if scores is not None:
                return finite(scores, "scores")
        (scores,) = self._ask("scores", self.traces.scores, images)
        return finite(scores, "scores")

    def hasten(self, read: Callable[[], Floats], due: int) -> None:
        """Score by ONNX Runtime from now on, where it is installed, is worth while and gives the same.

        What became of it stands in `engine` and, where it gave something else, in `notes`.

        Parameters
        ----------
        read
            Gives real images (n, h, w, c), on which it must give the same.
        due
            How many images are to be scored, about.
        """
        traced, weights = self._anatomy.operations, count_parameters(self._model)
        if self.only_batch_size or not is_worth_while(due, traced, len(self._probe_images()), weights):
            return
        images = read()
        if len(images):
            found = find_fast(self.traces.of_any_number, images, self.scores(images))
            self.traces.fast, self.engine, self.notes_of_engine = found.fast, found.engine, found.notes

    def _score_fast(self, images: Floats, fast: Fast) -> Floats | None:
        """By ONNX Runtime; None, and never again, where it fails."""
        parts = (images[at : at + self.batch_size] for at in range(0, len(images), self.batch_size))
        try:
            (scores,) = gather(([fast(part)] for part in parts), len(images))
        except Exception as fault:  # it has exceptions of its own, of no common kind
            self.traces.fast, self.notes_of_engine = None, [say_failed(fault)]
            return None
        self.work.count("scores", len(images), len(images))
        return scores

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
        """See `Classifier.contrast`; raises as `differentiate` does."""
        first, second = self._differentiate(images, (targets, foils), layers)
        return first, second

    def weigh(self, images: Floats, targets: Ints, layers: tuple[str, ...]) -> Pass:
        """See `Explainable.weigh`; raises as `differentiate` does."""
        if not layers:
            return Pass(self.scores(images), np.full_like(images, np.nan), {}, {})
        (found,) = self._differentiate(images, (targets,), layers, by_pixels=False)
        return found

    @sparing
    def linearise(self, images: Floats, layers: tuple[str, ...] = ()) -> Linearisation:
        """See `Classifier.linearise`.

        Raises
        ------
        ModelError
            As `differentiate` does.
        """
        self._maps.refuse_unknown(layers)
        count, sizes = len(images), self._sizes(len(images))
        plan = plan_batches(count, sizes)
        if len(plan) > 1:
            starts = np.cumsum([0, *plan[:-1]]).tolist()
            return join([self.linearise(images[at : at + size], layers) for at, size in zip(starts, plan, strict=True)])
        (batch,) = cut_batches(images, sizes)
        size, taped = len(batch), [self.traces.taped(batch, layers)]
        scores, *features = [value[:count] for value in taped[0][0]]
        self.work.count("scores", count, size)

        def pull_back(by_scores: Floats | None, by_features: Mapping[str, Floats]) -> Floats:
            if taped:
                self.work.count("scores", -count, -size)  # that pass goes on, backwards
            _, go_back = taped.pop() if taped else self.traces.taped(batch, layers)
            slopes = {} if by_scores is None else {0: by_scores}
            slopes |= {1 + layers.index(layer): slope for layer, slope in by_features.items()}
            rest = size - count
            gradient = go_back({at: np.pad(s, [(0, rest), *[(0, 0)] * (s.ndim - 1)]) for at, s in slopes.items()})
            if gradient is None:
                raise ModelError(_UNREACHED)
            self.work.count("gradients", count, size)
            return finite(gradient.numpy()[:count], "derivatives")

        return Linearisation(finite(scores, "scores"), dict(zip(layers, features, strict=True)), pull_back)

    @cached_property
    def why_no_chords(self) -> str:
        """See `Explainable.why_no_chords`; they are tried on the way between two images first."""
        if self.only_batch_size == 1:
            return "it takes one image at a time, and a chord is of two"
        return find_obstacle(self._anatomy, self._head) or find_failure(self)

    @sparing
    def chords(self, starts: Floats, ways: Floats, aims: Sequence[Ints], places: Doubles) -> Chords:
        """See `Explainable.chords`."""
        largest = (self.only_batch_size,) if self.only_batch_size else steps_of(self.batch_size, 2)[:2]
        found, made = walk(self.traces.ask_chords, starts, ways, aims, places, largest)  # each is traced and compiled
        self.work.count("gradients", places.size, made)
        return found

    def sized(self, batch_size: int) -> KerasClassifier:
        """See `Classifier.sized`; a model that takes one number of images only stays as it is."""
        if (self.only_batch_size or batch_size) == self.batch_size:
            return self
        other = copy.copy(self)
        other.batch_size = batch_size
        return other

    @contextmanager
    def randomised(self, layers: tuple[str, ...], seed: int) -> Iterator[KerasClassifier]:
        """See `Classifier.randomised`; what has been traced serves on, for weights are variables."""
        with self.traces.of_other_weights(), permuted({name: self._weights[name] for name in layers}, seed):
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
        batches = [self._values(batch) for batch in cut_batches(images, (count,))]
        head = doubt(self._head, np.concatenate(batches))
        if head is not self._head:
            self._head, self.output = head, settle_output("auto", head)
            self.traces.take(self._head, self.output)

    def to_input(self, images: Floats) -> Any:
        """Images in [0, 1] as the tensor that the model itself is fed with."""
        pixels = tf.convert_to_tensor(images, tf.float32)
        if self._preprocess is not None:
            pixels = tf.cast(self._preprocess(pixels * 255.0), tf.float32)
        elif self._input_range != (0.0, 1.0):
            low, high = self._input_range
            pixels = pixels * (high - low) + low
        return pixels if self._has_channel_axis else pixels[..., 0]

    def record(self, source: str, sha256: str | None) -> ModelRecord:
        """Describe the model for the result."""
        feeding = say_feeding(self._input_range, self._range_told)
        if self._preprocess is not None:
            feeding = f"{getattr(self._preprocess, '__name__', 'a function')} of pixels in [0, 255]"
        return describe_model(self, self._model, source=source, sha256=sha256, preprocessing=feeding)

    def _sizes(self, count: int) -> tuple[int, ...]:
        """Of the batches for so many images, the largest first; of one image where the model takes it alone."""
        sizes = (self.only_batch_size,) if self.only_batch_size else steps_of(self.batch_size)
        has_single = not self.only_batch_size and 1 in plan_batches(count, sizes)
        return steps_of(self.batch_size, self.traces.least) if has_single else sizes

    def _ask(self, kind: Kind, find: Callable[[int], Any], *given: Array) -> list[Floats]:
        """What functions of batches of a size give for images, and for what goes with each, (n, ...)."""
        count, sizes = len(given[0]), self._sizes(len(given[0]))
        batches = zip(*(cut_batches(each, sizes) for each in given), strict=True)
        with user_code(f"the model cannot be {'run' if kind == 'scores' else 'differentiated'}"):
            asked = (find(len(batch[0]))(*map(tf.constant, batch)) for batch in batches)
            found = gather((tf.nest.flatten(tensors) for tensors in asked), count)
        self.work.count(kind, count, sum(plan_batches(count, sizes)))
        return found

    @sparing
    def _differentiate(
        self, images: Floats, aims: tuple[Ints, ...], layers: tuple[str, ...], *, by_pixels: bool = True
    ) -> list[Pass]:
        """For each of several classes per image, aims (n,), a pass; the forward one is shared."""
        self._maps.refuse_unknown(layers)
        trace = partial(self.traces.gradient, count=len(aims), layers=layers, by_pixels=by_pixels)
        scores, *rest = self._ask("gradients", trace, images, *(aim.astype(np.int32) for aim in aims))
        if not self.traces.reaches_pixels:
            raise ModelError(_UNREACHED)
        finite(scores, "scores")
        features = dict(zip(layers, rest, strict=False))
        found = []
        for at in range(len(layers), len(rest), by_pixels + len(layers)):
            slopes = [finite(part, "derivatives") for part in rest[at : at + by_pixels + len(layers)]]
            gradient = slopes.pop(0) if by_pixels else np.full_like(images, np.nan)
            found.append(Pass(scores, gradient, features, dict(zip(layers, slopes, strict=True))))
        return found

    def _probe_images(self) -> Floats:
        count = self.only_batch_size or 4
        return np.random.default_rng(0).random((count, *self.image_shape)).astype(np.float32)

    def _run(self, inputs: Any) -> Any:
        """The model's only output, out of whatever structure it comes in."""
        return only_output(tf.nest.flatten(self._model(inputs, training=False)))

    def _values(self, images: Floats) -> Floats:
        """What the model itself gives (n, units) for images, as many as it was taken apart with."""
        with user_code(f"preprocess fails on images {self.image_shape}"):
            fed = self.to_input(images)
        with user_code(f"the model cannot be run on images {self.image_shape}"):
            return np.asarray(self._anatomy.values(fed), np.float32)
