"""Contrasts of predicted and true class: exact where known, the same in pairs as alone, and errors mended by cause."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from auditor.artefacts.kinds import Artefact
from auditor.artefacts.overlay import Overlay
from auditor.explain.attribution.methods import ATTRIBUTIONS, gradient, integrated_gradients, saliency, smoothgrad
from auditor.explain.attribution.question import Method, ask
from auditor.explain.attribution.record import MapName
from auditor.explain.attribution.regions import mass_in
from auditor.explain.counterfactual.record import Correction
from auditor.explain.errors.contrast import EDGES, RANDOM
from auditor.explain.errors.maps import compare_maps, move_elsewhere, strongest_pixels
from auditor.explain.errors.mending import Cases, try_artefact
from auditor.explain.errors.record import ContrastIntervention, ErrorsRecord
from auditor.explain.errors.study import study_errors
from auditor.explain.inquiry import Inquiry, NotApplicableError
from auditor.measure.arrays import take
from auditor.measure.ledger import NewArrays, Rows
from auditor.report.methods import Methods, read_methods
from auditor.report.packing import Album
from auditor.report.sections.errors import view_errors
from auditor.report.sections.one_error import tell_why
from auditor.report.write import render_html
from auditor.run.store import SavedRun
from auditor.subject.model.classifier import log_odds, predicted_classes
from auditor.subject.model.keras import KerasClassifier
from auditor.subject.population import Population
from tests.closed_form import ExponentialClassifier, LinearClassifier, linear, memory_dataset, quadratic, random_images
from tests.keras_models import SHAPE, in_every_shape, small_classifier
from tests.synthetic import make_arrays, make_result

METHODS = sorted(ATTRIBUTIONS)
OPTIONS = {"smoothgrad": {"samples": 16, "tolerance": 1e-6}, "integrated_gradients": {"nodes": 8, "most_nodes": 8}}
TARGETS, FOILS = np.array([0, 1, 2, 0, 1, 2]), np.array([1, 2, 0, 2, 0, 1])


def question(classifier, images, targets, foils=None, **changes):
    ids = changes.pop("ids", [f"image {number}" for number in range(len(images))])
    mean = np.full(images.shape[1:], 0.5, np.float32)
    foils = None if foils is None else np.asarray(foils)
    return ask(classifier, images, np.asarray(targets), ids=ids, mean_image=mean, foils=foils, **changes)


class TestExactContrast:
    def test_the_margin_of_a_linear_model_is_the_difference_of_its_weights(self):
        classifier, images = linear(), random_images(3)
        found = ATTRIBUTIONS["gradient"](question(classifier, images, [2, 0, 1], [1, 3, 0]))[""]
        np.testing.assert_array_equal(found.maps, classifier.weights[[2, 0, 1]])
        np.testing.assert_array_equal(found.contrast.foil, classifier.weights[[1, 3, 0]])
        np.testing.assert_array_equal(
            found.contrast.margin, classifier.weights[[2, 0, 1]] - classifier.weights[[1, 3, 0]]
        )

    def test_integrated_gradients_times_the_difference_to_the_baseline(self):
        classifier, images = linear(), random_images(3)
        asked = question(classifier, images, [2, 0, 1], [1, 3, 0])
        found = integrated_gradients(asked, baselines=("black",), nodes=1)["black"]
        weights = classifier.weights[[2, 0, 1]] - classifier.weights[[1, 3, 0]]
        np.testing.assert_allclose(found.contrast.margin, weights * images, atol=1e-5)

    def test_grad_cam_weighs_features_by_the_difference_of_slopes_before_it_rectifies(self):
        classifier, images = linear(), random_images(3)
        found = ATTRIBUTIONS["grad_cam"](question(classifier, images, [2, 0, 1], [1, 3, 0]))["pixels"]
        weights = (classifier.weights[[2, 0, 1]] - classifier.weights[[1, 3, 0]]).mean(axis=(1, 2))
        expected = np.maximum(np.einsum("nhwc,nc->nhw", images, weights), 0)
        np.testing.assert_allclose(found.contrast.margin[..., 0], expected, atol=1e-5)
        assert not np.allclose(found.contrast.margin, found.maps - found.contrast.foil)

    @pytest.mark.parametrize("baseline", ["mean", "blur", "black"])
    def test_the_margin_sums_to_the_change_of_the_margin(self, baseline):
        classifier = ExponentialClassifier(linear().weights, linear().bias)
        asked = question(classifier, random_images(4), [0, 1, 2, 3], [1, 2, 3, 0])
        found = integrated_gradients(asked, baselines=(baseline,), tolerance=1e-3)[baseline]
        at, scores, reference = np.arange(4), classifier.scores(asked.images), classifier.scores(found.baseline)
        change = (scores - reference)[at, asked.targets] - (scores - reference)[at, asked.foils]
        np.testing.assert_allclose(found.contrast.margin.sum(axis=(1, 2, 3)), change, rtol=1e-2, atol=1e-2)


@pytest.fixture(scope="module")
def classifiers():
    return {name: KerasClassifier(model, image_shape=SHAPE, batch_size=8) for name, model in in_every_shape().items()}


class TestPairedPasses:
    @pytest.mark.parametrize("shape", ["functional", "sequential", "nested", "subclassed"])
    @pytest.mark.parametrize("name", METHODS)
    def test_give_what_two_questions_give(self, classifiers, shape, name):
        classifier, images = classifiers[shape], random_images(6, SHAPE)
        options = OPTIONS.get(name, {})
        paired = ATTRIBUTIONS[name](question(classifier, images, TARGETS, FOILS), **options)
        first, second = (ATTRIBUTIONS[name](question(classifier, images, aim), **options) for aim in (TARGETS, FOILS))
        for variant, found in paired.items():
            scale = float(np.abs(first[variant].maps).max())
            np.testing.assert_allclose(found.maps, first[variant].maps, atol=1e-5 * scale)
            np.testing.assert_allclose(found.contrast.foil, second[variant].maps, atol=1e-5 * scale)

    def test_stop_only_when_target_and_foil_are_within_tolerance(self):
        classifier = ExponentialClassifier(linear().weights, linear().bias)
        images = random_images(4)
        aims = ([0] * 4, [1] * 4), ([0] * 4, None), ([1] * 4, None)
        paired, first, second = (
            smoothgrad(question(classifier, images, aim, foil), samples=64, tolerance=1e-6)[""].diagnostics
            for aim, foil in aims
        )
        key = "relative standard error"
        np.testing.assert_allclose(paired[key], np.maximum(first[key], second[key]), rtol=1e-6)
        stopped = smoothgrad(question(classifier, images, *aims[0]), samples=512, tolerance=0.03)[""].diagnostics
        assert (stopped[key] <= 0.03).all()

    @pytest.mark.parametrize("name", METHODS)
    def test_depend_on_neither_batch_size_nor_order(self, name):
        images, ids = random_images(6, SHAPE), [f"image {number}" for number in range(6)]
        order, options = np.array([4, 0, 5, 2, 1, 3]), OPTIONS.get(name, {})
        straight = ATTRIBUTIONS[name](question(small_classifier(8), images, TARGETS, FOILS, ids=ids), **options)
        mixed = ATTRIBUTIONS[name](
            question(small_classifier(4), images[order], TARGETS[order], FOILS[order], ids=[ids[at] for at in order]),
            **options,
        )
        for variant, found in straight.items():
            np.testing.assert_allclose(mixed[variant].contrast.margin, found.contrast.margin[order], atol=1e-4)

    def test_a_question_about_some_images_keeps_their_foils(self):
        asked = question(quadratic(), random_images(4), [0, 1, 2, 3], [1, 2, 3, 0]).about([2, 0])
        alone = question(quadratic(), random_images(4)[[2, 0]], [2, 0], [3, 1])
        np.testing.assert_array_equal(asked.foils, alone.foils)
        np.testing.assert_allclose(asked.against.gradient, alone.against.gradient, rtol=1e-6)


class TestComparison:
    maps = random_images(2, (12, 12, 3)) - 0.5

    def test_a_map_is_like_itself(self):
        alike = compare_maps(self.maps[0], self.maps[0], 0.05, np.random.default_rng(0))
        np.testing.assert_allclose([alike.spearman, alike.ssim, alike.overlap], 1)

    def test_a_map_and_its_opposite_dwell_on_the_same_places_and_say_the_contrary(self):
        opposite = compare_maps(self.maps[0], -self.maps[0], 0.05, np.random.default_rng(0))
        np.testing.assert_allclose([opposite.spearman, opposite.overlap], 1)
        assert opposite.ssim < -0.5

    def test_the_order_does_not_matter_and_a_common_factor_neither(self):
        first = compare_maps(self.maps[0], self.maps[1], 0.05, np.random.default_rng(0))
        second = compare_maps(7 * self.maps[1], 7 * self.maps[0], 0.05, np.random.default_rng(0))
        np.testing.assert_allclose([first.spearman, first.ssim], [second.spearman, second.ssim], atol=1e-6)
        assert first.overlap == second.overlap

    def test_the_overlap_counts_the_strongest_pixels(self):
        first, second = np.full((10, 10, 1), 0.1, np.float32), np.full((10, 10, 1), 0.1, np.float32)
        first[0, :5], second[0, 2:7] = 1, 1
        assert compare_maps(first, second, 0.05, np.random.default_rng(0)).overlap == 3 / 7

    def test_pixels_that_are_equally_strong_are_not_taken_for_shared_because_of_their_order(self):
        first, second = np.zeros((20, 20, 1), np.float32), np.zeros((20, 20, 1), np.float32)
        first[-1, 0], second[-1, -1] = 1, 1
        assert compare_maps(first, second, 0.05, np.random.default_rng(0)).overlap < 0.3

    def test_a_mask_is_moved_as_it_is_and_far_by_the_same_lot_to_the_same_place(self):
        mask = np.zeros((12, 16), bool)
        mask[1:4, 2:5] = True
        for seed in range(20):
            moved, again = (move_elsewhere(mask, np.random.default_rng(seed)) for _ in range(2))
            np.testing.assert_array_equal(moved, again)
            assert moved.sum() == mask.sum()
            assert not (moved & mask).any()
            assert any(
                np.array_equal(np.roll(mask, (down, right), (0, 1)), moved)
                for down in range(3, 10)
                for right in range(4, 13)
            )

    def test_a_map_that_is_zero_is_like_none(self):
        zero = np.zeros((8, 8, 1), np.float32)
        assert np.isnan(compare_maps(zero, self.maps[0, :8, :8, :1], 0.05, np.random.default_rng(0)).spearman)

    def test_an_even_map_holds_the_share_of_the_frame_in_a_region(self):
        mask = np.zeros((10, 10), bool)
        mask[:2, :5] = True
        values = np.ones((10, 10, 3), np.float32)
        assert mass_in(saliency(values[None])[0], mask) == pytest.approx(0.1)
        values[mask] = -9
        assert mass_in(saliency(values[None])[0], mask) == pytest.approx(0.5)
        assert np.isnan(mass_in(np.zeros((10, 10)), mask))

    def test_as_many_pixels_are_strongest_as_asked_for_even_of_a_flat_map(self):
        masks = [strongest_pixels(np.zeros((9, 9)), 4, np.random.default_rng(seed)) for seed in (0, 0, 1)]
        assert [mask.sum() for mask in masks] == [4, 4, 4]
        np.testing.assert_array_equal(masks[0], masks[1])
        assert (masks[0] != masks[2]).any()


SIDE, COUNT = 12, 36
CORNER = (slice(9, 12), slice(9, 12))
CLASSES = ("class 0", "class 1", "class 2")


def make_classifier(stamp: float = 3.0) -> LinearClassifier:
    """Class 0 shows as light on the left, class 1 on the right; a light corner speaks for class 2."""
    weights = np.zeros((3, SIDE, SIDE, 1), np.float32)
    weights[0, :8, :6] = weights[1, :8, 6:] = 0.5
    weights[(2, *CORNER)] = stamp
    return LinearClassifier(weights, np.array([0, 0, -2], np.float32), output="softmax")


def make_inquiry(*, stamped: int = 12, labels: bool = True, classifier: LinearClassifier | None = None) -> Inquiry:
    """Images of the classes 0 and 1, of which the first few carry a stamp and are therefore taken for class 2."""
    classifier = classifier or make_classifier()
    random = np.random.default_rng(0)
    images = random.uniform(0, 0.05, (COUNT, SIDE, SIDE, 1)).astype(np.float32)
    truth = np.arange(COUNT) % 2
    for number, label in enumerate(truth):
        images[number, :8, 6 * label : 6 * label + 6] += random.uniform(0.4, 0.6)
    alpha = np.zeros((SIDE, SIDE), np.float32)
    alpha[CORNER] = 0.9
    overlay = Overlay(alpha, np.ones((SIDE, SIDE, 1), np.float32))
    images[:stamped] = overlay.insert(images[:stamped])
    dataset = memory_dataset(classifier, images, truth if labels else None)
    scores = classifier.scores(images)
    predicted = predicted_classes(scores, "softmax")
    has = predicted if dataset.truth is None else dataset.truth
    artefact = Artefact("stamp", "overlay", overlay, 2, "carries", np.arange(COUNT) < stamped)
    population = Population(
        np.arange(COUNT), log_odds(scores, "softmax"), predicted, has, dataset.labelled, dataset.groups
    )
    return Inquiry(
        classifier=classifier,
        dataset=dataset,
        images=population,
        artefacts=[artefact],
        targets=[2],
        mean_image=images.mean(axis=0),
        attributions=[
            Method("gradient", gradient),
            Method("integrated_gradients", integrated_gradients, {"baselines": ("black",), "nodes": 2}),
        ],
        rows=Rows(),
        arrays=NewArrays(),
        seed=0,
        level=0.95,
        progress=lambda stage, done, total: None,
    )


@pytest.fixture(scope="module")
def inquiry() -> Inquiry:
    return make_inquiry()


@pytest.fixture(scope="module")
def record(inquiry) -> ErrorsRecord:
    return study_errors(inquiry, share=9 / 144)


class TestStudy:
    def test_errors_made_by_an_artefact_are_mended_by_its_removal_and_by_no_placebo(self, record):
        (trial,) = record.interventions
        assert record.errors == record.measured == 12
        assert trial.removals["exact"].value == 1
        assert trial.placebos["exact"].value == 0
        assert trial.removal_lead.low > 0

    def test_inserting_it_makes_such_errors_and_innocent_edits_make_none(self, record):
        (trial,) = record.interventions
        assert (trial.broken.value, trial.broken.n) == (1, 24)
        assert trial.towards == {"class 2": 24}
        assert trial.broken_by_controls.value < 0.5
        assert trial.broken_lead.low > 0

    def test_the_margin_lies_in_the_region_more_than_an_even_map_would(self, record):
        assert {share.errors for share in record.regions} == {"came", "inserted"}
        for share in record.regions:
            assert share.area == pytest.approx(9 / 144)
            assert share.share.low > share.area

    def test_the_error_that_it_made_is_ranked_before_one_that_it_carries_by_chance(self):
        inquiry = make_inquiry(stamped=12)
        swapped = inquiry.images.has.copy()
        swapped[0] = [False, False, True]  # this one is of class 2: no error at all
        swapped[30] = [False, True, False]  # and this one, without stamp, is labelled wrongly
        images = replace(inquiry.images, has=swapped)
        record = study_errors(replace(inquiry, images=images))
        assert all(suspect.mended and suspect.mended_by_placebo is False for suspect in record.suspects)
        assert [suspect.image for suspect in record.suspects].count("image 030") == 0
        flags = np.arange(COUNT) < 12
        flags[30] = True
        inquiry = replace(inquiry, artefacts=[replace(inquiry.artefacts[0], carriers=flags)])
        ranked = study_errors(replace(inquiry, images=images)).suspects
        assert ranked[-1].image == "image 030"
        assert ranked[-1].score == 0
        assert not ranked[-1].mended
        assert ranked[0].score > 1

    def test_removing_what_speaks_for_the_error_mends_more_than_its_shape_elsewhere(self, record):
        for entry in record.mending[:2]:
            assert entry.mended.value == 1
            assert entry.over_elsewhere.low > 0
            assert entry.fall_over_elsewhere.low > 0
        assert [entry.map for entry in record.mending[-2:]] == [RANDOM, EDGES]

    def test_groups_count_every_error(self, record):
        assert sum(group.count for group in record.groups) == 12
        assert {(group.label, group.predicted) for group in record.groups} == {
            ("class 0", "class 2"),
            ("class 1", "class 2"),
        }
        assert all(group.mended == group.carriers == group.count for group in record.groups)

    def test_every_picture_and_map_that_the_record_names_is_kept(self, inquiry, record):
        assert len(record.exemplars) == 8
        for exemplar in record.exemplars:
            assert inquiry.arrays[exemplar.picture].dtype == np.uint8
            for maps in exemplar.maps:
                for key in (maps.predicted, maps.true, maps.margin):
                    assert inquiry.arrays[key].shape == (SIDE, SIDE, 1)

    def test_an_error_that_is_shown_tells_what_its_rows_say_of_it(self, inquiry, record):
        columns = inquiry.rows.columns
        rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        for exemplar in (entry for entry in record.exemplars if entry.inserted is None):
            for maps in exemplar.maps:
                for choice, told in (("", maps.mended), (", elsewhere", maps.mended_elsewhere)):
                    right = [
                        row["value"]
                        for row in rows
                        if (row["image"], row["measurement"], str(row["method"]))
                        == (exemplar.image, "right prediction", f"{maps.map}{choice}")
                    ]
                    assert len(right) == len(record.fills)
                    assert told == (np.mean(right) > 0.5)
        assert all(maps.mended is None for entry in record.exemplars if entry.inserted for maps in entry.maps)

    def test_every_share_is_the_mean_of_its_rows(self, inquiry, record):
        columns = inquiry.rows.columns
        rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        (trial,) = record.interventions
        removed, inserted = (
            [row["value"] for row in rows if row["condition"] == condition]
            for condition in ("removed: exact", "inserted")
        )
        assert np.mean(removed) == pytest.approx(trial.removals["exact"].value)
        assert np.mean(inserted) == pytest.approx(1 - trial.broken.value)
        likeness = [
            row["value"] for row in rows if row["measurement"].startswith("SSIM") and row["method"] == "gradient"
        ]
        assert np.median(likeness) == pytest.approx(record.likeness[0].ssim.value)

    def test_the_same_is_found_twice(self, record):
        assert study_errors(make_inquiry(), share=9 / 144) == record

    def test_an_artefact_over_most_of_the_frame_has_no_region_but_is_tried(self):
        inquiry = make_inquiry()
        overlay = Overlay(np.full((SIDE, SIDE), 0.5, np.float32), np.ones((SIDE, SIDE, 1), np.float32))
        inquiry = replace(inquiry, artefacts=[replace(inquiry.artefacts[0], appearance=overlay)])
        record = study_errors(inquiry)
        assert record.regions == []
        assert record.suspects == []
        assert record.interventions[0].removals["exact"].n == 12

    def test_without_errors_it_says_so(self):
        with pytest.raises(NotApplicableError, match="none of 36 labelled images is predicted wrongly"):
            study_errors(make_inquiry(stamped=0))

    def test_without_labels_it_says_so(self):
        with pytest.raises(NotApplicableError, match="no labels"):
            study_errors(make_inquiry(labels=False))

    def test_independent_classes_are_contrasted_where_one_is_predicted_in_anothers_place(self):
        inquiry = make_inquiry()
        predicted = np.zeros((COUNT, 3), bool)
        has = predicted.copy()
        predicted[:, 0] = has[:, 0] = True
        predicted[0], has[0] = [True, False, False], [False, True, False]
        predicted[1] = [True, True, False]  # one too many: nothing is missed
        images = replace(inquiry.images, predicted=predicted, has=has)
        record = study_errors(replace(inquiry, images=images), exemplars=0)
        assert record.errors == 1
        assert record.groups[0].label == "class 1"
        assert record.groups[0].predicted == "class 0"
        told = "1 errors without one wrongly predicted and one missed class are left out"
        assert [note.text for note in record.notes] == [told]


def test_a_binary_model_has_margins_in_log_odds_and_no_likeness_of_its_two_maps():
    weights = make_classifier().weights[:2]
    one_logit = LinearClassifier(np.stack([-weights[0], weights[0]]), np.array([1, -1], np.float32), output="binary")
    inquiry = make_inquiry(classifier=make_classifier())
    scores = one_logit.scores(inquiry.dataset.images(list(range(COUNT))))
    predicted = predicted_classes(scores, "binary")
    has = predicted.copy()
    has[:5] = ~has[:5]
    images = replace(inquiry.images, scores=scores, predicted=predicted, has=has)
    record = study_errors(replace(inquiry, classifier=one_logit, images=images, artefacts=[]))
    assert record.shares_logit
    assert record.likeness == []
    assert record.errors == 5
    expected = np.abs(scores[:5, 0])
    shown = {exemplar.image: exemplar.margin for exemplar in record.exemplars}
    assert list(shown.values()) == pytest.approx([expected[int(name[-3:])] for name in shown])
    total = sum(group.margin.value * group.count for group in record.groups)
    assert total == pytest.approx(expected.sum(), rel=1e-5)
    assert all(entry.over_predicted is None for entry in record.mending)


class BlobClassifier(LinearClassifier):
    """Class 1 gives way to a dark blob, wherever it is, and not to dark dots."""

    def scores(self, images: np.ndarray) -> np.ndarray:
        holes = images[..., 0] < 0.5
        blob = (holes[:, 1:, 1:] & holes[:, :-1, 1:] & holes[:, 1:, :-1] & holes[:, :-1, :-1]).any(axis=(1, 2))
        on = np.where(blob, -1.0, 1.0)
        return np.stack([-on, on], axis=1).astype(np.float32)


def test_a_blob_that_mends_wherever_it_is_cut_has_no_lead_over_its_own_shape_elsewhere():
    weights = np.zeros((2, SIDE, SIDE, 1), np.float32)
    weights[(1, *CORNER)] = 1  # what the gradient blames is a blob
    classifier = BlobClassifier(weights, np.zeros(2, np.float32), output="softmax")
    images = np.full((24, SIDE, SIDE, 1), 0.55, np.float32)
    images[:, ::3, ::3] = 0  # so that the mean colour is dark
    inquiry = make_inquiry()
    dataset = memory_dataset(classifier, images, np.zeros(24, int))
    scores = classifier.scores(images)
    predicted = predicted_classes(scores, "softmax")
    assert predicted[:, 1].all()
    population = Population(
        np.arange(24), log_odds(scores, "softmax"), predicted, dataset.truth, dataset.labelled, dataset.groups
    )
    inquiry = replace(
        inquiry,
        classifier=classifier,
        dataset=dataset,
        images=population,
        artefacts=[],
        attributions=[Method("gradient", gradient)],
    )
    record = study_errors(inquiry, share=9 / 144, fills=("mean",))
    blob, random_pixels, _ = record.mending
    assert (blob.mended.value, blob.elsewhere.value) == (1, 1)
    assert random_pixels.mended.value < 0.5
    assert blob.over_elsewhere.value == 0
    assert blob.over_elsewhere.low < 0


class WavyClassifier(LinearClassifier):
    """Class 1 is on wherever the linear score is near the crest of a wave: any ink breaks some images, none more."""

    def scores(self, images: np.ndarray) -> np.ndarray:
        crest = np.sin(super().scores(images)[:, 0]) - 0.5
        return np.stack([-crest, crest], axis=1).astype(np.float32)


def try_random_ink(seed: int) -> ContrastIntervention:
    """An artefact of random ink, put into images that are predicted rightly."""
    random = np.random.default_rng(seed)
    weights = random.normal(size=(2, SIDE, SIDE, 1)).astype(np.float32) * 20
    classifier = WavyClassifier(weights, np.zeros(2, np.float32), output="softmax")
    images = random.random((400, SIDE, SIDE, 1)).astype(np.float32)
    images = images[classifier.scores(images).argmax(axis=1) == 0][:128]
    at = np.arange(len(images))
    has = np.broadcast_to(np.array([True, False]), (len(at), 2))
    right = Cases(at, [str(row) for row in at], at, images, has, np.ones_like(at), np.zeros_like(at))
    alpha, ink = np.zeros((SIDE, SIDE), np.float32), np.zeros((SIDE, SIDE, 1), np.float32)
    alpha[CORNER], ink[CORNER] = 1, random.random((3, 3, 1))
    artefact = Artefact("ink", "overlay", Overlay(alpha, ink), None, "none", np.zeros(len(at), bool))
    asked = {"artefacts": [artefact], "targets": [None], "classifier": classifier, "seed": seed}
    return try_artefact(replace(make_inquiry(), **asked), 0, take(right, at[:0]), right, ("mean",)).record


def test_random_ink_that_breaks_no_more_than_other_random_ink_is_rarely_said_to_make_errors():
    found = [try_random_ink(seed) for seed in range(16)]
    assert min(entry.broken.value for entry in found) > 0.15
    assert sum(entry.broken_lead.low > 0 for entry in found) <= 2
    for entry in found:
        assert entry.broken_lead.value == pytest.approx(entry.broken.value - entry.broken_by_controls.value, abs=1e-6)


class TestSection:
    def test_answers_its_questions_from_the_numbers_of_the_run(self):
        view = view_errors(make_result(), Album(make_arrays()))
        answers = view["answers"]
        assert answers["Do the maps of the predicted and of the true class differ?"].startswith("Yes, by every method")
        assert "gradient: removing what it points at corrects 62 points" in answers["Which method helps most?"]
        assert "alone works less well" in answers["Which method helps most?"]
        assert "yes, some of them" in answers["Did the artefact cause the error?"]

    def test_says_plainly_when_no_method_beats_chance(self):
        result = make_result()
        record = result.errors
        weak = [
            replace(entry, over_edges=entry.over_edges and replace(entry.over_edges, low=-0.1))
            for entry in record.mending
        ]
        view = view_errors(replace(result, errors=replace(record, mending=weak)), Album(make_arrays()))
        assert view["answers"]["Which method helps most?"].startswith("None clearly corrects more errors")

    def test_blames_sensitivity_for_no_map_but_those_of_sensitivity(self):
        first = view_errors(make_result(), Album(make_arrays()))["answers"]["Which method helps most?"]
        assert (
            "Removing what Grad-CAM (conv) [✗ failed its tests] points at does worse than removing the same shape "
            "elsewhere." in first
        )
        assert "sensitivity" not in first
        result = make_result()
        *methods, random, edges = result.errors.mending
        lost = methods[1]
        entries = [*(replace(lost, map=MapName(name)) for name in ("gradient", "smoothgrad")), random, edges]
        record = replace(result.errors, mending=entries)
        view = view_errors(replace(result, errors=record), Album(make_arrays()))
        said = view["answers"]["Which method helps most?"]
        assert "Removing what gradient and SmoothGrad point at does worse" in said
        assert "Maps of sensitivity (gradient, SmoothGrad) may show" in said

    def test_says_where_a_fill_is_the_baseline_of_a_method_and_shows_inpainting_alone(self):
        result = make_result()
        record = result.errors
        assert view_errors(result, Album(make_arrays()))["helped"] == ""
        by_fill = dict.fromkeys(("mean", "blur", "inpaint"), record.mending[0].mended)
        entries = [
            replace(entry, map=name, by_fill=by_fill)
            for entry, name in zip(
                record.mending,
                (MapName("integrated_gradients", "mean"), MapName("integrated_gradients", "blur"), RANDOM, EDGES),
                strict=True,
            )
        ]
        record = replace(record, mending=entries, fills=list(by_fill))
        view = view_errors(replace(result, errors=record), Album(make_arrays()))
        assert "is close to what two of the fills put there (mean and blur)" in view["helped"]
        page = render_html(replace(result, errors=record), make_arrays())
        table = page.partition("<caption>Errors corrected by removing")[2].partition("</table>")[0]
        assert table.count('scope="col"') == 8
        assert "by inpainting only" in table
        assert table.count("<td") == 7 * len(entries)

    def test_does_not_compare_classes_that_share_one_logit(self):
        result = make_result()
        record = replace(result.errors, shares_logit=True, likeness=[])
        answers = view_errors(replace(result, errors=record), Album(make_arrays()))["answers"]
        said = answers["Do the maps of the predicted and of the true class differ?"]
        assert said.startswith("Not applicable: the two classes share one logit")

    def test_tells_of_each_error_why_it_was_made_or_that_nothing_says_so(self):
        record = make_result().errors
        (plain, _), label = record.exemplars, record.exemplars[0].label
        plain = replace(plain, image="image-3")
        names = Methods(passed=frozenset([plain.maps[0].map]))

        def why(known=names, suspects=(), change=None, mended=None, elsewhere=None, inserted=None):
            maps = [replace(plain.maps[0], mended=mended, mended_elsewhere=elsewhere)]
            error = replace(plain, maps=maps, inserted=inserted)
            changes = {} if change is None else {"image-3": Correction("image-3", *change)}
            return tell_why(error, replace(record, suspects=list(suspects)), changes, known)

        suspect = replace(record.suspects[0], image="image-3")
        specific, alone, either = (replace(suspect, mended_by_placebo=does) for does in (False, None, True))
        known = [
            why(suspects=[specific]),
            why(suspects=[alone]),
            why(inserted="tag"),
            why(mended=True, elsewhere=False),
        ]
        known.append(why(change=(False, 0.25)))
        assert all(each.is_known for each in known)
        begins = ["Because of the tag", "Probably because of the tag", "Because of the tag: the model was right until"]
        assert all(each.text.startswith(begin) for each, begin in zip(known, begins, strict=False))
        assert "without these pixels the model is right" in known[3].text
        assert f"what the model missed of {label}" in known[4].text
        failed = Methods({plain.maps[0].map: "does not change"})
        open_ones = [
            why(suspects=[either]),
            why(mended=True, elsewhere=True),
            why(mended=False, elsewhere=False, change=(True, 0.5)),
            why(failed, mended=True, elsewhere=False, change=(None, None)),
            why(read_methods(None), mended=True, elsewhere=False),
        ]
        assert not any(each.is_known for each in open_ones)
        assert all(each.text.startswith("These do not say: ") for each in open_ones)
        for each, said in zip(
            open_ones,
            ("no pixels were", "elsewhere corrects it too", "nobody sees", "✗ failed", "not settled"),
            strict=True,
        ):
            assert said in each.text

    @pytest.mark.parametrize("run", ["complete", "later", "hostile"])
    def test_every_error_of_every_golden_page_has_one_answer(self, run):
        saved = SavedRun(Path(__file__).parent / "golden" / "runs" / run)
        page = render_html(saved.result, saved.arrays)
        shown = [] if saved.result.errors is None else saved.result.errors.exemplars
        told = re.findall(r"Why was this one wrong\?</b> (Because|Probably|The smallest edit|These do not say)", page)
        assert len(told) == len(shown) == page.count("Why was this one wrong?")

    def test_says_why_the_study_did_not_run(self):
        assert view_errors(replace(make_result(), errors=None), Album(make_arrays())) is None
        page = render_html(replace(make_result(), errors=None), make_arrays())
        section = page.partition('<section id="errors"')[2].partition("</section>")[0]
        assert "The run was made before there was this study." in section
