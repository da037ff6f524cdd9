"""An audit of a second, without TensorFlow: a model in closed form, handed in, with maps, a study and a report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import auditor
from auditor.auditing.conduct import AuditedRun
from auditor.run.index import read_runs
from auditor.run.result import result_to_json
from auditor.run.store import SavedRun
from tests.closed_form import LinearClassifier
from tests.small_world import CLASSES, CORNER, PATTERN, SIDE, make_data

TIMES = ("started", "seconds", "work")
"""Of the provenance: all in which two runs of the same audit differ, resumed or not."""


def make_classifier() -> LinearClassifier:
    """It takes a pattern in the corner for a boat."""
    weights = np.zeros((len(CLASSES), SIDE, SIDE, 1), np.float32)
    for number in range(len(CLASSES)):
        weights[number, :5, 3 * number : 3 * number + 3] = 0.3
    weights[(2, *CORNER, 0)] = 4 * (PATTERN - PATTERN.mean())
    return LinearClassifier(weights, np.zeros(len(CLASSES), np.float32), output="softmax")


IS_CUT_SHORT = False
"""Whether the study is interrupted."""


def spread(inquiry: auditor.Inquiry) -> list[auditor.Piece]:
    """How bright are the images?"""
    if IS_CUT_SHORT:
        raise KeyboardInterrupt
    chosen = inquiry.select(inquiry.images.positions[:8])
    values = chosen.images.mean(axis=(1, 2, 3))
    inquiry.note(chosen, values, "brightness")
    inquiry.keep("brightest", (255 * chosen.images[values.argmax()]).astype(np.uint8))
    return [auditor.Answer(f"Their mean is {values.mean():.3f}.")]


def audit(folder: Path, *, model: Any = None, data: dict[str, Any] | None = None, **changes: Any) -> AuditedRun:
    """Run the audit in a folder; its runs lie in `reports` there, and the artefact's picture beside the folder."""
    mark = folder.parent / "mark.png"
    picture = np.full((3, 3, 4), 255, np.uint8)
    picture[..., :3] = (255 * PATTERN[..., None]).astype(np.uint8)
    if not mark.exists():
        Image.fromarray(picture, "RGBA").save(mark)
    data = make_data() | (data or {})
    off = ("smoothgrad", "integrated_gradients", "grad_cam", "trust", "optima", "counterfactual", "errors")
    settings = {"report": {"formats": ["markdown"]}, "explain": {"images": 6, "exemplars": 2}}
    said: dict[str, Any] = {
        "ids": data["ids"],
        "groups": data["groups"],
        "classes": CLASSES,
        "artefacts": [auditor.overlay(mark, position=(5, 5), name="mark", target="boat")],
        "methods": {name: {"enabled": False} for name in off} | {"tests.small_audits:spread": {}},
        "settings": settings,
        "output": folder / "reports",
    }
    said |= {"images": data["images"], "labels": data["labels"]}
    return auditor.audit(model or make_classifier(), **said | changes)


def timeless(run: Path) -> tuple[str, Any, dict[str, bytes]]:
    """All that a run holds but for its times: its result, rows and arrays."""
    saved = SavedRun(run)
    data = json.loads(result_to_json(saved.result))
    for name in TIMES:
        del data["provenance"][name]
    return json.dumps(data), saved.rows.to_pydict(), {name: saved.arrays[name].tobytes() for name in saved.arrays}


def runs(folder: Path) -> list[Path]:
    """The runs of audits in a folder, the newest first."""
    return runs_of(folder / "reports")


def runs_of(reports: Path) -> list[Path]:
    return [reports / entry.id for entry in read_runs(reports).entries] if reports.is_dir() else []
