"""Make the pictures of the report that the documentation shows.

    make pictures

Audits three examples (some minutes), opens the reports in Chromium (light, dark, phone) and turns PDFs into pages.
Needs Debian's `chromium` and `poppler-utils`; set CHROMIUM to another browser's path elsewhere.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs" / "pictures"
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
VIEWS = {
    "light": {"viewport": {"width": 1200, "height": 900}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1200, "height": 900}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "color_scheme": "light"},
}
KEPT = ("light.png", "artefacts.png", "pdf.png")
"""What is kept of the reports that are shown beside the first."""
SECTIONS = ("verdict", "artefacts", "regions", "gallery", "accuracy")


def audit(config: Path, folder: Path) -> Path:
    command = [sys.executable, "-m", "auditor.cli", "audit", str(config), "--output", str(folder), "--quiet"]
    done = subprocess.run(command, cwd=ROOT, check=False)
    if done.returncode not in (0, 1, 4):
        raise SystemExit(done.returncode)
    return next(folder.iterdir())


def shrink(file: Path) -> None:
    """A palette is enough for flat pages, and keeps the repository small."""
    with Image.open(file) as picture:
        picture.convert("RGB").quantize(128, dither=Image.Dither.NONE).save(file, optimize=True)


def photograph(page_file: Path, name: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for view, options in VIEWS.items():
            page = browser.new_context(**options).new_page()
            page.goto(page_file.as_uri())
            target = PICTURES / f"{name}.{view}.png"
            page.screenshot(path=target)
            shrink(target)
        page = browser.new_context(**VIEWS["light"]).new_page()
        page.goto(page_file.as_uri())
        for section in SECTIONS:
            element = page.query_selector(f"#{section}")
            if element is not None:
                target = PICTURES / f"{name}.{section}.png"
                element.screenshot(path=target)
                shrink(target)
        browser.close()


def page_through(pdf: Path, name: str) -> None:
    """All pages of the PDF on one sheet."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["pdftoppm", "-r", "45", "-png", str(pdf), f"{folder}/page"], check=True)
        pages = [Image.open(file).convert("RGB") for file in sorted(Path(folder).glob("page*.png"))]
        across = min(4, len(pages))
        down = -(-len(pages) // across)
        width, height = pages[0].size
        sheet = Image.new("RGB", (across * (width + 8) + 8, down * (height + 8) + 8), "#888")
        for number, picture in enumerate(pages):
            sheet.paste(picture, (8 + number % across * (width + 8), 8 + number // across * (height + 8)))
    target = PICTURES / f"{name}.pdf.png"
    sheet.save(target)
    shrink(target)


def main() -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    for file in PICTURES.glob("*.png"):
        file.unlink()
    with tempfile.TemporaryDirectory() as folder:
        planted = audit(ROOT / "audit.toml", Path(folder) / "planted")
        photograph(planted / "report.html", "report")
        page_through(planted / "report.pdf", "report")
        twin = audit(ROOT / "examples" / "clean_twin" / "audit.toml", Path(folder) / "twin")
        photograph(twin / "report.html", "twin")
        imagenet = audit(ROOT / "examples" / "imagenet_watermark" / "audit.toml", Path(folder) / "imagenet")
        photograph(imagenet / "report.html", "imagenet")
        page_through(imagenet / "report.pdf", "imagenet")
        for file in [*PICTURES.glob("twin.*.png"), *PICTURES.glob("imagenet.*.png")]:
            if file.name.partition(".")[2] not in KEPT:
                file.unlink()


if __name__ == "__main__":
    main()
