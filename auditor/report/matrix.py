"""Every model beside every artefact: the last verdict and where its effect went, for the top of the index."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from auditor.report.gravity import GRAVITY
from auditor.report.trends import Series, say_outcome, say_target
from auditor.run.index import moment

About = tuple[str, str, str, str]
"""What a series is about: model, data, artefact and target."""

Course = Literal["first audit", "rose", "fell", "no clear change", "not comparable"]

MOST_MODELS, MOST_ARTEFACTS = 60, 12


@dataclass(frozen=True)
class Cell:
    """The gravest of what the last audits of one artefact on one model found."""

    run: str
    """The id of the run."""
    verdict: str
    target: str
    data: list[str]
    """All that the artefact was audited on."""
    effect: str
    """Empty where nothing was measured."""
    course: Course
    """Since the audit before: rose and fell only where the two intervals do not overlap."""
    others: int
    """Further classes or data sets that the same artefact was audited on."""


@dataclass(frozen=True)
class Matrix:
    """What is known of some models and artefacts."""

    artefacts: list[str]
    """Those that were audited on most models first."""
    rows: list[tuple[str, list[Cell | None]]]
    """Models, the one with the gravest verdicts first, and a cell for each artefact."""
    left_out: tuple[int, int]
    """Models and artefacts for which there is no room."""


def view_matrix(series: Mapping[About, Series]) -> Matrix:
    """The matrix of the last verdicts.

    Parameters
    ----------
    series
        The audits of each model, data, artefact and target, oldest first.
    """
    found: dict[tuple[str, str], list[tuple[About, Series]]] = {}
    for about, audits in series.items():
        found.setdefault((about[0], about[2]), []).append((about, audits))
    cells = {key: _view_cell(each) for key, each in found.items()}
    counts = Counter(artefact for _, artefact in cells)
    artefacts = sorted(counts, key=lambda name: (-counts[name], name))
    models = sorted({model for model, _ in cells}, key=lambda model: (_gravity(model, cells), model))
    shown = artefacts[:MOST_ARTEFACTS]
    rows = [(model, [cells.get((model, name)) for name in shown]) for model in models[:MOST_MODELS]]
    return Matrix(shown, rows, (max(0, len(models) - MOST_MODELS), max(0, len(artefacts) - MOST_ARTEFACTS)))


def tell_course(audits: Series) -> Course:
    """Where the effect went since the audit before the last."""
    if len(audits) < 2:
        return "first audit"
    (_, before), (_, last) = audits[-2:]
    is_other_class = before.target != last.target and "relies" in (before.verdict, last.verdict)
    if is_other_class or (before.endpoint, before.unit) != (last.endpoint, last.unit):
        return "not comparable"
    if None in (before.low, before.high, last.low, last.high):
        return "not comparable"
    assert before.low is not None
    assert before.high is not None
    assert last.low is not None
    assert last.high is not None
    return "rose" if last.low > before.high else "fell" if last.high < before.low else "no clear change"


def _view_cell(series: list[tuple[About, Series]]) -> Cell:
    def gravity(item: tuple[About, Series]) -> tuple[int, float, float]:
        entry, last = item[1][-1]
        return GRAVITY.index(last.told), -abs(last.value or 0.0), -moment(entry.started).timestamp()

    _, audits = min(series, key=gravity)
    entry, last = audits[-1]
    data = sorted({about[1] for about, _ in series})
    return Cell(entry.id, last.told, say_target(last), data, say_outcome(last), tell_course(audits), len(series) - 1)


def _gravity(model: str, cells: Mapping[tuple[str, str], Cell]) -> list[int]:
    """Negative counts of the verdicts of a model, the gravest first: what sorts the worst model to the top."""
    counts = Counter(cell.verdict for (name, _), cell in cells.items() if name == model)
    return [-counts[verdict] for verdict in GRAVITY]
