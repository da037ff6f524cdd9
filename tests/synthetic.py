"""A small audit result made by hand, for tests of what is made from results."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from auditor.artefacts.record import ArtefactRecord
from auditor.explain.attribution.record import Agreement, Exemplar, MapName, MapRecord, MethodRecord, RegionScores
from auditor.explain.counterfactual.record import AdversarialRule, ChangedImage, ChangeSet, CounterfactualRecord
from auditor.explain.errors.record import (
    ContrastExemplar,
    ContrastGroup,
    ContrastIntervention,
    ContrastLikeness,
    ContrastMaps,
    ContrastMending,
    ContrastShare,
    ContrastSuspect,
    ErrorsRecord,
)
from auditor.explain.optima.record import (
    ArtefactMatch,
    ClassOptimum,
    Comparison,
    CurvePoint,
    FeatureOptimum,
    Looks,
    OptimaRecord,
    Optimum,
    RealImage,
    Side,
    Snapshot,
)
from auditor.explain.table import STUDIES
from auditor.explain.trust.record import (
    CascadeStage,
    LiftControl,
    MapLikeness,
    MethodTrust,
    ReadingRecord,
    SaturationRecord,
    ScoredImage,
    TrustCriterion,
    TrustRecord,
    TrustTest,
)
from auditor.measure.measurement import Measurement, Note
from auditor.run.index import Entry, Outcome
from auditor.run.migrate import SCHEMA_VERSION
from auditor.run.provenance import Provenance
from auditor.run.result import AuditResult
from auditor.subject.record import ClassAccuracy, DataRecord, ModelRecord, SkippedImage
from auditor.verdict.record import DosePoint, Finding, Rule, ScannedTarget

FRACTIONS = [0.0, 0.1, 0.5, 1.0]
METHODS = (MapName("gradient"), MapName("grad_cam", "conv"))


def measure(value: float, half: float = 0.25, unit: str = "log-odds", n: int = 120) -> Measurement:
    score = "log-odds" if unit == "log-odds" else None
    return Measurement(value, value - half, value + half, 0.95, n, n, unit, score)


def absent(reason: str) -> Measurement:
    return Measurement(None, None, None, None, 0, 0, "log-odds", "log-odds", reason=reason)


def make_finding(artefact: str = "tag", target: str = "cat", verdict: str = "relies", **changes: Any) -> Finding:
    fields: dict[str, Any] = {
        "artefact": artefact,
        "target": target,
        "verdict": verdict,
        "direction": "promotes" if verdict == "relies" else None,
        "severity": {"relies": "medium", "no_evidence": "none"}.get(verdict),
        "basis": "insertion",
        "endpoint": "theta",
        "reason": f"{artefact} and {target}: a reason in one sentence.",
        "measurements": {
            "theta": measure(2.125),
            "control_contrast": measure(2.125),
            "class_contrast": measure(3.375),
            "insertion_lift": measure(4.625),
            "theta_suppression": absent("no image of the class is free of it"),
            "flip_rate": measure(0.25, 0.05, "share"),
            "accuracy_drop": measure(0.125, 0.05, "share"),
            "removal_drop": measure(1.875),
        },
        "controls": {"scrambled 1": measure(0.375), "flat patch": measure(0.625)},
        "variants": {"mirrored": measure(4.375)},
        "dose_response": [DosePoint(dose, measure(4 * dose)) for dose in (0.05, 0.5, 1.0)],
        "drops": {"mean": measure(-1.875), "blur": measure(1.875)},
        "notes": [Note("untested", "whether it suppresses the target was not tested: no images")],
    }
    return Finding(**(fields | changes))


def make_counterfactual(classes: tuple[str, ...], artefact: str, image: str) -> CounterfactualRecord:
    """One set for every reason, goal and place; only the first has a picture."""
    measured = {name: measure(0.25, 0.125, "share", 16) for name in ("success", "adversarial", "changed pixels")}
    measured |= {
        name: measure(0.375, 0.125, "share", 16) for name in ("high frequencies", "survival", "spread", "block")
    }
    measured |= {name: measure(0.5, 0.125, "range of pixels", 16) for name in ("L1", "L2", "L-infinity", "RMS")}
    shares, leads = {artefact: measure(0.875, 0.0625, "share", 16)}, {artefact: measure(0.5, 0.125, "share", 16)}
    shown = ChangedImage(
        image, classes[1], classes[1], classes[0], classes[0], True, 0.125, False, 0.0625, 1.5, 0.25,
        "with", "without", "difference",
    )  # fmt: skip
    sets = []
    for reason, wanted in (("errors", "the true class"), ("pair", classes[0]), ("away", "it"), ("towards", classes[0])):
        about = artefact if reason in ("away", "towards") else None
        led = f"away from {wanted}" if reason == "away" else f"towards {wanted}"
        aim = ChangeSet(
            reason,
            about,
            led,
            False,
            None,
            16,
            measured,
            shares,
            leads,
            nearness=measure(0.75, 0.125, "ratio", 16),
            shown=[] if sets else [shown],
        )
        sets += [aim, replace(aim, wanted="towards a random class", control=True, leads={}, nearness=None, shown=[])]
        if about:
            gone = {"success": measure(0.0, 0.125, "share", 16), "best margin": measure(-2.5)}
            empty = {name: absent("no change was found") for name in measured}
            sets.append(replace(aim, confined="region", leads={}, shown=[]))
            sets.append(replace(aim, confined="elsewhere", measurements=empty | gone, regions={}, leads={}, shown=[]))
    rule = AdversarialRule(8 / 255, 1 / 255, 0.7, 0.2, 1.0, 0.5, 4)
    notes = [Note("remark", "a note")]
    return CounterfactualRecord(sets, {artefact: 0.0625}, rule, measure(0.125, 0.0625, "share"), 1234, notes)


def make_contrast(
    artefact: str = "tag", classes: tuple[str, ...] = ("cat", "dog"), image: str = "image-1"
) -> ErrorsRecord:
    def share(value: float, n: int = 20) -> Measurement:
        return measure(value, 0.125, "share", n)

    label, predicted = classes[1], classes[0]
    keys = [f"contrast map {what}" for what in ("predicted", "true", "margin")]
    leads = {"over_elsewhere": share(0.625), "over_edges": share(0.5), "over_predicted": share(0.25)}
    lost = {"over_elsewhere": share(-0.375), "over_edges": share(-0.5), "over_predicted": share(0.0)}
    return ErrorsRecord(
        errors=24,
        measured=20,
        share=0.05,
        fills=["mean", "blur"],
        likeness=[
            ContrastLikeness(
                method, measure(0.25, 0.125, "rank correlation"), measure(0.5, 0.125, "SSIM"), share(0.125)
            )
            for method in METHODS
        ],
        regions=[
            ContrastShare(artefact, method, errors, share(0.5), share(0.25), 0.125)
            for method in METHODS
            for errors in ("came", "inserted")
        ],
        interventions=[
            ContrastIntervention(
                artefact=artefact,
                target=predicted,
                removals={"exact": share(0.75)},
                placebos={"exact": share(0.125)},
                removal_lead=share(0.625),
                mended_by_insertion=share(0.25),
                mended_by_controls=share(0.125),
                insertion_lead=share(0.125),
                broken=share(0.375, 80),
                broken_by_controls=share(0.125, 80),
                broken_lead=share(0.25, 80),
                towards={predicted: 30},
                notes=[Note("control", "control 'flat patch' equals the artefact and is left out")],
            )
        ],
        suspects=[
            ContrastSuspect(image, label, predicted, artefact, 4.25, True, False),
            ContrastSuspect("image-2", label, predicted, artefact, 0.5, False, None),
        ],
        groups=[ContrastGroup(label, predicted, 24, measure(1.75), 20, 15)],
        mending=[
            ContrastMending(METHODS[0], share(0.875), measure(3.25), {"mean": share(0.875)}, share(0.25), **leads),
            ContrastMending(METHODS[1], share(0.125), measure(-0.25), {"mean": share(0.125)}, share(0.5), **lost),
            ContrastMending(MapName("random pixels"), share(0.25), measure(0.125), {"mean": share(0.25)}),
            ContrastMending(MapName("edges"), share(0.375), measure(0.25), {"mean": share(0.375)}),
        ],
        exemplars=[
            ContrastExemplar(image, label, predicted, 1.5, "with", inserted, [ContrastMaps(METHODS[0], *keys)])
            for inserted in (None, artefact)
        ],
        notes=[Note("left out", "4 errors are left out")],
    )


def make_trust(artefact: str) -> TrustRecord:
    """The gradient passes, the other method fails."""
    criteria = [
        TrustCriterion("randomised weights", "does it change?", "Spearman", 0.5, 0.5, "low", True),
        TrustCriterion("order", "does it rank?", "log-odds", 0.0, 0.5, "high", True),
        TrustCriterion("edge filter", "does it beat edges?", "log-odds", 0.0, 0.5, "high", False),
        TrustCriterion("completeness", "does it add up?", "residual", 0.1, 0.1, "low", False),
    ]
    methods = []
    for method, kept, status in ((METHODS[0], 0.125, "passed"), (METHODS[1], 0.875, "failed")):
        tests = [
            TrustTest("randomised weights", status, measure(kept, 0.1, "correlation", 16)),
            TrustTest("order", "passed", measure(1.5, n=16)),
            TrustTest("edge filter", "open", measure(0.1, n=16)),
            TrustTest("completeness", "not_applicable", None, "such maps add up to nothing"),
        ]
        likeness = measure(kept, 0.1, "correlation", 16)
        stages = [
            CascadeStage(layer, layers, likeness, likeness, likeness, f"map {method}")
            for layers, layer in enumerate(("head", "conv"), 1)
        ]
        readings = [_make_reading("absolute", None)]
        if status == "passed":
            readings += [_make_reading("signed", measure(-2.5, n=16)), _make_reading("smoothed", measure(0.1, n=16))]
        methods.append(
            MethodTrust(
                map=method,
                status=status,
                reason=f"{status}: a reason",
                images=16,
                is_costly=False,
                best_reading="absolute",
                tests=tests,
                cascade=stages,
                readings=readings,
                lifts=[LiftControl(artefact, measure(2.5, unit="ratio"), measure(1.5, unit="difference of ratios"))],
                trained_map=f"map {method}",
            )
        )
    return TrustRecord(
        images=16,
        with_artefact=8,
        draws=1,
        noise=0.01,
        cell=1,
        fractions=FRACTIONS,
        criteria=criteria,
        why_not_randomised=None,
        methods=methods,
        controls=[_make_reading("random order", None), _make_reading("edge filter", None)],
        likenesses=[MapLikeness(*METHODS, measure(0.3, 0.1, "correlation", 16))],
        picture="with",
        pictured="image-1, for cat",
        saturation=SaturationRecord(
            sure=0.99,
            saturated=measure(0.5, 0.25, "share", 16),
            fainter=measure(48.0, 16.0, "ratio", 16),
            likeness=measure(0.75, 0.125, "correlation", 16),
            lifts={"logit": measure(3.0, unit="ratio", n=8), "probability": measure(2.0, unit="ratio", n=8)},
            shown=[
                ScoredImage(
                    "image-1",
                    "cat",
                    0.9995,
                    "with",
                    dict.fromkeys(("logit", "log-odds", "probability"), "map gradient"),
                )
            ],
        ),
    )


def _make_reading(name: str, over_absolute: Measurement | None) -> ReadingRecord:
    return ReadingRecord(
        reading=name,
        gains={kind: measure(1.5, n=16) for kind in ("deletion", "insertion", "together")},
        over_absolute=over_absolute,
        over_edges=measure(0.1, n=16),
        fills={"mean": measure(1.5, n=16), "blur": measure(1.5, n=16)},
        likeness=measure(0.9, 0.05, "correlation", 16),
        lift=measure(2.5, unit="ratio", n=8),
        deletion=[measure(-share, n=16) for share in FRACTIONS],
        insertion=[measure(share, n=16) for share in FRACTIONS],
    )


def make_activation(classes: tuple[str, ...], artefact: str, image: str) -> OptimaRecord:
    real = [
        RealImage(image, classes[1], classes[0], "with", 4.25),
        RealImage(f"{image}-2", None, "none", "without", 3.5),
    ]
    optimum = Optimum("optimum", 21.5, 0.875, classes[0])

    def side(name: str) -> Side:
        share, ratio = measure(0.75, 0.125, "share"), measure(1.5, 0.25, "ratio")
        return Side(name, "optimum", measure(9.5, unit="logit"), measure(7.5), share, ratio, ratio, share)

    def entry(name: str) -> ClassOptimum:
        curve = [CurvePoint(step, measure(3.0 * place, 0.5, "objective")) for place, step in enumerate((0, 10, 50, 64))]
        snapshots = [Snapshot(step, "optimum", float(step)) for step in (0, 10, 64)]
        share = measure(0.75, 0.125, "share")
        return ClassOptimum(name, f"target of {artefact}", optimum, measure(8.5), share, snapshots, curve, real)

    sides = {"start": ("noise", "image"), "objective": ("logit", "probability"), "regularisation": ("noise", "bare")}
    lead = measure(0.25, 0.125, "difference of correlations", 8)
    leads = dict.fromkeys(("over_classes", "over_placebos", "over_both", "over_next"), lead)
    shares = dict.fromkeys(("own_place", "own_place_others"), measure(0.5, 0.25, "share", 8))
    found = dict.fromkeys(("correlation", "here", "here_others"), measure(0.625, 0.125, "correlation", 8))
    correlation = found["correlation"]
    return OptimaRecord(
        steps=64,
        restarts=8,
        objective="logit",
        start="noise",
        recipe="frequencies of decorrelated colours, kept valid by a sigmoid",
        sampled=120,
        classes=[entry(name) for name in classes],
        looks=Looks(
            measure(2.5, 0.5, "ratio", 2),
            measure(1.0, 0.5, "ratio", 2),
            measure(0.125, 0.0625, "difference per pixel"),
            measure(0.0625, 0.03125, "share"),
            measure(0.875, 0.0625, "share", 16),
            measure(0.75, 0.125, "share", 2),
            measure(0.5, 0.125, "correlation", 2),
        ),
        comparisons=[
            Comparison(
                topic,  # type: ignore[arg-type]
                classes[0],
                "without" if topic == "start" else None,
                *(side(name) for name in names),
                measure(-2.25),
                measure(0.375, 0.125, "correlation", 2),
            )
            for topic, names in sides.items()
        ],
        features=[
            FeatureOptimum(
                f"{artefact} in conv", "direction", artefact, [optimum], real, *[measure(1.5, unit="feature")] * 3
            ),
            FeatureOptimum(
                "conv:3", "channel", None, [optimum, optimum], real, *[measure(1.5, unit="feature")] * 2, None
            ),
        ],
        matches=[
            ArtefactMatch(
                artefact,
                classes[0],
                "ok",
                None,
                "artefact",
                "optimum",
                found | leads | shares,
                dict.fromkeys(classes, correlation),
                {"scrambled": correlation},
            ),
            ArtefactMatch("light", None, "not_applicable", "it covers the whole frame"),
        ],
        notes=[Note("direction", f"the direction of {artefact} was optimised on one image")],
    )


def without_studies(result: AuditResult) -> AuditResult:
    """The same with the studies left out, which makes a report that is drawn far sooner."""
    return replace(result, **dict.fromkeys(STUDIES))


def make_result(
    *,
    classes: tuple[str, ...] = ("cat", "dog"),
    artefact: str = "tag",
    title: str = "A synthetic audit",
    findings: list[Finding] | None = None,
    image: str = "image-1",
) -> AuditResult:
    if findings is None:
        scanned = [
            ScannedTarget(classes[0], "relies", "promotes", measure(2.125)),
            ScannedTarget(classes[1], "inconclusive", None, measure(0.375)),
        ]
        findings = [make_finding(artefact, classes[0], scanned=scanned)]
    scores = {
        "relevance mass": measure(0.2, 0.05, "share"),
        "relevance rank": measure(0.3, 0.05, "share"),
        "lift": measure(2.5, 0.5, "ratio"),
        "excess lift": measure(1.5, 0.5, "difference of ratios"),
        "pixel AUC": measure(0.7, 0.05, "probability"),
        "placement percentile": measure(0.9, 0.05, "share"),
    }
    exemplar = Exemplar(
        image=image,
        label=classes[1],
        predicted=classes[1],
        artefact=artefact,
        target=classes[0],
        carrier=False,
        score_with=1.5,
        score_without=-2.5,
        predicted_with=classes[0],
        predicted_without=classes[1],
        picture_with="with",
        picture_without="without",
        removal=None,
        maps=[MapRecord(method, f"map {method}", 1.0) for method in METHODS],
    )
    config = {"verdict": {"margin": 0.5, "alpha": 0.05, "min_groups": 12}, "report": {"title": title}}
    return AuditResult(
        schema_version=SCHEMA_VERSION,
        title=title,
        calibrated=False,
        rule=Rule(),
        exit_code=1,
        findings=findings,
        artefacts=[ArtefactRecord(artefact, "overlay", classes[0], "none", 0, 0.05, (1, 2, 6, 5), 0.5, "artefact")],
        region_scores=[RegionScores(artefact, classes[0], method, scores) for method in METHODS],
        methods=[
            MethodRecord("gradient", "ok", None, {}, "Derivative of the score.", "Simonyan (2014)."),
            MethodRecord("smoothgrad", "off", "switched off", {"noise": 0.15}, "Mean gradient.", "Smilkov (2017)."),
        ],
        agreement=[
            Agreement("gradient", "ok", None, measure(0.999, 0.0005, "correlation"), 1e-6),
            Agreement("grad_cam", "not_applicable", "the model has no feature maps", None, None),
        ],
        exemplars=[exemplar],
        model=ModelRecord(
            source="model.keras",
            sha256="0" * 64,
            structure="functional",
            classes=list(classes),
            image_shape=(8, 8, 1),
            input_range=(0.0, 255.0),
            preprocessing="pixels in [0, 255]",
            head="the softmax is taken off",
            output="softmax",
            score="logit",
            parameters=100,
            feature_layers=["conv"],
        ),
        data=DataRecord(
            source="images.npz",
            sha256="1" * 64,
            available=200,
            sampled=121,
            used=120,
            groups=120,
            labelled=True,
            skipped=[SkippedImage("broken.png", "not a readable picture")],
            accuracy=measure(0.9, 0.05, "share"),
            classes=[ClassAccuracy(name, 60, 60, measure(0.9, 0.05, "share", 60)) for name in classes],
            mean_image="mean",
        ),
        warnings=[Note("calibration", "Not calibrated: nothing was tested.")],
        provenance=Provenance(
            started="2026-01-02T03:04:05+00:00",
            seconds=1.5,
            auditor="0.1.0",
            python="3.11.0",
            platform="Linux x86_64",
            packages={"keras": "3.0"},
            seed=0,
            config_file="audit.toml",
            config=config,
        ),
        counterfactual=make_counterfactual(classes, artefact, image),
        errors=make_contrast(artefact, classes, image),
        trust=make_trust(artefact),
        optima=make_activation(classes[:12], artefact, image),
        made_up=["artefact", "optimum"],
    )


def make_arrays() -> dict[str, npt.NDArray[Any]]:
    random = np.random.default_rng(0)
    pictures = {
        name: random.integers(0, 256, (8, 8, 1)).astype(np.uint8)
        for name in ("with", "without", "artefact", "mean", "optimum")
    }
    maps = [*(f"map {name}" for name in METHODS), "difference"]
    maps += [f"contrast map {what}" for what in ("predicted", "true", "margin")]
    return pictures | {name: random.normal(size=(8, 8, 1)).astype(np.float32) for name in maps}


def make_history(count: int, *, size: int = 1) -> list[Entry]:
    """Lines of an index: audits of three models on two sets of data, a day apart, whose effects come and go."""
    random = np.random.default_rng(0)
    entries = []
    for number in range(count):
        day = datetime(2026, 1, 1, 3, 4, 5, tzinfo=UTC) + timedelta(hours=7 * number)
        outcomes = []
        for artefact, target in (("watermark", "cat"), ("white frame", "dog"), ("hospital tag", None)):
            value = 2 * float(np.sin(number / 9 + len(artefact))) + float(random.normal(0, 0.1))
            verdict = "relies" if value > 0.9 else "no_evidence" if value < 0.1 else "inconclusive"
            outcomes.append(
                Outcome(
                    artefact=artefact,
                    target=target,
                    scanned=target is None,
                    verdict=verdict,
                    direction="promotes" if verdict == "relies" else None,
                    severity="medium" if verdict == "relies" else "none",
                    endpoint="theta",
                    value=value,
                    low=value - 0.4,
                    high=value + 0.4,
                    n=120,
                    unit="log-odds",
                    margin=0.5,
                )
            )
        entries.append(
            Entry(
                id=f"{day:%Y%m%dT%H%M%S}-{number:08x}",
                started=day.isoformat(),
                title=f"audit {number}",
                model=f"models/network {number % 3}.keras",
                model_sha256=f"{number // 30:064x}",
                data=f"data/images {number % 2}.npz",
                data_sha256="1" * 64,
                exit_code=1 if any(outcome.verdict == "relies" for outcome in outcomes) else 0,
                outcomes=outcomes,
                size=size,
            )
        )
    return entries


def replace_weasyprint(monkeypatch: Any, folder: Path, code: str) -> None:
    """Have the process that draws PDFs import this module in the place of WeasyPrint."""
    folder.mkdir(exist_ok=True)
    (folder / "weasyprint.py").write_text(code)
    monkeypatch.syspath_prepend(folder)
