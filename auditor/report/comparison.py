"""Two runs side by side as a page: what became of each artefact, what else is different, the same images' maps."""

from __future__ import annotations

from typing import Any

import numpy as np
from markupsafe import Markup

from auditor.explain.attribution.likeness import correlations
from auditor.explain.attribution.record import Exemplar
from auditor.measure.ledger import Arrays
from auditor.measure.measurement import Measurement
from auditor.measure.words import number, say, signed
from auditor.report import pictures as figures
from auditor.report import plots
from auditor.report.index_page import shorten
from auditor.report.presentable import PICTURE_NOTES, Pictures, checked, configured_pictures, withhold
from auditor.report.sections.findings import plot_of_effects
from auditor.report.templates import open_templates, policy_hash, read_template
from auditor.report.words import MOST_ROWS, method_name
from auditor.run.compare import Change, compare_results, list_circumstances
from auditor.run.result import AuditResult
from auditor.verdict.record import Finding


def describe_effect(finding: Finding | None) -> str:
    """The effect that the verdict was taken on, with its interval and n."""
    measured = None if finding is None else finding.effect
    if measured is None or measured.value is None:
        return "–"
    return say(measured, "effect")


def list_differences(before: AuditResult, after: AuditResult) -> list[tuple[str, str, str]]:
    """What else is different between two runs, in words: name, before, after."""
    old, new = (
        {name: _say_circumstance(value) for name, value in list_circumstances(result)} for result in (before, after)
    )
    names = [name for name in dict.fromkeys([*old, *new]) if old.get(name) != new.get(name)]
    return [(name, old.get(name, "–"), new.get(name, "–")) for name in names]


def render_comparison(
    runs: tuple[str, str],
    results: tuple[AuditResult, AuditResult],
    arrays: tuple[Arrays, Arrays],
    pictures: Pictures | None = None,
) -> str:
    """The comparison as one HTML page that needs nothing beside it.

    Parameters
    ----------
    pictures
        How much it shows of the audited images; without it, what the configurations of both runs allow.

    Raises
    ------
    ReportError
        An array that a result names is missing.
    """
    allowed = [configured_pictures(result) for result in results]
    chosen = pictures or [mode for mode in PICTURE_NOTES if mode in allowed][-1]  # they stand from all to none
    pairs_of = _pair(*results)  # by names that may be withheld
    (old, old_arrays), (new, new_arrays) = (
        withhold(result, checked(held), chosen) for result, held in zip(results, arrays, strict=True)
    )
    results, arrays = (old, new), (old_arrays, new_arrays)
    style = read_template("style.css") + read_template("index.css")
    changes, differences = compare_results(*results), list_differences(*results)
    pairs = _view_pairs([(old.exemplars[one], new.exemplars[other]) for one, other in pairs_of], arrays)
    view = {
        "sides": list(zip(("before", "after"), runs, results, strict=True)),
        "changes": [
            {
                "change": change,
                "artefact": shorten(change.artefact),
                "target": shorten(change.target),
                "effects": [describe_effect(change.before), describe_effect(change.after)],
                "plot": _plot(number, change),
            }
            for number, change in enumerate(changes)
        ],
        "differences": [tuple(shorten(part, 160) for part in row) for row in differences[:MOST_ROWS]],
        "differences_left_out": max(0, len(differences) - MOST_ROWS),
        "pairs": pairs[:MOST_ROWS],
        "unpaired": len(results[1].exemplars) - len(pairs),
        "pictures": PICTURE_NOTES[chosen],
        "style": Markup(style),
        "style_hash": policy_hash(style),
    }
    page = open_templates(autoescape=True).get_template("compare.html.j2").render(view)
    return page.encode("utf-8", "replace").decode("utf-8")


def _say_circumstance(value: str | Measurement) -> str:
    return value if isinstance(value, str) else say(value)


def _plot(number: int, change: Change) -> Markup | None:
    sides = (("before", change.before), ("after", change.after))
    known = [(name, finding, finding.effect) for name, finding in sides if finding is not None]
    rows = [(name, measured) for name, _, measured in known if measured is not None and measured.value is not None]
    if not rows:
        return None
    margin = known[-1][1].margin
    return plots.plot_intervals(plot_of_effects(rows, margin), f"change{number}")


def _pair(before: AuditResult, after: AuditResult) -> list[tuple[int, int]]:
    """Numbers of the images that both runs explained for the same artefact and target."""
    old = {_question(exemplar): number for number, exemplar in enumerate(before.exemplars)}
    asked = [_question(exemplar) for exemplar in after.exemplars]
    return [(old[question], number) for number, question in enumerate(asked) if question in old]


def _view_pairs(pairs: list[tuple[Exemplar, Exemplar]], arrays: tuple[Arrays, Arrays]) -> list[dict[str, Any]]:
    """The same images in both runs, each with the maps that either has of it."""
    shown = []
    for before, after in pairs:
        kept = [{record.map: record for record in exemplar.maps} for exemplar in (before, after)]
        methods = []
        for name in dict.fromkeys([*kept[1], *kept[0]]):
            maps = [side[records[name].array] if name in records else None
                    for side, records in zip(arrays, kept, strict=True)]  # fmt: skip
            layers = [None if values is None else figures.heat_layer(values) for values in maps]
            scales = [None if layer is None else f"{layer.scale:.3g}" for layer in layers]
            sides = list(zip(("before", "after"), layers, scales, strict=True))
            methods.append({"name": method_name(name), "sides": sides, "agreement": _agreement(*maps)})
        pictures = [
            figures.picture_uri(side[exemplar.picture_with]) if exemplar.picture_with else None
            for side, exemplar in zip(arrays, (before, after), strict=True)
        ]
        scores = [_score(exemplar) for exemplar in (before, after)]
        shown.append(
            {
                "image": shorten(after.image),
                "artefact": shorten(after.artefact),
                "target": shorten(after.target),
                "answers": list(zip(("before", "after"), pictures, scores, strict=True)),
                "is_other": pictures[0] != pictures[1],
                "methods": methods,
            }
        )
    return shown


def _question(exemplar: Exemplar) -> tuple[str, str, str]:
    return exemplar.image, exemplar.artefact, exemplar.target


def _score(exemplar: Exemplar) -> str:
    score = signed(exemplar.score_with)
    return f"{shorten(exemplar.predicted_with or '–', 40)}; score of {shorten(exemplar.target, 40)} {score}"


def _agreement(before: figures.Map | None, after: figures.Map | None) -> str:
    """Pearson correlation of two maps over their pixels, in words."""
    if before is None or after is None:
        return f"only the {'later' if before is None else 'earlier'} run has it"
    if before.shape != after.shape:
        return "the maps differ in size"
    if np.isnan(before).any() or np.isnan(after).any():
        return "withheld"
    old, new = (values.sum(axis=-1, dtype=np.float64).ravel() for values in (before, after))
    (correlation,) = correlations(old[None], new[None])
    if np.isnan(correlation):
        return "no correlation: a map is the same everywhere"
    return f"correlation {number(correlation, 'correlation')} over {old.size} pixels"
