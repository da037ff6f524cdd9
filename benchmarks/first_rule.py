"""The first and the second rule on the same rows of the laboratory: the figures behind decision 18.

    python benchmarks/first_rule.py   # docs/laboratory/rows.parquet, named targets on fresh seeds by mode; seconds

The first rule is made anew from what the rows hold: theta is the least of the lead over controls, the lead over other
classes and, of its lower bound, the lead over controls on the other side; the margin is half a log-odds or 0.1 standard
deviations of the score, whichever is more. Where the second rule found a set of classes that move together, the lead
over other classes is taken outside it here too, which is kinder to the first rule than it was.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from auditor.lab.judging import Case, count_modes, judge_rows
from auditor.lab.rows import read_rows
from auditor.verdict.measured import Measured
from auditor.verdict.record import Rule

MARGIN, MARGIN_SD, LEAST_RISE, LEAST_GROUPS = 0.5, 0.1, 0.5, 12
"""Of the first rule, in log-odds, in standard deviations, in log-odds, and in groups."""

LEADS = {
    "promotes": (("control_contrast", "class_contrast"), "own_control_contrast"),
    "suppresses": (
        ("suppression_control_contrast", "suppression_class_contrast"),
        "suppression_others_control_contrast",
    ),
}
"""Direction -> what theta is the least of, and what confirms it on the other side."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=Path, default=Path("docs/laboratory/rows.parquet"))
    options = parser.parse_args()
    judged = judge_rows(read_rows(options.rows), Rule())
    second = [case for case in judged if case.row.way == "named" and case.split == "confirm"]
    verdicts = {"first": [_by_the_first(case) for case in second], "second": second}
    rules = {
        rule: count_modes(cases) | count_modes([replace(case, mode="all") for case in cases if case.mode != "varying"])
        for rule, cases in verdicts.items()
    }
    print("| mode | rule | innocents accused | left open | relying acquitted | found |")
    print("| --- | --- | --- | --- | --- | --- |")
    for mode in rules["second"]:
        for rule, counts in rules.items():
            part = counts[mode]
            shares = [f"{part[hits]} of {part['innocent']}" for hits in ("accused", "left_open")]
            shares += [f"{part[hits]} of {part['relying']}" for hits in ("acquitted", "found")]
            print(f"| {mode} | {rule} | {' | '.join(shares)} |")


def _by_the_first(case: Case) -> Case:
    verdict, direction = decide(case.row.measured[0])
    return replace(case, verdict=verdict, direction=direction)


def decide(measured: Measured) -> tuple[str, str]:
    """The verdict of the first rule, and its direction."""
    margin = max(MARGIN, MARGIN_SD * measured.spread)
    lows: dict[str, float] = {}
    highs: dict[str, float] = {}
    for way, (names, other) in LEADS.items():
        leads = [measured.values[name] for name in names if measured.values[name].value is not None]
        if not leads or leads[0].groups < LEAST_GROUPS:
            continue
        confirmed = [lead for lead in (measured.values[other],) if lead.groups >= LEAST_GROUPS]
        lows[way] = min(lead.bounds[0] for lead in leads + confirmed)
        highs[way] = min(lead.bounds[1] for lead in leads)
    if not lows:
        return "inconclusive", ""
    best = max(lows, key=lambda way: lows[way])
    if lows[best] > margin:
        return "relies", best
    accuracy, pasted = measured.values.get("accuracy"), measured.values.get("pasted_object")
    is_doubted = (accuracy is not None and accuracy.against(0.5) == "below") or (
        pasted is not None and pasted.groups >= LEAST_GROUPS and pasted.bounds[0] < LEAST_RISE
    )
    if "promotes" not in highs or max(highs.values()) >= margin or is_doubted:
        return "inconclusive", ""
    return "no_evidence", ""


if __name__ == "__main__":
    main()
