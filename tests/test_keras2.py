"""Files of Keras 2 give in Keras 3 what they gave, or say what to write; `keras2/write.py` wrote them with Keras 2."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

from auditor.errors import ModelError
from auditor.subject.model import operators
from auditor.subject.model.files import load_model_file
from auditor.subject.model.keras2 import WAY_OUT, mended
from tests.bad_worlds import MODEL
from tests.small_world import Command, World, make_model
from tests.test_loading import assert_refused, change_architecture, load, save_hdf5

FILES = Path(__file__).parent / "keras2" / "files.zip"
TOLD = {
    "of_layers": ("groups of DepthwiseConv2D is left out", "groups of Conv2DTranspose", "time_major of GRU is left out",
                  "hard_sigmoid has the slope", "rng_type of RandomFlip"),
    "of_operators": ("operators between the layers call the function of TensorFlow that they name (13)",),
    "of_models": ("operators between the layers",),
    "of_a_sequence": ("groups of DepthwiseConv2D",),
}  # fmt: skip


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keras2")
    with zipfile.ZipFile(FILES) as archive:
        archive.extractall(folder)
    return folder


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
@pytest.mark.parametrize("name", TOLD)
def test_a_file_of_keras_2_gives_the_scores_that_keras_2_gave(name: str, suffix: str, written: Path):
    model, told = load_model_file(written / f"{name}{suffix}", "serving_default", trust=False)
    kept = np.load(written / "outputs.npz")
    np.testing.assert_allclose(
        model(kept["images"], training=False).numpy(), kept[name], rtol=1e-4, atol=1e-5
    )  # float32, sums of tens
    assert len(told) == 1
    assert [part for part in TOLD[name] if part not in told[0]] == []


def test_what_was_mended_is_said_by_validate(written: Path, command: Command):
    numbers = np.random.default_rng(0)
    images = {"images": numbers.integers(0, 256, (12, 8, 8, 3), np.uint8), "labels": np.arange(12) % 3}
    np.savez(written / "images.npz", **images)
    model, data = '[model]\nsource = "of_layers.h5"\ninput_range = [0, 1]\n', '[data]\nsource = "images.npz"\n'
    (written / "audit.toml").write_text(model + data)
    told = command("validate", written / "audit.toml")
    assert told.code == 0, told
    assert "note: The file is mended while it is read, as Keras 3 would refuse or misread it: " in told.out


def layer(kind: str, **config: Any) -> dict[str, Any]:
    return {"class_name": kind, "config": {"name": kind.lower(), "trainable": True, "dtype": "float32"} | config}


def sequence(*layers: dict[str, Any]) -> dict[str, Any]:
    return {"class_name": "Sequential", "config": {"name": "sequential", "layers": list(layers)}}


def write_hdf5(file: Path, config: Any, weights: dict[str, list[Any]], version: str = "2.1.6-tf") -> None:
    with h5py.File(file, "w") as content:
        content.attrs.update({"model_config": json.dumps(config), "keras_version": version, "backend": "tensorflow"})
        groups = content.create_group("model_weights")
        groups.attrs["layer_names"] = [name.encode() for name in weights]
        for name, values in weights.items():
            group = groups.create_group(name)
            group.attrs["weight_names"] = [f"weight_{number}:0".encode() for number in range(len(values))]
            for number, value in enumerate(values):
                group[f"weight_{number}:0"] = value


def test_a_sequence_as_keras_wrote_it_before_layers_had_a_place(tmp_path: Path):
    weights = np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32)
    first = layer("Flatten", batch_input_shape=[None, 2, 2, 1])
    config = sequence(first, layer("Dense", units=2, use_bias=False))
    config["config"] = config["config"]["layers"]
    write_hdf5(tmp_path / "old.h5", config, {"flatten": [], "dense": [weights]})
    model, told = load_model_file(tmp_path / "old.h5", "serving_default", trust=False)
    images = np.random.default_rng(1).random((3, 2, 2, 1)).astype(np.float32)
    np.testing.assert_allclose(model(images).numpy(), images.reshape(3, 4) @ weights, atol=1e-6)
    assert told == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (layer("LocallyConnected2D", filters=2, kernel_size=[3, 3]),
         "holds a LocallyConnected2D layer ('locallyconnected2d'), which Keras 3 has no more"),
        (layer("TFOpLambda", name="tf.einsum", function="einsum"),
         "holds tf.einsum (layer 'tf.einsum'), a line of Python between layers of Keras 2"),
        (layer("TFOpLambda", name="tf.py", function="numpy_function"), "holds tf.numpy_function (layer 'tf.py')"),
        (layer("TFOpLambda", name="tf.io", function="io.write_file"), "holds tf.io.write_file (layer 'tf.io')"),
        (layer("LSTM", units=2, time_major=True), "layer 'lstm' (LSTM) has time_major = True, which Keras 3 does not"),
        (layer("Conv2D", filters=2, kernel_size=[3, 3], padding="odd"), "layer 'conv2d' (Conv2D): TypeError: The `pad"),
    ],
)  # fmt: skip
def test_what_cannot_be_mended_says_the_layer_and_the_way_out(wrong: Any, said: str, tmp_path: Path):
    write_hdf5(tmp_path / "model.h5", sequence(layer("InputLayer", batch_input_shape=[None, 8, 8, 3]), wrong), {})
    with pytest.raises(ModelError) as refused:
        load_model_file(tmp_path / "model.h5", "serving_default", trust=False)
    told = str(refused.value)
    assert said in told
    assert told.endswith(f"; {WAY_OUT}")
    assert "\n" not in told


def test_weights_of_another_shape_name_their_layer(tmp_path: Path):
    first = layer("Flatten", batch_input_shape=[None, 2, 2, 1])
    config = sequence(first, layer("Dense", units=2, use_bias=False))
    write_hdf5(tmp_path / "model.h5", config, {"flatten": [], "dense": [np.zeros((3, 2))]})
    with pytest.raises(ModelError, match=r"layer 'dense' \(Dense\) has weights of shapes \[\(4, 2\)\] in Keras 3"):
        load_model_file(tmp_path / "model.h5", "serving_default", trust=False)


def test_an_operator_names_nothing_but_a_function_of_the_list():
    for hostile in ("io.read_file", "numpy_function", "py_function", "compat.v1.Session", "math", "load_library", ""):
        assert not operators.is_known(hostile)
        with pytest.raises(KeyError):
            operators.FunctionOfTensorFlow(hostile)


def test_a_file_of_keras_3_stays_as_it_is(tmp_path: Path):
    model = make_model()
    config = json.loads(model.to_json())
    assert mended(config, keras.__version__) == (config, [])
    save_hdf5(model, tmp_path / "model.h5")
    with h5py.File(tmp_path / "model.h5") as content:
        assert mended(json.loads(content.attrs["model_config"]), content.attrs["keras_version"])[1] == []


def test_a_model_in_a_sequence_that_gives_a_list_of_one_is_mended_in_a_file_of_keras_3(tmp_path: Path):
    """Keras 3.8 wrote so, and later ones refuse it."""
    given = keras.Input((8, 8, 3))
    base = keras.Model(given, keras.layers.Conv2D(4, 3)(given))
    top = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dropout(0.1), keras.layers.Dense(3)]
    model = keras.Sequential([keras.Input((8, 8, 3)), base, *top])
    model.save(tmp_path / "model.keras")

    def as_lists(config: Any) -> None:
        for inner in config["config"]["layers"]:
            if inner["class_name"] == "Functional":
                for key in ("input_layers", "output_layers"):
                    inner["config"][key] = [[inner["config"][key][0], 0, 0]]

    change_architecture(tmp_path / "model.keras", as_lists)
    read, told = load_model_file(tmp_path / "model.keras", "serving_default", trust=False)
    images = np.random.default_rng(0).random((2, 8, 8, 3)).astype(np.float32)
    np.testing.assert_allclose(read(images).numpy(), model(images).numpy(), atol=1e-6)
    assert "a model within the sequence" in told[0]


class TestWeightsBesideAFunction:
    BUILDER = "from tests.small_world import make_model\n\ndef build():\n    return make_model()\n"

    @pytest.mark.parametrize("name", ["model.weights.h5", "model.h5", "model.keras"])
    def test_they_are_loaded_into_what_it_builds(self, name: str, world: World):
        model, file = make_model(), world.folder / name
        for weight in model.weights:
            weight.assign(np.random.default_rng(0).normal(size=weight.shape))
        if name.endswith(".weights.h5"):
            model.save_weights(file)
        else:
            save_hdf5(model, file) if file.suffix == ".h5" else model.save(file)
        (world.folder / "builder_of_weights.py").write_text(self.BUILDER)
        world.replace(MODEL, f'source = "builder_of_weights:build"\nweights = "{name}"\n')
        classifier, record = load(world)
        images = np.random.default_rng(0).random((3, 8, 8, 1)).astype(np.float32)
        low, high = classifier.input_range or (0, 1)
        raw = model(images * (high - low) + low).numpy()
        wanted = np.log(raw) if (raw >= 0).all() else raw
        found = classifier.scores(images)
        np.testing.assert_allclose(found - found[:, :1], wanted - wanted[:, :1], atol=1e-3)  # logs of float32
        assert len(str(record.sha256)) == 64

    def test_those_of_another_model_are_refused(self, world: World, command: Command):
        other = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(5)])
        other.save_weights(world.folder / "other.weights.h5")
        (world.folder / "builder_of_weights.py").write_text(self.BUILDER)
        world.replace(MODEL, 'source = "builder_of_weights:build"\nweights = "other.weights.h5"\n')
        said = "other.weights.h5 does not hold the weights of the model that the function builds"
        assert_refused(command("validate", world.config), 3, said)

    def test_they_are_for_keras_models_and_for_functions(self, world: World, command: Command):
        world.replace(MODEL, 'source = "model.keras"\nweights = "model.weights.h5"\n')
        assert_refused(
            command("validate", world.config), 2, "has an effect only beside source =", "package.module:function"
        )
