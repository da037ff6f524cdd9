"""What the main job costs from a cold start, how long `--help` takes, and a verdict alone in a running process.

    python benchmarks/main_job.py

Runs `auditor --help` five times and `auditor audit audit.toml` once, each in a process of its own; prints the median of
the first, and wall time and peak memory of the second. Then, in this process, the interventions and the verdict on the
model of 28 x 28 pixels with 300 images, for a named target and for a scan, the model being loaded already; the first of
either includes the tracing of the model.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))


def run(*words: str) -> float:
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "auditor.cli", *words], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode in (0, 1, 4), done.stderr.decode()
    return time.perf_counter() - started


def time_verdicts(is_scan: bool) -> list[float]:
    """Seconds of two verdicts in this process."""
    from dataclasses import replace

    from auditor.artefacts.kinds import ARTEFACT_KINDS
    from auditor.auditing.opening import open_subject
    from auditor.config.file import read_config
    from auditor.explain.table import METHODS
    from auditor.verdict.findings import judge_all
    from auditor.verdict.record import Rule
    from auditor.verdict.trial import survey

    settings = read_config(ROOT / "audit.toml", ("data.limit=300",), kinds=ARTEFACT_KINDS, methods=METHODS)
    subject = open_subject(settings)
    artefacts = [replace(artefact, target=None) for artefact in subject.artefacts] if is_scan else subject.artefacts
    seconds = []
    for _ in range(2):
        started = time.perf_counter()
        seen = survey(
            subject.classifier,
            subject.dataset,
            artefacts,
            fills=settings.interventions.fills,
            rule=Rule(),
            seed=0,
            batch_size=settings.model.batch_size,
            progress=lambda *_: None,
        )
        judge_all([(observed, artefacts[0].target) for observed in seen.observed], Rule())
        seconds.append(time.perf_counter() - started)
    return seconds


def main() -> None:
    times = [run("--help") for _ in range(5)]
    print(f"auditor --help: median {statistics.median(times):.2f} s")
    with tempfile.TemporaryDirectory() as folder:
        wall = run("audit", "audit.toml", "--output", folder)
    unit = 1024**2 if sys.platform == "darwin" else 1024  # bytes there, kilobytes elsewhere
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / unit
    print(f"auditor audit audit.toml: {wall:.1f} s, peak memory {peak:.0f} MiB")
    for name in ("named target", "scan"):
        seconds = " and ".join(f"{part:.1f} s" for part in time_verdicts(name == "scan"))
        print(f"verdict only, 300 images, {name}: {seconds}")


if __name__ == "__main__":
    main()
