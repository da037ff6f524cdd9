"""Numbers and names as the report writes them: templates do no arithmetic and never see raw numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from auditor.explain.attribution.record import MapName
from auditor.explain.trust.record import MethodTrust
from auditor.measure.measurement import Measurement
from auditor.measure.words import listed, name_in_words, number, say, say_interval, say_n
from auditor.report.pointers import pointer_of
from auditor.report.presentable import show_short
from auditor.run.result import AuditResult
from auditor.verdict.record import Finding, Verdict

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

    @property
    def place(self) -> str:
        """The pointer to be read: with nothing unseen in it, and cut where it is long."""
        return show_short(self.pointer)


def figure(name: str, measured: Measurement, digits: int = 2) -> Figure:
    """A measurement as text; a missing one is a dash with its reason."""
    return Figure(
        name=name,
        meaning="",
        value="–" if measured.value is None else number(measured.value, measured.unit, digits),
        interval=say_interval(measured, digits),
        level="" if measured.level is None else f"{100 * measured.level:.4g} %",
        n=say_n(measured),
        unit=measured.unit,
        reason=measured.reason or "",
        pointer=pointer_of(measured),
    )


def figures(record: Any, names: Mapping[str, str] | str, digits: int = 2) -> list[Figure]:
    """Measurements of a record, or of a dictionary, as text.

    Parameters
    ----------
    names
        Those of the measurements that are wanted, by their keys; or the name of every one, with `{}` for its key.
    """
    held = record if isinstance(record, Mapping) else vars(record)
    named = {key: names.replace("{}", key) for key in held} if isinstance(names, str) else names
    return [figure(name, held[key], digits) for key, name in named.items() if key in held]


def named(name: str, measured: Measurement) -> Figure:
    """A measurement of a finding, with what it means."""
    return replace(figure(name_in_words(name), measured), meaning=_MEANINGS.get(name, ""))


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
        f"wrongly accused in {say(known.accused, 'tally')} cases, and left open in {_count(known.left_open)}; those "
        f"that rely were wrongly acquitted in {say(known.acquitted, 'tally')}, and found in "
        f"{say(known.found, 'tally')}. They are small models of random features, not networks like yours."
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
    return "–" if measured is None else say(measured, "tally")


def finding_of(artefact: str | None, result: AuditResult) -> Finding | None:
    """The finding on an artefact, if there is one."""
    return next((finding for finding in result.findings if finding.artefact == artefact), None)


def method_name(name: MapName) -> str:
    """A method as one says it, its layer or baseline in brackets."""
    told = _METHOD_NAMES.get(name.method, name.method.replace("_", " "))
    return f"{told} ({name.variant})" if name.variant else told


def list_methods(entries: Iterable[Any]) -> str:
    """The methods of records that have a map, as one says them."""
    return listed([method_name(entry.map) for entry in entries])


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


def failed_methods(result: AuditResult) -> dict[MapName, str]:
    """Methods that failed the tests of trust, and why: to be marked wherever their maps appear."""
    failed = [entry for entry in result.trust.methods if entry.status == "failed"] if result.trust else []
    return {entry.map: "; ".join(_failures(entry)) or entry.reason for entry in failed}


def _failures(entry: MethodTrust) -> Iterator[str]:
    for test in entry.tests:
        if test.outcome == "failed" and test.name in _FAILURES and test.measured is not None:
            reading = f", {test.reading} map" if test.reading else ""
            yield f"{_FAILURES[test.name]}: {say(test.measured, 'full')}{reading}"


def why_not(result: AuditResult, study: str) -> str:
    """Why a study did not run, in a sentence."""
    record = next((record for record in result.methods if record.name == study), None)
    if record is None:
        return "The run was made before there was this study."
    words = {"off": "Not run", "not_applicable": "Not applicable"}.get(record.status, "It could not be completed")
    return f"{words}: {record.reason}."


DROP = "removal drop, {}"
"""The removal drop by one way of removal."""

_METHOD_NAMES = {"grad_cam": "Grad-CAM", "smoothgrad": "SmoothGrad", "integrated_gradients": "Integrated Gradients"}

_FAILURES = {
    "randomised weights": "its maps hardly change when the model's weights are drawn anew",
    "order": "the pixels that it ranks first move the score no sooner than random ones do",
}

MEASUREMENTS: dict[str, dict[str, str]] = {
    "Insertion": {
        "theta": "the least of the three leads below; this decides",
        "insertion_lift": "how much inserting the artefact raises the score of the target",
        "control_contrast": "insertion lift minus that of the median control",
        "class_contrast": "insertion lift minus that of the other classes (90th percentile)",
        "own_control_contrast": "the control contrast on images of the target itself: evidence for it raises "
        "those, too",
        "decisions_turned": "images of others that become the target, beyond those that the median control turns",
        "decisions_turned_raw": "the same, controls aside",
        "decisions_turned_together": "images that become any of the classes that it promotes together, beyond controls",
        "decisions_changed": "images whose decision on the target changes either way, beyond the median control",
        "theta_elsewhere": "theta at the neighbouring place or size where it seems to do most, confirmed",
        "decisions_turned_elsewhere": "images of others that become the target there, beyond the median control",
        "lead_over_strongest_control": "insertion lift minus that of the control that moves most; never decides",
        "strongest_by_chance": "largest theta of any class that random innocent content reaches: median and "
        "range of draws",
        "promoted_by_chance": "draws of random innocent content that raise the target as far; never decides",
        "theta_standardised": "theta in standard deviations of the target's score",
        "probability_change": "how much inserting it raises the probability of the target",
        "flip_rate": "images not predicted as the target that become it",
        "accuracy_without": "images of other classes, as they came",
        "accuracy_with": "the same images with the artefact inserted",
        "accuracy_drop": "what inserting it costs",
        "worst_group_accuracy": "the lowest accuracy of any class, with or without the artefact",
    },
    "Suppression": {
        "theta_suppression": "the least of the three leads below; this decides too",
        "suppression": "how much inserting the artefact lowers the target on its own images",
        "suppression_control_contrast": "that fall minus the median control's",
        "suppression_class_contrast": "that fall minus that of the other classes",
        "suppression_others_control_contrast": "the same over controls on other images: what hides an object spares "
        "those",
        "theta_suppression_others": "the least of the three leads below, where too few images of the target are free "
        "of it: then this decides",
        "suppression_others": "how much inserting the artefact lowers the target on images of other classes",
        "suppression_others_class_contrast": "that fall minus that of the other classes",
        "suppressed_by_chance": "draws of random innocent content that lower the target as far; never decides",
        "decisions_lost": "images of the target that cease to be it, beyond those that the median control turns",
        "decisions_lost_raw": "the same, controls aside",
        "suppression_flip_rate": "images of the target, predicted as such, that no longer are with the artefact",
        "class_accuracy_without": "images of the target class, as they came",
        "class_accuracy_with": "the same images with the artefact inserted",
        "class_accuracy_drop": "what inserting it costs the target class",
    },
    "Removal": {
        "removal_drop": "how much taking the artefact out lowers the target, minus the same edit elsewhere",
        "removal_fall": "how much taking the artefact out lowers the target",
        "removal_contrast": "that fall minus that of the same edit elsewhere in the image",
        "removal_rise": "the mirror image of the removal drop: how much taking it out raises the target",
        "decisions_undone": "images that cease to be the target when it is taken out, beyond the same edit elsewhere",
        "decisions_undone_raw": "the same, whatever the edit does elsewhere",
        "removal_flip_rate": "images predicted as the target that no longer are",
        "carriers_accuracy_with": "images that carry the artefact, as they came",
        "carriers_accuracy_without": "the same images with the artefact taken out",
        "carriers_accuracy_drop": "what taking it out costs",
        "found": "images said to carry the artefact in which it is found",
        "found_elsewhere": "of these, images in which it lies elsewhere than it is named",
        "alone": "theta on canvases without content: the pixels of carriers in random order",
    },
    "Checks of the run": {
        "pasted_object": "check: how much pasting the middle of an image of the target into others raises its score",
        "accuracy": "check: labelled images, as they came, that the model is right on",
        "no_op_change": "check: how much scoring an image again, unchanged, moves any class",
    },
}
"""What is measured of a finding: heading -> name -> what it means."""

_MEANINGS = {name: meaning for names in MEASUREMENTS.values() for name, meaning in names.items()}

VERDICTS: dict[Verdict, tuple[str, str]] = {
    "relies": ("▲", "Relies on it"),
    "no_evidence": ("○", "No evidence above the margin"),
    "inconclusive": ("?", "Inconclusive"),
    "error": ("!", "Error"),
    "not_applicable": ("–", "Not applicable"),
}
"""Sign and words of a verdict."""

ADVICE: dict[Verdict, str] = {
    "relies": "Do not sign off on the score as it is: train without this artefact, balance it over the classes, or "
    "mask it, and audit again.",
    "no_evidence": "This says nothing of other artefacts, of smaller effects, or of images unlike these.",
    "inconclusive": "Audit with more images, or more independent groups of them, before deciding.",
    "not_applicable": "Change the configuration so that some images can be tested.",
    "error": "Mend the cause and audit again; nothing can be said of this artefact.",
}
"""What to do after a verdict."""
