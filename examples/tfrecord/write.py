"""Write the images of the planted example as TFRecords, two files in the folder `records` beside this one.

python examples/tfrecord/write.py
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

HERE = Path(__file__).parent


def write_records(images: Any, labels: Any, folder: Path, files: int = 2) -> None:
    """Write uint8 images (n, h, w, c) and their class numbers (n,), the same number to each file."""
    folder.mkdir(exist_ok=True)
    for part in range(files):
        with tf.io.TFRecordWriter(str(folder / f"images.tfrecord-{part:05}-of-{files:05}")) as writer:
            for number in range(part, len(images), files):
                features = {
                    "image/encoded": to_bytes(tf.io.encode_png(images[number]).numpy()),
                    "image/class/label": tf.train.Feature(int64_list=tf.train.Int64List(value=[int(labels[number])])),
                    "image/filename": to_bytes(f"{number:05}.png".encode()),
                }
                record = tf.train.Example(features=tf.train.Features(feature=features))
                writer.write(record.SerializeToString())


def to_bytes(value: bytes) -> Any:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


if __name__ == "__main__":
    with np.load(HERE.parent / "planted" / "images.npz") as arrays:
        images = arrays["images"]
        images = images[..., None] if images.ndim == 3 else images
        write_records(images, arrays["labels"], HERE / "records")
    print(f"{HERE / 'records'}: {len(images)} images")
