"""How long `auditor check --if-changed` takes where nothing changed: twenty checks, and folders of many pictures.

    python benchmarks/checks.py

Each is a whole process, the best of five: seconds on the clock, and of the processor. The runs are made up.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from auditor.auditing.checks.check import run_checks
from auditor.auditing.checks.child import Ending
from auditor.config.checks import read_checks
from auditor.measure.ledger import Rows
from auditor.report.index_page import refresh_index
from auditor.run.store import Run, save_run
from tests.synthetic import make_finding, make_result, without_studies

ROOT = Path(__file__).resolve().parents[1]
CHECKS, REPEATS = 20, 5
PICTURES = (0, 1_000, 10_000)
"""In the folder of data that all checks share."""

AUDIT = """\
[model]
source = "model.keras"

[data]
source = "pictures"
"""


def build(folder: Path, pictures: int) -> None:
    """Twenty checks that have been run."""
    names = [f"{number}.keras" for number in range(CHECKS)]
    (folder / "audit.toml").write_text(AUDIT)
    (folder / "checks.toml").write_text(f"models = {json.dumps(names)}\n")
    (folder / "pictures").mkdir()
    for name in [*names, *(f"pictures/{number}.png" for number in range(pictures))]:
        (folder / name).write_bytes(name.encode())
    time.sleep(3)  # what was written just now is read again the next time, too
    result = replace(without_studies(make_result(findings=[make_finding(verdict="no_evidence")])), exit_code=0)

    def audit(words: list[str], at: Path, limit: float) -> Ending:
        run = save_run(Run(result, Rows(), {}), folder / "reports")
        return Ending(0, f"result.json: {run / 'result.json'}\n", "")

    run_checks(read_checks(folder / "checks.toml"), audit=audit)
    refresh_index(folder / "reports")  # as every audit does


def measure(folder: Path, *words: str) -> str:
    """The best of some runs of the command."""
    command = [sys.executable, "-m", "auditor.cli", *words]
    walls, processors = [], []
    for _ in range(REPEATS):
        begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, cwd=folder, check=True, capture_output=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        walls.append(time.perf_counter() - begun)
        processors.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return f"{min(walls):8.2f} {min(processors):10.2f}"


def main() -> None:
    print(f"{CHECKS} checks, nothing changed           clock  processor")
    for pictures in PICTURES:
        with tempfile.TemporaryDirectory() as made:
            folder = Path(made)
            build(folder, pictures)
            if not pictures:
                print(f"  auditor --version               {measure(folder, '--version')}")
            print(f"  {pictures:6,} pictures in their data  {measure(folder, 'check', '--if-changed')}", flush=True)


if __name__ == "__main__":
    main()
