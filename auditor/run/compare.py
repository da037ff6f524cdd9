"""Two runs side by side: what became of each artefact, what else is different, and the same images' maps."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from markupsafe import Markup

from auditor.measure.measurement import Exemplar, Finding, Measurement
from auditor.report import pictures as figures
from auditor.report import plots
from auditor.report.index_page import shorten
from auditor.report.presentable import PICTURE_NOTES, Pictures, checked, withhold
from auditor.report.templates import open_templates, read_template
from auditor.report.words import MOST_ROWS, figure, label, method_name
from auditor.report.write import configured_pictures, policy_hash
from auditor.run.result import AuditResult
from auditor.run.store import Arrays

Course = Literal["new reliance", "grew", "shrank", "no clear change", "new", "gone", "not comparable"]

DECIDED = ("relies", "no_evidence")


@dataclass(frozen=True)
class Change:
    """What became of one artefact and target."""

    artefact: str
    target: str
    before: Finding | None
    after: Finding | None
    course: Course
    """Of the effect; an effect grew or shrank where the two intervals do not overlap, a strict reading."""
    reason: str

    @property
    def is_worse(self) -> bool:
        """Whether the model relies on it now, and did not before or did so less."""
        return self.after is not None and self.after.verdict == "relies" and self.course in ("new reliance", "grew")

    @property
    def is_open(self) -> bool:
        """Whether something was decided before and is not now."""
        was_decided = self.before is not None and self.before.verdict in DECIDED
        return was_decided and (self.after is None or self.after.verdict not in DECIDED)


def compare_results(before: AuditResult, after: AuditResult) -> list[Change]:
    """What became of every artefact and target of both runs, what got worse first."""
    old, new = ({_key(finding): finding for finding in result.findings} for result in (before, after))
    changes = [_compare(key, old.get(key), new.get(key)) for key in dict.fromkeys([*new, *old])]
    return sorted(changes, key=lambda change: (not change.is_worse, not change.is_open))


def exit_code(changes: list[Change]) -> int:
    """1 where something got worse, else 4 where something was decided and is not now, else 0."""
    if any(change.is_worse for change in changes):
        return 1
    return 4 if any(change.is_open for change in changes) else 0


def list_differences(before: AuditResult, after: AuditResult) -> list[tuple[str, str, str]]:
    """What else is different between two runs: name, before, after; the circumstances that effects are read in."""
    old, new = dict(_circumstances(before)), dict(_circumstances(after))
    names = [name for name in dict.fromkeys([*old, *new]) if old.get(name) != new.get(name)]
    return [(name, old.get(name, "–"), new.get(name, "–")) for name in names]


def describe_effect(finding: Finding | None) -> str:
    """The effect that the verdict was taken on, with its interval and n."""
    measured = _endpoint(finding)
    if measured is None or measured.value is None:
        return "–"
    text = figure("", measured)
    interval = f" [{text.interval.partition(';')[0].replace(' to ', ', ')}]" if text.interval != "–" else ""
    return f"{text.value}{interval} {measured.unit}, n = {text.n}"


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


def _key(finding: Finding) -> tuple[str, str]:
    return finding.artefact, "every class" if finding.scanned else finding.target or "–"


def _endpoint(finding: Finding | None) -> Measurement | None:
    return None if finding is None else finding.measurements.get(finding.endpoint or "")


def _compare(key: tuple[str, str], before: Finding | None, after: Finding | None) -> Change:
    course, reason = _judge(before, after)
    return Change(*key, before, after, course, reason)


def _judge(before: Finding | None, after: Finding | None) -> tuple[Course, str]:
    relies_now = after is not None and after.verdict == "relies"
    if before is None:
        return ("new reliance" if relies_now else "new"), "only the later run has it"
    if after is None:
        return "gone", "only the earlier run has it"
    old, new = _endpoint(before), _endpoint(after)
    if relies_now and before.verdict != "relies":
        return "new reliance", f"the verdict was {before.verdict.replace('_', ' ')}"
    if before.target != after.target and "relies" in (before.verdict, after.verdict):
        return "not comparable", f"of all classes the strongest was {before.target}, and is {after.target}"
    if old is None or new is None or before.endpoint != after.endpoint:
        names = [label(finding.endpoint) if finding.endpoint else "nothing" for finding in (before, after)]
        return "not comparable", f"decided on {names[0]} before, on {names[1]} after"
    if (old.unit, old.score) != (new.unit, new.score):
        return "not comparable", f"measured in {old.score or old.unit} before, in {new.score or new.unit} after"
    if old.low is None or old.high is None or new.low is None or new.high is None:
        return "not comparable", "an interval is missing"
    if new.low > old.high:
        return "grew", "the intervals do not overlap"
    if new.high < old.low:
        return "shrank", "the intervals do not overlap"
    return "no clear change", "the intervals overlap"


def _circumstances(result: AuditResult) -> Iterator[tuple[str, str]]:
    model, data, provenance = result.model, result.data, result.provenance
    yield "model", model.source
    yield "model, SHA-256", model.sha256 or "–"
    yield "model, structure", f"{model.structure}, {model.parameters} parameters"
    yield "model, classes", ", ".join(model.classes)
    yield "model, head", model.head
    yield "data", data.source
    yield "data, SHA-256", data.sha256 or "–"
    yield "data, images used", f"{data.used} of {data.available}, {data.groups} groups"
    accuracy = figure("", data.accuracy)
    yield "accuracy", f"{accuracy.value} [{accuracy.interval}]"
    for record in result.methods:
        yield f"method {record.name}", record.status + (f": {record.reason}" if record.reason else "")
    yield "seed", str(provenance.seed)
    yield "auditor", provenance.auditor
    yield "python", provenance.python
    yield "platform", provenance.platform
    yield from ((f"package {name}", version) for name, version in provenance.packages.items())
    yield from _flatten("", provenance.config)


def _flatten(path: str, value: Any) -> Iterator[tuple[str, str]]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if children is None or not value:
        yield path, json.dumps(value, ensure_ascii=False)
        return
    for key, inner in children:
        yield from _flatten(f"{path}.{key}" if path else str(key), inner)


def _plot(number: int, change: Change) -> Markup | None:
    sides = (("before", change.before), ("after", change.after))
    known = [(name, finding, _endpoint(finding)) for name, finding in sides if finding is not None]
    rows = [(name, measured) for name, _, measured in known if measured is not None and measured.value is not None]
    if not rows:
        return None
    margin = known[-1][1].margin
    return Markup(plots.plot_effects(rows, margin, f"change{number}"))


def _pair(before: AuditResult, after: AuditResult) -> list[tuple[int, int]]:
    """Numbers of the images that both runs explained for the same artefact and target."""
    old = {_question(exemplar): number for number, exemplar in enumerate(before.exemplars)}
    asked = [_question(exemplar) for exemplar in after.exemplars]
    return [(old[question], number) for number, question in enumerate(asked) if question in old]


def _view_pairs(pairs: list[tuple[Exemplar, Exemplar]], arrays: tuple[Arrays, Arrays]) -> list[dict[str, Any]]:
    """The same images in both runs, each with the maps that either has of it."""
    shown = []
    for before, after in pairs:
        kept = [{record.method: record for record in exemplar.maps} for exemplar in (before, after)]
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
    score = "–" if exemplar.score_with is None else f"{exemplar.score_with:+.2f}".replace("-", "\N{MINUS SIGN}")
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
    if old.std() == 0 or new.std() == 0:
        return "no correlation: a map is the same everywhere"
    correlation = f"{np.corrcoef(old, new)[0, 1]:.2f}".replace("-", "\N{MINUS SIGN}")
    return f"correlation {correlation} over {old.size} pixels"
