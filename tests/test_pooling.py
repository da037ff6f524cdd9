"""A pool of images: whole batches across all that is asked, and everybody's own answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from auditor.artefacts.kinds import Artefact
from auditor.artefacts.overlay import Overlay
from auditor.errors import ModelError, NotFiniteError
from auditor.subject.pooling import Pool
from auditor.verdict.observations import Observations
from auditor.verdict.record import Rule
from auditor.verdict.trial import survey
from tests.closed_form import linear, memory_dataset, random_images

SHAPE = (10, 10, 3)


@dataclass
class Noting:
    """A classifier that notes how many images it is asked of at once."""

    model: Any = field(default_factory=lambda: linear(shape=SHAPE))
    sizes: list[int] = field(default_factory=list)
    poison: float = np.inf
    """Images brighter than this at their last pixel have no finite score."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def scores(self, images: np.ndarray) -> np.ndarray:
        self.sizes.append(len(images))
        bad = images[:, -1, -1].max(axis=1) > self.poison
        if bad.any():
            raise NotFiniteError("not finite", bad)
        return self.model.scores(images)


@pytest.mark.parametrize("size", [1, 3, 8, 100])
def test_answers_are_the_scores_of_ones_own_images_in_whole_batches_but_for_the_last(size: int):
    classifier, images = Noting(), random_images(41, SHAPE)
    pool = Pool(classifier, size)
    ends = [0, 5, 5, 6, 20, 41]
    answers = [pool.ask(images[start:end]) for start, end in pairwise(ends)]
    for answer, (start, end) in reversed(list(zip(answers, pairwise(ends), strict=True))):
        np.testing.assert_allclose(answer.scores, classifier.model.scores(images[start:end]), atol=1e-4)
    assert sum(classifier.sizes) == 41
    assert all(asked == size for asked in classifier.sizes[:-1])


def test_one_who_looks_settles_what_waits_once():
    classifier = Noting()
    pool = Pool(classifier, 8)
    first, second = (pool.ask(random_images(count, SHAPE)) for count in (3, 4))
    assert classifier.sizes == []
    assert len(second.scores) == 4
    assert len(first.scores) == 3
    assert classifier.sizes == [7]


def mark(shift: int = 0) -> Overlay:
    alpha = np.zeros(SHAPE[:2], np.float32)
    alpha[1 : 4 + shift, 1:5] = 0.5
    return Overlay(alpha, np.random.default_rng(shift).random(SHAPE).astype(np.float32))


def look_over(classifier: Any, artefacts: list[Artefact], count: int = 64, batch_size: int = 16) -> Any:
    dataset = memory_dataset(classifier, random_images(count, SHAPE), np.arange(count) % 4, None)
    return survey(
        classifier,
        dataset,
        artefacts,
        fills=("mean", "blur"),
        rule=Rule(),
        seed=0,
        batch_size=batch_size,
        progress=lambda *_: None,
    )


def test_a_survey_asks_for_little_more_than_whole_batches():
    classifier, carriers = Noting(), np.arange(64) % 8 == 0
    seen = look_over(classifier, [Artefact("mark", "overlay", mark(), 1, "column", carriers)])
    needed = sum(seen.passes.values())
    assert sum(classifier.sizes) == needed
    batches, rounds = -(-needed // 16), 64 // 16
    # images as they came and checks by themselves; a rest in each round, and one of the search for neighbours
    assert len(classifier.sizes) <= batches + rounds + 4


def test_the_dose_of_its_own_opacity_is_the_insertion():
    classifier, carriers = Noting(), np.zeros(64, bool)
    look = mark()
    seen = look_over(classifier, [Artefact("mark", "overlay", look, 1, "column", carriers)])
    (observed,) = seen.observed
    insertion, varied = observed.insertion, observed.varied
    known = np.isin(insertion.images.positions, varied.images.positions)
    assert known.sum() == 48
    np.testing.assert_allclose(varied.doses[look.opacity][:, 0], insertion.shift[known, 1], atol=1e-6)
    tried = len(varied.doses) - 1 + len(varied.variants)
    assert seen.passes["variants and doses"] == 48 * tried


def test_an_artefact_that_fails_takes_no_answer_from_another():
    bright = np.zeros(SHAPE[:2], np.float32)
    bright[8:, 8:] = 1
    spoilt = Overlay(bright, np.full(SHAPE, 5, np.float32))
    none = np.zeros(64, bool)
    pair = [Artefact("bad", "overlay", spoilt, 1, "none", none), Artefact("mark", "overlay", mark(), 1, "none", none)]
    classifier = Noting(poison=2.0)
    failed, observed = look_over(classifier, pair).observed
    assert isinstance(failed, ModelError)
    (alone,) = look_over(Noting(), pair[1:]).observed
    assert isinstance(observed, Observations)
    np.testing.assert_allclose(observed.insertion.shift, alone.insertion.shift, atol=1e-5)
