"""Two runs on the same images, made by hand: what each image gave is known, and so is what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from auditor.measure.intervals import mean_interval, share_interval
from auditor.measure.ledger import Rows
from auditor.run.store import Run
from tests.synthetic import make_arrays, make_finding, make_result, without_studies

IMAGES = 120


def noise(seed: int, count: int = IMAGES, spread: float = 1.0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).normal(0, spread, count)


def make_run(
    effect: Sequence[float],
    *,
    verdict: str = "relies",
    turned: Sequence[float] | None = None,
    correct: Sequence[float] | None = None,
    names: Sequence[str] | None = None,
    artefact: str = "tag",
    margin: float = 1.0,
    **changes: Any,
) -> Run:
    """A run with one finding, whose lead over controls is `effect` in each image, and less than its other leads."""
    effect = np.asarray(effect, float)
    count = len(effect)
    names = list(names or [f"image-{number}" for number in range(count)])
    groups = np.array(names)
    turned = np.zeros(count) if turned is None else np.asarray(turned, float)
    correct = np.ones(count) if correct is None else np.asarray(correct, float)
    leads = {"insertion_lift": effect + 2, "control_contrast": effect, "class_contrast": effect + 1}
    measured = {name: mean_interval(values, groups, 0.95) for name, values in leads.items()}
    measured |= {"theta": measured["control_contrast"]}
    measured |= {name: share_interval(turned, groups, 0.95) for name in ("decisions_turned", "flip_rate")}
    measured |= {"worst_group_accuracy": share_interval(correct, groups, 0.95)}
    finding = make_finding(artefact, verdict=verdict, measurements=measured, margin=margin, **changes)
    rows = Rows()
    for name, values in (leads | {"decisions_turned": turned, "flip_rate": turned}).items():
        rows.note(
            values, image=names, group=names, label="dog", artefact=artefact, target="cat", measurement=name,
            condition="inserted",
        )  # fmt: skip
    rows.note(correct, image=names, group=names, measurement="accuracy", condition="as it came")
    for condition in ("as it came", "inserted"):
        rows.note(
            correct, image=names, group=names, label="dog", artefact=artefact, target="cat", measurement="correct",
            condition=condition,
        )  # fmt: skip
    result = without_studies(make_result(findings=[finding]))
    code = {"relies": 1, "no_evidence": 0, "error": 3}.get(verdict, 4)
    data = replace(result.data, accuracy=share_interval(correct, groups, 0.95))
    return Run(replace(result, data=data, exit_code=code), rows, make_arrays())


def with_findings(run: Run, *findings: Any) -> Run:
    return replace(run, result=replace(run.result, findings=list(findings)))
