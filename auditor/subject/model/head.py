"""The last step of a model: whether its values are logits or probabilities, and where the logits are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from auditor.errors import ModelError, OptionError
from auditor.measure.arrays import Floats
from auditor.subject.model.anatomy import FED, Anatomy, Place
from auditor.subject.model.classifier import Output
from auditor.subject.model.saved_model import SavedFunction

Declared = Literal["auto", "softmax", "binary", "multilabel", "logits", "probabilities"]

_SMALLEST_PROBABILITY = 1e-12


@dataclass(frozen=True)
class Head:
    """How scores are made of what a model gives."""

    kind: Literal["softmax", "sigmoid", "linear", "probabilities", "sigmoid probabilities"]
    units: int
    description: str
    logits: Place | None = None
    """The tensor that a softmax or sigmoid is taken of; None where the scores are made of the output."""
    layer: Any = None
    """The layer that does just that, or does it last; None where a line of Python does."""
    is_guess: bool = False
    """Whether values alone said what they are, for nothing in the structure does."""
    is_open: bool = False
    """Whether values on real images may refute it: it stands on values, be it on some beside the structure."""
    is_doubted: bool = False
    """Whether that was said, and values on real images refuted it."""
    is_part: bool = False
    """Whether classes of a softmax are left out, so that the probabilities of the others need not sum to 1."""

    @contextmanager
    def taken_off(self) -> Iterator[None]:
        """The Keras model gives logits for as long as the context is open, where the activation is a layer's."""
        if isinstance(self.layer, keras.layers.Softmax):
            self.layer.__dict__["call"] = lambda inputs, mask=None: inputs
            try:
                yield
            finally:
                del self.layer.__dict__["call"]
        elif self.layer is not None:
            activation = self.layer.activation
            self.layer.activation = keras.activations.linear
            try:
                yield
            finally:
                self.layer.activation = activation
        else:
            yield

    def to_scores(self, output: Any, meaning: Output) -> Any:
        """Scores (n, classes) of the output, or of the logits where there are some."""
        if self.kind == "probabilities":
            output = tf.math.log(tf.maximum(output, _SMALLEST_PROBABILITY))
        elif self.kind == "sigmoid probabilities":
            clipped = tf.clip_by_value(output, 1e-7, 1 - 1e-7)
            output = tf.math.log(clipped) - tf.math.log1p(-clipped)
        return tf.concat([-output, output], axis=1) if meaning == "binary" else output


def find_head(anatomy: Anatomy, values: Floats, declared: Declared = "auto") -> Head:
    """How scores are to be made of the output, by the operations that it comes from.

    Where these do not tell (a softmax written out by hand, say) the values (n, units) on some images do, and that is a
    guess; see `doubt`. What the user declares, `logits` or `probabilities`, is taken as it is.

    Raises
    ------
    ModelError
        Scores are not finite, or a softmax has one unit only.
    """
    units = values.shape[1]
    if not np.isfinite(values).all():
        raise ModelError("the model's scores are not finite (NaN or infinity) on random images")
    place = anatomy.place(anatomy.output)
    final = next((call.layer for call in anatomy.calls if call.output is anatomy.output), None)
    if isinstance(final, SavedFunction):
        meaning = _KINDS.get(final.last_operation)
    else:
        meaning = None if place is None else _meaning(anatomy, place)
    what = "signature" if isinstance(final, SavedFunction) else "layer"
    name = f"{what} {final.name!r}" if final is not None else "the output"
    linear = Head("linear", units, f"{name} has no softmax or sigmoid; its values are the scores (logits)")
    if declared == "logits":
        return replace(linear, description="its values are taken for logits, as declared")
    if meaning in ("softmax", "sigmoid") and place is not None and declared != "probabilities":
        number, logits = _activation(anatomy, place)
        if logits is not None and meaning == "softmax" and units == 1:
            raise ModelError("the model's softmax over a single output unit is 1 for every image; was a sigmoid meant?")
        if logits is not None and anatomy.tensor(logits).shape[1:] == anatomy.output.shape[1:]:
            layer = anatomy.layer_of(number)
            where = "at the model's end" if layer is None else f"of layer {layer.name!r}"
            told = f"the {meaning} {where} is taken off; scores are logits"
            is_its_own = isinstance(layer, keras.layers.Softmax) or hasattr(layer, "activation")
            return Head(meaning, units, told, logits, layer if is_its_own else None)  # type: ignore[arg-type]
    in_unit_interval = bool((values >= 0).all() and (values <= 1).all())
    if not in_unit_interval and declared == "probabilities":
        raise OptionError(
            "output", f"got 'probabilities', but the model gives {float(values.min()):.3g} to {float(values.max()):.3g}"
        )
    if not in_unit_interval or (meaning == "linear" and declared != "probabilities"):
        return linear
    is_guess, is_open = meaning is None and declared == "auto", declared == "auto"
    guess = ' (a guess: say output = "logits" if they are none)' if is_guess else ""
    if units > 1 and np.allclose(values.sum(axis=1), 1, atol=1e-3):
        told = f"the model gives probabilities{guess}; scores are their logarithms"
        return Head("probabilities", units, told, is_guess=is_guess, is_open=is_open)
    if units > 1 and meaning == "softmax" and declared != "multilabel" and (values.sum(axis=1) < 1).all():
        told = "the model gives some classes of a softmax, which exclude each other; scores are log-probabilities"
        return Head("probabilities", units, f"{told}, and odds are among these classes", is_open=is_open, is_part=True)
    if declared == "softmax" and meaning is None:  # probabilities of exclusive classes sum to 1
        return linear
    told = f"the model gives {'values from 0 to 1, taken for ' if is_guess else ''}probabilities{guess}"
    return Head(
        "sigmoid probabilities", units, f"{told}; scores are their log-odds", is_guess=is_guess, is_open=is_open
    )


def doubt(head: Head, values: Floats) -> Head:
    """The head after a look at what the model gives (n, units) for real images: what these refute is dropped."""
    are_some = bool((values >= 0).all() and (values <= 1).all())
    if head.kind == "probabilities":
        total = values.sum(axis=1)
        are_some &= bool((total < 1.01).all()) if head.is_part else np.allclose(total, 1, atol=1e-2)
    if not head.is_open or are_some:
        return head
    span = f"{float(values.min()):.3g} to {float(values.max()):.3g}"
    told = f"the model gives {span} on real images, so no probabilities; scores are its values"
    return Head("linear", head.units, told, is_doubted=True)


def settle_output(declared: Declared, head: Head) -> Output:
    """What the classes are to each other.

    Raises
    ------
    OptionError
        The user declares what the head cannot be.
    """
    if declared in ("auto", "logits", "probabilities"):
        if head.units == 1:
            return "binary"
        return "multilabel" if head.kind.startswith("sigmoid") else "softmax"
    if (declared == "binary") != (head.units == 1):
        raise OptionError("output", f"got {declared!r}, but the model has {head.units} output units")
    if declared == "multilabel" and head.kind in ("softmax", "probabilities"):
        raise OptionError("output", "got 'multilabel', but the model's outputs are a softmax")
    return declared  # type: ignore[return-value]


def _meaning(anatomy: Anatomy, place: Place) -> str | None:
    """What values are by the operations that they come from: softmax, sigmoid or linear; None where these do not say.

    Means, sums, parts and multiples of some are taken to be of the same sort: an ensemble of sigmoid models gives
    probabilities too, if its values do not contradict.
    """
    place, is_mixed = anatomy.source(place), False
    waiting, found, seen = [place], set[str | None](), set[Place]()
    while waiting:
        place = anatomy.source(waiting.pop())
        if place in seen:
            continue
        seen.add(place)
        kind = None if place == FED else anatomy.operations[place[0]].type
        if kind in _MIXING or kind in _RESHAPING:
            waiting += anatomy.inputs(place[0])
            is_mixed |= kind in _MIXING
        elif kind in _BOUNDED and is_mixed:
            found.add(None)  # made to lie between 0 and 1, perhaps
        else:
            found.add(_KINDS.get(kind or ""))
    return found.pop() if len(found) == 1 else None


def _activation(anatomy: Anatomy, place: Place) -> tuple[int, Place | None]:
    """Number of the softmax or sigmoid that gives values, and the place of its logits, if it comes last."""
    place = anatomy.source(place)
    while (
        place != FED
        and anatomy.operations[place[0]].type in _RESHAPING - {"Transpose"}
        and len(anatomy.inputs(place[0])) == 1
    ):
        place = anatomy.source(anatomy.inputs(place[0])[0])
    if place == FED or anatomy.operations[place[0]].type not in ("Softmax", "Sigmoid"):
        return -1, None
    return place[0], anatomy.inputs(place[0])[0]


_RESHAPING = {"Reshape", "Squeeze", "ExpandDims", "Transpose"}

_MIXING = {
    "Mean", "Sum", "Max", "Min", "AvgPool", "MaxPool", "AddV2", "Add", "AddN", "Sub", "Mul", "RealDiv", "Neg", "Pack",
    "ConcatV2", "StridedSlice", "Slice", "GatherV2", "Maximum", "Minimum", "ClipByValue", "BiasAdd", "Pad", "PadV2",
    "FusedBatchNormV3", "SelectV2", "Unpack", "Split", "SplitV",
}  # fmt: skip
"""Operations whose values are of the same sort as what they are made of, though no longer the same."""

_BOUNDED = {"Tanh", "Relu6", "Softsign"}
"""Operations whose values lie in an interval that is not that of probabilities."""

_KINDS = {"Softmax": "softmax", "Sigmoid": "sigmoid"} | dict.fromkeys(
    [
        "MatMul", "BatchMatMulV2", "Conv2D", "DepthwiseConv2dNative", "Conv2DBackpropInput", "Einsum", "Log",
        "LogSoftmax", "Relu", "Relu6", "LeakyRelu", "Elu", "Selu", "Softplus", "Tanh", "Softsign",
    ],
    "linear",
)  # fmt: skip
