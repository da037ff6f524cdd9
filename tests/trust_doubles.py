"""Methods of attribution that a test of trust must see through, a network to try them on, and what a study is given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from auditor.artefacts.kinds import Artefact
from auditor.artefacts.overlay import Overlay
from auditor.explain.attribution.methods import ATTRIBUTIONS
from auditor.explain.attribution.question import Attribution, Method, Question
from auditor.explain.attribution.regions import edge_map
from auditor.explain.inquiry import Inquiry
from auditor.measure.ledger import NewArrays, Rows
from auditor.subject.data.sample import Dataset
from auditor.subject.model.keras import KerasClassifier
from auditor.subject.population import Population
from tests.closed_form import MemorySource, random_images

SHAPE = (16, 16, 1)
PLANTED = Path(__file__).parents[1] / "examples" / "planted"
Explainer = Callable[[Question], dict[str, Attribution]]


@tf.custom_gradient
def _guided(inputs: Any) -> Any:
    outputs = tf.nn.relu(inputs)
    return outputs, lambda slope: tf.where((inputs > 0) & (slope > 0), slope, 0.0)


def planted_classifier() -> tuple[KerasClassifier, Explainer]:
    """The trained model of the example, and guided backpropagation on it.

    Guided backpropagation is the gradient, but where a rectifier is passed only what speaks for the target goes on
    (Springenberg et al. 2015). It draws edges that hardly depend on the weights above (Adebayo 2018; Nie 2018).
    """
    plain, passing = (keras.models.load_model(PLANTED / "model.keras", compile=False) for _ in range(2))
    for layer in passing.layers:
        if getattr(layer, "activation", None) is keras.activations.relu:
            layer.activation = _guided
    classifier, guided = KerasClassifier(plain, batch_size=64), KerasClassifier(passing, batch_size=64)

    def guided_backpropagation(question: Question) -> dict[str, Attribution]:
        guided._model.set_weights(question.classifier._model.get_weights())
        return {"": Attribution(guided.differentiate(question.images, question.targets).gradient, {})}

    return classifier, guided_backpropagation


def planted_images(count: int) -> Any:
    with np.load(PLANTED / "images.npz") as data:
        images = data["images"][:count].astype(np.float32) / 255
    return images if images.ndim == 4 else images[..., None]


def deep_classifier(seed: int = 0) -> KerasClassifier:
    """Three convolutions with batch normalisation and a dense head, untrained."""
    keras.utils.set_random_seed(seed)
    random = np.random.default_rng(seed)
    layers = keras.layers
    inputs = keras.Input(SHAPE)
    x = layers.Rescaling(1 / 255)(inputs)
    for number in range(3):
        x = layers.Conv2D(12, 3, padding="same", use_bias=False, name=f"conv_{number}")(x)
        norm = layers.BatchNormalization(name=f"norm_{number}")
        x = layers.ReLU()(norm(x))
        spreads, centres = random.uniform(0.5, 1.5, (2, 12)), random.normal(0, 0.2, (2, 12))
        norm.set_weights([spreads[0], *centres, spreads[1]])
    x = layers.GlobalAveragePooling2D()(layers.MaxPooling2D(4)(x))
    return KerasClassifier(keras.Model(inputs, layers.Dense(5, activation="softmax", name="head")(x)), batch_size=16)


def pictures(count: int, seed: int = 0) -> Any:
    """Smooth images with a bright disc, so that there are edges to find."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    images = 0.15 * random_images(count, SHAPE, seed)
    for image in images:
        row, column, radius = random.uniform(4, 12), random.uniform(4, 12), random.uniform(2, 5)
        image[..., 0] += 0.7 * (np.hypot(rows - row, columns - column) < radius)
    return images.astype(np.float32)


def edges_posing_as_explainer(question: Question) -> dict[str, Attribution]:
    """Edges of the image, whatever the model."""
    return {"": Attribution(np.stack([edge_map(image) for image in question.images])[..., None], {})}


def make_inquiry(
    classifier: Any, images: Any, methods: dict[str, dict[str, Any]], artefacts: tuple[tuple[str, int], ...] = ()
) -> Inquiry:
    """What a study is given, of images in memory; artefacts are bright squares in the lower right, with a target."""
    dataset = Dataset(MemorySource(images), classes=classifier.classes, image_shape=classifier.image_shape)
    scores = classifier.scores(images)
    predicted = scores == scores.max(axis=1, keepdims=True)
    count = len(images)
    found = Population(np.arange(count), scores, predicted, predicted, np.zeros(count, bool), np.array(dataset.ids))
    height, width, channels = classifier.image_shape
    alpha = np.zeros((height, width), np.float32)
    alpha[-height // 3 :, -width // 3 :] = 0.5
    overlay = Overlay(alpha, np.ones((height, width, channels), np.float32))
    built = [Artefact(name, "overlay", overlay, target, "none", np.zeros(count, bool)) for name, target in artefacts]
    return Inquiry(
        classifier=classifier,
        dataset=dataset,
        images=found,
        artefacts=built,
        targets=[target for _, target in artefacts],
        mean_image=images.mean(axis=0),
        attributions=[Method(name, ATTRIBUTIONS[name], options) for name, options in methods.items()],
        rows=Rows(),
        arrays=NewArrays(),
        seed=0,
        level=0.95,
        progress=lambda *_: None,
    )
