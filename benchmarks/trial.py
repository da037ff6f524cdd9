"""What it costs to try a model file before it is loaded: in a fork, in a process of trials, and not at all.

    python benchmarks/trial.py

`auditor validate` of the example of this repository, by turns. Medians of processor seconds of the command and of all
that it starts, the dearest way first.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RUNS = 3

COMMAND = """
import sys
from auditor.subject.model import trial
if {elsewhere}:
    trial._has_run = lambda: True
sys.argv = ["auditor", "validate", "audit.toml", *{options}]
from auditor.cli import main
main()
"""

WAYS = {
    "in a process of trials": (True, []),
    "in a fork": (False, []),
    "not at all": (False, ["--set", "model.trust=true"]),
}


def cost(elsewhere: bool, options: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    script = COMMAND.format(elsewhere=elsewhere, options=options)
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=os.environ | {"PYTHONPATH": path}, capture_output=True, check=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(RUNS):
        for way, asked in WAYS.items():
            found[way].append(cost(*asked))
    print("| tried | seconds |\n| --- | --- |")
    for way, seconds in found.items():
        print(f"| {way} | {statistics.median(seconds):.1f} |")


if __name__ == "__main__":
    main()
