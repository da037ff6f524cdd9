"""Lengths, places and colours as a configuration writes them."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from PIL import ImageColor
from pydantic import Field

from auditor.errors import OptionError
from auditor.measure.arrays import Floats

Length = int | float
"""A whole number is pixels, another a fraction of the frame."""

Position = tuple[Length, Length]
Opacity = Annotated[float, Field(gt=0, le=1)]


def pixels_of(length: Length, whole: int) -> int:
    """A length along a side of the frame in pixels; it may lie outside."""
    pixels = length if isinstance(length, int) else length * whole
    return round(min(max(pixels, -_FAR), _FAR))


def rises(ends: tuple[float, float]) -> tuple[float, float]:
    """Two ends in their order."""
    if ends[0] > ends[1]:
        raise ValueError("the lower end first, then the higher")
    return ends


def read_size(option: str, length: Length, whole: int) -> int:
    """The length of something that has to fit into the frame."""
    pixels = pixels_of(length, whole)
    if not 1 <= pixels <= whole:
        raise OptionError(option, f"got {length}, which is {pixels} pixels, wanted 1 to the {whole} of the image")
    return pixels


def read_colour(name: str) -> Floats:
    """A colour by its name or code: (3,) in [0, 1]."""
    try:
        return np.array(ImageColor.getrgb(name)[:3], np.float32) / 255.0
    except ValueError:
        raise OptionError("colour", f"got {name!r}, wanted a colour such as 'white' or '#ffcc00'") from None


_FAR = 1e9
"""Pixels that no frame reaches to; what lies farther away lies there."""
