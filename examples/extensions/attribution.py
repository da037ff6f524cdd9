"""A method of attribution of one's own, in one file.

    [methods."attribution:gradient_times_input"]
    smooth = 1.0                     # its keyword-only parameters are its options

Its maps stand beside ours, are scored in the regions of artefacts, and have to pass the tests of trust.
"""

import numpy as np
from scipy.ndimage import gaussian_filter

from auditor import Attribution, Question


def gradient_times_input(question: Question, *, smooth: float = 0.0) -> dict[str, Attribution]:
    """Gradient times pixel: what of the score a linear model would lay at each pixel's door.

    References: Shrikumar et al., "Not just a black box" (2016).
    """
    maps = question.first.gradient * question.images  # (n, h, w, c), signed, never normalised
    if smooth:
        maps = gaussian_filter(maps, (0, smooth, smooth, 0))
    return {"": Attribution(maps.astype(np.float32), {})}  # one per variant; the only one needs no name
