"""What judging a scan costs beside its passes, in processor time: every class is a target, with intervals of its own.

    python benchmarks/judging.py --images 500 --classes 1000

The scores are drawn at random: what they are makes no difference to the time.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from auditor.subject.population import Population
from auditor.verdict.findings import judge
from auditor.verdict.observations import Draws, Insertion, Observations
from auditor.verdict.record import Rule

CONTROLS, DRAWS = 4, 40


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--classes", type=int, nargs="+", default=[10, 100, 1000])
    arguments = parser.parse_args()
    for classes in arguments.classes:
        observed = observe(arguments.images, classes)
        started = time.process_time()
        judge(observed, None, Rule())
        spent = time.process_time() - started
        print(f"{arguments.images} images, {classes} classes: {spent:.2f} s of processor")


def observe(images: int, classes: int) -> Observations:
    """A scan of so many images and classes, in which nothing is relied on."""
    random = np.random.default_rng(0)

    def shifts(*shape: int) -> np.ndarray:
        return random.normal(0, 0.3, (*shape, classes)).astype(np.float32)

    rows, labels = np.arange(images), random.integers(0, classes, images)
    has = np.zeros((images, classes), bool)
    has[rows, labels] = True
    population = Population(rows, 10 * shifts(images), has, has, np.ones(images, bool), rows)
    names = [f"control {number}" for number in range(CONTROLS)]
    insertion = Insertion(
        population,
        shifts(images),
        has,
        shifts(images),
        {name: shifts(images) for name in names},
        dict.fromkeys(names, has.astype(np.float32)),
    )
    drawn = rows[:100]
    return Observations(
        artefact="artefact",
        classes=tuple(f"class {number}" for number in range(classes)),
        one_logit=False,
        insertion=insertion,
        removals=None,
        images=population,
        carries=np.zeros(images, bool),
        draws=Draws(drawn, shifts(DRAWS, len(drawn)), DRAWS),
    )


if __name__ == "__main__":
    main()
