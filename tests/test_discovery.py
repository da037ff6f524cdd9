"""Suspects that nobody named: proposed by halves, found where they were planted, and never called clean."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from skimage.filters import threshold_otsu

from auditor.artefacts.overlay import Overlay
from auditor.config.sections import DiscoveryConfig
from auditor.discovery.candidate import Candidate, Proposal, say_place
from auditor.discovery.extent import attached, changes_ground, foreground, is_visible, otsu, variation
from auditor.discovery.gradients import propose_gradients, wanted_places
from auditor.discovery.looks import cut_out, likeness, see_through
from auditor.discovery.material import Material, halve
from auditor.discovery.places import lay_grid, propose_places
from auditor.discovery.proposing import SOURCES, overlap, propose
from auditor.subject.model.classifier import log_odds, predicted_classes
from auditor.subject.population import Population
from tests.closed_form import LinearClassifier

FRAME = (12, 12, 1)
CORNER = np.s_[8:11, 8:11]
PATTERN = np.array([[1, 0, 1], [0, 0, 1], [1, 1, 0]], np.float32)


def pictures(count: int = 240, share: float = 0.5, seed: int = 0):
    """Images of three classes, each bright in a third of the columns; a share of the last carries a pattern."""
    random = np.random.default_rng(seed)
    images = random.uniform(0.1, 0.25, (count, *FRAME)).astype(np.float32)
    labels = np.arange(count) % 3
    for at, label in enumerate(labels):
        images[at, 1:7, 1 + 3 * label : 4 + 3 * label] += random.uniform(0.2, 0.6)
    carries = (labels == 2) & (random.random(count) < share)
    images[np.flatnonzero(carries)[:, None, None], np.arange(8, 11)[:, None], np.arange(8, 11), 0] = PATTERN
    return images, labels, carries


def classifier(*, shortcut: bool = True) -> LinearClassifier:
    weights = np.zeros((3, *FRAME), np.float32)
    for number in range(3):
        weights[number, 1:7, 1 + 3 * number : 4 + 3 * number] = 0.3
    if shortcut:
        weights[(2, *CORNER, 0)] = 2 * (PATTERN - PATTERN.mean())
    return LinearClassifier(weights, np.zeros(3, np.float32), output="softmax")


def material(model: LinearClassifier, images, labels, seed: int = 0) -> Material:
    raw, count = model.scores(images), len(images)
    seen = Population(
        positions=np.arange(count),
        scores=log_odds(raw, "softmax"),
        predicted=predicted_classes(raw, "softmax"),
        has=labels[:, None] == np.arange(3),
        labelled=np.ones(count, bool),
        groups=np.arange(count).astype(str),
    )
    return Material(model, images, seen, [f"image {at}" for at in range(count)], seed)


class TestHalves:
    def test_no_group_is_in_both(self):
        groups = np.repeat(np.arange(31), 3)
        proposes = halve(groups, 5)
        assert not set(groups[proposes]) & set(groups[~proposes])
        assert len(set(groups[proposes])) == 16

    def test_depend_on_names_and_seed_alone(self):
        groups = np.array([f"patient {at}" for at in range(40)])
        order = np.random.default_rng(0).permutation(40)
        np.testing.assert_array_equal(halve(groups, 1)[order], halve(groups[order], 1))
        assert (halve(groups, 1) != halve(groups, 2)).any()


class TestLooks:
    def test_a_veil_over_noise_is_seen_through(self):
        random = np.random.default_rng(0)
        images = random.random((600, 10, 10, 3)).astype(np.float32)
        alpha = np.zeros((10, 10), np.float32)
        alpha[2:5, 3:8] = 0.6
        true = Overlay(alpha, np.full((10, 10, 3), 0.8, np.float32))
        found = see_through(true.insert(images[:300]), images[300:])
        assert overlap(found.fixed_region, true.fixed_region) > 0.9
        np.testing.assert_allclose(found.alpha[true.fixed_region], 0.6, atol=0.1)
        np.testing.assert_allclose(found.ink[true.fixed_region], 0.8, atol=0.1)

    def test_on_a_ground_that_never_varies_what_is_stamped_is_seen_and_objects_are_not(self):
        random = np.random.default_rng(0)
        images = np.zeros((100, 30, 30, 1), np.float32)
        images[:50, 2:6, 2:6] = PATTERN[0, 0]
        images[:50, 20:25, 5:25] = random.uniform(0, 1, (50, 5, 20, 1))
        found = see_through(images[:50], images[50:]).fixed_region
        assert found[3:5, 3:5].all()
        assert not found[20:25].any()

    def test_nothing_is_seen_where_images_are_alike(self):
        images = np.random.default_rng(0).random((600, 10, 10, 3)).astype(np.float32)
        found = see_through(images[:300], images[300:])
        assert found is None

    def test_likeness_is_one_where_it_is_and_zero_where_not(self):
        random = np.random.default_rng(0)
        images = random.uniform(0.3, 0.7, (100, 8, 8, 1)).astype(np.float32)
        look = cut_out(np.ones((1, 8, 8, 1), np.float32), np.eye(8, dtype=bool))
        both = np.concatenate([images, look.insert(images)])
        told = likeness(both, look, images)
        assert abs(told[:100].mean()) < 0.05
        np.testing.assert_allclose(told[100:], 1, atol=0.05)


class TestExtent:
    @pytest.mark.parametrize("seed", range(3))
    def test_the_threshold_is_otsus(self, seed):
        values = np.random.default_rng(seed).gamma(2, size=(16, 16)).astype(np.float32)
        assert otsu(values) == pytest.approx(threshold_otsu(values), rel=1e-5)

    def test_what_differs_from_the_edge_is_the_object(self):
        image = np.full((1, 20, 20, 3), 0.2, np.float32)
        image[:, 6:14, 5:12] = 0.9
        np.testing.assert_array_equal(foreground(image)[0], image[0, ..., 0] > 0.5)

    def test_a_photograph_is_all_object(self):
        assert foreground(np.random.default_rng(0).random((1, 20, 20, 3)).astype(np.float32)).all()

    @pytest.mark.parametrize("half", [np.arange(8) < 4, np.indices((8, 8)).sum(axis=0) % 2 == 0])
    def test_of_an_edge_of_two_colours_by_halves_nothing_is_known_to_be_background(self, half):
        image = np.broadcast_to(half, (8, 8)).astype(np.float32)[None, ..., None]
        assert foreground(image).all()

    def test_an_overlay_of_an_empty_place_shows_nothing_on_the_ground(self):
        images, _, _ = pictures(share=0.0)
        region = np.zeros(FRAME[:2], np.float32)
        region[CORNER] = 1.0
        plain = np.zeros_like(images)
        plain[:, :3, :3] = 0.8
        for ink, shows in ((0.0, False), (0.02, False), (0.9, True)):
            assert changes_ground(Overlay(region, np.full(FRAME, ink, np.float32)), plain) == shows
        noise = np.random.default_rng(0).random(images.shape).astype(np.float32)
        assert changes_ground(Overlay(region, np.zeros(FRAME, np.float32)), noise)

    def test_what_all_images_are_of_is_raised_by_nothing_and_breaks_nothing(self):
        random = np.random.default_rng(0)
        images = random.random((40, 8, 8, 1)).astype(np.float32)
        images[:12, 2:6, 2:6] = images[0, 2:6, 2:6]
        given = material(classifier(), np.resize(images, (40, *FRAME)), np.zeros(40, int))
        assert propose(given, 6, 2_000, ["stamps"]).candidates == []

    def test_a_stamp_apart_from_the_object_hangs_on_nothing(self):
        image = np.full((2, 20, 20, 1), 0.2, np.float32)
        image[:, 6:14, 5:12] = 0.9
        image[0, 17:19, 17:19] = 0.9
        image[1, 12:19, 10:12] = 0.9
        region = np.zeros((20, 20), bool)
        region[15:, :] = True
        np.testing.assert_allclose(attached(image, region), [0, 1])

    def test_an_empty_place_is_nothing_that_could_be_a_stamp(self):
        images = np.full((9, 20, 20, 1), 0.0, np.float32)
        images[:, 6:14, 5:12] = np.random.default_rng(0).uniform(0.5, 1, (9, 8, 7, 1))
        images[:, 16:19, 16:19] = 0.9
        for rows, is_there in ((slice(16, 19), True), (slice(0, 3), False)):
            region = np.zeros((20, 20), bool)
            region[rows, 16:19] = True
            look = cut_out(images, region)
            assert variation(images, look) < 0.5
            assert is_visible(images, look) == is_there


class TestGradients:
    def test_the_mean_derivative_of_a_linear_model_is_its_weights(self):
        images, labels, _ = pictures()
        model = classifier()
        for place in wanted_places(material(model, images, labels), 2):
            np.testing.assert_allclose(place.slopes, model.weights[2], atol=1e-6)

    def test_the_sharpest_place_of_a_class_is_where_its_stamp_was_planted(self):
        images, labels, _ = pictures(share=1.0)
        corner = np.zeros(FRAME[:2], bool)
        corner[CORNER] = True
        (first, *_) = wanted_places(material(classifier(), images, labels), 2)
        assert overlap(first.region, corner) > 0.3
        (innocent, *_) = wanted_places(material(classifier(shortcut=False), images, labels), 2)
        assert not (innocent.region & corner).any()

    def test_its_lines_are_those_that_the_class_shows_and_the_model_asks_for(self):
        images, labels, _ = pictures(share=1.0)
        found = propose_gradients(material(classifier(), images, labels), 0)
        lines = next(each for each in found if each.target == 2).looks[0]
        inside = lines.alpha[CORNER] > 0
        assert inside.any()
        np.testing.assert_array_equal(lines.ink[CORNER][inside][:, 0] > 0.5, (PATTERN > 0.5)[inside])

    def test_a_model_that_gives_scores_alone_is_said_not_to_be_asked(self):
        images, labels, _ = pictures()
        model = classifier()

        class Scores:
            classes, image_shape, output = model.classes, model.image_shape, model.output

            def scores(self, images):
                return model.scores(images)

        given = replace(material(model, images, labels), classifier=Scores())
        assert "no derivatives" in propose(given, 6, 0, ["gradients"]).skipped["gradients"]

    def test_what_the_model_looks_at_sharply_is_not_put_back_for_lying_on_an_object(self):
        proposal = Proposal("gradients", 0, (), 5.0, (0,), focus=0.75)
        sharp, dull = (Candidate("", replace(proposal, focus=focus), None, 1.0, 1.0, 1.0) for focus in (0.75, 0.0))
        assert sharp.number > 5 * dull.number


class TestPlaces:
    def test_cover_the_frame_and_overlap(self):
        for frame in ((12, 12), (28, 40), (224, 160)):
            places = lay_grid(frame)
            assert np.any(places, axis=0).all()
            assert np.sum(places, axis=0).max() > 1

    @pytest.mark.parametrize("share", [1.0, 0.4])
    def test_the_planted_corner_of_the_right_class_is_found(self, share):
        images, labels, _ = pictures(share=share)
        found = list(propose_places(material(classifier(), images, labels), 6000))
        true = np.zeros(FRAME[:2], bool)
        true[CORNER] = True
        assert any(
            each.target == 2 and overlap(look.fixed_region, true) >= 0.3 for each in found for look in each.looks
        )

    def test_the_strongest_donors_are_those_that_carry_it(self):
        images, labels, carries = pictures(share=0.4)
        found = [each for each in propose_places(material(classifier(), images, labels), 6000) if each.target == 2]
        corner = next(each for each in found if each.looks[0].fixed_region[9, 9])
        assert carries[list(corner.strong)].mean() > 0.8


class TestProposing:
    def test_what_is_planted_comes_first_and_lies_beside_objects(self):
        images, labels, _ = pictures()
        proposed = propose(material(classifier(), images, labels), 6, 6000)
        first = proposed.candidates[0]
        assert first.target == 2
        assert first.look.fixed_region[8:11, 8:11].any()
        assert first.on_object < 0.3
        assert proposed.dropped == sum(proposed.tried.values()) - len(proposed.candidates)

    def test_names_are_unique_and_there_are_no_more_than_asked_for(self):
        images, labels, _ = pictures()
        proposed = propose(material(classifier(), images, labels), 2, 6000)
        names = [each.name for each in proposed.candidates]
        assert len(set(names)) == len(names) <= 2

    def test_too_few_images_of_every_class_propose_nothing(self):
        images, labels, _ = pictures(count=9)
        assert propose(material(classifier(), images, labels), 6, 6000).candidates == []

    def test_every_source_can_be_named_in_the_configuration(self):
        assert DiscoveryConfig().sources == (*SOURCES, "columns")


@pytest.mark.parametrize(
    ("rows", "columns", "words"),
    [
        (slice(0, 3), slice(0, 3), "upper left"),
        (slice(9, 12), slice(4, 8), "bottom"),
        (slice(4, 8), slice(9, 12), "right"),
        (slice(4, 8), slice(4, 8), "middle"),
        (slice(0, 12), slice(0, 12), "whole image"),
    ],
)
def test_a_place_is_told_in_words(rows, columns, words):
    region = np.zeros((12, 12), bool)
    region[rows, columns] = True
    assert say_place(region) == words


def test_a_frame_is_told_as_the_edge():
    region = np.ones((20, 20), bool)
    region[1:-1, 1:-1] = False
    assert say_place(region) == "edge"
