"""What ending early does to verdicts on models of known truth: a table in Markdown.

    OMP_NUM_THREADS=1 python benchmarks/sequential_lab.py          # about half an hour
    OMP_NUM_THREADS=1 python benchmarks/sequential_lab.py --models 60

Random-feature models of the laboratory, at seeds that nothing was chosen on, are audited by all their 300 pictures, and
by looks at 75 and 150 of them first. An audit of yours looks first at 300: these looks have fewer images than any that
it takes, and so err more.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from auditor.lab.asking import Way, ask_in
from auditor.lab.colours import EDITS
from auditor.lab.features import choose_recipe, make_specimen, name_truth
from auditor.lab.judging import BANDS
from auditor.verdict.findings import judge
from auditor.verdict.record import Rule

FIRST, SEEDS = 75, 600_000


class Judged(NamedTuple):
    """One audit of one model."""

    truth: str
    verdict: str
    direction: str | None
    images: int
    passes: int


def judge_models(way: Way, count: int) -> Iterator[tuple[Judged, Judged]]:
    """By all pictures, and by looks at a part of them first."""
    for seed in range(SEEDS, SEEDS + count):
        recipe = choose_recipe(seed)
        if recipe.kind in EDITS:
            continue
        specimen = make_specimen(recipe)
        truth = name_truth(recipe.regime, specimen.truth.turned, specimen.truth.lost, BANDS[0])
        if way == "scan" and recipe.regime in ("clean", "balanced"):
            truth = name_truth(recipe.regime, specimen.truth.any_class, 0, BANDS[0])
        found = []
        for first in (None, FIRST):
            asked = ask_in(specimen, way, first)
            finding = judge(asked.observed, None if way == "scan" else specimen.task.target, Rule())
            found.append(Judged(truth, finding.verdict, finding.direction, asked.images, asked.passes))
        yield found[0], found[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", type=int, default=600)
    options = parser.parse_args()
    heads = ("asked", "looks", "accused", "acquitted", "found", "innocents open", "images", "passes")
    rows = [f"| {' | '.join(heads)} |", "| --- " * len(heads) + "|"]
    told = []
    ways: tuple[Way, ...] = ("named", "scan")
    for way in ways:
        pairs = list(judge_models(way, options.models if way == "named" else options.models // 3))
        for name, at in (("all at once", 0), ("75, 150, 300", 1)):
            rows.append(f"| {way} | {name} | {_tally([pair[at] for pair in pairs])} |")
        swapped = [{one.verdict, other.verdict} == {"relies", "no_evidence"} for one, other in pairs]
        same = sum((one.verdict, one.direction) == (other.verdict, other.direction) for one, other in pairs)
        told.append(f"{way}: {same} of {len(pairs)} verdicts are the same, {sum(swapped)} change sides.")
    print("\n".join([*rows, "", *told]))


def _tally(cases: list[Judged]) -> str:
    innocent = [case for case in cases if case.truth == "innocent"]
    relying = [case for case in cases if case.truth in ("promotes", "suppresses")]
    found = [case for case in relying if case.verdict == "relies" and case.direction == case.truth]
    counts = (
        (sum(case.verdict == "relies" for case in innocent), innocent),
        (sum(case.verdict == "no_evidence" for case in relying), relying),
        (len(found), relying),
        (sum(case.verdict == "inconclusive" for case in innocent), innocent),
    )
    means = (sum(getattr(case, name) for case in cases) / max(len(cases), 1) for name in ("images", "passes"))
    return " | ".join([*(f"{hits} of {len(every)}" for hits, every in counts), *(f"{mean:.0f}" for mean in means)])


if __name__ == "__main__":
    main()
