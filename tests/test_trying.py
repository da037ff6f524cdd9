"""The process in which untrusted models are tried: what it may take, and what becomes of what fails there."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import keras
import pytest

from auditor.errors import ModelError, OptionError
from auditor.subject.model import trial, trying
from auditor.subject.model.trial import Trial, most_seconds, refuse_holes, try_first
from tests.small_world import World, make_model

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")

linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limits need Linux")


def a_trial(path: Path, *, shape: Any = (8, 8, 1), signature: str = "serving_default") -> Trial:
    return Trial(str(path), signature, shape, str(time.monotonic()))


def attempt(monkeypatch: pytest.MonkeyPatch, path: Path, act: Any) -> dict[str, str]:
    """What the process of trials answers, were this what a model does."""

    def acting(_: Trial) -> dict[str, str]:
        try:
            act()
        except Exception as fault:
            return {"fault": type(fault).__name__, "text": str(fault)}
        return {"fault": "", "text": ""}

    monkeypatch.setattr(trying, "_attempt", acting)
    return trying.try_in_a_fork(a_trial(path))


@linux_only
class TestLimits:
    def test_nothing_is_written(self, world: World, monkeypatch):
        def act() -> None:
            with (world.folder / "sprung").open("wb", buffering=0) as file:
                file.write(b"sprung")

        assert attempt(monkeypatch, world.config, act)["fault"] == "OSError"
        assert (world.folder / "sprung").stat().st_size == 0

    def test_no_more_memory_is_had_than_a_file_of_that_size_may_take(self, world: World, monkeypatch):
        assert attempt(monkeypatch, world.config, lambda: bytearray(2**31))["fault"] == "MemoryError"
        assert attempt(monkeypatch, world.config, lambda: bytearray(2**29))["fault"] == ""

    def test_what_tensorflow_takes_counts_and_is_refused_at_once(self, world: World):
        """It would keep memory for later, and wait for more, in a process in which it is a command's own."""
        code = f"""
from auditor.subject.model import trying
from auditor.subject.model.backend import import_tensorflow
from auditor.subject.model.trial import Trial
import_tensorflow()
def attempt(trial):
    import tensorflow as tf
    try:
        tf.zeros(2**29)
    except tf.errors.ResourceExhaustedError:
        return {{"fault": "too large", "text": ""}}
trying._attempt = attempt
print(trying.try_in_a_fork(Trial({str(world.config)!r}, "serving_default", (8, 8, 1), "")))
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
        assert "too large" in done.stdout

    def test_what_does_not_end_is_ended(self, world: World, monkeypatch):
        monkeypatch.setattr(trying, "most_seconds", lambda size: 0.2)
        begun = time.monotonic()
        answer = attempt(monkeypatch, world.config, lambda: time.sleep(60))
        assert "takes more than 0 seconds to be loaded" in answer["text"]
        assert time.monotonic() - begun < 10

    def test_what_ends_the_process_is_told(self, world: World, monkeypatch):
        assert (
            "ended with SIGTERM"
            in attempt(monkeypatch, world.config, lambda: os.kill(os.getpid(), signal.SIGTERM))["text"]
        )

    def test_there_is_no_network_where_it_can_be_taken_away(self, world: World, monkeypatch):
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
            answer = attempt(
                monkeypatch, world.config, lambda: socket.create_connection(("127.0.0.1", port), 5).close()
            )
        if not answer["fault"]:
            pytest.skip("this system lets no process leave its network")
        assert "unreachable" in answer["text"]


@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
def test_an_honest_model_passes_and_is_not_tried_again(name: str, tmp_path: Path, monkeypatch):
    file = tmp_path / name
    with warnings.catch_warnings(action="ignore"):  # Keras calls one of the formats legacy
        make_model().save(file)
    wanted = a_trial(file)
    try_first(wanted)
    monkeypatch.setattr(trial, "_ask", lambda _: pytest.fail("it was asked again"))
    try_first(wanted)


IN_A_FRESH_PROCESS = """
import sys
import auditor.subject.model.loading
from auditor.errors import ModelError
from auditor.subject.model import trial

file, is_run = sys.argv[1], sys.argv[2] == "run"
if is_run:
    import tensorflow as tf
    tf.zeros(1)
try:
    trial.try_first(trial.Trial(file, "serving_default", (8, 8, 1), "hash"))
    said = "passed"
except ModelError as fault:
    said = str(fault)
print(said, "by", "another process" if trial._server else "a fork")
"""


@linux_only
@pytest.mark.slow
@pytest.mark.parametrize(("state", "way"), [("not", "a fork"), ("run", "another process")])
def test_this_process_forks_as_long_as_tensorflow_has_not_run_in_it(world: World, tmp_path: Path, state, way):
    (tmp_path / "other.keras").write_bytes(b"no archive")

    def said(file: Path) -> str:
        command = [sys.executable, "-c", IN_A_FRESH_PROCESS, str(file), state]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    assert said(world.folder / "model.keras") == f"passed by {way}"
    refused = said(tmp_path / "other.keras")
    assert "it is no archive of Keras" in refused
    assert refused.endswith(f"by {way}")


def in_sequence() -> keras.Model:
    return keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(3)])


def in_sequence_as_called() -> keras.Model:
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3)])
    model(keras.ops.zeros((1, 8, 8, 1)))
    return model


def of_two_inputs_by_name() -> keras.Model:
    given = {"image": keras.Input((8, None, 1), name="image"), "age": keras.Input((1,), name="age")}
    seen = keras.layers.GlobalMaxPooling2D()(given["image"])
    return keras.Model(given, keras.layers.Dense(3)(keras.layers.Concatenate()([seen, given["age"]])))


@pytest.mark.parametrize("make", [in_sequence, in_sequence_as_called, of_two_inputs_by_name])
def test_models_of_every_make_pass(make: Any, tmp_path: Path):
    make().save(tmp_path / "model.keras")
    try_first(a_trial(tmp_path / "model.keras"))


def test_of_several_inputs_what_grows_is_seen(tmp_path: Path):
    images, age = keras.Input((8, 8, 1)), keras.Input((1,))
    grown = keras.layers.GlobalMaxPooling2D()(keras.layers.UpSampling2D(3000)(images))
    model = keras.Model([images, age], keras.layers.Dense(3)(keras.layers.Concatenate()([grown, age])))
    model.save(tmp_path / "model.keras")
    with pytest.raises(ModelError, match="has layers that give 576,000,000 numbers for an image"):
        try_first(a_trial(tmp_path / "model.keras"))


def test_a_model_of_a_paper_passes_at_its_own_size(tmp_path: Path):
    keras.applications.MobileNetV2(weights=None).save(tmp_path / "model.keras")
    try_first(a_trial(tmp_path / "model.keras", shape=(224, 224, 3)))


def test_what_is_wrong_there_is_said_here(world: World, tmp_path: Path):
    (tmp_path / "model.keras").write_bytes(b"no archive")
    with pytest.raises(ModelError, match="it is no archive of Keras"):
        try_first(a_trial(tmp_path / "model.keras"))
    make_model().export(tmp_path / "exported", verbose=False)
    with pytest.raises(OptionError, match="signature: got 'scores', wanted one of: serve, serving_default"):
        try_first(a_trial(tmp_path / "exported", signature="scores"))


def test_another_process_is_started_where_one_has_ended(world: World):
    try_first(a_trial(world.folder / "model.keras"))
    server = trial._server
    assert server is not None
    server.kill()
    server.wait()
    try_first(a_trial(world.folder / "model.keras"))
    assert trial._server is not server


def test_one_that_cannot_be_asked_lets_nothing_pass(world: World, monkeypatch):
    def ask(_: Trial) -> Any:
        raise OSError("no answer in 310 seconds")

    monkeypatch.setattr(trial, "_ask", ask)
    with pytest.raises(ModelError, match=r"cannot be tried in a process .*\(no answer in 310 seconds\); set trust"):
        try_first(a_trial(world.folder / "model.keras"))


def test_a_larger_file_may_take_more():
    assert most_seconds(2**30) > 2 * most_seconds(2**20)
    assert trial.most_memory(2**30) == 7 * 2**30


@linux_only
def test_a_file_that_is_mostly_holes_is_refused(tmp_path: Path):
    with (tmp_path / "model.keras").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(ModelError, match="most of it is not on the disk"):
        refuse_holes(tmp_path / "model.keras")


@pytest.mark.slow
def test_a_loop_that_bright_pixels_enter_is_found(tmp_path: Path):
    import tensorflow as tf

    class Waiting(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None, 8, 8, 1), tf.float32)])
        def __call__(self, images: Any) -> Any:
            bright = tf.reduce_max(images)
            return tf.reshape(tf.while_loop(lambda x: bright > 10, lambda x: (x * 1.0,), [images])[0], (-1, 64))[:, :3]

    module = Waiting()
    tf.saved_model.save(module, str(tmp_path / "exported"), signatures=module.__call__)
    with pytest.raises(ModelError, match="takes more than 10 seconds to be loaded and run"):
        try_first(a_trial(tmp_path / "exported"))
