"""What an audit takes of memory: by how many images there are, and after how many audits in one process.

    python benchmarks/memory.py [PLOT.svg]

First a model in closed form on images of 8 x 8 pixels, so that what grows with their number is the audit's own, each
number in a process of its own: the most that it took beyond what it took before. Then thirty audits of a small Keras
model in one process: what that holds after each. Without another name, the plot is `docs/pictures/memory.svg`.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

COUNTS, AUDITS = (1_000, 5_000, 10_000, 20_000, 35_000, 50_000), 30


def held() -> float:
    """MiB that this process has in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def audit_images(count: int) -> None:
    """Audit so many images; prints how many MiB more than before it took at the most."""
    from tests import small_audits
    from tests.small_world import make_data

    settings = {"report": {"formats": ["markdown"]}, "data": {"copies": "keep", "limit": "all"}}
    settings |= {"verdict": {"sequential": False}}
    with tempfile.TemporaryDirectory() as scratch:
        small_audits.audit(Path(scratch) / "first")  # what is loaded once
        data, before = make_data(count), held()
        small_audits.audit(Path(scratch) / "all", data=data, settings=settings)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before)


def audit_often(times: int) -> None:
    """Audit a Keras model several times; prints after each how many MiB the process holds."""
    import auditor
    from tests.small_world import build_world

    with tempfile.TemporaryDirectory() as scratch:
        world = build_world(Path(scratch))
        for _ in range(times):
            auditor.audit(world.config)
            print(held(), flush=True)


def measure(*words: object) -> tuple[list[float], str]:
    """Numbers that this script prints in a process of its own, and what it says beside them."""
    command = [sys.executable, __file__, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    return [float(line) for line in done.stdout.split()], done.stderr


def draw(file: Path, most: list[float], after: list[float]) -> None:
    import matplotlib.pyplot as plt

    plt.rcParams |= {"svg.hashsalt": "memory", "svg.fonttype": "none", "font.size": 9}
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 2.8), layout="constrained")
    left.plot(COUNTS, most, "o-", color="#1f6f8b")
    left.set(xlabel="images", ylabel="MiB beyond what it held before", xlim=(0, None), ylim=(0, 400))
    left.set_title("One audit, at the most", loc="left", fontsize=9)
    right.plot(range(1, len(after) + 1), after, "o-", color="#1f6f8b", markersize=3)
    right.set(xlabel="audits of a Keras model in one process", ylabel="MiB held", ylim=(0, 1200))
    right.set_title("After each audit", loc="left", fontsize=9)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    figure.savefig(file, metadata={"Date": None})


def main() -> None:
    if sys.argv[1:2] == ["images"]:
        return audit_images(int(sys.argv[2]))
    if sys.argv[1:2] == ["often"]:
        return audit_often(int(sys.argv[2]))
    most = []
    for count in COUNTS:
        most += measure("images", count)[0]
        print(f"{count} images: {most[-1]:.0f} MiB", flush=True)
    print(f"{(most[-1] - most[0]) / (COUNTS[-1] - COUNTS[0]) * 1024:.1f} KiB for each further image")
    after, said = measure("often", AUDITS)
    print(f"{AUDITS} audits: {after[0]:.0f} MiB after the first, {after[9]:.0f} after ten, {after[-1]:.0f} after all")
    print(f"warnings of retracing: {said.count('retracing')}")
    draw(Path(sys.argv[1]) if sys.argv[1:] else ROOT / "docs" / "pictures" / "memory.svg", most, after)
    return None


if __name__ == "__main__":
    main()
