"""What a user may ask of a model, and in which way: every way that the laboratory tries on its random-feature models.

| way | what the audit is given |
| --- | --- |
| named | 300 pictures (of edits of the whole image 150) without the artefact, and the target |
| scan | the same, and no target |
| few | the same with 60 or 100 pictures |
| groups | 100 pictures, each in three near-copies that are one group |
| class | the artefact on every picture of the target: `present = "class:.."` |
| removal | the artefact on all of 150 pictures: `present = "all"` |
| scan of carriers | the same, and no target |
| place | the artefact on all of 150 pictures, and only the place is known, as with `masks` |
| pair | two artefacts on every picture, either of which suffices; one is named |
| together | the same, and both are named as one |
| warm, hot | named, the model's scores divided by 4 and by 20: the same decisions |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np

from auditor.artefacts.appearance import Appearance, Edit
from auditor.artefacts.kinds import Artefact
from auditor.artefacts.overlay import Overlay
from auditor.artefacts.together import Together
from auditor.errors import AuditError
from auditor.lab.colours import AUDITED, EDITS, LOCAL, VARYING, Pictures
from auditor.lab.features import Recipe, Specimen
from auditor.measure.arrays import Bools
from auditor.subject.data.memory import HeldSource
from auditor.subject.data.sample import Dataset
from auditor.verdict.observations import Observations
from auditor.verdict.record import Rule
from auditor.verdict.rounds import choose_rounds
from auditor.verdict.trial import survey

Way = Literal[
    "named", "scan", "few", "groups", "class", "removal", "scan of carriers", "place", "pair", "together", "warm", "hot"
]  # fmt: skip

SCANS = ("scan", "scan of carriers")

TEMPERATURES: dict[Way, float] = {"warm": 4.0, "hot": 20.0}


class Asked(NamedTuple):
    """What an audit in one way observed."""

    way: Way
    images: int
    observed: Observations
    passes: int
    """Images that the model scored; variants and doses, which no verdict is taken on, are left out."""


class Known(Overlay):
    """An overlay without variants and the curve of doses, which no verdict is taken on."""

    def variants(self, given: Mapping[str, Appearance]) -> dict[str, Edit]:
        return {}

    def doses(self) -> dict[float, Edit]:
        return {}


class Unknown(Known):
    """An overlay of which only the place is known."""

    can_insert = False

    @property
    def can_remove(self) -> bool:
        return False


def choose_ways(recipe: Recipe) -> tuple[Way, ...]:
    """The ways that a model is audited in: by name always, and in others by turns."""
    if recipe.kind in EDITS:
        return ("named",)
    if recipe.regime == "redundant":
        return ("named", "pair", "together")
    if recipe.seed % 3 == 0:
        return ("scan", "named")
    can_be_elsewhere, is_local = recipe.kind in (*LOCAL, "salt", "varying salt"), recipe.kind in LOCAL
    ways: tuple[Way, ...] = (
        "few", "class", "removal" if can_be_elsewhere else "class", "groups", "place" if is_local else "warm",
    )  # fmt: skip
    chosen = ways[recipe.seed // 3 % len(ways)]
    return ("named", "warm", "hot") if chosen == "warm" else ("named", chosen)


def ask(specimen: Specimen, only: Way | None = None) -> list[Asked]:
    """Audit a model in all its ways, or only in one, in which it may not be asked.

    Nothing is asked in that one of edits of the whole image and of what is drawn anew for every picture.

    Raises
    ------
    AuditError
        An audit failed.
    """
    found: list[Asked] = []
    is_plain = specimen.recipe.kind not in (*EDITS, *VARYING)
    for way in choose_ways(specimen.recipe) if only is None else (only,) if is_plain else ():
        if way == "named" and found:  # a scan observes all that it takes
            found.append(found[0]._replace(way="named"))
        else:
            found.append(ask_in(specimen, way))
    return found


def ask_in(specimen: Specimen, way: Way, first: int | None = None) -> Asked:
    """Audit a model in one way.

    Parameters
    ----------
    first
        Images of a first look, after which it may end; all are tried where it is None.

    Raises
    ------
    AuditError
        The audit failed.
    """
    recipe, task = specimen.recipe, specimen.task
    model = replace(specimen.model, temperature=TEMPERATURES.get(way, 1.0))
    random = np.random.default_rng([recipe.seed, 4])
    pictures, groups = task.audited, None
    if way == "few":
        pictures = pictures[: (60, 100)[recipe.seed % 2]]
    if recipe.kind in EDITS:
        pictures = pictures[: AUDITED // 2]
    if way == "groups":
        pictures, groups = _near_copies(pictures[: AUDITED // 3], random)
    if way in ON_ALL:
        pictures = pictures[:_CARRIERS]
    carriers = pictures.has[:, task.target] if way == "class" else np.full(len(pictures), way in ON_ALL)
    images = pictures.images.copy()
    for look in _looks(specimen, way) if carriers.any() else []:
        images[carriers] = look.insert(images[carriers], random.spawn(int(carriers.sum())))
    source = HeldSource(images, _labels(pictures), groups=groups)
    dataset = Dataset(
        source, classes=task.classes, image_shape=model.image_shape, multilabel=task.output == "multilabel"
    )
    artefact, rule = _artefact(specimen, way, carriers), Rule()
    seen = survey(
        model,
        dataset,
        [artefact],
        fills=("mean",),
        rule=rule,
        seed=recipe.seed,
        batch_size=len(images),
        progress=lambda *_: None,
        columns={"digit": pictures.digits.astype(str)} if len(task.classes) < 10 else None,
        rounds=() if first is None else choose_rounds(dataset, [artefact], first),
        always_beside=True,
    )
    (observed,) = seen.observed
    if isinstance(observed, AuditError):
        raise observed
    return Asked(way, len(seen.images), observed, sum(seen.passes.values()))


def _looks(specimen: Specimen, way: Way) -> list[Appearance]:
    """What is put into carriers."""
    pair = [specimen.second] if specimen.second is not None and way in ("pair", "together") else []
    return [specimen.appearance, *pair]


def _artefact(specimen: Specimen, way: Way, carriers: Bools) -> Artefact:
    """What the audit is told: of a pair the first, beside which the second is carried, or both as one."""
    target = None if way in SCANS else specimen.task.target
    present = f"class:{specimen.task.classes[specimen.task.target]}" if way == "class" else "none"
    present = "all" if carriers.all() else present
    kind = Unknown if way == "place" else Known
    first, *second = (
        Artefact(
            f"artefact {number}",
            "overlay",
            kind(look.alpha, look.ink) if isinstance(look, Overlay) else look,
            target,
            present,
            carriers,
        )
        for number, look in enumerate(_looks(specimen, way))
    )
    if way == "pair":
        return replace(first, beside=tuple(second))
    if way == "together":
        parts = (first, *second)
        both = Together(tuple(part.appearance for part in parts), tuple(part.name for part in parts))
        return Artefact("both", "together", both, target, present, carriers, parts=parts)
    return first


ON_ALL = ("removal", "scan of carriers", "place", "pair", "together")
"""Ways in which every picture carries the artefact."""

_CARRIERS = 150
"""Pictures of an audit by removal alone, which looks for a place like the artefact's own in each of them."""


def _labels(pictures: Pictures) -> Bools | list[int]:
    if (pictures.has.sum(axis=1) == 1).all():
        return [int(number) for number in pictures.has.argmax(axis=1)]
    return pictures.has


def _near_copies(pictures: Pictures, random: np.random.Generator) -> tuple[Pictures, list[str]]:
    """Each picture three times, lighter or darker by a little and with a little noise, and the names of its group."""
    rows = np.repeat(np.arange(len(pictures)), 3)
    copies = pictures[rows]
    change = random.normal(0, 0.03, (len(rows), 1, 1, 1)) + random.normal(0, 0.03, copies.images.shape)
    images = np.clip(copies.images + change, 0, 1).astype(np.float32)
    return replace(copies, images=images), [f"picture {row}" for row in rows]
