"""Augmentation of training pictures, and whether what was planted survives it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.ndimage import gaussian_filter, zoom

from auditor.config.options import suggest
from auditor.errors import ConfigError
from auditor.lab.planting import nominal_stamp
from auditor.measure.arrays import Floats

Augmentation = Callable[[Floats, np.random.Generator], Floats]

LEAST_SURVIVAL = 0.5
"""An augmentation that leaves less of an artefact's energy is refused: the experiment would show nothing."""


def choose_augmentations(
    names: tuple[str, ...], families: tuple[str, ...], images: Floats
) -> tuple[Callable[[Floats], Floats], list[str]]:
    """One function that applies the named augmentations, and a warning on each that is refused.

    Raises
    ------
    ConfigError
        No such augmentation.
    """
    warnings, kept = [], []
    for name in names:
        if name not in AUGMENTATIONS:
            raise ConfigError(f"--augment: got {name!r}{suggest(name, list(AUGMENTATIONS))}")
        left = {family: survival(AUGMENTATIONS[name], family, images) for family in families}
        worst = min(left, key=lambda family: left[family])
        if left[worst] < LEAST_SURVIVAL:
            warnings.append(
                f"augmentation {name!r} is not used: it leaves {left[worst]:.0%} of the energy of {worst!r}, "
                "and would erase what was planted"
            )
        else:
            kept.append(AUGMENTATIONS[name])

    def apply(pictures: Floats) -> Floats:
        random = np.random.default_rng(0)
        for augmentation in kept:
            pictures = augmentation(pictures, random)
        return pictures

    return apply, warnings


def survival(augmentation: Augmentation, family: str, images: Floats) -> float:
    """Share of an artefact's energy that an augmentation leaves in images (n, h, w, 1), between 0 and 1.

    It is the mean over images of the squared difference that the artefact makes after augmentation over the one that
    it makes before, the random draws of the augmentation being the same with and without it.
    """
    stamped = nominal_stamp(family).insert(images)
    after = augmentation(stamped, np.random.default_rng(1)) - augmentation(images, np.random.default_rng(1))
    energy = [np.square(difference, dtype=np.float64).sum(axis=(1, 2, 3)) for difference in (after, stamped - images)]
    return float(np.minimum(energy[0] / np.maximum(energy[1], 1e-12), 1).mean())


def mirror(images: Floats, random: np.random.Generator) -> Floats:
    """Half of the images mirrored."""
    return np.where(random.random((len(images), 1, 1, 1)) < 0.5, images[:, :, ::-1], images)


def shift(images: Floats, random: np.random.Generator) -> Floats:
    """Up to two pixels off in each direction."""
    return np.stack([np.roll(image, tuple(random.integers(-2, 3, 2)), axis=(0, 1)) for image in images])


def crop(images: Floats, random: np.random.Generator) -> Floats:
    """A random half of the area, enlarged."""
    found = np.empty_like(images)
    side = images.shape[1]
    part = round(side / np.sqrt(2))
    for row, image in enumerate(images):
        top, left = random.integers(0, side - part + 1, 2)
        window = image[top : top + part, left : left + part, 0]
        found[row, ..., 0] = np.clip(zoom(window, side / part, order=1), 0, 1)
    return found


def blur(images: Floats, random: np.random.Generator) -> Floats:
    """A Gaussian blur of two pixels."""
    del random
    return np.asarray(gaussian_filter(images, (0, 2, 2, 0)), np.float32)


def erase(images: Floats, random: np.random.Generator) -> Floats:
    """A random quarter of the area made black."""
    found = images.copy()
    side = images.shape[1]
    for image in found:
        top, left = random.integers(0, side // 2 + 1, 2)
        image[top : top + side // 2, left : left + side // 2] = 0
    return found


def drop(images: Floats, random: np.random.Generator) -> Floats:
    """Seven of ten pixels made black (dropout of the input)."""
    return images * (random.random(images.shape) >= 0.7)


def noise(images: Floats, random: np.random.Generator) -> Floats:
    """Gaussian noise with a deviation of a tenth of the range."""
    return np.clip(images + random.normal(0, 0.1, images.shape), 0, 1).astype(np.float32)


AUGMENTATIONS: dict[str, Augmentation] = {
    "mirror": mirror,
    "shift": shift,
    "crop": crop,
    "blur": blur,
    "erase": erase,
    "drop": drop,
    "noise": noise,
}
