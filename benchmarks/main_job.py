"""What the main job costs from a cold start, and how long `--help` takes.

    python benchmarks/main_job.py

Runs `auditor --help` five times and `auditor audit audit.toml` once, each in a process of its own; prints the median of
the first, and wall time and peak memory of the second.
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


def run(*words: str) -> float:
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "auditor.cli", *words], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode in (0, 1, 4), done.stderr.decode()
    return time.perf_counter() - started


def main() -> None:
    times = [run("--help") for _ in range(5)]
    print(f"auditor --help: median {statistics.median(times):.2f} s")
    with tempfile.TemporaryDirectory() as folder:
        seconds = run("audit", "audit.toml", "--output", folder)
    unit = 1024**2 if sys.platform == "darwin" else 1024  # bytes there, kilobytes elsewhere
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / unit
    print(f"auditor audit audit.toml: {seconds:.1f} s, peak memory {peak:.0f} MiB")


if __name__ == "__main__":
    main()
