"""What would mend the weakest modes, and what it would cost: the figures behind decision 22, on the committed rows.

    python benchmarks/rescued_images.py   # docs/laboratory/rows.parquet; seconds

Of models of more than thirty classes, those that rely and are acquitted rescue images of their own class, and turn few
of others. So an all-clear could ask, too, how far the artefact raises the class on its own images: by the lesser of the
rise itself and its lead over controls. And where an artefact was only filled in, a fill that raises the score could
settle as little as one that lowers it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from auditor.lab.judging import Case, Tally, judge_rows
from auditor.lab.rows import read_rows
from auditor.measure.intervals import least
from auditor.measure.measurement import Measurement
from auditor.verdict.measured import Measured
from auditor.verdict.record import Rule

Doubt = Callable[[Measured], bool]
"""Whether an all-clear would be withheld."""

SPLITS = ("confirm", "test", "choose")


def main() -> None:
    cases = judge_rows(read_rows(Path("docs/laboratory/rows.parquet")), Rule())
    print("innocents left open of how many / relying acquitted of how many, now and with the doubt")
    for words, modes, doubts in TRIED:
        for split in SPLITS:
            part = [case for case in cases if case.mode in modes and case.split == split]
            told = " | ".join(f"{name}: {count(part, doubt)}" for name, doubt in doubts.items())
            print(f"{words}, {split}: now: {count(part, lambda measured: False)} | {told}")


def count(cases: list[Case], doubt: Doubt) -> str:
    tally = Tally(cases)

    def withheld(some: list[Case]) -> int:
        return sum(case.verdict == "no_evidence" and doubt(case.row.measured[0]) for case in some)

    left_open = len(tally.left_open) + withheld(tally.innocent)
    acquitted = len(tally.acquitted) - withheld(tally.relying)
    return f"{left_open} of {len(tally.innocent)} / {acquitted} of {len(tally.relying)}"


def own_rise(measured: Measured) -> Measurement | None:
    fall, lead = (measured.values.get(name) for name in ("suppression", "own_control_contrast"))
    if fall is None or lead is None or None in (fall.value, lead.value) or fall.groups < Rule().min_groups:
        return None
    return least(fall.mapped(lambda value: -value), lead)


def by_own_rise(bar: float, *ways: str) -> Doubt:
    def doubt(measured: Measured) -> bool:
        rise = own_rise(measured)
        return rise is not None and rise.against(bar * measured.margin) in ways

    return doubt


def by_fill_that_raises(bar: float, *ways: str) -> Doubt:
    return lambda measured: measured.values["removal_rise"].against(bar * measured.margin) in ways


NAMED = ("one logit", "two classes", "few classes", "ten classes", "labels")

OWN: dict[str, Doubt] = {
    "own rise not below the margin": by_own_rise(1, "open", "above"),
    "above half of it": by_own_rise(0.5, "above"),
    "above the margin": by_own_rise(1, "above"),
}

FILLS: dict[str, Doubt] = {
    "rise not below half the margin": by_fill_that_raises(0.5, "open", "above"),
    "not below the margin": by_fill_that_raises(1, "open", "above"),
    "above half of it": by_fill_that_raises(0.5, "above"),
}

TRIED: tuple[tuple[str, tuple[str, ...], dict[str, Doubt]], ...] = (
    ("more than thirty classes", ("hundred classes",), OWN),
    ("other named targets", NAMED, OWN),
    ("only the place known", ("place",), FILLS),
)

if __name__ == "__main__":
    main()
