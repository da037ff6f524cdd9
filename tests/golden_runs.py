"""The saved runs of `tests/golden/runs`: `python -m tests.golden_runs` makes them anew, which nothing else does.

They are frozen, so that a better rule of the verdict does not rewrite them. Only a new schema of `result.json` that
cannot read them is a reason to make them anew.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from auditor.measure.ledger import Arrays, Rows
from auditor.measure.measurement import Note
from auditor.run.files import HASHES
from auditor.run.result import AuditResult
from auditor.run.store import Run, save_run
from tests.synthetic import absent, make_arrays, make_finding, make_result, measure

FOLDER = Path(__file__).parent / "golden" / "runs"

SCRUBBED = {
    "provenance": {
        "started": "2026-01-02T03:04:05+00:00",
        "seconds": 1.5,
        "auditor": "0.1.0",
        "python": "3.11.0",
        "platform": "Linux x86_64",
        "packages": {"keras": "3.0"},
        "config_file": "audit.toml",
    },
    "model": {"source": "model.keras"},
    "data": {"source": "images.npz"},
}
"""Fields that tell of a clock, a version, a path or a host, and what a frozen run has in their place."""

HOSTILE = "<script>alert('1')</script> \" ' & $\\frac{1}{0}$ {{ 7 * 7 }} \u202egnp.exe שלום"


def freeze(result: AuditResult) -> AuditResult:
    """The result without anything that would be different on another day or another machine."""
    return replace(result, **{part: replace(getattr(result, part), **fixed) for part, fixed in SCRUBBED.items()})


def make_runs() -> dict[str, Run]:
    """Everything on; a later run with every verdict and other maps; hostile names and withheld pictures."""
    result, arrays = make_result(), make_arrays()
    (scanned,) = result.findings
    verdicts = [
        replace(scanned, measurements=scanned.measurements | {"theta": measure(3.5)}),
        make_finding("frame", "dog", "no_evidence", measurements={"theta": measure(0.0625)}),
        make_finding("veil", "dog", "inconclusive", measurements={"theta": measure(0.5, 1.5)}),
        make_finding("shadow", "cat", "not_applicable", measurements={"theta": absent("no images")}),
        make_finding("text", "cat", "error", measurements={}, endpoint=None),
    ]
    plain = {"counterfactual": None, "errors": None, "trust": None, "optima": None}
    later = freeze(replace(result, title="A later audit", findings=verdicts, preface="In my own words.", **plain))
    later = replace(later, provenance=replace(later.provenance, started="2026-02-03T04:05:06+00:00"))
    other = arrays | {"with": arrays["without"], "map gradient": -arrays["map gradient"]}

    hostile = make_result(classes=(HOSTILE, "dog"), artefact=HOSTILE, title=HOSTILE, image=f"{HOSTILE}.png")
    config = hostile.provenance.config | {"report": {"title": HOSTILE, "pictures": "none"}}
    hostile = freeze(replace(hostile, warnings=[Note("remark", HOSTILE)], **plain))
    started = "2026-03-04T05:06:07+00:00"
    hostile = replace(hostile, provenance=replace(hostile.provenance, started=started, config=config))
    return {
        "complete": _run(freeze(result), arrays),
        "later": _run(later, other),
        "hostile": _run(hostile, arrays),
    }


def write_runs(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, run in make_runs().items():
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            saved = save_run(run, Path(scratch))
            (saved / HASHES).unlink()
            saved.rename(folder / name)


def _run(result: AuditResult, arrays: Arrays) -> Run:
    rows = Rows()
    random = np.random.default_rng(0)
    for number, finding in enumerate(result.findings):
        names = {"artefact": finding.artefact, "target": finding.target}
        for condition in ("with", "without"):
            value = float(np.round(random.normal(), 4))
            rows.add(image=f"image-{number}", measurement="score", condition=condition, value=value, **names)
    return Run(result, rows, arrays)


if __name__ == "__main__":
    write_runs(FOLDER)
