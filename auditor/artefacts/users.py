"""Kinds of artefacts of a user's own: a function of the frame, or of one image."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from auditor.artefacts.appearance import Appearance, Frame
from auditor.artefacts.drawn import place_layer
from auditor.artefacts.global_edits import GlobalEdit
from auditor.errors import OptionError, describe_fault
from auditor.measure.arrays import Array, Floats


def from_user(kind: str, function: Callable[..., Any], frame: Frame, **options: Any) -> Appearance:
    """What a user's function makes.

    One whose first parameters are `image` and `random` is an edit: it is given a float image (h, w, c) in [0, 1] and a
    generator, and returns the image edited; it is compared with innocent edits of the whole image. Any other is given
    the frame, and returns an RGBA picture (h, w, 4) of it, or an `Appearance` of its own.

    Raises
    ------
    OptionError
        It fails, or returns something else; an edit is tried twice on an image of noise, and must do the same.
    """
    try:
        names = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # of what is no Python function, and then takes the frame
        names = []
    if names[:2] == ["image", "random"]:
        return _tried(kind, partial(_edit, kind, function, options), frame)
    try:
        made = function(frame, **options)
        if isinstance(made, Appearance):
            return made
        layer = np.asarray(made, dtype=np.float32)
    except Exception as fault:  # the user's code may raise anything
        raise OptionError("kind", f"{kind} failed: {describe_fault(fault)}") from None
    _check(kind, layer, (*frame[:2], 4), "RGBA ")
    return place_layer(frame, np.clip(layer, 0, 1), (0, 0), 1.0)


def _edit(
    kind: str, function: Callable[..., Any], options: dict[str, Any], image: Floats, _: float, random: Any
) -> Floats:
    """One image (h, w, c) edited by the user's function, which may change what it is given."""
    try:
        edited = np.asarray(function(image.copy(), random, **options), dtype=np.float32)
    except Exception as fault:  # the user's code may raise anything
        raise OptionError("kind", f"{kind} failed: {describe_fault(fault)}") from None
    _check(kind, edited, image.shape, "an image ")
    return edited


def _tried(kind: str, edit: Callable[[Floats, float, np.random.Generator], Floats], frame: Frame) -> GlobalEdit:
    image = np.random.default_rng(0).random(frame, dtype=np.float32)
    first, second = (edit(image, 1.0, np.random.default_rng(1)) for _ in range(2))
    if not np.array_equal(first, second):
        got = "made two different images of one image and one generator"
        raise OptionError("kind", f"{kind} {got}, wanted all that is random drawn from `random`")
    return GlobalEdit(edit, (1.0, 1.0))


def _check(kind: str, values: Array, shape: tuple[int, ...], what: str) -> None:
    if values.shape != shape:
        raise OptionError("kind", f"{kind} returned an array of shape {values.shape}, wanted {what}{shape}")
    if not (values.min() >= -_ROUNDING and values.max() <= 1 + _ROUNDING):  # NaN fails this too
        got = f"values in [{values.min():g}, {values.max():g}]"
        raise OptionError("kind", f"{kind} returned {got}, wanted {what}in [0, 1]")


_ROUNDING = 1e-5
"""How far values may leave [0, 1] that were computed to lie in it."""
