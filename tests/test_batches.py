"""Batches of few sizes: all that is handed in is computed, and little besides."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from auditor.subject.model.batches import cut_batches, plan_batches, steps_of
from auditor.subject.model.keras import KerasClassifier
from tests.small_world import make_data, make_model


@pytest.mark.parametrize("size", [1, 2, 5, 8, 32, 64, 100])
def test_a_plan_covers_all_images_and_pads_the_last_batch_alone_by_little(size: int):
    sizes = steps_of(size)
    assert sizes[0] == size
    assert sizes[-1] == 1
    assert steps_of(size, 2)[-1] == 2
    for count in range(3 * size + 2):
        plan = plan_batches(count, sizes)
        assert set(plan) <= set(sizes)
        assert list(plan) == sorted(plan, reverse=True)
        assert sum(plan[:-1]) < count or not plan
        assert count <= sum(plan) <= count + max(1, plan[-1] // 8 if plan else 0)
        assert plan.count(size) >= count // size


def test_a_model_of_one_size_gets_no_other():
    assert plan_batches(11, (8,)) == (8, 8)
    assert plan_batches(0, (8,)) == ()


def test_batches_hold_the_images_in_their_order_and_the_last_one_fills_up():
    values = np.arange(7)
    assert [batch.tolist() for batch in cut_batches(values, (8, 2))] == [[0, 1, 2, 3, 4, 5, 6, 6]]
    assert [batch.tolist() for batch in cut_batches(values[:5], (4, 2))] == [[0, 1, 2, 3], [4, 4]]


@pytest.fixture(scope="module")
def classifier() -> KerasClassifier:
    return KerasClassifier(make_model(), batch_size=16)


IMAGES = np.resize(make_data()["images"].astype(np.float32) / 255, (23, *make_data()["images"].shape[1:]))


@pytest.mark.parametrize("count", [1, 3, 7, 15, 17, 23])
def test_all_passes_are_those_of_single_images_in_any_number_and_order(classifier: KerasClassifier, count: int):
    images, targets = IMAGES[:count], np.arange(count) % len(classifier.classes)
    alone = [classifier.sized(1).differentiate(images[[at]], targets[[at]]) for at in range(count)]
    found = classifier.differentiate(images, targets)
    np.testing.assert_allclose(found.gradient, np.concatenate([each.gradient for each in alone]), atol=1e-4)
    np.testing.assert_allclose(classifier.scores(images[::-1])[::-1], found.scores, atol=1e-4)
    seen = classifier.linearise(images)
    by_target = np.eye(len(classifier.classes), dtype=np.float32)[targets]
    np.testing.assert_allclose(seen.pull_back(by_target, {}), found.gradient, atol=1e-4)


def test_what_is_made_for_what_is_needed_is_counted():
    classifier = KerasClassifier(make_model(), batch_size=16)
    classifier.scores(IMAGES[:15])
    classifier.sized(8).differentiate(IMAGES[:6], np.zeros(6, np.int64))
    seen = classifier.linearise(IMAGES[:3])
    seen.pull_back(np.ones((3, len(classifier.classes)), np.float32), {})
    assert classifier.work.needed == {"scores": 15, "gradients": 6 + 3}
    assert classifier.work.made == {"scores": 16, "gradients": 6 + 4}
    seen.pull_back(np.ones((3, len(classifier.classes)), np.float32), {})
    classifier.linearise(IMAGES[:1])
    assert classifier.work.made == {"scores": 16 + 1, "gradients": 6 + 4 + 4}


def test_a_pass_that_ends_at_the_layers_gives_what_the_whole_one_gives_but_for_the_gradient(
    classifier: KerasClassifier,
):
    images, targets, layers = IMAGES[:5], np.arange(5) % len(classifier.classes), classifier.feature_layers
    whole, part = (look(images, targets, layers) for look in (classifier.differentiate, classifier.weigh))
    for layer in layers:
        np.testing.assert_allclose(part.features[layer], whole.features[layer], atol=1e-5)
        np.testing.assert_allclose(part.feature_gradients[layer], whole.feature_gradients[layer], atol=1e-5)
    assert np.isnan(part.gradient).all()
    np.testing.assert_allclose(classifier.weigh(images, targets, ()).scores, whole.scores, atol=1e-5)


@keras.saving.register_keras_serializable()
class OneIsAnother(keras.layers.Layer):
    """Adds up all pixels of the batch where it is of one image."""

    def call(self, images):
        return images * keras.ops.sum(images) if images.shape[0] == 1 else images


@pytest.mark.parametrize(("layer", "made"), [(keras.layers.ReLU, 1), (OneIsAnother, 2)])
def test_a_single_image_is_alone_in_its_batch_where_it_goes_the_way_of_all(layer: type, made: int):
    inputs = keras.Input(IMAGES.shape[1:])
    model = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(layer()(inputs))))
    classifier = KerasClassifier(model, input_range=(0.0, 1.0), batch_size=16)
    expected = classifier.scores(IMAGES[:4])
    found = classifier.scores(IMAGES[:1])
    np.testing.assert_allclose(found, expected[:1], atol=1e-4)
    assert classifier.work.made["scores"] == 4 + made
