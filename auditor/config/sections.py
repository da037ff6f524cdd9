"""The sections of `audit.toml`, with their keys and defaults: the only place for defaults of the audit itself."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal, get_args

import pydantic
from pydantic import Field

from auditor.config.options import (
    is_function_spec,
)

_Name = Annotated[str, Field(min_length=1)]


FORMATS = ("html", "pdf", "junit", "sarif", "markdown")
"""What a report can be written as, beside what functions of a user's make."""


def _rises(limits: tuple[float, float]) -> tuple[float, float]:
    if limits[0] >= limits[1]:
        raise ValueError("the lower end first, then the higher")
    return limits


_Range = Annotated[tuple[float, float], pydantic.AfterValidator(_rises)]

_Fill = Literal["mean", "blur", "inpaint"]

_Source = Literal[
    "places", "stamps", "gradients", "properties", "clusters", "components", "errors", "universal", "columns"
]


class _Section(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())


class ModelConfig(_Section):
    """The classifier to audit."""

    source: _Name
    """A `.keras` or `.h5` file, the folder of a SavedModel, the address of one of these on an object store
    (`s3://BUCKET/..`, `gs://`, `az://`), `keras.applications:NAME`, or `package.module:function` returning a Keras
    model."""
    labels: str | tuple[_Name, ...] | None = None
    """A text file with a class name per line, the names themselves, or `imagenet` for the 1000 classes of ImageNet-1k;
    without it classes are called by their number."""
    preprocess: _Name = "none"
    """`package.module:function`, applied to float images in [0, 255]; or `none`, and pixels are fed to the model in the
    range that `input_range` or the model's own Rescaling or Normalization tells."""
    input_range: _Range | None = None
    """The pixel range that the model expects, for example [0, 1]; needed where the model does not tell it."""
    output: Literal["auto", "softmax", "binary", "multilabel", "logits", "probabilities"] = "auto"
    """What the classes are to each other: `softmax` (one of them), `binary` (one unit for two) or `multilabel` (each
    for itself); or what the values are, where the model's structure does not tell: `logits` or `probabilities`."""
    outputs: _Name | None = None
    """Of a model with several outputs: the name of the one that is audited."""
    inputs: dict[str, float | tuple[float, ...]] = Field(default_factory=dict)
    """Of a model with further inputs beside the images: the value that each is fixed to, `inputs = { age = 50.0 }`."""
    weights: _Name | None = None
    """Of a model of `keras.applications`, or that a function builds: a `.weights.h5`, `.h5` or `.keras` file with the
    weights; or, of `keras.applications`, `imagenet`, which is fetched."""
    signature: _Name = "serving_default"
    """Of a SavedModel: the signature to audit, one image in and the scores of the classes out."""
    trust: bool = False
    """Load layers that carry Python code (Lambda), and SavedModels whose operations may reach files, the network or
    Python. Only for a model whose origin you trust."""
    batch_size: Annotated[int, Field(ge=1, le=4096)] = 64


class DataConfig(_Section):
    """The images to audit with."""

    source: _Name
    """An `.npz`, a `.csv` or `.parquet` manifest, a folder of pictures, the address of one of these on an object store
    (`s3://BUCKET/..`, `gs://`, `az://`), or `package.module:function`."""
    root: str = ""
    """What the paths of a manifest are relative to, where that is not its own folder; a folder here or on a store."""
    images: _Name | None = None
    """The array of an `.npz` with the images, or the column of a manifest with the paths of pictures, where it is
    called otherwise than `images` or `path`; `labels`, `groups` and `ids` likewise."""
    labels: _Name | None = None
    groups: _Name | None = None
    ids: _Name | None = None
    strata: tuple[_Name, ...] = ()
    """Columns of the manifest, or arrays of the `.npz`, that divide the images into parts: what the artefact does is
    measured in each of them, too."""
    range: _Range | None = None
    """The values of black and white in arrays and 16-bit pictures, where these are not 0 and 1, 255 or 65535: [0, 4095]
    for 12 bits, [-1024, 3071] for Hounsfield units."""
    limit: Annotated[int, Field(ge=1)] | Literal["all"] = 500
    """Size of the seeded, class-balanced sample, or `all`: the most images that are tried, see `sequential`."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    fit: Literal["exact", "resize", "crop"] = "exact"
    """What to do with images of another size than the model's: refuse, resize, or resize and crop the centre."""
    copies: Literal["auto", "group", "keep"] = "auto"
    """Whether images that show one picture count as one group: `group`, those that are nearly the same too; `keep`,
    none; `auto`, as `group` where the data give no groups, else identical ones only."""
    as_written: bool = False
    """Whether labels and pixels are right as written, whatever accuracy says: it is noted then, and withholds no
    verdict."""
    max_corrupt: Annotated[float, Field(ge=0, le=1)] = 0.05
    """A larger share of unreadable images ends the audit."""


class ArtefactConfig(_Section):
    """One suspected shortcut; further keys are the options of its kind."""

    model_config = pydantic.ConfigDict(extra="allow")

    name: _Name
    kind: _Name
    target: _Name | None = None
    present: _Name = "none"
    """Which images carry it already: `none`, `all`, `class:NAME`, or an array of the npz or a column of the manifest
    that says so of each."""
    find: bool = True
    """Look for it in the images that carry it, and take it out where it is, rather than where it is named."""
    controls: tuple[_Name, ...] = ()
    """Pictures of innocent content, put where the artefact is; they enter the verdict."""
    variants: tuple[_Name, ...] = ()
    """Pictures like the artefact, put where it is: they say how general a shortcut is and never decide."""

    @property
    def options(self) -> dict[str, Any]:
        """The options of the kind."""
        return dict(self.model_extra or {})


class MethodConfig(_Section):
    """One method of explanation; further keys are its options."""

    model_config = pydantic.ConfigDict(extra="allow")

    enabled: bool = True
    on: Literal["all", "exemplars"] = "all"
    """All images that are explained, or only those shown with their maps: for methods that take long."""

    @property
    def options(self) -> dict[str, Any]:
        """The options of the method."""
        return dict(self.model_extra or {})


class InterventionsConfig(_Section):
    """How artefacts are taken out."""

    fills: Annotated[tuple[_Fill, ...], Field(min_length=1)] = ("mean", "blur", "inpaint")


class ExplainConfig(_Section):
    """How many images are explained."""

    images: Annotated[int, Field(ge=1)] = 48
    """Images per artefact whose attributions are measured in the region."""
    exemplars: Annotated[int, Field(ge=0, le=64)] = 6
    """Images per artefact shown in the report with all their maps."""


class VerdictConfig(_Section):
    """The rule of the verdict."""

    margin: Annotated[float, Field(ge=0)] = 0.0
    """A floor under the margin, in log-odds; where the model's temperature is unknown it is best left at 0."""
    margin_sd: Annotated[float, Field(gt=0)] = 0.2
    """The smallest effect that matters, in standard deviations of the score over the images."""
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    min_groups: Annotated[int, Field(ge=2)] = 12
    """Fewer independent groups of images are inconclusive."""
    sequential: bool = True
    """Look at a part of the images first, 300 and twice as many each time, and end where the verdicts are clear at a
    far stricter level: `limit` is then the most that is tried."""


class AuditSection(_Section):
    """The audit as a whole."""

    minutes: Annotated[float, Field(gt=0)] | None = None
    """About how long it may take: verdicts are always taken to their end, and explanations while there is time: maps
    first, then trust in them, errors, counterfactuals, ideal images, and your own studies. What is left out is said."""


class ExecutionConfig(_Section):
    """Where the work of an audit is done; the numbers are the same."""

    engine: Literal["local", "ray"] = "local"
    """In this process, or spread over workers that Ray keeps (`pip install auditor[ray]`), each with the model."""
    address: str = ""
    """Of a cluster of Ray that runs already, `host:port`; without it, one is started for the audit, on this machine."""
    workers: Annotated[int, Field(ge=1)] | None = None
    """How many; as many as there is room for, where left out."""
    num_cpus: Annotated[float, Field(gt=0)] = 1
    """Processors that Ray sets apart for each worker."""
    num_gpus: Annotated[float, Field(ge=0)] = 0
    """GPUs, or a share of one, that it sets apart for each."""
    unit_minutes: Annotated[float, Field(gt=0)] = 240
    """How long a worker may take for one unit of work, of which a study is the longest. One that takes longer hangs: it
    is ended, another takes its place, and the unit counts as failed, as where a worker is lost."""

    @pydantic.model_validator(mode="after")
    def _says_nothing_idle(self) -> ExecutionConfig:
        default = {name: field.default for name, field in type(self).model_fields.items()}
        if self.engine == "local" and any(getattr(self, name) != default[name] for name in default):
            raise ValueError('engine = "ray" beside keys that have an effect on it alone')
        return self


class DiscoveryConfig(_Section):
    """Suspects that nobody named: proposed on half of the images, judged on the other half."""

    enabled: Literal["auto"] | bool = "auto"
    """Whether suspects are looked for: `auto` where no artefact is named."""
    most: Annotated[int, Field(ge=1, le=20)] = 6
    """Suspects that are judged, at the most: the more there are, the clearer each must be."""
    sources: tuple[_Source, ...] = get_args(_Source)
    """Where they come from: patches pasted from image to image, content that images of a class share to the pixel,
    places that the model looks at whatever an image shows, properties of whole images, clusters of maps, components of
    feature maps, what errors share, the patch that raises a class most; and columns, which
    are listed and not judged: what manifest, files and pixels say."""
    ignore: tuple[_Name, ...] = ()
    """Columns that are not read at all, nor what files tell under that name (`Make` or `EXIF: Make`)."""
    passes: Annotated[int, Field(ge=100)] = 20_000
    """About how many images the model may score to find places; and differentiate, for patches that no image shows."""
    images: Annotated[int, Field(ge=24)] = 600
    """Images of the half that proposes, at the most: they are held in memory."""


class ReportConfig(_Section):
    """Where the report goes and what it is called."""

    output: _Name = "reports"
    """A folder for runs, here or on an object store (`s3://BUCKET/..`, `gs://`, `az://`)."""
    formats: Annotated[tuple[_Name, ...], Field(min_length=1)] = ("html", "pdf")
    """`html` and `pdf` are the report; `junit`, `sarif` and `markdown` stand beside it for other tools, and so does
    what a `package.module:function` of your own makes of a run."""
    sections: tuple[_Name, ...] = ()
    """Sections of your own: `package.module:function`, given the result and the arrays, returning pieces."""
    pictures: Literal["all", "thumbnails", "none"] = "all"
    """How much the page shows of the audited images: all, pictures of at most 32 pixels a side, or none, with
    pseudonyms for the images."""
    title: _Name = "Shortcut audit"
    preface: str = ""
    """A paragraph of your own under the title, for example what the model is for."""
    intended_use: str = ""
    """What the model is to be used for, and by whom: the report is signed off for that alone."""
    version: str = ""
    """Of the model, as you call it."""
    reviewer: str = ""
    """Who is to decide on the report."""
    templates: str = ""
    """A folder of templates of your own, which go before the built-in ones of the same name; see docs/templates.md."""

    @pydantic.field_validator("formats")
    @classmethod
    def _are_known(cls, formats: tuple[str, ...]) -> tuple[str, ...]:
        if not all(name in FORMATS or is_function_spec(name) for name in formats):
            raise ValueError(f"{', '.join(FORMATS)} or package.module:function")
        return formats

    @pydantic.field_validator("sections")
    @classmethod
    def _are_functions(cls, sections: tuple[str, ...]) -> tuple[str, ...]:
        if not all(is_function_spec(name) for name in sections):
            raise ValueError("package.module:function")
        return sections


Level = Literal["off", "warn", "error"]
"""What it means for a gate that something is broken or open: nothing, a warning, or that the gate fails."""

GatedVerdict = Literal["relies", "newly_relies", "inconclusive", "not_applicable"]
"""Verdicts that a gate can be told about; an error always fails it."""

Metric = Literal["effect", "decisions_turned", "flip_rate", "worst_group_accuracy", "accuracy"]


class Demand(_Section):
    """One demand of a gate. Of the demands on one thing, the last that fits a finding holds."""

    verdict: GatedVerdict | None = None
    """The demand is that no finding has this verdict ..."""
    metric: Metric | None = None
    """... or is on a number: `effect` (in margins: 1 is the smallest that matters), `decisions_turned` and `flip_rate`
    (shares that should be small), `worst_group_accuracy` and `accuracy` (shares that should be large)."""
    limit: float | None = None
    """The metric must not lie beyond it: above it, or below where large is good."""
    tolerance: Annotated[float, Field(ge=0)] | None = None
    """The metric must not be worse than in the accepted run by more than this, tested on the images of both."""
    level: Level = "error"
    """What it means that the demand is clearly broken ..."""
    open: Level = "warn"
    """... or, of a metric, that it is neither clearly broken nor clearly kept."""
    artefact: _Name | None = None
    """Only findings on this artefact, ..."""
    target: _Name | None = None
    """... and on this class."""

    @pydantic.model_validator(mode="after")
    def _asks_one_thing(self) -> Demand:
        bars = [bar for bar in (self.limit, self.tolerance) if bar is not None]
        if (self.verdict is None) == (self.metric is None):
            raise ValueError("verdict or metric, one of them")
        if len(bars) != (0 if self.metric is None else 1):
            raise ValueError("limit or tolerance, one of them, with a metric and with nothing else")
        if self.metric not in (None, "effect") and abs(bars[0]) > 1:
            raise ValueError(f"limit and tolerance of {self.metric} as shares: 0.9, not 90")
        if self.metric == "accuracy" and (self.artefact or self.target):
            raise ValueError("accuracy without artefact and target: it is that of the whole audit")
        return self


class GateConfig(_Section):
    """What an audit must show to pass; a key that is left out is as the preset has it."""

    preset: Literal["verdicts", "strict", "release", "watch"] = "verdicts"
    """Where the demands start from: `verdicts` fails as an audit without a gate does; `auditor gate --preset NAME`
    prints them."""
    accepted: str = ""
    """The name that the run to compare with was accepted under (`auditor accept RUN --as NAME`); without it, the one
    that was accepted last of the same model and data."""
    relies: Level | None = None
    newly_relies: Level | None = None
    """A reliance that the accepted run has not; without an accepted run every reliance is new."""
    inconclusive: Level | None = None
    not_applicable: Level | None = None
    unaccepted: Level | None = None
    """No run was accepted, and some demand compares with one."""
    demands: tuple[Demand, ...] = ()
    """Further demands, after those of the preset."""


class WaiverConfig(_Section):
    """A demand that is not made of one artefact for some time."""

    artefact: _Name
    target: _Name | None = None
    """Only for this class."""
    owner: _Name
    """Who answers for it."""
    reason: _Name
    expires: date
    """The last day on which it holds, in UTC."""


class Document(_Section):
    model: ModelConfig
    data: DataConfig
    artefacts: tuple[ArtefactConfig, ...] = ()
    methods: dict[str, MethodConfig] = Field(default_factory=dict)
    interventions: InterventionsConfig = InterventionsConfig()
    explain: ExplainConfig = ExplainConfig()
    verdict: VerdictConfig = VerdictConfig()
    audit: AuditSection = AuditSection()
    execution: ExecutionConfig = ExecutionConfig()
    discovery: DiscoveryConfig = DiscoveryConfig()
    report: ReportConfig = ReportConfig()
    gate: GateConfig | None = None
    waivers: tuple[WaiverConfig, ...] = ()
