"""What a method of attribution is asked, and what it answers.

Attributions are signed, raw and never normalised; nothing couples an image to its batch-mates. The first pass (scores,
gradient, features) is shared by all methods. Whatever a method throws becomes its own `MethodError`.
"""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import numpy as np

from auditor.errors import MethodError
from auditor.explain.attribution.record import MapName
from auditor.measure.arrays import Array, Floats, Ints, take
from auditor.subject.model.classifier import Explainable, Pass


@dataclass(frozen=True)
class Question:
    """Which images are explained for which targets, and what all methods share."""

    classifier: Explainable
    images: Floats
    """(n, h, w, c) in [0, 1]."""
    targets: Ints
    """(n,) class numbers."""
    ids: list[str]
    """Randomness is keyed by these, never by the place in a batch."""
    seed: int
    mean_image: Floats
    """(h, w, c): mean of the audited images, a baseline."""
    first: Pass
    """Scores, gradient and features at the images themselves."""
    foils: Ints | None = None
    """(n,) classes that the targets are contrasted with; with them every attribution has a `Contrast`."""
    against: Pass | None = None
    """As `first`, for the foils."""

    @property
    def aims(self) -> tuple[Ints, ...]:
        """The targets, and the foils where there are some: (n,) each."""
        return (self.targets,) if self.foils is None else (self.targets, self.foils)

    def slopes(self, samples: Floats, owners: Ints) -> tuple[Floats, ...]:
        """Derivatives of each score aimed at, at samples (m, h, w, c) that belong to these images, (m,)."""
        aims = [aim[owners] for aim in self.aims]
        if len(aims) == 1:
            return (self.classifier.differentiate(samples, aims[0]).gradient,)
        first, second = self.classifier.contrast(samples, aims[0], aims[1])
        return first.gradient, second.gradient

    def about(self, rows: Sequence[int]) -> Question:
        """The same question about some of the images."""
        chosen = np.array(rows, np.int64)
        return replace(
            self,
            images=self.images[chosen],
            targets=self.targets[chosen],
            ids=[self.ids[row] for row in rows],
            first=take(self.first, chosen),
            foils=take(self.foils, chosen),
            against=take(self.against, chosen),
        )


@dataclass(frozen=True)
class Contrast:
    """The maps of an attribution's foils, made in the same passes, and of the margins between target and foil."""

    foil: Floats
    """(n, h, w, c or 1)."""
    margin: Floats
    """(n, h, w, c or 1): of the target's score minus the foil's. The difference of both maps, but for Grad-CAM's."""


@dataclass(frozen=True)
class Attribution:
    """One method's maps, with its own checks."""

    maps: Floats
    """(n, h, w, c or 1), signed."""
    diagnostics: dict[str, Array]
    """Name -> (n,)."""
    baseline: Floats | None = None
    """(n, h, w, c): the reference images of a path method."""
    contrast: Contrast | None = None
    """Where the question names foils."""


def ask(
    classifier: Explainable,
    images: Floats,
    targets: Ints,
    *,
    ids: list[str],
    mean_image: Floats,
    seed: int = 0,
    layers: tuple[str, ...] | None = None,
    foils: Ints | None = None,
    by_pixels: bool = True,
) -> Question:
    """Run the shared first pass.

    Parameters
    ----------
    layers
        Those that Grad-CAM reads, by default the classifier's own choice.
    by_pixels
        Whether a method reads the gradient of that pass; it is NaN otherwise, unless there are foils.
    """
    chosen = classifier.feature_layers if layers is None else layers
    if foils is None:
        look = classifier.differentiate if by_pixels else classifier.weigh
        first, against = look(images, targets, chosen), None
    else:
        first, against = classifier.contrast(images, targets, foils, chosen)
    return Question(classifier, images, targets, ids, seed, mean_image, first, foils, against)


@dataclass(frozen=True)
class Method:
    """A method of attribution as it is to be run."""

    name: str
    function: Callable[..., dict[str, Attribution]]
    options: Mapping[str, Any] = field(default_factory=dict)
    exemplars_only: bool = False

    @property
    def reads_layers(self) -> bool:
        """Whether it explains by feature maps: its function has an option `layers`, empty for the usual choice."""
        return "layers" in inspect.signature(self.function).parameters


def layers_read(methods: Iterable[Method], classifier: Explainable) -> tuple[str, ...]:
    """The layers whose features a first pass must bring for these methods."""
    named = (method.options.get("layers") or classifier.feature_layers for method in methods if method.reads_layers)
    return tuple(dict.fromkeys(chain.from_iterable(named)))


def explain(method: Method, question: Question) -> dict[MapName, Attribution]:
    """A method's attributions, one for each of its variants; with foils in the question each has a `Contrast`.

    A method that makes none of its own is asked twice, for targets and for foils, and their difference is the margin.

    Raises
    ------
    MethodError
        Whatever it throws, or that what it returns are no attributions of these images.
    """
    try:
        found = _checked(method.function(question, **method.options), question)
        if question.foils is not None and any(one.contrast is None for one in found.values()):
            assert question.against is not None
            swapped = replace(question, targets=question.foils, first=question.against, foils=None, against=None)
            others = _checked(method.function(swapped, **method.options), swapped)
            found = {
                variant: replace(one, contrast=Contrast(others[variant].maps, one.maps - others[variant].maps))
                for variant, one in found.items()
            }
        return {MapName(method.name, variant): one for variant, one in found.items()}
    except (Exception, SystemExit) as fault:
        raise MethodError(method.name, fault, traceback.format_exc()) from None


def _checked(found: Any, question: Question) -> dict[str, Attribution]:
    """What a method returned, its maps as float32, if it is what a method is to return."""
    if not isinstance(found, dict) or not found or not all(isinstance(one, Attribution) for one in found.values()):
        raise TypeError(f"returned {type(found).__name__}, wanted a dict of an Attribution by the name of each variant")
    checked = {}
    for variant, one in found.items():
        maps, wanted = np.asarray(one.maps, np.float32), question.images.shape
        if maps.shape not in (wanted, (*wanted[:3], 1)):
            raise ValueError(f"returned maps of shape {maps.shape}, wanted {wanted} or one channel")
        if not np.isfinite(maps).all():
            raise ValueError("returned maps that are not finite")
        checked[str(variant)] = replace(one, maps=maps)
    return checked
