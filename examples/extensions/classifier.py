"""A model that is not Keras's, in one file: anything with `scores` gets a verdict.

    [model]
    source = "classifier:load"

With `differentiate` it is explained, too; without, what needs gradients is said to be not applicable.
"""

import numpy as np

from auditor import Pass


class Linear:
    """A linear model in numpy: bright thirds of the image speak for three classes."""

    classes = ("cat", "dog", "boat")
    image_shape = (8, 8, 1)  # height, width, channels
    output = "softmax"

    def __init__(self) -> None:
        self.weights = np.zeros((*self.image_shape, 3), np.float32)
        for number in range(3):
            self.weights[:5, 3 * number : 3 * number + 3, :, number] = 0.3

    def scores(self, images: np.ndarray) -> np.ndarray:
        """Logits (n, classes) of images (n, h, w, c) float32 in [0, 1]; preprocessing lives in here."""
        return np.einsum("nhwc,hwck->nk", images, self.weights)

    def differentiate(self, images: np.ndarray, targets: np.ndarray, layers: tuple[str, ...] = ()) -> Pass:
        """Scores, and the derivative of each image's own target score by its pixels."""
        slopes = np.moveaxis(self.weights, -1, 0)[targets]
        return Pass(self.scores(images), slopes, {}, {})


def load() -> Linear:
    """What `model.source` names is called without arguments."""
    return Linear()
