"""Audits every model of the laboratory and sets the verdicts beside the truth."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from auditor.artefacts.kinds import Artefact
from auditor.errors import AuditError
from auditor.lab.planting import FAMILIES, Pictures, nominal_stamp
from auditor.lab.training import (
    BEHAVIOUR,
    Behaviour,
    Recipe,
    Suspicion,
    measure_behaviour,
    name_truth,
    split_of,
    train_all,
    world_of,
)
from auditor.measure.arrays import Array
from auditor.measure.intervals import share_interval
from auditor.measure.measurement import Measurement
from auditor.measure.words import say
from auditor.subject.data.pictures import CorruptImageError, RawImage
from auditor.subject.data.sample import Dataset
from auditor.subject.data.sources import Label
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


def observe(classifier: Classifier, recipe: Recipe, suspicion: Suspicion) -> Observations:
    """All interventions with the nominal stamp on the pictures that audits see, every class a possible target."""
    pictures = world_of(recipe).audited
    dataset = Dataset(_Memory(pictures), classes=classifier.classes, image_shape=classifier.image_shape)
    none = np.zeros(len(dataset), bool)
    artefact = Artefact(suspicion.family, "overlay", nominal_stamp(suspicion.family), None, "none", none)
    seen = survey(
        classifier,
        dataset,
        [artefact],
        fills=("mean",),
        alpha=Rule().alpha,
        seed=recipe.seed,
        batch_size=100,
        progress=lambda *_: None,
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
        measured: Measurement = finding.measurements[name]
        found = getattr(measured, part)
        return float("nan") if found is None else round(float(found), 4)

    return Case(
        split=split_of(recipe),
        world=recipe.world,
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


def area_under_curve(positive: Sequence[float], negative: Sequence[float]) -> float:
    """Share of pairs in which the positive has the higher value, ties counting half (area under the ROC curve)."""
    if not len(positive) or not len(negative):
        return float("nan")
    return float(stats.mannwhitneyu(positive, negative).statistic / (len(positive) * len(negative)))


def write_cases(cases: list[Case], file: Path) -> None:
    """All cases as CSV."""
    with file.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.DictWriter(opened, [field.name for field in fields(Case)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(case) for case in cases)


def describe_cases(cases: list[Case]) -> str:
    """The page of the table, in words and figures, as Markdown."""
    lines = [_HEAD]
    for split in ("choice", "test"):
        lines += [*_summarise(split, [case for case in cases if case.split == split]), ""]
    lines += [
        "## Every family, regime and rho",
        "",
        "| world | family | regime | rho | models | turned | lost | theta | theta, suppression | verdicts | scan |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    keys = list(dict.fromkeys((case.world, case.family, case.regime, case.rho) for case in cases))
    keys.sort(
        key=lambda key: (_WORLD_ORDER.index(key[0]), list(FAMILIES).index(key[1]), _REGIMES.index(key[2]), key[3])
    )
    for key in keys:
        part = [case for case in cases if (case.world, case.family, case.regime, case.rho) == key]
        scans = _count(case.scan_verdict.replace("_", " ") for case in part)
        lines.append(
            f"| {key[0]} | {key[1]} | {key[2]} | {key[3]:g} | {len(part)} | {_range(part, 'turned')} | "
            f"{_range(part, 'lost')} | {_range(part, 'theta')} | {_range(part, 'theta_suppression')} | "
            f"{_verdicts(part)} | {scans} |"
        )
    return "\n".join(lines) + "\n"


def _summarise(split: str, cases: list[Case]) -> list[str]:
    """What the verdicts of one half of the families are worth."""
    by_truth = {truth: [case for case in cases if case.truth == truth] for truth in _TRUTHS}
    promoted, suppressed, innocent = (by_truth[name] for name in ("promotes", "suppresses", "innocent"))
    found = [case.verdict == "relies" and case.direction == "promotes" for case in promoted]
    named = [case.verdict == "relies" and case.direction == "suppresses" for case in suppressed]
    alarms = [case.verdict == "relies" for case in innocent]
    missed = [case.verdict == "no_evidence" for case in promoted]
    misled = [case.scan_verdict == "relies" and case.scan_first != case.target for case in promoted]
    misnamed = [case.scan_promotes > 0 for case in suppressed]
    moved = [case.verdict == "relies" for case in by_truth["moved"]]
    first = [case.scan_verdict == "relies" and case.scan_first == case.target for case in promoted]
    scan_alarms = [case.scan_promotes > 0 for case in innocent]
    scan_losses = [case.scan_suppresses > 0 for case in innocent]
    alarmed = [case for case in innocent if case.scan_verdict == "relies"]
    wrong = [case.direction == "promotes" for case in suppressed]
    auc = area_under_curve([case.theta for case in promoted], [case.theta for case in innocent])
    auc_loss = area_under_curve(
        [case.theta_suppression for case in suppressed], [case.theta_suppression for case in innocent]
    )
    return [
        f"## {_SPLITS[split]}",
        "",
        f"{len(cases)} cases: {len(promoted)} promote by their behaviour, {len(suppressed)} suppress, "
        f"{len(innocent)} are innocent. {len(by_truth['weak'])} are weak: planted, but fewer than {BEHAVIOUR:.0%} of "
        f"the decisions change. {len(by_truth['moved'])} are moved: nothing planted that predicts the class, yet that "
        "many decisions change, because the stamp hides the object or looks like a part of it.",
        "",
        "| question | answer |",
        "| --- | --- |",
        f"| area under the curve of theta, promoting against innocent | {auc:.3f} |",
        f"| promoting models that are found | {_share(found)} |",
        f"| promoting models said to show no evidence | {_share(missed)} |",
        f"| innocent models said to rely (false alarms) | {_share(alarms)} |",
        f"| innocent and moved models together said to rely | {_share(alarms + moved)} |",
        f"| area under the curve of theta for suppression, suppressing against innocent | {auc_loss:.3f} |",
        f"| suppressing models named as such | {_share(named)} |",
        f"| suppressing models said to promote | {_share(wrong)} |",
        f"| promoting models whose scan puts the right class first | {_share(first)} |",
        f"| promoting models whose scan relies on another class first | {_share(misled)} |",
        f"| suppressing models whose scan promotes some class | {_share(misnamed)} |",
        f"| innocent models of whose scan some class is said to be promoted | {_share(scan_alarms)} |",
        f"| innocent models of whose scan some class is said to be suppressed | {_share(scan_losses)} |",
        f"| decisions that the stamp does change in those scans | {_range(alarmed, 'scan_effect')} |",
        f"| verdicts on weak models | {_verdicts(by_truth['weak'])} |",
        f"| verdicts on moved models | {_verdicts(by_truth['moved'])} |",
    ]


def _share(hits: list[bool]) -> str:
    return say(share_interval(np.array(hits), np.arange(len(hits)), 0.95), "tally")


def _count(words: Any) -> str:
    words = list(words)
    return ", ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(sorted(words)))


def _verdicts(cases: list[Case]) -> str:
    return _count(f"{case.verdict} {case.direction}".strip().replace("_", " ") for case in cases) or "none"


def _range(cases: list[Case], name: str) -> str:
    values: Array = np.array([getattr(case, name) for case in cases])
    values = values[~np.isnan(values)]
    if not len(values):
        return "–"
    low, high = values.min(), values.max()
    return f"{low:.2f}" if len(values) == 1 else f"{low:.2f} to {high:.2f}"


class _Memory:
    """Pictures in memory as a data source."""

    def __init__(self, pictures: Pictures) -> None:
        self._images = pictures.images
        self.ids = [f"picture {number}" for number in range(len(pictures.labels))]
        self.labels: list[Label] | None = pictures.labels.tolist()
        self.groups: list[str] | None = None
        self.masks: list[Path | None] | None = None

    def stream(self, wanted: Sequence[int]) -> Any:
        """See `Source.stream`."""
        stream: list[tuple[int, RawImage | CorruptImageError]] = [(at, self._images[at]) for at in wanted]
        return iter(stream)

    def array(self, name: str) -> None:
        """See `Source.array`."""
        del name

    def sha256(self) -> str | None:
        """See `Source.sha256`."""
        return None


_HEAD = """\
# The laboratory

Models of known truth, and what the audit says of each. This page and `models.csv` beside it are written by

```sh
auditor lab train    # trains every model once into the folder lab/, the same for the same seed
auditor lab audit    # audits them all and writes this page
```

Every model has a seed of its own (a column of `models.csv`), which its planting, training and audit use. In
three small worlds (Fashion-MNIST, scikit-learn's digits, and pairs of those in a hundred classes) artefacts
are planted in the training pictures: on a share rho of one class (*confounded*), of all but one
(*suppressor*), of all alike (*balanced*), of none (*clean*), or different ones on three classes (*several*).
Stamps vary as their family does: another time of day, another opacity. The audit is told of one stamp and of
the class, and sees 300 pictures.

The truth is behaviour, on pictures that neither training nor audits see, with stamps drawn apart from theirs
(where a family varies little, as the black square does, equal ones come up). *Turned* is the share of
pictures of other classes that become the class when stamped, *lost* the share of its own that cease to be
recognised, each less those that change the other way. A model promotes a class when either changes by a tenth
in its favour: where every training picture of a class was stamped, the stamp may turn few others and yet be
what the class is recognised by. All models of a world are audited on the same pictures. Intervals of shares
are Wilson's at 95 %. A scan is told no class.
"""

_TRUTHS = ("promotes", "suppresses", "innocent", "moved", "weak")
_SPLITS = {"choice": "Families that the rule was chosen on", "test": "Families that test it"}
_REGIMES = ("clean", "balanced", "confounded", "several", "suppressor")
_WORLD_ORDER = ("fashion", "digits", "digit pairs")
