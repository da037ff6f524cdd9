"""Images of a class whose score hangs on something else than that of the rest: clusters of coarse maps.

Spectral relevance analysis: maps of what the score hangs on are joined to their nearest neighbours, and where the
spectrum of that graph has a gap, images fall into so many clusters. Only those count that come again when images are
drawn anew; where the mean map of such a cluster is positive and exceeds that of the rest, there is the suspect, cut
from its images.

References: Lapuschkin et al., "Unmasking Clever Hans predictors and assessing what machines really learn" (2019); von
Luxburg, "A tutorial on spectral clustering" (2007); Hennig, "Cluster-wise assessment of cluster stability" (2007).
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, label
from scipy.spatial.distance import cdist

from auditor.artefacts.overlay import Overlay
from auditor.discovery.candidate import CannotLookError, Proposal
from auditor.discovery.gradients import refuse_scores_alone
from auditor.discovery.looks import cut_out, see_through
from auditor.discovery.maps import coarse, maps_of, of_score
from auditor.discovery.material import Material
from auditor.discovery.record import STABLE
from auditor.measure.arrays import Bools, Doubles, Floats, Ints


@dataclass(frozen=True)
class Clusters:
    """Images in as many clusters as the spectrum of their graph tells."""

    labels: Ints
    """(n,): the cluster of each image."""
    eigenvalues: Doubles
    """The least of the graph, in order."""
    stability: Doubles
    """(clusters,): how alike each comes again when images are drawn anew, in [0, 1]: the mean Jaccard index."""


def propose_clusters(material: Material, passes: int) -> Iterator[Proposal]:
    """What stable clusters of maps hang on more than the rest of their class, the most unlike first.

    Parameters
    ----------
    passes
        About how many images the model may be differentiated at, of 64 x 64 pixels or fewer; larger ones count more.

    Raises
    ------
    CannotLookError
        The model has no derivatives, scikit-learn is not installed, or no class has images enough.
    """
    refuse_scores_alone(material)
    if importlib.util.find_spec("sklearn") is None:
        raise CannotLookError("scikit-learn is not installed: pip install 'auditor[clusters]'")
    classes = [number for number in material.classes if len(material.own(number)) >= FEWEST_IMAGES]
    if not classes:
        raise CannotLookError(f"no class has {FEWEST_IMAGES} images")
    most = min(LOOKED_AT, max(FEWEST_IMAGES, passes // (len(classes) * material.cost)))
    found = [proposal for number in classes for proposal in _of_class(material, number, most)]
    found.sort(key=lambda each: -each.found)
    yield from found[:MOST]


def _of_class(material: Material, number: int, most: int) -> Iterator[Proposal]:
    own = material.own(number)[:most]
    maps = maps_of(material, own, of_score(material, number))
    points, kept = as_points(coarse(maps, CELLS))
    if len(kept) < FEWEST_IMAGES:
        return  # maps are constant: there is nothing to tell images by
    own, maps = own[kept], maps[kept]
    seed = int(material.generator(f"clusters of {number}").integers(2**31))
    found = find_clusters(points, seed)
    for cluster, stability in enumerate(found.stability):
        inside = found.labels == cluster
        if stability < STABLE or not FEWEST <= inside.sum() <= len(inside) - FEWEST:
            continue
        for region, unlike in places_of(maps[inside], maps[~inside]):
            looks = looks_of(material.images[own[inside]], material.images[own[~inside]], region)
            told = (
                f"In the mean it raises the score of {inside.sum()} of {len(inside)} images of the class, which form a "
                f"cluster of their own among {len(found.stability)}; that comes again by {stability:.2f} when images "
                "are drawn anew."
            )
            yield Proposal("clusters", number, looks, unlike, tuple(own[inside].tolist()), beside=told)


def as_points(maps: Doubles) -> tuple[Doubles, Ints]:
    """Maps (n, a, b) as points (m, a b) of length 1, and which (m,) are no constants and left."""
    flat = maps.reshape(len(maps), -1)
    lengths = np.linalg.norm(flat, axis=1)
    kept = np.flatnonzero((lengths > 0) & (np.ptp(flat, axis=1) > 0))
    return flat[kept] / lengths[kept, None], kept


def find_clusters(points: Doubles, seed: int) -> Clusters:
    """As many clusters of points (n, k) as the largest gap of the spectrum tells, each with its stability."""
    affinity = join_neighbours(points)
    values = spectrum(affinity)
    count = count_by_gap(values)
    labels = cluster(affinity, count, seed)
    random = np.random.default_rng(seed)
    alike = np.zeros((DRAWS, count))
    for draw in range(DRAWS if count > 1 else 0):
        rows = np.unique(random.integers(len(points), size=len(points)))
        again = cluster(join_neighbours(points[rows]), count, seed)
        for number in range(count):
            alike[draw, number] = max(_jaccard(labels[rows] == number, again == other) for other in range(count))
    return Clusters(labels, values, alike.mean(axis=0) if count > 1 else np.ones(1))


def join_neighbours(points: Doubles) -> Doubles:
    """(n, n): 1 between points (n, k) of which each is among the nearest of the other, 1/2 where one is."""
    apart = cdist(points, points)
    np.fill_diagonal(apart, -1.0)  # itself comes first, before its duplicates
    nearest = np.argsort(apart, axis=1, kind="stable")[:, 1 : NEIGHBOURS + 1]
    joined = np.zeros((len(points), len(points)))
    np.put_along_axis(joined, nearest, 1.0, axis=1)
    return (joined + joined.T) / 2


def spectrum(affinity: Doubles) -> Doubles:
    """The least eigenvalues of the symmetric normalised Laplacian of a graph (n, n), in order."""
    roots = 1 / np.sqrt(affinity.sum(axis=1))
    values = np.linalg.eigvalsh(np.eye(len(affinity)) - roots[:, None] * affinity * roots)
    return np.asarray(values[: MOST_CLUSTERS + 1], np.float64)


def count_by_gap(values: Doubles) -> int:
    """How many clusters eigenvalues tell, in order: as many as lie below the largest gap."""
    return int(np.argmax(np.diff(values))) + 1


def cluster(affinity: Doubles, count: int, seed: int) -> Ints:
    """(n,): spectral clustering of a graph (n, n) into so many clusters."""
    if count == 1:
        return np.zeros(len(affinity), np.int64)
    from sklearn.cluster import SpectralClustering

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a graph of several parts is a clear clustering
        made = SpectralClustering(count, affinity="precomputed", assign_labels="kmeans", random_state=seed, n_init=4)
        return np.asarray(made.fit_predict(affinity), np.int64)


def places_of(inside: Doubles, outside: Doubles) -> list[tuple[Bools, float]]:
    """Where maps (n, h, w) are positive and exceed others (m, h, w), by how many standard errors; the clearest first.

    What lowers a score is no reason for it: negative means count as 0. Connected, from a share of the highest excess
    on, and none most of the frame.
    """
    width = max(1.0, min(inside.shape[1:]) / 28)
    first, second = (gaussian_filter(maps, (0, width, width), mode="nearest") for maps in (inside, outside))
    excess = np.maximum(first.mean(axis=0), 0) - np.maximum(second.mean(axis=0), 0)
    noise = np.sqrt(first.var(axis=0) / len(first) + second.var(axis=0) / len(second))
    if excess.max() <= 0:
        return []
    parts, count = label(excess > NEARLY * excess.max())
    clearness = excess / (noise + 1e-3 * excess.max())
    found = [(parts == part, float(clearness[parts == part].mean())) for part in range(1, count + 1)]
    found = [
        (region, clear) for region, clear in found if region.sum() >= FEWEST_PIXELS and region.mean() < MOST_OF_FRAME
    ]
    found.sort(key=lambda each: -float(excess[each[0]].sum()))
    return [each for each in found[:OF_A_CLUSTER] if each[1] >= CLEAR]


def looks_of(carriers: Floats, free: Floats, region: Bools) -> tuple[Overlay, ...]:
    """What carriers (n, h, w, c) show in a region (h, w): opaque, and as one sees through it to free images."""
    seen = see_through(carriers, free, region) if len(free) > 1 else None
    return (cut_out(carriers, region),) if seen is None else (cut_out(carriers, region), seen)


def _jaccard(one: Bools, other: Bools) -> float:
    either = int((one | other).sum())
    return float((one & other).sum()) / either if either else 0.0


CELLS, LOOKED_AT = 14, 300
"""Of a coarse map, along the shorter side; and images of a class that are looked at."""

FEWEST_IMAGES, FEWEST = 24, 6
"""Of a class that is looked at, and of a cluster."""

NEIGHBOURS, MOST_CLUSTERS = 10, 8
"""Of each image in the graph; and clusters of a class, at the most."""

DRAWS = 10
"""How often images are drawn anew."""

NEARLY, MOST_OF_FRAME, FEWEST_PIXELS, CLEAR = 0.4, 0.5, 4, 3.0
"""Of the highest excess, from where on a place belongs; what is too large, or too small, for a place; and the standard
errors that the excess must have."""

OF_A_CLUSTER, MOST = 2, 8
"""Proposals of a cluster, and in all."""
