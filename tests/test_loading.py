"""Models come in files of several kinds, some damaged, some hostile, and with Keras itself."""

from __future__ import annotations

import json
import socket
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

from auditor.artefacts.kinds import ARTEFACT_KINDS
from auditor.config.file import read_config
from auditor.explain.table import METHODS
from auditor.subject.model.keras import KerasClassifier
from auditor.subject.model.loading import load_classifier
from auditor.subject.record import ModelRecord
from tests.bad_worlds import LABELS, MODEL
from tests.closed_form import random_images
from tests.small_world import Command, Ending, World, make_model

IMAGES = random_images(5, (8, 8, 1))


def load(
    world: World, *overrides: str, image_shape: tuple[int, int, int] | None = (8, 8, 1)
) -> tuple[KerasClassifier, ModelRecord]:
    settings = read_config(world.config, overrides, kinds=ARTEFACT_KINDS, methods=METHODS)
    return load_classifier(settings, image_shape)


def assert_refused(ending: Ending, code: int, *said: str) -> None:
    assert (ending.code, ending.out, len(ending.err.splitlines())) == (code, "", 1), ending
    for part in said:
        assert part in ending.err


def save_hdf5(model: Any, file: Path) -> None:
    with warnings.catch_warnings(action="ignore"):  # Keras calls the format legacy
        model.save(file)


def change_architecture(file: Path, change: Callable[[Any], None]) -> None:
    """Change the architecture that a model file holds, as text."""
    if file.suffix == ".h5":
        with h5py.File(file, "r+") as content:
            config = json.loads(content.attrs["model_config"])
            change(config)
            content.attrs["model_config"] = json.dumps(config)
        return
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(parts["config.json"])
    change(config)
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in (parts | {"config.json": json.dumps(config).encode()}).items():
            archive.writestr(name, data)


def put_into_lambdas(node: Any, call: dict[str, Any]) -> None:
    if isinstance(node, dict):
        if node.get("class_name") == "Lambda":
            node["config"] |= call
        for part in list(node.values()):
            put_into_lambdas(part, call)
    elif isinstance(node, list):
        for part in node:
            put_into_lambdas(part, call)


class TestHdf5:
    def test_a_file_of_keras_3_is_audited(self, world: World, command: Command):
        save_hdf5(make_model(), world.folder / "model.h5")
        world.replace(MODEL, 'source = "model.h5"\n')
        assert command("audit", world.config, "--quiet").code == 1
        assert len(str(world.result().model.sha256)) == 64

    @pytest.mark.parametrize("suffix", [".h5", ".hdf5"])
    def test_a_file_of_keras_2_gives_the_scores_that_its_weights_say(self, suffix: str, world: World):
        weights = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)
        write_keras_2(world.folder / f"model{suffix}", weights)
        world.replace(MODEL, f'source = "model{suffix}"\n')
        classifier, record = load(world)
        assert (record.head, record.input_range) == (
            "the softmax of layer 'head' is taken off; scores are logits",
            (0, 255),
        )
        np.testing.assert_allclose(classifier.scores(IMAGES), IMAGES.reshape(5, -1) @ weights, atol=1e-5)

    def test_a_lambda_is_refused_unless_it_is_trusted(self, world: World, command: Command):
        given = keras.Input((8, 8, 1))
        x = keras.layers.Lambda(lambda pixels: pixels * 1.0)(keras.layers.Rescaling(1 / 255)(given))
        save_hdf5(keras.Model(given, keras.layers.Dense(3)(keras.layers.Flatten()(x))), world.folder / "model.h5")
        world.replace(MODEL, 'source = "model.h5"\n')
        assert_refused(command("validate", world.config), 3, "model.h5: holds a Lambda layer", "trust = true")
        assert command("validate", world.config, "--set", "model.trust=true").code == 0

    @pytest.mark.parametrize("suffix", [".keras", ".h5"])
    @pytest.mark.parametrize("depth", [0, 1])
    def test_a_lambda_that_names_a_function_of_keras_runs_nothing(self, suffix, depth, world: World, command: Command):
        """Such a function may write files; Keras loads it without a question."""
        canary = world.folder / "canary.png"
        given = keras.Input((8, 8, 1))
        inner = keras.layers.Lambda(keras.ops.relu)
        x = keras.Sequential([inner])(given) if depth else inner(given)
        model = keras.Model(given, keras.layers.Dense(3)(keras.layers.Flatten()(x)))
        file = world.folder / f"hostile{suffix}"
        model.save(file) if suffix == ".keras" else save_hdf5(model, file)
        call = {"function": {"module": "keras.visualization", "class_name": "function", "config": "plot_image_gallery",
                             "registered_name": "plot_image_gallery"}, "arguments": {"path": str(canary)}}  # fmt: skip
        change_architecture(file, lambda config: put_into_lambdas(config, call))
        world.replace(MODEL, f'source = "{file.name}"\n')
        assert_refused(command("validate", world.config), 3, f"{file.name}: holds a Lambda layer", "trust = true")
        assert not canary.exists()

    def test_a_text_is_told_from_a_damaged_file_and_from_one_of_weights(self, world: World, command: Command):
        file = world.folder / "model.weights.h5"
        world.replace(MODEL, 'source = "model.weights.h5"\n')
        make_model().save_weights(file)
        weights_only = "holds weights only, not the model that they belong to; write a function that builds it"
        assert_refused(command("validate", world.config), 3, f"model.source: model.weights.h5: {weights_only}")
        file.write_bytes(file.read_bytes()[:1000])
        assert_refused(command("validate", world.config), 3, "cannot be loaded: it is damaged or cut short: ")
        file.write_text("weights")
        assert_refused(command("validate", world.config), 3, "cannot be loaded: it is no HDF5 file, as .h5 files are")
        file.unlink()
        assert_refused(command("validate", world.config), 2, "model.weights.h5: no such file")

    def test_the_older_files_of_weights_are_known_for_what_they_are(self, world: World, command: Command):
        save_hdf5(make_model(), world.folder / "model.h5")
        with h5py.File(world.folder / "model.h5", "a") as content:
            del content.attrs["model_config"]
        world.replace(MODEL, 'source = "model.h5"\n')
        assert_refused(command("validate", world.config), 3, "holds weights only", 'weights = "model.h5"')


def write_keras_2(file: Path, weights: Any) -> None:
    """What tf.keras 2 wrote: inputs as nested lists, no modules, weights by their full names."""

    def layer(kind: str, name: str, given: str | None, **config: Any) -> dict[str, Any]:
        nodes = [[[given, 0, 0, {}]]] if given else []
        config = {"name": name, "trainable": True, "dtype": "float32"} | config
        return {"class_name": kind, "config": config, "name": name, "inbound_nodes": nodes}

    layers = [
        layer("InputLayer", "input_1", None, batch_input_shape=[None, 8, 8, 1], sparse=False, ragged=False),
        layer("Rescaling", "rescaling", "input_1", scale=1 / 255, offset=0.0),
        layer("Flatten", "flatten", "rescaling", data_format="channels_last"),
        layer("Dense", "head", "flatten", units=3, activation="softmax", use_bias=False),
    ]
    ends = {"input_layers": [["input_1", 0, 0]], "output_layers": [["head", 0, 0]]}
    architecture = {"class_name": "Functional", "config": {"name": "model", "layers": layers} | ends}
    with h5py.File(file, "w") as content:
        content.attrs["keras_version"], content.attrs["backend"] = "2.15.0", "tensorflow"
        content.attrs["model_config"] = json.dumps(architecture)
        groups = content.create_group("model_weights")
        groups.attrs["layer_names"] = [entry["name"] for entry in layers]
        groups.attrs["keras_version"], groups.attrs["backend"] = "2.15.0", "tensorflow"
        for entry in layers:
            groups.create_group(entry["name"]).attrs["weight_names"] = []
        groups["head"].attrs["weight_names"] = ["head/kernel:0"]
        groups["head"]["head/kernel:0"] = weights


Edit = Callable[[dict[str, Any]], Any]


def rewrite(world: World, edit: Edit = lambda config: None, extra: tuple[str, ...] = ()) -> None:
    """Change the architecture in `model.keras`, and put further files into it."""
    file = world.folder / "model.keras"
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(parts["config.json"])
    parts["config.json"] = json.dumps(edit(config) or config).encode()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in [*parts.items(), *((name, b"sprung") for name in extra)]:
            archive.writestr(name, content)


def calling(module: str, name: str, config: Any, *, whole: bool) -> Edit:
    """Name a class in place of the model, or of its second layer."""
    part = {"module": module, "class_name": name, "config": config, "registered_name": None}

    def edit(architecture: dict[str, Any]) -> Any:
        if whole:
            return part
        return architecture["config"]["layers"][1].update(part)

    return edit


class TestHostileArchive:
    @pytest.mark.parametrize("trust", [False, True])
    @pytest.mark.parametrize("whole", [False, True])
    @pytest.mark.parametrize(
        ("module", "name", "config"),
        [
            ("os", "system", "touch {sprung}"),
            ("subprocess", "Popen", {"args": ["touch", "{sprung}"]}),
            ("builtins", "eval", "open('{sprung}', 'w')"),
            ("builtins", "exec", {"source": "open('{sprung}', 'w')"}),
            ("keras.src.utils.file_utils", "makedirs", {"path": "{sprung}"}),
        ],
    )
    def test_a_class_that_is_no_part_of_keras_is_not_called(
        self, module: str, name: str, config: Any, whole: bool, trust: bool, world: World, command: Command
    ):
        sprung = world.folder / "sprung"
        filled = json.loads(json.dumps(config).replace("{sprung}", str(sprung)))
        rewrite(world, calling(module, name, filled, whole=whole))
        ending = command("validate", world.config, "--set", f"model.trust={str(trust).lower()}")
        assert_refused(ending, 3, "model.source: model.keras: ")
        assert not sprung.exists()
        if module in ("os", "subprocess"):
            assert f"is made of what is no part of Keras: {module}.{name}; write a function" in ending.err

    def test_an_activation_that_is_no_part_of_keras_is_not_called(self, world: World, command: Command):
        def edit(architecture: dict[str, Any]) -> None:
            function = {"module": "os", "class_name": "function", "config": "system", "registered_name": "system"}
            architecture["config"]["layers"][-1]["config"]["activation"] = function

        rewrite(world, edit)
        assert_refused(command("validate", world.config), 3, "no part of Keras: os.system;")

    @pytest.mark.parametrize(
        ("name", "config", "said"),
        [
            ("TFSMLayer", {"filepath": "exported", "call_endpoint": "serve"}, "which runs a graph of TensorFlow"),
            ("StringLookup", {"vocabulary": "/etc/passwd"}, "which may read a vocabulary from any file"),
        ],
    )
    def test_a_layer_that_would_read_other_files_is_refused(
        self, name: str, config: Any, said: str, world: World, command: Command
    ):
        rewrite(world, calling("keras.layers", name, config, whole=False))
        assert_refused(command("validate", world.config), 3, f"model.keras: holds a {name} layer", said)

    @pytest.mark.parametrize("name", ["../sprung", "/tmp/auditor-sprung", "assets/../../sprung"])
    def test_a_file_that_would_land_elsewhere_is_refused(self, name: str, world: World, command: Command):
        rewrite(world, extra=(name,))
        ending = command("validate", world.config)
        assert_refused(ending, 3, f"it holds a file that would be written outside of it, {name!r}")
        places = [world.folder, world.folder.parent, Path.cwd(), Path.cwd().parent]
        assert not any((place / "sprung").exists() for place in places)
        assert not Path("/tmp/auditor-sprung").exists()

    def test_an_archive_without_weights_is_not_audited_with_random_ones(self, world: World, command: Command):
        file = world.folder / "model.keras"
        with zipfile.ZipFile(file) as archive:
            architecture = archive.read("config.json")
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("config.json", architecture)
        assert_refused(command("validate", world.config), 3, "model.keras: cannot be loaded: ", "model.weights.h5")
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("model.weights.h5", b"")
        assert_refused(command("validate", world.config), 3, "no archive of Keras", "config.json")


def test_a_layer_of_ones_own_that_was_registered_is_loaded(world: World):
    world.save_model(keras.Sequential([keras.Input((8, 8, 1)), Own(), keras.layers.Flatten(), keras.layers.Dense(3)]))
    assert load(world)[0].scores(IMAGES).shape == (5, 3)


@keras.saving.register_keras_serializable("tests")
class Own(keras.layers.Rescaling):
    def __init__(self, scale: float = 1 / 255, **options: Any) -> None:
        super().__init__(scale, **options)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    model = build()
    model.save_weights(folder / "model.weights.h5")
    model.save(folder / "model.keras")
    save_hdf5(model, folder / "model.h5")
    return folder


class TestApplications:
    """MobileNet, the least of them, at the smallest frame that it takes, with weights written here."""

    @pytest.fixture
    def mobile(self, world: World, weights: Path) -> World:
        """A world with 32 x 32 pictures whose model is MobileNet."""
        pixels = np.random.default_rng(0).integers(0, 256, (42, 32, 32, 3)).astype(np.uint8)
        world.save_images(images=pixels)
        world.replace(MODEL, f'source = "keras.applications:MobileNet"\nweights = "{weights}/model.weights.h5"\n')
        return world

    @pytest.mark.slow
    @pytest.mark.parametrize("name", ["model.weights.h5", "model.h5", "model.keras"])
    def test_it_is_built_for_the_data_and_the_labels_and_fed_as_its_makers_do(
        self, name: str, mobile: World, weights: Path
    ):
        classifier, record = load(mobile, f"model.weights={weights}/{name}", image_shape=(32, 32, 1))
        images = random_images(3, (32, 32, 3))
        with_its_own = keras.applications.mobilenet.preprocess_input(images * 255)
        expected = build()(with_its_own).numpy()
        scores = classifier.scores(images)
        np.testing.assert_allclose(np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True), expected, atol=1e-5)
        assert (record.image_shape, len(record.classes)) == ((32, 32, 3), 3)
        assert record.preprocessing == "preprocess_input of pixels in [0, 255]"
        assert record.head.startswith("the softmax of layer 'predictions' is taken off")
        assert classifier.feature_layers

    @pytest.mark.slow
    def test_a_range_or_function_of_the_users_own_comes_first(self, mobile: World, monkeypatch: pytest.MonkeyPatch):
        _, record = load(mobile, "model.input_range=[-1, 1]", image_shape=(32, 32, 3))
        assert record.preprocessing == "pixels in [-1, 1] are fed to the model, as declared"
        mobile.write_module(monkeypatch, "def halve(pixels):\n    return pixels / 2\n")
        _, record = load(mobile, "model.preprocess=mine:halve", image_shape=(32, 32, 3))
        assert record.preprocessing == "halve of pixels in [0, 255]"

    @pytest.mark.slow
    def test_one_that_rescales_by_itself_is_fed_with_plain_pixels(self, mobile: World):
        file = mobile.folder / "small.weights.h5"
        keras.applications.MobileNetV3Small(weights=None, input_shape=(32, 32, 3), classes=3).save_weights(file)
        mobile.replace("MobileNet", "MobileNetV3Small")
        _, record = load(mobile, f"model.weights={file}", image_shape=(32, 32, 3))
        assert record.preprocessing.startswith("pixels in [0, 255] are fed to the model, as its layer 'rescaling")

    def test_pictures_of_any_other_size_leave_it_at_its_own(self, mobile: World):
        _, record = load(mobile, "data.fit=resize", image_shape=(60, 50, 3))
        assert record.image_shape == (224, 224, 3)

    @pytest.mark.parametrize(
        ("change", "code", "said"),
        [
            ("model.source=keras.applications:imagenet_utils", 2, "keras.applications has no model 'imagenet_utils'"),
            ("model.weights=none.h5", 2, "model.weights: "),
            ("model.weights=labels.txt", 2, "model.weights: got 'labels.txt', wanted imagenet, or a .weights.h5, .h5"),
            ("model.source=keras.applications:MobileNetV2", 3, "not hold the weights of MobileNetV2 with 3 classes: "),
            ('model.labels=["a", "b"]', 3, "does not hold the weights of MobileNet with 2 classes"),
            ("model.signature=serve", 2, "model.signature: has an effect only where source is the folder of a Saved"),
        ],
    )
    def test_what_does_not_fit_gets_one_error(self, change: str, code: int, said: str, mobile: World, command: Command):
        assert_refused(command("validate", mobile.config, "--set", change), code, said)

    def test_a_file_that_lacks_the_weights_of_one_layer_is_refused(
        self, mobile: World, command: Command, weights: Path
    ):
        file = mobile.folder / "few.weights.h5"
        file.write_bytes((weights / "model.weights.h5").read_bytes())
        with h5py.File(file, "a") as content:
            del content["layers/conv2d/vars"]
        ending = command("validate", mobile.config, "--set", f"model.weights={file}")
        assert_refused(ending, 3, "few.weights.h5 does not hold the weights of MobileNet with 3 classes")

    def test_weights_that_a_reader_quietly_leaves_out_are_missed(
        self, mobile: World, command: Command, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(keras.Model, "load_weights", lambda model, file: None)
        assert_refused(command("validate", mobile.config), 3, "with 3 classes: conv1/kernel is missing")

    def test_pictures_that_are_too_small_for_it_are_named(self, mobile: World, command: Command):
        mobile.save_images()
        assert_refused(
            command("validate", mobile.config), 3, "cannot be built: ValueError: Input size must be at least"
        )

    def test_weights_that_cannot_be_fetched_are_asked_for_as_a_file(
        self, mobile: World, command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ):
        patience = []

        def refuse(*_: object, **__: object) -> None:
            patience.append(socket.getdefaulttimeout())
            raise OSError("Name or service not known")

        monkeypatch.setattr("socket.getaddrinfo", refuse)
        monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path))  # nothing was fetched before
        mobile.replace(LABELS, "")
        ending = command("validate", mobile.config, "--set", "model.weights=imagenet", "--set", "data.fit=resize")
        assert_refused(ending, 3, "the weights 'imagenet' cannot be fetched", 'set weights = "FILE.h5"', "https://")
        assert set(patience) == {10}
        assert socket.getdefaulttimeout() is None

    @pytest.mark.slow
    def test_one_is_audited_end_to_end(self, mobile: World, command: Command):
        file = mobile.folder / "model.weights.h5"
        keras.applications.MobileNetV2(weights=None, input_shape=(32, 32, 3), classes=3).save_weights(file)
        mobile.replace("MobileNet", "MobileNetV2")
        mobile.replace("[explain]\nimages = 6", "[explain]\nimages = 2")
        mobile.add("[methods.smoothgrad]\nenabled = false\n[methods.integrated_gradients]\nenabled = false\n")
        overrides = ("--set", f"model.weights={file}", "--set", "model.batch_size=8")
        ending = command("audit", mobile.config, "--quiet", *overrides)
        assert ending.code in (0, 1, 4), ending.err
        result = mobile.result()
        assert result.model.source == "keras.applications:MobileNetV2"
        assert {method.name: method.status for method in result.methods}["grad_cam"] == "ok"


def build() -> Any:
    """MobileNet with the same random weights every time."""
    keras.utils.set_random_seed(0)
    return keras.applications.MobileNet(weights=None, input_shape=(32, 32, 3), classes=3)
