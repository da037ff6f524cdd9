"""What is traced of a model: scores alone, scores and features, derivatives; each once for each size of batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import tensorflow as tf

from auditor.errors import ModelError
from auditor.measure.arrays import Floats, Ints
from auditor.subject.model.anatomy import Anatomy, Place, zeros_for_none
from auditor.subject.model.batches import finite
from auditor.subject.model.chords import by_chords
from auditor.subject.model.classifier import Output
from auditor.subject.model.fast import Fast
from auditor.subject.model.features import FeatureReader
from auditor.subject.model.foreign import user_code
from auditor.subject.model.head import Head


class Traces:
    """Functions of batches of images (n, h, w, c) in [0, 1], of a fixed n, traced when they are first asked for."""

    def __init__(
        self,
        anatomy: Anatomy,
        maps: FeatureReader,
        run: Callable[[Any], Any],
        feed: Callable[[Any], Any],
        image_shape: tuple[int, int, int],
    ) -> None:
        """Trace a model later on.

        Parameters
        ----------
        run
            The model itself, as it was taken apart.
        feed
            Makes of images what it is fed with.
        """
        self._anatomy, self._maps, self._run, self._feed, self._shape = anatomy, maps, run, feed, image_shape
        self._known: dict[tuple[Any, ...], Any] = {}
        self.fast: Fast | None = None
        """What gives the same scores faster, for as long as the weights are the model's own."""
        self.reaches_pixels = True
        """Whether derivatives reach the pixels, as far as any were traced."""
        self._least: int | None = None

    def take(self, head: Head, output: Output) -> None:
        """Take scores in this way from now on."""
        self._head, self._output, self.fast = head, output, None
        self.clear()

    def clear(self) -> None:
        """Forget all traces."""
        self._known.clear()

    @property
    def least(self) -> int:
        """The smallest batch: of one image, or of two where Keras traces a batch of one into other operations."""
        if self._least is None:
            try:
                self.scores(1)
                self._least = 1
            except ModelError:
                self._least = 2
        return self._least

    @contextmanager
    def of_other_weights(self) -> Iterator[None]:
        """Nothing that knows the weights as constants is asked while the context is open."""
        fast, self.fast = self.fast, None
        try:
            yield
        finally:
            self.fast = fast

    def of_any_number(self) -> Any:
        """A function of any number of images: scores; to be exported, and so kept nowhere.

        Raises
        ------
        ModelError
            The model is traced into other operations where the number is open, so that its logits cannot be found.
        """
        number, at = self._head.logits or (0, 0)
        known = None if self._head.logits is None else self._anatomy.operations[number]

        def compute(images: Any) -> Any:
            graph = tf.compat.v1.get_default_graph()
            output = self._run(self._feed(images))
            if known is not None:
                names = {operation.name: operation for operation in graph.get_operations()}
                found = names.get(known.name)
                if found is None or found.type != known.type:
                    raise ModelError("its logits are not found")
                output = found.outputs[at]
            return self._head.to_scores(tf.cast(output, tf.float32), self._output)

        return self._anatomy.trace(compute, tf.TensorSpec((None, *self._shape), tf.float32))

    def scores(self, size: int) -> Any:
        """A function of images: scores (n, classes)."""

        def compute(images: Any) -> Any:
            return self._score_tensor(images)[0]

        return self._traced(("scores", size), compute, self._images(size), doing="run")

    def taped(self, batch: Floats, layers: tuple[str, ...]) -> tuple[list[Floats], Callable[[dict[int, Floats]], Any]]:
        """Scores and the features of each layer, and what goes the way back from there to the images, once.

        That takes slopes by some of these values, named by their numbers, and gives None where no derivative reaches
        the images. By the weights nobody asks, and they would take as long again.
        """

        def compute(images: Any) -> list[Any]:
            with tf.compat.v1.get_default_graph().gradient_override_map({"ReadVariableOp": _BY_NOTHING}):
                scores, features = self._score_and_record(images, layers)
                return [scores, *(tf.cast(part, tf.float32) for part in self._laid(layers, features))]

        forward = self._traced(("forward", len(batch), layers), compute, self._images(len(batch)))
        with user_code("the model cannot be differentiated"), tf.GradientTape(watch_accessed_variables=False) as tape:
            images = tf.constant(batch)
            tape.watch(images)
            values = forward(images)

        def go_back(slopes: dict[int, Floats]) -> Any:
            with user_code("the model cannot be differentiated"):
                return tape.gradient([values[number] for number in slopes], images, list(slopes.values()))

        return [value.numpy() for value in values], go_back

    def gradient(self, size: int, count: int, layers: tuple[str, ...], *, by_pixels: bool = True) -> Any:
        """A function of images and `count` classes of each: scores, features, then the derivatives of each class.

        Those by the pixels come first, those by the features follow; without the former the way back ends at the
        latter.
        """

        def compute(images: Any, *aims: Any) -> list[Any]:
            with tf.GradientTape(persistent=count > 1, watch_accessed_variables=False) as tape:
                tape.watch(images)
                scores, features = self._score_and_record(images, layers)
            found = [scores, *self._laid(layers, features)]
            for aim in aims:
                asked = tf.one_hot(aim, tf.shape(scores)[1])
                gradient, slopes = tape.gradient(scores, (images if by_pixels else [], features), asked)
                if by_pixels:
                    self.reaches_pixels = gradient is not None
                    found.append(tf.zeros_like(images) if gradient is None else gradient)
                slopes = [zeros_for_none(*part) for part in zip(slopes, features, strict=True)]
                found += self._laid(layers, slopes)
            return [tf.cast(part, tf.float32) for part in found]

        aim = tf.TensorSpec((size,), tf.int32)
        return self._traced(("gradient", size, count, layers, by_pixels), compute, self._images(size), *[aim] * count)

    def chords(self, size: int, count: int) -> Any:
        """A function of images, of weights (n,), and of `count` classes of each: the slopes of each by chords.

        Scores come first. A weight of zero leaves the slopes of an image out.
        """

        def compute(images: Any, weights: Any, *aims: Any) -> list[Any]:
            with by_chords():
                scores = self._score_tensor(images)[0]
            asked = [weights[:, None] * tf.one_hot(aim, tf.shape(scores)[1]) for aim in aims]
            return [scores, *(tf.gradients(scores, images, each)[0] for each in asked)]

        specs = [tf.TensorSpec((size,), kind) for kind in (tf.float32, *[tf.int32] * count)]
        return self._traced(("chords", size, count), compute, self._images(size), *specs)

    def ask_chords(self, points: Floats, widths: Floats, aimed: list[Ints]) -> list[Floats]:
        """What such a function gives for points (n, h, w, c), without the scores."""
        with user_code("the model cannot be differentiated"):
            slopes = self.chords(len(points), len(aimed))(points, widths, *aimed)[1:]
        return [finite(slope.numpy(), "derivatives") for slope in slopes]

    def _traced(
        self, key: tuple[Any, ...], function: Callable[..., Any], *specs: Any, doing: str = "differentiated"
    ) -> Any:
        if key not in self._known:
            with user_code(f"the model cannot be {doing}"):
                self._known[key] = self._anatomy.trace(function, *specs)
        return self._known[key]

    def _images(self, size: int) -> Any:
        return tf.TensorSpec((size, *self._shape), tf.float32)

    def _score_tensor(self, images: Any, places: tuple[Place, ...] = ()) -> tuple[Any, list[Any]]:
        """Scores, and the tensors at some places of the model, in a trace under way."""
        own = () if self._head.logits is None else (self._head.logits,)
        output, found = self._anatomy.replay(self._run, self._feed(images), (*own, *places))
        values = found[0] if own else output
        return self._head.to_scores(tf.cast(values, tf.float32), self._output), found[len(own) :]

    def _score_and_record(self, images: Any, layers: tuple[str, ...]) -> tuple[Any, list[list[Any]]]:
        """Scores, and for each layer what each of its calls gave that sees the whole picture."""
        kept = [self._maps.places(name) for name in layers]
        scores, found = self._score_tensor(images, tuple(place for places in kept for place in places))
        rest = iter(found)
        return scores, [[next(rest) for _ in places] for places in kept]

    def _laid(self, layers: tuple[str, ...], values: list[list[Any]]) -> list[Any]:
        """What the calls of each layer gave, as one tensor for each."""
        return [self._maps.laid(name, calls) for name, calls in zip(layers, values, strict=True)]


_BY_NOTHING = "AuditorByNothing"

tf.RegisterGradient(_BY_NOTHING)(lambda operation, slope: None)
