"""Artefacts that are composited over an image: an opacity and an ink per pixel, whatever the kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from skimage.transform import resize

from auditor.artefacts.appearance import Appearance, Edit, Frame, Randoms, box_of
from auditor.measure.arrays import Bools, Floats, Numbers
from auditor.measure.measurement import Note
from auditor.measure.seeds import audit_generator

DOSES = (0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)
"""Opacities of the dose-response curve."""

_SCRAMBLES = 3


@dataclass(frozen=True)
class Overlay:
    """An artefact whose appearance is known: image with it = (1 - alpha) * image + alpha * ink."""

    alpha: Floats
    """(height, width) in [0, 1]; exactly 0 outside the region."""
    ink: Floats
    """(height, width, channels) in [0, 1]."""
    content: Bools | None = None
    """(height, width): where other content would lie; None of what is no frame around something, which is its box."""

    can_insert = True

    @property
    def can_remove(self) -> bool:
        """Whether what lies under it can be computed: nowhere opaque."""
        return self.opacity < 0.99

    @property
    def fixed_region(self) -> Bools:
        """(h, w)."""
        return self.alpha > 0

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right, bottom of the region in pixels, half-open."""
        return box_of(self.fixed_region)

    @property
    def opacity(self) -> float:
        """Largest opacity of any pixel."""
        return float(self.alpha.max())

    def with_opacity(self, opacity: float) -> Overlay:
        """The same artefact with another largest opacity."""
        return replace(self, alpha=(self.alpha * (opacity / self.opacity)).astype(np.float32))

    def shifted(self, shift: tuple[int, int]) -> Overlay:
        """The same artefact moved by (down, right); it must stay in the frame."""
        return Overlay(np.roll(self.alpha, shift, axis=(0, 1)), np.roll(self.ink, shift, axis=(0, 1)))

    def insert(self, images: Floats, randoms: Randoms = ()) -> Floats:
        """Composite it over images; pixels outside its region stay as they are, to the bit."""
        return _composite(images, self.alpha, self.ink)

    def remove(self, images: Floats, shift: tuple[int, int] = (0, 0)) -> Floats:
        """Compute what lies under it: the exact inverse of `insert` but for clipping to [0, 1]."""
        assert self.can_remove
        moved = self.shifted(shift) if shift != (0, 0) else self

        def uncover(part: Floats, alpha: Floats, ink: Numbers) -> Numbers:
            return np.clip((part - alpha * ink) / (1 - alpha), 0, 1)

        return _changed_in_box(images, moved.alpha, moved.ink, uncover)

    def region(self, image_id: str, frame: Frame, random: np.random.Generator | None = None) -> Bools:
        """The same in every image."""
        return self.fixed_region

    def controls(self, given: Mapping[str, Appearance], seed: int) -> tuple[dict[str, list[Edit]], list[Note]]:
        """Its ink scrambled, its tone inverted, a flat patch of the same mean ink and opacity, and what the user gave.

        And a veil: a patch of that opacity in the image's own mean colour.
        """
        random = audit_generator(seed, "controls")
        looks: dict[str, list[Appearance]] = {
            "scrambled": [self.scrambled(random) for _ in range(_SCRAMBLES)],
            "inverted tone": [self.inverted()],
            "flat patch": [self.flattened()],
        }
        looks |= {name: [control] for name, control in given.items()}
        alike = [name for name, draws in looks.items() if any(self.equals(draw) for draw in draws)]
        edits: dict[str, list[Edit]] = {
            name: [draw.insert for draw in draws] for name, draws in looks.items() if name not in alike
        }
        edits["veil"] = [self.veil]
        return edits, [Note("control", f"control {name!r} equals the artefact and is left out") for name in alike]

    def innocents(self, count: int, seed: int) -> list[Edit]:
        """Its ink scrambled in its box; where that equals the artefact (a uniform patch), patches of noise."""
        random = audit_generator(seed, "innocent content")
        is_uniform = self.equals(self.scrambled(random))
        draw = self.noisy if is_uniform else self.scrambled
        return [draw(random).insert for _ in range(count)]

    def variants(self, given: Mapping[str, Appearance]) -> dict[str, Edit]:
        """Mirrored, upside down, at half its opacity, at the place opposite the centre, and what the user gave."""
        looks: dict[str, Appearance] = {
            "mirrored": self.mirrored(),
            "upside down": self.upside_down(),
            "half opacity": self.with_opacity(self.opacity / 2),
        }
        opposite = self._opposite()
        looks |= {"moved": opposite} if opposite is not None else {}
        return {name: look.insert for name, look in (looks | dict(given)).items() if not self.equals(look)}

    def doses(self) -> dict[float, Edit]:
        """At the opacities of the dose-response curve."""
        return {dose: self.with_opacity(dose).insert for dose in DOSES}

    def neighbours(self) -> dict[str, Appearance]:
        """Off by 1 and 2 pixels (1 and 3 % of a frame above 32) or by half its size, in other corners, smaller, larger.

        Other corners where it lies within a quarter of the frame from an edge, as far from them as from its own.
        """
        height, width = self.alpha.shape
        left, top, right, bottom = self.box
        wide, high = right - left, bottom - top
        if (high, wide) == (height, width):
            return {}
        places = {
            f"{step} px {name}": (top + down * step, left + across * step)
            for step in steps_of(self.ink.shape)
            for name, (down, across) in DIRECTIONS.items()
        }
        for name in ("up", "down", "left", "right"):
            down, across = DIRECTIONS[name]
            places[f"half its size {name}"] = (top + down * -(-high // 2), left + across * -(-wide // 2))
        margins = [(min(top, height - bottom), height), (min(left, width - right), width)]
        edges = [margin for margin, whole in margins if margin <= whole / 4]
        if edges:
            from_top, from_left = (margin if margin <= whole / 4 else min(edges) for margin, whole in margins)
            for name, at_top in (("upper", from_top), ("lower", height - high - from_top)):
                places[f"{name} left corner"] = (at_top, from_left)
                places[f"{name} right corner"] = (at_top, width - wide - from_left)
        looks = {
            name: self.shifted((row - top, column - left))
            for name, (row, column) in places.items()
            if 0 <= row <= height - high and 0 <= column <= width - wide
        }
        looks |= {f"{factor} of its size": self.resized(factor) for factor in (0.8, 1.25)}
        found: dict[str, Appearance] = {}
        seen = [self]
        for name, look in looks.items():
            if not any(look.equals(other) for other in seen):
                found[name] = look
                seen.append(look)
        return found

    def resized(self, factor: float) -> Overlay:
        """About its own middle, or where it touches an edge at that edge; never larger than the frame."""
        left, top, right, bottom = self.box
        sizes, starts = [], []
        for low, high, whole in ((top, bottom, self.alpha.shape[0]), (left, right, self.alpha.shape[1])):
            size = min(max(1, round((high - low) * factor)), whole)
            start = 0 if low == 0 else whole - size if high == whole else round((low + high - size) / 2)
            sizes.append(size)
            starts.append(min(max(start, 0), whole - size))
        place = np.s_[starts[0] : starts[0] + sizes[0], starts[1] : starts[1] + sizes[1]]
        part, weight = self.ink[top:bottom, left:right], self.alpha[top:bottom, left:right, None]
        layer = resize(np.concatenate([part * weight, weight], axis=2), sizes, order=1, anti_aliasing=True)
        alpha, ink = np.zeros_like(self.alpha), np.zeros_like(self.ink)
        alpha[place] = np.clip(layer[..., -1], 0, 1)
        ink[place] = np.clip(layer[..., :-1] / np.maximum(layer[..., -1:], 1e-6), 0, 1)
        return Overlay(alpha, ink)

    def veil(self, images: Floats, randoms: Randoms = ()) -> Floats:
        """In its place a patch of the image's own mean colour, as opaque as it is on average."""
        return _composite(images, self.flattened().alpha, images.mean(axis=(1, 2), keepdims=True, dtype=np.float64))

    def scrambled(self, random: np.random.Generator) -> Overlay:
        """With its pixels in a random order."""
        inside = self._inside()
        order = random.permutation(int(inside.sum()))
        return self._filled(self.alpha[inside][order], self.ink[inside][order])

    def noisy(self, random: np.random.Generator) -> Overlay:
        """With ink of noise."""
        inside = self._inside()
        return self._filled(self.alpha, random.random((int(inside.sum()), self.ink.shape[2])))

    def flattened(self) -> Overlay:
        """With its mean opacity and its mean ink in all pixels of its content."""
        inside = self._inside()
        alpha, ink = self.alpha[inside].astype(np.float64), self.ink[inside].astype(np.float64)
        return self._filled(np.array(alpha.mean()), (ink * alpha[..., None]).sum(axis=0) / alpha.sum())

    def inverted(self) -> Overlay:
        """With its ink in inverted tone."""
        return self._filled(self.alpha, 1 - self.ink)

    def mirrored(self) -> Overlay:
        """Left to right, in its box."""
        return self._changed(lambda part: part[:, ::-1])

    def upside_down(self) -> Overlay:
        """In its box."""
        return self._changed(lambda part: part[::-1])

    def equals(self, other: Appearance) -> bool:
        """Whether another does the same to every image, to within half a step of 8-bit colour."""
        if not isinstance(other, Overlay):
            return False
        by_alpha = np.abs(self.alpha - other.alpha).max()
        by_ink = np.abs(self.alpha[..., None] * self.ink - other.alpha[..., None] * other.ink).max()
        return bool(max(by_alpha, by_ink) < 0.5 / 255)

    def _changed(self, change: Callable[[Floats], Floats]) -> Overlay:
        """With another content of its box."""
        left, top, right, bottom = self.box
        alpha, ink = self.alpha.copy(), self.ink.copy()
        alpha[top:bottom, left:right] = change(alpha[top:bottom, left:right].copy())
        ink[top:bottom, left:right] = change(ink[top:bottom, left:right].copy())
        return replace(self, alpha=alpha, ink=ink)

    def _inside(self) -> Bools:
        """(h, w): where its content lies."""
        if self.content is not None:
            return self.content
        left, top, right, bottom = self.box
        inside = np.zeros(self.alpha.shape, bool)
        inside[top:bottom, left:right] = True
        return inside

    def _filled(self, alpha: Numbers, ink: Numbers) -> Overlay:
        """With another opacity and ink of its content: of the frame, or a value for each of its pixels, or for all."""
        inside, filled = self._inside(), replace(self, alpha=self.alpha.copy(), ink=self.ink.copy())
        filled.alpha[inside] = alpha[inside] if alpha.shape == self.alpha.shape else alpha
        filled.ink[inside] = ink[inside] if ink.shape == self.ink.shape else ink
        return filled

    def _opposite(self) -> Overlay | None:
        """At the place opposite the centre; None where that is about the same place."""
        height, width = self.alpha.shape
        left, top, right, bottom = self.box
        shift = (height - bottom - top, width - right - left)
        if abs(shift[0]) < (bottom - top) / 2 and abs(shift[1]) < (right - left) / 2:
            return None
        return self.shifted(shift)


def steps_of(frame: Frame) -> tuple[int, int]:
    """By how many pixels a place may be missed: 1 and 2, in a large frame 1 and 3 % of its longer side."""
    side = max(frame[:2])
    return max(1, round(0.01 * side)), max(2, round(0.03 * side))


def _composite(images: Floats, alpha: Floats, ink: Numbers) -> Floats:
    return _changed_in_box(images, alpha, ink, lambda part, opacity, inked: (1 - opacity) * part + opacity * inked)


def _changed_in_box(
    images: Floats, alpha: Floats, ink: Numbers, change: Callable[[Floats, Floats, Numbers], Numbers]
) -> Floats:
    """Images (n, h, w, c), changed where `alpha` (h, w) is above 0; nothing is computed outside of its box.

    Parameters
    ----------
    ink
        (h, w, c), or (n, 1, 1, c).
    change
        Of a part of the images, the opacity there (..., 1), and the ink there.
    """
    changed, is_inside = images.astype(np.float32), alpha > 0
    if not is_inside.any():
        return changed
    left, top, right, bottom = box_of(is_inside)
    place = np.s_[top:bottom, left:right]
    part, opacity = images[:, *place], alpha[*place, None]
    inked = ink if ink.ndim == 4 else ink[*place]
    changed[:, *place] = np.where(opacity > 0, change(part, opacity, inked), part)
    return changed


DIRECTIONS = {
    "up": (-1, 0),
    "down": (1, 0),
    "left": (0, -1),
    "right": (0, 1),
    "up left": (-1, -1),
    "up right": (-1, 1),
    "down left": (1, -1),
    "down right": (1, 1),
}
"""Steps (down, right)."""
