"""Audits every model of the laboratory and sets the verdicts beside the truth."""

from __future__ import annotations

import csv
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from auditor.artefacts.kinds import Artefact
from auditor.errors import AuditError
from auditor.lab.judging import area_under_curve
from auditor.lab.networks import NETWORKS
from auditor.lab.planting import FAMILIES, load_world, nominal_stamp
from auditor.lab.training import (
    BEHAVIOUR,
    Behaviour,
    Recipe,
    Suspicion,
    measure_behaviour,
    name_truth,
    split_of,
    train_all,
)
from auditor.measure.intervals import share_interval
from auditor.measure.words import say
from auditor.report.templates import open_templates
from auditor.subject.data.memory import HeldSource
from auditor.subject.data.sample import Dataset
from auditor.subject.model.classifier import Classifier
from auditor.verdict.findings import judge
from auditor.verdict.observations import Observations
from auditor.verdict.record import Finding, Rule
from auditor.verdict.trial import survey


@dataclass(frozen=True)
class Case:
    """One suspicion about one model: what was planted, what the model does, what the audit says."""

    split: str
    world: str
    network: str
    family: str
    regime: str
    rho: float
    target: str
    seed: int
    accuracy: float
    turned: float
    lost: float
    truth: str
    """`promotes`, `suppresses`, `innocent`, `moved` or `weak`: see `name_truth`."""
    verdict: str
    direction: str
    insertion_lift: float
    theta: float
    theta_low: float
    theta_high: float
    theta_suppression: float
    theta_suppression_low: float
    scan_verdict: str
    scan_first: str
    scan_direction: str
    scan_effect: float
    """Share of decisions on the scan's first class that the stamp changes in the direction of the verdict."""
    scan_promotes: int
    scan_suppresses: int

    @property
    def is_found(self) -> bool:
        """Whether it is said to rely in the direction that is true."""
        return self.verdict == "relies" and self.direction == self.truth

    @property
    def is_right_first(self) -> bool:
        """Whether a scan puts the suspected class first."""
        return self.scan_first == self.target


def observe(classifier: Classifier, recipe: Recipe, suspicion: Suspicion) -> Observations:
    """All interventions with the nominal stamp on the pictures that audits see, every class a possible target."""
    pictures = load_world(recipe.world).audited
    source = HeldSource(pictures.images, pictures.labels, ids=[f"picture {at}" for at in range(len(pictures.labels))])
    dataset = Dataset(source, classes=classifier.classes, image_shape=classifier.image_shape)
    none = np.zeros(len(dataset), bool)
    artefact = Artefact(suspicion.family, "overlay", nominal_stamp(suspicion.family), None, "none", none)
    seen = survey(
        classifier,
        dataset,
        [artefact],
        fills=("mean",),
        rule=Rule(),
        seed=recipe.seed,
        batch_size=100,
        progress=lambda *_: None,
        always_beside=True,
    )
    (observed,) = seen.observed
    if isinstance(observed, AuditError):
        raise observed
    return observed


def audit_all(
    folder: Path, only: str = "", told: Callable[[str], None] = lambda sentence: None
) -> Iterator[tuple[int, int, Case]]:
    """A case for every suspicion about every model of the laboratory, with the number of the model and their count."""
    for number, count, recipe, classifier in train_all(folder, only, told):
        for suspicion in recipe.suspicions:
            behaviour = measure_behaviour(classifier, recipe, suspicion.family)
            observed = observe(classifier, recipe, suspicion)
            yield number, count, judge_case(recipe, suspicion, behaviour, observed)


def judge_case(recipe: Recipe, suspicion: Suspicion, behaviour: Behaviour, observed: Observations) -> Case:
    """The verdict on the suspected class, and that of a scan which was told no class."""
    named, scanned = judge(observed, suspicion.target, Rule()), judge(observed, None, Rule())
    planted = recipe.planted(suspicion)
    turned, lost = float(behaviour.turned[suspicion.target]), float(behaviour.lost[suspicion.target])
    first = observed.classes.index(scanned.scanned[0].target)
    effect = behaviour.lost if scanned.direction == "suppresses" else behaviour.turned

    def value(finding: Finding, name: str, part: str = "value") -> float:
        found = getattr(finding.measurements[name], part)
        return float("nan") if found is None else round(float(found), 4)

    return Case(
        split=split_of(recipe),
        world=recipe.world,
        network=recipe.network,
        family=suspicion.family,
        regime=recipe.regime(suspicion) if len(recipe.plants) < 2 else "several",
        rho=0.0 if planted is None else planted.rho,
        target=observed.classes[suspicion.target],
        seed=recipe.seed,
        accuracy=round(behaviour.accuracy, 4),
        turned=round(turned, 4),
        lost=round(lost, 4),
        truth=name_truth(recipe.regime(suspicion), turned, lost),
        verdict=named.verdict,
        direction=named.direction or "",
        insertion_lift=value(named, "insertion_lift"),
        theta=value(named, "theta"),
        theta_low=value(named, "theta", "low"),
        theta_high=value(named, "theta", "high"),
        theta_suppression=value(named, "theta_suppression"),
        theta_suppression_low=value(named, "theta_suppression", "low"),
        scan_verdict=scanned.verdict,
        scan_first=scanned.scanned[0].target,
        scan_direction=scanned.direction or "",
        scan_effect=round(float(effect[first]), 4),
        scan_promotes=sum(entry.direction == "promotes" for entry in scanned.scanned),
        scan_suppresses=sum(entry.direction == "suppresses" for entry in scanned.scanned),
    )


def write_cases(cases: list[Case], file: Path) -> None:
    """All cases as CSV."""
    with file.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.DictWriter(opened, [field.name for field in fields(Case)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(case) for case in cases)


def describe_cases(cases: list[Case]) -> str:
    """The page of the table, in words and figures, as Markdown."""
    order = [("fashion", "digits", "digit pairs"), tuple(FAMILIES), _REGIMES]
    kinds: dict[tuple[str, str, str, float], list[Case]] = defaultdict(list)
    for case in cases:
        kinds[case.world, case.family, case.regime, case.rho].append(case)

    def place(kind: tuple[str, str, str, float]) -> tuple[float, ...]:
        return (*(names.index(name) for names, name in zip(order, kind[:3], strict=True)), kind[3])

    environment = open_templates(autoescape=False)
    environment.filters |= {"share": _share, "tally": _tally, "verdicts": _verdicts, "range": _range}
    return environment.get_template("laboratory.md.j2").render(
        cases=cases,
        splits=_SPLITS,
        least=f"{BEHAVIOUR:.0%}",
        kinds={kind: kinds[kind] for kind in sorted(kinds, key=place)},
        by_truth=lambda some: [[case for case in some if case.truth == truth] for truth in _TRUTHS],
        networks=list(NETWORKS),
        area=lambda name, *sides: area_under_curve(*([getattr(case, name) for case in side] for side in sides)),
    )


def _share(hits: Iterable[Case], cases: list[Case]) -> str:
    every = np.arange(len(cases))
    return say(share_interval(every < len(list(hits)), every, 0.95), "tally")


def _tally(verdicts: Iterable[str]) -> str:
    counts = Counter(verdict.replace("_", " ") for verdict in verdicts)
    return ", ".join(f"{counts[verdict]} {verdict}" for verdict in sorted(counts)) or "none"


def _verdicts(cases: list[Case]) -> str:
    return _tally(f"{case.verdict} {case.direction}".strip() for case in cases)


def _range(cases: Iterable[Case], name: str) -> str:
    values = [value for case in cases if not math.isnan(value := getattr(case, name))]
    ends = [f"{end:.2f}" for end in (min(values), max(values))] if values else ["–"]
    return " to ".join(ends if len(values) > 1 else ends[:1])


_TRUTHS = ("promotes", "suppresses", "innocent", "moved", "weak")
_SPLITS = {"choice": "Families that the rule was chosen on", "test": "Families that test it"}
_REGIMES = ("clean", "balanced", "confounded", "several", "suppressor")
