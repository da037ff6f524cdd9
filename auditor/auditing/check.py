"""The page of `auditor validate --show`: images as the model gets them, what it says of them, and each artefact."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from markupsafe import Markup
from PIL import Image, ImageDraw

from auditor.artefacts.appearance import box_of
from auditor.artefacts.kinds import Artefact
from auditor.auditing.opening import Subject
from auditor.errors import DataError, NotFiniteError
from auditor.measure.arrays import Bools, Floats, Ints
from auditor.measure.seeds import keyed_generator
from auditor.report.pictures import ORANGE, Pixels, picture_uri, shrink
from auditor.report.presentable import LONGEST_TEXT, show_short
from auditor.report.templates import open_templates, policy_hash, read_template
from auditor.report.visible import make_visible
from auditor.subject.data.pictures import to_pixels
from auditor.subject.model.classifier import log_odds, predicted_classes, to_probability
from auditor.subject.population import is_correct
from auditor.subject.scoring import score_batches


@dataclass(frozen=True)
class Figure:
    """An image on the page, and what the model says of it."""

    picture: str
    name: str
    label: str | None
    predicted: str
    """The classes, with their probabilities."""
    is_right: bool | None
    """Whether they are those of the label; None where it has none."""
    is_turned: bool = False
    """Whether they were others before an artefact was put in."""
    carries: bool = False
    """Whether it carries the artefact as it is."""


@dataclass(frozen=True)
class Trial:
    """An artefact on the page."""

    artefact: Artefact
    name: str
    target: str | None
    groups: list[tuple[str, list[Figure]]]
    """The same images with the artefact put in, by class; empty where only its place is known."""
    carriers: list[Figure]
    count: int
    """Of all images that carry it."""
    fault: str = ""
    """Why its place cannot be shown, where it cannot."""

    @property
    def is_framed(self) -> bool:
        """Whether it has a place that a frame can be drawn around."""
        fixed = self.artefact.appearance.fixed_region
        return fixed is None or 0 < fixed.mean() <= _NEARLY_ALL


@dataclass(frozen=True)
class _Images:
    """Some images of the data set, by row, as the model gets them."""

    rows: Ints
    images: Floats
    scores: Floats

    def of(self, rows: Iterable[int], most: int) -> _Images:
        """The first of some of them; those that could not be read or scored are left out."""
        at = {int(row): number for number, row in enumerate(self.rows)}
        kept = [at[row] for row in rows if row in at][:most]
        return _Images(self.rows[kept], self.images[kept], self.scores[kept])


def render_check(subject: Subject, title: str, file: str) -> str:
    """One page that needs nothing beside it, of model, data and artefacts as an audit would take them.

    Parameters
    ----------
    title, file
        Of the configuration.

    Raises
    ------
    AuditError
        The images cannot be read, or the model cannot be run on them.
    """
    classes, artefacts = subject.classifier.classes, subject.artefacts
    by_class = _choose_rows(subject)
    carriers = [_some(np.flatnonzero(each.carriers), 2 * _CARRIERS, each.name) for each in artefacts]
    images = _look(subject, sorted({row for rows in [*by_class.values(), *carriers] for row in rows}))
    counts = _count_classes(subject)
    shown = {at: images.of(rows, _OF_CLASS) for at, rows in by_class.items()}
    figures = [(show_short(classes[at]), counts.get(at), _figures(subject, part)) for at, part in shown.items()]
    labelled = [figure for *_, part in figures for figure in part if figure.is_right is not None]
    most = max(1, min(_OF_CLASS, 4 * _OF_CLASS // max(len(artefacts), 1)))
    trials = [
        _try(
            subject, artefact, {at: part.of(part.rows, most) for at, part in shown.items()}, images.of(rows, _CARRIERS)
        )
        for artefact, rows in zip(artefacts, carriers, strict=True)
    ]
    style = read_template("style.css") + read_template("check.css")
    view = {
        "title": show_short(title),
        "finds_suspects": subject.finds_suspects,
        "file": show_short(file),
        "model": subject.model,
        "source": show_short(subject.model.source),
        "dataset": subject.dataset,
        "shape": subject.classifier.image_shape,
        "mistakes": [_visible(mistake.text) for mistake in subject.mistakes],
        "notes": [_visible(note.text) for note in subject.notes if note.kind not in ("mistake", "artefacts")],
        "classes": figures,
        "others": len(classes) - len(figures),
        "labelled": len(labelled),
        "right": sum(bool(figure.is_right) for figure in labelled),
        "trials": trials,
        "style": Markup(style),
        "style_hash": policy_hash(style),
    }
    page = open_templates(autoescape=True).get_template("check.html.j2").render(view)
    return page.encode("utf-8", "replace").decode("utf-8")


def _visible(text: str) -> str:
    return make_visible(text[:LONGEST_TEXT])


def _count_classes(subject: Subject) -> dict[int, int]:
    """How many images have each class, the commonest first; empty where the data have no labels."""
    if subject.dataset.truth is None or not subject.dataset.labelled.any():
        return {}
    counts = subject.dataset.truth.sum(axis=0)
    return {int(at): int(counts[at]) for at in np.argsort(-counts, kind="stable") if counts[at]}


def _choose_rows(subject: Subject) -> dict[int, list[int]]:
    """Rows of some images of each of the commonest classes: of the label, or else as predicted."""
    truth, counts = subject.dataset.truth, _count_classes(subject)
    if truth is None or not counts:
        rows = _some(np.arange(len(subject.dataset)), _MOST_SCORED, "unlabelled")
        seen = _look(subject, sorted(rows))
        best = seen.scores.argmax(axis=1)
        commonest = np.argsort(-np.bincount(best, minlength=1), kind="stable")
        found = {int(at): [int(row) for row in seen.rows[best == at]][:_OF_CLASS] for at in commonest[:_CLASSES]}
        return {at: rows for at, rows in found.items() if rows}
    return {at: _some(np.flatnonzero(truth[:, at]), 2 * _OF_CLASS, f"class {at}") for at in list(counts)[:_CLASSES]}


def _some(rows: Ints, most: int, of: str) -> list[int]:
    """Some of them at random, the same each time."""
    return [int(row) for row in keyed_generator(0, "images to look at", of).permutation(rows)[:most]]


def _look(subject: Subject, rows: list[int]) -> _Images:
    """These images, ascending, without those that cannot be read or scored."""
    classifier = subject.classifier
    found = [np.empty(0, int)]
    images = [np.empty((0, *classifier.image_shape), np.float32)]
    scores = [np.empty((0, len(classifier.classes)), np.float32)]
    for batch, given in score_batches(classifier, subject.dataset, 64, rows):
        found.append(batch.positions)
        images.append(batch.images)
        scores.append(given)
    return _Images(np.concatenate(found), np.concatenate(images), np.concatenate(scores))


def _figures(subject: Subject, part: _Images) -> list[Figure]:
    """Images as they are."""
    return [_figure(subject, *each) for each in zip(part.rows, part.images, part.scores, strict=True)]


def _figure(subject: Subject, row: int, image: Floats, scores: Floats, region: Bools | None = None) -> Figure:
    dataset, classifier = subject.dataset, subject.classifier
    predicted = predicted_classes(scores[None], classifier.output)
    label = dataset.label(int(row), classifier.classes)
    right = None
    if label is not None and dataset.truth is not None:
        right = bool(is_correct(predicted, dataset.truth[[row]])[0])
    chances = to_probability(log_odds(scores[None], classifier.output))[0]
    said = [
        f"{classifier.classes[at]} {100 * chances[at]:.0f}\N{NO-BREAK SPACE}%" for at in np.flatnonzero(predicted[0])
    ]
    return Figure(
        picture=picture_uri(_ring(to_pixels(image), region)),
        name=show_short(dataset.ids[int(row)]),
        label=None if label is None else show_short(label),
        predicted=show_short(", ".join(said) or "none"),
        is_right=right,
    )


def _try(subject: Subject, artefact: Artefact, shown: dict[int, _Images], carriers: _Images) -> Trial:
    """An artefact put into images that are shown, and images that carry it."""
    classes = subject.classifier.classes
    fault = ""
    groups: list[tuple[str, list[Figure]]] = []
    found: list[Figure] = []
    try:
        found = [
            _figure(subject, row, image, scores, _region(subject, artefact, row, image))
            for row, image, scores in zip(carriers.rows, carriers.images, carriers.scores, strict=True)
        ]
        if artefact.appearance.can_insert:
            groups = [(show_short(classes[at]), _put_in(subject, artefact, part)) for at, part in shown.items()]
    except (DataError, NotFiniteError) as error:  # of its masks, or of the model where it is put in
        fault = _visible(str(error))
    target = None if artefact.target is None else show_short(classes[artefact.target])
    return Trial(artefact, show_short(artefact.name), target, groups, found, int(artefact.carriers.sum()), fault)


def _put_in(subject: Subject, artefact: Artefact, part: _Images) -> list[Figure]:
    if not len(part.rows):
        return []
    carries, output = artefact.carriers[part.rows], subject.classifier.output
    inserted = artefact.insert(part.images, subject.dataset.named(part.rows))
    images = np.where(carries[:, None, None, None], part.images, inserted)
    scores = subject.classifier.scores(images)
    before, after = predicted_classes(part.scores, output), predicted_classes(scores, output)
    found = []
    for at, row in enumerate(part.rows):
        figure = _figure(subject, row, images[at], scores[at], _region(subject, artefact, row, images[at]))
        is_turned = bool((before[at] != after[at]).any())
        found.append(replace(figure, is_turned=is_turned, carries=bool(carries[at])))
    return found


def _region(subject: Subject, artefact: Artefact, row: int, image: Floats) -> Bools | None:
    """Where an artefact is in an image, unless that is nowhere or nearly everywhere."""
    region = artefact.region_at(row, subject.dataset.ids[int(row)], image)
    return None if region is None or not region.any() or region.mean() > _NEARLY_ALL else region


def _ring(image: Pixels, region: Bools | None) -> Pixels:
    """A picture (h, w, c) of a size to look at, with a frame around a region of it."""
    height, width = image.shape[:2]
    image = shrink(image, _LONGEST)
    factor = max(1, -(-_SHORTEST // max(image.shape[:2])))
    image = np.repeat(np.repeat(image, factor, axis=0), factor, axis=1)
    if region is None:
        return image
    picture = Image.fromarray(image if image.shape[2] == 3 else np.repeat(image, 3, axis=2))
    drawing = ImageDraw.Draw(picture)
    left, top, right, bottom = (
        round(end * size / full)
        for end, size, full in zip(box_of(region), picture.size * 2, (width, height) * 2, strict=True)
    )
    for margin, colour in ((4, "white"), (3, ORANGE), (2, ORANGE), (1, "white")):
        corners = max(left - margin, 0), max(top - margin, 0)
        ends = min(right + margin, picture.width) - 1, min(bottom + margin, picture.height) - 1
        drawing.rectangle([*corners, *ends], outline=colour)
    return np.asarray(picture)


_CLASSES, _OF_CLASS, _CARRIERS = 12, 3, 6
"""So many classes, images of each, and carriers of an artefact are shown."""

_MOST_SCORED = 256
"""Images without labels that are scored to find some of each class."""

_SHORTEST, _LONGEST = 168, 320
"""Sides of a picture, in pixels."""

_NEARLY_ALL = 0.9
"""Share of the frame beyond which a frame around it tells nothing."""
