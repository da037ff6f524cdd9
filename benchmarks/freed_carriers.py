"""Whether carriers that must show the artefact, to count as free of it, cost a verdict where it is named rightly.

Models of random features are audited in every way in which images carry the artefact, as the rule is and as though
nobody asked what carriers show; prints in how many audits the verdict is another.

    python benchmarks/freed_carriers.py --seeds 500000 500900   # ten minutes
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from auditor.lab import asking
from auditor.lab.features import choose_recipe, make_specimen
from auditor.verdict import interventions
from auditor.verdict.carrying import HALF
from auditor.verdict.measured import measure
from auditor.verdict.record import Rule
from auditor.verdict.rule import conclude

WAYS: tuple[asking.Way, ...] = ("class", "removal", "pair", "together")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", nargs=2, type=int, default=(500_000, 500_900), metavar=("FIRST", "LAST"))
    shown: Counter[str] = Counter()
    verdicts: Counter[str] = Counter()
    for seed in range(*parser.parse_args().seeds):
        recipe = choose_recipe(seed)
        for way in asking.choose_ways(recipe):
            if way not in WAYS:
                continue
            specimen = make_specimen(recipe)
            target, rule = specimen.task.target, Rule()
            asked = measure(asking.ask_in(specimen, way).observed, target, rule)
            with mock.patch.object(interventions, "bears_out", return_value=True):
                observed = replace(asking.ask_in(specimen, way).observed, shown={})
            unasked = conclude(measure(observed, target, rule), rule)
            verdicts["the same" if conclude(asked, rule)[:2] == unasked[:2] else f"another: seed {seed}, {way}"] += 1
            found = asked.values.get("shown_by_carriers")
            shown["not asked" if found is None else f"{found.against(HALF)} a half"] += 1
    print("what carriers show where it is named:", dict(shown))
    print("verdict with and without asking:", dict(verdicts))


if __name__ == "__main__":
    main()
