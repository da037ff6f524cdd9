"""Properties of whole images that go with a class: light, contrast, sharpness, colour, what the edge looks like.

Each property that differs has an edit that would give it to images of other classes: that edit is the suspect.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from scipy.ndimage import laplace

from auditor.artefacts.kinds import ARTEFACT_KINDS
from auditor.discovery.candidate import Proposal
from auditor.discovery.material import Material
from auditor.measure.arrays import Doubles, Floats, Ints


def propose_properties(material: Material, passes: int) -> Iterator[Proposal]:
    """Edits that make images of others as light, sharp or colourful as those of a class, where these differ."""
    del passes  # the model is not asked
    measured = {name: measure(material.images) for name, measure in PROPERTIES.items()}
    found = []
    for number in material.classes:
        own, others = material.own(number), material.others(number)
        for name, values in measured.items():
            spread = max(float(values[others].std()), 1e-6)
            apart = float(values[own].mean() - values[others].mean()) / spread
            if abs(apart) >= LEAST_APART:
                found.append((abs(apart), number, name, apart))
    found.sort(key=lambda each: -each[0])
    for size, number, name, apart in found[:MOST]:
        own, others = material.own(number), material.others(number)
        values = measured[name]
        kind, options = _edit_for(name, float(values[own].mean()), float(values[others].mean()), material, others)
        if kind == "":
            continue
        look = ARTEFACT_KINDS[kind](material.images.shape[1:], **options)
        strong = own[np.argsort(-values[own] * np.sign(apart), kind="stable")[:8]]
        told = f"{'more' if apart > 0 else 'less'} {name}"
        yield Proposal("properties", number, (look,), size, tuple(strong.tolist()), kind, options, told)


def _edit_for(
    name: str, wanted: float, usual: float, material: Material, others: Ints
) -> tuple[str, dict[str, float | str]]:
    """The edit that brings a property from what is usual to what is wanted; none where no edit does."""
    if name in ("brightness", "contrast", "saturation"):
        factor = float(np.clip(wanted / max(usual, 1e-3), 0.2, 5.0))
        return name, {"factor": round(factor, 3)}
    images = material.images[others[:_TRIED]]
    kind, option, amounts = ("blur", "sigma", _SIGMAS) if wanted < usual else ("sharpen", "amount", _AMOUNTS)
    frame = images.shape[1:]

    def miss(amount: float) -> float:
        edited = ARTEFACT_KINDS[kind](frame, **{option: amount}).insert(images)
        return abs(float(PROPERTIES[name](edited).mean()) - wanted)

    best = min(amounts, key=miss)
    return kind, {option: best}


def _saturation(images: Floats) -> Doubles:
    return np.asarray((images.max(axis=-1) - images.min(axis=-1)).mean(axis=(1, 2)), np.float64)


def _sharpness(images: Floats) -> Doubles:
    grey = images.mean(axis=-1)
    edges = np.abs(np.stack([laplace(image) for image in grey])).mean(axis=(1, 2))
    return np.asarray(edges / (grey.std(axis=(1, 2)) + 1e-2), np.float64)


PROPERTIES: dict[str, Callable[[Floats], Doubles]] = {
    "brightness": lambda images: np.asarray(images.mean(axis=(1, 2, 3)), np.float64),
    "contrast": lambda images: np.asarray(images.std(axis=(1, 2, 3)), np.float64),
    "sharpness": _sharpness,
    "saturation": _saturation,
}
"""What is measured of images (n, h, w, c) -> (n,)."""

LEAST_APART, MOST = 0.5, 8
"""Standard deviations that a class must differ by; and proposals."""

_TRIED = 24
_SIGMAS, _AMOUNTS = (0.4, 0.6, 0.8, 1.2, 2.0), (0.3, 0.6, 1.0, 2.0)
