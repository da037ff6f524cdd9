"""How much of an attribution lies in a region: description, not evidence.

A map may dwell on a region for its place, its contrast or its edges alone, so every score stands beside the same
score of something that knows nothing of the model: an edge filter, or places that look alike.
"""

from __future__ import annotations

import numpy as np
from scipy.signal import fftconvolve
from scipy.stats import rankdata
from skimage.filters import sobel

from auditor.artefacts.edits import matched_placements
from auditor.measure.arrays import Bools, Floats, Numbers
from auditor.subject.data.sample import to_grey

LARGEST_SHARE = 0.5
"""A region that covers more of the frame is not local, and its scores are not applicable."""

REGION_SCORES = {
    "relevance mass": "share of the absolute attribution that lies in the region",
    "relevance rank": "share of the region among its |M| strongest pixels",
    "lift": "relevance mass over the region's share of the frame; 1 is chance",
    "excess lift": "lift minus the lift of an edge filter on the same image; 0 is what edges alone give",
    "pixel AUC": "chance that a pixel of the region is stronger than one outside; 0.5 is chance",
    "placement percentile": "share of look-alike places of the same shape that hold less; 50 % is chance",
}

_PLACES = 40


Box = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels, half-open."""


def box_of(*masks: Bools | None) -> Box | None:
    """The box around regions (h, w), so that they can be outlined; None where there is none, or nothing in them."""
    known = [mask for mask in masks if mask is not None and mask.any()]
    if not known:
        return None
    rows, columns = (np.flatnonzero(np.any(known, axis=0).any(axis=axis)) for axis in (1, 0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def score_region(saliency: Floats, mask: Bools | None, image: Floats, clean: Floats) -> dict[str, float]:
    """Scores of one saliency map (h, w) in one region (h, w); NaN where a score is undefined, or there is no region.

    Parameters
    ----------
    image
        (h, w, c): the image that was explained, with the artefact.
    clean
        (h, w, c): the same without the artefact, by which look-alike places are found.

    References: Arras, Osman, Samek, "CLEVR-XAI" (2022) for relevance mass and rank.
    """
    mass = mass_in(saliency, mask)
    if mask is None or np.isnan(mass) or mask.all():
        return dict.fromkeys(REGION_SCORES, float("nan"))
    size = int(mask.sum())
    ranks = rankdata(saliency, method="average").reshape(mask.shape)
    strongest = np.argsort(-saliency, axis=None, kind="stable")[:size]
    rank_sum = float(ranks[mask].sum())
    outside = mask.size - size
    auc = (rank_sum - size * (size + 1) / 2) / (size * outside)
    return {
        "relevance mass": mass,
        "relevance rank": float(mask.ravel()[strongest].mean()),
        "lift": lift(saliency, mask),
        "excess lift": lift(saliency, mask) - np.nan_to_num(lift(edge_map(image), mask), nan=1.0),  # no edges: even
        "pixel AUC": auc,
        "placement percentile": _placement_percentile(saliency, mask, clean),
    }


def edge_map(image: Floats) -> Floats:
    """Strength of edges (h, w) in one image (h, w, c): a map that knows nothing of any model."""
    return sobel(to_grey(image)[..., 0] if image.shape[-1] == 3 else image[..., 0]).astype(np.float32)


def mass_in(heat: Numbers, mask: Bools | None) -> float:
    """Share of a map (h, w), nowhere negative, that lies in a region; NaN where the map is empty, or there is none."""
    total = float(heat.sum(dtype=np.float64))
    if mask is None or not mask.any() or not total > 0:
        return float("nan")
    return float(heat[mask].sum(dtype=np.float64)) / total


def lift(heat: Numbers, mask: Bools | None) -> float:
    """How many times more of a map (h, w) lies in a region than an even one would put there; NaN as `mass_in`."""
    mass = mass_in(heat, mask)
    return mass if mask is None or np.isnan(mass) else mass / float(mask.mean())


def local(mask: Bools | None) -> Bools | None:
    """A region (h, w) that can be told from the rest of the frame; None where it is empty, or nearly everywhere."""
    return mask if mask is not None and 0 < mask.mean() <= LARGEST_SHARE else None


def _placement_percentile(saliency: Floats, mask: Bools, clean: Floats) -> float:
    shifts = matched_placements(clean, mask, _PLACES)
    if not shifts:
        return float("nan")
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    kernel = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.float64)[::-1, ::-1]
    masses = fftconvolve(saliency.astype(np.float64), kernel, "valid")
    own = masses[rows[0], columns[0]]
    elsewhere = np.array([masses[rows[0] + down, columns[0] + right] for down, right in shifts])
    slack = 1e-9 * float(saliency.sum(dtype=np.float64))
    return float((elsewhere < own - slack).mean() + 0.5 * (np.abs(elsewhere - own) <= slack).mean())
