"""Derivatives by chords: what a score changes by between two images, told pixel by pixel by one backward pass.

Where a network is piecewise linear, its derivatives along a straight way jump as units switch on and off, and a sum
over nodes misses where. The chord of an activation from one node to the next, (f(b) - f(a)) / (b - a), is its mean
derivative between them if it goes there in a straight line. So a backward pass that takes chords for derivatives gives
the mean derivative of the score to second order in the distance of the nodes, and its sum over pixels is exact.

References: Shrikumar, Greenside, Kundaje, "Learning important features through propagating activation differences"
(2017), whose rule this is from one image to another far from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
import tensorflow as tf

from auditor.subject.model.anatomy import FED, Anatomy
from auditor.subject.model.head import Head


def find_obstacle(anatomy: Anatomy, head: Head) -> str:
    """Why a model's derivatives cannot be told by chords; empty where they can."""
    if head.logits is None and head.kind != "linear":
        return "its scores are made of probabilities"
    if not anatomy.is_open:
        return "its layers run in a tf.function that can only be traced as a whole"
    numbers = anatomy.decides if head.logits is None else anatomy.behind(head.logits)
    for number in sorted(numbers - {FED[0]}):
        operation = anatomy.operations[number]
        reached = len(anatomy.inputs(number))
        if "_gradient_op_type" in operation.node_def.attr:
            return f"{operation.name} has a derivative of its own"
        if any(None in tensor.shape.as_list() for tensor in operation.outputs if tensor.shape.rank is not None):
            return f"the size of {operation.name} is open"
        if operation.type in _CURVED:
            if operation.type == "MaxPool" and not _is_in_squares(operation):
                return f"{operation.name} pools squares that overlap, or others than of two by two"
        elif operation.type == "RealDiv" and anatomy.place(operation.inputs[1]) in anatomy.inputs(number):
            return f"{operation.name} divides by what depends on the image"
        elif operation.type not in _LINEAR and not (operation.type in _LINEAR_IN_ONE and reached == 1):
            return f"{operation.name} ({operation.type}) is neither linear nor a known activation"
    return ""


def find_failure(classifier: Any) -> str:
    """Why a classifier that should be told by chords is not after all, on a way between two images; empty where it is.

    Times the way, they must sum to the change of the score. And they must gain something: each takes longer than a
    derivative, and where a network is so deep, or so wild, that nearly all its units switch between two points, many
    chords are no nearer to the mean derivative than as many derivatives.
    """
    try:
        return _try(classifier)
    except Exception as fault:  # XLA may be missing: what is only faster must not end an audit
        return f"{type(fault).__name__}: {fault}".splitlines()[0]


def _try(classifier: Any) -> str:
    height, width, channels = classifier.image_shape
    ends = np.random.default_rng(0).random((2, 2, height, width, channels)).astype(np.float32)
    starts, ways = ends[0], ends[1] - ends[0]
    targets = classifier.scores(ends[1]).argmax(axis=1)
    change = np.diff([classifier.scores(part)[np.arange(2), targets] for part in ends], axis=0)[0]
    (slopes,) = classifier.chords(starts, ways, (targets,), np.array([[0.0, 1.0]] * 2)).slopes
    gap = np.abs((slopes * ways).sum(axis=(1, 2, 3), dtype=np.float64) - change).max()
    if gap > _GAP * max(1.0, np.abs(change).max()):
        return f"they miss a change of the score by {gap:.2g}"
    start, way, target = starts[:1], ways[:1], targets[:1]
    places = [np.linspace(0, 1, steps + 1)[None] for steps in (_STEPS, 2 * _STEPS)]
    few, many = (classifier.chords(start, way, (target,), at).slopes[0] for at in places)
    points = start + ((np.arange(_STEPS, dtype=np.float32) + 0.5) / _STEPS)[:, None, None, None] * way
    middles = classifier.differentiate(points, np.repeat(target, _STEPS)).gradient.mean(axis=0, keepdims=True)
    by_chords, by_middles, length = (np.linalg.norm(part * way) for part in (few - many, middles - many, many))
    is_worse = by_middles > _GAP * length and by_chords > _GAIN * by_middles
    return f"{_STEPS} of them come no nearer than {_STEPS} derivatives" if is_worse else ""


_GAP = 1e-3
"""By what share of a change they may miss it; and what of a length is too little to tell apart."""

_STEPS, _GAIN = 12, 0.75
"""With so many steps their error must be less than this share of that of as many derivatives."""


@contextmanager
def by_chords() -> Iterator[None]:
    """Whatever is traced meanwhile is differentiated by chords from each image of the batch to the next.

    The last image has none; a derivative by it means nothing.
    """
    names = {kind: f"{_PREFIX}{kind}" for kind in _CURVED}
    with tf.compat.v1.get_default_graph().gradient_override_map(names):
        yield


_PREFIX = "AuditorChord"

_LINEAR = {
    "Add", "AddN", "AddV2", "AvgPool", "BatchToSpaceND", "BiasAdd", "Cast", "ConcatV2", "ExpandDims", "Identity",
    "Mean", "MirrorPad", "Neg", "Pad", "PadV2", "Reshape", "ResizeBilinear", "ResizeNearestNeighbor", "Slice",
    "SpaceToBatchND", "Split", "Squeeze", "StridedSlice", "Sub", "Sum", "Tile", "Transpose",
}  # fmt: skip
"""Operations that are linear (but for a constant) in all that the images reach."""

_LINEAR_IN_ONE = {
    "BatchMatMulV2", "Conv2D", "Conv2DBackpropInput", "DepthwiseConv2dNative", "FusedBatchNormV3", "MatMul", "Mul",
    "RealDiv",
}  # fmt: skip
"""Those that are where the images reach one input only."""

_Kernel = Callable[..., Any]


def _is_in_squares(operation: Any) -> bool:
    """Whether a pooling takes the largest of two by two pixels that no other square has."""
    size = [1, 2, 2, 1]
    shape = operation.inputs[0].shape
    is_even = shape.rank == 4 and None not in shape and shape[1] % 2 == shape[2] % 2 == 0
    return is_even and list(operation.get_attr("ksize")) == list(operation.get_attr("strides")) == size


def _next(values: Any) -> Any:
    return tf.roll(values, -1, axis=0)


def _chord(given: Any, got: Any, derivative: Any, least: float) -> Any:
    """Slopes of an activation from what it was given and got to those of the next image; of near ones the derivative.

    `least` is the distance from which on they count as apart.
    """
    step = _next(given) - given
    is_apart = tf.abs(step) > least
    return tf.where(is_apart, (_next(got) - got) / tf.where(is_apart, step, tf.ones_like(step)), derivative)


def _hinge(given: Any, got: Any, slope: Any, inside: Any, outside: float = 0.0) -> Any:
    """Of an activation in straight pieces, with slope 1 inside."""
    ones = tf.ones_like(given)
    return slope * _chord(given, got, tf.where(inside, ones, outside * ones), _LEAST)


def _pool(given: Any, slope: Any) -> Any:
    """Of the largest of two by two: of `b + relu(a - b)` for each pair, and then for both pairs."""
    a, b, c, d = (given[:, down::2, right::2] for down in (0, 1) for right in (0, 1))

    def share(first: Any, second: Any) -> Any:
        lead = first - second
        return _chord(lead, tf.nn.relu(lead), tf.cast(lead >= 0, lead.dtype), _LEAST)

    upper = slope * share(tf.maximum(a, b), tf.maximum(c, d))
    first, third = upper * share(a, b), (slope - upper) * share(c, d)
    parts = ((first, upper - first), (third, slope - upper - third))
    rows = tf.stack([tf.stack(pair, axis=3) for pair in parts], axis=2)
    return tf.reshape(rows, given.shape)


_LEAST = 1e-6
"""Distance under which both ends of a chord are the same to float32; straight pieces are exact whatever it is."""

_LEAST_CURVED = 1e-3
"""The same of smooth activations, whose chord loses digits before it differs from the derivative."""

_WORTH_COMPILING = 2**18
"""Values of a batch from which on a kernel is compiled, which takes a quarter of a second each time."""

_CURVED: dict[str, _Kernel] = {
    "Relu": lambda given, got, slope: _hinge(given, got, slope, given > 0),
    "Relu6": lambda given, got, slope: _hinge(given, got, slope, (given > 0) & (given < 6)),
    "Sigmoid": lambda given, got, slope: slope * _chord(given, got, got * (1 - got), _LEAST_CURVED),
    "Tanh": lambda given, got, slope: slope * _chord(given, got, 1 - got * got, _LEAST_CURVED),
    "Softplus": lambda given, got, slope: slope * _chord(given, got, tf.sigmoid(given), _LEAST_CURVED),
    "MaxPool": lambda given, got, slope: _pool(given, slope),
}
"""Activations: the slope by what they were given, of that, of what they got, and of the slope by the latter."""


def _register(kind: str, kernel: _Kernel) -> None:
    @lru_cache(maxsize=256)
    def compiled(*parts: tuple[tuple[int, ...], Any]) -> Any:
        """One loop over the values, which XLA makes: in steps they would take half as long as the network itself."""
        with tf.init_scope():
            specs = [tf.TensorSpec(shape, dtype) for shape, dtype in parts]
            return tf.function(kernel, jit_compile=True, autograph=False).get_concrete_function(*specs)

    def differentiate(operation: Any, slope: Any) -> Any:
        parts = operation.inputs[0], operation.outputs[0], slope
        if parts[0].shape.num_elements() < _WORTH_COMPILING:
            return kernel(*parts)
        return compiled(*((tuple(part.shape), part.dtype) for part in parts))(*parts)

    tf.RegisterGradient(f"{_PREFIX}{kind}")(differentiate)


for _kind, _kernel in _CURVED.items():
    _register(_kind, _kernel)
