"""Images from wherever they are, in one file: a database, a bucket, a format of one's own.

    [data]
    source = "data_source:pictures"

The function is called again for every pass over the data, so images are streamed and never held as a whole.
"""

from collections.abc import Iterator

import numpy as np


def pictures() -> Iterator[tuple[np.ndarray, str, str, str]]:
    """Image (h, w[, c]) uint8 or float in [0, 1]; label or None; id; group or None. The order must stay."""
    random = np.random.default_rng(0)
    for number in range(42):
        image = random.integers(20, 60, (8, 8, 1))
        left = 3 * (number % 3)
        image[:, left : left + 3] += random.integers(60, 150)
        yield image.astype(np.uint8), ("cat", "dog", "boat")[number % 3], f"picture {number}", f"patient {number // 2}"
