"""Two runs side by side as a page: what became of each artefact, what else is different, the same images' maps."""

from __future__ import annotations

from typing import Any

import numpy as np
from markupsafe import Markup

from auditor.explain.attribution.likeness import correlations
from auditor.explain.attribution.record import Exemplar
from auditor.measure.ledger import Arrays
from auditor.measure.pieces import IntervalPlot
from auditor.measure.words import number, say, say_effect, say_n, signed
from auditor.report import pictures as figures
from auditor.report.index_page import show_shortened
from auditor.report.methods import Methods, read_methods, tell_signs
from auditor.report.pieces import plot_of
from auditor.report.presentable import PICTURE_NOTES, Pictures, checked, configured_pictures, withhold
from auditor.report.sections.findings import plot_of_effects
from auditor.report.templates import open_templates, policy_hash, read_template
from auditor.report.words import MOST_ROWS
from auditor.run.compare import SMALLEST_CHANGE, Change, compare_results, list_circumstances, summarise
from auditor.run.metrics import say_change
from auditor.run.paired import Pairing
from auditor.run.result import AuditResult
from auditor.verdict.record import Finding


def describe_effect(finding: Finding | None) -> str:
    """The effect that the verdict was taken on, with its interval and n."""
    effect = finding.effect if finding else None
    if effect is None:
        return "–"
    return say_effect(effect) if effect.value is None else f"{say_effect(effect)}, n = {say_n(effect)}"


def list_differences(before: AuditResult, after: AuditResult) -> list[tuple[str, str, str]]:
    """What else is different between two runs, in words: name, before, after."""
    old, new = (
        {name: value if isinstance(value, str) else say(value) for name, value in list_circumstances(result)}
        for result in (before, after)
    )
    names = [name for name in dict.fromkeys([*old, *new]) if old.get(name) != new.get(name)]
    return [(name, old.get(name, "–"), new.get(name, "–")) for name in names]


def render_comparison(
    runs: tuple[str, str],
    results: tuple[AuditResult, AuditResult],
    arrays: tuple[Arrays, Arrays],
    pictures: Pictures | None = None,
    pairing: Pairing | None = None,
) -> str:
    """The comparison as one HTML page that needs nothing beside it.

    Parameters
    ----------
    pictures
        How much it shows of the audited images; without it, what the configurations of both runs allow.
    pairing
        The same runs, image by image: see `compare_results`.

    Raises
    ------
    ReportError
        An array that a result names is missing.
    """
    allowed = [configured_pictures(result) for result in results]
    chosen = pictures or [mode for mode in PICTURE_NOTES if mode in allowed][-1]  # they stand from all to none
    pairs_of = _pair(*results)  # by names that may be withheld
    shown = [withhold(result, checked(held), chosen) for result, held in zip(results, arrays, strict=True)]
    (old, old_arrays), (new, new_arrays) = shown
    style = read_template("style.css") + read_template("index.css")
    pairs = [(old.exemplars[one], new.exemplars[other]) for one, other in pairs_of]
    changes = compare_results(old, new, pairing)
    both = [read_methods(result.trust) for result in (old, new)]
    known = Methods({**both[0].failed, **both[1].failed}, both[0].unsigned | both[1].unsigned)
    view = {
        "signs": tell_signs([*old.exemplars, *new.exemplars], known),
        "sides": list(zip(("before", "after"), runs, (old, new), strict=True)),
        "summary": list(summarise(changes)),
        "became": _BECAME,
        "changes": [(change, _plot(number, change)) for number, change in enumerate(changes)],
        "say_change": say_change,
        "smallest": f"{SMALLEST_CHANGE:g}",
        "differences": list_differences(old, new),
        "pairs": [(pair, *_draw_pair(pair, (old_arrays, new_arrays), known)) for pair in pairs[:MOST_ROWS]],
        "unpaired": len(new.exemplars) - len(pairs),
        "pictures": PICTURE_NOTES[chosen],
        "plot_of": plot_of,
        "most_rows": MOST_ROWS,
        "shorten": show_shortened,
        "signed": signed,
        "effect_of": describe_effect,
        "style": Markup(style),
        "style_hash": policy_hash(style),
    }
    page = open_templates(autoescape=True).get_template("compare.html.j2").render(view)
    return page.encode("utf-8", "replace").decode("utf-8")


_BECAME = {
    "new reliance": "worse",
    "grew": "worse",
    "shrank": "better",
    "unchanged": "the same",
    "no clear change": "open",
    "new": "not audited before",
    "gone": "no longer audited",
    "not comparable": "not comparable",
}
"""What each course is to somebody who wants less of an effect."""


def _plot(number: int, change: Change) -> IntervalPlot | None:
    sides = {"before": change.before, "after": change.after}
    effects = {name: side.effect for name, side in sides.items() if side is not None and side.effect is not None}
    known = change.after or change.before
    assert known is not None
    text = "that the verdict was taken on, with its interval; the dashed line is the margin."
    return plot_of_effects(effects, known.margin, f"change{number}", "Effect", text)


def _pair(before: AuditResult, after: AuditResult) -> list[tuple[int, int]]:
    """Numbers of the images that both runs explained for the same artefact and target."""
    old = {_question(exemplar): number for number, exemplar in enumerate(before.exemplars)}
    asked = [_question(exemplar) for exemplar in after.exemplars]
    return [(old[question], number) for number, question in enumerate(asked) if question in old]


def _draw_pair(
    pair: tuple[Exemplar, Exemplar], arrays: tuple[Arrays, Arrays], known: Methods
) -> tuple[list[Any], list[Any]]:
    """The pictures of an image in both runs, and by method the maps that either has of it and how they agree."""
    pictures = [
        figures.picture_uri(side[exemplar.picture_with]) if exemplar.picture_with else None
        for side, exemplar in zip(arrays, pair, strict=True)
    ]
    kept = [{record.map: record.array for record in exemplar.maps} for exemplar in pair]
    methods = []
    for name in dict.fromkeys([*kept[1], *kept[0]]):
        maps = [side[keys[name]] if name in keys else None for side, keys in zip(arrays, kept, strict=True)]
        layers = [
            None if values is None else figures.heat_layer(values, is_strength=name in known.unsigned)
            for values in maps
        ]
        methods.append((known.name(name), layers, _agreement(*maps)))
    return pictures, methods


def _question(exemplar: Exemplar) -> tuple[str, str, str]:
    return exemplar.image, exemplar.artefact, exemplar.target


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
