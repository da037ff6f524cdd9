"""A model of every family of `keras.applications`, with random weights, goes through a whole audit."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from tests.bad_worlds import MODEL
from tests.small_world import Command, World

SIDES = {"InceptionV3": 75, "InceptionResNetV2": 75, "Xception": 71}
"""The smallest pictures that these take; the others are given 32 x 32."""

FAMILIES = (
    "MobileNet", "MobileNetV2", "MobileNetV3Small", "EfficientNetB0", "EfficientNetV2B0", "DenseNet121", "NASNetMobile",
    "ResNet50", "ResNet50V2", "InceptionV3", "InceptionResNetV2", "Xception", "VGG16", "ConvNeXtTiny",
)  # fmt: skip

BUILDER = """\
import keras

def build():
    keras.utils.set_random_seed(0)
    return keras.applications.{name}(weights=None, input_shape=({side}, {side}, 3), classes=3)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_a_model_of_this_family_is_audited(name: str, world: World, command: Command, monkeypatch: pytest.MonkeyPatch):
    side = SIDES.get(name, 32)
    numbers = np.random.default_rng(0)
    images = numbers.integers(0, 256, (9, side, side, 3), np.uint8)
    np.savez(world.folder / "images.npz", images=images, labels=np.arange(9) % 3)
    monkeypatch.delitem(sys.modules, "application", raising=False)
    (world.folder / "application.py").write_text(BUILDER.format(name=name, side=side))
    world.replace(MODEL, 'source = "application:build"\ninput_range = [0, 255]\nbatch_size = 3\n')
    world.replace("images = 6\nexemplars = 2", "images = 2\nexemplars = 1")
    ending = command("audit", world.config, "--quiet")
    assert ending.code == 4, ending  # so few images settle nothing
    assert world.result().model.feature_layers, "no layer has maps for Grad-CAM"
    (run,) = world.runs()
    assert "grad_cam" in (run / "result.json").read_text("utf-8")
    assert (run / "report.html").is_file()
