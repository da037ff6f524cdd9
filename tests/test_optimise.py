"""The loop that climbs: exact adjoints, known optima, valid images at every step, paths of their own."""

from __future__ import annotations

import numpy as np
import pytest

from auditor.explain.optima.ascent import (
    Recipe,
    _cosine_slopes,
    _Views,
    ascend,
    mean_cosines,
    warp_matrices,
)
from auditor.explain.optima.objectives import class_logit, draw_noise
from auditor.explain.optima.parametrisation import colour_covariance, colour_map, fourier_map, parametrise
from auditor.explain.texture import SMOOTH, total_variation, variation
from tests.closed_form import LinearClassifier, QuadraticClassifier, linear, quadratic, random_images

SHAPES = [(6, 7, 3), (8, 8, 1), (5, 4, 3)]
WAYS = [("pixels", "clip"), ("pixels", "sigmoid"), ("fourier", "clip"), ("fourier", "sigmoid")]
ROUGH = Recipe(steps=12, jitter=1, scale=0.1, rotation=10, l2=1, total_variation=1)


def start(basis, constraint, shape, count, seed=0):
    names = [f"start {number}" for number in range(count)]
    way = parametrise(basis, constraint, shape)
    return way, draw_noise(way, shape, names, 0.1, seed), names


def inner(first, second):
    return float(np.sum(first.astype(np.float64) * second))


class TestParametrisations:
    @pytest.mark.parametrize("shape", SHAPES)
    def test_the_adjoint_of_the_fourier_map_is_exact(self, shape):
        waves, random = fourier_map(shape), np.random.default_rng(0)
        images = random.normal(size=(2, *shape)).astype(np.float32)
        spectra = random.normal(size=waves.inverse(images).shape).astype(np.float32)
        assert inner(waves.forward(spectra), images) == pytest.approx(inner(spectra, waves.adjoint(images)), rel=1e-4)

    @pytest.mark.parametrize("shape", SHAPES)
    def test_the_fourier_map_can_be_undone(self, shape):
        images = random_images(3, shape)
        waves = fourier_map(shape)
        np.testing.assert_allclose(waves.forward(waves.inverse(images)), images, atol=1e-5)

    def test_equal_steps_in_all_frequencies_change_coarse_ones_most(self):
        spectra = np.zeros((2, 16, 9, 1, 2), np.float32)
        spectra[0, 0, 1], spectra[1, 0, 7] = 1, 1
        coarse, fine = fourier_map((16, 16, 1)).forward(spectra).std(axis=(1, 2, 3))
        assert coarse == pytest.approx(7 * fine, rel=1e-4)

    def test_the_adjoint_of_the_colour_map_is_exact_and_the_map_can_be_undone(self):
        random = np.random.default_rng(1)
        colours = colour_map(np.cov(random.normal(size=(3, 50))))
        first, second = random.normal(size=(2, 4, 5, 3)).astype(np.float32)
        assert inner(colours.forward(first), second) == pytest.approx(inner(first, colours.adjoint(second)), rel=1e-4)
        np.testing.assert_allclose(colours.forward(colours.inverse(first)), first, atol=1e-4)

    def test_measured_colours_are_decorrelated_by_the_map_and_of_one_variance(self):
        mixing = np.array([[0.9, 0.1, 0.0], [0.8, 0.1, 0.1], [0.6, 0.0, 0.2]])
        images = (random_images(20, (9, 9, 3)) @ mixing.T).astype(np.float32)
        found = colour_covariance(images)
        np.testing.assert_allclose(found, np.cov(images.reshape(-1, 3).T, bias=True), rtol=1e-4, atol=1e-6)
        after = colour_covariance(colour_map(found).inverse(images))
        np.testing.assert_allclose(after / after[0, 0], np.eye(3), atol=0.02)

    @pytest.mark.parametrize("covariance", [np.zeros((3, 3)), np.ones((3, 3)), np.ones((1, 1))])
    def test_images_that_lack_colours_still_give_a_map_that_can_be_undone(self, covariance):
        colours = colour_map(covariance)
        values = random_images(1, (2, 2, len(covariance)))
        np.testing.assert_allclose(colours.forward(colours.inverse(values)), values, atol=1e-4)

    @pytest.mark.parametrize(("basis", "constraint"), WAYS)
    def test_parameters_of_an_image_give_that_image(self, basis, constraint):
        way = parametrise(basis, constraint, (6, 7, 3), np.cov(np.random.default_rng(0).normal(size=(3, 9))))
        images = 0.02 + 0.96 * random_images(2)
        np.testing.assert_allclose(way.to_images(way.to_parameters(images)), images, atol=1e-4)

    @pytest.mark.parametrize(("basis", "constraint"), WAYS)
    def test_derivatives_by_parameters_are_those_of_finite_differences(self, basis, constraint):
        way = parametrise(basis, constraint, (6, 7, 3))
        images = 0.3 + 0.4 * random_images(1)
        slopes = random_images(1, seed=3)
        parameters = way.to_parameters(images)
        step = np.random.default_rng(5).normal(size=parameters.shape).astype(np.float32)
        moved = [way.to_images(parameters + sign * np.float32(0.01) * step).astype(np.float64) for sign in (1, -1)]
        expected = inner(slopes, moved[0] - moved[1]) / 0.02
        assert inner(step, way.pull_back(images, slopes)) == pytest.approx(expected, rel=0.02, abs=1e-3)


class TestViews:
    @pytest.mark.parametrize("shape", SHAPES)
    def test_the_adjoint_of_rolling_turning_and_scaling_is_exact(self, shape):
        names = ["a", "b", "c"]
        views = _Views(shape[:2], ROUGH, names, 0)
        first, second = random_images(3, shape), random_images(3, shape, seed=1)
        for step in range(ROUGH.steps):
            there, back = views.look(first, step), views.pull_back(second, step)
            assert inner(there, second) == pytest.approx(inner(first, back), rel=1e-5)

    def test_every_pixel_of_a_view_is_a_weighted_mean_of_pixels(self):
        for matrix in warp_matrices(9, 7, ROUGH, 0):
            assert matrix.data.min() >= 0
            np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-5)

    def test_turning_nothing_by_nothing_is_seeing_the_image_itself(self):
        images = random_images(2)
        still = _Views((6, 7), Recipe(steps=3), ["a", "b"], 0)
        np.testing.assert_array_equal(still.look(images, 1), images)
        (first, *_) = warp_matrices(6, 7, Recipe(), 0)
        np.testing.assert_allclose((first @ images[0].reshape(42, 3)).reshape(6, 7, 3), images[0], atol=1e-6)

    def test_a_turn_turns_about_the_centre(self):
        image = np.zeros((9, 9), np.float32)
        image[4, 7] = 1
        matrices = warp_matrices(9, 9, Recipe(rotation=40), 0)
        centre = np.array([4.0, 4.0])
        grid = np.stack(np.mgrid[0:9, 0:9], axis=-1).reshape(-1, 2)
        lengths = []
        for matrix in matrices:
            seen = matrix @ image.ravel()
            lengths.append(np.linalg.norm((seen[:, None] * grid).sum(axis=0) / seen.sum() - centre))
        np.testing.assert_allclose(lengths, 3, atol=0.5)


class TestPenalties:
    @pytest.mark.parametrize("shape", SHAPES)
    def test_the_slopes_of_total_variation_are_those_of_finite_differences(self, shape):
        images, step = random_images(2, shape), np.random.default_rng(2).normal(size=(2, *shape)).astype(np.float32)
        higher, lower = (total_variation(images + sign * np.float32(1e-3) * step) for sign in (1, -1))
        found = np.einsum("nhwc,nhwc->n", variation(images, SMOOTH)[1], step) / images[0].size
        np.testing.assert_allclose(found, (higher - lower) / 2e-3, rtol=0.02, atol=1e-3)

    def test_the_slopes_of_diversity_are_those_of_finite_differences(self):
        images, groups = random_images(4), np.zeros(4)
        slopes = _cosine_slopes(images)
        for row in range(4):
            step = np.zeros_like(images)
            step[row] = np.random.default_rng(row).normal(size=images[row].shape)
            higher, lower = (mean_cosines(images + sign * np.float32(1e-2) * step, groups)[row] for sign in (1, -1))
            assert inner(slopes, step) == pytest.approx((higher - lower) / 2e-2, rel=0.02, abs=1e-4)

    def test_an_image_alone_has_nothing_to_be_driven_from(self):
        assert not _cosine_slopes(random_images(1)).any()
        np.testing.assert_array_equal(mean_cosines(random_images(3), np.array([0, 0, 1]))[2], 0)

    def test_diversity_drives_the_restarts_of_a_group_apart(self):
        classifier = linear()
        way, parameters, names = start("pixels", "sigmoid", (6, 7, 3), 4)
        groups, targets = np.zeros(4, np.int64), np.zeros(4, np.int64)
        alike = [
            mean_cosines(
                ascend(
                    classifier,
                    class_logit(targets),
                    way,
                    parameters,
                    Recipe(64, diversity=weight),
                    names=names,
                ).images,
                groups,
            ).mean()
            for weight in (0.0, 100.0)
        ]
        assert alike[1] < alike[0] - 0.1

    @pytest.mark.parametrize("part", ["l2", "total_variation", "blur_every"])
    def test_penalties_and_blur_make_optima_smoother_or_fainter(self, part):
        classifier = linear()
        way, parameters, names = start("pixels", "clip", (6, 7, 3), 2)
        plain, held = (
            ascend(classifier, class_logit(np.arange(2)), way, parameters, recipe, names=names).images
            for recipe in (Recipe(60), Recipe(60, **{part: 4 if part == "blur_every" else 400}))
        )
        assert (total_variation(held) < 0.8 * total_variation(plain)).all()

    def test_a_penalty_is_worth_as_much_as_its_unit_says(self):
        classifier = linear()
        way, parameters, names = start("pixels", "clip", (6, 7, 3), 2)
        objective = class_logit(np.zeros(2, np.int64))
        strong = ascend(classifier, objective, way, parameters, Recipe(30, l2=50), names=names).images
        by_unit = ascend(
            classifier, objective, way, parameters, Recipe(30, l2=5), names=names, units=np.array([10.0, 1.0])
        ).images
        np.testing.assert_allclose(by_unit[0], strong[0], atol=1e-6)
        assert np.abs(by_unit[1] - strong[1]).max() > 0.1


class TestOptima:
    @pytest.mark.parametrize(("basis", "constraint"), WAYS)
    def test_of_a_linear_class_every_pixel_goes_to_the_side_that_its_weight_points_to(self, basis, constraint):
        classifier = linear(classes=2)
        way, parameters, names = start(basis, constraint, (6, 7, 3), 2)
        rate = 0.3 if constraint == "sigmoid" else 0.05
        images = ascend(
            classifier, class_logit(np.arange(2)), way, parameters, Recipe(400, rate=rate), names=names
        ).images
        clear = np.abs(classifier.weights) > 0.2
        assert ((images > 0.9) == (classifier.weights > 0))[clear].mean() > 0.99
        assert ((images < 0.1) == (classifier.weights < 0))[clear].mean() > 0.99

    @pytest.mark.parametrize("optimiser", ["adam", "plain"])
    def test_of_a_concave_quadratic_the_optimum_is_found_inside_the_range_and_at_its_edge(self, optimiser):
        peaks = np.random.default_rng(0).uniform(-0.4, 1.4, (2, 6, 7, 3)).astype(np.float32)
        curvature = np.full_like(peaks, -2.0)
        classifier = QuadraticClassifier(-curvature * peaks, np.zeros(2, np.float32), curvature=curvature)
        way, parameters, names = start("pixels", "clip", (6, 7, 3), 2)
        recipe = Recipe(200, rate=0.05 if optimiser == "adam" else 0.2, optimiser=optimiser)
        images = ascend(classifier, class_logit(np.arange(2)), way, parameters, recipe, names=names).images
        np.testing.assert_allclose(images, np.clip(peaks, 0, 1), atol=0.01)

    def test_a_sigmoid_finds_the_same_optimum_inside_the_range(self):
        peaks = np.random.default_rng(0).uniform(0.1, 0.9, (2, 6, 7, 3)).astype(np.float32)
        curvature = np.full_like(peaks, -2.0)
        classifier = QuadraticClassifier(-curvature * peaks, np.zeros(2, np.float32), curvature=curvature)
        for basis in ("pixels", "fourier"):
            way, parameters, names = start(basis, "sigmoid", (6, 7, 3), 2)
            images = ascend(classifier, class_logit(np.arange(2)), way, parameters, Recipe(500), names=names).images
            np.testing.assert_allclose(images, peaks, atol=0.02)


class TestPaths:
    @pytest.mark.parametrize(("basis", "constraint"), WAYS)
    def test_images_are_valid_at_every_step(self, basis, constraint):
        way, parameters, names = start(basis, constraint, (6, 7, 3), 3)
        climbed = ascend(
            quadratic(),
            class_logit(np.arange(3)),
            way,
            40 * parameters,  # far beyond the range
            Recipe(15, rate=0.5, jitter=1, rotation=5, blur_every=4),
            names=names,
            keep=range(16),
        )
        assert sorted(climbed.snapshots) == list(range(16))
        for images in climbed.snapshots.values():
            assert np.isfinite(images).all()
            assert images.min() >= 0
            assert images.max() <= 1

    def test_the_same_climb_ends_at_the_same_images(self):
        way, parameters, names = start("fourier", "sigmoid", (6, 7, 3), 2)
        first, second = (
            ascend(quadratic(), class_logit(np.arange(2)), way, parameters, ROUGH, names=names) for _ in range(2)
        )
        np.testing.assert_array_equal(first.images, second.images)
        other = ascend(quadratic(), class_logit(np.arange(2)), way, parameters, ROUGH, names=names, seed=1)
        assert np.abs(first.images - other.images).max() > 1e-3

    @pytest.mark.parametrize(("basis", "constraint"), WAYS)
    def test_no_image_depends_on_its_batch_mates_or_their_order(self, basis, constraint):
        way, parameters, names = start(basis, constraint, (6, 7, 3), 4)

        def climb(rows):
            return ascend(
                quadratic(),
                class_logit(np.array(rows)),
                way,
                parameters[rows],
                ROUGH,
                names=[names[row] for row in rows],
            ).images

        together = climb([0, 1, 2, 3])
        np.testing.assert_allclose(climb([3, 1, 0, 2]), together[[3, 1, 0, 2]], atol=1e-4)
        np.testing.assert_allclose(np.concatenate([climb([row]) for row in range(4)]), together, atol=1e-4)

    def test_what_is_watched_is_the_score_of_the_images_as_they_are(self):
        classifier = linear()
        way, parameters, names = start("pixels", "sigmoid", (6, 7, 3), 2)
        steps = (0, 3, ROUGH.steps)
        targets = np.array([2, 1])
        climbed = ascend(classifier, class_logit(targets), way, parameters, ROUGH, names=names, keep=steps, watch=steps)
        for step in steps:
            expected = classifier.scores(climbed.snapshots[step])[[0, 1], targets]
            np.testing.assert_allclose(climbed.curve[step], expected, rtol=1e-5)
        np.testing.assert_allclose(climbed.values, classifier.scores(climbed.images)[[0, 1], targets], rtol=1e-5)

    def test_a_model_that_says_nothing_moves_nothing(self):
        silent = LinearClassifier(np.zeros((1, 6, 7, 3), np.float32), np.zeros(1, np.float32))
        way, parameters, names = start("pixels", "clip", (6, 7, 3), 1)
        climbed = ascend(silent, class_logit(np.zeros(1, np.int64)), way, parameters, Recipe(5), names=names, keep=[0])
        np.testing.assert_array_equal(climbed.images, climbed.snapshots[0])
