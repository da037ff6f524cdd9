"""Are shortcuts found that nobody named? On random-feature models of known truth, as a table in Markdown.

    python benchmarks/discovery.py 800000 60 --clean 60 > docs/laboratory/discovery.md

Models follow seed by seed until so many use what was planted; those that do not are counted, and have nothing to find.
600 pictures, of which a drawn share of the target's carries what was planted in training; half of them propose, half
decide. Found: among the first three suspects is one of the true class that is what was planted:

- its region has an intersection over union of 0.3 with the true one;
- of a tint it moves the mean colour of images the same way besides, within 45 degrees; it may be an edit, which has no
  region;
- of spots that are others in every picture it is an edit that adds noise, for no region is true of all of them;
- of an edit of the whole image it is an edit of the same kind, to the same side of what changes nothing.

Of two classes of which one gains what the other loses either will do, and the opposite edit about the other.

Beside it three places drawn at random, of classes drawn at random; of a tint three colours. Edits of the whole image
are planted in models of the upper half of every hundred thousand seeds.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import sys
from collections import defaultdict
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np

from auditor.artefacts.appearance import Appearance
from auditor.artefacts.artefact import Artefact
from auditor.artefacts.global_edits import GlobalEdit
from auditor.artefacts.overlay import Overlay
from auditor.discovery.candidate import Candidate
from auditor.discovery.material import Material, halve
from auditor.discovery.places import lay_grid
from auditor.discovery.proposing import overlap, propose
from auditor.discovery.weighing import weigh
from auditor.lab.asking import Known
from auditor.lab.colours import VARYING, plant_all
from auditor.lab.features import Specimen, choose_recipe, make_specimen
from auditor.measure.arrays import Bools, Doubles, Floats, Ints, take
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

LOOKED = ("places", "stamps", "gradients", "properties")
"""Sources that look. These models have no derivatives, so gradients find nothing."""

ALIKE = 0.7
"""Cosine of two changes of colour that are the same: 15 % of all colours are."""

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
    proposed = propose(halves[0], 6, 12_000, LOOKED)
    several = len(specimen.task.classes) > 2
    plain = pictures.images[~pictures.has[:, target]][:100]
    hits = [is_planted(each, specimen, plain) for each in proposed.candidates]
    relied = judge(specimen, images, pictures.has, proposed.candidates)
    apart = [weigh(halves[1], each).is_apart for each in proposed.candidates]
    chance = guess(specimen) / (halves[0].seen.has.shape[1] if several else 1)
    sources = [each.proposal.source for each, hit in zip(proposed.candidates[:3], hits[:3], strict=True) if hit]
    return Case(
        recipe.kind,
        share,
        sources[0] if sources else "",
        1 - (1 - chance) ** 3,
        any(hit and sure for hit, sure in zip(hits, relied, strict=True)),
        any(hit and sure and beside for hit, sure, beside in zip(hits, relied, apart, strict=True)),
        any(sure and beside for sure, beside in zip(relied, apart, strict=True)),
    )


def is_planted(candidate: Candidate, specimen: Specimen, images: Floats) -> bool:
    """Whether a suspect is what was planted, and about its class.

    Of two classes of which one gains what the other loses either will do, and of edits the opposite one.

    Parameters
    ----------
    images
        Without it, (n, h, w, c).
    """
    look, edit, kind = candidate.look, candidate.proposal.kind, specimen.recipe.kind
    true, region = specimen.appearance.fixed_region, look.fixed_region
    is_other = candidate.target != specimen.task.target
    if is_other and len(specimen.task.classes) > 2:
        return False
    if kind in VARYING and region is None:
        return edit == "noise" and not is_other
    if true is None:
        return edit == kind and (_is_more(look) == _is_more(specimen.appearance)) != is_other
    if region is None:
        return kind == edit == "tint" and _is_alike(
            _moved(look, images) * (-1 if is_other else 1), _moved(specimen.appearance, images)
        )
    is_there = overlap(region, true) >= 0.3
    return is_there and (kind != "tint" or _is_alike(_moved(look, images), _moved(specimen.appearance, images)))


def _moved(look: Appearance, images: Floats) -> Doubles:
    """By how much a look moves the mean colour of images (n, h, w, c), (c,)."""
    edited = look.insert(images, np.random.default_rng(0).spawn(len(images)))
    return np.asarray((edited - images).mean(axis=(0, 1, 2), dtype=np.float64))


def _is_alike(one: Doubles, other: Doubles) -> bool:
    return float(one @ other) >= ALIKE * float(np.linalg.norm(one) * np.linalg.norm(other))


def _is_more(look: Appearance) -> bool:
    """Whether an edit of the whole image lies above what changes nothing."""
    assert isinstance(look, GlobalEdit)
    return look.amounts[0] > (look.neutral or 0.0)


def guess(specimen: Specimen) -> float:
    """Chance that a place drawn at random, or of a tint a colour, is what was planted; none of an edit."""
    true = specimen.appearance.fixed_region
    if specimen.recipe.kind == "tint":
        return (1 - ALIKE) / 2
    return 0.0 if true is None else float(np.mean([overlap(place, true) >= 0.3 for place in lay_grid(true.shape)]))


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


def judge(specimen: Specimen, images: Floats, has: Bools, candidates: list[Candidate]) -> list[bool]:
    """Which candidates are relied on by the images of the other half."""
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
        Artefact(each.name, each.proposal.kind, _alone(each.look), each.target, "none", nobody) for each in candidates
    ]
    seen = survey(
        specimen.model, dataset, artefacts, fills=("mean",), rule=Rule(), seed=0, batch_size=300,
        progress=lambda *_: None, rounds=[_halves(len(images))[1]],
    )  # fmt: skip
    tried = {at: each for at, each in enumerate(seen.observed) if isinstance(each, Observations)}
    findings = judge_all([(each, candidates[at].target) for at, each in tried.items()], Rule())
    relied = [False] * len(candidates)
    for at, finding in zip(tried, findings, strict=True):
        relied[at] = finding.verdict == "relies"
    return relied


def _alone(look: Appearance) -> Appearance:
    """Without what no verdict is taken on."""
    return Known(look.alpha, look.ink) if isinstance(look, Overlay) else look


def describe(used: list[Case], clean: list[Case], unused: int, asked: str) -> str:
    """The tables, the bad first."""
    lines = [
        "# Suspects that nobody named, on models of known truth",
        "",
        f"Written by `python benchmarks/discovery.py {asked}`, on random-feature models whose seeds chose nothing: "
        f"{len(used)} that use what was planted (at least {USED:.0%} of decisions turn; {unused} more do not, and "
        f"have nothing to find), and {len(clean)} clean ones. Sources: {', '.join(LOOKED)}.",
        "",
        AIM,
        "",
        f"- Clean models with a suspect confirmed as shortcut candidate: {_rate([c.is_accused for c in clean])}.",
        f"- What was planted among the first three suspects: {_rate([bool(c.found) for c in used])}; at random "
        f"{np.mean([c.by_chance for c in used]):.0%}.",
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
    for source in LOOKED:
        parts[f"(found by {source})"] = [case for case in used if case.found == source]
    for name, cases in parts.items():
        if cases:
            cells = [sum(bool(c.found) for c in cases), f"{np.mean([c.by_chance for c in cases]):.0%}"]
            cells += [sum(c.is_confirmed for c in cases), sum(c.is_apart for c in cases)]
            lines.append(f"| {name} | {len(cases)} | {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


def _rate(hits: list[bool]) -> str:
    return say(share_interval(np.array(hits, bool), np.arange(len(hits)), 0.95), "counted") if hits else "no models"


def gather(first: int, count: int, workers: int, *, is_clean: bool = False) -> tuple[list[Case], int]:
    """So many cases, seed by seed, and how many models on the way did not use what was planted."""
    seeds, found, unused = itertools.count(first, STEP), list[Case](), 0
    with multiprocessing.Pool(workers) as pool:
        while len(found) < count:
            many = min(4 * workers, 2 * (count - len(found)))
            for case in pool.map(partial(run, is_clean=is_clean), itertools.islice(seeds, many), chunksize=1):
                if len(found) < count:
                    unused += case is None
                    found += [] if case is None else [case]
                    print(case, file=sys.stderr, flush=True)
    return found, unused


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("first", type=int)
    parser.add_argument("count", type=int, help="models that use what was planted")
    parser.add_argument("--clean", type=int, default=0, help="models that have nothing planted")
    parser.add_argument("--workers", type=int, default=1, help="processes; the tables are the same")
    asked = parser.parse_args()
    used, unused = gather(asked.first, asked.count, asked.workers)
    clean, _ = gather(asked.first, asked.clean, asked.workers, is_clean=True)
    print(describe(used, clean, unused, f"{asked.first} {asked.count} --clean {asked.clean}"), end="")


if __name__ == "__main__":
    main()
