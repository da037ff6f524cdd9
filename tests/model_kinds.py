"""Models of every kind that people bring, and what becomes of each: the table of `docs/model_kinds.md`.

`python -m tests.model_kinds` writes it anew; a test holds it to what happens.
"""

from __future__ import annotations

import re
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from auditor.config.file import AuditConfig
from auditor.config.sections import DataConfig, ModelConfig
from auditor.errors import AuditError
from auditor.subject.model.keras import KerasClassifier
from auditor.subject.model.loading import load_classifier

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "model_kinds.md"

SHAPE = (8, 8, 3)

HEAD = """# What becomes of models of every kind

Made by `python -m tests.model_kinds`, which makes each of these and opens it as an audit does; a test holds this page
to what happens. What is said in `[model]` is told in [Models of every kind](models.md).

| what is brought | `[model]` | what happens |
| --- | --- | --- |
"""

Maker = Callable[[Path], object]


def functional(**options: Any) -> Any:
    given = keras.Input(SHAPE, **options)
    x = keras.layers.Rescaling(1 / 255, name="rescaling")(given)
    return keras.Model(given, top(keras.layers.Conv2D(4, 3, name="conv")(x)))


def top(x: Any, name: str = "head") -> Any:
    return keras.layers.Dense(3, activation="softmax", name=name)(keras.layers.GlobalAveragePooling2D()(x))


def around(layer: Any) -> Any:
    given = keras.Input(SHAPE)
    return keras.Model(given, top(layer(keras.layers.Conv2D(4, 3, name="conv")(given))))


def always_dropped(x: Any) -> Any:
    return keras.layers.Dropout(0.5, name="dropout")(x, training=True)


def sequential() -> Any:
    return keras.Sequential(
        [
            keras.Input(SHAPE),
            keras.layers.Conv2D(4, 3, name="conv"),
            keras.layers.Flatten(),
            keras.layers.Dense(3, name="head"),
        ]
    )


def nested() -> Any:
    inner = keras.Sequential([keras.Input(SHAPE), keras.layers.Conv2D(4, 3, name="conv")], name="backbone")
    given = keras.Input(SHAPE)
    return keras.Model(given, top(inner(given)))


def shared() -> Any:
    inner = keras.Sequential([keras.Input(SHAPE), keras.layers.Conv2D(4, 3, name="conv")], name="backbone")
    given = keras.Input(SHAPE)
    return keras.Model(given, top(inner(given) + inner(given[:, :, ::-1])))


def several() -> Any:
    given, age = keras.Input(SHAPE, name="image"), keras.Input((1,), name="age")
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3, name="conv")(given))
    x = keras.layers.Concatenate()([x, age])
    return keras.Model(
        [given, age], [keras.layers.Dense(3, name="diagnosis")(x), keras.layers.Dense(1, name="risk")(x)]
    )


def mixed() -> Any:
    policy = keras.mixed_precision.DTypePolicy("mixed_float16")
    given = keras.Input(SHAPE)
    x = keras.layers.Conv2D(4, 3, name="conv", dtype=policy)(given)
    x = keras.layers.GlobalAveragePooling2D(dtype=policy)(x)
    return keras.Model(given, keras.layers.Dense(3, activation="softmax", name="head", dtype="float32")(x))


def channels_first() -> Any:
    given = keras.Input((3, 8, 8))
    return keras.Model(given, keras.layers.Dense(3)(keras.layers.Flatten()(given)))


def saved(make: Callable[[], Any], name: str = "model.keras") -> Maker:
    def write(folder: Path) -> None:
        keras.backend.clear_session()
        keras.utils.set_random_seed(0)
        with warnings.catch_warnings(action="ignore"):  # Keras calls .h5 legacy
            model = make()
            model.save_weights(folder / name) if name.endswith(".weights.h5") else model.save(folder / name)

    return write


def exported(make: Callable[[], Any]) -> Maker:
    return lambda folder: make().export(folder / "model", verbose=False)


def module_of_tensorflow(folder: Path) -> None:
    module = tf.Module()
    module.weights = tf.Variable(np.random.default_rng(0).normal(size=(192, 3)).astype(np.float32))
    spec = tf.TensorSpec((None, *SHAPE), tf.float32)
    module.serve = tf.function(lambda x: tf.reshape(x, (-1, 192)) @ module.weights, input_signature=[spec])
    tf.saved_model.save(module, folder / "model", signatures={"serving_default": module.serve})


def of_keras_2(name: str) -> Maker:
    def write(folder: Path) -> None:
        with zipfile.ZipFile(ROOT / "tests" / "keras2" / "files.zip") as archive:
            archive.extract(name, folder)

    return write


def python(name: str, body: str, *others: Maker) -> Maker:
    def write(folder: Path) -> None:
        (folder / f"{name}.py").write_text("import keras, numpy\nfrom tests import model_kinds\n" + body)
        for other in others:
            other(folder)

    return write


_SUBCLASS = """
class Own(keras.Model):
    def __init__(self):
        super().__init__()
        self.conv, self.head = keras.layers.Conv2D(4, 3, name="conv"), keras.layers.Dense(3)
    def call(self, images):
        return self.head(keras.ops.mean(self.conv(images), (1, 2)))

def load():
    return Own()
"""
_SCORES = """
class Scores:
    classes = ("a", "b", "c")
    def scores(self, images):
        return images.mean((1, 2))

def load():
    return Scores()
"""

RANGE: dict[str, Any] = {"input_range": (0.0, 1.0)}
KINDS: list[tuple[str, Maker, dict[str, Any]]] = [
    ("functional, `.keras`", saved(functional), {"source": "model.keras"}),
    ("sequential, `.keras`", saved(sequential), {"source": "model.keras", **RANGE}),
    ("nested", saved(nested), {"source": "model.keras", **RANGE}),
    ("a backbone called on the picture and on its mirror image", saved(shared), {"source": "model.keras", **RANGE}),
    ("several inputs and outputs", saved(several), {"source": "model.keras", **RANGE}),
    ("the same, told apart", saved(several),
     {"source": "model.keras", "inputs": {"age": 50.0}, "outputs": "diagnosis", **RANGE}),
    ("mixed precision", saved(mixed), {"source": "model.keras", **RANGE}),
    ("whole numbers as input", saved(lambda: functional(dtype="uint8")), {"source": "model.keras"}),
    ("channels first", saved(channels_first), {"source": "model.keras", **RANGE}),
    ("a Lambda", saved(lambda: around(keras.layers.Lambda(lambda x: x * 2.0))), {"source": "model.keras", **RANGE}),
    ("a dropout called with `training=True`", saved(lambda: around(always_dropped)),
     {"source": "model.keras", **RANGE}),
    ("Keras 3, `.h5`", saved(functional, "model.h5"), {"source": "model.h5"}),
    ("Keras 2, `.h5`, arguments that Keras 3 does not know", of_keras_2("of_layers.h5"),
     {"source": "of_layers.h5", **RANGE}),
    ("Keras 2, `.keras`, lines of Python between layers", of_keras_2("of_operators.keras"),
     {"source": "of_operators.keras", **RANGE}),
    ("Keras 2, a pretrained base in a sequence", of_keras_2("of_a_sequence.h5"),
     {"source": "of_a_sequence.h5", **RANGE}),
    ("weights only", saved(functional, "model.weights.h5"), {"source": "model.weights.h5"}),
    ("the same, with a function that builds the model",
     python("builder_of_kinds", "load = model_kinds.functional\n", saved(functional, "model.weights.h5")),
     {"source": "builder_of_kinds:load", "weights": "model.weights.h5"}),
    ("SavedModel of Keras", exported(functional), {"source": "model", **RANGE}),
    ("SavedModel of a `tf.Module`", module_of_tensorflow, {"source": "model", **RANGE}),
    ("subclassed, from a function", python("subclass_of_kinds", _SUBCLASS),
     {"source": "subclass_of_kinds:load", **RANGE}),
    ("scores only, from a function", python("scores_of_kinds", _SCORES), {"source": "scores_of_kinds:load"}),
]  # fmt: skip


def try_kind(make: Maker, said: dict[str, Any], folder: Path) -> str:
    """What becomes of a model."""
    make(folder)
    config = AuditConfig(model=ModelConfig(**said), data=DataConfig(source="images.npz"), file=folder / "audit.toml")
    try:
        classifier, record = load_classifier(config, SHAPE)
    except AuditError as fault:
        text = str(fault).replace(f"{folder}/", "").partition("model.")[2]
        return f"refused: {re.sub(r' at 0x[0-9a-f]+', '', text)}"
    told = [f"read: {record.structure.rpartition('.')[2]}; {record.head}"]
    if isinstance(classifier, KerasClassifier):
        told.append(f"maps of {', '.join(classifier.feature_layers)}" if classifier.feature_layers else "no maps")
        told += [note.text.rstrip(".") for note in classifier.notes]
    return ". ".join(told) + "."


def write_page() -> str:
    """The whole page."""
    lines = []
    for what, make, said in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            happened = try_kind(make, said, Path(folder))
        shown = ", ".join(f"`{key} = {_toml(value)}`" for key, value in said.items())
        lines.append(f"| {what} | {shown} | {happened.replace('|', chr(92) + '|')} |\n")
    return HEAD + "".join(lines)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {each:g}" for key, each in value.items()) + " }"
    return f"[{', '.join(f'{each:g}' for each in value)}]" if isinstance(value, tuple) else f'"{value}"'


if __name__ == "__main__":
    PAGE.write_text(write_page(), encoding="utf-8")
