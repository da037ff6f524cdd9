"""The records of the studies that explain a model: what each method found on the audited images."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from auditor.records import Measurement


@dataclass(frozen=True)
class Optimum:
    """One optimised image and what the model says of it."""

    picture: str
    """Key of the array."""
    value: float
    """The objective there."""
    probability: float | None
    """Of the class that was asked for; null for a feature."""
    predicted: str


@dataclass(frozen=True)
class RealImage:
    """A real image that excites a class or a feature most."""

    image: str
    label: str | None
    predicted: str
    picture: str
    value: float
    """Log-odds of the class, or the feature."""


@dataclass(frozen=True)
class Snapshot:
    """An image on its way to the optimum."""

    step: int
    picture: str
    value: float
    """The objective there."""


@dataclass(frozen=True)
class CurvePoint:
    """The objective after some steps, over the restarts."""

    step: int
    value: Measurement


@dataclass(frozen=True)
class ClassOptimum:
    """What excites one class most."""

    name: str
    reason: str
    """Why this class was chosen."""
    optimum: Optimum
    """Of the restart that got highest."""
    log_odds: Measurement
    """Of the class at its optima, over the restarts."""
    probability: Measurement
    snapshots: list[Snapshot]
    """Of the same restart; step 0 is the start."""
    curve: list[CurvePoint]
    real: list[RealImage]
    """The sampled images with the highest log-odds of the class, highest first."""


@dataclass(frozen=True)
class Looks:
    """How natural the optimal images look, beside a sample of the real ones."""

    total_variation: Measurement
    """Of the optima, as a ratio to the median real image: median over the classes."""
    high_frequency: Measurement
    """The same of the share of variance above half of the finest frequency."""
    real_total_variation: Measurement
    """Median over the real images."""
    real_high_frequency: Measurement
    predicted_as_asked: Measurement
    """Share of the optima that the model predicts as the class that they are of."""
    probability: Measurement
    """Of the class asked for, mean over the classes."""
    restarts_alike: Measurement
    """Mean correlation between the pixels of two restarts of one class, over the classes."""


@dataclass(frozen=True)
class Side:
    """One way of looking for optima, measured on one restart of each class compared."""

    name: str
    picture: str
    """Of the class shown."""
    logit: Measurement
    log_odds: Measurement
    probability: Measurement
    total_variation: Measurement
    """As a ratio to the median real image."""
    high_frequency: Measurement


@dataclass(frozen=True)
class Comparison:
    """Two ways of looking for the optima of the same classes from the same starts."""

    topic: Literal["start", "objective", "regularisation"]
    shown: str
    """The class of the pictures."""
    start_picture: str | None
    """The image that the second side starts from, where starts are compared."""
    first: Side
    second: Side
    gain: Measurement
    """Log-odds of the second side's optima minus the first's, over the classes."""
    correlation: Measurement
    """Between the pixels of both sides' optima, over the classes."""


@dataclass(frozen=True)
class FeatureOptimum:
    """What excites a channel, a neuron or a direction of a hidden layer most."""

    name: str
    kind: Literal["channel", "neuron", "direction"]
    artefact: str | None
    """For a direction: the artefact whose insertion moves features along it."""
    optima: list[Optimum]
    """One for each restart, highest first; restarts repel each other."""
    real: list[RealImage]
    reached: Measurement
    """The feature at the optima."""
    usual: Measurement
    """The feature on a sample of real images; for a direction, free of the artefact as far as is known."""
    with_artefact: Measurement | None
    """For a direction: the same images with the artefact inserted."""


@dataclass(frozen=True)
class ArtefactMatch:
    """How well an artefact's pattern matches the optima of its target, beside other classes and placebos."""

    artefact: str
    target: str | None
    status: Literal["ok", "not_applicable"]
    reason: str | None
    pattern: str | None = None
    """Key of the picture of the artefact on grey, in its box."""
    found: str | None = None
    """Key of the picture of the best match in the target's optima, in a box of that size."""
    measurements: dict[str, Measurement] = field(default_factory=dict)
    """Largest normalised cross-correlation over all shifts (`correlation`), its leads, the same about the artefact's
    own place (`here`), and how often the best match lies there (`own_place`); means over the restarts."""
    classes: dict[str, Measurement] = field(default_factory=dict)
    """Class -> correlation of its optima with the artefact; the target stands first."""
    placebos: dict[str, Measurement] = field(default_factory=dict)
    """Placebo -> correlation of the target's optima with it."""


Status = Literal["passed", "failed", "open"]
Outcome = Literal["passed", "failed", "open", "not_applicable"]


@dataclass(frozen=True)
class ActivationRecord:
    """What activation maximisation found: the inputs that excite the model most."""

    steps: int
    restarts: int
    objective: str
    start: str
    recipe: str
    """Parametrisation, constraint, penalties and views, in words."""
    sampled: int
    """Real images that optima are compared with."""
    classes: list[ClassOptimum]
    looks: Looks
    comparisons: list[Comparison]
    features: list[FeatureOptimum]
    matches: list[ArtefactMatch]
    notes: list[str] = field(default_factory=list)
    """What was left out, and why."""


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
    shown: list[ChangedImage] = field(default_factory=list)


@dataclass(frozen=True)
class AdversarialRule:
    """What a change is called adversarial by; `auditor/explain/adversarial.py` states it."""

    visible: float
    """Smallest largest change of a pixel that counts as visible."""
    visible_rms: float
    survives: float
    """Least share of the effect that must survive the blur of a change that is scattered."""
    in_place: float
    """Largest share of the frame that a change may need without being scattered."""
    blur: float
    """Standard deviation of the blur, in pixels."""


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
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ContrastLikeness:
    """How alike the maps of the predicted and of the true class are by one method: medians over errors."""

    method: str
    spearman: Measurement
    """Rank correlation of the saliency of all pixels."""
    ssim: Measurement
    """Structural similarity of the signed maps on one scale."""
    overlap: Measurement
    """Intersection over union of the strongest pixels."""


@dataclass(frozen=True)
class ContrastShare:
    """How much of the margins' maps by one method lies in an artefact's region: medians over errors that have it."""

    artefact: str
    method: str
    errors: str
    """Which errors: those that came with the artefact, or those made by inserting it."""
    share: Measurement
    """Of the absolute margin map; that of an even map is `area`."""
    share_predicted: Measurement
    """Of the map of the predicted class alone."""
    area: float
    """Mean share of the frame that the region covers."""


@dataclass(frozen=True)
class ContrastIntervention:
    """Whether errors come and go with one artefact."""

    artefact: str
    target: str | None
    removals: dict[str, Measurement]
    """Way of removal -> share of the errors that carry it which it mends."""
    placebos: dict[str, Measurement]
    """The same edits elsewhere in the image."""
    removal_lead: Measurement
    """Errors mended by the removal minus by its placebo, image by image: exact where there is one, else the least."""
    mended_by_insertion: Measurement
    """Errors without it that inserting it mends."""
    mended_by_controls: Measurement
    """The same by innocent edits: what most of them do."""
    insertion_lead: Measurement
    """The former minus the latter, image by image."""
    broken: Measurement
    """Rightly predicted images without it that inserting it makes errors."""
    broken_by_controls: Measurement
    """The same by innocent edits: what most of them do."""
    broken_lead: Measurement
    """The former minus the latter, image by image."""
    towards: dict[str, int]
    """What the broken images are predicted as, the most frequent first."""
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ContrastSuspect:
    """One error that carries an artefact, and how much it looks like the artefact's doing."""

    image: str
    label: str
    predicted: str
    artefact: str
    score: float
    """The region's share of what speaks for the predicted class against the true one, over its share of the frame:
    median over methods; zero where the prediction is not the class that the artefact was tested for."""
    mended: bool
    """Whether removing the artefact makes the prediction right."""
    mended_by_placebo: bool | None
    """Whether the same edit elsewhere does; null where it fits nowhere else."""


@dataclass(frozen=True)
class ContrastGroup:
    """The errors of one kind."""

    label: str
    predicted: str
    count: int
    margin: Measurement
    """Mean score of the predicted class minus that of the true one."""
    carriers: int
    """Errors among them that carry an artefact which can be removed."""
    mended: int
    """Of those, how many removing an artefact mends."""


@dataclass(frozen=True)
class ContrastMending:
    """How often an error is mended once the pixels are gone that speak most for it by one method's margin map."""

    method: str
    mended: Measurement
    """Right after most of the ways to fill them."""
    fall: Measurement
    """How much the margin of the predicted over the true class falls."""
    by_fill: dict[str, Measurement]
    over_random: Measurement | None = None
    """Errors mended minus those by as many random pixels, image by image; null for the references themselves."""
    over_edges: Measurement | None = None
    """The same against the pixels of the strongest edges."""
    over_predicted: Measurement | None = None
    """The same against the map of the predicted class alone by the same method."""
    fall_over_random: Measurement | None = None
    fall_over_edges: Measurement | None = None


@dataclass(frozen=True)
class ContrastMaps:
    """Keys of the raw maps of one error by one method."""

    method: str
    predicted: str
    true: str
    margin: str


@dataclass(frozen=True)
class ContrastExemplar:
    """One error shown with its maps."""

    image: str
    label: str
    predicted: str
    margin: float
    """Score of the predicted class minus that of the true one."""
    picture: str
    inserted: str | None
    """The artefact that was inserted to make the error; null where the image came so."""
    maps: list[ContrastMaps]


@dataclass(frozen=True)
class ContrastRecord:
    """What the contrast of the predicted with the true class says about the errors."""

    errors: int
    """Labelled images of the sample that are predicted wrongly."""
    measured: int
    """Errors explained: a seeded choice."""
    share: float
    """Share of the frame that counts as the strongest pixels."""
    fills: list[str]
    likeness: list[ContrastLikeness]
    regions: list[ContrastShare]
    interventions: list[ContrastIntervention]
    suspects: list[ContrastSuspect]
    """Errors that carry an artefact, those that look most like its doing first."""
    groups: list[ContrastGroup]
    mending: list[ContrastMending]
    """The method that mends most errors first; then the references, random pixels and edges."""
    exemplars: list[ContrastExemplar]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class TrustCriterion:
    """What a test asks of a method, and what the interval of its figure is held against."""

    name: str
    question: str
    figure: str
    passes: float
    """Passed where the whole interval lies on the good side of this."""
    fails: float
    """Failed where it lies wholly on the bad side of this; else open."""
    better: Literal["low", "high"]
    decisive: bool
    """Whether a method that fails it has failed."""


@dataclass(frozen=True)
class TrustTest:
    """One test of one method of attribution."""

    name: str
    """Of one of the record's criteria."""
    outcome: Outcome
    """Passed and failed only where the whole interval says so, else open."""
    measured: Measurement | None
    reason: str | None = None
    """Why it is not applicable."""


@dataclass(frozen=True)
class CascadeStage:
    """How alike a method's maps are once the weights of some layers, from the head down, are drawn anew."""

    lowest_layer: str
    layers: int
    """How many layers have been randomised by now."""
    signed: Measurement
    """Spearman's correlation with the map of the trained model."""
    absolute: Measurement
    structure: Measurement
    """Structural similarity of the absolute maps."""
    map: str | None = None
    """Key of the array with the map of one image at this stage."""


@dataclass(frozen=True)
class ReadingRecord:
    """One way to read a method's maps: absolute, signed, the positive part, smoothed."""

    reading: str
    gains: dict[str, Measurement]
    """By how much deletion, insertion and both together beat a random order, in mean log-odds over the way."""
    over_absolute: Measurement | None
    """By how much both together beat the absolute reading of the same maps; null for itself and for controls."""
    over_edges: Measurement
    """By how much both together beat the order of an edge filter."""
    fills: dict[str, Measurement]
    """Both together, by what fills the place of a deleted cell."""
    likeness: Measurement | None
    """Spearman's correlation with the absolute map; null for controls."""
    lift: Measurement
    """Of the artefacts' regions, on the images that have one."""
    deletion: list[Measurement]
    """Log-odds of the target when the first cells are deleted, at each of the record's fractions, mean of the fills."""
    insertion: list[Measurement]


@dataclass(frozen=True)
class LiftControl:
    """The lift of an artefact's region beside that of the same method on a model that knows nothing."""

    artefact: str
    lift: Measurement
    over_random_model: Measurement
    """Lift minus that on the model with all its weights drawn anew, image by image."""


@dataclass(frozen=True)
class MethodTrust:
    """What the tests say of one method of attribution (one variant of it)."""

    method: str
    status: Status
    reason: str
    """Why, in a sentence."""
    images: int
    is_costly: bool
    """Whether it was tested on fewer images, stages and draws for its cost."""
    best_reading: str | None
    """The reading whose order beats a random one by most, where one does."""
    tests: list[TrustTest]
    cascade: list[CascadeStage]
    readings: list[ReadingRecord]
    lifts: list[LiftControl]
    trained_map: str | None = None
    """Key of the array with the trained model's map of the image that the cascade is shown on."""


@dataclass(frozen=True)
class MapLikeness:
    """How alike the absolute maps of two methods are: Spearman's correlation, median over images."""

    first: str
    second: str
    correlation: Measurement


@dataclass(frozen=True)
class TrustRecord:
    """Which methods of attribution passed the tests that one that deserves trust must pass."""

    images: int
    with_artefact: int
    """Images that carry an artefact or had it inserted, explained for its class; others for what is predicted."""
    draws: int
    """Times that weights were drawn anew at each stage; once for costly methods."""
    noise: float
    """Standard deviation of the noise of the stability test, as a share of the range of pixels."""
    cell: int
    """Side in pixels of the cells that are deleted together."""
    fractions: list[float]
    """Shares of the cells that are deleted or inserted."""
    criteria: list[TrustCriterion]
    why_not_randomised: str | None
    """Why no weights could be drawn anew, where so."""
    methods: list[MethodTrust]
    controls: list[ReadingRecord]
    """The orders that every method's is compared with: random, and an edge filter's."""
    likenesses: list[MapLikeness]
    picture: str
    """Key of the image that the cascade is shown on."""
    pictured: str
    """Its id, and the class that it is explained for."""
