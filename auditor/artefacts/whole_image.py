"""Kinds of artefacts that change the whole image: light and colour, sharpness, noise, and how the frame lies.

Each amount is a number, or two between which every image draws its own. Light, colour and flips can be taken out where
nothing is lost by them and the amount is one number; the others cannot.
"""

from __future__ import annotations

import io
from typing import Annotated, Any, Literal

import numpy as np
from PIL import Image
from pydantic import Field
from scipy.ndimage import gaussian_filter
from skimage.color import hsv2rgb, rgb2hsv
from skimage.filters import unsharp_mask
from skimage.transform import AffineTransform, rotate, warp
from skimage.util import random_noise

from auditor.artefacts.appearance import Frame
from auditor.artefacts.global_edits import Change, GlobalEdit, Way, along
from auditor.artefacts.lengths import Length, pixels_of, read_colour
from auditor.errors import OptionError
from auditor.measure.arrays import Floats, Numbers
from auditor.subject.data.pictures import to_pixels
from auditor.subject.data.sample import to_grey

_Positive = Annotated[float, Field(gt=0)]
_Share = Annotated[float, Field(gt=0, lt=1)]
_Degrees = Annotated[float, Field(ge=-180, le=180)]
_Factor = Annotated[float, Field(ge=0, le=10)]
_Exponent = Annotated[float, Field(gt=0, le=10)]
_Zoom = Annotated[float, Field(ge=0.25, le=10)]
_Quality = Annotated[int, Field(ge=1, le=95)]

Outside = Literal["black", "white", "edge", "mirror"]
"""What is seen beyond the edge of an image."""


def tint(frame: Frame, *, colour: str = "orange", strength: _Share | tuple[_Share, _Share] = 0.2) -> GlobalEdit:
    """A tint: the image is mixed with a share `strength` of one colour."""
    ink = read_colour(colour) if frame[2] == 3 else to_grey(read_colour(colour))

    def mix(image: Floats, share: float, _: np.random.Generator) -> Numbers:
        return image + share * (ink - image)

    def unmix(image: Floats, share: float, _: np.random.Generator) -> Numbers:
        return (image - share * ink) / (1 - share)

    def mix_opposite(image: Floats, share: float, _: np.random.Generator) -> Numbers:
        return image + share * (1 - ink - image)

    amounts = _between("strength", strength)
    return GlobalEdit(mix, amounts, 0.0, unmix, like="another tint", opposite=along(mix_opposite, 0.0, 1.0))


def brightness(frame: Frame, *, factor: _Factor | tuple[_Factor, _Factor] = 1.3) -> GlobalEdit:
    """Brighter, or darker where `factor` is under 1: all values times it, white at most."""
    return _by_factor("factor", factor, lambda image, times, _: image * times, lambda image, times, _: image / times)


def contrast(frame: Frame, *, factor: _Factor | tuple[_Factor, _Factor] = 1.5) -> GlobalEdit:
    """More contrast, or less where `factor` is under 1: how far each value is from the mean of the image times it."""
    return _by_factor("factor", factor, _stretch, lambda image, times, random: _stretch(image, 1 / times, random))


def gamma(frame: Frame, *, exponent: _Exponent | tuple[_Exponent, _Exponent] = 1.5) -> GlobalEdit:
    """Another gamma: each value to the power of `exponent`, above 1 darker and below 1 brighter in the middle."""
    amounts = _between("exponent", exponent, 1.0)

    def bend(image: Floats, power: float, _: np.random.Generator) -> Numbers:
        return image**power

    return GlobalEdit(
        bend,
        amounts,
        1.0,
        lambda image, power, random: bend(image, 1 / power, random),
        opposite=_across(bend, amounts, 0.1, 10.0),
    )


def saturation(frame: Frame, *, factor: _Factor | tuple[_Factor, _Factor] = 0.3) -> GlobalEdit:
    """Colours more or, where `factor` is under 1, less strong: how far each is from its grey times it."""
    _need_colours(frame, "there is no colour to make stronger or weaker")

    def saturate(image: Floats, times: float, _: np.random.Generator) -> Numbers:
        grey = to_grey(image)
        return grey + times * (image - grey)

    return _by_factor("factor", factor, saturate, lambda image, times, random: saturate(image, 1 / times, random))


def hue(frame: Frame, *, degrees: _Degrees | tuple[_Degrees, _Degrees] = 30) -> GlobalEdit:
    """All hues turned by `degrees` of the colour circle: by 120 red becomes green, and green blue."""
    _need_colours(frame, "there is no hue to turn")

    def turn(image: Floats, angle: float, _: np.random.Generator) -> Numbers:
        values = rgb2hsv(image)
        values[..., 0] = (values[..., 0] + angle / 360) % 1
        return np.asarray(hsv2rgb(values))

    def turn_back(image: Floats, angle: float, random: np.random.Generator) -> Numbers:
        return turn(image, -angle, random)

    amounts = _between("degrees", degrees, 0.0)
    return GlobalEdit(turn, amounts, 0.0, turn_back, opposite=_across(turn, amounts, -180.0, 180.0))


def blur(frame: Frame, *, sigma: _Positive | tuple[_Positive, _Positive] = 1.0) -> GlobalEdit:
    """A Gaussian blur of `sigma` pixels."""

    def smooth(image: Floats, sigma: float, _: np.random.Generator) -> Numbers:
        return np.asarray(gaussian_filter(image, (sigma, sigma, 0), mode="nearest"))

    return GlobalEdit(smooth, _between("sigma", sigma, most=max(frame[:2])), 0.0, like="blur")


def sharpen(
    frame: Frame, *, amount: _Positive | tuple[_Positive, _Positive] = 1.0, radius: _Positive = 1.0
) -> GlobalEdit:
    """An unsharp mask: `amount` times what a blur of `radius` pixels takes away is added."""

    def mask(image: Floats, amount: float, _: np.random.Generator) -> Numbers:
        return np.asarray(unsharp_mask(image, radius=radius, amount=amount, channel_axis=2))  # -1 is not understood

    return GlobalEdit(mask, _between("amount", amount), 0.0)


def jpeg(frame: Frame, *, quality: _Quality | tuple[_Quality, _Quality] = 20) -> GlobalEdit:
    """The traces of a JPEG file of a `quality` from 1 to 95."""

    def squeeze(image: Floats, quality: float, _: np.random.Generator) -> Numbers:
        pixels, file = to_pixels(image), io.BytesIO()
        Image.fromarray(pixels if image.shape[2] == 3 else pixels[..., 0]).save(file, "JPEG", quality=round(quality))
        with Image.open(file) as picture:
            return np.asarray(picture, dtype=np.float32).reshape(image.shape) / 255.0

    return GlobalEdit(squeeze, _between("quality", quality), 100.0)


def noise(
    frame: Frame, *, strength: _Share | tuple[_Share, _Share] = 0.1, pattern: Literal["gaussian", "salt"] = "gaussian"
) -> GlobalEdit:
    """Noise of its own on every image, of standard deviation `strength`.

    With the pattern `salt` it is the share of values that become black or white.
    """

    def add(image: Floats, strength: float, random: np.random.Generator) -> Numbers:
        if pattern == "salt":
            return np.asarray(random_noise(image, "s&p", rng=random, amount=strength))
        return np.asarray(random_noise(image, "gaussian", rng=random, var=strength**2))

    return GlobalEdit(add, _between("strength", strength), 0.0, like="noise")


def rotation(
    frame: Frame, *, degrees: _Degrees | tuple[_Degrees, _Degrees] = 10, outside: Outside = "black"
) -> GlobalEdit:
    """A rotation about the middle, anticlockwise by `degrees`; `outside` is what is seen beyond the edges."""

    def turn(image: Floats, angle: float, _: np.random.Generator) -> Numbers:
        return np.asarray(rotate(image, angle, order=1, **_BEYOND[outside]))

    def turn_back(image: Floats, angle: float, random: np.random.Generator) -> Numbers:
        return turn(image, -angle, random)

    return GlobalEdit(turn, _between("degrees", degrees, 0.0), 0.0, mirrored=turn_back)


def flip(frame: Frame, *, axis: Literal["left-right", "up-down"] = "left-right") -> GlobalEdit:
    """A mirror image, by `axis` left to right or upside down."""

    def over(image: Floats, _: float, __: np.random.Generator) -> Numbers:
        return image[:, ::-1]

    def under(image: Floats, _: float, __: np.random.Generator) -> Numbers:
        return image[::-1]

    way, other = (over, under) if axis == "left-right" else (under, over)
    return GlobalEdit(way, (1.0, 1.0), undo=way, mirrored=other)


def zoom(frame: Frame, *, factor: _Zoom | tuple[_Zoom, _Zoom] = 1.25, outside: Outside = "black") -> GlobalEdit:
    """Larger about the middle by `factor`, edges cut off; or smaller where it is under 1, with `outside` around."""
    height, width, _ = frame

    def magnify(image: Floats, factor: float, _: np.random.Generator) -> Numbers:
        middle = ((width - width / factor) / 2, (height - height / factor) / 2)
        return _cut(image, (*middle, width - middle[0], height - middle[1]), outside)

    return GlobalEdit(magnify, _between("factor", factor, 1.0), 1.0)


def crop(frame: Frame, *, box: tuple[Length, Length, Length, Length]) -> GlobalEdit:
    """A part of the image, `box` = left, top, right and bottom, enlarged to the frame."""
    height, width, _ = frame
    left, top, right, bottom = (pixels_of(edge, whole) for edge, whole in zip(box, (width, height) * 2, strict=True))
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        wanted = f"wanted left, top, right and bottom inside the frame of {width} x {height} pixels"
        raise OptionError("box", f"got {list(box)}, {wanted}")
    if (left, top, right, bottom) == (0, 0, width, height):
        raise OptionError("box", f"got {list(box)}, which is the whole frame, so nothing is changed")

    def cut(image: Floats, share: float, _: np.random.Generator) -> Numbers:
        edges = (left * share, top * share, width - (width - right) * share, height - (height - bottom) * share)
        return _cut(image, edges, "edge")

    return GlobalEdit(cut, (1.0, 1.0), 0.0)


def _between(
    option: str, amount: float | tuple[float, float], neutral: float | None = None, most: float = np.inf
) -> tuple[float, float]:
    """The amounts between which each image draws its own."""
    low, high = amount if isinstance(amount, tuple) else (amount, amount)
    got = list(amount) if isinstance(amount, tuple) else amount
    if low > high:
        raise OptionError(option, f"got {got}, wanted the lower end first, then the higher")
    if low == high == neutral:
        raise OptionError(option, f"got {got}, which changes nothing")
    if high > most:
        raise OptionError(option, f"got {got}, wanted {most:g} at most")
    return float(low), float(high)


def _by_factor(option: str, factor: float | tuple[float, float], change: Change, undo: Change) -> GlobalEdit:
    """An edit by a factor, of which 1 changes nothing; one under 1 loses nothing, and more is clipped."""
    low, high = amounts = _between(option, factor, 1.0)
    return GlobalEdit(
        change, amounts, 1.0, undo if low > 0 and high < 1 else None, opposite=_across(change, amounts, 0.0, 10.0)
    )


def _across(change: Change, amounts: tuple[float, float], least: float, most: float) -> Way | None:
    """The way to the other side of the amount that changes nothing; None where the artefact goes both ways."""
    neutral = 1.0 if least >= 0 else 0.0
    if amounts[0] >= neutral:
        return along(change, neutral, least)
    return along(change, neutral, most) if amounts[1] <= neutral else None


def _stretch(image: Floats, factor: float, _: np.random.Generator) -> Numbers:
    mean = image.mean(dtype=np.float64)
    return np.asarray(mean + factor * (image - mean))


def _cut(image: Floats, box: tuple[float, float, float, float], outside: Outside) -> Numbers:
    """A part of an image (h, w, c), between edges in pixels, in the size of the whole."""
    height, width, _ = image.shape
    left, top, right, bottom = box
    across, down = (right - left) / width, (bottom - top) / height
    # what is seen at the middle of a pixel, whose number is half less than where its middle is
    to = AffineTransform(scale=(across, down), translation=(left + (across - 1) / 2, top + (down - 1) / 2))
    return np.asarray(warp(image, to, order=1, **_BEYOND[outside]))


def _need_colours(frame: Frame, what: str) -> None:
    if frame[2] != 3:
        raise OptionError("kind", f"the images are grey, so {what}")


_BEYOND: dict[Outside, dict[str, Any]] = {
    "black": {"mode": "constant", "cval": 0.0},
    "white": {"mode": "constant", "cval": 1.0},
    "edge": {"mode": "edge"},
    "mirror": {"mode": "reflect"},
}
