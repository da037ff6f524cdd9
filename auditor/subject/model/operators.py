"""What lines of Python between the layers of a Keras 2 model became in its file, as layers that Keras 3 runs.

Keras 2 wrote `x * 2` or `tf.concat([x, y], -1)` as a layer that names the function of TensorFlow. Those that compute
on tensors and do no more are called again, under the same name and with the same arguments.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

OPERATORS = ("TFOpLambda", "SlicingOpLambda")
"""Classes that Keras 2 wrote for them."""


class FunctionOfTensorFlow(keras.Operation):  # type: ignore[misc]
    """A function of TensorFlow that computes on tensors, by the name that Keras 2 wrote."""

    def __init__(self, function: str, name: str | None = None) -> None:
        """Raises KeyError where it is none that is known."""
        super().__init__(name=name)
        self.function = function
        self._compute = _find(function)

    def call(self, *given: Any, **options: Any) -> Any:
        """What the function makes of the tensors."""
        return self._compute(*given, **options)


def is_known(function: Any) -> bool:
    """Whether a function is one that computes on tensors and does no more."""
    return isinstance(function, str) and (function in _FUNCTIONS or function == GET_ITEM)


def _find(function: str) -> Any:
    if function == GET_ITEM:
        return _get_item
    if function not in _FUNCTIONS:
        raise KeyError(function)
    found: Any = tf
    for name in _FUNCTIONS_CALLED_OTHERWISE.get(function, function).split("."):
        found = getattr(found, name)
    return found


def _get_item(tensor: Any, slice_spec: Any) -> Any:
    """`tensor[...]`, as Keras 2 wrote what stands in the brackets."""
    parts = slice_spec if isinstance(slice_spec, list | tuple) else [slice_spec]
    return tensor[tuple(_as_index(part) for part in parts)]


def _as_index(part: Any) -> Any:
    if isinstance(part, dict):
        return slice(part["start"], part["stop"], part["step"])
    return Ellipsis if part == ELLIPSIS else part


def hard_sigmoid(x: Any) -> Any:
    """As Keras 1 and 2 computed it, with a slope of 0.2; that of Keras 3 has one of 1/6."""
    return keras.ops.clip(0.2 * x + 0.5, 0.0, 1.0)


GET_ITEM, ELLIPSIS = "__operators__.getitem", "..."

HARD_SIGMOID = {"module": None, "class_name": "function", "config": "auditor>hard_sigmoid",
                "registered_name": "auditor>hard_sigmoid"}  # fmt: skip

MENDED_WITH: dict[str, Any] = {
    "auditor>FunctionOfTensorFlow": FunctionOfTensorFlow,
    "auditor>hard_sigmoid": hard_sigmoid,
}
"""What a mended architecture names beside the layers of Keras, for `keras.saving.custom_object_scope`."""

_FUNCTIONS_CALLED_OTHERWISE = {"__operators__.add": "math.add", "__operators__.logical_and": "math.logical_and",
                               "__operators__.eq": "math.equal", "__operators__.ne": "math.not_equal"}  # fmt: skip

_FUNCTIONS = frozenset(
    [
        *_FUNCTIONS_CALLED_OTHERWISE,
        *("cast", "clip_by_value", "concat", "expand_dims", "gather", "identity", "ones_like", "pad"),
        *("repeat", "reshape", "reverse", "roll", "split", "squeeze", "stack", "stop_gradient", "tile", "transpose"),
        *("unstack", "where", "zeros_like", "broadcast_to", "boolean_mask", "shape", "slice", "strided_slice", "rank"),
        *("compat.v1.shape", "compat.v1.squeeze", "compat.v1.transpose", "compat.v1.pad", "compat.v1.expand_dims"),
        *("compat.v1.where", "compat.v1.concat", "compat.v1.gather", "compat.v1.size"),
        *("linalg.matmul", "linalg.matvec", "linalg.tensor_diag_part", "linalg.norm", "linalg.l2_normalize"),
        *("tensordot", "norm", "nn.l2_normalize", "math.l2_normalize"),
        *(
            f"math.{name}"
            for name in (
                *("abs", "add", "add_n", "argmax", "argmin", "ceil", "cos", "cumsum", "divide", "divide_no_nan"),
                *("equal", "erf", "exp", "expm1", "floor", "floordiv", "floormod", "greater", "greater_equal"),
                *("is_nan", "less", "less_equal", "log", "log1p", "log_sigmoid", "log_softmax", "logical_and"),
                *("logical_not", "logical_or", "maximum", "minimum", "mod", "multiply", "multiply_no_nan", "negative"),
                *("not_equal", "pow", "reciprocal", "reduce_all", "reduce_any", "reduce_logsumexp", "reduce_max"),
                *("reduce_mean", "reduce_min", "reduce_prod", "reduce_std", "reduce_sum", "reduce_variance", "round"),
                *("rsqrt", "sigmoid", "sign", "sin", "softmax", "softplus", "softsign", "sqrt", "square"),
                *("squared_difference", "subtract", "tan", "tanh", "top_k", "truediv", "unsorted_segment_sum"),
            )
        ),
        *(
            f"nn.{name}"
            for name in (
                *("avg_pool", "avg_pool2d", "batch_normalization", "bias_add"),
                *("conv2d", "depth_to_space", "depthwise_conv2d", "elu", "gelu", "leaky_relu", "log_softmax"),
                *("local_response_normalization", "max_pool", "max_pool2d", "moments", "relu", "relu6", "selu"),
                *("sigmoid", "silu", "softmax", "softplus", "softsign", "space_to_depth", "swish", "tanh"),
            )
        ),
        *(
            f"image.{name}"
            for name in (
                *("adjust_brightness", "adjust_contrast", "central_crop", "crop_to_bounding_box", "flip_left_right"),
                *("flip_up_down", "grayscale_to_rgb", "pad_to_bounding_box", "per_image_standardization", "resize"),
                *("resize_with_crop_or_pad", "resize_with_pad", "rgb_to_grayscale", "rgb_to_hsv", "rgb_to_yuv"),
                *("rot90", "transpose"),
            )
        ),
    ]
)
"""Of TensorFlow: neither state, chance, files nor functions of Python are behind these."""
