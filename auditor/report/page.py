"""All that the templates of a report are given."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from markupsafe import Markup

from auditor.explain.attribution.record import Exemplar, MapName
from auditor.explain.attribution.regions import REGION_SCORES
from auditor.measure.pieces import Interval, IntervalPlot
from auditor.measure.words import number, signed
from auditor.report import pictures
from auditor.report.answers import tell_answers
from auditor.report.formulas import FORMULAS
from auditor.report.gravity import by_gravity, tell_counts
from auditor.report.labels import LOG_ODDS
from auditor.report.methods import read_methods, tell_signs
from auditor.report.packing import Album
from auditor.report.pieces import template_functions
from auditor.report.presentable import PICTURE_NOTES, Presented
from auditor.report.sections.counterfactual import view_counterfactual
from auditor.report.sections.decisive import Box, place_of, view_decisive
from auditor.report.sections.errors import view_errors
from auditor.report.sections.findings import view_finding, view_regions
from auditor.report.sections.methods_compared import view_methods_compared
from auditor.report.sections.optima import view_optima
from auditor.report.sections.suspects import view_suspects
from auditor.report.sections.trust import tell_trust
from auditor.report.templates import BUILT_IN, OwnTemplates, policy_hash, read_template, render_page
from auditor.report.visible import make_visible
from auditor.report.words import MOST_ROWS, calibrations, image_anchors, why_not
from auditor.run.result import AuditResult, result_to_json
from auditor.verdict.rule import SEVERITY_THRESHOLDS

MOST_IMAGES_ON_PAPER = 12
"""So many images a PDF shows with their maps; the page on the screen has them all."""


@dataclass(frozen=True)
class Page:
    """A report before it is drawn."""

    view: dict[str, Any]
    """All variables that the templates are given; `docs/templates.md` tells what they are."""
    album: Album
    """The pictures that they name."""
    own: OwnTemplates
    style: str
    """The style sheet, the user's own after ours."""


def view_page(shown: Presented, *, run: str, own: OwnTemplates = BUILT_IN) -> Page:
    """A report from a result as it may be shown.

    Raises
    ------
    ReportError
        An array that the result names is missing or damaged.
    """
    result, album = shown.result, Album(shown.arrays)

    def picture(name: str) -> str:
        kind, data = own.picture(name)
        return album.put(kind, data) if kind in ("jpeg", "png") else pictures.carry(kind, data)

    view = _view_result(result, album)
    told = {f"told-{number}": part for number, part in enumerate(result.told.values())}
    view["told"] |= {id: part.pieces for id, part in told.items()}
    ids = [id for id, *_ in SECTIONS]
    first, at = ids.index("verdict") + 1, ids.index("accuracy")
    gate = [] if result.gate is None else [GATE]
    suspects = [] if result.discovery is None else [SUSPECTS]
    named = len(result.findings) - sum(each.name in {f.artefact for f in result.findings} for each in result.suspects)
    before, after = (suspects, []) if not named else ([], suspects)
    style, script = _style(own), _script()
    view |= {
        "run": make_visible(run),
        "warnings": [note.text for note in result.warnings],
        "sections": [
            *before,
            *SECTIONS[:first],
            *gate,
            *after,
            *SECTIONS[first:at],
            *((id, part.title, TOLD) for id, part in told.items()),
            *SECTIONS[at:],
        ],
        "appendix": [id for id, *_ in APPENDIX],
        "answers": tell_answers(result),
        "log_odds": LOG_ODDS,
        "suspects": view_suspects(result, make_visible(run)),
        "signoff": _view_signoff(shown),
        "pictures": PICTURE_NOTES[shown.pictures],
        "picture": picture,
        "paper": False,
        "cover": view["findings"][:_MOST_ON_COVER],
        "cover_left_out": max(0, len(view["findings"]) - _MOST_ON_COVER),
        "style": Markup(style + album.rules),
        "style_hash": album.style_hash,
        "script": Markup(script),
        "script_hash": policy_hash(script),
    }
    return Page(view, album, own, style)


def fill_page(page: Page, warnings: Sequence[str], *, paper: bool = False) -> str:
    """The page drawn, with what came up since it was viewed; its pictures are named, `packing` puts them in place.

    Parameters
    ----------
    paper
        As it goes into the PDF, with the style that only WeasyPrint understands.
    """
    told: dict[str, Any] = {"warnings": [*page.view["warnings"], *warnings]}
    if paper:
        style = _style(page.own, read_template("paper.css"))
        told |= {"paper": True, "style": Markup(style), "style_hash": policy_hash(style)}
    return render_page("report.html.j2", page.view | told, page.own)


def script_source() -> str:
    """The one script of a report, as a policy names what may run."""
    return f"'{policy_hash(_script())}'"


def _style(own: OwnTemplates, more: str = "") -> str:
    return "\n".join(["", read_template("style.css"), more, own.look])


def _script() -> str:
    return f"\n{read_template('report.js')}"


def _view_result(result: AuditResult, album: Album) -> dict[str, Any]:
    methods = read_methods(result.trust)
    ordered, scales = by_gravity(result.findings), _map_scales(result, album)
    return {
        "result": result,
        "findings": [
            view_finding(number, result.findings[number], result)
            | {"decisive": view_decisive(result.findings[number], result, album)}
            for number in ordered
        ],
        "counts": tell_counts(result.findings),
        "regions": [view_regions(number, result.findings[number], result) for number in ordered],
        "methods_compared": view_methods_compared(result),
        "region_scores": REGION_SCORES,
        "told": {"trust": tell_trust(result)},
        **template_functions(album, methods),
        "failed": {str(name): why for name, why in methods.failed.items()},
        "unsigned": methods.unsigned,
        "signs": tell_signs(result.exemplars, methods),
        "gallery": partial(_draw_gallery, result, album, scales),
        "formulas": FORMULAS,
        "scales": {method: f"{scale:.2g}" for method, scale in scales.items()},
        "most_on_paper": MOST_IMAGES_ON_PAPER,
        "most_rows": MOST_ROWS,
        "optima": view_optima(result),
        "errors": view_errors(result, album),
        "counterfactual": view_counterfactual(result),
        "why_not": partial(why_not, result),
        "calibrations": calibrations(result),
        # those that the labels have come first
        "classes": sorted(result.data.classes, key=lambda entry: entry.images == 0),
        "accuracy_plot": _accuracy_plot(result),
        "severities": [(name, number(threshold, "share")) for name, threshold in SEVERITY_THRESHOLDS],
    }


def _draw_gallery(
    result: AuditResult, album: Album, scales: Mapping[MapName, float], most: int
) -> list[dict[str, Any]]:
    """The first images with their maps, by two threads: what draws one leaves the interpreter to the other."""
    verdicts = {(finding.artefact, finding.target): finding.verdict for finding in result.findings}
    about: list[tuple[str, str | None]] = [(exemplar.artefact, exemplar.target) for exemplar in result.exemplars]
    anchors = {about.index(subject): anchor for subject, anchor in image_anchors(result).items()}

    unsigned = read_methods(result.trust).unsigned

    def layer_of(method: MapName, key: str, place: Box | None) -> pictures.HeatLayer:
        values, is_strength = album.arrays[key], method in unsigned
        return pictures.heat_layer(values, scales[method], album.put, is_strength=is_strength, outline=place)

    def draw(number: int) -> dict[str, Any]:
        exemplar = result.exemplars[number]
        place = place_of(exemplar, album)
        return {
            "exemplar": exemplar,
            "story": _story(exemplar),
            "maps": [(kept.map, layer_of(kept.map, kept.array, place)) for kept in exemplar.maps],
            "anchor": anchors.get(number),  # at the first image of each finding
            "answer": "" if exemplar.label is None else "right" if exemplar.label == exemplar.predicted else "wrong",
            "verdict": verdicts.get(about[number], ""),
        }

    with ThreadPoolExecutor(2) as hands:
        return list(hands.map(draw, range(len(about))[:most]))


def _map_scales(result: AuditResult, album: Album) -> dict[MapName, float]:
    """What each method's maps are drawn with in full colour: the median of the first images' own scales."""
    known: dict[MapName, list[float]] = {}
    for kept in (kept for exemplar in result.exemplars for kept in exemplar.maps):
        of_method = known.setdefault(kept.map, [])
        if len(of_method) < _MOST_SCALED:
            of_method.append(pictures.map_scale(album.arrays[kept.array]))
    told = {method: [scale for scale in found if scale > 0] for method, found in known.items()}
    return {method: float(np.median(found)) if found else 0.0 for method, found in told.items()}


def _story(exemplar: Exemplar) -> str:
    """What happened to this one image, in a sentence."""
    if exemplar.score_without is None or exemplar.score_with is None:
        return f"Explained for {exemplar.target}, which the model predicts."
    came = "It came with the artefact" if exemplar.carrier else "It came without the artefact"
    way = {"exact un-compositing": "exactly", "inpainting": "by filling it in from around"}.get(exemplar.removal or "")
    edit = f"removed {way or exemplar.removal}" if exemplar.carrier else "added"
    change = exemplar.score_with - exemplar.score_without
    return (
        f"{came}, which was {edit}. With it the score of {exemplar.target} is {signed(abs(change))[1:]} log-odds "
        f"{'higher' if change >= 0 else 'lower'} than without."
    )


def _view_signoff(shown: Presented) -> dict[str, str]:
    """What the configuration says of use and reviewer, and what tells this run from every other."""
    config = shown.result.provenance.config
    section = config.get("report", {})
    given = section if isinstance(section, dict) else {}
    saved = shown.saved or result_to_json(shown.data)
    spelt_out = json.dumps(shown.data.provenance.config, sort_keys=True, ensure_ascii=False)
    return {name: str(given.get(name, "")) for name in ("intended_use", "version", "reviewer")} | {
        "result_sha256": hashlib.sha256(saved.encode("utf-8", "backslashreplace")).hexdigest(),
        "config_sha256": hashlib.sha256(spelt_out.encode("utf-8", "backslashreplace")).hexdigest(),
    }


def _accuracy_plot(result: AuditResult) -> IntervalPlot | None:
    rows = [Interval(entry.name, entry.accuracy) for entry in result.data.classes if entry.accuracy.value is not None]
    axis = "accuracy on the images as they came"
    title, text = "Accuracy by class.", "Bars are Wilson intervals."
    return IntervalPlot(title, rows[:MOST_ROWS], axis, text, origin=None, name="accuracy") if rows else None


_MOST_ON_COVER = 4

_MOST_SCALED = 16
"""Images that the scale of a method's maps is taken from."""

GATE = ("gate", "Gate", "sections/gate.html.j2")
"""What stands behind the verdict where a gate is configured."""

SUSPECTS = ("suspects", "Suspects that nobody named", "sections/suspects.html.j2")
"""What stands first where nothing was named, and behind the verdict where suspects were looked for beside."""

TOLD = "sections/told.html.j2"
"""The template of every section that is told in pieces and has none of its own."""

REPORT: tuple[tuple[str, str, str], ...] = (
    ("verdict", "Verdict", "sections/verdict.html.j2"),
    ("decided", "How it was decided", "sections/decided.html.j2"),
    ("seen", "What was done to see it", "sections/seen.html.j2"),
    ("severity", "How bad it is", "sections/severity.html.j2"),
    ("certainty", "How sure this is", "sections/certainty.html.j2"),
    ("limits", "What this does not cover", "sections/limits.html.j2"),
    ("accuracy", "Data and accuracy", "sections/accuracy.html.j2"),
    ("provenance", "Provenance", "sections/provenance.html.j2"),
    ("signoff", "Sign-off", "sections/signoff.html.j2"),
)
"""The sections for who decides: id, title and template."""

APPENDIX: tuple[tuple[str, str, str], ...] = (
    ("artefacts", "Adding and removing the artefact", "sections/artefacts.html.j2"),
    ("methods_compared", "Do the heat maps agree?", "sections/methods_compared.html.j2"),
    ("regions", "Where the maps look", "sections/regions.html.j2"),
    ("gallery", "Images and maps", "sections/gallery.html.j2"),
    ("optima", "Ideal images for each class", "sections/optima.html.j2"),
    ("errors", "Errors and contrasts", "sections/errors.html.j2"),
    ("counterfactual", "Smallest edits that flip the answer", "sections/counterfactual.html.j2"),
    ("trust", "Can the heat maps be trusted?", "sections/trust.html.j2"),
    ("classes", "Accuracy by class", "sections/classes.html.j2"),
    ("skipped", "Images not used", "sections/skipped.html.j2"),
    ("methods", "Explanation methods", "sections/methods.html.j2"),
    ("notes", "The method in full", "sections/notes.html.j2"),
    ("configuration", "Configuration", "sections/configuration.html.j2"),
)
"""The sections for who doubts: folded on the page, a part of its own on paper."""

SECTIONS = REPORT + APPENDIX
