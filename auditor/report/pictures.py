"""Arrays to pictures: images, and heat layers over them, as what an `<img>` names.

Maps are scaled here and nowhere else, and the scale is returned to be printed beside them. Every function that makes a
picture hands its kind and bytes to `put`, which gives its name; unless told otherwise, the picture itself as data.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from auditor.measure.arrays import Array, Doubles, Floats, Numbers

Put = Callable[[str, bytes], str]
"""Takes a picture, `jpeg` or `png` and its bytes; gives what an `<img>` names it by."""

Outline = tuple[float, float, float, float]

Pixels = npt.NDArray[np.uint8]
Map = Floats

BLUE, ORANGE, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "#8a8f98"
"""The colours of all pictures and plots, after Okabe and Ito (2008): distinct to every kind of colour vision."""

_LEAST_SIDE = 168
"""Small images are enlarged to about this many pixels, each pixel a square."""

_PERCENTILE = 99.5

_FACTORS = [step * 10.0**power for power in range(4) for step in (1, 2, 5)]

_USUAL, _RUNS = -1, 3
"""Strategies of zlib: the usual, and that for runs of equal bytes (Z_RLE), faster where nothing else repeats."""


@dataclass(frozen=True)
class HeatLayer:
    """A map to lie over its image."""

    uri: str
    scale: float
    """The value at full colour: 99.5th percentile of the absolute values."""
    is_signed: bool
    is_zero: bool
    outline: Outline | None = None
    """A box that a thin line is drawn around, in percent of the frame: left, top, width, height."""

    @property
    def shown_scale(self) -> str:
        return f"{self.scale:.3g}"


def carry(kind: str, data: bytes) -> str:
    """A picture as data that an `<img>` can name."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def picture_uri(image: Pixels, put: Put = carry) -> str:
    """An image (h, w, c) uint8 as JPEG; small ones are enlarged without smoothing."""
    shown = _enlarged(image if image.shape[-1] == 3 else np.repeat(image, 3, axis=-1))
    buffer = io.BytesIO()
    Image.fromarray(shown).save(buffer, "JPEG", quality=90, subsampling=0)
    return put("jpeg", buffer.getvalue())


def difference_uri(change: Map, put: Put = carry) -> tuple[str, float | None]:
    """A signed difference (h, w, c) about mid-grey, amplified, and by how much: see `choose_factor`.

    One with pixels that are NaN is withheld: a placeholder stands for it, without a factor.
    """
    if np.isnan(change).any():
        return picture_uri(placeholder(*change.shape[:2]), put), None
    factor = choose_factor(float(np.abs(change).max()))
    return picture_uri(np.round(255 * np.clip(0.5 + factor * change, 0, 1)).astype(np.uint8), put), factor


def choose_factor(largest: float) -> float:
    """The largest round factor (1, 2 or 5, and ten times those) at which no difference is cut off; 0.5 where 1 is.

    Parameters
    ----------
    largest
        Of all absolute differences, which black or white about mid-grey can show up to 0.5.
    """
    if largest <= 0:
        return 1.0
    fitting = [factor for factor in _FACTORS if factor * largest <= 0.5 * (1 + 1e-6)]
    return max(fitting, default=0.5)


def heat_layer(
    values: Map,
    scale: float | None = None,
    put: Put = carry,
    *,
    is_strength: bool = False,
    outline: tuple[int, int, int, int] | None = None,
) -> HeatLayer:
    """A raw attribution (h, w, c), summed over channels, as transparent PNG; its own scale unless one is given.

    Signed maps run from blue (against the target) to orange (for it), symmetric about zero; maps without negative
    values from nothing to orange. Opacity grows with the absolute value, so the image shows where the map is silent.
    A map with pixels that are NaN is withheld: it has the scale of the others, and nothing of it is drawn.

    Parameters
    ----------
    is_strength
        Draw absolute values: the signs of the map do not tell what speaks for the target.
    outline
        A box (left, top, right, bottom) of pixels, half-open, that a thin line is to be drawn around.
    """
    summed = _sum_channels(values)
    summed = np.abs(summed) if is_strength else summed
    is_signed = bool((summed < 0).any())
    scale = _full_colour(np.abs(summed)) if scale is None else scale
    is_drawn = scale > 0 and not np.isnan(summed).any()
    share = np.clip(summed / scale, -1, 1) if is_drawn else np.zeros_like(summed)
    # a palette takes a third of the bytes of four channels; entry 127 is zero, and transparent
    levels = _enlarged(np.round(127 * share + 127).astype(np.uint8))
    layer = Image.frombytes("P", levels.shape[::-1], levels.tobytes())
    layer.putpalette(_HEAT_COLOURS)
    buffer = io.BytesIO()
    way = _RUNS if levels.shape == summed.shape else _USUAL  # squares of equal pixels repeat in rows, too
    layer.save(buffer, "PNG", transparency=_HEAT_OPACITIES, compress_level=4, compress_type=way)
    box = None if outline is None or not is_drawn else _in_percent(outline, *summed.shape)
    return HeatLayer(put("png", buffer.getvalue()), scale, is_signed, not np.nan_to_num(summed).any(), box)


def _in_percent(box: tuple[int, int, int, int], height: int, width: int) -> Outline:
    left, top, right, bottom = box
    parts = (left / width, top / height, (right - left) / width, (bottom - top) / height)
    across, down, wide, high = (round(100 * part, 2) for part in parts)
    return across, down, wide, high


def flatten(under: bytes, layer: bytes, outline: Outline | None = None) -> bytes:
    """An encoded image, the layer over it and its outline as one JPEG: for paper, where nothing lies over anything."""
    image, heat = (Image.open(io.BytesIO(data)) for data in (under, layer))
    pale = Image.blend(Image.new("L", image.size, 255), image.convert("L"), 0.45).convert("RGBA")
    pale.alpha_composite(heat.convert("RGBA").resize(image.size, Image.Resampling.NEAREST))
    if outline is not None:
        left, top, wide, high = (part / 100 * side for part, side in zip(outline, 2 * image.size, strict=True))
        line = max(1, round(max(image.size) / 168))
        ImageDraw.Draw(pale).rectangle((left, top, left + wide - 1, top + high - 1), outline=_OUTLINE, width=line)
    buffer = io.BytesIO()
    pale.convert("RGB").save(buffer, "JPEG", quality=90, subsampling=0)
    return buffer.getvalue()


def draw_ring(image: Pixels, place: tuple[int, int, int, int]) -> bytes:
    """An image (h, w, c) uint8 as PNG, enlarged, with a ring around a box (left, top, right, bottom) of its pixels."""
    shown = _enlarged(image if image.shape[-1] == 3 else np.repeat(image, 3, axis=-1))
    factor = shown.shape[0] / image.shape[0]
    left, top, right, bottom = (side * factor for side in place)
    # the ellipse through the corners of a box is wider than it by the root of two
    more_x, more_y = 0.24 * (right - left) + 2, 0.24 * (bottom - top) + 2
    picture = Image.fromarray(shown)
    drawing = ImageDraw.Draw(picture)
    width = max(2, round(max(shown.shape[:2]) / 84))
    for inset, colour, line in ((0.0, "#ffffff", 2 * width), (width / 2, ORANGE, width)):
        ends = (max(left - more_x, 1) + inset, max(top - more_y, 1) + inset)
        others = (min(right + more_x, shown.shape[1] - 2), min(bottom + more_y, shown.shape[0] - 2))
        drawing.ellipse((*ends, *(end - inset for end in others)), outline=colour, width=line)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


def map_scale(*maps: Numbers) -> float:
    """The value of raw attributions (h, w, c) that is drawn in full colour, so that several compare by colour."""
    return _full_colour(np.abs(np.stack([_sum_channels(values) for values in maps])))


def shrink(values: Array, longest: int) -> Array:
    """A picture or map (h, w, c) of at most so many pixels a side, each the mean of those that it stands for."""
    factor = longest / max(values.shape[:2])
    if factor >= 1:
        return values
    height, width = (max(1, round(side * factor)) for side in values.shape[:2])
    channels = [
        np.asarray(Image.fromarray(values[..., channel]).resize((width, height), Image.Resampling.BOX))
        for channel in range(values.shape[-1])
    ]
    return np.stack(channels, axis=-1)


def placeholder(height: int, width: int) -> Pixels:
    """A picture (h, w, 3) of these proportions that says that one is withheld."""
    factor = _LEAST_SIDE / max(height, width)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    picture = Image.new("RGB", size, "#e3e6ea")
    drawing = ImageDraw.Draw(picture)
    for left in range(-size[1], size[0], 14):
        drawing.line([(left, size[1]), (left + size[1], 0)], fill="#d3d7dd", width=2)
    middle = size[0] / 2, size[1] / 2
    drawing.text(middle, "withheld", fill="#4d5664", font=ImageFont.load_default(26), anchor="mm")
    return np.asarray(picture)


def _sum_channels(values: Numbers) -> Doubles:
    """Sums (h, w) over the channels of a map (h, w, c), twice as fast as `values.sum`."""
    return np.einsum("hwc->hw", values, dtype=np.float64)


def _full_colour(sizes: Doubles) -> float:
    known = sizes[~np.isnan(sizes)]
    return float(np.percentile(known, _PERCENTILE)) or float(known.max())


def _enlarged(image: Pixels) -> Pixels:
    factor = max(1, -(-_LEAST_SIDE // max(image.shape[:2])))
    return image.repeat(factor, axis=0).repeat(factor, axis=1)


def _rgb(colour: str) -> list[int]:
    return [int(colour[at : at + 2], 16) for at in (1, 3, 5)]


_OUTLINE = "#101820"

_HEAT_COLOURS = bytes(part for level in range(256) for part in _rgb(BLUE if level < 127 else ORANGE))
_HEAT_OPACITIES = bytes(round(235 * min(abs(level - 127) / 127, 1) ** 0.7) for level in range(256))
"""Of the levels of a heat layer, of which 127 is zero."""
