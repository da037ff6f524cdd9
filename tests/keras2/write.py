"""Writes `files.zip` beside it with Keras 2: `pip install tf_keras` into an environment of its own, then run this."""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras as keras
from tf_keras import layers

HERE = Path(__file__).parent
IMAGES = np.random.default_rng(1).random((3, 8, 8, 3)).astype(np.float32)


def of_layers():
    """Layers with arguments that Keras 3 does not know, or takes for something else."""
    x = image = keras.Input((8, 8, 3))
    x = layers.RandomFlip()(x)
    x = layers.DepthwiseConv2D(3, name="block/depthwise", activation="hard_sigmoid")(x)
    x = layers.LayerNormalization(axis=[1, 2, 3], center=False, scale=False)(x)
    x = layers.SpatialDropout2D(0.5)(layers.Conv2DTranspose(2, 3)(x))
    x = layers.GRU(2)(layers.Softmax(axis=[1, 2])(layers.Reshape((8, 16))(x)))
    return keras.Model(image, layers.Dense(3, activation="softmax")(x))


def of_operators():
    """Lines of Python between the layers."""
    image = keras.Input((8, 8, 3))
    x = 1.0 - image / 2.0
    x = tf.concat([x[:, ::2, ::2], tf.image.resize(x, (4, 4))], axis=-1)
    x = x * tf.nn.relu6(layers.Conv2D(6, 1)(x) + 3.0) / 6.0
    x = tf.matmul(x, x, transpose_b=True)
    x = tf.where(x > 0.5, x, 0.0)
    return keras.Model(image, layers.Dense(3)(tf.reduce_mean(x, axis=[1, 2])))


def of_models():
    """Models within a model, called twice, and a sequence at the end."""
    given = keras.Input((8, 8, 3))
    twin = keras.Model(given, layers.BatchNormalization()(layers.Conv2D(2, 3)(given)), name="twin")
    twin.layers[1].trainable = False
    top = keras.Sequential([keras.Input((6, 6, 2)), layers.Flatten(), layers.Dense(3)], name="top")
    image = keras.Input((8, 8, 3))
    return keras.Model(image, top(twin(image) - twin(image * 2.0)))


def of_a_sequence():
    """A pretrained base and a new head, as in the tutorials."""
    given = keras.Input((8, 8, 3))
    base = keras.Model(given, layers.DepthwiseConv2D(3)(given), name="base")
    return keras.Sequential([base, layers.GlobalAveragePooling2D(), layers.Dense(3, activation="softmax")])


def write(folder: Path) -> None:
    """Each model as `.h5` and as `.keras`, and what it gives for the images."""
    outputs = {}
    for make in (of_layers, of_operators, of_models, of_a_sequence):
        keras.backend.clear_session()
        model, random = make(), np.random.default_rng(0)
        for weight in model.weights:
            if weight.dtype.is_floating:
                weight.assign(random.uniform(0.1, 1, weight.shape))
        outputs[make.__name__] = model.predict(IMAGES, verbose=0)
        model.save(folder / f"{make.__name__}.h5", save_format="h5", include_optimizer=False)
        model.save(folder / f"{make.__name__}.keras", save_format="keras")
    np.savez(folder / "outputs.npz", images=IMAGES, **outputs)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        write(Path(name))
        with zipfile.ZipFile(HERE / "files.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(Path(name).iterdir()):
                archive.write(file, file.name)
