"""How often verdicts err, by the way in which they are asked for: figures of the laboratory, packaged with the rule."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import numpy as np

from auditor.measure.arrays import Bools
from auditor.measure.intervals import share_interval
from auditor.measure.measurement import Measurement
from auditor.verdict.record import Calibration, Finding, Rule

MODES = {
    "one logit": "a named target, two classes that share one output",
    "two classes": "a named target, two classes",
    "few classes": "a named target, three to five classes",
    "ten classes": "a named target, six to thirty classes",
    "hundred classes": "a named target, more than thirty classes",
    "labels": "a named target, classes that are independent",
    "scan": "no target named, every class scanned",
    "few images": "a named target, fewer than 150 images",
    "groups": "a named target, images in groups",
    "class": "a named target, all of whose images carry the artefact",
    "removal": "every image carries the artefact",
    "scan of carriers": "no target named, and every image carries the artefact",
    "place": "only the place of the artefact is known",
}
"""The ways in which an audit can ask, in words."""


Carried = Literal["some", "target", "all"]
"""Which images carry an artefact: `target` all of the target class, some or none of others; `some` may be none."""


@dataclass(frozen=True)
class Asked:
    """How an audit asks: all that its mode depends on."""

    output: str
    """`softmax`, `binary` or `multilabel`."""
    classes: int
    images: int
    groups: int
    carried: Carried
    """Which images carry the artefact already."""
    kind: str
    """Kind of the artefact; `varied` where its place, size or look differs from image to image."""
    is_scan: bool


def mode_of(asked: Asked) -> str:
    """The mode of an audit, a key of `MODES`: where it differs in several ways from the plain one, the first counts."""
    if asked.kind == "masks":
        return "place"
    if asked.carried == "all":
        return "scan of carriers" if asked.is_scan else "removal"
    if asked.is_scan:
        return "scan"
    if asked.carried == "target":
        return "class"
    if asked.groups < _GROUPED * asked.images:
        return "groups"
    if asked.images < _FEW:
        return "few images"
    if asked.output != "softmax":
        return "one logit" if asked.output == "binary" else "labels"
    names = {2: "two classes", 5: "few classes", 30: "ten classes"}
    return next((name for most, name in names.items() if asked.classes <= most), "hundred classes")


def carried_by(carriers: Bools, own: Bools | None) -> Carried:
    """Which images (n,) carry an artefact, whatever was said of them; `own` are those of the target, None of a scan."""
    if carriers.all():
        return "all"
    return "target" if own is not None and own.any() and carriers[own].all() else "some"


def calibrate(asked: Asked, rule: Rule) -> Calibration:
    """How often the verdict errs on models of known truth that were audited in the same mode by the same rule."""
    mode, table = mode_of(asked), read_calibration()
    if asked.kind not in _KINDS:
        return Calibration(mode, MODES[mode], reason="the laboratory has no models with artefacts of this kind")
    if table["rule"] != vars(rule):
        return Calibration(mode, MODES[mode], reason="the thresholds of the rule were changed")
    counts = table["modes"].get(mode)
    if counts is None or (asked.is_scan and mode not in ("scan", "scan of carriers")):
        return Calibration(mode, MODES[mode], reason="the laboratory has no models that were audited in this way")
    return Calibration(
        mode,
        MODES[mode],
        models=counts["models"],
        accused=_share(counts["accused"], counts["innocent"]),
        acquitted=_share(counts["acquitted"], counts["relying"]),
        found=_share(counts["found"], counts["relying"]),
        left_open=_share(counts["left_open"], counts["innocent"]),
    )


@cache
def read_calibration() -> dict[str, Any]:
    """The packaged counts: `rule`, what they were taken on (`models`), and `modes` by name."""
    found: dict[str, Any] = json.loads(files("auditor.verdict").joinpath("calibration.json").read_text("utf-8"))
    return found


def is_calibrated(findings: Sequence[Finding]) -> bool:
    """Whether it is known how often every one of some findings errs."""
    told = [finding.calibration for finding in findings if finding.verdict != "error"]
    return bool(told) and all(each is not None and each.reason is None for each in told)


def _share(hits: int, count: int) -> Measurement:
    every = np.arange(count)
    return share_interval(every < hits, every, 0.95)


_KINDS = ("overlay", "text", "box", "border", "lightness", "vignette", "masks")
"""What is put over images, or only masked: of that the laboratory has veils, borders, grids, spots and marks."""

_GROUPED, _FEW = 0.8, 150
"""Groups per image, and images, below which an audit is of a mode of its own."""
