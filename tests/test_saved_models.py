"""A SavedModel is audited like the Keras model it was made from, and looked through before anything of it runs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from auditor.errors import AuditError, ModelError, OptionError
from auditor.explain.table import STUDIES
from auditor.subject.model.keras import KerasClassifier
from auditor.subject.model.saved_model import _reaches_out, load_saved_model
from tests.closed_form import random_images
from tests.small_world import Command, World, make_model

SHAPE = (12, 12, 1)
IMAGES = random_images(5, SHAPE)
TARGETS = np.array([0, 1, 2, 0, 1])
ONES = np.ones((144, 3), np.float32)
FLOATS = tf.TensorSpec((None, *SHAPE), tf.float32, name="pixels")


def network(units: int = 3, activation: str | None = None) -> Any:
    """A network with what is hard to bring back: a derivative of its own (swish), batch normalisation, dropout."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    steps = [
        layers.Rescaling(1 / 255),
        layers.Conv2D(4, 3, activation="swish"),
        layers.BatchNormalization(),
        layers.Dropout(0.3),
        layers.Flatten(),
        layers.Dense(units, activation=activation),
    ]
    return keras.Sequential([keras.Input(SHAPE), *steps])


class Linear(tf.Module):
    """A plain module with a signature of every kind."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = tf.Variable(tf.random.stateless_normal((144, 3), [0, 1]))

    def scores(self, pixels: Any) -> Any:
        return tf.reshape(tf.cast(pixels, tf.float32) / 255, (-1, 144)) @ self.weights

    def signatures(self) -> dict[str, Any]:
        made = {
            "floats": (self.scores, [FLOATS]),
            "doubles": (self.scores, [tf.TensorSpec((None, *SHAPE), tf.float64)]),
            "one": (self.scores, [tf.TensorSpec((1, *SHAPE), tf.float32)]),
            "eight": (lambda pixels: tf.reshape(pixels / 255, (8, 144)) @ self.weights, [tf.TensorSpec((8, *SHAPE))]),
            "probabilities": (lambda pixels: tf.nn.softmax(self.scores(pixels)), [FLOATS]),
            "bytes": (self.scores, [tf.TensorSpec((None, *SHAPE), tf.uint8)]),
            "rounded": (lambda pixels: self.scores(tf.cast(pixels, tf.uint8)), [FLOATS]),
            "anything": (self.scores, [tf.TensorSpec(None, tf.float32)]),
            "two_inputs": (lambda pixels, age: self.scores(pixels) + age, [FLOATS, tf.TensorSpec((None, 1))]),
            "two_outputs": (lambda pixels: {"a": self.scores(pixels), "b": self.scores(pixels)}, [FLOATS]),
            "maps": (lambda pixels: pixels, [FLOATS]),
        }
        return {name: tf.function(call).get_concrete_function(*specs) for name, (call, specs) in made.items()}


@pytest.fixture(scope="module")
def linear(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("linear")
    module = Linear()
    tf.saved_model.save(module, str(folder), signatures=module.signatures())
    return folder


def classifier(folder: Path, signature: str = "serving_default", *, trust: bool = False) -> KerasClassifier:
    model = load_saved_model(folder, signature, trust=trust)
    return KerasClassifier(model, image_shape=SHAPE, input_range=(0, 255), batch_size=4)


@pytest.mark.parametrize("signature", ["serving_default", "serve"])
def test_scores_and_derivatives_are_those_of_the_keras_model_that_was_exported(signature, tmp_path):
    model = network()
    model.export(tmp_path, verbose=False)
    twin, exported = KerasClassifier(model, batch_size=4), classifier(tmp_path, signature)
    first, second = (c.differentiate(IMAGES, TARGETS) for c in (twin, exported))
    assert np.abs(first.gradient).max() > 0.01
    np.testing.assert_allclose(second.scores, first.scores, atol=1e-4)
    np.testing.assert_allclose(second.gradient, first.gradient, atol=1e-4)
    record = exported.record("exported", None)
    assert record.structure == "SavedModel"
    assert record.parameters == model.count_params()
    assert record.feature_layers == []
    assert exported.why_no_features == "a SavedModel shows no layers"


@pytest.mark.parametrize(
    ("units", "activation", "output", "score"),
    [
        (3, None, "softmax", "logit"),
        (3, "softmax", "softmax", "log-probability"),
        (4, "sigmoid", "multilabel", "log-probability"),
        (1, "sigmoid", "binary", "log-probability"),
        (1, None, "binary", "logit"),
    ],
)
def test_logits_and_probabilities_are_told_apart(units, activation, output, score, tmp_path):
    model = network(units, activation)
    model.export(tmp_path, verbose=False)
    exported, twin = classifier(tmp_path), KerasClassifier(model)
    assert (exported.output, exported.score_name) == (output, score)
    shift = exported.scores(IMAGES) - twin.scores(IMAGES)
    if activation == "softmax":  # log-probabilities are logits up to a number for each image
        shift -= shift.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(shift, 0, atol=1e-3)


def test_a_logit_that_happens_to_lie_between_0_and_1_is_not_taken_for_a_probability(tmp_path):
    model = network(1)
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel * 1e-3, bias + 0.4])
    model.export(tmp_path, verbose=False)
    exported = classifier(tmp_path)
    assert exported.score_name == "logit"
    np.testing.assert_allclose(exported.scores(IMAGES)[:, 1], model(IMAGES * 255).numpy()[:, 0], atol=1e-4)


@pytest.mark.parametrize("signature", ["floats", "doubles", "one", "eight"])
def test_a_plain_module_is_run_in_its_own_type_and_batch_size(signature, linear):
    found = classifier(linear, signature)
    expected = IMAGES.reshape(5, -1) @ Linear().weights.numpy()
    np.testing.assert_allclose(found.scores(IMAGES), expected, atol=1e-4)
    slopes = Linear().weights.numpy()[:, TARGETS].T.reshape(IMAGES.shape)
    np.testing.assert_allclose(found.differentiate(IMAGES, TARGETS).gradient, slopes, atol=1e-4)


def test_probabilities_of_a_plain_module_become_their_logarithms(linear):
    found = classifier(linear, "probabilities")
    assert found.score_name == "log-probability"
    np.testing.assert_allclose(np.exp(found.scores(IMAGES)).sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("signature", "said"),
    [
        ("bytes", "'bytes' takes uint8, through which no derivative passes; export the model from where its pixels"),
        ("anything", "'anything' does not say what shape its images have"),
        ("two_inputs", "'two_inputs' has 2 inputs, age, pixels; wanted one: the images"),
        ("two_outputs", "'two_outputs' has 2 outputs, a, b; wanted one: the scores of the classes"),
        ("maps", r"the model's output has shape \(4, 12, 12, 1\), wanted \(images, classes\)"),
        ("served", "got 'served', wanted one of: anything, bytes, doubles, eight, floats, maps, one"),
    ],
)
def test_a_signature_that_is_not_one_image_to_one_output_is_refused(signature, said, linear):
    with pytest.raises((ModelError, OptionError), match=said):
        classifier(linear, signature)


def test_a_module_without_signatures_is_refused(tmp_path):
    tf.saved_model.save(tf.Module(), str(tmp_path))
    with pytest.raises(OptionError, match="got 'serving_default', wanted a model saved with signatures"):
        classifier(tmp_path)


def test_pixels_that_are_rounded_on_the_way_have_no_derivative_rather_than_one_of_zero(linear):
    found = classifier(linear, "rounded")
    assert found.scores(IMAGES).std() > 0
    with pytest.raises(ModelError, match="no derivative of its scores reaches the pixels"):
        found.differentiate(IMAGES, TARGETS)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: cut(folder / "saved_model.pb"), "saved_model.pb is no SavedModel, or it is cut short"),
        (lambda folder: (folder / "saved_model.pb").write_bytes(b"text"), "saved_model.pb is no SavedModel"),
        (lambda folder: (folder / "saved_model.pb").write_bytes(b""), "saved_model.pb is no SavedModel"),
        (lambda folder: shutil.rmtree(folder / "variables"), "cannot be loaded, it is damaged or incomplete: "),
        (lambda folder: cut(next(folder.glob("variables/*.data*"))), "it is damaged or incomplete: "),
        (lambda folder: next(folder.glob("variables/*.data*")).unlink(), "it is damaged or incomplete: "),
        (lambda folder: cut(folder / "variables" / "variables.index"), "it is damaged or incomplete: "),
    ],
)
def test_a_damaged_folder_gets_one_error(spoil, said, world: World, command: Command):
    use_saved_model(world, make_model())
    spoil(world.folder / "exported")
    ending = command("audit", world.config, "--quiet")
    assert (ending.code, ending.out, len(ending.err.splitlines())) == (3, "", 1), ending
    assert ": model.source: exported: " in ending.err
    assert said in ending.err


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def use_saved_model(world: World, model: Any) -> None:
    """Put an exported model in place of the Keras file."""
    model.export(world.folder / "exported", verbose=False)
    world.replace('source = "model.keras"\n', 'source = "exported"\ninput_range = [0, 255]\n')


@pytest.mark.slow
def test_a_saved_model_is_audited_without_grad_cam_and_comes_to_the_same_verdict(world: World, command: Command):
    assert command("audit", world.config, "--quiet", "--output", world.folder / "keras").code == 1
    use_saved_model(world, make_model())
    ending = command("audit", world.config, "--quiet")
    assert ending.code == 1, ending.err
    result = world.result()
    twin = world.result("keras")
    theta, expected = (r.findings[0].measurements["theta"] for r in (result, twin))
    assert theta.value == pytest.approx(expected.value, abs=1e-3)
    methods = {method.name: (method.status, method.reason) for method in result.methods if method.name not in STUDIES}
    assert methods.pop("grad_cam") == ("not_applicable", "a SavedModel shows no layers")
    assert set(methods.values()) == {("ok", None)}
    assert {agreement.status for agreement in result.agreement} == {"not_applicable"}
    assert "SavedModel" in str(result.agreement[0].reason)
    assert result.model.structure == "SavedModel"
    assert result.model.score == "log-probability"


def test_a_layer_to_explain_is_refused_with_the_reason(world: World, command: Command):
    use_saved_model(world, make_model())
    world.add('[methods.grad_cam]\nlayers = ["identity"]\n')
    ending = command("validate", world.config)
    assert ending.code == 2
    assert "'identity' is no layer with feature maps: a SavedModel shows no layers" in ending.err


def test_the_range_of_its_pixels_must_be_told(world: World, command: Command):
    use_saved_model(world, make_model())
    world.replace("input_range = [0, 255]\n", "")
    ending = command("validate", world.config)
    assert ending.code == 2
    assert "model.input_range: the model shows no Rescaling or Normalization of its own" in ending.err


def test_the_hash_is_that_of_all_files_and_changes_with_any(world: World, command: Command):
    use_saved_model(world, make_model())
    from auditor.subject.model.loading import _hash_folder

    folder = world.folder / "exported"
    before = _hash_folder(folder)
    assert before == _hash_folder(shutil.copytree(folder, world.folder / "copy"))
    content = bytearray(next(folder.glob("variables/*.data*")).read_bytes())
    content[-1] ^= 1
    next(folder.glob("variables/*.data*")).write_bytes(content)
    assert _hash_folder(folder) != before


class Writing(tf.Module):
    """A model that writes a file when it is run, in the way that a test chooses."""

    def __init__(self, write: Callable[[], object], weights: Any = ONES) -> None:
        super().__init__()
        self.write = write
        self.weights = tf.Variable(weights)

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 1), tf.float32, name="pixels")])
    def __call__(self, pixels: Any) -> Any:
        self.write()
        return tf.reshape(pixels, (-1, self.weights.shape[0])) @ self.weights


class WritingWhenLoaded(tf.saved_model.experimental.TrackableResource):
    """A resource that writes a file when it is brought to life, which loading a model does."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.file = str(file)

    def _create_resource(self) -> Any:
        return tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=())

    def _initialize(self) -> None:
        tf.io.write_file(self.file, "sprung")


def hidden_in_a_data_set(file: Path) -> None:
    """The graph that writes is itself a text in the graph that is saved."""
    inner = tf.Graph()
    with inner.as_default():
        tf.io.write_file(str(file), "sprung")
        tf.raw_ops.TensorDataset(components=[tf.constant(1.0)], output_shapes=[[]], name="data")
    tf.raw_ops.DatasetFromGraph(graph_def=inner.as_graph_def().SerializeToString())


def as_a_checkpoint(file: Path) -> None:
    names, slices = tf.constant(["sprung"]), tf.constant([""])
    tf.raw_ops.SaveV2(prefix=str(file), tensor_names=names, shape_and_slices=slices, tensors=[tf.constant(1.0)])


def in_python(file: Path) -> None:
    tf.numpy_function(lambda: np.float32(file.write_text("sprung")), [], tf.float32)


def in_eager_python(file: Path) -> None:
    tf.py_function(lambda: float(file.write_text("sprung")), [], tf.float32)


def in_a_branch(file: Path) -> None:
    tf.cond(
        tf.random.uniform(()) < 2,
        lambda: tf.print("sprung", output_stream=f"file://{file}"),
        lambda: tf.no_op(),
    )


@pytest.mark.parametrize(
    ("write", "operation"),
    [
        (lambda file: tf.io.write_file(str(file), "sprung"), "WriteFile"),
        (lambda file: tf.io.read_file(str(file)), "ReadFile"),
        (hidden_in_a_data_set, "DatasetFromGraph"),
        (as_a_checkpoint, "SaveV2"),
        (in_python, "PyFunc"),
        (in_eager_python, "EagerPyFunc"),
        (in_a_branch, "PrintV2"),
    ],
)
def test_a_model_that_would_reach_beyond_itself_is_refused_before_it_can(write, operation, tmp_path):
    file = tmp_path / "sprung"
    tf.saved_model.save(Writing(lambda: write(file)), str(tmp_path / "model"))
    for leftover in tmp_path.glob("sprung*"):
        leftover.unlink()
    with pytest.raises(ModelError, match=rf"would be run: [\w, ]*{operation}.*trust = true"):
        classifier(tmp_path / "model")
    assert list(tmp_path.glob("sprung*")) == []


REACHING = """
    ReadFile WriteFile MatchingFiles SaveV2 RestoreV2 MergeV2Checkpoints LoadAndRemapMatrix ImmutableConst PyFunc
    PyFuncStateless EagerPyFunc RemoteCall XlaCallModule XlaHostCompute PrintV2 Abort DebugIdentity DebugIdentityV2
    DebugIdentityV3 DebugNumericSummary WriteSummary FileSystemSetConfiguration InitializeTableFromTextFileV2
    TFRecordDataset TextLineDatasetV2 LMDBDataset SqlDataset DatasetFromGraph MapDataset IteratorGetNext DecodeProtoV2
    WholeFileReaderV2 ReaderReadV2 Send Recv CollectiveReduce NotYetKnown
"""
COMPUTING = """
    Conv2D MatMul Softmax FusedBatchNormV3 While TensorListStack ReadVariableOp RngReadAndSkip StatelessRandomUniformV2
    ImageProjectiveTransformV3 HashTableV2 StatefulPartitionedCall Einsum Erfc DecodeJpeg
"""


def test_what_may_reach_out_is_told_from_what_computes():
    assert [name for name in REACHING.split() if not _reaches_out(name)] == []
    assert [name for name in COMPUTING.split() if _reaches_out(name)] == []


def test_a_model_that_would_write_while_it_is_loaded_is_refused_unless_it_is_trusted(tmp_path):
    file = tmp_path / "sprung"
    module = Writing(lambda: None)
    module.resource = WritingWhenLoaded(file)
    tf.saved_model.save(module, str(tmp_path / "model"))
    file.unlink(missing_ok=True)
    with pytest.raises(ModelError, match="WriteFile"):
        classifier(tmp_path / "model")
    assert not file.exists()
    classifier(tmp_path / "model", trust=True)
    assert file.read_text() == "sprung", "the test's own model does not write, so the test proves nothing"


def test_a_trusted_model_is_run_as_it_is(world: World, command: Command):
    file = world.folder / "sprung"
    weights = make_model().get_layer("head").get_weights()[0] / 255
    tf.saved_model.save(Writing(lambda: tf.io.write_file(str(file), "sprung"), weights), str(world.folder / "exported"))
    file.unlink(missing_ok=True)
    world.replace('source = "model.keras"\n', 'source = "exported"\ninput_range = [0, 255]\n')
    ending = command("audit", world.config, "--quiet")
    assert (ending.code, len(ending.err.splitlines())) == (3, 1)
    assert "operations that may reach beyond the model" in ending.err
    assert not file.exists()
    ending = command("audit", world.config, "--quiet", "--set", "model.trust=true")
    assert ending.code == 1, ending.err
    assert file.read_text() == "sprung"


def test_pictures_and_tables_in_another_signature_are_no_reason_to_refuse(tmp_path):
    class Serving(Linear):
        def __init__(self) -> None:
            super().__init__()
            keys, values = tf.constant([0, 1, 2], tf.int64), tf.constant(["cat", "dog", "boat"])
            self.names = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, values), "none")

        def name(self, files: Any) -> Any:
            pictures = tf.map_fn(lambda file: tf.io.decode_jpeg(file, 1), files, fn_output_signature=tf.uint8)
            return self.names.lookup(tf.argmax(self.scores(pictures), axis=1))

    module = Serving()
    signatures = {
        "serving_default": tf.function(module.name).get_concrete_function(tf.TensorSpec((None,), tf.string)),
        "scores": tf.function(module.scores).get_concrete_function(FLOATS),
    }
    tf.saved_model.save(module, str(tmp_path), signatures=signatures)
    assert classifier(tmp_path, "scores").scores(IMAGES).shape == (5, 3)
    with pytest.raises(AuditError, match="'serving_default' takes string"):
        classifier(tmp_path)
