"""A classifier of the user's own, whatever it is written with, behind the protocol that the audit works on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np

from auditor.errors import ModelError, OptionError
from auditor.measure.arrays import Array, Doubles, Floats, Ints, join
from auditor.measure.measurement import Note
from auditor.subject.model.batches import Work, finite, sparing
from auditor.subject.model.classifier import Chords, Linearisation, Output, Pass
from auditor.subject.model.foreign import user_code
from auditor.subject.record import ModelRecord

SCORES_ONLY = "the classifier gives scores and no gradients (auditor.Differentiable adds them)"


class GivenClassifier:
    """A `Classifier`, or a `Differentiable`, with all that explanations ask for made of what it has."""

    def __init__(
        self, model: Any, *, classes: tuple[str, ...] | None, image_shape: tuple[int, int, int] | None, batch_size: int
    ) -> None:
        """Check what the model says of itself.

        Parameters
        ----------
        classes, image_shape
            As the configuration and the data tell them, for a model that does not.

        Raises
        ------
        ModelError
            It lacks what a `Classifier` has.
        OptionError
            It has another number of classes.
        """
        if isinstance(model, type) or not callable(getattr(model, "scores", None)):
            raise ModelError(f"returned {type(model).__name__}, wanted a keras.Model or an auditor.Classifier")
        own = getattr(model, "classes", None)
        named = tuple(str(name) for name in own) if own is not None else classes
        shape = getattr(model, "image_shape", None) or image_shape
        if named is None or shape is None:
            lacking = "classes" if named is None else "image_shape"
            raise ModelError(f"{type(model).__name__} has no `{lacking}`, and neither do the labels or images tell it")
        if classes is not None and len(named) != len(classes):
            wanted = f"wanted {len(named)}: the classifier has {len(named)} classes"
            raise OptionError("labels", f"got {len(classes)} names, {wanted}")
        output: Any = getattr(model, "output", "softmax")
        if output not in ("softmax", "binary", "multilabel"):
            raise ModelError(f"output: got {output!r}, wanted 'softmax', 'binary' or 'multilabel'")
        self.classes: tuple[str, ...] = classes or named
        self.image_shape: tuple[int, int, int] = (int(shape[0]), int(shape[1]), int(shape[2]))
        self.output: Output = output
        self.is_differentiable = callable(getattr(model, "differentiate", None))
        self.feature_layers: tuple[str, ...] = (
            tuple(getattr(model, "feature_layers", ())) if self.is_differentiable else ()
        )
        self.layers: tuple[str, ...] = (
            tuple(getattr(model, "layers", self.feature_layers)) if self.is_differentiable else ()
        )
        self.why_no_features = "" if self.feature_layers else "the classifier names no `feature_layers`"
        self.weight_layers: tuple[str, ...] = tuple(getattr(model, "weight_layers", ()))
        self.why_no_weights = "" if self.weight_layers else "the classifier names no `weight_layers` to draw anew"
        self._model, self.batch_size, self.only_batch_size = model, batch_size, None
        self.traces: dict[str, Any] = {}
        self.notes_of_memory: list[Note] = []
        self.work, self.engine = Work(), ""

    @sparing
    def scores(self, images: Floats) -> Floats:
        """See `Classifier.scores`."""
        self.work.count("scores", len(images), len(images))
        found = [self._checked(self._ask("scores", part), part, "scores") for part in self._cut(images)]
        return np.concatenate(found) if found else np.zeros((0, len(self.classes)), np.float32)

    @sparing
    def differentiate(self, images: Floats, targets: Ints, layers: tuple[str, ...] = ()) -> Pass:
        """See `Differentiable.differentiate`."""
        if not self.is_differentiable:
            raise ModelError(SCORES_ONLY)
        self.work.count("gradients", len(images), len(images))
        found = [self._pass(*part, layers) for part in zip(self._cut(images), self._cut(targets), strict=True)]
        return join(found) if found else Pass(self.scores(images), images, {}, {})

    def _pass(self, images: Floats, targets: Ints, layers: tuple[str, ...]) -> Pass:
        found = self._ask("differentiate", images, targets, layers)
        if not isinstance(found, Pass):
            raise ModelError(f"differentiate returned {type(found).__name__}, wanted an auditor.Pass")
        return Pass(
            self._checked(found.scores, images, "scores"),
            self._checked(found.gradient, images, "gradient"),
            {name: np.asarray(found.features[name], np.float32) for name in layers},
            {name: np.asarray(found.feature_gradients[name], np.float32) for name in layers},
        )

    def weigh(self, images: Floats, targets: Ints, layers: tuple[str, ...]) -> Pass:
        """See `Explainable.weigh`; the gradient comes along."""
        return self.differentiate(images, targets, layers)

    def contrast(self, images: Floats, targets: Ints, foils: Ints, layers: tuple[str, ...] = ()) -> tuple[Pass, Pass]:
        """See `Explainable.contrast`."""
        return self.differentiate(images, targets, layers), self.differentiate(images, foils, layers)

    def linearise(self, images: Floats, layers: tuple[str, ...] = ()) -> Linearisation:
        """See `Explainable.linearise`; a model without one of its own is differentiated by each class."""
        if callable(getattr(self._model, "linearise", None)):
            return self._ask("linearise", images, layers)
        first = self.differentiate(images, np.zeros(len(images), np.int64), layers)

        def pull_back(by_scores: Floats | None, by_features: Mapping[str, Floats]) -> Floats:
            if by_features:
                raise ModelError("the classifier has no `linearise`, so objectives of its features have no gradient")
            total = np.zeros(images.shape, np.float32)
            for number in [] if by_scores is None else np.flatnonzero((by_scores != 0).any(axis=0)):
                slope = self.differentiate(images, np.full(len(images), number, np.int64)).gradient
                total += by_scores[:, number, None, None, None] * slope  # type: ignore[index]
            return total

        return Linearisation(first.scores, first.features, pull_back)

    @contextmanager
    def randomised(self, layers: tuple[str, ...], seed: int) -> Iterator[GivenClassifier]:
        """See `Explainable.randomised`."""
        if not self.weight_layers:
            raise ModelError(self.why_no_weights)
        with self._ask("randomised", layers, seed) as model:
            yield GivenClassifier(model, classes=self.classes, image_shape=self.image_shape, batch_size=self.batch_size)

    @property
    def why_no_chords(self) -> str:
        """See `Explainable.why_no_chords`."""
        return "the classifier gives derivatives alone"

    def chords(self, starts: Floats, ways: Floats, aims: Sequence[Ints], places: Doubles) -> Chords:
        """Not to be had; see `Explainable.chords`."""
        raise ModelError(self.why_no_chords)

    def sized(self, batch_size: int) -> GivenClassifier:
        """See `Explainable.sized`; a classifier of one's own takes calls of any size."""
        del batch_size
        return self

    def record(self, source: str, sha256: str | None) -> ModelRecord:
        """Describe the model for the result."""
        return ModelRecord(
            source=source,
            sha256=sha256,
            structure=f"{type(self._model).__module__}.{type(self._model).__qualname__}",
            classes=list(self.classes),
            image_shape=self.image_shape,
            input_range=None,
            preprocessing="inside the classifier",
            head="scores are taken as the classifier gives them",
            output=self.output,
            score="logit",
            parameters=None,
            feature_layers=list(self.feature_layers),
        )

    def _ask(self, what: str, *arguments: Any) -> Any:
        with user_code(f"the classifier's {what} failed"):
            return getattr(self._model, what)(*arguments)

    def _cut(self, values: Array) -> list[Array]:
        """Values of images in parts of at most the batch size."""
        return [values[at : at + self.batch_size] for at in range(0, len(values), self.batch_size)]

    def _checked(self, values: Any, images: Floats, what: Literal["scores", "gradient"]) -> Floats:
        shape = images.shape if what == "gradient" else (len(images), len(self.classes))
        with user_code(f"the classifier's {what} are no array"):
            array = np.asarray(values, np.float32)
        if array.shape != shape:
            raise ModelError(f"the classifier gives {what} of shape {array.shape}, wanted {shape}")
        return finite(array, what)
