"""A model of every family of `keras.applications`, with random weights, goes through a whole audit."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import keras
import numpy as np
import pytest

import auditor

FAMILIES = (
    "ConvNeXtTiny", "DenseNet121", "EfficientNetB0", "EfficientNetV2B0", "InceptionResNetV2", "InceptionV3",
    "MobileNet", "MobileNetV2", "MobileNetV3Large", "MobileNetV3Small", "NASNetMobile", "ResNet50", "ResNet50V2",
    "VGG16", "Xception",
)  # fmt: skip

SIDES = {"InceptionV3": 75, "InceptionResNetV2": 75, "Xception": 71}
"""The smallest pictures that these take; the others are given 64 x 64."""

OFF = ("smoothgrad", "integrated_gradients", "trust", "optima", "counterfactual", "errors")

COUNT, CLASSES = 12, ("a", "b", "c")


def family_of(builder: Any) -> str:
    """The module of Keras that a model comes from."""
    return builder.__module__.rpartition(".")[2].rstrip("0123456789")


def test_every_family_of_keras_is_among_them():
    builders = [getattr(keras.applications, name) for name in dir(keras.applications)]
    known = {family_of(each) for each in builders if callable(each) and not isinstance(each, ModuleType)}
    assert known == {family_of(getattr(keras.applications, name)) for name in FAMILIES}


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_a_model_of_this_family_is_audited(name: str):
    side = SIDES.get(name, 64)
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    model = getattr(keras.applications, name)(weights=None, input_shape=(side, side, 3), classes=len(CLASSES))
    images = np.random.default_rng(0).integers(0, 256, (COUNT, side, side, 3), np.uint8)
    run = auditor.audit(
        model,
        images,
        np.arange(COUNT) % 3,
        classes=CLASSES,
        artefacts=[auditor.text("x", size=10, target="b")],
        methods={each: {"enabled": False} for each in OFF},
        settings={
            "model": {"input_range": [0, 255], "batch_size": COUNT},
            "explain": {"images": 2, "exemplars": 1},
            "interventions": {"fills": ["mean"]},
        },
    )
    assert [finding.verdict for finding in run.result.findings] == ["inconclusive"]  # so few images settle nothing
    assert {unit.status for unit in run.result.units} == {"done"}
    methods = {method.name: method.status for method in run.result.methods}
    assert (methods["gradient"], methods["grad_cam"]) == ("ok", "ok")

    layers = run.result.model.feature_layers
    assert layers, "no layer has maps for Grad-CAM"
    (exemplar,) = run.result.exemplars
    maps = {each.map.variant: run.run.arrays[each.array] for each in exemplar.maps if each.map.method == "grad_cam"}
    assert set(maps) == set(layers)
    for found in maps.values():
        assert found.shape[:2] == (side, side)
        assert np.isfinite(found).all()

    chance = model.predict(images.astype(np.float32), batch_size=COUNT, verbose=0)
    rows = run.rows()
    said = rows[rows["measurement"] == "score of the prediction"].sort_values("image")["value"]
    np.testing.assert_allclose(1 / (1 + np.exp(-said)), chance.max(axis=1), atol=1e-4)
