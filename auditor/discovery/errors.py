"""What confident errors share: what in images that are called a class, and are not of it, makes them so.

In each such image a place is replaced by that of an image which is rightly told, of the same class where there is one.
Where that mends the errors, there lies what they share; and what they share to the pixel, and the others lack, is
looked for besides.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from auditor.discovery.candidate import CannotLookError, Proposal
from auditor.discovery.looks import cut_out, see_through
from auditor.discovery.material import Material
from auditor.discovery.places import around_of, joined, lay_grid, peaks
from auditor.discovery.stamps import without_strays
from auditor.measure.arrays import Bools, Doubles, Ints
from auditor.subject.model.classifier import predicted_classes, to_probability
from auditor.subject.population import is_correct


def propose_errors(material: Material, passes: int) -> Iterator[Proposal]:
    """The places that mend the confident errors of a class, and what these errors share.

    Parameters
    ----------
    passes
        About how many images the model may score for it.

    Raises
    ------
    CannotLookError
        The images have no labels, or no class has confident errors enough.
    """
    if not material.seen.labelled.any():
        raise CannotLookError("the images have no labels")
    wrong = find_errors(material)
    if not wrong:
        raise CannotLookError(
            f"no class has {FEWEST} independent groups of images that are confidently and wrongly taken for it"
        )
    places = lay_grid(material.images.shape[1:3])
    count = int(np.clip(passes // (len(places) * len(wrong)), FEWEST, LOOKED_AT))
    for number, rows in wrong.items():
        donors = _donors(material, number, rows[:count])
        if donors is not None:
            yield from _of_class(material, number, rows[:count], donors, places)


def find_errors(material: Material) -> dict[int, Ints]:
    """Class -> rows (m,) of images that are said to have it, and lack it, the surest first; most errors first.

    Of the classes that are looked at: what no image shows has no images to be shown by.
    """
    seen, found = material.seen, dict[int, Ints]()
    sure = to_probability(seen.scores)
    for number in material.classes:
        rows = np.flatnonzero(seen.predicted[:, number] & ~seen.has[:, number] & (sure[:, number] >= CONFIDENT))
        if len(np.unique(seen.groups[rows])) >= FEWEST:
            found[number] = rows[np.argsort(-seen.scores[rows, number], kind="stable")]
    return dict(sorted(found.items(), key=lambda each: -len(each[1]))[:MOST_CLASSES])


def mend(material: Material, rows: Ints, donors: Ints, place: Bools) -> Doubles:
    """Log-odds (n, classes) of images at some rows, with a place (h, w) of each replaced by that of its donor."""
    edited = material.images[rows]
    edited[:, place] = material.images[donors][:, place]
    return material.scores(edited)


def _of_class(material: Material, number: int, rows: Ints, donors: Ints, places: list[Bools]) -> Iterator[Proposal]:
    before = material.seen.scores[rows, number]
    drops = np.stack([before - mend(material, rows, donors, place)[:, number] for place in places])
    means = drops.mean(axis=1) / material.spread[number]
    right = np.flatnonzero(~material.seen.has[:, number] & ~material.seen.predicted[:, number])
    wrong, free = material.images[rows], material.images[right]
    shared = see_through(wrong, free) if len(rows) >= FEWEST_ALIKE else None
    for at in peaks(means, places):
        if means[at] < LEAST_DROP:
            continue
        region = joined(at, means, places)
        strong = rows[np.argsort(-drops[at], kind="stable")[: max(3, len(rows) // 2)]]
        looks = [cut_out(material.images[strong], region)]
        seen = see_through(wrong, free, around_of(region, places)) if len(rows) >= FEWEST_ALIKE else None
        looks += [] if seen is None else [seen]
        told = _tell(material, number, len(rows), _count_mended(material, number, rows, donors, region))
        yield Proposal("errors", number, tuple(looks), float(means[at]), tuple(strong.tolist()), beside=told)
    if shared is not None:
        look = without_strays(shared)
        mended = _count_mended(material, number, rows, donors, look.fixed_region)
        told = _tell(material, number, len(rows), mended)
        yield Proposal("errors", number, (look,), mended / len(rows), tuple(rows.tolist()), beside=told)


def _count_mended(material: Material, number: int, rows: Ints, donors: Ints, place: Bools) -> int:
    """How many images at some rows are no longer called a class with a place (h, w) of each replaced."""
    after = predicted_classes(mend(material, rows, donors, place).astype(np.float32), material.classifier.output)
    return int((~after[:, number]).sum())


def _tell(material: Material, number: int, errors: int, mended: int) -> str:
    target = material.classifier.classes[number]
    return (
        f"Of {errors} images that are wrongly and confidently called {target}, {mended} are so no longer when the "
        "place is replaced by that of images which are rightly told."
    )


def _donors(material: Material, number: int, rows: Ints) -> Ints | None:
    """For each image at some rows one (n,) that lacks a class and is rightly told wholly; None where no image is.

    Of its own class where there is one.
    """
    seen, random = material.seen, material.generator(f"donors for errors of {number}")
    right = np.flatnonzero(seen.labelled & is_correct(seen.predicted, seen.has) & ~seen.has[:, number])
    if not len(right):
        return None
    chosen = []
    for row in rows:
        alike = right[(seen.has[right] == seen.has[row]).all(axis=1)]
        chosen.append(random.choice(alike if len(alike) else right))
    return np.array(chosen, np.int64)


CONFIDENT, FEWEST, FEWEST_ALIKE = 0.7, 4, 6
"""Probability from which on an error is confident; independent groups of images that err alike; and images that tell
what they share to the pixel."""

LOOKED_AT, MOST_CLASSES = 24, 10
"""Errors of a class that are mended; and classes."""

LEAST_DROP = 0.2
"""Of the score, in its standard deviations, that replacing a place must take."""
