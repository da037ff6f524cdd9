"""Do mean derivatives tell where a shortcut lies? On trained networks of known truth, as a table in Markdown.

    OMP_NUM_THREADS=1 python benchmarks/wanted_places.py 610000     # about twenty seconds a network
    OMP_NUM_THREADS=1 python benchmarks/wanted_places.py examples   # the example of this repository and its honest twin

Small networks of clothes and of digits, in each of which one stamp is planted on a share of a class, and clean ones
beside them. Of all classes the place that a model looks for most sharply is taken: where its mean derivative is
densest, as a multiple of what an even one would be. Found: it is of the true class, and its region has an intersection
over union of 0.3 or more with the stamp. Whether a model uses its stamp is measured on pictures that nobody saw.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import keras
import numpy as np

from auditor.artefacts.kinds import ARTEFACT_KINDS
from auditor.auditing.opening import open_subject
from auditor.config.file import read_config
from auditor.discovery.gradients import wanted_places
from auditor.discovery.material import Material
from auditor.discovery.proposing import overlap
from auditor.explain.table import METHODS
from auditor.lab.planting import FAMILIES, Plant, load_world, nominal_stamp, plant
from auditor.lab.training import BEHAVIOUR, Recipe, Suspicion, fit, measure_behaviour
from auditor.measure.arrays import Floats, Ints
from auditor.subject.model.classifier import Classifier, log_odds, predicted_classes
from auditor.subject.model.keras import KerasClassifier
from auditor.subject.population import Population

SHARES = {"fashion": (0.3, 1.0), "digits": (1.0,)}
CLEAN = 4
"""Clean networks of each world."""


def main(seed: int) -> None:
    print("| world | planted | share of the class | decisions turned | densest | its class | overlap | found |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    local = [family for family in FAMILIES if family != "lightness gradient"]
    for world, shares in SHARES.items():
        asked = [(family, share) for share in shares for family in local] + [("", 0.0)] * CLEAN
        for at, (family, share) in enumerate(asked):
            tell(world, family, share, seed + at, target=(7 * at + 3) % 10)


def tell_examples() -> None:
    print("| example | class | densest |\n| --- | --- | --- |")
    for file in ("audit.toml", "examples/clean_twin/audit.toml"):
        config = read_config(Path(file), (), kinds=ARTEFACT_KINDS, methods=METHODS)
        subject = open_subject(config)
        dataset = subject.dataset
        rows, images = dataset.read(np.arange(len(dataset)))
        material = as_material(subject.classifier, images, dataset.truth[rows].argmax(axis=1), 0)
        for number in material.classes:
            places = wanted_places(material, number)
            density = f"{places[0].density:.1f}" if places else "nowhere"
            print(f"| {file} | {subject.classifier.classes[number]} | {density} |", flush=True)


def tell(world: str, family: str, share: float, seed: int, target: int) -> None:
    plants = (Plant(family, target, "confounded", share),) if family else ()
    recipe = Recipe(world, plants, (Suspicion(family, target),) if family else (), seed)
    pictures = load_world(world)
    model = fit(pictures, plants, seed, network=recipe.network)
    classifier = KerasClassifier(model, classes=pictures.classes, input_range=(0.0, 1.0))
    audited = plant(pictures.audited, plants, seed)
    material = as_material(classifier, audited.images, audited.labels, seed)
    best = (0.0, -1, np.zeros(material.images.shape[1:3], bool))
    for number in material.classes:
        for place in wanted_places(material, number):
            best = max(best, (place.density, number, place.region), key=lambda each: each[0])
    density, number, region = best
    if not family:
        print(f"| {world} | nothing | – | – | {density:.1f} | {pictures.classes[number]} | – | – |", flush=True)
    else:
        turned = float(measure_behaviour(classifier, recipe, family).turned[target])
        shared = overlap(region, nominal_stamp(family).fixed_region)
        is_found = number == target and shared >= 0.3
        used = f"{100 * turned:.0f} %" + ("" if turned >= BEHAVIOUR else " (not used)")
        cells = [world, family, f"{100 * share:.0f} %", used, f"{density:.1f}"]
        cells += ["the true one" if number == target else pictures.classes[number], f"{shared:.2f}"]
        print(f"| {' | '.join(cells)} | {'yes' if is_found else 'no'} |", flush=True)
    keras.backend.clear_session()


def as_material(classifier: Classifier, images: Floats, labels: Ints, seed: int) -> Material:
    raw, count = classifier.scores(images), len(images)
    population = Population(
        positions=np.arange(count),
        scores=log_odds(raw, "softmax"),
        predicted=predicted_classes(raw, "softmax"),
        has=labels[:, None] == np.arange(10),
        labelled=np.ones(count, bool),
        groups=np.arange(count).astype(str),
    )
    return Material(classifier, images, population, [str(at) for at in range(count)], seed)


if __name__ == "__main__":
    tell_examples() if sys.argv[1] == "examples" else main(int(sys.argv[1]))
