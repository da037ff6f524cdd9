"""Kinds of artefacts that are drawn over the image, the same in every image or another in each."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, overload

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from pydantic import Field

from auditor.artefacts.appearance import Frame
from auditor.artefacts.lengths import Length, Opacity, Position, pixels_of, read_colour, read_size
from auditor.artefacts.overlay import Overlay
from auditor.artefacts.varied import Layer, Place, Varied
from auditor.artefacts.varied import vary as vary_layers
from auditor.errors import OptionError
from auditor.measure.arrays import Floats
from auditor.subject.data.pictures import CorruptImageError, open_picture
from auditor.subject.data.sample import to_grey

Face = ImageFont.ImageFont | ImageFont.FreeTypeFont


def overlay(
    frame: Frame,
    *,
    image: Path | None = None,
    examples: tuple[Path, ...] = (),
    position: Position = (0, 0),
    opacity: Opacity = 1.0,
    scale: Length | None = None,
    place: Place | None = None,
) -> Overlay | Varied:
    """A picture with transparency (RGBA), composited over the image; of several `examples` each image draws its own.

    `position` is its left and top edge, `scale` its width: whole numbers are pixels, others fractions of the frame.
    `place` says what each image draws its own of.
    """
    if (image is None) == (not examples):
        got = "missing" if image is None else "got it beside examples"
        raise OptionError("image", f"{got}; wanted one picture as image, or several as examples")
    option, files = ("examples", examples) if image is None else ("image", (image,))
    layers = [read_layer(option, file, scale, frame) for file in files]
    return _put(frame, layers, position, opacity, place)


@overload
def text(
    frame: Frame,
    *,
    text: str,
    position: Position = ...,
    size: Length = ...,
    colour: str = ...,
    opacity: float = ...,
    font: Path | None = ...,
) -> Overlay: ...
@overload
def text(frame: Frame, *, text: str, vary: bool = ..., place: Place | None = ...) -> Overlay | Varied: ...
def text(
    frame: Frame,
    *,
    text: Annotated[str, Field(min_length=1)],
    vary: bool = False,
    position: Position = (0, 0),
    size: Length = 12,
    colour: str = "white",
    opacity: Opacity = 1.0,
    font: Path | None = None,
    place: Place | None = None,
) -> Overlay | Varied:
    """Written text, such as a time stamp; `size` is its height in pixels or as a fraction of the frame.

    With `vary` it is a pattern, and each image draws its own: of a moment, as `%Y-%m-%d %H:%M` of strftime writes it,
    and a digit for each `#`. `place` says what else each image draws its own of.
    """
    points = read_size("size", size, frame[0])
    try:
        face = ImageFont.truetype(str(font), points) if font else ImageFont.load_default(points)
    except OSError as fault:
        raise OptionError("font", f"{font}: not a readable font: {fault}") from None
    ink = read_colour(colour)
    writings = [_write(text, np.random.default_rng(number)) for number in range(_WRITINGS)] if vary else [text]
    if vary and len(set(writings)) == 1:
        wanted = "wanted a pattern of what varies, such as '%Y-%m-%d' or 'No. ####'"
        raise OptionError("text", f"got {text!r}, which is the same on every image; {wanted}")
    unknown = bytes(face.getmask("\U0010fffd"))
    signs = dict.fromkeys("".join(writings))
    lacking = [sign for sign in signs if not sign.isspace() and bytes(face.getmask(sign)) == unknown]
    if lacking:
        raise OptionError("font", f"has no sign for {''.join(lacking[:5])!r}, wanted a font file that has it")
    layers = [_draw_text(written, face, ink) for written in writings]
    if not vary:
        return _put(frame, layers, position, opacity, place)
    sizes = [layer.shape[:2] for layer in layers]
    largest = (max(high for high, _ in sizes), max(wide for _, wide in sizes))
    place_layer(frame, np.ones((*largest, 4), np.float32), position, 0.5)  # whether there is room for it
    return vary_layers(
        frame, lambda random: _draw_text(_write(text, random), face, ink), place, position, opacity, [largest]
    )


@overload
def box(
    frame: Frame, *, size: Position, position: Position = ..., colour: str = ..., opacity: float = ...
) -> Overlay: ...
@overload
def box(frame: Frame, *, size: Position, colour: str = ..., place: Place | None = ...) -> Overlay | Varied: ...
def box(
    frame: Frame,
    *,
    size: Position,
    position: Position = (0, 0),
    colour: str = "black",
    opacity: Opacity = 1.0,
    place: Place | None = None,
) -> Overlay | Varied:
    """A filled rectangle; `size` is its width and height, and `place` says what each image draws its own of."""
    width, height = read_size("size", size[0], frame[1]), read_size("size", size[1], frame[0])
    layer = np.empty((height, width, 4), np.float32)
    layer[..., :3] = read_colour(colour)
    layer[..., 3] = 1.0
    return _put(frame, [layer], position, opacity, place)


def lightness(frame: Frame, *, strength: Opacity = 0.3, angle: float = 45.0, colour: str = "white") -> Overlay:
    """A lightness gradient over the whole frame.

    It rises from nothing to `strength` along `angle` in degrees: 0 to the right, 90 down.
    """
    height, width, _ = frame
    rows, columns = np.mgrid[0:height, 0:width]
    radians = np.deg2rad(angle)
    along = (columns + 0.5) * np.cos(radians) + (rows + 0.5) * np.sin(radians)
    ramp = (along - along.min()) / max(float(np.ptp(along)), 1e-6)
    layer = np.empty((height, width, 4), np.float32)
    layer[..., :3] = read_colour(colour)
    layer[..., 3] = ramp
    return place_layer(frame, layer, (0, 0), strength)


def border(frame: Frame, *, width: Length = 0.05, colour: str = "black", opacity: Opacity = 1.0) -> Overlay:
    """A plain frame around the image, of that `width` at each edge."""
    height, breadth, _ = frame
    edge = read_size("width", width, min(height, breadth))
    if 2 * edge >= min(height, breadth):
        raise OptionError("width", f"got {width}, which is {edge} pixels at each edge, so nothing of an image is left")
    layer = np.empty((height, breadth, 4), np.float32)
    layer[..., :3] = read_colour(colour)
    layer[..., 3] = 1.0
    layer[edge : height - edge, edge : breadth - edge, 3] = 0.0
    drawn = place_layer(frame, layer, (0, 0), opacity)
    return replace(drawn, content=drawn.fixed_region)


def vignette(frame: Frame, *, strength: Opacity = 0.5, colour: str = "black") -> Overlay:
    """Corners that fade into a colour: its share rises from nothing in the middle to `strength` in the corners."""
    height, width, _ = frame
    rows, columns = np.mgrid[0:height, 0:width]
    across, down = (columns + 0.5) / width - 0.5, (rows + 0.5) / height - 0.5
    layer = np.empty((height, width, 4), np.float32)
    layer[..., :3] = read_colour(colour)
    layer[..., 3] = (across**2 + down**2) / (across**2 + down**2).max()
    return place_layer(frame, layer, (0, 0), strength)


def _put(
    frame: Frame, layers: list[Layer], position: Position, opacity: float, place: Place | None
) -> Overlay | Varied:
    """One layer (h, w, 4) at its position; or, of several, or at places that vary, one for every image."""
    if len(layers) == 1 and place is None:
        return place_layer(frame, layers[0], position, opacity)
    sizes = [(layer.shape[0], layer.shape[1]) for layer in layers]
    if place is None or place.within is None:
        for layer in layers:
            place_layer(frame, layer, position, opacity)  # whether it lies in the frame
    return vary_layers(frame, lambda random: layers[int(random.integers(len(layers)))], place, position, opacity, sizes)


def read_layer(option: str, file: Path, scale: Length | None, frame: Frame) -> Layer:
    """A picture with transparency (h, w, 4)."""
    try:
        with open_picture(file) as picture:
            if "A" not in picture.getbands() and "transparency" not in picture.info:
                raise OptionError(option, f"{file}: {picture.mode} without transparency, wanted RGBA")
            rgba = picture.convert("RGBA")
    except FileNotFoundError:
        raise OptionError(option, f"{file}: no such file") from None
    except (CorruptImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError) as fault:
        raise OptionError(option, f"{file}: not a readable picture: {fault}") from None
    if scale is not None:
        width = read_size("scale", scale, frame[1])
        size = (width, max(1, round(rgba.height * width / rgba.width)))
        rgba = rgba.convert("RGBa").resize(size, Image.Resampling.LANCZOS).convert("RGBA")
    return np.asarray(rgba, dtype=np.float32) / 255.0


def _write(pattern: str, random: np.random.Generator) -> str:
    """A moment of thirty years by a pattern of strftime, and a digit for each number sign."""
    moment = datetime(2000, 1, 1) + timedelta(seconds=int(random.integers(30 * 365 * 24 * 3600)))
    try:
        written = moment.strftime(pattern)
    except ValueError as fault:
        raise OptionError("text", f"got {pattern!r}, which is no pattern of strftime: {fault}") from None
    return "".join(str(random.integers(10)) if sign == "#" else sign for sign in written)


def _draw_text(written: str, face: Face, ink: Floats) -> Layer:
    canvas = ImageDraw.Draw(Image.new("L", (1, 1)))
    left, top, right, bottom = (round(edge) for edge in canvas.textbbox((0, 0), written, font=face))
    alpha = Image.new("L", (max(1, right - left), max(1, bottom - top)))
    ImageDraw.Draw(alpha).text((-left, -top), written, fill=255, font=face)
    layer = np.empty((alpha.height, alpha.width, 4), np.float32)
    layer[..., :3] = ink
    layer[..., 3] = np.asarray(alpha, dtype=np.float32) / 255.0
    return layer


def place_layer(frame: Frame, layer: Floats, position: Position, opacity: float) -> Overlay:
    """Put an RGBA layer (h, w, 4) into the frame."""
    height, width, channels = frame
    left, top = pixels_of(position[0], width), pixels_of(position[1], height)
    bottom, right = top + layer.shape[0], left + layer.shape[1]
    for edge, value, limit in (("right", right, width), ("bottom", bottom, height)):
        if value > limit:
            side = "width" if edge == "right" else "height"
            raise OptionError("position", f"{edge} edge {value} exceeds the image {side} {limit}")
    if left < 0 or top < 0:
        raise OptionError("position", f"got {list(position)}, wanted the left and top edge inside the frame")
    alpha = np.zeros((height, width), np.float32)
    ink = np.zeros((height, width, channels), np.float32)
    alpha[top:bottom, left:right] = layer[..., 3] * opacity
    colour = layer[..., :3] if channels == 3 else to_grey(layer[..., :3])
    ink[top:bottom, left:right] = colour
    if not (alpha > 0).any():
        raise OptionError("", "the artefact is transparent everywhere, so there is nothing to insert")
    if (alpha > 0.99).all():
        raise OptionError("", "the artefact covers the whole frame and is opaque, so nothing of an image is left")
    return Overlay(alpha, ink)


_WRITINGS = 32
"""Of a text that varies: what of it has to have signs and room."""
