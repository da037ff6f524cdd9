"""How long, how large and how quick to open a report of 200 images is.

    python benchmarks/report.py [IMAGES] [--profile]

Saves a run of that many explained images (200 unless told), with the maps of every method, at 224 × 224 × 3 and again
at 28 × 28 × 1, renders each in a process of its own, and opens the page in Chromium. Wall time begins after the imports
and includes reading the run; the profile shows where it goes.
"""

from __future__ import annotations

import cProfile
import json
import pstats
import re
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from playwright.sync_api import sync_playwright
from scipy.ndimage import gaussian_filter

from auditor.explain.attribution.record import MapName, MapRecord
from auditor.measure.ledger import Rows
from auditor.report.write import write_report
from auditor.run.store import Run, save_run
from tests.synthetic import make_arrays, make_result
from tests.system_tools import find_browser
from tests.web import FLAGS, first_paint, layout_shift

IMAGES, TIMES, MOST_LINES = 200, 3, 45
FRAMES = ((224, 224, 3), (28, 28, 1))
METHODS = {
    MapName("gradient"): 0,
    MapName("smoothgrad"): 1,
    MapName("integrated_gradients", "mean"): 0,
    MapName("integrated_gradients", "blur"): 0,
    MapName("grad_cam", "conv"): 20,
}
"""How smooth the maps of each are, in pixels of a frame of 224."""


def build_run(folder: Path, images: int, frame: tuple[int, int, int]) -> Path:
    """A saved run whose pictures are smooth and whose maps are as rough as real ones."""
    random = np.random.default_rng(0)
    height, width, _ = frame
    result, arrays = make_result(), make_arrays()
    (pattern,) = result.exemplars
    exemplars = []
    for number in range(images):
        name = f"image {number}"
        smooth = gaussian_filter(random.normal(size=frame), (height / 12, width / 12, 0))
        picture = np.clip(128 + 70 * smooth / smooth.std() + random.normal(0, 3, frame), 0, 255).astype(np.uint8)
        without = picture.copy()
        without[: height // 4, : width // 4] = 128
        arrays |= {f"{name} with": picture, f"{name} without": without}
        maps = []
        for method, width_of_blur in METHODS.items():
            key = f"{name} map {method}"
            arrays[key] = make_map(random, frame, width_of_blur * height / 224)
            maps.append(MapRecord(method, key, float(np.abs(arrays[key]).max())))
        exemplars.append(
            replace(pattern, image=name, picture_with=f"{name} with", picture_without=f"{name} without", maps=maps)
        )
    return save_run(Run(replace(result, exemplars=exemplars), Rows(), arrays), folder)


def make_map(random: np.random.Generator, frame: tuple[int, int, int], blur: float) -> np.ndarray[Any, Any]:
    shape = frame if blur < 1 else (*frame[:2], 1)
    envelope = gaussian_filter(random.random(frame[:2]), frame[0] / 12)[..., None]
    values = random.normal(size=shape) * (envelope - envelope.min())
    return gaussian_filter(values, (blur, blur, 0)).astype(np.float32)


def render(run: Path, form: str) -> dict[str, float]:
    """What rendering one format takes; in a process of its own, whose memory is measured."""
    started, worked = time.perf_counter(), time.process_time()
    write_report(run, (form,))
    return {
        "seconds": time.perf_counter() - started,
        "processor": time.process_time() - worked,
        "memory": peak_memory(),
        "tensorflow": float("tensorflow" in sys.modules),
    }


def peak_memory() -> float:
    """Of this process, in MiB; the usual count of resources begins with that of the process that started it."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.findall(r"VmHWM:\s+(\d+) kB", status.read_text())[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def render_apart(run: Path, form: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--render", str(run), form]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def open_page(file: Path) -> tuple[float, float]:
    """Seconds to the first text or picture, the median of several loads, and the shift of the layout."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=FLAGS)
        paints, shifts = [], []
        for _ in range(TIMES):
            page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
            page.goto(file.as_uri())
            paints.append(first_paint(page))
            shifts.append(layout_shift(page))
            page.context.close()
        browser.close()
    return float(np.median(paints)), max(shifts)


def measure(run: Path) -> list[tuple[str, float, str, float | None]]:
    html, pdf = render_apart(run, "html"), render_apart(run, "pdf")
    paint, shift = open_page(run / "report.html") if find_browser() else (float("nan"), float("nan"))
    mib = 2**20
    return [
        ("HTML, wall time", html["seconds"], "s", 5),
        ("HTML, processor time", html["processor"], "s", None),
        ("PDF, wall time", pdf["seconds"], "s", 15),
        ("PDF, processor time", pdf["processor"], "s", None),
        ("peak memory, HTML", html["memory"], "MiB", 400),
        ("peak memory, PDF", pdf["memory"], "MiB", 400),
        ("size of the HTML", (run / "report.html").stat().st_size / mib, "MiB", None),
        ("size of the PDF", (run / "report.pdf").stat().st_size / mib, "MiB", None),
        ("first contentful paint", paint, "s", 1),
        ("cumulative layout shift", shift, "", 0),
        ("TensorFlow imported", max(html["tensorflow"], pdf["tensorflow"]), "", 0),
    ]


def print_table(title: str, rows: list[tuple[str, float, str, float | None]]) -> None:
    print(f"\n{title}\n\n| what | measured | asked | met |\n| --- | ---: | ---: | --- |")
    for what, value, unit, asked in rows:
        wanted = "" if asked is None else f"{asked:g} {unit}".strip()
        met = "" if asked is None else "yes" if value <= asked else "**no**"
        print(f"| {what} | {f'{value:.3g} {unit}'.strip()} | {wanted} | {met} |")


def main() -> None:
    numbers = [int(word) for word in sys.argv[1:] if word.isdigit()]
    images = numbers[0] if numbers else IMAGES
    for frame in FRAMES:
        with tempfile.TemporaryDirectory() as scratch:
            run = build_run(Path(scratch), images, frame)
            size = "{} × {} × {}".format(*frame)
            print_table(f"{images} images of {size}, {len(METHODS)} maps each", measure(run))
            if "--profile" in sys.argv:
                for form in ("html", "pdf"):
                    subprocess.run([sys.executable, __file__, "--profile-one", str(run), form], check=True)


def profile(run: Path, form: str) -> None:
    with cProfile.Profile() as measured:
        render(run, form)
    for order in ("cumulative", "tottime"):
        pstats.Stats(measured).sort_stats(order).print_stats(MOST_LINES)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--render"]:
        print(json.dumps(render(Path(sys.argv[2]), sys.argv[3])))
    elif sys.argv[1:2] == ["--profile-one"]:
        profile(Path(sys.argv[2]), sys.argv[3])
    else:
        main()
