"""What frozen runs are rendered to is what `tests/golden` says; what is not is named with file, section and values.

`python -m pytest tests/test_golden.py --update-golden` rewrites it; tests/golden/README.md tells how to read it.
"""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from auditor.explain.attribution.record import MapName
from auditor.report.comparison import render_comparison
from auditor.report.exports.formats import export, write_csv
from auditor.report.index_page import INDEX_PAGE, refresh_index
from auditor.report.plots import font_folder
from auditor.report.write import draw_report, render_html
from auditor.run.result import result_to_json
from auditor.run.store import SavedRun, load_result
from tests.golden_forms import (
    Difference,
    compare_forms,
    compare_pictures,
    csv_form,
    describe,
    json_form,
    markdown_form,
    page_form,
    pdf_form,
)
from tests.golden_runs import SCRUBBED, freeze
from tests.synthetic import make_result
from tests.system_tools import find_browser, require
from tests.web import FLAGS, unfold

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / "tests" / "golden"
RUNS = ("complete", "later", "hostile")
PDF_PAGES = (1, 2, 4)
WIDTH, HEIGHT = 800, 1000
"""Of the window that pages are pictured in; a picture shows its first so many pixels."""


def render_report(run: Path) -> str:
    saved = SavedRun(run)
    return render_html(saved.result, saved.arrays, run=run.name, saved=saved.text)


render_frozen = cache(render_report)
"""For runs of `tests/golden`, which no test changes."""


FORMS: dict[str, Callable[[Path], str]] = {
    "report.html": lambda run: page_form((render_frozen if run.is_relative_to(GOLDEN) else render_report)(run)),
    "result.json": lambda run: json_form(result_to_json(load_result(run))),
    "summary.md": lambda run: markdown_form(export(SavedRun(run), "markdown").decode()),
    "junit.xml": lambda run: page_form(export(SavedRun(run), "junit").decode()),
    "sarif.json": lambda run: json_form(export(SavedRun(run), "sarif")),
    "rows.csv": lambda run: csv_form(write_csv(SavedRun(run).rows).decode()),
}
"""What every run is rendered to, as text."""


class Golden:
    """Compares with the files of `tests/golden`, or rewrites them."""

    def __init__(self, *, update: bool) -> None:
        self.update = update

    def check_text(self, name: str, made: str) -> None:
        file = GOLDEN / f"{name}.txt"
        if self.update:
            self._write(file, made.encode())
        tell(compare_forms(name, file.read_text(encoding="utf-8"), made))

    def check_picture(self, name: str, made: bytes) -> None:
        file = GOLDEN / f"{name}.png"
        picture = Image.open(io.BytesIO(made)).convert("RGB")
        if self.update and (not file.exists() or compare_pictures(name, Image.open(file), picture)):
            buffer = io.BytesIO()  # a picture that looks the same stays: its bytes may differ from machine to machine
            picture.save(buffer, "PNG", optimize=True)
            self._write(file, buffer.getvalue())
        tell(compare_pictures(name, Image.open(file), picture))

    def require_maker(self, name: str, version: str) -> None:
        """Skip the test where a library of the system sets and draws that is of another version than what was kept."""
        file = GOLDEN / f"{name}.txt"
        if self.update:
            self._write(file, f"{version}\n".encode())
        made = file.read_text(encoding="utf-8").strip()
        if version != made:
            pytest.skip(f"golden files were made with {name} {made}, this is {version}")

    def _write(self, file: Path, data: bytes) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)


def tell(differences: list[Difference]) -> None:
    """Fail with what differs, and nothing else, if anything does."""
    if differences:
        pytest.fail(describe(differences), pytrace=False)


@pytest.fixture(scope="module")
def golden(request: pytest.FixtureRequest) -> Golden:
    return Golden(update=request.config.getoption("--update-golden"))


@pytest.fixture(scope="module")
def pdf(golden: Golden, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The PDF of the complete run."""
    require("pango", "poppler")
    from weasyprint.text.ffi import pango

    version = pango.pango_version()
    golden.require_maker("pango", f"{version // 10000}.{version // 100 % 100}.{version % 100}")
    run = GOLDEN / "runs" / "complete"
    file = tmp_path_factory.mktemp("pdf") / "report.pdf"
    file.write_bytes(draw_report(SavedRun(run), ("html", "pdf"), "all", name=run.name).files["report.pdf"])
    return file


@pytest.fixture(scope="module")
def browser(golden: Golden) -> Iterator[Browser]:
    require("chromium")
    with sync_playwright() as playwright:
        flags = [*FLAGS, "--font-render-hinting=none", "--disable-lcd-text", "--force-color-profile=srgb"]
        opened = playwright.chromium.launch(executable_path=find_browser(), args=flags)
        golden.require_maker("chromium", opened.version.partition(".")[0])
        yield opened
        opened.close()


def render_page(name: str, folder: Path) -> str:
    runs = [GOLDEN / "runs" / run for run in RUNS]
    if name == "index.html":
        for run in runs:
            shutil.copytree(run, folder / run.name)
            (folder / run.name / "report.html").touch()
        refresh_index(folder)
        return (folder / INDEX_PAGE).read_text(encoding="utf-8")
    if name == "comparison.html":
        results, arrays = [load_result(run) for run in runs[:2]], [SavedRun(run).arrays for run in runs[:2]]
        return render_comparison(("complete", "later"), (results[0], results[1]), (arrays[0], arrays[1]))
    return render_frozen(GOLDEN / "runs" / name.partition("/")[0])


class TestTexts:
    @pytest.mark.parametrize("form", FORMS)
    @pytest.mark.parametrize("run", RUNS)
    def test_a_frozen_run_is_rendered_as_before(self, run: str, form: str, golden: Golden):
        golden.check_text(f"{run}/{form}", FORMS[form](GOLDEN / "runs" / run))

    @pytest.mark.parametrize("name", ["index.html", "comparison.html"])
    def test_a_page_over_several_runs_is_rendered_as_before(self, name: str, golden: Golden, tmp_path: Path):
        golden.check_text(name, page_form(render_page(name, tmp_path)))

    def test_the_pdf_says_what_it_said_before(self, pdf: Path, golden: Golden):
        done = subprocess.run(["pdftotext", "-layout", pdf, "-"], capture_output=True, check=True)
        golden.check_text("complete/report.pdf", pdf_form(done.stdout.decode()))


class TestPictures:
    @pytest.mark.parametrize("page", PDF_PAGES)
    def test_a_page_of_the_pdf_looks_as_before(self, page: int, pdf: Path, golden: Golden):
        number = str(page)
        command = ["pdftoppm", "-r", "50", "-f", number, "-l", number, "-png", str(pdf)]
        golden.check_picture(
            f"complete/report.pdf.{page}", subprocess.run(command, capture_output=True, check=True).stdout
        )

    @pytest.mark.parametrize("place", ["", "gallery", "trust"])
    def test_the_report_looks_as_before(self, place: str, golden: Golden, browser: Browser, tmp_path: Path):
        name = "complete/report.html"
        golden.check_picture(f"{name}.{place}" if place else name, picture(browser, name, tmp_path, place))

    @pytest.mark.parametrize("name", ["index.html", "comparison.html"])
    def test_a_page_over_several_runs_looks_as_before(
        self, name: str, golden: Golden, browser: Browser, tmp_path: Path
    ):
        golden.check_picture(name, picture(browser, name, tmp_path))


def _faces() -> str:
    """Style sheet with the fonts that come with matplotlib, for those of machines differ."""
    return "\n".join(
        f"@font-face {{ font-family: '{family}'; font-weight: {weight}; "
        f"src: url(data:font/ttf;base64,{base64.b64encode((font_folder() / file).read_bytes()).decode()}) }}"
        for file, family, weight in (
            ("DejaVuSans.ttf", "DejaVu Sans", 400),
            ("DejaVuSans-Bold.ttf", "DejaVu Sans", 700),
            ("DejaVuSansMono.ttf", "DejaVu Sans Mono", 400),
        )
    )


def picture(browser: Browser, name: str, folder: Path, place: str = "") -> bytes:
    """The top of a page, or of a section of it, in the fonts that come with matplotlib: those of machines differ."""
    file = folder / "page.html"
    file.write_text(render_page(name, folder), encoding="utf-8")
    context = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT}, bypass_csp=True)  # for these fonts alone
    page = context.new_page()
    page.goto(file.as_uri())
    page.add_style_tag(content=_faces() + _FAMILIES)
    page.evaluate("document.fonts.ready.then(() => null)")
    if place:
        unfold(page)
        page.evaluate("place => document.getElementById(place).scrollIntoView()", place)
    data = page.screenshot(animations="disabled")
    context.close()
    return data


_FAMILIES = """
*, svg text { font-family: 'DejaVu Sans' !important }
code, pre, .hash { font-family: 'DejaVu Sans Mono' !important }
"""


class TestComparison:
    """What is planted is found, and said so that a reader knows where to look."""

    @pytest.fixture
    def planted(self, tmp_path: Path) -> Path:
        return Path(shutil.copytree(GOLDEN / "runs" / "complete", tmp_path / "complete"))

    def find(self, planted: Path, form: str) -> str:
        """What the golden test of a form says of a run, nothing where it passes."""
        try:
            Golden(update=False).check_text(f"complete/{form}", FORMS[form](planted))
        except pytest.fail.Exception as failure:
            return str(failure)
        return ""

    def change(self, planted: Path, change: Callable[[dict[str, Any]], None]) -> None:
        file = planted / "result.json"
        data = json.loads(file.read_text(encoding="utf-8"))
        change(data)
        file.write_text(json.dumps(data), encoding="utf-8")

    def test_a_copy_of_the_run_passes(self, planted):
        assert [self.find(planted, form) for form in FORMS] == [""] * len(FORMS)

    def test_one_other_number_is_named_with_its_section(self, planted):
        def plant(result: dict[str, Any]) -> None:
            result["findings"][0]["measurements"]["theta"]["value"] = 2.375

        self.change(planted, plant)
        said = self.find(planted, "result.json")
        assert "complete/result.json:" in said
        assert "section findings" in said
        assert "old  findings.0.measurements.theta.value = 2.125" in said
        assert "new  findings.0.measurements.theta.value = 2.375" in said
        said = self.find(planted, "report.html")
        assert "complete/report.html:" in said
        assert "section verdict" in said
        assert "+2.1" in said
        assert "+2.4" in said

    def test_one_other_name_of_a_class_is_named_with_its_section(self, planted):
        self.change(planted, lambda result: result["data"]["classes"][1].update(name="hound"))
        said = self.find(planted, "report.html")
        assert "section accuracy\n  old  dog\n  new  hound" in said  # before all that moved in the plot

    def test_one_other_class_of_an_element_is_named_with_its_section(self):
        html = render_page("complete/report.html", GOLDEN)
        changed = html.replace('<figure class="plot"', '<figure class="polt"', 1)
        assert changed != html
        (difference,) = compare_forms("report.html", page_form(html), page_form(changed))
        assert (difference.section, difference.old) == ("seen", '<figure class="plot">')
        assert difference.new == '<figure class="polt">'

    def test_one_block_of_other_pixels_is_named_with_its_section(self, planted):
        arrays = {name: values.copy() for name, values in SavedRun(planted).arrays.items()}
        arrays["with"][2, 3] = 255 - arrays["with"][2, 3]
        stored = {f"a{number}": values for number, values in enumerate(arrays.values())}
        np.savez_compressed(planted / "arrays.npz", names=np.array(list(arrays)), **stored)
        said = self.find(planted, "report.html")
        assert "section verdict" in said
        assert "old  colour 4 of the row: #" in said
        assert "new  colour 4 of the row: #" in said
        assert self.find(planted, "result.json") == ""

    @pytest.mark.parametrize("corner", [(0, 0), (403, 605), (203, 117)])
    def test_a_block_of_other_pixels_in_the_picture_of_a_page_is_placed(self, corner: tuple[int, int]):
        old = Image.open(GOLDEN / "index.html.png").convert("RGB")
        new = old.copy()
        left, top = corner
        old.paste("#ffffff", (left, top, left + 8, top + 8))
        new.paste("#c0c0ff", (left, top, left + 8, top + 8))
        (difference,) = compare_pictures("index.html", old, new)
        assert f"pixels {left // 8 * 8}–" in difference.section
        assert f"{top // 8 * 8}–" in difference.section
        assert difference.old.endswith("#ffffff") or corner != (0, 0)

    def test_letters_smoothed_otherwise_are_the_same_picture(self):
        """A quarter of a pixel is what another rasteriser may move an edge."""
        picture = Image.open(GOLDEN / "complete" / "report.pdf.1.png").convert("RGB")
        moved = picture.transform(
            picture.size, Image.Transform.AFFINE, (1, 0, 0.25, 0, 1, 0), Image.Resampling.BILINEAR
        )
        assert compare_pictures("page 1", picture, moved) == []

    def test_places_in_a_plot_may_differ_by_less_than_is_seen_and_numbers_may_not(self):
        form = '§ verdict\n<path d="M 10.0 20.0">\n+2.12 [1.87, 2.37]\n'
        assert compare_forms("a", form, form.replace("20.0", "20.04")) == []
        assert [found.line for found in compare_forms("a", form, form.replace("20.0", "20.1"))] == [2]
        assert [found.line for found in compare_forms("a", form, form.replace("1.87", "1.88"))] == [3]

    def test_lines_that_come_or_go_are_told_where_they_were(self):
        form = "§ a\none\ntwo\n§ b\nthree\n"
        (gone,) = compare_forms("f", form, form.replace("two\n", ""))
        assert (gone.section, gone.line, gone.old, gone.new) == ("a", 3, "two", "–")
        (come,) = compare_forms("f", form, form + "four\n")
        assert (come.section, come.old, come.new) == ("b", "–", "four")


class TestFolder:
    def test_has_nothing_that_no_test_compares(self):
        found = {str(file.relative_to(GOLDEN)) for file in GOLDEN.rglob("*") if file.is_file()}
        texts = {f"{run}/{form}.txt" for run in RUNS for form in FORMS} | {"index.html.txt", "comparison.html.txt"}
        pictures = {f"complete/report.pdf.{page}.png" for page in PDF_PAGES}
        pictures |= {f"complete/report.html{place}.png" for place in ("", ".gallery", ".trust")}
        pictures |= {"index.html.png", "comparison.html.png"}
        runs = {f"runs/{run}/{file}" for run in RUNS for file in ("result.json", "arrays.npz", "rows.parquet")}
        others = {"README.md", "chromium.txt", "pango.txt", "complete/report.pdf.txt", "root_example.json"}
        assert found == texts | pictures | runs | others
        assert sum((GOLDEN / name).stat().st_size for name in found) < 3_000_000

    def test_runs_of_another_day_and_machine_are_frozen_alike(self):
        result = make_result()
        elsewhere = replace(
            result.provenance, started="2031-01-01T00:00:00+00:00", seconds=9.5, auditor="9.9", python="3.99.0",
            platform="Plan 9", packages={"keras": "99"}, config_file="/home/someone/audit.toml",
        )  # fmt: skip
        model = replace(result.model, source="/home/someone/model.keras")
        assert freeze(replace(result, provenance=elsewhere, model=model)) == freeze(result)
        for part, fixed in SCRUBBED.items():
            assert {name: getattr(getattr(freeze(result), part), name) for name in fixed} == fixed

    def test_is_not_rewritten_in_continuous_integration(self):
        command = [sys.executable, "-m", "pytest", "tests/test_golden.py", "--update-golden", "--collect-only", "-q"]
        done = subprocess.run(command, cwd=ROOT, env=os.environ | {"CI": "true"}, capture_output=True, text=True)
        assert done.returncode == pytest.ExitCode.USAGE_ERROR
        assert "--update-golden: refused where CI is set" in done.stderr


MAIN_FIGURES = GOLDEN / "root_example.json"

TOLERANCE = {
    "log-odds": 0.15, "SD of the score": 0.15, "ratio": 0.15, "difference of ratios": 0.15, "share": 0.03,
    "of it": 0.03, "probability": 0.03, "area under the curve": 0.03,
}  # fmt: skip
"""Absolute, by unit: sums in another order, on another processor, change the choice of single images."""


@pytest.mark.slow
def test_the_root_example_finds_what_it_found(golden: Golden, tmp_path: Path):
    command = [sys.executable, "-m", "auditor.cli", "audit", "audit.toml", "--output", str(tmp_path), "--quiet"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    (file,) = tmp_path.glob("*/result.json")
    made = main_figures(json.loads(file.read_text(encoding="utf-8")))
    if golden.update:
        MAIN_FIGURES.write_text(json.dumps(made, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    old = json.loads(MAIN_FIGURES.read_text(encoding="utf-8"))
    assert made["facts"] == old["facts"]
    assert made["figures"].keys() == old["figures"].keys()
    off = {
        name: f"{was['value']} {was['unit']}, is {made['figures'][name]['value']}"
        for name, was in old["figures"].items()
        if abs(was["value"] - made["figures"][name]["value"]) > TOLERANCE[was["unit"]]
    }
    assert off == {}


def main_figures(result: dict[str, Any]) -> dict[str, Any]:
    """What a reader takes away: verdicts as they are, and the effects, region scores and accuracy behind them."""
    facts, figures = {"exit code": result["exit_code"]}, {"accuracy": result["data"]["accuracy"]}
    for finding in result["findings"]:
        name = f"{finding['artefact']} → {finding['target']}"
        facts[name] = {key: finding[key] for key in ("verdict", "direction", "severity", "basis", "endpoint")}
        figures |= {f"{name}: {key}": measured for key, measured in finding["measurements"].items()}
        figures |= {f"{name}: removal_drop.{key}": measured for key, measured in finding["drops"].items()}
    for scores in result["region_scores"]:
        name = f"{scores['artefact']}, {MapName(**scores['map'])}"
        figures |= {f"{name}: {key}": measured for key, measured in scores["scores"].items()}
    kept = {name: {key: measured[key] for key in ("value", "unit")} for name, measured in figures.items()}
    return {"facts": facts, "figures": {name: kept[name] for name in kept if kept[name]["value"] is not None}}
