"""One contract over all methods, and exact answers on classifiers where they are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from auditor.explain.attribution.methods import ATTRIBUTIONS, integrated_gradients, make_baseline, saliency
from auditor.explain.attribution.question import ask
from auditor.explain.attribution.scores import differentiate_scores
from auditor.subject.model.classifier import log_odds
from tests.closed_form import ExponentialClassifier, linear, quadratic, random_images
from tests.keras_models import small_classifier

METHODS = sorted(ATTRIBUTIONS)
OPTIONS = {"smoothgrad": {"samples": 16}, "integrated_gradients": {"nodes": 4, "most_nodes": 8}}


def question(classifier, images, targets, **changes):
    ids = changes.pop("ids", [f"image {number}" for number in range(len(images))])
    mean = changes.pop("mean_image", np.full(images.shape[1:], 0.5, np.float32))
    return ask(classifier, images, np.asarray(targets), ids=ids, mean_image=mean, **changes)


def run(name, asked):
    return ATTRIBUTIONS[name](asked, **OPTIONS.get(name, {}))


@pytest.fixture(scope="module")
def keras_classifier():
    return small_classifier(batch_size=8)


class TestContract:
    @pytest.fixture(params=["closed form", "keras"])
    def world(self, request, keras_classifier):
        classifier = quadratic() if request.param == "closed form" else keras_classifier
        images = random_images(6, classifier.image_shape)
        return classifier, images, np.arange(6) % len(classifier.classes)

    @pytest.mark.parametrize("name", METHODS)
    def test_maps_have_the_shape_of_the_images_and_are_finite_float32(self, name, world):
        classifier, images, targets = world
        for attribution in run(name, question(classifier, images, targets)).values():
            assert attribution.maps.shape[:3] == images.shape[:3]
            assert attribution.maps.shape[3] in (1, images.shape[3])
            assert attribution.maps.dtype == np.float32
            assert np.isfinite(attribution.maps).all()
            assert all(values.shape == (len(images),) for values in attribution.diagnostics.values())

    @pytest.mark.parametrize("name", METHODS)
    def test_the_same_seed_gives_the_same_maps(self, name, world):
        first, second = (run(name, question(*world, seed=3)) for _ in range(2))
        for variant in first:
            np.testing.assert_array_equal(first[variant].maps, second[variant].maps)

    @pytest.mark.parametrize("name", METHODS)
    def test_the_order_of_the_images_does_not_matter(self, name, world):
        classifier, images, targets = world
        ids = [f"image {number}" for number in range(6)]
        order = np.array([4, 0, 5, 2, 1, 3])
        straight = run(name, question(classifier, images, targets, ids=ids))
        mixed = run(name, question(classifier, images[order], targets[order], ids=[ids[at] for at in order]))
        for variant, attribution in straight.items():
            np.testing.assert_allclose(mixed[variant].maps, attribution.maps[order], atol=1e-4)

    @pytest.mark.parametrize("name", METHODS)
    def test_an_image_is_not_changed_by_its_batch_mates(self, name, world):
        classifier, images, targets = world
        others = images.copy()
        others[1:] = 1 - others[1:]
        alone = run(name, question(classifier, images[:1], targets[:1]))
        together = run(name, question(classifier, others, targets))
        for variant, attribution in alone.items():
            np.testing.assert_allclose(together[variant].maps[0], attribution.maps[0], atol=1e-4)

    @pytest.mark.parametrize("name", METHODS)
    def test_the_batch_size_does_not_matter(self, name):
        images, targets = random_images(5, (12, 12, 1)), np.array([0, 1, 2, 0, 1])
        results = [run(name, question(small_classifier(batch_size=size), images, targets)) for size in (2, 7)]
        for variant, attribution in results[0].items():
            np.testing.assert_allclose(results[1][variant].maps, attribution.maps, atol=1e-4)


class TestGradient:
    def test_of_a_linear_classifier_is_its_weights(self):
        classifier, images = linear(), random_images(3)
        result = run("gradient", question(classifier, images, [2, 0, 1]))[""]
        np.testing.assert_array_equal(result.maps, classifier.weights[[2, 0, 1]])


class TestGradCam:
    def test_of_a_linear_classifier_weighs_its_features_by_the_mean_slope(self):
        classifier, images = linear(), random_images(3)
        result = run("grad_cam", question(classifier, images, [1, 1, 3]))["pixels"]
        weights = classifier.weights[[1, 1, 3]].mean(axis=(1, 2))
        expected = np.maximum((images * weights[:, None, None]).sum(axis=-1), 0)
        np.testing.assert_allclose(result.maps[..., 0], expected, atol=1e-6)

    def test_is_never_negative_and_says_when_it_is_all_zero(self):
        classifier = linear()
        images = np.zeros((2, *classifier.image_shape), np.float32)
        result = run("grad_cam", question(classifier, images, [0, 1]))["pixels"]
        assert (result.maps >= 0).all()
        np.testing.assert_array_equal(result.diagnostics["all-zero map"], [1, 1])

    def test_has_a_variant_for_every_layer_that_is_asked_for(self, keras_classifier):
        images = random_images(2, keras_classifier.image_shape)
        layers = keras_classifier.feature_layers
        assert len(layers) == 2
        found = ATTRIBUTIONS["grad_cam"](question(keras_classifier, images, [0, 1], layers=layers), layers=layers)
        assert tuple(found) == layers
        assert not np.allclose(found[layers[0]].maps, found[layers[1]].maps)


class TestSmoothGrad:
    def test_of_a_linear_classifier_is_its_gradient_and_taken_for_constant_after_the_second_round(self):
        classifier, images = linear(), random_images(3)
        result = ATTRIBUTIONS["smoothgrad"](question(classifier, images, [0, 1, 2]), samples=64)[""]
        np.testing.assert_allclose(result.maps, classifier.weights[[0, 1, 2]], atol=1e-6)
        np.testing.assert_array_equal(result.diagnostics["samples"], 32)
        assert (result.diagnostics["relative standard error"] < 1e-6).all()

    def test_goes_on_where_a_class_is_silent_at_first_and_states_no_error_of_a_map_of_nothing(self):
        class Silent(type(linear())):
            """A class that speaks of one draw in ten, by its first pixel; another that never does."""

            def slopes(self, images, targets):
                speaks = (images[:, 0, 0, 0] > 0.5 + 0.15 * 1.28) & (targets == 0)
                return super().slopes(images, targets) * speaks[:, None, None, None]

        plain = linear()
        asked = question(Silent(plain.weights, plain.bias), np.full((40, 6, 7, 3), 0.5, np.float32), [0, 1] * 20)
        told = ATTRIBUTIONS["smoothgrad"](asked, samples=64, tolerance=0.1)[""]
        error, samples = told.diagnostics["relative standard error"], told.diagnostics["samples"]
        assert np.isnan(error[1::2]).all()
        assert (samples == 64).all()
        true = 0.1 * plain.weights[0]
        off = np.sqrt(np.square(told.maps[::2] - true).sum(axis=(1, 2, 3)) / np.square(true).sum())
        known = np.isfinite(error[::2])
        assert known.mean() > 0.9
        # the error of a share of a tenth among 64 draws is 0.38 of it
        assert np.sqrt(np.square(error[::2][known]).mean()) == pytest.approx(np.sqrt(np.square(off).mean()), rel=0.5)

    def test_of_a_quadratic_classifier_is_its_gradient_because_the_pairs_are_antithetic(self):
        classifier, images = quadratic(), random_images(3)
        asked = question(classifier, images, [0, 1, 2])
        result = ATTRIBUTIONS["smoothgrad"](asked, samples=8)[""]
        np.testing.assert_allclose(result.maps, asked.first.gradient, atol=1e-5)

    def test_of_an_exponential_classifier_tends_to_its_known_mean(self):
        classifier = ExponentialClassifier(linear().weights, linear().bias)
        images = random_images(2)
        result = ATTRIBUTIONS["smoothgrad"](
            question(classifier, images, [0, 1]), noise=0.1, samples=4000, tolerance=1e-3
        )
        expected = classifier.slopes(images, np.array([0, 1])) * np.exp(0.5 * (3 * 0.1) ** 2)
        np.testing.assert_allclose(result[""].maps, expected, rtol=0.02)

    def test_stops_once_the_standard_error_is_under_the_tolerance(self):
        classifier = ExponentialClassifier(linear().weights, linear().bias)
        asked = question(classifier, random_images(4), [0, 1, 2, 3])
        loose, tight = (
            ATTRIBUTIONS["smoothgrad"](asked, samples=512, tolerance=t)[""].diagnostics for t in (0.1, 0.02)
        )
        assert (loose["relative standard error"] <= 0.1).all()
        assert (loose["samples"] < tight["samples"]).all()

    def test_draws_other_noise_for_another_seed_or_image(self, keras_classifier):
        image = random_images(1, keras_classifier.image_shape)
        maps = [
            run("smoothgrad", question(keras_classifier, image, [0], ids=[name], seed=seed))[""].maps
            for name, seed in (("a", 0), ("a", 1), ("b", 0))
        ]
        assert not np.allclose(maps[0], maps[1])
        assert not np.allclose(maps[0], maps[2])


class TestIntegratedGradients:
    def test_of_a_quadratic_classifier_is_exact(self):
        classifier, images = quadratic(), random_images(3)
        targets = np.array([0, 1, 2])
        asked = question(classifier, images, targets)
        result = integrated_gradients(asked, baselines=("black",), nodes=2)["black"]
        expected = classifier.weights[targets] * images + classifier.curvature[targets] * images**2 / 2
        np.testing.assert_allclose(result.maps, expected, atol=1e-5)

    @pytest.mark.parametrize("baseline", ["mean", "blur", "black", "grey", "white"])
    def test_sums_to_the_change_of_the_score(self, baseline):
        classifier = ExponentialClassifier(linear().weights, linear().bias)
        images, targets = random_images(4), np.array([0, 1, 2, 3])
        asked = question(classifier, images, targets)
        result = integrated_gradients(asked, baselines=(baseline,), tolerance=1e-3)[baseline]
        rows = np.arange(4)
        reference = make_baseline(baseline, images, asked.mean_image)
        change = classifier.scores(images)[rows, targets] - classifier.scores(reference)[rows, targets]
        np.testing.assert_allclose(result.maps.sum(axis=(1, 2, 3)), change, rtol=1e-3, atol=1e-3)
        assert (result.diagnostics["completeness residual"] < 0.02).all()

    def test_completes_on_a_network_within_its_tolerance(self, keras_classifier):
        images = random_images(6, keras_classifier.image_shape)
        asked = question(keras_classifier, images, [0, 1, 2, 0, 1, 2])
        result = integrated_gradients(asked, baselines=("black",), tolerance=0.02, most_nodes=256)["black"]
        assert (result.diagnostics["completeness residual"] < 0.02).all()

    def test_gives_nothing_to_a_pixel_that_equals_the_baseline(self):
        classifier, images = quadratic(), random_images(2)
        images[:, 2:4, 1:3] = 0
        result = integrated_gradients(question(classifier, images, [0, 1]), baselines=("black",))["black"]
        np.testing.assert_array_equal(result.maps[:, 2:4, 1:3], 0)

    def test_adds_nodes_only_where_the_residual_is_above_tolerance(self):
        classifier = ExponentialClassifier(linear().weights, linear().bias)
        images = random_images(2)
        images[0] *= 0.01
        result = integrated_gradients(
            question(classifier, images, [0, 0]), baselines=("black",), nodes=1, tolerance=1e-3
        )
        nodes = result["black"].diagnostics["nodes"]
        assert nodes[1] > 1
        assert nodes[0] < nodes[1]

    def test_says_what_is_missing_when_the_cap_is_reached(self):
        classifier = ExponentialClassifier(linear().weights, linear().bias)
        asked = question(classifier, random_images(2), [0, 1])
        result = integrated_gradients(asked, baselines=("black",), nodes=1, most_nodes=1, tolerance=1e-6)["black"]
        assert (result.diagnostics["completeness residual"] > 1e-6).all()


def test_saliency_is_the_absolute_sum_over_channels():
    maps = np.array([[[[1.0, -2.0, 0.5]]]], np.float32)
    np.testing.assert_array_equal(saliency(maps), [[[3.5]]])


class TestScores:
    @pytest.mark.parametrize("output", ["softmax", "multilabel"])
    def test_each_is_the_derivative_of_its_score(self, output):
        classifier = replace(linear(), output=output)
        images, targets = random_images(4), np.array([0, 1, 2, 3])
        maps, probabilities = differentiate_scores(classifier, images, targets)
        rows, step = np.arange(4), 1e-2

        def scores_at(images):
            odds = log_odds(classifier.scores(images), output)[rows, targets].astype(np.float64)
            return {"logit": classifier.scores(images)[rows, targets], "log-odds": odds, "probability": expit(odds)}

        np.testing.assert_allclose(probabilities, scores_at(images)["probability"])
        for at in ((0, 0, 0), (2, 3, 0)):
            moved = np.zeros(images.shape[1:], np.float32)
            moved[at] = step
            up, down = scores_at(images + moved), scores_at(images - moved)
            for score, own in maps.items():
                np.testing.assert_allclose(own[(rows, *at)], (up[score] - down[score]) / (2 * step), atol=2e-3)

    def test_a_sure_model_has_a_faint_gradient_of_the_probability_and_the_same_of_the_logit(self):
        sure = replace(linear(), bias=np.array([45.0, 0.0, 0.0, 0.0], np.float32), output="softmax")
        maps, (probability,) = differentiate_scores(sure, random_images(1), np.array([0]))
        np.testing.assert_array_equal(maps["logit"][0], sure.weights[0])
        assert probability > 0.999999
        assert 0 < np.abs(maps["probability"]).max() < 1e-6 * np.abs(maps["logit"]).max()
        chance, odds = maps["probability"], maps["log-odds"]
        np.testing.assert_allclose(chance / np.abs(chance).max(), odds / np.abs(odds).max(), rtol=1e-4)
