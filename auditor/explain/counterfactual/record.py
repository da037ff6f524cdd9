"""What counterfactual optimisation found: the least changes that change the answer."""

from __future__ import annotations

from dataclasses import dataclass, field

from auditor.measure.measurement import Measurement, Note

NO_ERRORS = "no errors"
"""The kind of a note on why no error was asked about."""


@dataclass(frozen=True)
class ChangedImage:
    """One image, and the least change of it that makes the model say something else."""

    image: str
    label: str | None
    before: str
    """What the model says of the image."""
    after: str
    """What it says of the changed one."""
    wanted: str
    found: bool
    margin: float
    """By how much the changed image is beyond what was wanted; under nought: by how much it fails."""
    adversarial: bool | None
    """Whether the rule calls the change adversarial; null where none was found."""
    changed_pixels: float
    """Share of the frame."""
    l2: float
    largest: float
    """Of any pixel, in [0, 1]."""
    picture_before: str
    picture_after: str
    difference: str
    """Key of the signed change (h, w, c), float32."""


@dataclass(frozen=True)
class Correction:
    """What the least change of one misclassified image towards what it is looks like, without its pictures."""

    image: str
    adversarial: bool | None
    """Whether the rule calls it adversarial; null where none was found."""
    changed_pixels: float | None
    """Share of the frame; null likewise."""


@dataclass(frozen=True)
class ChangeSet:
    """The least changes of some images towards one aim."""

    reason: str
    """Why these images: `errors`, `pair`, `away` (from an artefact's target) or `towards` (it)."""
    artefact: str | None
    wanted: str
    """Where they are led, in words: `towards Coat`, `away from Coat`, `towards a random class`."""
    control: bool
    """Whether the aim is a random class, to compare with."""
    confined: str | None
    """Null: they may change everywhere; else only in the artefact's `region`, or only `elsewhere`."""
    images: int
    measurements: dict[str, Measurement]
    """Success rate and share of adversarial changes, and medians over the changes that were found."""
    regions: dict[str, Measurement]
    """Artefact -> share of the change's energy in its region, the median."""
    leads: dict[str, Measurement]
    """Artefact -> that share minus the same of the same image towards a random class, the median."""
    nearness: Measurement | None = None
    """Length (L2) of the change as a ratio to that of the same image towards a random class, the median."""
    shown: list[ChangedImage] = field(default_factory=list)
    corrections: list[Correction] = field(default_factory=list)
    """Of every image, where these are errors that shall be corrected."""


@dataclass(frozen=True)
class AdversarialRule:
    """What a change is called adversarial by; `auditor/explain/counterfactual/adversarial.py` states it."""

    visible: float
    """Smallest largest change of a pixel that counts as visible."""
    visible_rms: float
    """The same of the root mean square over the pixels that move."""
    survives: float
    """Least share of the effect that must survive the blur of a change that is not in one place."""
    in_place: float
    """Largest share of the frame that a change in one place may need."""
    blur: float
    """Standard deviation of the blur, in pixels."""
    in_block: float = 0.0
    """Least share of the energy that one block of touching pixels holds in a change in one place."""
    block: int = 1
    """Fewest pixels that are a block."""


@dataclass(frozen=True)
class CounterfactualRecord:
    """What counterfactual optimisation found: the least changes that change the model's answer."""

    sets: list[ChangeSet]
    areas: dict[str, float]
    """Artefact -> the share of the frame that its region covers, on average over images."""
    rule: AdversarialRule
    real_high_frequency: Measurement
    """Share of high frequencies in differences between real images of different predictions, the median."""
    passes: int
    """Forward and backward passes of an image that the study took."""
    notes: list[Note] = field(default_factory=list)
