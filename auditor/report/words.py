"""Numbers and names as the report writes them: templates do no arithmetic and never see raw numbers."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from auditor.measure.measurement import Measurement
from auditor.measure.words import PER_CENT, listed, name_in_words, number, say, say_interval, say_n
from auditor.report.labels import LABELS, Label
from auditor.report.pointers import pointer_of
from auditor.report.presentable import show_short
from auditor.run.result import AuditResult
from auditor.verdict.record import Finding, Told

MOST_ROWS = 40
"""Longer tables are cut and point to result.json."""


@dataclass(frozen=True)
class Figure:
    """A measurement as text."""

    name: str
    meaning: str
    value: str
    interval: str
    level: str
    n: str
    unit: str
    reason: str
    pointer: str = ""
    """Where it stands in `result.json` (a JSON pointer); empty for what was only derived from it."""
    is_corrected: bool = False
    """Whether the lower end allows for all that was tried."""

    exact: str = ""
    """The value in six significant digits."""

    @property
    def row(self) -> str:
        """The id of its row among all measurements, for those of a finding; else empty."""
        found = _ROW.fullmatch(self.pointer)
        return f"row-{found[1]}-{found[2]}" if found else ""

    @property
    def place(self) -> str:
        """The pointer to be read: with nothing unseen in it, and cut where it is long."""
        return show_short(self.pointer)


def figure(name: str, measured: Measurement, digits: int | None = None, *, is_difference: bool = False) -> Figure:
    """A measurement as text, with the interval that decides; a missing one is a dash with its reason.

    Parameters
    ----------
    is_difference
        Whether a share is a difference of two, which is told in points.
    """
    in_points = is_difference and measured.unit == "share"
    if measured.value is None:
        value = "–"
    elif in_points:
        value = say(replace(measured, low=None, high=None), "points").removesuffix(" points")
    else:
        value = number(measured.value, measured.unit, digits)
    return Figure(
        name=name,
        meaning="",
        value=value,
        interval=say_interval(measured, digits, is_difference=is_difference),
        level="" if measured.level is None else f"{100 * measured.level:.4g}{PER_CENT}",
        n=say_n(measured),
        unit="points" if in_points else measured.unit,
        reason=measured.reason or "",
        pointer=pointer_of(measured),
        is_corrected=measured.low_adjusted is not None,
        exact="" if measured.value is None else f"{measured.value:.6g}",
    )


def figures(
    record: Any, names: Mapping[str, str] | str, digits: int | None = None, differences: Collection[str] = ()
) -> list[Figure]:
    """Measurements of a record, or of a dictionary, as text.

    Parameters
    ----------
    names
        Those of the measurements that are wanted, by their keys; or the name of every one, with `{}` for its key.
    differences
        The keys of those that are differences of shares.
    """
    held = record if isinstance(record, Mapping) else vars(record)
    named = {key: names.replace("{}", key) for key in held} if isinstance(names, str) else names
    return [
        figure(name, held[key], digits, is_difference=key in differences) for key, name in named.items() if key in held
    ]


def named(name: str, measured: Measurement) -> Figure:
    """A measurement of a finding, with what it is called and what that means."""
    label = LABELS.get(name, Label(name_in_words(name)))
    return replace(figure(label.name, measured, is_difference=label.is_difference), meaning=label.meaning)


def headline(finding: Finding) -> Figure | None:
    """The effect that a verdict was taken on, with what it means."""
    return None if finding.effect is None else named(finding.endpoint or "", finding.effect)


def say_calibration(finding: Finding) -> str:
    """How often verdicts like this one err, or why that is not known; empty in runs from before it was asked."""
    known = finding.calibration
    if known is None:
        return ""
    if known.accused is None or known.acquitted is None or known.found is None:
        return f"That is not known of verdicts asked for in this way ({known.words}): {known.reason}."
    return (
        f"In {known.models} models of known truth that were audited in this way ({known.words}), innocent ones were "
        f"wrongly accused in {say(known.accused, 'counted')} cases and left open in {_count(known.left_open)}; those "
        f"that rely were wrongly acquitted in {say(known.acquitted, 'counted')} and found in "
        f"{say(known.found, 'counted')}. They are small models of random features, not networks like yours."
    )


def calibrations(result: AuditResult) -> list[str]:
    """What is known of how often the verdicts of a result err: the names of artefacts, where not all are alike."""
    told: dict[str, list[str]] = {}
    for finding in result.findings:
        if sentence := say_calibration(finding):
            told.setdefault(sentence, []).append(finding.artefact)
    if len(told) < 2:
        return list(told)
    return [f"{listed(list(dict.fromkeys(names)), 3)}: {sentence}" for sentence, names in told.items()]


def _count(measured: Measurement | None) -> str:
    return "–" if measured is None else say(measured, "counted")


def finding_of(artefact: str | None, result: AuditResult) -> Finding | None:
    """The finding on an artefact, if there is one."""
    return next((finding for finding in result.findings if finding.artefact == artefact), None)


def subject(finding: Finding) -> tuple[str, str]:
    """What a finding is about: the artefact, and its class where it has one."""
    if finding.scanned and finding.verdict != "relies":
        return finding.artefact, "every class"
    return finding.artefact, finding.target or ""


def image_anchors(result: AuditResult) -> dict[tuple[str, str | None], str]:
    """Artefact and class -> the place in the gallery where images of that finding begin, if it shows any."""
    shown = {(exemplar.artefact, exemplar.target) for exemplar in result.exemplars}
    about = ((finding.artefact, finding.target) for finding in result.findings)
    return {subject: f"images-{number}" for number, subject in enumerate(about) if subject in shown}


def why_not(result: AuditResult, study: str) -> str:
    """Why a study did not run, in a sentence."""
    record = next((record for record in result.methods if record.name == study), None)
    if record is None:
        return "The run was made before there was this study."
    words = {"off": "Not run", "not_applicable": "Not applicable"}.get(record.status, "It could not be completed")
    return f"{words}: {record.reason}."


_ROW = re.compile(r"/findings/(\d+)/measurements/(\w+)")

VERDICTS: dict[Told, tuple[str, str]] = {
    "relies": ("▲", "Relies on it"),
    "no_evidence": ("○", "No evidence above the margin"),
    "unconfirmed": ("–", "Not confirmed"),
    "inconclusive": ("?", "Inconclusive"),
    "error": ("!", "Error"),
    "not_applicable": ("–", "Not applicable"),
}
"""Sign and words of a verdict."""
