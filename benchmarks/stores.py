"""What it takes to audit pictures that lie on an object store: memory over time, and requests, bytes and seconds.

    python benchmarks/stores.py [PLOT.svg]

The store is one of this script's: it draws each picture when it is asked for it, and answers after a fixed time. So no
picture is in memory but those that an audit holds. First 1,000 to 50,000 pictures are audited with a model in closed
form, from the store and from a folder, and are read twice and thrown away, each in a process of its own whose memory is
looked at ten times a second. Then one pass over 400 pictures of 64 KiB that are answered after 20 ms, reading ahead and
not, while a model takes 4 ms for each. Without another name, the plot is `docs/pictures/stores.svg`.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
from PIL import Image

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

COUNTS, CLASSES, EACH = (1_000, 5_000, 20_000, 50_000), ("boat", "cat", "dog"), 0.1

PASS, LATENCY, WORK, BYTES = 400, 0.02, 0.004, 64 * 2**10


class Drawn(fsspec.AbstractFileSystem):  # type: ignore[misc]
    """A store of pictures that are drawn when they are asked for."""

    cachable = False
    count = size = requests = given = 0
    latency = 0.0
    lock = threading.Lock()

    def _ask(self) -> None:
        with Drawn.lock:
            Drawn.requests += 1
        time.sleep(Drawn.latency)

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        """A folder, whatever is asked."""
        self._ask()
        return {"name": path, "type": "directory", "size": 0}

    def find(self, path: str, *words: Any, **options: Any) -> dict[str, dict[str, Any]]:
        """All pictures."""
        self._ask()
        names = (name_of(number) for number in range(Drawn.count))
        return {f"pictures/{name}": {"type": "file", "size": len(draw(name))} for name in names}

    def cat_file(self, path: str, *words: Any, **options: Any) -> bytes:
        """One picture."""
        self._ask()
        data = draw(path.partition("pictures/")[2])
        with Drawn.lock:
            Drawn.given += len(data)
        return data


def name_of(number: int) -> str:
    return f"{CLASSES[number % 3]}/{number:06}.png"


def draw(name: str) -> bytes:
    """A picture of 8 x 8 pixels that is bright in the third of its class, with bytes after its end to be as long."""
    number = int(name.partition("/")[2].removesuffix(".png"))
    return _draw(number % 3000) + bytes(max(0, Drawn.size - 200))


@lru_cache(3000)
def _draw(number: int) -> bytes:
    random, left = np.random.default_rng(number), 3 * ((number % 3 - 1) % 3)
    image = random.integers(20, 60, (8, 8))
    image[:, left : left + 3] += random.integers(60, 150)
    file = io.BytesIO()
    Image.fromarray(image.astype(np.uint8)).save(file, "PNG", compress_level=0)
    return file.getvalue()


def held() -> float:
    """MiB that this process has in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def look_on(work: Callable[[], object]) -> None:
    """Do some work; prints what was held beyond what was held before, and what the store was asked."""
    Drawn.requests = Drawn.given = 0
    begun, before, seen, is_over = time.monotonic(), held(), [], threading.Event()

    def look() -> None:
        while not is_over.wait(EACH):
            seen.append((round(time.monotonic() - begun, 1), round(held() - before, 1)))

    looking = threading.Thread(target=look)
    looking.start()
    work()
    is_over.set()
    looking.join()
    print(json.dumps({"seen": seen, "requests": Drawn.requests, "given": Drawn.given}))


def watch(count: int, what: str) -> None:
    """Audit so many pictures from the store or a folder, or read them twice, and look on."""
    from auditor.stores.address import Stored
    from auditor.subject.data.folders import FolderSource
    from tests import small_audits

    settings = {"report": {"formats": ["markdown"]}, "data": {"copies": "keep", "limit": "all"}}
    settings |= {"verdict": {"sequential": False}}
    fsspec.register_implementation("memory", Drawn, clobber=True)
    Drawn.count, Drawn.latency = count, 0.002

    def read() -> None:
        pictures = FolderSource(Stored("memory", "pictures"))
        for _ in range(2):
            for _ in pictures.stream(range(count)):
                pass

    with tempfile.TemporaryDirectory() as scratch:
        small_audits.audit(Path(scratch) / "first")  # what is loaded once
        if what == "read":
            return look_on(read)
        source = "memory://pictures"
        if what == "folder":
            source = f"{scratch}/pictures"
            for number in range(count):
                file = Path(source) / name_of(number)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(draw(name_of(number)))
        said: dict[str, Any] = {"ids": None, "groups": None, "labels": None, "images": source}
        return look_on(lambda: small_audits.audit(Path(scratch) / "all", settings=settings, **said))


def read_once(how: str) -> None:
    """Read the pictures twice in one way, with as much work for each as a model has; prints the cost of both passes."""
    from auditor.stores import ahead
    from auditor.stores.address import Stored
    from auditor.subject.data.folders import FolderSource

    fsspec.register_implementation("memory", Drawn, clobber=True)
    Drawn.count, Drawn.latency, Drawn.size = PASS, LATENCY, BYTES
    if how == "one by one":
        ahead.THREADS = ahead.FILES_AHEAD = 1
    source = FolderSource(Stored("memory", "pictures"))
    for _ in range(2):
        Drawn.requests = Drawn.given = 0
        begun = time.monotonic()
        for _ in source.stream(range(PASS)):
            time.sleep(WORK)  # the model, on another processor
        seconds = time.monotonic() - begun
        print(json.dumps({"seconds": seconds, "requests": Drawn.requests / PASS, "given": Drawn.given / PASS}))


def measure(*words: object) -> list[dict[str, Any]]:
    """What this script prints in a process of its own."""
    command = [sys.executable, __file__, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def most_held(found: dict[str, Any]) -> float:
    """MiB beyond what was held before."""
    return max(value for _, value in found["seen"])


def show(file: Path, found: dict[tuple[int, str], dict[str, Any]]) -> None:
    import matplotlib.pyplot as plt

    plt.rcParams |= {"svg.hashsalt": "stores", "svg.fonttype": "none", "font.size": 9}
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 2.8), layout="constrained")
    for count, colour in zip(COUNTS, ("#bbbbbb", "#c46a2b", "#5fa8c0", "#1f6f8b"), strict=True):
        left.plot(*zip(*found[count, "store"]["seen"], strict=True), color=colour, label=f"{count:,} pictures")
    for what, colour in COLOURS.items():
        counts = COUNTED[what]
        right.plot(counts, [most_held(found[count, what]) for count in counts], "o-", color=colour, label=WATCHED[what])
    left.set_xlabel("seconds")
    right.set_xlabel("pictures")
    for axes, title in ((left, "Audited from a store"), (right, "At the most")):
        axes.set(xlim=(0, None), ylim=(0, 100))
        axes.set_title(title, loc="left", fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="#dddddd", linewidth=0.6)
        axes.legend(frameon=False)
    left.set_ylabel("MiB beyond what it held before")
    figure.savefig(file, metadata={"Date": None})


def main() -> None:
    if sys.argv[1:2] == ["watch"]:
        return watch(int(sys.argv[2]), sys.argv[3])
    if sys.argv[1:2] == ["read"]:
        return read_once(sys.argv[2])
    found = {}
    print("| what | pictures | MiB at the most | KiB a picture | requests a picture | bytes a picture | seconds |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for what, told in WATCHED.items():
        for count in COUNTED[what]:
            (found[count, what],) = measure("watch", count, what)
            seen, asked = found[count, what]["seen"], found[count, what]
            most = most_held(asked)
            rates = "|" if what == "folder" else f"{asked['requests'] / count:.2f} | {asked['given'] / count:.0f}"
            cost = f"{most:.0f} | {1024 * most / count:.1f} | {rates} | {seen[-1][0]:.0f}"
            print(f"| {told} | {count:,} | {cost} |", flush=True)
    for what, counts in COUNTED.items():
        least, most = counts[-2:]
        more = 1024 * (most_held(found[most, what]) - most_held(found[least, what])) / (most - least)
        print(f"\n{WATCHED[what]}: {more:.2f} KiB for each picture from {least:,} to {most:,}")
    show(Path(sys.argv[1]) if sys.argv[1:] else ROOT / "docs" / "pictures" / "stores.svg", found)
    print("\n| reading | pass | seconds | requests a picture | KiB a picture |\n| --- | --- | --- | --- | --- |")
    for how in ("one by one", "ahead"):
        for number, cost in enumerate(measure("read", how), 1):
            told = f"{cost['seconds']:.1f} | {cost['requests']:.2f} | {cost['given'] / 1024:.1f}"
            print(f"| {how} | {number} | {told} |", flush=True)
    return None


WATCHED = {
    "store": "audited from a store",
    "folder": "audited from a folder",
    "read": "read from a store twice",
}
COUNTED = {"store": COUNTS, "folder": COUNTS[1:3], "read": COUNTS[1::2]}
COLOURS = {"store": "#1f6f8b", "folder": "#c46a2b", "read": "#777777"}

if __name__ == "__main__":
    main()
