"""TFRecords as a source of data: `source = "source:pictures"` in an `audit.toml` beside this file.

Put the records, `*.tfrecord*`, into the folder `records`, or name another one in RECORDS, and the features that your
records call otherwise in IMAGE, LABEL, NAME and GROUP. The records of TensorFlow Datasets are read the same way and
without that package: RECORDS is the builder's folder, such as `~/tensorflow_datasets/beans/0.1.0` (one split by the
pattern `beans-test.tfrecord*`), IMAGE is "image" and LABEL is "label".

`python examples/tfrecord/write.py` writes records of the example images, which `audit.toml` here then audits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

RECORDS = Path(__file__).parent / "records"
PATTERN = "*.tfrecord*"

IMAGE = "image/encoded"  # the bytes of a PNG, JPEG, GIF or BMP file
LABEL = "image/class/label"  # number of the class, from 0; images without one are unlabelled
NAME = "image/filename"  # where a record lacks it, its number serves as its id
GROUP = "image/group"  # unit of resampling, such as a patient; where a record lacks it, each image is one by itself


@dataclass(frozen=True)
class Picture:
    """An encoded picture, decoded when it is looked at: a pass for the labels alone decodes none, and a damaged one is
    skipped and named instead of ending the audit."""

    encoded: bytes

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        pixels = tf.io.decode_image(self.encoded, channels=3, expand_animations=False).numpy()
        return np.asarray(pixels, dtype)


def pictures() -> Iterator[tuple[Picture, int | None, str, str | None]]:
    """Image, label, id and group of every record, in the same order each time."""
    files = sorted(map(str, RECORDS.glob(PATTERN)))
    if not files:
        raise FileNotFoundError(f"{RECORDS}: no files {PATTERN}")
    features = {
        IMAGE: tf.io.FixedLenFeature([], tf.string),
        LABEL: tf.io.FixedLenFeature([], tf.int64, default_value=-1),
        NAME: tf.io.FixedLenFeature([], tf.string, default_value=""),
        GROUP: tf.io.FixedLenFeature([], tf.string, default_value=""),
    }
    records = tf.data.TFRecordDataset(files).map(lambda record: tf.io.parse_single_example(record, features))
    for number, record in enumerate(records.as_numpy_iterator()):
        label = int(record[LABEL])
        name, group = record[NAME].decode(), record[GROUP].decode()
        yield Picture(record[IMAGE]), label if label >= 0 else None, name or f"{number:06}", group or None
