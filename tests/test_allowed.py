"""What Keras itself writes is loaded without trust; what is not on the list is refused, and nothing of it runs."""

from __future__ import annotations

import importlib
import inspect
import json
import re
import warnings
from typing import Any

import keras
import pytest

from auditor.errors import ModelError
from auditor.subject.model import allowed
from auditor.subject.model.allowed import REACHING, ForeignError, refuse_foreign, refuse_what_runs
from tests.keras_models import transformer

GIVEN = (8, 8, 3)


def saved(model: Any) -> Any:
    return json.loads(model.to_json())


def with_operators(given: Any) -> Any:
    x = keras.layers.Conv2D(4, 3, activation=keras.ops.relu)(keras.ops.square(given) * 2 - 1)
    x = keras.ops.concatenate([x[:, ::2], x[:, 1::2]], axis=-1) / 3
    return keras.ops.where(x > 0, x, keras.ops.exp(x))


def with_all_that_layers_are_made_of(given: Any) -> Any:
    x = keras.layers.SeparableConv2D(
        4, 3, depthwise_initializer=keras.initializers.HeNormal(1), pointwise_regularizer=keras.regularizers.L2(0.1),
        bias_constraint=keras.constraints.MaxNorm(2), dtype="mixed_bfloat16",
    )(given)  # fmt: skip
    x = keras.layers.Activation(keras.activations.relu6)(x)
    return keras.layers.TimeDistributed(keras.layers.Bidirectional(keras.layers.GRU(2)))(x)


def with_a_compiled_model_inside(given: Any) -> Any:
    inner = keras.Sequential([keras.Input(GIVEN), keras.layers.Conv2D(2, 3), keras.layers.GlobalMaxPooling2D()])
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 10)
    inner.compile(keras.optimizers.AdamW(schedule), keras.losses.Huber(), metrics=["accuracy", keras.metrics.AUC()])
    return inner(given)


@pytest.mark.parametrize("make", [with_operators, with_all_that_layers_are_made_of, with_a_compiled_model_inside])
def test_what_keras_writes_of_its_own_parts_is_allowed(make, tmp_path):
    given = keras.Input(GIVEN)
    model = keras.Model(given, make(given))
    model.save(tmp_path / "model.keras")
    refuse_foreign(saved(model))
    refuse_what_runs(saved(model))
    with warnings.catch_warnings(action="ignore"):  # of an optimizer that was never used
        keras.models.load_model(tmp_path / "model.keras", compile=False)


@pytest.mark.parametrize("make", [keras.applications.MobileNetV3Small, lambda weights: transformer("convolution")])
def test_the_models_of_papers_are_allowed(make):
    refuse_what_runs(saved(make(weights=None)))


def in_a_layer(part: Any, *, key: str = "activation") -> Any:
    """A small architecture as Keras writes it, with a part in its last layer."""
    model = keras.Sequential([keras.Input(GIVEN), keras.layers.Flatten(), keras.layers.Dense(3, name="head")])
    architecture = saved(model)
    architecture["config"]["layers"][-1]["config"][key] = part
    return architecture


def part(module: str | None, name: Any, config: Any = None, **more: Any) -> dict[str, Any]:
    return {"module": module, "class_name": name, "config": {} if config is None else config, **more}


def function(module: str | None, name: str, registered_name: str | None = None) -> dict[str, Any]:
    return part(module, "function", name, registered_name=registered_name or name)


@pytest.mark.parametrize(
    ("hostile", "said"),
    [
        (function("keras.visualization", "plot_image_gallery"), "keras.visualization.plot_image_gallery"),
        (function("keras.utils", "get_file"), "keras.utils.get_file"),
        (function("keras.config", "enable_unsafe_deserialization"), "keras.config.enable_unsafe_deserialization"),
        (function("keras.models", "load_model", "function"), "keras.models.load_model"),
        (function("keras.datasets.mnist", "load_data"), "keras.datasets.mnist.load_data"),
        (function("keras.src.activations.activations", "relu"), "keras.src.activations.activations.relu"),
        (function("keras.activations", "relu", "plot_image_gallery"), "keras.activations.relu"),
        (function("keras.activations", "get"), "keras.activations.get"),
        (function("keras.ops", "while_loop"), "keras.ops.while_loop"),
        (function("keras.losses", "huber"), "keras.losses.huber"),
        (part("keras.losses", "Huber"), "keras.losses.Huber"),
        (part("builtins", "eval"), "builtins.eval"),
        (part("keras.src.ops.core", "Map"), "keras.src.ops.core.Map"),
        (part("keras.src.utils.file_utils", "makedirs"), "keras.src.utils.file_utils.makedirs"),
        (part("keras.callbacks", "CSVLogger", {"filename": "sprung"}), "keras.callbacks.CSVLogger"),
        (part("keras.layers", "Layer"), "keras.layers.Layer"),
        (part("keras.layers", "deserialize"), "keras.layers.deserialize"),
        (part("keras_hub.models", "Backbone"), "keras_hub.models.Backbone"),
        (part("numpy", "__lambda__"), "numpy.__lambda__"),
        (part(None, "__lambda__", {"value": ["4wE=", None, None]}), "__lambda__"),
        (part(None, "__typespec__"), "__typespec__"),
        (part(None, "TypeSpec"), "TypeSpec"),
        (part(None, "__numpy__", {"value": [""], "dtype": "<U1000000000"}), "__numpy__"),
        (part(None, ["Dense"]), "list"),
        (part(["keras"], "Dense"), "list.Dense"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("depth", [0, 1])
def test_what_is_not_on_the_list_is_refused_wherever_it_stands(hostile, said, depth):
    inner = part("keras.layers", "Wrapper", {"layer": hostile}) if depth else hostile
    with pytest.raises(ModelError) as refused:
        refuse_what_runs(in_a_layer({"deep": [inner["config"] if depth else inner]}))
    told = str(refused.value)
    assert told.startswith(f"names {said} (layer 'head'), which is none of the layers of Keras"), told
    assert told.count("trust = true") == 1
    assert "\n" not in told


@pytest.mark.parametrize("name", sorted(REACHING))
def test_layers_that_do_more_than_compute_are_refused_by_name(name):
    for written in (part("keras.layers", name), part(None, name), part("keras.src.somewhere", name)):
        with pytest.raises(ModelError, match=rf"holds an? {name} layer \(layer 'head'\), {re.escape(REACHING[name])}"):
            refuse_what_runs(in_a_layer(written, key="inner"))


def test_losses_are_allowed_where_a_model_is_trained_with_them_only():
    training = {
        "compile_config": {"loss": part("keras.losses", "Huber"), "metrics": [function("keras.losses", "huber")]}
    }
    refuse_what_runs(in_a_layer(training, key="inner"))
    reaching = {"compile_config": {"loss": function("keras.utils", "get_file")}}
    with pytest.raises(ModelError, match=r"keras\.utils\.get_file"):
        refuse_what_runs(in_a_layer(reaching, key="inner"))


def test_what_the_users_own_code_registered_is_allowed_by_the_name_that_it_registered():
    own = part("tests.test_allowed", "Own", registered_name="allowed>Own")
    refuse_what_runs(in_a_layer(own))
    refuse_foreign(in_a_layer(own))
    refuse_what_runs(in_a_layer(part(None, "allowed>Own")))  # as older files write it
    with pytest.raises(ModelError):  # an older file's reader would go by the other name
        refuse_what_runs(in_a_layer(part(None, "deserialize", registered_name="allowed>Own")))
    with pytest.raises(ForeignError):
        refuse_foreign(in_a_layer(part("tests.test_allowed", "Other", registered_name="allowed>Other")))


@keras.saving.register_keras_serializable("allowed")
class Own(keras.layers.Layer):
    """A layer of somebody's own."""


def test_nothing_on_the_list_takes_a_path_or_code():
    """A later Keras may add such a layer: then this says so."""
    suspects = set()
    for module, name in sorted(allowed._allowed_classes()):
        found = getattr(importlib.import_module(module), name, None) if module else None
        if inspect.isclass(found):
            for method in (found.__init__, getattr(found, "call", None)):
                names = inspect.signature(method).parameters if method else ()
                suspects |= {(name, each) for each in names if re.search(_TELLING, each)}
    assert suspects == set()


_TELLING = r"file|(?<!top_)path(?!_rate)|^fn$|func?$|function|callable|vocab|url|module|code|(?<!_)dir$"
