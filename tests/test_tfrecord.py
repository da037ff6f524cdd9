"""The example that reads TFRecords does, and its configuration is in order."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from auditor.errors import DataError
from auditor.subject.data.sample import Dataset
from auditor.subject.data.sources import FunctionSource
from tests.small_world import CLASSES, Command, World, make_data
from tests.test_bad_input import assert_one_error

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"tfrecord_{name}", EXAMPLES / "tfrecord" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def example(tmp_path: Path) -> Any:
    """The example's module, reading records of the small world's images."""
    data = make_data()
    load("write").write_records(data["images"], data["labels"], tmp_path / "records")
    module = load("source")
    module.RECORDS = tmp_path / "records"
    return module


def test_every_record_is_read_with_its_label_and_id(example: Any) -> None:
    source = FunctionSource(example.pictures, "source:pictures")
    dataset = Dataset(source, classes=CLASSES, image_shape=(8, 8, 1))
    order = [*range(0, 42, 2), *range(1, 42, 2)]  # every second image is in the second file
    data = make_data()
    assert dataset.ids == [f"{number:05}.png" for number in order]
    assert source.labels == data["labels"][order].tolist()
    np.testing.assert_allclose(dataset.images(range(42)), data["images"][order] / np.float32(255), atol=1e-6)


def test_records_of_tensorflow_datasets_are_read_by_their_own_names(tmp_path: Path, example: Any) -> None:
    picture = tf.io.encode_jpeg(np.full((6, 5, 3), 200, np.uint8)).numpy()
    with tf.io.TFRecordWriter(str(tmp_path / "records" / "beans-test.tfrecord-00000-of-00001")) as writer:
        for features in ({"image": picture, "label": 2}, {"image": picture}):
            writer.write(encoded(features))
    example.IMAGE, example.LABEL, example.PATTERN = "image", "label", "beans-test.tfrecord*"
    source = FunctionSource(example.pictures, "source:pictures")
    assert (source.ids, source.labels, source.groups) == (["000000", "000001"], [2, None], ["000000", "000001"])
    (_, pixels), _ = source.stream([0, 1])
    np.testing.assert_array_equal(pixels, np.full((6, 5, 3), 200))


def test_groups_are_taken_where_records_have_them(tmp_path: Path, example: Any) -> None:
    with tf.io.TFRecordWriter(str(tmp_path / "records" / "more.tfrecord")) as writer:
        writer.write(encoded({"image/encoded": b"", "image/group": "patient 7"}))
    assert FunctionSource(example.pictures, "mine").groups[-1] == "patient 7"


def test_a_damaged_picture_is_skipped_and_named(tmp_path: Path, example: Any) -> None:
    with tf.io.TFRecordWriter(str(tmp_path / "records" / "more.tfrecord")) as writer:
        writer.write(encoded({"image/encoded": b"no picture", "image/filename": "bad.png"}))
    dataset = Dataset(FunctionSource(example.pictures, "mine"), classes=CLASSES, image_shape=(8, 8, 1))
    assert len(dataset.images(range(43))) == 42
    assert [skipped.image for skipped in dataset.skipped.values()] == ["bad.png"]


def test_damaged_or_missing_records_end_in_one_sentence(tmp_path: Path, example: Any) -> None:
    file = next((tmp_path / "records").iterdir())
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"^mine failed: DataLossError: .*truncated record"):
        FunctionSource(example.pictures, "mine")
    shutil.rmtree(tmp_path / "records")
    with pytest.raises(DataError, match=r"mine failed: FileNotFoundError: .*records: no files \*\.tfrecord\*"):
        FunctionSource(example.pictures, "mine")


@pytest.mark.slow
def test_the_example_is_in_order_as_it_stands(tmp_path: Path) -> None:
    for folder in ("tfrecord", "planted"):
        shutil.copytree(EXAMPLES / folder, tmp_path / folder, ignore=shutil.ignore_patterns("records", "__pycache__"))
    words = [[tmp_path / "tfrecord" / "write.py"], ["-m", "auditor.cli", "validate", tmp_path / "tfrecord/audit.toml"]]
    for command in words:
        environment = {**os.environ, "PYTHONPATH": str(EXAMPLES.parent)}
        done = subprocess.run([sys.executable, *command], capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
    assert "images: 400 of 400, 28 x 28 x 1\nlabels: " in done.stdout
    assert "artefact 'watermark': overlay, target Coat, on 40 images" in done.stdout


def test_records_are_audited(world: World, command: Command, monkeypatch: pytest.MonkeyPatch, example: Any) -> None:
    world.write_module(monkeypatch, (EXAMPLES / "tfrecord" / "source.py").read_text())
    world.replace('source = "images.npz"', 'source = "mine:pictures"')
    assert command("audit", world.config, "--quiet").code == 1
    assert world.result().data.accuracy.n == 42
    shutil.rmtree(world.folder / "records")
    assert_one_error(command("audit", world.config, "--quiet"), 3, "mine:pictures failed: FileNotFoundError: ")


def encoded(features: dict[str, Any]) -> bytes:
    """One record: numbers as int64, all else as bytes."""
    found = {}
    for name, value in features.items():
        if isinstance(value, int):
            found[name] = tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
        else:
            content = value.encode() if isinstance(value, str) else value
            found[name] = tf.train.Feature(bytes_list=tf.train.BytesList(value=[content]))
    return tf.train.Example(features=tf.train.Features(feature=found)).SerializeToString()
