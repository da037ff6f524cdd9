"""The verdicts of a rule on the laboratory's rows beside the truth: tables by mode, and the figures that reports print.

Cells of kind and map choose a rule or test it in alternation; seeds from `FRESH` on confirm the one that was chosen.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from auditor.errors import DataError
from auditor.lab.asking import ON_ALL, SCANS
from auditor.lab.colours import KINDS, QUESTIONS, VARYING
from auditor.lab.features import MAPS, name_truth
from auditor.lab.rows import Row
from auditor.measure.intervals import share_interval
from auditor.measure.words import say
from auditor.report.templates import open_templates
from auditor.verdict.calibration import MODES, Asked, Carried, mode_of
from auditor.verdict.effects import NAMES
from auditor.verdict.measured import Measured
from auditor.verdict.record import Rule
from auditor.verdict.rule import Decision, conclude

FRESH = 400_000
"""Seeds from here on are kept to confirm a rule: what reports and the README print is of these alone."""

BANDS = ((0.05, 0.15), (0.1, 0.1))
"""Between which shares of changed decisions a model is borderline: in the main tables, and in those without a band."""


MARKS = ("<!-- modes: written by auditor lab judge --readme -->", "<!-- end of modes -->")
"""Between these the table of a README stands."""


@dataclass(frozen=True)
class Case:
    """One audit, its truth and its verdict."""

    row: Row
    mode: str
    """A key of `MODES`; or `varying`, `pair` and `together`, which no audit is told apart by; or a temperature."""
    split: str
    """`choose`, `test` or `confirm`."""
    truth: str
    """See `name_truth`."""
    verdict: str
    direction: str
    strength: float
    """The largest effect, in margins: what is between innocent and relying models in a ROC curve."""
    first: str
    """The class that the verdict is about."""

    part: bool
    """Whether the artefact is said to move a part of the images."""

    @property
    def family(self) -> str:
        """`choose` or `test`: whether models of its kind and map served to choose the rule, at other seeds."""
        return family_of(self.row)

    @property
    def said(self) -> str:
        """The verdict with its direction."""
        return f"{self.verdict} {self.direction}".strip()

    @property
    def is_found(self) -> bool:
        """Whether it is said to rely in the direction that is true."""
        return self.verdict == "relies" and self.direction == self.truth

    @property
    def is_noticed(self) -> bool:
        """Whether it is found, or the artefact is said to move a part of the images."""
        return self.is_found or self.part


def judge_rows(rows: Iterable[Row], rule: Rule, band: tuple[float, float] = BANDS[0]) -> list[Case]:
    """The verdict of a rule on every row."""
    return [_judge(row, rule, band) for row in rows]


def split_of(row: Row) -> str:
    """Whether a row may serve to choose a rule, tests it, or confirms it."""
    return "confirm" if row.seed >= FRESH else family_of(row)


def family_of(row: Row) -> str:
    """Whether models of a row's kind and map serve to choose a rule or test it."""
    return ("choose", "test")[(list(KINDS).index(row.kind) + MAPS.index(row.map)) % 2]


def count_modes(cases: Sequence[Case]) -> dict[str, dict[str, int]]:
    """By mode how many models there are and how many verdicts are right and wrong."""
    found = {}
    for mode in dict.fromkeys(case.mode for case in cases):
        tally = Tally([case for case in cases if case.mode == mode])
        found[mode] = {
            "models": len(tally.cases),
            "innocent": len(tally.innocent),
            "accused": len(tally.accused),
            "left_open": len(tally.left_open),
            "relying": len(tally.relying),
            "found": len(tally.found),
            "acquitted": len(tally.acquitted),
        }
    return found


def make_calibration(cases: Sequence[Case], rule: Rule) -> dict[str, Any]:
    """What `calibration.json` holds: counts of the cases that confirm the rule."""
    counts = count_modes([case for case in cases if case.split == "confirm"])
    return {
        "rule": vars(rule),
        "models": "random features of digits in colour, at seeds that nobody looked at before the rule was done",
        "modes": {mode: counts[mode] for mode in MODES if mode in counts},
    }


def write_tables(cases: Sequence[Case], rule: Rule, folder: Path, calibration: Path | None = None) -> None:
    """Write the page of tables and, where asked, the figures that reports print."""
    (folder / "modes.md").write_text(describe(cases), encoding="utf-8")
    if calibration is not None:
        text = json.dumps(make_calibration(cases, rule), indent=2) + "\n"
        calibration.write_text(text, encoding="utf-8")


def describe_modes(calibration: dict[str, Any]) -> str:
    """The table of a README from what `calibration.json` holds, the worst mode first, as Markdown."""

    def badness(counts: dict[str, int]) -> float:
        return max(counts["accused"] / max(counts["innocent"], 1), counts["acquitted"] / max(counts["relying"], 1))

    def share(counts: dict[str, int], hits: str, of: str) -> str:
        return _percent([True] * counts[hits], [True] * counts[of])

    lines = [
        "| asked for | innocents accused | relying acquitted | relying found | innocents left open |",
        f"|{' --- |' * 5}",
    ]
    for mode, counts in sorted(calibration["modes"].items(), key=lambda item: -badness(item[1])):
        parts = [("accused", "innocent"), ("acquitted", "relying"), ("found", "relying"), ("left_open", "innocent")]
        lines.append(f"| {MODES[mode]} | {' | '.join(share(counts, *part) for part in parts)} |")
    return "\n".join(lines)


def write_readme(calibration: dict[str, Any], readme: Path) -> None:
    """Put the table of modes between its marks into a README.

    Raises
    ------
    DataError
        There are no marks.
    """
    text = readme.read_text(encoding="utf-8")
    before, begin, rest = text.partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    if not begin or not end:
        raise DataError(f"{readme}: wanted the lines {MARKS[0]} and {MARKS[1]}")
    readme.write_text(f"{before}{begin}\n{describe_modes(calibration)}\n{end}{after}", encoding="utf-8")


def describe(cases: Sequence[Case]) -> str:
    """The page of tables, as Markdown."""
    without_band = [replace(case, truth=_truth(case.row, BANDS[1])) for case in cases]
    environment = open_templates(autoescape=False)
    environment.filters |= {"verdicts": lambda some: _tally(case.said for case in some), "percent": _percent}
    return (
        environment.get_template("laboratory_modes.md.j2").render(
            splits={name: [case for case in cases if case.split == name] for name in ("confirm", "test", "choose")},
            without_band={name: [c for c in without_band if c.split == name] for name in ("confirm", "test", "choose")},
            modes=MODES | _ASIDE,
            by=_by,
            plain=lambda some: [case for case in some if case.mode in _NAMED],
            temperatures=_agreement(cases),
            models=len({case.row.seed for case in cases}),
            rows=len(cases),
            bands=BANDS,
        )
        + "\n"
    )


def area_under_curve(positive: Sequence[float], negative: Sequence[float]) -> float:
    """Share of pairs in which the positive has the higher value, ties counting half (area under the ROC curve)."""
    if not len(positive) or not len(negative):
        return float("nan")
    return float(stats.mannwhitneyu(positive, negative).statistic / (len(positive) * len(negative)))


@dataclass(frozen=True)
class Tally:
    """Cases, told apart by truth and verdict."""

    cases: Sequence[Case]

    def of(self, *truths: str) -> list[Case]:
        """Those of some truths."""
        return [case for case in self.cases if case.truth in truths]

    @property
    def innocent(self) -> list[Case]:
        return self.of("innocent")

    @property
    def accused(self) -> list[Case]:
        return [case for case in self.innocent if case.verdict == "relies"]

    @property
    def left_open(self) -> list[Case]:
        return [case for case in self.innocent if case.verdict == "inconclusive"]

    @property
    def relying(self) -> list[Case]:
        """Those that the artefact promotes or suppresses; where only its place is known, suppression is not asked."""
        return [case for case in self.of("promotes", "suppresses") if not _is_unasked(case)]

    @property
    def found(self) -> list[Case]:
        return [case for case in self.relying if case.is_found]

    @property
    def acquitted(self) -> list[Case]:
        return [case for case in self.relying if case.verdict == "no_evidence"]

    @property
    def area(self) -> float:
        """Area under the ROC curve of the strength, relying against innocent."""
        return area_under_curve([c.strength for c in self.relying], [c.strength for c in self.innocent])

    @property
    def badness(self) -> float:
        """The larger share of wrong accusations and acquittals."""
        pairs = ((self.accused, self.innocent), (self.acquitted, self.relying))
        return max(len(wrong) / max(len(all_), 1) for wrong, all_ in pairs)

    @property
    def passes(self) -> float:
        """Images that the model scored, on average."""
        return float(np.mean([case.row.passes for case in self.cases])) if self.cases else math.nan


def _judge(row: Row, rule: Rule, band: tuple[float, float]) -> Case:
    decided = [(each, conclude(_at(each, rule), rule)) for each in row.measured]
    measured, decision = min(decided, key=lambda pair: _rank(*pair))
    return Case(
        row=row,
        mode=_mode(row),
        split=split_of(row),
        truth=_truth(row, band),
        verdict=decision.verdict,
        direction=decision.direction or "",
        strength=max(_strength(each) for each in row.measured),
        first=measured.target,
        part=any(stratum.is_moved for stratum in measured.strata),
    )


def _at(measured: Measured, rule: Rule) -> Measured:
    """The same at the margin of a rule."""
    return replace(measured, margin=max(rule.margin, rule.margin_sd * measured.spread))


def _rank(measured: Measured, decision: Decision) -> tuple[int, bool, float]:
    """The order in which a scan puts its classes."""
    order = ("relies", "inconclusive", "no_evidence", "not_applicable")
    values = [effect.value for effect in measured.effects.values() if effect.value is not None]
    return order.index(decision.verdict), decision.direction == "suppresses", -max(values, default=-math.inf)


def _strength(measured: Measured) -> float:
    """The larger of both directions' effects, each the least of theta and what the other side bears out, in margins."""
    if measured.basis == "removal":
        found = [measured.values["removal_drop"].value]
    else:
        ways = [[measured.values.get(names[at]) for at in (3, 4)] for names in NAMES.values()]
        known = [[part.value for part in way if part is not None and part.value is not None] for way in ways]
        found = [min(values, default=None) for values in known]
    return max((value for value in found if value is not None), default=0.0) / max(measured.margin, 1e-9)


def _mode(row: Row) -> str:
    if row.kind in VARYING:
        return "varying"
    if row.way in _ASIDE:
        return row.way
    classes, output = QUESTIONS[row.question]
    carried: Carried = "target" if row.way == "class" else "all" if row.way in ON_ALL else "some"
    groups = row.images // 3 if row.way == "groups" else row.images
    kind = "masks" if row.way == "place" else row.kind
    return mode_of(Asked(output, classes, row.images, groups, carried, kind, is_scan=row.way in SCANS))


def _truth(row: Row, band: tuple[float, float]) -> str:
    if row.way in ("pair", "together"):
        return name_truth(row.regime, row.together, 0, band)
    if row.way in SCANS and row.regime in ("clean", "balanced"):
        return name_truth(row.regime, row.any_class, 0, band)
    return name_truth(row.regime, row.turned, row.lost, band)


def _is_unasked(case: Case) -> bool:
    return case.truth == "suppresses" and case.row.way == "place"


def _by(cases: Sequence[Case], what: Callable[[Case], str] | str, worst_first: bool = True) -> dict[str, Tally]:
    """Cases by mode or by a fact of their rows."""
    parts: dict[str, list[Case]] = {}
    for case in cases:
        name = str(getattr(case, what) if isinstance(what, str) and hasattr(case, what) else getattr(case.row, what))  # type: ignore[arg-type]
        parts.setdefault(name, []).append(case)
    tallies = {name: Tally(part) for name, part in parts.items()}
    return dict(sorted(tallies.items(), key=lambda item: -item[1].badness)) if worst_first else tallies


def _agreement(cases: Sequence[Case]) -> dict[str, Any]:
    """How the verdicts on the same decisions compare at three temperatures."""
    by_seed: dict[int, dict[str, Case]] = {}
    for case in cases:
        by_seed.setdefault(case.row.seed, {})[case.row.way] = case
    triples = [[ways[way] for way in ("named", "warm", "hot")] for ways in by_seed.values() if "hot" in ways]
    said = [{case.verdict for case in triple} for triple in triples]
    return {
        "models": len(triples),
        "one": [len(words) == 1 for words in said],
        "swapped": [{"relies", "no_evidence"} <= words for words in said],
    }


def _percent(hits: Sequence[Any], every: Sequence[Any] | None = None) -> str:
    """`3 of 60, 5.0 % [..]`: of flags how many are true, or of cases how many of others they are."""
    count = len(hits) if every is None else len(every)
    struck = sum(map(bool, hits)) if every is None else len(hits)
    if not count:
        return "–"
    rows = np.arange(count)
    return say(share_interval(rows < struck, rows, 0.95), "tally")


def _tally(verdicts: Iterable[str]) -> str:
    counts = Counter(verdict.replace("_", " ") for verdict in verdicts)
    return ", ".join(f"{counts[verdict]} {verdict}" for verdict in sorted(counts)) or "–"


_NAMED = ("one logit", "two classes", "few classes", "ten classes", "hundred classes", "labels")

_ASIDE = {
    "varying": "a named target, an artefact that training draws anew for every picture and the audit does not",
    "pair": "two artefacts on every image, either of which suffices; one is named",
    "together": "two artefacts on every image, either of which suffices; both are named as one",
    "warm": "a named target, scores divided by 4",
    "hot": "a named target, scores divided by 20",
}
"""What is shown beside the modes."""
