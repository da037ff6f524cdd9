"""How alike two maps, or two images, are: one place for every correlation and similarity.

Each compares pair by pair and gives NaN where it is undefined: what is the same everywhere has no pattern to compare.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata
from skimage.metrics import structural_similarity

from auditor.measure.arrays import Doubles, Numbers

_WINDOW = 7
"""Side of the window of the structural similarity, in pixels; of small maps less."""


def correlations(first: Numbers, second: Numbers) -> Doubles:
    """Pearson's correlation (n,) of maps or images (n, ...), value by value; NaN where either is constant."""
    a, b = (values.reshape(len(values), -1).astype(np.float64) for values in (first, second))
    is_defined = (np.ptp(a, axis=1) > 0) & (np.ptp(b, axis=1) > 0)
    a, b = (part - part.mean(axis=1, keepdims=True) for part in (a, b))
    lengths = np.sqrt(np.square(a).sum(axis=1) * np.square(b).sum(axis=1))
    return np.divide((a * b).sum(axis=1), lengths, out=np.full(len(a), np.nan), where=is_defined)


def rank_correlations(first: Numbers, second: Numbers) -> Doubles:
    """Spearman's correlation (n,) of maps (n, ...), pixel by pixel.

    NaN where either is constant or not finite: what has no order has neither kept nor changed it.
    """
    ranks = (rankdata(maps.reshape(len(maps), -1), axis=1) for maps in (first, second))
    return correlations(*ranks)


def structure(first: Numbers, second: Numbers) -> float:
    """Structural similarity of two maps (h, w) in [0, 1]; NaN where no window fits.

    References: Wang et al., "Image quality assessment: from error visibility to structural similarity" (2004).
    """
    side = min(_WINDOW, *first.shape)
    side -= 1 - side % 2
    return float(structural_similarity(first, second, win_size=side, data_range=1.0)) if side >= 3 else float("nan")
