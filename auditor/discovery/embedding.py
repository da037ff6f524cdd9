"""How images lie to each other as the model sees them: its last features in a plane, and clusters of them."""

from __future__ import annotations

import contextlib
import importlib.util
from dataclasses import dataclass

import numpy as np

from auditor.discovery.clusters import Clusters, find_clusters
from auditor.discovery.gradients import can_be_differentiated
from auditor.discovery.material import Material
from auditor.errors import ModelError
from auditor.measure.arrays import Doubles, Ints


@dataclass(frozen=True)
class Embedding:
    """Images in a plane."""

    rows: Ints
    """(n,): of the material."""
    points: Doubles
    """(n, 2): along the two principal components that hold most of what differs."""
    held: tuple[float, float]
    """Share of what differs that each holds."""
    labels: Ints
    """(n,): clusters, the largest first."""
    clusters: Clusters | None
    """None where scikit-learn is not installed: then all are one cluster."""
    told_by: str
    """What the images were placed by."""

    def middle(self, number: int, most: int) -> Ints:
        """Rows (m,) of the material, of the images nearest to the middle of a cluster."""
        inside = np.flatnonzero(self.labels == number)
        apart = np.linalg.norm(self.points[inside] - self.points[inside].mean(axis=0), axis=1)
        return self.rows[inside[np.argsort(apart, kind="stable")[:most]]]


def embed(material: Material) -> Embedding | None:
    """The images in a plane; None of few images, or where nothing differs."""
    rows = material.all(LOOKED_AT)
    if len(rows) < FEWEST:
        return None
    values, told_by = last_features(material, rows)
    centred = values - values.mean(axis=0)
    ways, strengths, _ = np.linalg.svd(centred, full_matrices=False)
    if strengths[0] <= 1e-9 * max(1.0, float(np.abs(values).max())):
        return None
    count = min(AXES, int((strengths > 1e-6 * strengths[0]).sum()))
    placed = ways[:, :count] * strengths[:count]
    points = np.zeros((len(rows), 2))
    points[:, : min(2, count)] = placed[:, :2]
    held = strengths[:2] ** 2 / (strengths**2).sum()
    clusters = None
    if importlib.util.find_spec("sklearn") is not None:
        clusters = find_clusters(placed, int(material.generator("embedding").integers(2**31)))
    labels = np.zeros(len(rows), np.int64) if clusters is None else clusters.labels
    order = np.argsort(-np.bincount(labels), kind="stable")
    told = (float(held[0]), float(held[1]) if len(held) > 1 else 0.0)
    return Embedding(rows, points, told, np.argsort(order)[labels], clusters, told_by)


def last_features(material: Material, rows: Ints) -> tuple[Doubles, str]:
    """What the model says last of images at some rows, (n, k), and what that is.

    The mean of each channel of its last feature maps; or, of a model that shows none or fewer than classes, its
    log-odds.
    """
    model = material.classifier
    layers = getattr(model, "feature_layers", ())
    if not (can_be_differentiated(model) and layers and callable(getattr(model, "weigh", None))):
        return material.seen.scores[rows].astype(np.float64), "scores"
    parts = []
    with contextlib.suppress(ModelError):  # its features cannot be had, or no derivative of its scores
        for at in range(0, len(rows), material.batch_size):
            part = rows[at : at + material.batch_size]
            seen = model.weigh(material.images[part], np.zeros(len(part), np.int64), (layers[0],))  # type: ignore[attr-defined]
            parts.append(seen.features[layers[0]].mean(axis=(1, 2), dtype=np.float64))
    found = np.concatenate(parts) if parts else np.empty((0, 0))
    if len(found) < len(rows) or found.shape[1] < len(model.classes):
        return material.seen.scores[rows].astype(np.float64), "scores"
    return found, f"features of layer {layers[0]}"


LOOKED_AT, FEWEST, AXES = 400, 24, 10
"""Images in the plane, at the most and at least; and principal components that clusters are told by."""
