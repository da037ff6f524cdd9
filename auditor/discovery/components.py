"""What a class is made of in the last feature maps: principal components of what each channel gives to its score.

Each component that makes images of a class differ much is a suspect: where its derivative says that it looks, in the
images where it is strongest. An object's parts are components, too; what is put into images of others tells them apart,
for a component that is a shortcut fires there without the object.

References: Neuhaus et al., "Spurious features everywhere: large-scale detection of harmful spurious features in
ImageNet" (2023).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from auditor.discovery.candidate import CannotLookError, Proposal
from auditor.discovery.clusters import looks_of, places_of
from auditor.discovery.gradients import can_be_differentiated
from auditor.discovery.maps import Slopes, maps_of
from auditor.discovery.material import Material
from auditor.measure.arrays import Doubles, Floats, Ints


@dataclass(frozen=True)
class Component:
    """One way in which what channels give to a class's score differs among images of the class."""

    weights: Doubles
    """(channels,): of unit length, with the sign that raises the score."""
    gives: Doubles
    """(n,): what it gives to the score of each image of the class, beyond the mean image."""


def propose_components(material: Material, passes: int) -> Iterator[Proposal]:
    """Where the strongest components of each class look, those first that give most to the score.

    Parameters
    ----------
    passes
        About how many images the model may be differentiated at, of 64 x 64 pixels or fewer; larger ones count more.

    Raises
    ------
    CannotLookError
        The model has no derivatives of feature maps, or no class has images enough.
    """
    model = material.classifier
    layers = getattr(model, "feature_layers", ())
    if not can_be_differentiated(model) or not layers or not callable(getattr(model, "linearise", None)):
        raise CannotLookError("the model shows no feature maps that can be differentiated")
    classes = [number for number in material.classes if len(material.own(number)) >= FEWEST_IMAGES]
    if not classes:
        raise CannotLookError(f"no class has {FEWEST_IMAGES} images")
    most = min(LOOKED_AT, max(FEWEST_IMAGES, passes // (OFTEN * len(classes) * material.cost)))
    found = [proposal for number in classes for proposal in _of_class(material, number, layers[0], most)]
    found.sort(key=lambda each: -each.found)
    yield from found[:MOST]


def _of_class(material: Material, number: int, layer: str, most: int) -> Iterator[Proposal]:
    own = material.own(number)[:most]
    count = max(FEWEST, len(own) // 6)
    for component in find_components(shares_of_channels(material, own, number, layer)):
        order = np.argsort(-component.gives, kind="stable")
        strong, weak = own[order[:count]], own[order[-count:]]
        slopes = of_component(material, number, layer, component.weights)
        maps = [maps_of(material, rows, slopes) for rows in (strong, weak)]
        gives = float((component.gives[order[:count]].mean() - component.gives.mean()) / material.spread[number])
        for region, _ in places_of(*maps)[:1]:
            looks = looks_of(material.images[strong], material.images[weak], region)
            told = (
                f"It is where a component of layer {layer} looks that gives {gives:.1f} standard deviations more there."
            )
            yield Proposal("components", number, looks, gives, tuple(strong.tolist()), beside=told)


def shares_of_channels(material: Material, rows: Ints, number: int, layer: str) -> Doubles:
    """(n, channels): what each channel gives to the score of a class in images at some rows.

    Features times the derivatives by them, summed over places: of a head that pools and weighs, its very terms.
    """
    parts = []
    for at in range(0, len(rows), material.batch_size):
        part = rows[at : at + material.batch_size]
        seen = material.classifier.weigh(material.images[part], np.full(len(part), number), (layer,))  # type: ignore[attr-defined]
        parts.append((seen.features[layer] * seen.feature_gradients[layer]).sum(axis=(1, 2), dtype=np.float64))
    return np.concatenate(parts)


def find_components(shares: Doubles) -> list[Component]:
    """The principal components (n, channels) whose parts of the score differ most among images, the largest first."""
    centred = shares - shares.mean(axis=0)
    _, strengths, ways = np.linalg.svd(centred, full_matrices=False)
    found = []
    for strength, way in zip(strengths[:COMPONENTS], ways, strict=False):
        if strength <= 1e-6 * max(strengths[0], 1e-12):
            break
        total = float(way.sum())  # what one unit of it gives to the score
        found.append(Component(way if total >= 0 else -way, (centred @ way) * total))
    found.sort(key=lambda component: -float(component.gives.std()))
    return found


def of_component(material: Material, number: int, layer: str, weights: Doubles) -> Slopes:
    """The derivatives of a component: of what the channels of a layer give to a class, weighed (channels,)."""
    model: Any = material.classifier

    def slopes(images: Floats) -> Floats:
        given = model.weigh(images, np.full(len(images), number), (layer,)).feature_gradients[layer]
        pulled: Floats = model.linearise(images, (layer,)).pull_back(
            None, {layer: (given * weights).astype(np.float32)}
        )
        return pulled

    return slopes


LOOKED_AT, FEWEST_IMAGES, FEWEST = 200, 18, 4
"""Images of a class that are looked at, at the most and at least; and fewest where a component is strongest."""

COMPONENTS, MOST, OFTEN = 4, 8, 4
"""Of a class; proposals in all; and about how often an image is differentiated for them."""
