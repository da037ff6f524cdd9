"""Make the pictures of the report that the documentation shows.

    make pictures
    python docs/make_pictures.py report several     # only some
    python docs/make_pictures.py --from FOLDER      # of runs that are there already, as FOLDER/NAME/RUN

Audits the examples (half an hour for all), opens the reports in Chromium (light, dark, phone), turns PDFs into
pages, and writes the page that shows them all, `docs/screenshots.md`. Needs what `make setup` installs; set CHROMIUM to
another browser's path elsewhere.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # other packages, too, install one called tests

from auditor.report.comparison import render_comparison  # noqa: E402
from auditor.report.page import SECTIONS  # noqa: E402
from auditor.run.compare import pair_runs  # noqa: E402
from auditor.run.store import SavedRun  # noqa: E402
from tests.small_world import build_world, make_data, make_model  # noqa: E402
from tests.system_tools import find_browser  # noqa: E402
from tests.web import FLAGS  # noqa: E402

PICTURES = ROOT / "docs" / "pictures"
VIEWS = {
    "light": {"viewport": {"width": 1200, "height": 900}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1200, "height": 900}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "color_scheme": "light"},
}
TALLEST = 2600
"""Pixels of a section that are kept; the report goes on."""

REPORTS = {
    "report": ("The root example: a watermark planted on coats", "audit.toml"),
    "twin": ("Its honest twin", "examples/clean_twin/audit.toml"),
    "several": ("Four artefacts on four classes of one model (`auditor lab unmask --several`)", None),
    "imagenet": ("A shortcut that nobody planted", "examples/imagenet_watermark/audit.toml"),
    "errors": ("Errors of an ImageNet model", "examples/imagenet_watermark/errors.toml"),
}
"""What each report is of, and its configuration; the one without is trained first."""

KEPT = {
    "twin": ("light", "artefacts"),
    "several": ("light", "methods_compared", "optima", "counterfactual", "errors"),
    "errors": ("errors", "counterfactual"),
}
"""What is kept of the reports that are not shown whole."""

SEVERAL_RUNS = {
    "checks": "Models in use, checked by themselves",
    "index": "All runs of these models",
    "comparison": "Before and after: the example and its twin",
}
"""The headings of the pages that no single audit makes."""

NOT_SHOWN = ("methods", "skipped", "provenance", "notes", "configuration", "classes", "limits")
"""Sections of text and tables alone."""


def audit(config: str | None, folder: Path) -> Path:
    """The folder of a new run."""
    words = ["audit", config, "--output", str(folder), "--quiet"] if config else ["lab", "unmask", "--several"]
    words += [] if config else ["--output", str(folder / "exercise")]
    done = subprocess.run([sys.executable, "-m", "auditor.cli", *words], cwd=ROOT, check=False)
    if done.returncode not in (0, 1, 4):
        raise SystemExit(done.returncode)
    return only_run(folder)


_UNFOLD_ONLY = """(id) => {
  for (const folded of document.querySelectorAll("details")) folded.open = folded.closest("section")?.id === id;
  return Promise.all([...document.querySelectorAll(`#${id} img`)].map((image) => {
    image.loading = "eager";
    return image.decode();
  }));
}"""
"""Opens one section alone; pictures beside a large page wait until they are looked at."""


def only_run(folder: Path) -> Path:
    return next(folder.rglob("result.json")).parent


def shrink(file: Path) -> None:
    """A palette is enough for flat pages, and keeps the repository small."""
    with Image.open(file) as picture:
        picture.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(file, optimize=True)


def photograph(page_file: Path, name: str) -> None:
    photograph_views(page_file, name)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=FLAGS)
        page = browser.new_context(**VIEWS["light"]).new_page()
        page.set_default_timeout(300_000)  # other work on the machine makes a long page slow to draw
        page.goto(page_file.as_uri())
        for section, _, _ in SECTIONS:
            page.evaluate(_UNFOLD_ONLY, section)  # a page with all of it open takes a minute to draw
            element = page.query_selector(f"#{section}")
            if element is not None and section not in NOT_SHOWN:
                target = PICTURES / f"{name}.{section}.png"
                element.screenshot(path=target)
                with Image.open(target) as picture:
                    picture.crop((0, 0, picture.width, min(TALLEST, picture.height))).save(target)
                shrink(target)
        page.evaluate(_UNFOLD_ONLY, "gallery")
        page.locator("#gallery figure[data-method] .enlarge").first.click()
        page.screenshot(path=PICTURES / f"{name}.viewer.png")
        shrink(PICTURES / f"{name}.viewer.png")
        browser.close()


def run_checks(folder: Path) -> Path:
    """The page of four checks of two models on two data sets, after three nights of which each brought something."""
    world = build_world(folder)
    world.replace('[report]\nformats = ["html"]', '[report]\nformats = ["markdown"]')
    (folder / "model.keras").rename(folder / "pilot.keras")
    (folder / "damaged.keras").write_bytes((folder / "pilot.keras").read_bytes()[:2000])
    for night in range(3):
        make_model(shortcut=night < 2).save(folder / "candidate.keras")
        for number, clinic in enumerate(("north", "south")):
            random = np.random.default_rng(10 * night + number)
            noise = random.integers(-9, 10, make_data(96)["images"].shape)
            world.save_images(
                **make_data(96) | {"images": (make_data(96)["images"] + noise).clip(0, 255).astype("uint8")}
            )
            (folder / "images.npz").rename(folder / f"{clinic}.npz")
        (folder / "checks.toml").write_text(_CHECKS + (_WAIVER if night else ""), encoding="utf-8")
        command = [sys.executable, "-m", "auditor.cli", "check", "checks.toml", "--if-changed"]
        done = subprocess.run(command, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False)
        if done.returncode != 3:  # of the model that is damaged
            raise SystemExit(done.returncode)
    return folder / "reports" / "checks.html"


_CHECKS = """\
models = ["pilot.keras", "candidate.keras", "damaged.keras"]
data = ["north.npz", "south.npz"]

[[checks]]
name = "pilot, by another name"
set = { model.source = "pilot.keras", data.source = "north.npz", "artefacts.0.name" = "tag" }

[schedule]
cron = "0 3 * * *"
"""

_WAIVER = """
[[waivers]]
artefact = "mark"
owner = "Ada"
reason = "the next model is being trained"
expires = 2199-12-31
checks = ["pilot on north", "pilot on south"]
"""


def compare(before: Path, after: Path, file: Path) -> Path:
    """The page that compares two runs."""
    both = SavedRun(before), SavedRun(after)
    names, results = (before.name, after.name), (both[0].result, both[1].result)
    page = render_comparison(names, results, (both[0].arrays, both[1].arrays), None, pair_runs(*both))
    file.write_text(page, encoding="utf-8")
    return file


def photograph_views(page_file: Path, name: str) -> None:
    """The first screen of a page in each of the views."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=FLAGS)
        for view, options in VIEWS.items():
            page = browser.new_context(**options).new_page()
            page.goto(page_file.as_uri())
            target = PICTURES / f"{name}.{view}.png"
            page.screenshot(path=target)
            shrink(target)
        browser.close()


def page_through(pdf: Path, name: str) -> None:
    """All pages of the PDF on one sheet."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["pdftoppm", "-r", "60", "-png", str(pdf), f"{folder}/page"], check=True)
        pages = [Image.open(file).convert("RGB") for file in sorted(Path(folder).glob("page*.png"))]
        across = min(4, len(pages))
        down = -(-len(pages) // across)
        width, height = (max(page.size[side] for page in pages) for side in (0, 1))  # wide tables lie across
        sheet = Image.new("RGB", (across * (width + 8) + 8, down * (height + 8) + 8), "#888")
        for number, picture in enumerate(pages):
            sheet.paste(picture, (8 + number % across * (width + 8), 8 + number // across * (height + 8)))
    target = PICTURES / f"{name}.pdf.png"
    sheet.save(target)
    shrink(target)


def write_page() -> None:
    """The page that shows all pictures there are, by report."""
    titles = {section: title for section, title, _ in SECTIONS}
    titles |= {
        "light": "The first page",
        "dark": "Dark",
        "phone": "On a phone",
        "viewer": "A map in large, beside its image",
    }
    titles |= {"pdf": "Every page of the PDF"}
    parts = ["# What a report looks like\n\nMade by `make pictures`; long sections are cut."]
    for name, heading in [*((name, heading) for name, (heading, _) in REPORTS.items()), *SEVERAL_RUNS.items()]:
        shown = [part for part in titles if (PICTURES / f"{name}.{part}.png").is_file()]
        if shown:
            parts.append(f"## {heading}")
            parts += [
                f"### {titles[part]}\n\n![{heading}: {titles[part]}](pictures/{name}.{part}.png)" for part in shown
            ]
    (ROOT / "docs" / "screenshots.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def main() -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    words = sys.argv[1:]
    runs = Path(words[1]).resolve() if words[:1] == ["--from"] else None
    for name in words[2 if runs else 0 :] or [*REPORTS, "checks", "comparison"]:
        for file in PICTURES.glob(f"{name}.*.png"):
            file.unlink()
        with tempfile.TemporaryDirectory() as folder:
            if name == "checks":
                page = run_checks(Path(folder))
                photograph_views(page, name)
                photograph_views(page.with_name("index.html"), "index")
                continue
            if name == "comparison":
                both = (
                    audit(REPORTS[each][1], Path(folder) / each) if runs is None else only_run(runs / each)
                    for each in ("report", "twin")
                )
                photograph_views(compare(*both, Path(folder) / "comparison.html"), name)
                continue
            run = audit(REPORTS[name][1], Path(folder)) if runs is None else only_run(runs / name)
            photograph(run / "report.html", name)
            page_through(run / "report.pdf", name)
        for file in PICTURES.glob(f"{name}.*.png"):
            if name in KEPT and file.name.split(".")[1] not in KEPT[name]:
                file.unlink()
    write_page()


if __name__ == "__main__":
    main()
