"""Scores by ONNX Runtime: the same function as TensorFlow traces it, with its weights, computed up to twice as fast.

The extra `fast` brings what it takes. Gradients stay in TensorFlow.
"""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import util
from typing import Any

import numpy as np
import tensorflow as tf

from auditor.measure.arrays import Floats
from auditor.measure.measurement import Note
from auditor.subject.model.foreign import first_line

TOLERANCE = 1e-4
"""By how much scores may differ, as a share of the largest of them, or absolutely where that is under 1."""

LEAST_PASSES = 1000
"""Images to be scored from which on it is worth while ..."""

LEAST_WORK = 2e5
"""... and multiplications in all of them for each weight: export takes a second or so for each million weights."""

Fast = Callable[[Floats], Floats]
"""Scores (n, classes) of images (n, h, w, c), n as large as it may be."""


@dataclass(frozen=True)
class Found:
    """What became of a try."""

    fast: Fast | None
    engine: str = ""
    """What it is and how near it comes to TensorFlow, in words."""
    notes: list[Note] = field(default_factory=list)
    """Why there is none."""


def is_worth_while(due: int, operations: Sequence[Any], images: int, weights: int) -> bool:
    """Whether so much is to be scored that an export pays, and the extra is installed.

    It pays on a processor where convolutions go by depth, as in the networks made for phones, which TensorFlow computes
    slowly there; others gain a tenth or nothing.

    Parameters
    ----------
    due
        How many images are to be scored.
    operations, images
        Those of the model, as they were traced for so many.
    weights
        How many it has.
    """
    is_by_depth = any(operation.type == "DepthwiseConv2dNative" for operation in operations)
    can_be_had = all(util.find_spec(name) is not None for name in ("onnxruntime", "tf2onnx"))
    work, has_gpu = due * multiplications(operations) / images, bool(tf.config.list_physical_devices("GPU"))
    return is_by_depth and can_be_had and not has_gpu and due >= LEAST_PASSES and work >= LEAST_WORK * weights


def find_fast(trace: Callable[[], Any], images: Floats, wanted: Floats) -> Found:
    """Scores by ONNX Runtime, if they are those that TensorFlow gives.

    Parameters
    ----------
    trace
        Gives the function of any number of images that is to be exported.
    images, wanted
        Real ones (n, h, w, c), and their scores by TensorFlow (n, classes).
    """
    try:
        fast = export(trace())
        apart = _apart(fast(images), wanted)
        gc.collect()  # an export leaves copies of the graph, with all weights, that refer to each other
    except Exception as fault:  # of libraries that need not know what this model is made of
        told = f"ONNX Runtime cannot run the model ({first_line(fault)})"
        return Found(None, notes=[Note(ENGINE, f"{told}; it was scored by TensorFlow.")])
    if apart > TOLERANCE:
        told = f"ONNX Runtime gives other scores than TensorFlow, {apart:.2g} of the largest apart"
        return Found(None, notes=[Note(ENGINE, f"{told}; the model was scored by TensorFlow.")])
    return Found(fast, f"ONNX Runtime, on {len(images)} images within {apart:.0e} of the largest score by TensorFlow")


def say_failed(fault: Exception) -> Note:
    """That it failed after it had been taken."""
    told = f"ONNX Runtime failed ({first_line(fault)})"
    return Note(ENGINE, f"{told}; from then on the model was scored by TensorFlow.")


ENGINE = "engine"
"""The kind of such notes."""


def multiplications(operations: Sequence[Any]) -> float:
    """Of convolutions and products of matrices, in all images of the batch that these operations were traced for."""
    total = 0.0
    for operation in operations:
        count = _TERMS.get(operation.type)
        shapes = [tensor.shape for tensor in (*operation.inputs, *operation.outputs)]
        if count is not None and all(shape.is_fully_defined() for shape in shapes):
            total += count(operation, [int(np.prod(shape)) for shape in shapes])
    return total


def export(function: Any) -> Fast:
    """A concrete function of images (any number, h, w, c), within ONNX Runtime; its weights are constants there.

    Raises
    ------
    Exception
        It has operations that ONNX has not, or whatever else the two libraries raise.
    """
    import onnxruntime
    import tf2onnx

    spec = tf.TensorSpec(function.inputs[0].shape, tf.float32)
    for name in ("tf2onnx", "tf2onnx.tfonnx", "tf2onnx.optimizer"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    model, _ = tf2onnx.convert.from_function(_Traced(function), [spec], opset=_OPSET)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _threads()
    options.log_severity_level = 4
    # threads that wait for more would take the cores from TensorFlow, which computes gradients in between
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    captured = [tensor.name for tensor in function.inputs if tensor.dtype != tf.resource][1:]
    values = [value for value in function.captured_inputs if value.dtype != tf.resource]  # what layers hold as tensors
    fixed = {name: value.numpy() for name, value in zip(captured, values, strict=True)}
    given = [each.name for each in session.get_inputs()]
    (fed,) = (name for name in given if name not in fixed)
    kept = {name: fixed[name] for name in given if name in fixed}
    return lambda images: np.asarray(session.run(None, kept | {fed: images})[0], np.float32)


def _apart(found: Floats, wanted: Floats) -> float:
    """How far scores are from those wanted, in the unit of `TOLERANCE`; infinite where they are none."""
    if found.shape != wanted.shape or not np.isfinite(found).all():
        return float("inf")
    return float(np.abs(found - wanted).max() / max(1.0, float(np.abs(wanted).max())))


class _Traced:
    """What was traced already, in place of what tf2onnx would trace itself."""

    def __init__(self, function: Any) -> None:
        self._function = function

    def get_concrete_function(self, *_: Any) -> Any:
        return self._function


def _threads() -> int:
    """As many as TensorFlow takes."""
    told = os.environ.get("TF_NUM_INTRAOP_THREADS", "")
    own = int(told) if told.isdigit() else tf.config.threading.get_intra_op_parallelism_threads()
    return own or len(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1))


def _of_convolution(operation: Any, sizes: list[int]) -> float:
    kernel, output = sizes[1], sizes[-1]
    return output * kernel / operation.inputs[1].shape[3]


def _of_depthwise(operation: Any, sizes: list[int]) -> float:
    high, wide = operation.inputs[1].shape[:2]
    return float(sizes[-1] * high * wide)


def _of_matrices(operation: Any, sizes: list[int]) -> float:
    is_turned = operation.get_attr("transpose_a" if operation.type == "MatMul" else "adj_x")
    return float(sizes[-1] * operation.inputs[0].shape[-2 if is_turned else -1])


_TERMS: dict[str, Callable[[Any, list[int]], float]] = {
    "Conv2D": _of_convolution,
    "DepthwiseConv2dNative": _of_depthwise,
    "MatMul": _of_matrices,
    "BatchMatMulV2": _of_matrices,
}
"""Operation -> multiplications, of itself and the number of values of each of its inputs and outputs."""

_OPSET = 17
