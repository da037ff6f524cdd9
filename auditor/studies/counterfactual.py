"""The study of least changes: what has to change for the model to change its answer, and where that is."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field

from auditor.artefacts import Artefact, Overlay, find_carriers
from auditor.classifier import Floats, Ints, predicted_classes
from auditor.errors import OptionError
from auditor.explain import adversarial
from auditor.explain.adversarial import energy, find_traits, high_frequency_share
from auditor.explain.counterfactual import Aim, Cost, Counterfactuals, Norm, away_from, find_counterfactuals, towards
from auditor.explain.regions import LARGEST_SHARE
from auditor.explanations import AdversarialRule, ChangedImage, ChangeSet, CounterfactualRecord
from auditor.intervals import mean_interval, median_interval, missing, share_interval
from auditor.interventions import insert
from auditor.options import suggest
from auditor.pictures import to_pixels
from auditor.records import Measurement
from auditor.studies.inquiry import Inquiry, NotApplicableError

Bools = npt.NDArray[np.bool_]
Doubles = npt.NDArray[np.float64]
Count = Annotated[int, Field(ge=0, le=1024)]
Price = Annotated[float, Field(ge=0, le=100)]

NAME = "counterfactual"

_AFFORDABLE = 600_000
"""Numbers of all images of one aim together, where the number of images is left open."""
_FEWEST, _USUAL = 4, 16
_CANDIDATES = 256
"""Images that an artefact is inserted into, in search of some that then are predicted as its target."""
_TOUCHED = 1 / 510
"""Half a step of 8-bit colour: a pixel that moves less is unchanged."""
_PAIRS = 200
"""Pairs of real images whose differences are compared with changes."""


def study_counterfactuals(
    inquiry: Inquiry,
    *,
    errors: Count | None = None,
    images: Count | None = None,
    pairs: tuple[tuple[str, str], ...] = (),
    norm: Norm = "elastic net",
    l1: Price = 0.05,
    l2: Price = 1.0,
    variation: Price = 0.0,
    confidence: Annotated[float, Field(gt=0, le=100)] = 0.1,
    steps: Annotated[int, Field(ge=5, le=10_000)] | None = None,
    shown: Count = 3,
) -> CounterfactualRecord:
    """The least change of an image that makes the model say something else, by elastic-net optimisation in the box.

    References: Beck and Teboulle, "A fast iterative shrinkage-thresholding algorithm" (2009); Chen et al., "EAD:
    elastic-net attacks to deep neural networks" (2018); Wachter, Mittelstadt, Russell, "Counterfactual explanations
    without opening the black box" (2018).
    """
    if not l1 and not l2:
        raise OptionError("l1", f"methods.{NAME}: got l1 = 0 and l2 = 0, so every change would be free")
    held = int(np.prod(inquiry.classifier.image_shape))
    affordable = int(np.clip(_AFFORDABLE // held, _FEWEST, _USUAL))
    desk = _Desk(inquiry, affordable if images is None else images, affordable if errors is None else errors)
    desk.ask_about_errors()
    desk.ask_about_pairs(pairs)
    for number, artefact in enumerate(inquiry.artefacts):
        desk.ask_about_artefact(artefact, inquiry.target(number))
    if affordable < _USUAL and (images is None or errors is None):
        desk.notes.append(
            f"an image has {held} numbers here, so {affordable} images were changed for each aim; "
            "images = 16 and errors = 16 ask for more"
        )
    if not desk.questions:
        raise NotApplicableError("; ".join(desk.notes) or "there is no image whose answer could be changed")
    cost = Cost(norm, l1, l2, variation)
    quick = 60 if held * _USUAL <= _AFFORDABLE else 30
    return _answer(desk, cost, confidence, steps or quick, shown)


@dataclass(frozen=True)
class _Question:
    """Images, and what they shall be made to say."""

    reason: str
    artefact: str | None
    wanted: str
    control: bool
    confined: str | None
    positions: Ints
    images: Floats
    aim: Aim
    within: Bools | None = None


class _Desk:
    """Chooses images and aims; keeps what could not be asked as notes."""

    def __init__(self, inquiry: Inquiry, images: int, errors: int) -> None:
        self.inquiry = inquiry
        self.wanted, self.errors = images, errors
        self.questions: list[_Question] = []
        self.notes: list[str] = []
        ids = [inquiry.dataset.ids[at] for at in inquiry.images.positions]
        keys = [hashlib.sha256(f"{inquiry.seed}/{NAME}/{name}".encode()).digest() for name in ids]
        self.order = np.array(sorted(range(len(ids)), key=keys.__getitem__), np.int64)
        """Rows of the population, in a seeded order that knows nothing of the order of the images."""
        self.frame = inquiry.classifier.image_shape

    def ask_about_errors(self) -> None:
        """Images that the model gets wrong, towards what they are."""
        population = self.inquiry.images
        if not population.labelled.any():
            self.notes.append("the data have no labels, so no image counts as misclassified")
            return
        is_wrong = population.labelled & (population.predicted != population.has).any(axis=1)
        rows = self._chosen(is_wrong, self.errors)
        if not len(rows):
            self.notes.append("the model gets no labelled image wrong, so there is no error to correct")
            return
        aims = [_correction(population.has[row], population.predicted[row]) for row in rows]
        classes, away = np.array([aim[0] for aim in aims]), np.array([aim[1] for aim in aims])
        aim = replace(towards(classes), away=away)
        self._ask("errors", None, "the true class", rows, self._images(rows), aim)

    def ask_about_pairs(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Images predicted as the first class of a pair, towards the second."""
        names = list(self.inquiry.classifier.classes)
        for pair in pairs:
            for name in pair:
                if name not in names:
                    message = f"got {name!r}, which is no class of the model{suggest(name, names)}"
                    raise OptionError("pairs", f"methods.{NAME}: {message}")
            first, second = (names.index(name) for name in pair)
            population = self.inquiry.images
            rows = self._chosen(population.predicted[:, first] & ~population.predicted[:, second], self.wanted)
            if len(rows):
                aim = towards(np.full(len(rows), second))
                self._ask("pair", None, f"{pair[0]} into {pair[1]}", rows, self._images(rows), aim)
            else:
                self.notes.append(f"no image is predicted as {pair[0]} and not as {pair[1]}")

    def ask_about_artefact(self, artefact: Artefact, target: int | None) -> None:
        """Images with the artefact away from its target, and images without it towards that."""
        if target is None:
            self.notes.append(f"{artefact.name}: it was tested for no class, so there is no direction to take")
            return
        name = self.inquiry.classifier.classes[target]
        population = self.inquiry.images
        carries = find_carriers(artefact, self.inquiry.dataset, self.inquiry.classifier.classes)[population.positions]
        rows, images = self._with_artefact(artefact, target, carries)
        if len(rows):
            aim = away_from(np.full(len(rows), target))
            self._ask("away", artefact, f"anything but {name}", rows, images, aim, target)
        else:
            self.notes.append(f"{artefact.name}: no image with it is predicted as {name}, so none can be led away from it")
        free = ~carries & ~population.has[:, target] & ~population.predicted[:, target]
        rows = self._chosen(free, self.wanted)
        if len(rows):
            aim = towards(np.full(len(rows), target))
            self._ask("towards", artefact, name, rows, self._images(rows), aim, target)
        else:
            self.notes.append(f"{artefact.name}: no image without it is something else than {name}")

    def _ask(
        self,
        reason: str,
        artefact: Artefact | None,
        wanted: str,
        rows: Ints,
        images: Floats,
        aim: Aim,
        target: int | None = None,
    ) -> None:
        """The question itself, the same towards a random class, and with an artefact confined to its region."""
        positions = self.inquiry.images.positions[rows]
        name = None if artefact is None else artefact.name
        question = _Question(reason, name, wanted, False, None, positions, images, aim)
        self.questions.append(question)
        others = self._random_classes(rows, aim, target)
        possible = np.flatnonzero(others >= 0)
        if len(possible):
            at_random = towards(others[possible])
            self.questions.append(
                replace(
                    question,
                    wanted="a random class",
                    control=True,
                    positions=positions[possible],
                    images=images[possible],
                    aim=at_random,
                )
            )
        elif self.inquiry.classifier.output == "binary":
            if (note := "with two classes there is no random third one to compare with") not in self.notes:
                self.notes.append(note)
        if artefact is None:
            return
        regions = [artefact.region(self.inquiry.dataset.ids[at], self.frame) for at in positions]
        known = np.array([at for at, mask in enumerate(regions) if mask is not None and mask.any()], np.int64)
        masks = np.array([regions[at] for at in known], bool).reshape(len(known), *self.frame[:2])
        if len(known) and masks.mean() > LARGEST_SHARE:
            note = (
                f"{artefact.name}: it covers {masks.mean():.0%} of the frame, so it has no region that a change could "
                "lie in or be confined to"
            )
            if note not in self.notes:
                self.notes.append(note)
            return
        if len(known):
            part = replace(question, positions=positions[known], images=images[known], aim=aim.about(known))
            self.questions.append(replace(part, confined="region", within=masks))
            self.questions.append(replace(part, confined="elsewhere", within=~masks))

    def _with_artefact(self, artefact: Artefact, target: int, carries: Bools) -> tuple[Ints, Floats]:
        """Rows of images that are predicted as the target with the artefact: carriers, then some it is inserted into."""
        population, classifier = self.inquiry.images, self.inquiry.classifier
        rows = self._chosen(carries & population.predicted[:, target], self.wanted)
        images = self._images(rows)
        if len(rows) == self.wanted or not isinstance(artefact.appearance, Overlay):
            return rows, images
        candidates = self._chosen(~carries & ~population.has[:, target], _CANDIDATES)
        inserted = insert(self._images(candidates), artefact.appearance)
        becomes = predicted_classes(classifier.scores(inserted), classifier.output)[:, target]
        taken = np.flatnonzero(becomes)[: self.wanted - len(rows)]
        return np.concatenate([rows, candidates[taken]]), np.concatenate([images, inserted[taken]])

    def _chosen(self, which: Bools, count: int) -> Ints:
        """Rows of the population, at most `count`, in the seeded order."""
        return self.order[which[self.order]][:count]

    def _images(self, rows: Ints) -> Floats:
        """Images in the order of the rows."""
        positions = self.inquiry.images.positions[rows]
        order = np.argsort(positions)
        images = np.empty((len(rows), *self.frame), np.float32)
        images[order] = self.inquiry.dataset.images(positions.tolist())
        return images

    def _random_classes(self, rows: Ints, aim: Aim, target: int | None) -> Ints:
        """For each row a class, drawn by seed and image, that it neither has nor is predicted nor aims at; -1: none."""
        population, dataset = self.inquiry.images, self.inquiry.dataset
        drawn = np.full(len(rows), -1)
        for at, row in enumerate(rows):
            taken = population.predicted[row] | population.has[row]
            taken[aim.classes[at]] = True
            if target is not None:
                taken[target] = True
            free = np.flatnonzero(~taken)
            if len(free):
                name = dataset.ids[population.positions[row]]
                digest = hashlib.sha256(f"{self.inquiry.seed}/{NAME} control/{name}".encode()).digest()
                drawn[at] = free[int.from_bytes(digest[:8], "little") % len(free)]
        return drawn


@dataclass(frozen=True)
class _Answer:
    """What was found for a question, image by image."""

    found: Counterfactuals
    values: dict[str, Doubles]
    """Measurement -> (n,); NaN where no change was found."""
    shares: dict[str, Doubles]
    """Artefact -> (n,): share of the energy in its region."""


def _answer(desk: _Desk, cost: Cost, confidence: float, steps: int, shown: int) -> CounterfactualRecord:
    inquiry = desk.inquiry
    images = np.concatenate([question.images for question in desk.questions])
    everywhere = np.ones(images.shape[1:3], bool)
    within = [np.broadcast_to(everywhere, (len(q.images), *everywhere.shape)) if q.within is None else q.within
              for q in desk.questions]  # fmt: skip
    aims = [question.aim for question in desk.questions]
    aim = Aim(*(np.concatenate([getattr(one, name) for one in aims]) for name in ("classes", "away", "foils")))
    classifier = inquiry.classifier.sized(32 if images[0].size <= 20_000 else 8)
    found = find_counterfactuals(
        classifier, images, aim, cost=cost, confidence=confidence, steps=steps, within=np.concatenate(within)
    )
    traits = find_traits(classifier, images, found.images, aim)
    says = predicted_classes(classifier.scores(found.images), classifier.output)
    said = predicted_classes(classifier.scores(images), classifier.output)
    changes = found.images - images
    values = {
        "adversarial": traits.is_adversarial.astype(np.float64),
        "changed pixels": (np.abs(changes).max(axis=-1) > _TOUCHED).mean(axis=(1, 2)),
        "L1": np.abs(changes).reshape(len(changes), -1).sum(axis=1, dtype=np.float64),
        "L2": np.sqrt(energy(changes).sum(axis=(1, 2))),
        "L-infinity": traits.largest,
        "RMS": traits.rms,
        "high frequencies": high_frequency_share(changes),
        "survival": traits.survival,
        "spread": traits.spread,
    }
    values = {name: np.where(found.found, column, np.nan) for name, column in values.items()}
    energies = np.where(found.found[:, None, None], energy(changes), np.nan)
    artefacts = {artefact.name: artefact for artefact in inquiry.artefacts}
    positions = np.concatenate([question.positions for question in desk.questions])
    ids = [inquiry.dataset.ids[at] for at in positions]
    shares, areas = _region_shares(energies, ids, artefacts, desk.frame)
    ends = np.cumsum([len(question.images) for question in desk.questions])
    answers = []
    for question, end in zip(desk.questions, ends, strict=True):
        rows = slice(end - len(question.images), end)
        part = Counterfactuals(found.images[rows], found.found[rows], found.margins[rows], 0)
        mine = {name: column[rows] for name, column in values.items()}
        answers.append(_Answer(part, mine, {name: column[rows] for name, column in shares.items()}))
    sets = []
    for number, (question, answer) in enumerate(zip(desk.questions, answers, strict=True)):
        control = next((at for at in (number + 1,) if at < len(answers) and desk.questions[at].control), None)
        compared = None if question.control or question.confined or control is None else (
            desk.questions[control].positions, answers[control].shares)  # fmt: skip
        end = int(ends[number])
        rows = slice(end - len(question.images), end)
        pictures = list(_show(inquiry, number, question, answer, said[rows], says[rows], shown))
        sets.append(_summarise(inquiry, question, answer, compared, pictures))
        _note_rows(inquiry, question, answer)
    return CounterfactualRecord(
        sets=sets,
        areas=areas,
        rule=AdversarialRule(
            adversarial.VISIBLE,
            adversarial.VISIBLE_RMS,
            adversarial.SURVIVES,
            adversarial.IN_PLACE,
            adversarial.blur_of(desk.frame[:2]),
        ),
        real_high_frequency=_real_differences(desk),
        passes=found.passes,
        notes=desk.notes,
    )


def _summarise(
    inquiry: Inquiry,
    question: _Question,
    answer: _Answer,
    control: tuple[Ints, Mapping[str, Doubles]] | None,
    shown: list[ChangedImage],
) -> ChangeSet:
    groups, level = inquiry.dataset.groups[question.positions], inquiry.level
    found = answer.found.found
    measured = {"success": share_interval(found, groups, level)}
    calls = answer.values["adversarial"][found] > 0
    measured["adversarial"] = (
        share_interval(calls, groups[found], level)
        if found.any()
        else missing("no change was found", unit="share", score=None)
    )
    for name, unit in _UNITS.items():
        measured[name] = median_interval(answer.values[name], groups, level, unit=unit)
    if not found.all():
        best = answer.found.margins[~found]
        measured["best margin"] = replace(
            median_interval(best, groups[~found], level, unit="log-odds"), score="margin of scores"
        )
    regions = {name: _share(values, groups, level) for name, values in answer.shares.items()}
    leads = {}
    if control is not None:
        place = {position: at for at, position in enumerate(control[0].tolist())}
        both = [(at, place[position]) for at, position in enumerate(question.positions.tolist()) if position in place]
        mine, theirs = ([pair[side] for pair in both] for side in (0, 1))
        for name, values in answer.shares.items():
            lead = values[mine] - control[1][name][theirs]
            leads[name] = mean_interval(lead, groups[mine], level, unit="share", score=None)
    return ChangeSet(
        reason=question.reason,
        artefact=question.artefact,
        wanted=question.wanted,
        control=question.control,
        confined=question.confined,
        images=len(found),
        measurements=measured,
        regions=regions,
        leads=leads,
        shown=shown,
    )


def _region_shares(
    energies: Doubles, ids: Sequence[str], artefacts: Mapping[str, Artefact], frame: tuple[int, int, int]
) -> tuple[dict[str, Doubles], dict[str, float]]:
    """For each artefact with a local region, the share of energy in it (n,), and how much of the frame it covers."""
    shares, areas = {}, {}
    totals = energies.sum(axis=(1, 2))
    for name, artefact in artefacts.items():
        masks = [artefact.region(identity, frame) for identity in ids]
        known = [float(mask.mean()) for mask in masks if mask is not None and mask.any()]
        if not known or np.mean(known) > LARGEST_SHARE:
            continue
        areas[name] = float(np.mean(known))
        inside = np.array(
            [np.nan if mask is None or not mask.any() else heat[mask].sum() for heat, mask in zip(energies, masks, strict=True)]
        )
        shares[name] = np.divide(inside, totals, out=np.full(len(ids), np.nan), where=totals > 0)
    return shares, areas


def _show(
    inquiry: Inquiry,
    number: int,
    question: _Question,
    answer: _Answer,
    said: Bools,
    says: Bools,
    count: int,
) -> Iterator[ChangedImage]:
    """Pictures of the first few images; confined and random ones are not shown."""
    if question.confined or question.control:
        return
    dataset, classes = inquiry.dataset, inquiry.classifier.classes
    for at in range(min(count, len(question.positions))):
        position = int(question.positions[at])
        key = f"{NAME} {number} image {at}"
        changed = answer.found.images[at]
        inquiry.arrays[f"{key} before"] = to_pixels(question.images[at])
        inquiry.arrays[f"{key} after"] = to_pixels(changed)
        inquiry.arrays[f"{key} difference"] = changed - question.images[at]
        is_labelled = dataset.truth is not None and bool(dataset.labelled[position])
        found = bool(answer.found.found[at])
        change = (changed - question.images[at]).astype(np.float64)
        yield ChangedImage(
            image=dataset.ids[position],
            label=_names(dataset.truth[position], classes) if dataset.truth is not None and is_labelled else None,
            before=_names(said[at], classes),
            after=_names(says[at], classes),
            wanted=("not " if question.aim.away[at] else "") + classes[question.aim.classes[at]],
            found=found,
            margin=float(answer.found.margins[at]),
            adversarial=bool(answer.values["adversarial"][at]) if found else None,
            changed_pixels=float((np.abs(change).max(axis=-1) > _TOUCHED).mean()),
            l2=float(np.sqrt(np.square(change).sum())),
            largest=float(np.abs(change).max()),
            picture_before=f"{key} before",
            picture_after=f"{key} after",
            difference=f"{key} difference",
        )


def _note_rows(inquiry: Inquiry, question: _Question, answer: _Answer) -> None:
    condition = f"{question.reason}, {question.confined or 'everywhere'}{', random class' if question.control else ''}"
    columns = {"success": answer.found.found.astype(np.float64), "margin": answer.found.margins} | answer.values
    columns |= {f"share in {name}": values for name, values in answer.shares.items()}
    for at, position in enumerate(question.positions):
        for name, values in columns.items():
            if np.isfinite(values[at]):
                inquiry.rows.add(
                    image=inquiry.dataset.ids[position],
                    group=str(inquiry.dataset.groups[position]),
                    artefact=question.artefact,
                    target=inquiry.classifier.classes[question.aim.classes[at]],
                    measurement=name,
                    condition=condition,
                    method=NAME,
                    value=float(values[at]),
                )


def _real_differences(desk: _Desk) -> Measurement:
    """Share of high frequencies in differences between images that are predicted differently."""
    population = desk.inquiry.images
    rows = desk.order[: 2 * min(_PAIRS, len(desk.order) // 2)]
    first, second = rows[::2], rows[1::2]
    differ = (population.predicted[first] != population.predicted[second]).any(axis=1)
    first, second = first[differ], second[differ]
    shares = high_frequency_share(desk._images(first) - desk._images(second))
    groups = desk.inquiry.dataset.groups[population.positions[first]]
    return median_interval(shares, groups, desk.inquiry.level, unit="share")


def _share(values: Doubles, groups: npt.NDArray[np.generic], level: float) -> Measurement:
    measured = mean_interval(values, groups, level, unit="share", score=None)
    if measured.low is None or measured.high is None:
        return measured
    return replace(measured, low=max(0.0, measured.low), high=min(1.0, measured.high))


def _correction(has: Bools, predicted: Bools) -> tuple[int, bool]:
    """What an error lacks: a class towards which to go, or else one to be left."""
    lacking = np.flatnonzero(has & ~predicted)
    return (int(lacking[0]), False) if len(lacking) else (int(np.flatnonzero(predicted & ~has)[0]), True)


def _names(flags: Bools, classes: tuple[str, ...]) -> str:
    return ", ".join(classes[number] for number in np.flatnonzero(flags)) or "none"


_UNITS = {
    "changed pixels": "share",
    "L1": "sum of changes",
    "L2": "root of squares",
    "L-infinity": "range of pixels",
    "RMS": "range of pixels",
    "high frequencies": "share",
    "survival": "share",
    "spread": "share",
}
