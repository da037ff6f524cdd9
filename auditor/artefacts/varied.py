"""Artefacts that lie elsewhere on each image, or look another way: at a place, of a size, or with a text of its own.

For every image an overlay is drawn from the image's generator. All edits of an image draw the same: innocent content
lies just where the artefact does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import pydantic
from pydantic import Field
from skimage.transform import resize, rotate

from auditor.artefacts.appearance import Appearance, Edit, Frame, Randoms, paired
from auditor.artefacts.lengths import Length, Position, pixels_of, rises
from auditor.artefacts.overlay import DIRECTIONS, DOSES, Overlay, steps_of
from auditor.errors import OptionError
from auditor.measure.arrays import Bools, Floats
from auditor.measure.measurement import Note
from auditor.measure.seeds import audit_generator
from auditor.subject.data.sample import to_grey

Layer = Floats
"""(h, w, 4): a picture with transparency, RGBA in [0, 1], of any size."""

_Rising = pydantic.AfterValidator(rises)
_Factor = Annotated[float, Field(gt=0, le=10)]
_Degrees = Annotated[float, Field(ge=-180, le=180)]
_Share = Annotated[float, Field(gt=0, le=1)]


class Place(pydantic.BaseModel):
    """What each image draws its own of, evenly between two ends."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    within: tuple[Length, Length, Length, Length] | None = None
    """Left, top, right and bottom of where all of it lies, as in `position`; without, about its own middle."""
    scale: Annotated[tuple[_Factor, _Factor], _Rising] = (1, 1)
    """Times its size."""
    rotation: Annotated[tuple[_Degrees, _Degrees], _Rising] = (0, 0)
    """Degrees, anticlockwise."""
    opacity: Annotated[tuple[_Share, _Share], _Rising] = (1, 1)
    """Times its opacity."""


@dataclass(frozen=True)
class Varied:
    """An overlay that is another in every image."""

    frame: Frame
    layers: Callable[[np.random.Generator], Layer]
    """What it looks like in one image."""
    place: Place
    middle: tuple[float, float]
    """(row, column) in pixels of its middle, where `place` says nothing else."""
    strength: float = 1.0
    """Its opacity, where `place` says nothing else."""

    can_insert = True
    can_remove = False
    fixed_region = None

    @property
    def opacity(self) -> float:
        """The largest that it has in any of some images."""
        return max(self.drawn(np.random.default_rng(number)).opacity for number in range(_LOOKED_AT))

    @property
    def width(self) -> int:
        """Of it in an image, upright and unscaled, in pixels."""
        left, _, right, _ = self._example().box
        return right - left

    def showing(self, layer: Layer) -> Varied:
        """Another picture in its place in every image."""
        return replace(self, layers=lambda _: layer)

    def drawn(self, random: np.random.Generator) -> Overlay:
        """What it is in one image."""
        look = np.random.default_rng(random.integers(2**32))
        across, down, *others = random.random(5).tolist()
        scale, rotation, opacity = (
            low + (high - low) * at
            for at, (low, high) in zip(others, (self.place.scale, self.place.rotation, self.place.opacity), strict=True)
        )
        return self.at(turned(self.layers(look), scale, rotation), across, down, self.strength * opacity)

    def at(self, layer: Layer, across: float, down: float, opacity: float) -> Overlay:
        """A layer (h, w, 4) put at shares in [0, 1] of the way that it has to the right and down."""
        height, width, channels = self.frame
        high, wide = layer.shape[:2]
        if self.place.within is None:
            top, left = round(self.middle[0] - high / 2), round(self.middle[1] - wide / 2)
        else:
            edges = edges_of(self.place.within, self.frame)
            left, top = (
                round(low + share * max(0, end - low - size))
                for low, end, size, share in zip(edges[:2], edges[2:], (wide, high), (across, down), strict=True)
            )
        rows, columns = slice(max(top, 0), min(top + high, height)), slice(max(left, 0), min(left + wide, width))
        part = layer[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
        alpha, ink = np.zeros((height, width), np.float32), np.zeros(self.frame, np.float32)
        alpha[rows, columns] = part[..., 3] * opacity
        ink[rows, columns] = part[..., :3] if channels == 3 else to_grey(part[..., :3])
        return Overlay(alpha, ink)

    def insert(self, images: Floats, randoms: Randoms = ()) -> Floats:
        """Images (n, h, w, c) with it, each with its own."""
        return self._by(lambda drawn: drawn.insert)(images, randoms)

    def remove(self, images: Floats, shift: tuple[int, int] = (0, 0)) -> Floats:
        """Nobody knows where it is, unless it is looked for."""
        raise AssertionError("it says so in can_remove")

    def region(self, image_id: str, frame: Frame, random: np.random.Generator) -> Bools:
        """Where it is put into one image."""
        return self.drawn(random).fixed_region

    def controls(self, given: Mapping[str, Appearance], seed: int) -> tuple[dict[str, list[Edit]], list[Note]]:
        """Those of the overlay that is drawn for each image, and what the user gave, in its place."""
        seeds = audit_generator(seed, "controls").integers(2**32, size=3).tolist()
        known, notes = self._example().controls({}, seed)
        edits: dict[str, list[Edit]] = {
            "scrambled": [self._scrambled(each) for each in seeds],
            "inverted tone": [self._by(lambda drawn: drawn.inverted().insert)],
            "flat patch": [self._by(lambda drawn: drawn.flattened().insert)],
        }
        edits = {name: edit for name, edit in edits.items() if name in known}
        edits |= {name: [look.insert] for name, look in given.items()}
        return edits | {"veil": [self._by(lambda drawn: drawn.veil)]}, notes

    def innocents(self, count: int, seed: int) -> list[Edit]:
        """Its ink scrambled in its box; where that changes nothing, patches of noise."""
        seeds = audit_generator(seed, "innocent content").integers(2**32, size=count).tolist()
        is_uniform = "scrambled" not in self._example().controls({}, seed)[0]
        return [self._noisy(each) if is_uniform else self._scrambled(each) for each in seeds]

    def variants(self, given: Mapping[str, Appearance]) -> dict[str, Edit]:
        """Mirrored, upside down and at half its opacity where it is, and what the user gave."""
        edits: dict[str, Edit] = {
            "mirrored": self._by(lambda drawn: drawn.mirrored().insert),
            "upside down": self._by(lambda drawn: drawn.upside_down().insert),
            "half opacity": self._by(lambda drawn: drawn.with_opacity(drawn.opacity / 2).insert),
        }
        example = self._example()
        alike = {"mirrored": example.mirrored(), "upside down": example.upside_down()}
        edits = {name: edit for name, edit in edits.items() if name not in alike or not example.equals(alike[name])}
        return edits | {name: look.insert for name, look in given.items()}

    def doses(self) -> dict[float, Edit]:
        """At the opacities of the dose-response curve."""
        return {dose: self._at_opacity(dose) for dose in DOSES}

    def neighbours(self) -> dict[str, Appearance]:
        """Off by 1 and 2 pixels (1 and 3 % of a frame above 32), anywhere in the frame, smaller, and larger."""
        height, width, _ = self.frame
        edges = None if self.place.within is None else edges_of(self.place.within, self.frame)
        looks: dict[str, Appearance] = {}
        for step in steps_of(self.frame):
            for name, (down, across) in DIRECTIONS.items():
                off = (across * step, down * step, across * step, down * step)
                if edges is None:
                    middle = (self.middle[0] + off[1], self.middle[1] + off[0])
                    looks[f"{step} px {name}"] = replace(self, middle=middle)
                    continue
                left, top, right, bottom = moved = tuple(edge + by for edge, by in zip(edges, off, strict=True))
                if min(left, top) >= 0 and right <= width and bottom <= height:
                    looks[f"{step} px {name}"] = self._placed(within=moved)
        if edges != (0, 0, width, height):
            looks["anywhere in the frame"] = self._placed(within=(0, 0, width, height))
        low, high = self.place.scale
        return looks | {f"{by} of its size": self._placed(scale=(by * low, by * high)) for by in (0.8, 1.25)}

    def _placed(self, **changed: object) -> Varied:
        return replace(self, place=self.place.model_copy(update=changed))

    def looks(self) -> list[Overlay]:
        """What it may look like, over its pictures, sizes and turns, each in the middle of where it lies."""
        drawn = [self.layers(np.random.default_rng(number)) for number in range(_LOOKED_AT)]
        layers = {layer.tobytes(): layer for layer in drawn}
        scales, turns = ({*np.linspace(low, high, 5).tolist()} for low, high in (self.place.scale, self.place.rotation))
        return [
            self.at(turned(layer, scale, angle), 0.5, 0.5, self.strength * max(self.place.opacity))
            for layer in layers.values()
            for scale in sorted(scales)
            for angle in sorted(turns)
        ]

    def _example(self) -> Overlay:
        """What it is in an image, upright: whether it is uniform shows there."""
        return replace(self, place=Place(within=self.place.within)).drawn(np.random.default_rng(0))

    def _by(self, change: Callable[[Overlay], Edit]) -> Edit:
        """An edit by something else that is made of the overlay that is drawn for each image."""

        def edit(images: Floats, randoms: Randoms = ()) -> Floats:
            return np.stack([change(self.drawn(random))(image[None])[0] for image, random in paired(images, randoms)])

        return edit

    def _scrambled(self, seed: int) -> Edit:
        return self._by(lambda drawn: drawn.scrambled(np.random.default_rng(seed)).insert)

    def _noisy(self, seed: int) -> Edit:
        return self._by(lambda drawn: drawn.noisy(np.random.default_rng(seed)).insert)

    def _at_opacity(self, opacity: float) -> Edit:
        return self._by(lambda drawn: drawn.with_opacity(opacity).insert)


def vary(
    frame: Frame,
    layers: Callable[[np.random.Generator], Layer],
    place: Place | None,
    position: Position,
    opacity: float,
    sizes: list[tuple[int, int]],
) -> Varied:
    """An artefact that is drawn anew for every image.

    Parameters
    ----------
    layers
        What it looks like, as a generator draws it.
    position
        Its left and top edge, where `place` has no `within`.
    sizes
        (height, width) of all that may be drawn, or of the largest.

    Raises
    ------
    OptionError
        The place lies outside the frame, or has no room for it.
    """
    height, width, _ = frame
    place = place or Place()
    if place.within is None:
        left, top = pixels_of(position[0], width), pixels_of(position[1], height)
        middles = [(top + high / 2, left + wide / 2) for high, wide in sizes[:1]]
        room, where = (0, 0, width, height), "the frame"
    else:
        room, where = edges_of(place.within, frame), f"place.within of {list(place.within)}"
        if tuple(position) != (0, 0):
            raise OptionError("position", "stands beside place.within, which says where it lies; wanted one of both")
        if not (0 <= room[0] < room[2] <= width and 0 <= room[1] < room[3] <= height):
            wanted = f"wanted left, top, right and bottom inside the frame of {width} x {height} pixels"
            raise OptionError("place", f"got within = {list(place.within)}, {wanted}")
        middles = [((room[1] + room[3]) / 2, (room[0] + room[2]) / 2)]
    (middle,) = middles
    high, wide = _largest(place, sizes)
    free = (2 * min(middle[0] - room[1], room[3] - middle[0]), 2 * min(middle[1] - room[0], room[2] - middle[1]))
    slack = 0 if place.scale == (1, 1) and place.rotation == (0, 0) else _ROUNDING
    if high > free[0] + slack or wide > free[1] + slack:
        got = f"it is up to {wide:.0f} x {high:.0f} pixels as it varies, and {where} has room for "
        raise OptionError("place", f"{got}{max(free[1], 0):.0f} x {max(free[0], 0):.0f}")
    return Varied(frame, layers, place, middle, opacity)


def turned(layer: Layer, scale: float, rotation: float) -> Layer:
    """A layer (h, w, 4) in another size, turned anticlockwise by degrees, as large as it takes to show all of it."""
    if scale == 1 and rotation == 0:
        return layer
    ink = np.concatenate([layer[..., :3] * layer[..., 3:], layer[..., 3:]], axis=2)
    if scale != 1:
        size = [max(1, round(length * scale)) for length in layer.shape[:2]]
        ink = resize(ink, size, order=1, anti_aliasing=scale < 1)
    if rotation != 0:
        ink = rotate(ink, rotation, resize=True, order=1)
    ink = np.clip(ink, 0, 1)
    plain = np.clip(ink[..., :3] / np.maximum(ink[..., 3:], 1e-6), 0, 1)
    return np.concatenate([plain, ink[..., 3:]], axis=2).astype(np.float32)


def edges_of(within: tuple[Length, Length, Length, Length], frame: Frame) -> tuple[int, int, int, int]:
    """Left, top, right and bottom in pixels."""
    left, top, right, bottom = within
    height, width, _ = frame
    return pixels_of(left, width), pixels_of(top, height), pixels_of(right, width), pixels_of(bottom, height)


def _largest(place: Place, sizes: list[tuple[int, int]]) -> tuple[float, float]:
    """The largest height and width that any of some (height, width) may have, scaled and turned."""
    angles = np.deg2rad(np.linspace(*place.rotation, 181))
    across, down = np.abs(np.cos(angles)), np.abs(np.sin(angles))
    high = max(float((h * across + w * down).max()) for h, w in sizes)
    wide = max(float((w * across + h * down).max()) for h, w in sizes)
    return high * place.scale[1], wide * place.scale[1]


_LOOKED_AT = 8
"""Of what is drawn anew for every image."""

_ROUNDING = 1.0
"""Pixels by which what is scaled and turned may be larger than it was reckoned to be."""
