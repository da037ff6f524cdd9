"""The pixel range that a model expects, told by its own first steps or by the user."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from auditor.errors import OptionError
from auditor.measure.arrays import Doubles, Floats
from auditor.subject.model.anatomy import FED, Anatomy, Place
from auditor.subject.model.classifier import Classifier, Output

Range = tuple[float, float]

USUAL: tuple[Range, ...] = ((0.0, 1.0), (0.0, 255.0), (-1.0, 1.0), (0.0, 4095.0), (0.0, 65535.0))
"""The ranges that a model may show to expect: fractions, 8, 12 and 16 bits, and fractions about zero."""


def find_input_range(anatomy: Anatomy) -> tuple[Range, str] | None:
    """The pixel range that the model's own first step was made for, and what step that is.

    It is a Rescaling, a Normalization, or the same written out, `x / 255`. None where there is none, where something
    changes the pixels before it, or where its numbers fit no usual range or several.
    """
    for call in anatomy.calls:
        if not isinstance(call.layer, (keras.layers.Rescaling, keras.layers.Normalization)):
            continue
        place = None if call.given is None else anatomy.place(call.given)
        if place is None or anatomy.source(place) != FED:
            continue
        if isinstance(call.layer, keras.layers.Rescaling):
            found = _range_of_rescaling(np.asarray(call.layer.scale, float), np.asarray(call.layer.offset, float))
        else:
            found = _range_of_normalization(np.asarray(call.layer.mean, float), np.asarray(call.layer.variance, float))
        return None if found is None else (found, f"layer {call.layer.name!r}")
    scale, offset, name = _written_out(anatomy)
    found = _range_of_rescaling(scale, offset) if name else None
    return None if found is None else (found, f"step {name}")


@dataclass(frozen=True)
class FedIn:
    """A `Classifier` that feeds another with pixels in a range that is not its own."""

    other: Classifier
    own: Range
    limits: Range

    @property
    def classes(self) -> tuple[str, ...]:
        """See `Classifier.classes`."""
        return self.other.classes

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """See `Classifier.image_shape`."""
        return self.other.image_shape

    @property
    def output(self) -> Output:
        """See `Classifier.output`."""
        return self.other.output

    def scores(self, images: Floats) -> Floats:
        """See `Classifier.scores`."""
        (bottom, top), (low, high) = self.own, self.limits
        return self.other.scores((images * (high - low) + low - bottom) / np.float32(top - bottom))


def say_feeding(limits: Range, told: tuple[Range, str] | None) -> str:
    """What pixels a model is fed with, and who says so: its own first step, if that tells the same, or the user."""
    why = f"as its {told[1]} tells" if told is not None and told[0] == limits else "as declared"
    return f"pixels in {_in_words(limits)} are fed to the model, {why}"


def find_contradiction(limits: Range, told: tuple[Range, str] | None) -> str:
    """A sentence where a model's own first step tells another range than it is fed in; else nothing."""
    if told is None or told[0] == limits:
        return ""
    step, other = f"the model's own {told[1]}", _in_words(told[0])
    return f"Pixels are fed in {_in_words(limits)}, as declared, though {step} tells {other}."


def _in_words(limits: Range) -> str:
    return f"[{limits[0]:g}, {limits[1]:g}]"


def settle_input_range(declared: Range | None, known: tuple[Range, str] | None) -> Range:
    """What the user declares, or else what the model tells.

    Raises
    ------
    OptionError
        Neither says anything.
    """
    if declared is not None:
        return declared
    if known is None:
        raise OptionError(
            "input_range",
            "the model shows no Rescaling or Normalization of its own that would tell its pixel range; "
            "declare it, for example input_range = [0, 1]",
        )
    return known[0]


def _range_of_rescaling(scale: Doubles, offset: Doubles) -> Range | None:
    """The only usual range that `x * scale + offset` brings to [0, 1] or about zero, else to bytes or deviations."""
    found: dict[str, list[Range]] = {"prepared": [], "bytes": [], "near": []}
    for low, high in USUAL:
        ends = np.stack(np.broadcast_arrays(low * scale + offset, high * scale + offset))
        bottom, top = float(ends.min()), float(ends.max())
        if any(abs(bottom - a) + abs(top - b) < 0.005 * (b - a) for a, b in ((0, 1), (-1, 1), (-0.5, 0.5))):
            found["prepared"].append((low, high))
        if abs(bottom) + abs(top - 255) < 1:
            found["bytes"].append((low, high))
        if -3.5 < bottom < -0.9 and 0.9 < top < 3.5:  # by mean and deviation, as the networks of PyTorch have it
            found["near"].append((low, high))
    candidates = found["prepared"] or found["bytes"] or found["near"]
    return candidates[0] if len(candidates) == 1 else None


def _range_of_normalization(mean: Doubles, variance: Doubles) -> Range | None:
    """The only usual range in which pixels of pictures have such a mean and deviation; None where several fit."""
    if float(np.abs(mean).max()) < 0.05:  # as one has that was adapted to nothing
        return None
    deviation, fit = np.sqrt(np.maximum(variance, 0)), []
    for low, high in USUAL:
        place, spread = (mean - low) / (high - low), float(deviation.mean()) / (high - low)
        if (place > 0.02).all() and (place < 0.95).all() and 0.12 <= spread <= 0.38:
            fit.append((low, high))
    return fit[0] if len(fit) == 1 else None


def _written_out(anatomy: Anatomy) -> tuple[Doubles, Doubles, str]:
    """Scale and offset of the constants that the pixels are multiplied with and shifted by first, and the last step."""
    scale, offset, name = np.ones(()), np.zeros(()), ""
    place: Place = FED
    while True:
        users = [number for number in sorted(anatomy.depends) if place in map(anatomy.source, anatomy.inputs(number))]
        users = [number for number in users if anatomy.operations[number].type not in ("Identity", "Cast")]
        operation = anatomy.operations[users[0]] if len(users) == 1 else None
        if operation is None or operation.type not in ("Mul", "RealDiv", "AddV2", "Sub"):
            return scale, offset, name
        values = [_constant(tensor) for tensor in operation.inputs]
        is_second = values[0] is None
        value = values[1] if is_second else values[0]
        if value is None or not (is_second or operation.type in ("Mul", "AddV2")):
            return scale, offset, name
        if operation.type in ("Mul", "RealDiv"):
            factor = value if operation.type == "Mul" else 1 / value
            scale, offset = scale * factor, offset * factor
        else:
            offset = offset + (value if operation.type == "AddV2" else -value)
        place, name = (users[0], 0), operation.type


def _constant(tensor: Any) -> Doubles | None:
    value = tf.get_static_value(tensor)
    return None if value is None else np.asarray(value, float)
