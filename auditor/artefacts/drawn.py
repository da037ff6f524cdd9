"""Kinds of artefacts that are drawn over the image, each at one place and the same in every image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from pydantic import Field

from auditor.artefacts.appearance import Frame
from auditor.artefacts.lengths import Length, Opacity, Position, pixels_of, read_colour, read_size
from auditor.artefacts.overlay import Overlay
from auditor.errors import OptionError
from auditor.measure.arrays import Floats
from auditor.subject.data.pictures import CorruptImageError, open_picture
from auditor.subject.data.sample import to_grey


def overlay(
    frame: Frame,
    *,
    image: Path,
    position: Position = (0, 0),
    opacity: Opacity = 1.0,
    scale: Length | None = None,
) -> Overlay:
    """A picture with transparency (RGBA), composited over the image.

    `position` is its left and top edge, `scale` its width: whole numbers are pixels, others fractions of the frame.
    """
    try:
        with open_picture(image) as picture:
            if "A" not in picture.getbands() and "transparency" not in picture.info:
                raise OptionError("image", f"{image}: {picture.mode} without transparency, wanted RGBA")
            rgba = picture.convert("RGBA")
    except FileNotFoundError:
        raise OptionError("image", f"{image}: no such file") from None
    except (CorruptImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError) as fault:
        raise OptionError("image", f"{image}: not a readable picture: {fault}") from None
    if scale is not None:
        width = read_size("scale", scale, frame[1])
        size = (width, max(1, round(rgba.height * width / rgba.width)))
        rgba = rgba.convert("RGBa").resize(size, Image.Resampling.LANCZOS).convert("RGBA")
    return place_layer(frame, np.asarray(rgba, dtype=np.float32) / 255.0, position, opacity)


def text(
    frame: Frame,
    *,
    text: Annotated[str, Field(min_length=1)],
    position: Position = (0, 0),
    size: Length = 12,
    colour: str = "white",
    opacity: Opacity = 1.0,
    font: Path | None = None,
) -> Overlay:
    """Written text, such as a time stamp; `size` is its height in pixels or as a fraction of the frame."""
    points = read_size("size", size, frame[0])
    try:
        face = ImageFont.truetype(str(font), points) if font else ImageFont.load_default(points)
    except OSError as fault:
        raise OptionError("font", f"{font}: not a readable font: {fault}") from None
    unknown = bytes(face.getmask("\U0010fffd"))
    lacking = [sign for sign in dict.fromkeys(text) if not sign.isspace() and bytes(face.getmask(sign)) == unknown]
    if lacking:
        raise OptionError("font", f"has no sign for {''.join(lacking[:5])!r}, wanted a font file that has it")
    canvas = ImageDraw.Draw(Image.new("L", (1, 1)))
    left, top, right, bottom = (round(edge) for edge in canvas.textbbox((0, 0), text, font=face))
    alpha = Image.new("L", (max(1, right - left), max(1, bottom - top)))
    ImageDraw.Draw(alpha).text((-left, -top), text, fill=255, font=face)
    layer = np.empty((alpha.height, alpha.width, 4), np.float32)
    layer[..., :3] = read_colour(colour)
    layer[..., 3] = np.asarray(alpha, dtype=np.float32) / 255.0
    return place_layer(frame, layer, position, opacity)


def box(
    frame: Frame,
    *,
    size: Position,
    position: Position = (0, 0),
    colour: str = "black",
    opacity: Opacity = 1.0,
) -> Overlay:
    """A filled rectangle; `size` is its width and height."""
    width, height = read_size("size", size[0], frame[1]), read_size("size", size[1], frame[0])
    layer = np.empty((height, width, 4), np.float32)
    layer[..., :3] = read_colour(colour)
    layer[..., 3] = 1.0
    return place_layer(frame, layer, position, opacity)


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
