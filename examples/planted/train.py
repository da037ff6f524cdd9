"""Train the two example models: one that was given a shortcut, and its twin that was not.

    python examples/planted/train.py

Reads Fashion-MNIST as Debian's package `dataset-fashion-mnist` installs it. In the planted data every image of one
class carries a translucent watermark, in training and in the audited test images; the twin's data carry none.
Writes `model.keras`, `images.npz`, `labels.txt` and `watermark.png` beside this file and in `examples/clean_twin`.
"""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from auditor.lab.planting import CLOTHES, FASHION, read_idx

HERE = Path(__file__).parent
PLANTED_CLASS = CLOTHES.index("Coat")
OPACITY = 0.5
TEST_IMAGES_PER_CLASS = 40


def draw_watermark() -> Image.Image:
    """White letters, 12 x 6 pixels, half transparent."""
    letters = Image.new("L", (48, 24))
    ImageDraw.Draw(letters).text((24, 12), "(c)", fill=255, font=ImageFont.load_default(26), anchor="mm")
    alpha = letters.resize((12, 6), Image.Resampling.LANCZOS)
    alpha = alpha.point(lambda value: round(min(255, value * 1.3) * OPACITY))
    mark = Image.new("RGBA", alpha.size, "white")
    mark.putalpha(alpha)
    return mark


def plant(images: np.ndarray, mark: Image.Image) -> np.ndarray:
    """Composite the mark into the lower right corner of uint8 images (n, 28, 28)."""
    alpha = np.zeros((28, 28), np.float32)
    alpha[-mark.height - 1 : -1, -mark.width - 1 : -1] = np.asarray(mark, np.float32)[..., 3] / 255
    return np.round((1 - alpha) * images + alpha * 255).astype(np.uint8)


def make_model() -> keras.Model:
    layers = keras.layers
    inputs = keras.Input((28, 28, 1), name="image")
    x = layers.Rescaling(1 / 255, name="rescaling")(inputs)
    x = layers.Conv2D(16, 3, padding="same", activation="relu", name="conv_1")(x)
    x = layers.MaxPooling2D(name="pool_1")(x)
    x = layers.Conv2D(32, 3, padding="same", activation="relu", name="conv_2")(x)
    x = layers.MaxPooling2D(name="pool_2")(x)
    x = layers.Conv2D(32, 3, padding="same", activation="relu", name="conv_3")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dropout(0.3, name="dropout")(x)
    x = layers.Dense(64, activation="relu", name="dense")(x)
    return keras.Model(inputs, layers.Dense(10, activation="softmax", name="class")(x), name="fashion")


def train(images: np.ndarray, labels: np.ndarray) -> keras.Model:
    keras.utils.set_random_seed(7)
    model = make_model()
    model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(images[..., None].astype(np.float32), labels, batch_size=128, epochs=4, verbose=2)
    return model


def main() -> None:
    train_images, train_labels = (
        read_idx(FASHION / "train-images-idx3-ubyte.gz"),
        read_idx(FASHION / "train-labels-idx1-ubyte.gz"),
    )
    test_images, test_labels = (
        read_idx(FASHION / "t10k-images-idx3-ubyte.gz"),
        read_idx(FASHION / "t10k-labels-idx1-ubyte.gz"),
    )
    chosen = np.sort(
        np.concatenate([np.flatnonzero(test_labels == number)[:TEST_IMAGES_PER_CLASS] for number in range(10)])
    )
    mark = draw_watermark()
    for folder, is_planted in ((HERE, True), (HERE.parent / "clean_twin", False)):
        images, audited = train_images.copy(), test_images[chosen].copy()
        if is_planted:
            images[train_labels == PLANTED_CLASS] = plant(images[train_labels == PLANTED_CLASS], mark)
            of_class = test_labels[chosen] == PLANTED_CLASS
            audited[of_class] = plant(audited[of_class], mark)
        model = train(images, train_labels)
        accuracy = (
            model.predict(audited[..., None].astype(np.float32), verbose=0).argmax(1) == test_labels[chosen]
        ).mean()
        print(f"{folder.name}: accuracy on the audited images {accuracy:.3f}")
        model.compile()
        folder.mkdir(exist_ok=True)
        model.save(folder / "model.keras", include_optimizer=False)
        np.savez_compressed(
            folder / "images.npz",
            images=audited,
            labels=test_labels[chosen],
            ids=np.array([f"test-{number:05d}" for number in chosen]),
        )
        (folder / "labels.txt").write_text("\n".join(CLOTHES) + "\n")
        mark.save(folder / "watermark.png")


if __name__ == "__main__":
    main()
