"""An edit of one's own as a kind of artefact, in one file: what it does to one image.

[[artefacts]]
name = "dust"
kind = "edit:dust"
specks = 20                      # its keyword-only parameters are its options
target = "boat"
"""

import numpy as np


def dust(image: np.ndarray, random: np.random.Generator, *, specks: int = 12) -> np.ndarray:
    """Black specks, elsewhere on each image, as dust on a lens or a scanner leaves them."""
    height, width, _ = image.shape  # float32 in [0, 1]; draw from `random` alone, and each image has its own
    image[random.integers(height, size=specks), random.integers(width, size=specks)] = 0.0
    return image
