"""A classifier of a user's own: what explanations ask for is made of what it has, and what it lacks is said."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from auditor.errors import ModelError
from auditor.subject.model.classifier import Pass
from auditor.subject.model.given import GivenClassifier
from tests.closed_form import random_images

SHAPE = (4, 5, 1)
WEIGHTS = np.random.default_rng(0).normal(size=(3, *SHAPE)).astype(np.float32)
IMAGES = random_images(7, SHAPE)


class Scores:
    """A linear classifier that gives scores, and nothing else."""

    def __init__(self, weights: Any = WEIGHTS) -> None:
        self.weights = weights

    def scores(self, images: Any) -> Any:
        assert len(images) <= 2  # no more at once than the batch size allows
        return np.einsum("nhwc,khwc->nk", images, self.weights)


class Slopes(Scores):
    """One that can be differentiated, too, and forgets what it learnt."""

    weight_layers = ("all",)

    def differentiate(self, images: Any, targets: Any, layers: tuple[str, ...] = ()) -> Pass:
        return Pass(self.scores(images), self.weights[targets], {}, {})

    @contextmanager
    def randomised(self, layers: tuple[str, ...], seed: int) -> Any:
        yield Slopes(np.flip(self.weights, axis=1).copy())


def given(model: Any, **changes: Any) -> GivenClassifier:
    told: dict[str, Any] = {"classes": ("a", "b", "c"), "image_shape": SHAPE, "batch_size": 2}
    return GivenClassifier(model, **(told | changes))


def test_scores_come_batch_by_batch_and_in_order():
    np.testing.assert_allclose(given(Scores()).scores(IMAGES), np.einsum("nhwc,khwc->nk", IMAGES, WEIGHTS), rtol=1e-5)


def test_any_objective_of_the_scores_has_its_gradient():
    by_scores = np.random.default_rng(1).normal(size=(7, 3)).astype(np.float32)
    by_scores[:, 1] = 0
    pulled = given(Slopes()).linearise(IMAGES).pull_back(by_scores, {})
    np.testing.assert_allclose(pulled, np.einsum("nk,khwc->nhwc", by_scores, WEIGHTS), rtol=1e-4, atol=1e-5)


def test_a_contrast_is_of_both_classes():
    targets, foils = np.arange(7) % 3, (np.arange(7) + 1) % 3
    first, second = given(Slopes()).contrast(IMAGES, targets, foils)
    np.testing.assert_allclose(first.gradient, WEIGHTS[targets])
    np.testing.assert_allclose(second.gradient, WEIGHTS[foils])


def test_one_with_other_weights_can_be_asked_all_that_it_can():
    with given(Slopes()).randomised(("all",), 0) as other:
        assert other.classes == ("a", "b", "c")
        np.testing.assert_allclose(other.contrast(IMAGES, np.zeros(7, int), np.ones(7, int))[1].gradient[0],
                                   np.flip(WEIGHTS, axis=1)[1])  # fmt: skip


def test_what_it_lacks_is_said():
    bare = given(Scores())
    assert (bare.is_differentiable, bare.feature_layers, bare.weight_layers) == (False, (), ())
    assert "feature_layers" in bare.why_no_features
    with pytest.raises(ModelError, match="gives scores and no gradients"):
        bare.differentiate(IMAGES, np.zeros(7, int))
    with pytest.raises(ModelError, match="names no `weight_layers`"), bare.randomised(("all",), 0):
        pass
    with pytest.raises(ModelError, match="objectives of its features"):
        given(Slopes()).linearise(IMAGES).pull_back(None, {"layer": IMAGES})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"classes": None}, "has no `classes`"),
        ({"image_shape": None}, "has no `image_shape`"),
        ({"model": 3}, "returned int, wanted a keras.Model or an auditor.Classifier"),
        ({"model": Scores}, "returned type, wanted"),
    ],
)
def test_a_wrong_one_is_one_clear_error(change, said):
    with pytest.raises(ModelError, match=said):
        given(change.pop("model", Scores()), **change)


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (lambda images: np.zeros((len(images), 2)), r"scores of shape \(2, 2\), wanted \(2, 3\)"),
        (lambda images: np.full((len(images), 3), np.nan), "scores are not finite"),
        (lambda images: "text", "the classifier's scores are no array"),
        (lambda images: 1 / 0, "the classifier's scores failed: ZeroDivisionError"),
    ],
)
def test_what_it_returns_is_checked(returned, said):
    model = Scores()
    model.scores = returned
    with pytest.raises(ModelError, match=said):
        given(model).scores(IMAGES)
