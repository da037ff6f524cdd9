"""Interventions on a linear classifier have effects that can be written down."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

from auditor.artefacts.kinds import Artefact
from auditor.artefacts.overlay import Overlay
from auditor.errors import ModelError
from auditor.verdict.findings import judge
from auditor.verdict.observations import Observations
from auditor.verdict.record import Rule
from auditor.verdict.trial import survey
from tests.closed_form import linear, memory_dataset, random_images

SHAPE = (10, 10, 3)


@pytest.fixture
def overlay() -> Overlay:
    alpha = np.zeros(SHAPE[:2], np.float32)
    alpha[1:4, 1:5] = np.random.default_rng(0).uniform(0.3, 0.7, (3, 4))
    ink = np.random.default_rng(1).random(SHAPE).astype(np.float32)
    return Overlay(alpha, ink)


def observe(classifier, images, overlay, carriers, labels=None, batch_size=7, groups=None, target=None, artefact=None):
    dataset = memory_dataset(classifier, images, labels, groups)
    artefact = artefact or Artefact("mark", "overlay", overlay, target, "column", carriers)
    seen = survey(
        classifier,
        dataset,
        [artefact],
        fills=("mean", "blur"),
        rule=Rule(),
        seed=0,
        batch_size=batch_size,
        progress=lambda *_: None,
    )
    (observed,) = seen.observed
    assert isinstance(observed, Observations)
    return seen, observed


def test_the_shift_by_insertion_is_exact(overlay):
    classifier, images = linear(shape=SHAPE), random_images(20, SHAPE)
    _, observed = observe(classifier, images, overlay, np.zeros(20, bool))
    alpha = overlay.alpha[..., None]
    expected = np.einsum("nhwc,khwc->nk", alpha * (overlay.ink - images), classifier.weights)
    np.testing.assert_allclose(observed.insertion.shift, expected, atol=1e-4)


def test_the_insertion_lift_is_the_mean_shift_of_images_without_the_class(overlay):
    classifier, images = linear(shape=SHAPE), random_images(40, SHAPE)
    labels = np.arange(40) % 4
    _, observed = observe(classifier, images, overlay, np.zeros(40, bool), labels)
    finding = judge(observed, 1, Rule())
    expected = observed.insertion.shift[labels != 1, 1].mean()
    assert finding.measurements["insertion_lift"].value == pytest.approx(expected, abs=1e-5)
    assert finding.measurements["insertion_lift"].n == 30
    assert finding.measurements["suppression"].n == 10


def test_what_decides_nothing_is_tried_on_few_images_and_on_the_same_in_batches_of_any_size(overlay):
    classifier, images, labels = linear(shape=SHAPE), random_images(80, SHAPE), np.arange(80) % 4
    carriers = np.arange(80) < 4
    tried = []
    for size in (7, 80):
        seen, observed = observe(classifier, images, overlay, carriers, labels, batch_size=size, target=1)
        shifts = observed.varied.variants | observed.varied.doses
        tried.append(observed.varied.images.positions)
        assert all(np.isfinite(values).all() for values in shifts.values())
        assert seen.passes["variants and doses"] == 48 * len(shifts)
    assert len(tried[0]) == 48
    np.testing.assert_array_equal(*tried)
    assert not np.isin(labels[tried[0]], 1).any()
    assert not carriers[tried[0]].any()


def test_how_strong_the_artefact_and_each_control_are_is_measured(overlay):
    classifier, images = linear(shape=SHAPE), random_images(60, SHAPE)
    _, observed = observe(classifier, images, overlay, np.zeros(60, bool), np.arange(60) % 4, target=1)
    finding = judge(observed, 1, Rule())
    assert set(finding.control_strengths) == set(finding.controls)
    rows = np.flatnonzero(observed.insertion.images.has[:, 1] == 0)  # all that it can be tried on: 45
    changed = np.abs(overlay.insert(images) - images).mean(axis=(1, 2, 3))
    assert finding.strength.pixels.n == len(rows)
    assert finding.strength.pixels.value == pytest.approx(changed[rows].mean(), rel=1e-5)
    flat = np.abs(overlay.flattened().insert(images) - images).mean(axis=(1, 2, 3))
    assert finding.control_strengths["flat patch"].pixels.value == pytest.approx(flat[rows].mean(), rel=1e-5)
    for strength in (finding.strength, *finding.control_strengths.values()):
        assert 0 < strength.pixels.value < 1
        assert 0 < strength.visible.value < 2
    weak = judge(observe(classifier, images, overlay.with_opacity(0.1), np.zeros(60, bool), target=1)[1], 1, Rule())
    assert weak.strength.pixels.value < finding.strength.pixels.value
    assert weak.strength.visible.value < finding.strength.visible.value


def test_the_fall_by_exact_removal_is_exact(overlay):
    classifier, clean = linear(shape=SHAPE), random_images(15, SHAPE)
    carried = overlay.insert(clean)
    _, observed = observe(classifier, carried, overlay, np.ones(15, bool))
    np.testing.assert_array_equal(observed.insertion.images.positions, np.arange(15))
    expected = classifier.scores(carried) - classifier.scores(clean)
    np.testing.assert_allclose(observed.removals.fall["exact"], expected, atol=1e-3)
    np.testing.assert_allclose(observed.insertion.shift, expected, atol=1e-3)
    assert set(observed.removals.fall) == {"exact", "mean", "blur"}


def test_a_classifier_blind_to_the_region_is_not_moved_at_all(overlay):
    classifier, images = linear(shape=SHAPE), random_images(20, SHAPE)
    blind = classifier.weights * (overlay.alpha == 0)[None, ..., None]
    classifier = type(classifier)(blind, classifier.bias)
    _, observed = observe(classifier, images, overlay, np.arange(20) < 5)
    np.testing.assert_allclose(observed.insertion.shift, 0, atol=1e-5)
    np.testing.assert_allclose(observed.removals.fall["exact"], 0, atol=1e-5)


def test_carriers_are_removed_from_and_the_others_inserted_into(overlay):
    classifier, images = linear(shape=SHAPE), random_images(20, SHAPE)
    carriers = np.arange(20) % 3 == 0
    _, observed = observe(classifier, images, overlay, carriers)
    np.testing.assert_array_equal(observed.insertion.images.positions, np.flatnonzero(~carriers))
    np.testing.assert_array_equal(observed.removals.images.positions, np.flatnonzero(carriers))


def test_the_batch_size_does_not_matter(overlay):
    classifier, images = linear(shape=SHAPE), random_images(20, SHAPE)
    carriers = np.arange(20) < 8
    first, second = (observe(classifier, images, overlay, carriers, batch_size=size)[1] for size in (3, 20))
    np.testing.assert_allclose(first.insertion.shift, second.insertion.shift, atol=1e-4)
    for name, values in first.insertion.controls.items():
        np.testing.assert_allclose(values, second.insertion.controls[name], atol=1e-4)
    for name, values in first.removals.placebo.items():
        np.testing.assert_allclose(values, second.removals.placebo[name], atol=1e-4)


def test_the_mean_image_is_the_mean_of_all_images(overlay):
    classifier, images = linear(shape=SHAPE), random_images(11, SHAPE)
    seen, _ = observe(classifier, images, overlay, np.zeros(11, bool))
    np.testing.assert_allclose(seen.mean_image, images.mean(axis=0), atol=1e-6)


def test_unlabelled_images_count_as_what_they_are_predicted(overlay):
    classifier, images = linear(shape=SHAPE, output="softmax"), random_images(30, SHAPE)
    _, observed = observe(classifier, images, overlay, np.zeros(30, bool))
    np.testing.assert_array_equal(observed.insertion.images.has, observed.insertion.images.predicted)
    finding = judge(observed, 0, Rule())
    assert finding.measurements["accuracy_drop"].value is None
    assert finding.measurements["accuracy_drop"].reason == "the data have no labels"


def test_the_placebo_of_exact_removal_makes_the_same_edit_elsewhere(overlay):
    classifier, images = linear(shape=SHAPE), np.full((1, *SHAPE), 0.9, np.float32)
    carried = overlay.insert(images)
    _, observed = observe(classifier, carried, overlay, np.ones(1, bool))
    removed_here = overlay.remove(carried)
    assert np.abs(removed_here - images).max() < 1e-5
    assert np.isfinite(observed.removals.placebo["exact"]).all()
    assert not np.allclose(observed.removals.placebo["exact"], observed.removals.fall["exact"])


def test_a_control_that_looks_like_the_artefact_on_these_images_is_left_out():
    grey = Overlay(np.zeros(SHAPE[:2], np.float32), np.zeros(SHAPE, np.float32))
    grey.alpha[2:6, 2:6] = 1
    grey.ink[2:6, 2:6] = 0.5
    images = np.clip(0.5 + 0.01 * np.random.default_rng(0).normal(size=(20, *SHAPE)), 0, 1).astype(np.float32)
    _, observed = observe(linear(shape=SHAPE), images, grey, np.zeros(20, bool))
    assert observed.insertion.controls == {}
    assert any("'veil' looks like the artefact" in note.text for note in observed.notes)
    assert judge(observed, 0, Rule()).verdict == "not_applicable"


def test_a_model_that_draws_at_random_is_refused(overlay):
    class Dropout(type(linear())):
        def scores(self, images):
            return super().scores(images) + np.random.default_rng().normal(size=(len(images), 4)).astype(np.float32)

    plain = linear(shape=SHAPE)
    with pytest.raises(ModelError, match="in another order"):
        observe(Dropout(plain.weights, plain.bias), random_images(20, SHAPE), overlay, np.zeros(20, bool))


def test_only_the_named_targets_columns_are_kept(overlay):
    classifier, images = linear(shape=SHAPE), random_images(20, SHAPE)
    _, every = observe(classifier, images, overlay, np.arange(20) < 5)
    _, one = observe(classifier, images, overlay, np.arange(20) < 5, target=2)
    for name, values in every.varied.variants.items():
        np.testing.assert_allclose(one.varied.variants[name], values[:, [2]], rtol=1e-6)
    first, second = (judge(observed, 2, Rule()).measurements for observed in (one, every))
    for name in ("theta", "removal_drop"):
        assert asdict(first[name]) == pytest.approx(asdict(second[name]))
