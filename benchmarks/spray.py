"""Does spectral relevance analysis find what CoRelAy finds on the same maps? As a table in Markdown.

    python benchmarks/spray.py                          # makes an environment of its own for CoRelAy, a minute
    python benchmarks/spray.py --environment FOLDER     # or uses one that has it
    python benchmarks/spray.py --networks 3             # also networks with an opaque mark, half a minute each

On the example of this repository and its honest twin: coarse maps of every class, on images of which half of the coats
carry the watermark. On networks of clothes with an opaque mark (as `discovery_model_alone.py` makes them, from
seed 640000 on; they need Debian's dataset-fashion-mnist): maps of the class that two fifths of carry it. CoRelAy's own
pipeline of spectral clustering is asked for as many clusters as its eigenvalues tell by the same rule. Agreement is the
adjusted Rand index: 1 where both divide the images alike, 0 as by chance.

References: Lapuschkin et al., "Unmasking Clever Hans predictors and assessing what machines really learn" (2019);
Anders et al., "Software for dataset-wide XAI: from local explanations to global insights with Zennit, CoRelAy, and
ViRelAy" (2021).
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from sklearn.metrics import adjusted_rand_score

from auditor.artefacts.kinds import ARTEFACT_KINDS
from auditor.auditing.opening import open_subject
from auditor.config.file import read_config
from auditor.discovery.clusters import CELLS, FEWEST_IMAGES, MOST_CLUSTERS, NEIGHBOURS, as_points, find_clusters
from auditor.discovery.maps import coarse, maps_of, of_score
from auditor.explain.table import METHODS
from benchmarks.discovery_model_alone import USED, make_network
from benchmarks.wanted_places import as_material

CARRIED = 0.4
"""Of the images of a class that carry an opaque mark."""

EXAMPLES = {"planted": "audit.toml", "honest twin": "examples/clean_twin/audit.toml"}

ROUNDING = 1e-12
"""Eigenvalues that differ by less are the same."""

HEAD = """# Clusters of maps, beside CoRelAy

Written by `python benchmarks/spray.py --networks {networks}`: spectral relevance analysis of the same coarse maps, here
and by CoRelAy. *Agreement* is the adjusted Rand index of both, *with carriers* that of each with which images carry the
mark: 1 where they are alike, 0 as by chance.

- The watermark of the example is not seen by either: it lies on the object, translucent, and moves no map to another
  cluster.
- Both have the same graph, the same eigenvalues and so the same number of clusters; CoRelAy brings the eigenvectors to
  unit length before k-means, scikit-learn does not, so a few images may fall to another cluster.
"""

CORELAY = """
import sys
import numpy as np
from corelay.pipeline.spectral import SpectralClustering, SpectralEmbedding
from corelay.processor.affinity import SparseKNN
from corelay.processor.clustering import KMeans
from corelay.processor.embedding import EigenDecomposition

neighbours, most = int(sys.argv[2]), int(sys.argv[3])
given, found = np.load(sys.argv[1]), {}
for name in given.files:
    affinity = SparseKNN(n_neighbors=neighbours, symmetric=True)
    embedding = EigenDecomposition(n_eigval=most + 1, which="LA", is_output=True)
    np.random.seed(0)
    values, _ = SpectralEmbedding(affinity=affinity, embedding=embedding)(given[name])
    values = np.sort(values)
    count = int(np.argmax(np.diff(values))) + 1
    if count == 1:
        labels = np.zeros(len(given[name]), int)
    else:
        def chosen(pair):
            order = np.argsort(pair[0])[:count]
            vectors = pair[1][:, order]
            return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

        embedding = EigenDecomposition(n_eigval=most + 1, which="LA")
        pipeline = SpectralClustering(
            affinity=affinity, embedding=embedding, select_eigenvector=chosen,
            clustering=KMeans(n_clusters=count, is_output=True),
        )
        labels = pipeline(given[name])
    found["labels " + name], found["values " + name] = np.asarray(labels), values
np.savez(sys.argv[4], **found)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=int, default=0, help="networks that use an opaque mark")
    parser.add_argument("--environment", type=Path, help="folder of an environment that has CoRelAy")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        python = find_corelay(asked.environment, Path(folder))
        if python is None:
            return
        maps, carriers = make_points()
        for name, points, carries in itertools.islice(make_marked(), asked.networks):
            maps[name], carriers[name] = points, carries
        np.savez(Path(folder) / "points.npz", **maps)
        files = [str(Path(folder) / name) for name in ("points.npz", "found.npz")]
        command = [str(python), "-c", CORELAY, files[0], str(NEIGHBOURS), str(MOST_CLUSTERS), files[1]]
        subprocess.run(command, check=True)
        found = np.load(files[1])
        print(HEAD.format(networks=asked.networks))
        tell(maps, carriers, {name: found[name] for name in found.files})


def find_corelay(given: Path | None, folder: Path) -> Path | None:
    """The Python of an environment that has CoRelAy; None, and a sentence, where it cannot be installed."""
    home = given or folder / "environment"
    python = home / "bin" / "python"
    if given is None:
        venv.create(home, with_pip=True)
        made = subprocess.run([python, "-m", "pip", "install", "-q", "corelay"], capture_output=True, text=True)
        if made.returncode:
            print(f"CoRelAy cannot be installed here, so nothing is compared: {made.stderr.strip().splitlines()[-1]}")
            return None
    return python


def make_points() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """By example and class: maps as points (n, k), and which images (n,) carry the watermark."""
    points, carries = {}, {}
    for name, file in EXAMPLES.items():
        subject = open_subject(read_config(Path(file), (), kinds=ARTEFACT_KINDS, methods=METHODS))
        dataset, (artefact,) = subject.dataset, subject.artefacts
        rows, images = dataset.read(np.arange(len(dataset)))
        labels = dataset.truth[rows].argmax(axis=1)
        has = np.zeros(len(images), bool)
        coats = np.flatnonzero(labels == artefact.target)
        has[coats[::2]] = True
        shown = images.copy()
        shown[coats] = artefact.appearance.remove(images[coats]) if name == "planted" else images[coats]
        shown[has] = artefact.appearance.insert(shown[has])
        material = as_material(subject.classifier, shown, labels, 0)
        for number in material.classes:
            own = material.own(number)
            flat, kept = as_points(coarse(maps_of(material, own, of_score(material, number)), CELLS))
            if len(kept) >= FEWEST_IMAGES:
                key = f"{name}: {subject.classifier.classes[number]}"
                points[key], carries[key] = flat, has[own[kept]]
    return points, carries


def make_marked() -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Of networks that use their mark: a name, maps of its class as points (n, k), and which images (n,) carry it."""
    for seed in itertools.count(640000):
        network = make_network(seed, is_clean=False)
        if network.turned < USED:
            continue
        pictures = [network.world.audited, network.world.unseen]
        labels = np.concatenate([each.labels for each in pictures])
        images = np.concatenate([each.images for each in pictures])
        carries = (labels == network.target) & (np.random.default_rng(seed).random(len(labels)) < CARRIED)
        images[carries] = network.mark.insert(images[carries])
        material = as_material(network.classifier, images, labels, seed)
        own = material.own(network.target)
        points, kept = as_points(coarse(maps_of(material, own, of_score(material, network.target)), CELLS))
        yield f"{network.kind}, {network.architecture}, turns {network.turned:.0%}", points, carries[own[kept]]


def tell(points: dict[str, np.ndarray], carriers: dict[str, np.ndarray], corelay: dict[str, np.ndarray]) -> None:
    print(
        "| images | number | clusters | by CoRelAy | eigenvalues differ by | agreement | with carriers | by CoRelAy |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, each in points.items():
        ours, theirs = find_clusters(each, 0), corelay[f"labels {name}"]
        apart = np.abs(ours.eigenvalues - corelay[f"values {name}"]).max()
        differ = "rounding" if apart < ROUNDING else f"{apart:.0e}"
        has = carriers[name]
        scores = [f"{adjusted_rand_score(has, labels):.2f}" if has.any() else "–" for labels in (ours.labels, theirs)]
        counts = [str(ours.labels.max() + 1), str(theirs.max() + 1)]
        agreement = f"{adjusted_rand_score(ours.labels, theirs):.2f}"
        print(f"| {name} | {len(each)} | {' | '.join(counts)} | {differ} | {agreement} | {' | '.join(scores)} |")


if __name__ == "__main__":
    main()
