"""What a suspected shortcut looks like, and where it is: the kinds of artefacts, and how a configuration makes one.

A kind is a function of the frame that gives an `Appearance`; its keyword-only parameters are its options.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont
from pydantic import Field

from auditor.artefacts.appearance import Appearance, Frame, box_of
from auditor.artefacts.masks import Masks
from auditor.artefacts.overlay import Overlay
from auditor.config.file import AuditConfig
from auditor.config.options import KeyPath, suggest
from auditor.config.sections import ArtefactConfig
from auditor.errors import ConfigError, OptionError
from auditor.measure.arrays import Bools, Floats
from auditor.measure.seeds import KeyedGenerators
from auditor.subject.data.labels import find_class
from auditor.subject.data.pictures import CorruptImageError, open_picture
from auditor.subject.data.sample import Dataset, to_grey

Length = int | float
Position = tuple[Length, Length]
Opacity = Annotated[float, Field(gt=0, le=1)]


@dataclass(frozen=True)
class Artefact:
    """A suspected shortcut, ready to be tested."""

    name: str
    kind: str
    appearance: Appearance
    target: int | None
    """Class that it is suspected to change; None scans every class."""
    present: str
    """What was said of the images that carry it already."""
    carriers: Bools
    """(images,): which rows of the data set these are."""
    controls: dict[str, Appearance] = field(default_factory=dict)
    """Innocent content given by the user."""
    variants: dict[str, Appearance] = field(default_factory=dict)
    """Content like the artefact given by the user."""
    line: int | None = None
    """Where it stands in the configuration file; None where it came otherwise."""
    seed: int = 0
    """Of what varies from image to image."""

    def randoms(self, ids: Sequence[str]) -> KeyedGenerators:
        """For each image what every edit of it by this artefact draws from."""
        return KeyedGenerators(self.seed, f"artefact {self.name}", ids)

    def insert(self, images: Floats, ids: Sequence[str]) -> Floats:
        """Images (n, h, w, c) with the artefact."""
        return self.appearance.insert(images, self.randoms(ids))

    def region(self, image_id: str, frame: Frame) -> Bools | None:
        """The region (height, width) in one image; None where it has none."""
        (random,) = self.randoms([image_id])
        return self.appearance.region(image_id, frame, random)


def build_artefacts(config: AuditConfig, dataset: Dataset, frame: Frame, classes: tuple[str, ...]) -> list[Artefact]:
    """The artefacts of a configuration, in a frame of height, width and channels, and the images that carry them.

    Raises
    ------
    ConfigError
        A file is missing, the artefact does not lie in the frame, its target is no class of the model, or `present`
        does not say which images carry it; all at once.
    DataError
        A value of the column that `present` names is no boolean.
    """
    built, faults = [], []
    for index, entry in enumerate(config.artefacts):
        try:
            built.append(_build(config, ("artefacts", index), entry, dataset, frame, classes))
        except ConfigError as fault:
            faults.append(str(fault))
    if faults:
        raise ConfigError("\n".join(faults))
    return built


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
        width = _size("scale", scale, frame[1])
        size = (width, max(1, round(rgba.height * width / rgba.width)))
        rgba = rgba.convert("RGBa").resize(size, Image.Resampling.LANCZOS).convert("RGBA")
    return _place(frame, np.asarray(rgba, dtype=np.float32) / 255.0, position, opacity)


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
    points = _size("size", size, frame[0])
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
    layer[..., :3] = _colour(colour)
    layer[..., 3] = np.asarray(alpha, dtype=np.float32) / 255.0
    return _place(frame, layer, position, opacity)


def box(
    frame: Frame,
    *,
    size: Position,
    position: Position = (0, 0),
    colour: str = "black",
    opacity: Opacity = 1.0,
) -> Overlay:
    """A filled rectangle; `size` is its width and height."""
    width, height = _size("size", size[0], frame[1]), _size("size", size[1], frame[0])
    layer = np.empty((height, width, 4), np.float32)
    layer[..., :3] = _colour(colour)
    layer[..., 3] = 1.0
    return _place(frame, layer, position, opacity)


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
    layer[..., :3] = _colour(colour)
    layer[..., 3] = ramp
    return _place(frame, layer, (0, 0), strength)


def masks(frame: Frame, *, folder: Path | None = None) -> Masks:
    """Only the place is known: a mask picture per image, not black in the region.

    It is `<image id>.png` in `folder`, or without a folder the picture in the column `mask` of the manifest.
    """
    del frame
    if folder is not None and not folder.is_dir():
        raise OptionError("folder", f"{folder}: no such folder")
    return Masks(folder)


def _build(
    config: AuditConfig,
    path: KeyPath,
    entry: ArtefactConfig,
    dataset: Dataset,
    frame: Frame,
    classes: tuple[str, ...],
) -> Artefact:
    target = None
    if entry.target is not None:
        target = find_class(entry.target, classes)
        if target is None:
            message = f"got {entry.target!r}, which is no class of the model{suggest(entry.target, list(classes))}"
            raise config.fault((*path, "target"), message)
    function, options = config.calls[path].function, config.calls[path].options
    options = {name: config.path(str(v), *path, name) if isinstance(v, Path) else v for name, v in options.items()}
    try:
        carriers = _find_carriers(entry.present, dataset, classes)
        make = function if entry.kind in ARTEFACT_KINDS else partial(_from_user, entry.kind, function)
        made = make(frame, **options)
        if isinstance(made, Masks):
            made = replace(made.named_by(dataset.masks), fit=config.data.fit)
            if entry.present == "none":
                raise OptionError("present", "got 'none', but masks say where images carry the artefact; wanted 'all'")
            if entry.controls or entry.variants:
                key = "controls" if entry.controls else "variants"
                raise OptionError(key, f"masks have no appearance to compare with; leave {key} out")
        controls = _alternatives(config, (*path, "controls"), entry.controls, made, entry.kind, options, frame)
        variants = _alternatives(config, (*path, "variants"), entry.variants, made, entry.kind, options, frame)
    except OptionError as fault:
        raise config.fault((*path, *([fault.option] if fault.option else [])), fault.message) from None
    line = config.places.get(path, (None, None))[0]
    return Artefact(
        entry.name, entry.kind, made, target, entry.present, carriers, controls, variants, line, config.data.seed
    )


def _find_carriers(present: str, dataset: Dataset, classes: tuple[str, ...]) -> Bools:
    """Which images of the sample (images,) carry an artefact already."""
    count = len(dataset)
    if present in ("none", "all"):
        return np.full(count, present == "all")
    if present.startswith("class:"):
        name = present.removeprefix("class:")
        number = find_class(name, classes)
        if number is None:
            raise OptionError("present", f"{name!r} is no class of the model{suggest(name, list(classes))}")
        if dataset.truth is None:
            raise OptionError("present", f"got {present!r}, but the data have no labels")
        return dataset.truth[:, number]
    values = dataset.array(present)
    if values is None or values.shape != (count,) or values.dtype != bool:
        what = "no array or column of the data" if values is None else f"an array of {values.dtype}"
        wanted = "wanted 'none', 'all', 'class:NAME' or an array or column with a boolean per image"
        raise OptionError("present", f"got {present!r}, which is {what}; {wanted}")
    return np.asarray(values)


def _alternatives(
    config: AuditConfig,
    path: KeyPath,
    names: tuple[str, ...],
    artefact: Appearance,
    kind: str,
    options: dict[str, Any],
    frame: Frame,
) -> dict[str, Appearance]:
    """The user's pictures that stand at a path of keys, each put just where the artefact is."""
    stems = [Path(name).stem for name in names]
    placed: dict[str, Appearance] = {}
    region = artefact.fixed_region
    if names and region is None:
        raise OptionError(str(path[-1]), f"{kind} has no one place to put pictures at; leave it out")
    for number, (stem, name) in enumerate(zip(stems, names, strict=True)):
        assert region is not None
        file = config.path(name, *path, number)
        try:
            if kind == "overlay":
                picture = overlay(frame, **{**options, "image": file})
            else:
                left, top, right, _ = box_of(region)
                opacity = artefact.opacity or 1.0
                picture = overlay(frame, image=file, position=(left, top), scale=right - left, opacity=opacity)
        except OptionError as fault:
            message = fault.message if fault.option == "image" else f"{name}: {fault.message}"
            raise OptionError(str(path[-1]), message) from None
        placed[stem if stems.count(stem) == 1 else name] = picture
    return placed


def _from_user(kind: str, function: Callable[..., Any], frame: Frame, **options: Any) -> Appearance:
    """What the user's function made: an appearance of its own, or an RGBA picture (h, w, 4) of the whole frame."""
    try:
        made = function(frame, **options)
        if isinstance(made, Appearance):
            return made
        layer = np.asarray(made, dtype=np.float32)
    except Exception as fault:  # the user's code may raise anything
        raise OptionError("kind", f"{kind} failed: {type(fault).__name__}: {fault}") from None
    wanted = (*frame[:2], 4)
    if layer.shape != wanted:
        raise OptionError("kind", f"{kind} returned an array of shape {layer.shape}, wanted RGBA {wanted}")
    if not (layer.min() >= 0 and layer.max() <= 1):  # NaN fails this too
        got = f"values in [{layer.min():g}, {layer.max():g}]"
        raise OptionError("kind", f"{kind} returned {got}, wanted RGBA in [0, 1]")
    return _place(frame, layer, (0, 0), 1.0)


def _place(frame: Frame, layer: Floats, position: Position, opacity: float) -> Overlay:
    """Put an RGBA layer (h, w, 4) into the frame."""
    height, width, channels = frame
    left, top = _pixels(position[0], width), _pixels(position[1], height)
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


def _pixels(length: Length, whole: int) -> int:
    pixels = length if isinstance(length, int) else length * whole
    return round(min(max(pixels, -_FAR), _FAR))


_FAR = 1e9
"""Pixels that no frame reaches to; what lies farther away lies there."""


def _size(option: str, length: Length, whole: int) -> int:
    pixels = _pixels(length, whole)
    if not 1 <= pixels <= whole:
        raise OptionError(option, f"got {length}, which is {pixels} pixels, wanted 1 to the {whole} of the image")
    return pixels


def _colour(name: str) -> Floats:
    try:
        return np.array(ImageColor.getrgb(name)[:3], np.float32) / 255.0
    except ValueError:
        raise OptionError("colour", f"got {name!r}, wanted a colour such as 'white' or '#ffcc00'") from None


ARTEFACT_KINDS: dict[str, Callable[..., Appearance]] = {
    "overlay": overlay,
    "text": text,
    "box": box,
    "lightness": lightness,
    "masks": masks,
}
