"""What an audit claims: the rule, a verdict on each artefact and class, and the measurements behind it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from auditor.measure.measurement import Measurement, Note

Verdict = Literal["relies", "no_evidence", "inconclusive", "not_applicable", "error"]

Told = Verdict | Literal["unconfirmed"]
"""A verdict as readers are told it: `unconfirmed` is a suspect that nobody named and that there is no evidence of."""

SUSPECTED = "suspected"
"""Kind of the note on a finding that the audit proposed itself: that there is no evidence then clears nothing."""


def told_as(verdict: Verdict, *, is_suspect: bool) -> Told:
    """A verdict as readers are told it: whoever named nothing has no all-clear of anything."""
    return "unconfirmed" if is_suspect and verdict == "no_evidence" else verdict


Direction = Literal["promotes", "suppresses"]


Severity = Literal["none", "score only", "low", "medium", "high"]


@dataclass(frozen=True)
class Rule:
    """What the verdicts are decided by."""

    margin: float = 0.0
    """A floor under the margin, in log-odds."""
    margin_sd: float = 0.2
    """The smallest effect that matters, in standard deviations of the score, so that a model's temperature is nothing
    to it."""
    alpha: float = 0.05
    min_groups: int = 12

    @property
    def level(self) -> float:
        """Confidence level of all intervals."""
        return 1 - self.alpha

    @property
    def images_for_all_clear(self) -> int:
        """How many images an all-clear needs: so many that a twentieth of them that move would hardly all be missed."""
        return math.ceil(math.log(self.alpha) / math.log(1 - SMALLEST_SHARE))


SMALLEST_SHARE = 0.05
"""Share of decisions or of images that matters."""

FILL_FACTOR = 2
"""Of the margin, where an artefact could only be filled in: reliance begins at twice it, and half is an all-clear."""


@dataclass(frozen=True)
class DosePoint:
    """Insertion lift at one opacity of the artefact, or share of its strength where it has no opacity."""

    opacity: float
    lift: Measurement


@dataclass(frozen=True)
class ScannedTarget:
    """One class of a scan, with its primary endpoint."""

    target: str
    verdict: Verdict
    direction: Direction | None
    theta: Measurement


@dataclass(frozen=True)
class Stratum:
    """What the artefact does to a part of the images: those of a class, or with a value of a column.

    The intervals hold for all parts of a column at once (Bonferroni).
    """

    column: str
    """`class`, or the column of the data that divides the images."""
    value: str
    lift: Measurement
    """Mean shift of the target's log-odds."""
    effect: Measurement
    """The same beyond the median control."""
    decisions_turned: Measurement
    """Share of the images that become the target, beyond those that the median control turns."""

    @property
    def name(self) -> str:
        """`class = dog`."""
        return f"{self.column} = {self.value}"

    @property
    def is_moved(self) -> bool:
        """Whether the artefact clearly turns decisions and raises scores there."""
        return self.decisions_turned.against(SMALLEST_SHARE) == "above" and self.lift.against(0) == "above"


@dataclass(frozen=True)
class Missed:
    """What a finding could have missed: no gate, but what a reader must weigh."""

    smallest_effect: float | None
    """The smallest effect that this many images would have shown, in log-odds."""
    unseen_share: Measurement | None
    """Share of images whose decision the artefact changes, with an exact upper bound: so many could rely on it."""


@dataclass(frozen=True)
class Strength:
    """How much an edit changes images, whatever a model makes of it; the mean of the images that variants are tried on.

    References: Wang et al., "Image quality assessment: from error visibility to structural similarity" (2004).
    """

    pixels: Measurement
    """Mean absolute change of the pixels of the whole image, as a share of their range."""
    visible: Measurement
    """1 - SSIM of the luminance of the whole image: 0 of equal ones."""


@dataclass(frozen=True)
class CarrierAccuracy:
    """How often the model is right on a class, on images that carry the artefact and on others; as they came."""

    target: str
    carriers: Measurement
    others: Measurement


@dataclass(frozen=True)
class Calibration:
    """How often verdicts err that are asked for in the same way, on models of known truth in the laboratory."""

    mode: str
    """How the audit asked, a key of `auditor.verdict.calibration.MODES` ..."""
    words: str
    """... and in words."""
    models: int = 0
    accused: Measurement | None = None
    """Share of innocent models that are said to rely; these and those below are null where `reason` is not."""
    acquitted: Measurement | None = None
    """Share of relying models for which there is said to be no evidence."""
    found: Measurement | None = None
    """Share of relying models that are said to rely, in the direction that is true."""
    left_open: Measurement | None = None
    """Share of innocent models that are inconclusive."""
    reason: str | None = None
    """Why there are no figures."""


@dataclass(frozen=True)
class Finding:
    """What the audit claims of one artefact and one target class."""

    artefact: str
    target: str | None
    verdict: Verdict
    direction: Direction | None
    severity: Severity | None
    """Null where nothing was decided, so that there is nothing to rate."""
    basis: Literal["insertion", "removal"] | None
    endpoint: str | None
    """Name of the measurement that the verdict was taken on."""
    reason: str
    measurements: dict[str, Measurement]
    controls: dict[str, Measurement] = field(default_factory=dict)
    """Insertion lift of each control: innocent edits that enter the verdict."""
    strength: Strength | None = None
    """How much inserting the artefact changes images ..."""
    control_strengths: dict[str, Strength] = field(default_factory=dict)
    """... and how much each control does: an innocent edit is one only where it is as strong."""
    variants: dict[str, Measurement] = field(default_factory=dict)
    """Insertion lift of each variant: they say how general a shortcut is and never decide."""
    dose_response: list[DosePoint] = field(default_factory=list)
    drops: dict[str, Measurement] = field(default_factory=dict)
    """Way of removal -> removal drop by it alone."""
    scanned: list[ScannedTarget] = field(default_factory=list)
    """All classes, strongest first, where no target was named."""
    notes: list[Note] = field(default_factory=list)
    margin: float = 0.5
    """The margin for this class, in log-odds."""
    together: list[str] = field(default_factory=list)
    """Other classes that it promotes, or suppresses, along with the target."""
    decisions_turned: Measurement | None = None
    """Share of decisions that it turns, beyond those that the median control turns; null where it is not measured."""
    strata: list[Stratum] = field(default_factory=list)
    could_be_missed: Missed | None = None
    carriers: list[CarrierAccuracy] = field(default_factory=list)
    calibration: Calibration | None = None
    """How often such verdicts err; null where there is no verdict, and in runs from before it was known."""

    @property
    def told(self) -> Told:
        """The verdict as readers are told it."""
        return told_as(self.verdict, is_suspect=self.is_suspect)

    @property
    def is_suspect(self) -> bool:
        """Whether nobody named it: the audit proposed it itself."""
        return any(note.kind == SUSPECTED for note in self.notes)

    @property
    def effect(self) -> Measurement | None:
        """The measurement that the verdict was taken on."""
        return self.measurements.get(self.endpoint or "")
