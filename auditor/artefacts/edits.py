"""Edits of images that ask a causal question: insert an artefact, remove it, or do something innocent instead.

All take and give float32 images (n, height, width, channels) in [0, 1]. An edit depends on its own image only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter
from scipy.signal import fftconvolve
from skimage.restoration import inpaint_biharmonic

from auditor.artefacts.kinds import Overlay
from auditor.measure.measurement import Note
from auditor.measure.seeds import audit_generator
from auditor.subject.data.sample import to_grey

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Edit = Callable[[Floats], Floats]
Fill = Callable[[Floats, Bools], Floats]

DOSES = (0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)
"""Opacities of the dose-response curve."""

_SCRAMBLES = 3


def insert(images: Floats, overlay: Overlay) -> Floats:
    """Composite an overlay over images; pixels outside its region stay as they are, to the bit."""
    alpha = overlay.alpha[..., None]
    return np.where(alpha > 0, (1 - alpha) * images + alpha * overlay.ink, images).astype(np.float32)


def uncomposite(images: Floats, overlay: Overlay) -> Floats:
    """Compute what lies under an overlay: the exact inverse of `insert` but for clipping to [0, 1]."""
    assert overlay.is_invertible
    alpha = overlay.alpha[..., None]
    under = (images - alpha * overlay.ink) / (1 - alpha)
    return np.where(alpha > 0, np.clip(under, 0, 1), images).astype(np.float32)


def fill_mean(image: Floats, mask: Bools) -> Floats:
    """Fill the region (h, w) of one image (h, w, c) with the mean colour of the rest."""
    rest = image[~mask] if not mask.all() else image.reshape(-1, image.shape[-1])
    return _filled(image, mask, np.broadcast_to(rest.mean(axis=0, dtype=np.float64), image.shape))


def fill_blur(image: Floats, mask: Bools) -> Floats:
    """Fill the region with a Gaussian blur of the rest (normalised convolution, so the region itself has no say)."""
    sigma = max(1.0, 0.5 * float(np.sqrt(mask.sum())))
    known = (~mask).astype(np.float64)
    weight = gaussian_filter(known, sigma, mode="nearest")
    blurred = np.stack(
        [gaussian_filter(image[..., c] * known, sigma, mode="nearest") for c in range(image.shape[-1])],
        axis=-1,
    )
    return _filled(image, mask, blurred / np.maximum(weight, 1e-9)[..., None])


def fill_inpaint(image: Floats, mask: Bools) -> Floats:
    """Continue the surroundings smoothly into the region (biharmonic equation, Damelin and Hoang 2018)."""
    return _filled(image, mask, inpaint_biharmonic(image, mask, channel_axis=-1, split_into_regions=True))


def make_controls(overlay: Overlay, given: dict[str, Overlay], seed: int) -> tuple[dict[str, list[Edit]], list[Note]]:
    """Innocent edits at the artefact's own place, fixed before any score is seen.

    They are its ink scrambled, its tone inverted, a flat patch of the same mean ink and opacity, a patch that veils
    the box with the image's own mean colour, and what the user gave. Returns the edits by name, several where a
    control is the mean over draws, and a note on each that was left out because it equals the artefact.
    """
    random = audit_generator(seed, "controls")
    overlays = {
        "scrambled": [_scrambled(overlay, random) for _ in range(_SCRAMBLES)],
        "inverted tone": [_in_box(overlay, lambda part: part if part.ndim == 2 else 1 - part)],
        "flat patch": [_flat(overlay)],
    }
    overlays |= {name: [control] for name, control in given.items()}
    degenerate = [name for name, draws in overlays.items() if any(_is_alike(draw, overlay) for draw in draws)]
    edits: dict[str, list[Edit]] = {
        name: [partial(insert, overlay=draw) for draw in draws]
        for name, draws in overlays.items()
        if name not in degenerate
    }
    edits["veil"] = [partial(_veil, overlay=_flat(overlay))]
    notes = [Note("control", f"control {name!r} equals the artefact and is left out") for name in degenerate]
    return edits, notes


def make_draws(overlay: Overlay, count: int, seed: int) -> list[Edit]:
    """Innocent content drawn at random at the artefact's place: what the strongest of many classes does by chance.

    It is the artefact's ink scrambled in its box; where that equals the artefact (a uniform patch), a patch of noise.
    """
    random = audit_generator(seed, "innocent content")
    is_uniform = _is_alike(_scrambled(overlay, random), overlay)
    draw = _noise if is_uniform else _scrambled
    return [partial(insert, overlay=draw(overlay, random)) for _ in range(count)]


def paste_middle(images: Floats, donors: Floats, keep_out: Bools) -> Floats:
    """The middle of other images (n, h, w, c), 70 % of height and width, but for pixels `keep_out` (h, w)."""
    height, width = images.shape[1:3]
    top, left = round(0.15 * height), round(0.15 * width)
    mask = np.zeros((height, width), bool)
    mask[top : height - top, left : width - left] = True
    return np.where((mask & ~keep_out)[..., None], donors, images).astype(np.float32)


def make_variants(overlay: Overlay, given: dict[str, Overlay]) -> dict[str, Edit]:
    """The artefact changed in one way, and what the user gave: they tell how general a shortcut is and never decide."""
    variants = {
        "mirrored": _in_box(overlay, lambda part: part[:, ::-1]),
        "upside down": _in_box(overlay, lambda part: part[::-1]),
        "half opacity": overlay.with_opacity(overlay.opacity / 2),
    }
    moved = _moved(overlay)
    if moved is not None:
        variants["moved"] = moved
    variants |= given
    return {
        name: partial(insert, overlay=variant) for name, variant in variants.items() if not _is_alike(variant, overlay)
    }


def make_doses(overlay: Overlay) -> dict[float, Edit]:
    """The artefact at the opacities of the dose-response curve."""
    return {dose: partial(insert, overlay=overlay.with_opacity(dose)) for dose in DOSES}


@dataclass(frozen=True)
class Removal:
    """One way to take an artefact out, and the same edit elsewhere in the image."""

    removed: Floats
    """(h, w, c)."""
    placebo: Floats | None
    """(h, w, c); None where the region fits nowhere else."""


def remove(image: Floats, mask: Bools, fills: tuple[str, ...], overlay: Overlay | None) -> dict[str, Removal]:
    """Take the artefact out of one image (h, w, c) in several ways, each with its placebo.

    `exact` undoes the compositing where the overlay is known and nowhere opaque. The placebo makes the same edit at
    the place whose brightness and contrast come closest to what the region looks like without the artefact.
    """
    results: dict[str, Removal] = {}
    invertible = overlay if overlay is not None and overlay.is_invertible else None
    clean = uncomposite(image[None], invertible)[0] if invertible else FILLS["blur"](image, mask)
    shifts = matched_placements(clean, mask, 1)
    if invertible is not None:
        placebo = uncomposite(image[None], _shifted(invertible, shifts[0]))[0] if shifts else None
        results["exact"] = Removal(clean, placebo)
    for name in fills:
        elsewhere = FILLS[name](image, shift_mask(mask, shifts[0])) if shifts else None
        results[name] = Removal(FILLS[name](image, mask), elsewhere)
    return results


def matched_placements(image: Floats, mask: Bools, count: int) -> list[tuple[int, int]]:
    """Shifts (down, right) of a region that look most like it, best first.

    The shifted region stays in the frame and clear of the region itself; places are ranked by how close the mean and
    the standard deviation of their pixels come to those of the region in `image` (h, w, c), which is without artefact.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return []
    shape = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.float64)
    grey = (to_grey(image)[..., 0] if image.shape[-1] == 3 else image[..., 0]).astype(np.float64)
    kernel = shape[::-1, ::-1]
    area = shape.sum()
    mean = fftconvolve(grey, kernel, "valid") / area
    contrast = np.sqrt(np.maximum(fftconvolve(grey**2, kernel, "valid") / area - mean**2, 0))
    overlap = fftconvolve(mask.astype(np.float64), kernel, "valid")
    distance = np.hypot(mean - mean[rows[0], columns[0]], contrast - contrast[rows[0], columns[0]])
    free = np.flatnonzero(overlap.ravel() < 0.5)
    # rounding keeps the order the same whatever the last bits of the transform are
    best = free[np.argsort(np.round(distance.ravel()[free], 6), kind="stable")[:count]]
    return [(int(at // mean.shape[1] - rows[0]), int(at % mean.shape[1] - columns[0])) for at in best]


def shift_mask(mask: Bools, shift: tuple[int, int]) -> Bools:
    """A region moved by (down, right); it must stay in the frame."""
    return np.roll(mask, shift, axis=(0, 1))


def _shifted(overlay: Overlay, shift: tuple[int, int]) -> Overlay:
    return Overlay(np.roll(overlay.alpha, shift, axis=(0, 1)), np.roll(overlay.ink, shift, axis=(0, 1)))


def _filled(image: Floats, mask: Bools, content: npt.NDArray[np.floating]) -> Floats:
    return np.where(mask[..., None], np.clip(content, 0, 1), image).astype(np.float32)


def _in_box(overlay: Overlay, change: Callable[[Floats], Floats]) -> Overlay:
    left, top, right, bottom = overlay.box
    alpha, ink = overlay.alpha.copy(), overlay.ink.copy()
    alpha[top:bottom, left:right] = change(alpha[top:bottom, left:right].copy())
    ink[top:bottom, left:right] = change(ink[top:bottom, left:right].copy())
    return Overlay(alpha, ink)


def _scrambled(overlay: Overlay, random: np.random.Generator) -> Overlay:
    left, top, right, bottom = overlay.box
    order = random.permutation((bottom - top) * (right - left))
    return _in_box(overlay, lambda part: part.reshape(len(order), -1)[order].reshape(part.shape))


def _noise(overlay: Overlay, random: np.random.Generator) -> Overlay:
    return _in_box(overlay, lambda part: part if part.ndim == 2 else random.random(part.shape).astype(np.float32))


def _flat(overlay: Overlay) -> Overlay:
    left, top, right, bottom = overlay.box
    alpha = overlay.alpha[top:bottom, left:right].astype(np.float64)
    ink = overlay.ink[top:bottom, left:right].astype(np.float64)
    flat = replace(overlay, alpha=np.zeros_like(overlay.alpha), ink=np.zeros_like(overlay.ink))
    flat.alpha[top:bottom, left:right] = alpha.mean()
    flat.ink[top:bottom, left:right] = (ink * alpha[..., None]).sum(axis=(0, 1)) / alpha.sum()
    return flat


def _veil(images: Floats, overlay: Overlay) -> Floats:
    own = images.mean(axis=(1, 2), keepdims=True, dtype=np.float64)
    alpha = overlay.alpha[..., None]
    return np.where(alpha > 0, (1 - alpha) * images + alpha * own, images).astype(np.float32)


def _moved(overlay: Overlay) -> Overlay | None:
    """The artefact at the place opposite the centre; None where that is about the same place."""
    height, width = overlay.alpha.shape
    left, top, right, bottom = overlay.box
    shift = (height - bottom - top, width - right - left)
    if abs(shift[0]) < (bottom - top) / 2 and abs(shift[1]) < (right - left) / 2:
        return None
    return _shifted(overlay, shift)


def _is_alike(first: Overlay, second: Overlay) -> bool:
    """Whether two overlays do the same to every image, to within half a step of 8-bit colour."""
    by_alpha = np.abs(first.alpha - second.alpha).max()
    by_ink = np.abs(first.alpha[..., None] * first.ink - second.alpha[..., None] * second.ink).max()
    return bool(max(by_alpha, by_ink) < 0.5 / 255)


FILLS: dict[str, Fill] = {
    "mean": fill_mean,
    "blur": fill_blur,
    "inpaint": fill_inpaint,
}
