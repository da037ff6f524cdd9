"""What values of data are black and white: as the user says, as their kind tells, or guessed from what they hold."""

from __future__ import annotations

import numpy as np

from auditor.errors import MisfitError
from auditor.measure.arrays import Floats
from auditor.subject.data.pictures import CorruptImageError, RawImage
from auditor.subject.data.sources import NpzSource, Source

Limits = tuple[float, float]


def guess_limits(source: Source, input_range: Limits | None) -> tuple[Limits | None, list[str]]:
    """Black and white of data whose user names none, where they are not those of their kind, and what to say of it.

    Parameters
    ----------
    input_range
        The pixel range that the user says the model takes.
    """
    if input_range is None and not isinstance(source, NpzSource):  # others may take long to read twice
        return None, []
    low, high, kinds = 0.0, 0.0, set[str]()
    spread = np.unique(np.linspace(0, len(source.ids) - 1, min(len(source.ids), _LOOKED_AT)).astype(int)).tolist()
    for _, raw in source.stream(spread):
        if not isinstance(raw, CorruptImageError) and raw.dtype.kind in "uif" and raw.size:
            kinds.add(raw.dtype.name if raw.dtype.kind == "u" else raw.dtype.kind)
            finite = raw[np.isfinite(raw)] if raw.dtype != np.uint16 else np.empty(0)
            if finite.size:
                low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    if kinds == {"uint8"} and high == 1:
        told = "Pixels are whole numbers, 0 and 1 only, and are taken for black and white, which is a guess"
        return (0.0, 1.0), [f"{told}; range = [0, 255] under [data] would have them read as nearly black."]
    slack = 0.0 if input_range is None else ROUNDING * (input_range[1] - input_range[0])
    is_beyond = kinds & {"i", "f"} and (low < -ROUNDING or high > 1 + ROUNDING)
    if not is_beyond or input_range is None or low < input_range[0] - slack or high > input_range[1] + slack:
        return None, []
    told = "Pixels go beyond [0, 1] and are taken to be in the model's input_range, which is a guess"
    return input_range, [f"{told}; range = [black, white] under [data] says so."]


def to_unit(image: RawImage, name: str, limits: Limits | None) -> Floats:
    """Pixels in [0, 1], black and white being at these values; of 8 bits at 0 and 255, unless these lie within.

    Raises
    ------
    CorruptImageError
        Values are not finite.
    DataError
        The range is wrong: a fault of the whole data set rather than of one image.
    """
    kind = image.dtype
    wanted = "wanted uint8 in [0, 255] or float in [0, 1]; other values need range = [black, white] under [data]"
    if kind == np.uint8:
        limits = limits if limits is not None and limits[0] >= 0 and limits[1] <= 255 else (0.0, 255.0)
    elif kind == np.uint16:
        limits = limits or (0.0, 65535.0)
    elif kind.kind not in "fiu" or (kind.kind != "f" and limits is None):
        raise MisfitError(f"image {name} is {kind}, {wanted}")
    low, high = limits or (0.0, 1.0)
    pixels = image.astype(np.float32)
    if not np.isfinite(pixels).all():
        raise CorruptImageError("pixels are NaN or infinite")
    darkest, brightest = float(pixels.min()), float(pixels.max())
    slack = ROUNDING * (high - low)
    if darkest < low - slack or brightest > high + slack:
        if limits is not None:
            wanted = f"wanted [{low:g}, {high:g}]"
        raise MisfitError(f"image {name} is {kind} in [{darkest:.8g}, {brightest:.8g}], {wanted}")
    return np.clip((pixels - np.float32(low)) / np.float32(high - low), 0, 1)


ROUNDING = 1e-3
"""Share of the range by which a value may lie outside of it, as resized and compressed pictures do."""

_LOOKED_AT = 20
"""Images whose values are looked at."""
