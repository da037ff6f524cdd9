"""Are shortcuts found that nobody named? On random-feature models of known truth, as a table in Markdown.

    python benchmarks/discovery.py 630000 24 --clean 24 > docs/laboratory/discovery.md

Models follow seed by seed until so many use what was planted; those that do not are counted, and have nothing to find.
600 pictures, of which a drawn share of the target's carries what was planted in training; half of them propose, half
decide. Found: among the first three suspects is one of the true class whose region has an intersection over union of
0.3 with the true one. Beside it three places drawn at random, of classes drawn at random.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections import defaultdict
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from auditor.artefacts.artefact import Artefact
from auditor.artefacts.overlay import Overlay
from auditor.discovery.material import Material, halve
from auditor.discovery.places import lay_grid
from auditor.discovery.proposing import SOURCES, overlap, propose
from auditor.discovery.weighing import weigh
from auditor.lab.asking import Known
from auditor.lab.colours import plant_all
from auditor.lab.features import Specimen, choose_recipe, make_specimen
from auditor.measure.arrays import Bools, Floats, Ints, take
from auditor.measure.intervals import share_interval
from auditor.measure.words import say
from auditor.subject.data.memory import HeldSource
from auditor.subject.data.sample import Dataset
from auditor.subject.model.classifier import log_odds, predicted_classes
from auditor.subject.population import Population
from auditor.verdict.findings import judge_all
from auditor.verdict.observations import Observations
from auditor.verdict.record import Rule
from auditor.verdict.trial import survey

SHARES = (0.1, 0.2, 0.4, 0.7, 1.0)
"""Of the target's pictures that carry it, in training and in the audit."""

STEP = 5
"""From seed to seed: it shares no factor with the turns that questions, kinds and maps take."""

AIM = "The aim, on sixty models or more: 80 % among the first three, 70 % confirmed, at most 5 % of clean ones accused."

USED = 0.1
"""Share of decisions that it turns, from which on the model is said to use it."""


class Case(NamedTuple):
    kind: str
    share: float
    found: str
    """The source of the first true suspect among the first three; empty where there is none."""
    by_chance: float
    """Chance that one of three random places is true."""
    is_confirmed: bool
    """On the other half, in whatever place of the list."""
    is_apart: bool
    """And known not to be the object."""
    is_accused: bool
    """Any suspect at all is confirmed as a shortcut candidate."""


def run(seed: int, *, is_clean: bool) -> Case | None:
    """One model, its suspects, and what became of them; None of one that does not use what was planted."""
    random = np.random.default_rng([seed, 5])
    share = 0.0 if is_clean else float(random.choice(SHARES))
    recipe = replace(choose_recipe(seed), regime="clean" if is_clean else "confounded", rho=share)
    specimen = make_specimen(recipe)
    if not is_clean and specimen.truth.turned < USED:
        return None
    pictures = specimen.task.audited + specimen.task.unseen[:300]
    images, target = pictures.images.copy(), specimen.task.target
    carries = pictures.has[:, target] & (random.random(len(pictures)) < share)
    if carries.any():
        images[carries] = plant_all(specimen.appearance, images[carries], recipe.kind, random)
    halves = [material(specimen, images, pictures.has, rows) for rows in _halves(len(images))]
    proposed = propose(halves[0], 6, 12_000)
    true, several = specimen.appearance.fixed_region, len(specimen.task.classes) > 2
    assert true is not None

    def is_true(target_of: int, region: Bools | None) -> bool:
        return region is not None and (target_of == target or not several) and overlap(region, true) >= 0.3

    hits = [is_true(each.target, each.look.fixed_region) for each in proposed.candidates]
    relied = judge(specimen, images, pictures.has, proposed.candidates)
    apart = [weigh(halves[1], each).is_apart for each in proposed.candidates]
    grid = lay_grid(true.shape)
    chance = np.mean([overlap(place, true) >= 0.3 for place in grid]) / (halves[0].seen.has.shape[1] if several else 1)
    sources = [each.proposal.source for each, hit in zip(proposed.candidates[:3], hits[:3], strict=True) if hit]
    return Case(
        recipe.kind,
        share,
        sources[0] if sources else "",
        1 - (1 - float(chance)) ** 3,
        any(hit and sure for hit, sure in zip(hits, relied, strict=True)),
        any(hit and sure and beside for hit, sure, beside in zip(hits, relied, apart, strict=True)),
        any(sure and beside for sure, beside in zip(relied, apart, strict=True)),
    )


def _halves(count: int) -> tuple[Ints, Ints]:
    first = halve(np.arange(count), 0)
    return np.flatnonzero(first), np.flatnonzero(~first)


def material(specimen: Specimen, images: Floats, has: Bools, rows: Ints) -> Material:
    raw, names = specimen.model.scores(images[rows]), [str(row) for row in rows]
    output = specimen.model.output
    seen = Population(
        rows,
        log_odds(raw, output),
        predicted_classes(raw, output),
        has[rows],
        np.ones(len(rows), bool),
        np.array(names),
    )
    return Material(specimen.model, images[rows], take(seen, np.arange(len(rows))), names, 0, 300)


def judge(specimen: Specimen, images: Floats, has: Bools, candidates: list) -> list[bool]:
    """Which candidates are relied on by the images of the other half; edits of the whole image are not tried."""
    tried = [at for at, each in enumerate(candidates) if isinstance(each.look, Overlay)]
    nobody, single = np.zeros(len(images), bool), (has.sum(axis=1) == 1).all()
    labels = [int(number) for number in has.argmax(axis=1)] if single else has
    task = specimen.task
    dataset = Dataset(
        HeldSource(images, labels),
        classes=task.classes,
        image_shape=specimen.model.image_shape,
        multilabel=task.output == "multilabel",
    )
    artefacts = [
        Artefact(each.name, "overlay", Known(each.look.alpha, each.look.ink), each.target, "none", nobody)
        for each in (candidates[at] for at in tried)
    ]
    seen = survey(
        specimen.model, dataset, artefacts, fills=("mean",), rule=Rule(), seed=0, batch_size=300,
        progress=lambda *_: None, rounds=[_halves(len(images))[1]],
    )  # fmt: skip
    pairs = [
        (each, artefact.target)
        for each, artefact in zip(seen.observed, artefacts, strict=True)
        if isinstance(each, Observations)
    ]
    relied = [False] * len(candidates)
    for at, finding in zip(tried, judge_all(pairs, Rule()), strict=True):
        relied[at] = finding.verdict == "relies"
    return relied


def describe(used: list[Case], clean: list[Case], unused: int, asked: str) -> str:
    """The tables, the bad first."""
    lines = [
        "# Suspects that nobody named, on models of known truth",
        "",
        f"Written by `python benchmarks/discovery.py {asked}`, on random-feature models whose seeds chose nothing: "
        f"{len(used)} that use what was planted (at least {USED:.0%} of decisions turn; {unused} more do not, and have "
        f"nothing to find), and {len(clean)} clean ones.",
        "",
        AIM,
        "",
        f"- Clean models with a suspect confirmed as shortcut candidate: {_rate([c.is_accused for c in clean])}.",
        f"- True region among the first three suspects: {_rate([bool(c.found) for c in used])}; of three random places "
        f"{np.mean([c.by_chance for c in used]):.0%}; of properties of whole images alone 0, for these name no region.",
        f"- Confirmed on the other half: {_rate([c.is_confirmed for c in used])}.",
        f"- And known not to be the object: {_rate([c.is_apart for c in used])}.",
        "",
        "| planted | models | among the first three | at random | confirmed | shortcut candidate |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    parts: dict[str, list[Case]] = defaultdict(list)
    for case in used:
        parts[case.kind].append(case)
    for share in SHARES:
        parts[f"on {share:.0%} of the class"] = [case for case in used if case.share == share]
    for source in SOURCES:
        lines_of = [case for case in used if case.found == source]
        if lines_of:
            parts[f"(found by {source})"] = lines_of
    for name, cases in parts.items():
        if cases:
            cells = [sum(bool(c.found) for c in cases), f"{np.mean([c.by_chance for c in cases]):.0%}"]
            cells += [sum(c.is_confirmed for c in cases), sum(c.is_apart for c in cases)]
            lines.append(f"| {name} | {len(cases)} | {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


def _rate(hits: list[bool]) -> str:
    return say(share_interval(np.array(hits, bool), np.arange(len(hits)), 0.95), "counted") if hits else "no models"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("first", type=int)
    parser.add_argument("count", type=int, help="models that use what was planted")
    parser.add_argument("--clean", type=int, default=0)
    asked = parser.parse_args()
    found: list[list[Case]] = [[], []]
    unused = 0
    for is_clean, count in enumerate((asked.count, asked.clean)):
        seeds = itertools.count(asked.first, STEP)
        while len(found[is_clean]) < count:
            case = run(next(seeds), is_clean=bool(is_clean))
            unused += case is None
            if case is not None:
                found[is_clean].append(case)
                print(case, file=sys.stderr, flush=True)
    told = f"{asked.first} {asked.count} --clean {asked.clean}"
    print(describe(*found, unused, told), end="")


if __name__ == "__main__":
    main()
