"""A report is a pure function of a result and its arrays: whole, escaped, the same twice, made without TensorFlow."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pypdf
import pytest
from PIL import Image

from auditor.errors import ReportError
from auditor.measure.ledger import Rows
from auditor.report.fonts import describe_missing
from auditor.report.packing import Album
from auditor.report.page import SECTIONS
from auditor.report.pdf import Pdf
from auditor.report.pictures import choose_factor, difference_uri, heat_layer, picture_uri
from auditor.report.words import named
from auditor.report.write import render_html, write_report
from auditor.run.files import FORMATS
from auditor.run.result import result_to_json
from auditor.run.store import Run, load_result, save_run
from tests.small_world import unwritable
from tests.synthetic import absent, make_arrays, make_finding, make_result, replace_weasyprint, without_studies
from tests.system_tools import require

HOSTILE = "<script>alert('1')</script> \" ' & $\\frac{1}{0}$ {{ 7 * 7 }} \u202egnp.exe"


class Page(HTMLParser):
    """Elements, text and attributes of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.ids: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def html() -> str:
    return render_html(make_result(), make_arrays(), run="run-1")


@pytest.fixture
def run(tmp_path) -> Path:
    return save_run(Run(make_result(), Rows(), make_arrays()), tmp_path)


class TestPage:
    def test_has_every_section_and_a_link_to_it(self, html):
        page = Page(html)
        for identifier, title, _ in SECTIONS:
            assert identifier in page.ids
            assert ("a", "href", f"#{identifier}") in page.attributes
            assert title in page.text

    def test_is_the_same_twice(self, html):
        assert render_html(make_result(), make_arrays(), run="run-1") == html

    def test_shows_every_measurement(self, html):
        text = Page(html).text.replace("\N{MINUS SIGN}", "-")
        finding = make_result().findings[0]
        everything = {**finding.measurements, **finding.controls, **finding.variants}
        for name, measured in everything.items():
            if measured.value is None:
                continue
            shown = named(name, measured).value.replace("\N{MINUS SIGN}", "-")
            assert shown in text, name

    def test_gives_the_reason_where_there_is_no_number(self, html):
        assert "no image of the class is free of it" in Page(html).text

    def test_has_no_style_but_the_one_that_its_policy_names(self, html):
        page = Page(html)
        assert not [tag for tag, name, _ in page.attributes if name == "style"]
        (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', html)
        for tag in ("style", "script"):
            (text,) = re.findall(rf"<{tag}[^>]*>(.*?)</{tag}>", html, re.DOTALL)
            digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            assert f"{tag}-src 'sha256-{digest}'" in policy.replace("&#39;", "'")
        assert "unsafe" not in policy

    def test_has_no_two_elements_of_one_id(self, html):
        ids = Page(html).ids
        assert len(ids) == len(set(ids))

    def test_asks_for_nothing_from_elsewhere_and_runs_nothing_but_our_own(self, html):
        page = Page(html)
        assert page.tags.count("script") == 1  # our own, which the policy names
        for tag, name, value in page.attributes:
            assert not name.startswith("on"), (tag, name)
            if name in ("src", "href", "xlink:href", "data", "action"):
                assert value.startswith(("#", "data:image/", "result.json#/")), (tag, value[:60])
        assert "default-src 'none'" in html

    def test_every_picture_says_what_it_shows(self, html):
        pictures = re.findall(r"<img [^>]*>", html)
        assert pictures
        assert all(re.search(r'alt="[^"]+"', picture) for picture in pictures)

    def test_never_calls_a_model_clean(self):
        finding = make_finding(verdict="no_evidence")
        text = Page(render_html(make_result(findings=[finding]), make_arrays())).text.lower()
        assert "no evidence above the margin" in text
        assert not re.search(r"\bclean\b|\bsafe\b", text)

    def test_says_that_thresholds_are_not_calibrated(self, html):
        assert "Not calibrated" in Page(html).text

    @pytest.mark.parametrize("verdict", ["relies", "no_evidence", "inconclusive", "not_applicable", "error"])
    def test_shows_every_verdict_even_without_measurements(self, verdict):
        bare = make_finding(
            verdict=verdict,
            measurements={},
            controls={},
            variants={},
            dose_response=[],
            basis=None,
            endpoint=None,
            target=None,
        )
        page = Page(render_html(make_result(findings=[bare]), make_arrays()))
        assert ("article", "class", f"card {verdict}") in page.attributes

    def test_shows_measurements_that_are_all_missing(self):
        names = ("theta", "insertion_lift", "flip_rate", "removal_drop")
        finding = make_finding(measurements={name: absent("nothing to see") for name in names})
        assert "nothing to see" in Page(render_html(make_result(findings=[finding]), make_arrays())).text

    def test_without_findings_says_that_nothing_was_decided(self):
        assert "there is no verdict" in Page(render_html(make_result(findings=[]), make_arrays())).text

    def test_cuts_long_tables_and_says_so(self):
        classes = tuple(f"class {number}" for number in range(1000))
        html = render_html(make_result(classes=classes), make_arrays())
        assert "960 more classes" in Page(html).text
        assert len(html) < 2_000_000

    def test_shows_hostile_names_as_plain_text(self):
        result = make_result(classes=(HOSTILE, "dog"), artefact=HOSTILE, title=HOSTILE, image=HOSTILE)
        page = Page(render_html(result, make_arrays()))
        assert page.tags.count("script") == 1  # our own, which the policy names
        assert HOSTILE.replace("\u202e", "[U+202E]") in page.text
        assert "{{ 7 * 7 }}" in page.text

    def test_names_the_array_that_is_missing(self):
        arrays = make_arrays()
        del arrays["with"]
        with pytest.raises(ReportError, match="'with' is missing"):
            render_html(make_result(), arrays)


class TestFigures:
    def test_a_heat_layer_is_as_opaque_as_the_map_is_strong(self):
        values = np.zeros((200, 200, 1), np.float32)
        values[0, 0], values[0, 1] = 2.0, -1.0
        layer = heat_layer(values)
        assert layer.is_signed
        assert not layer.is_zero
        pixels = _decode(layer.uri)
        assert pixels[0, 0, 3] > pixels[0, 1, 3] > pixels[5, 5, 3] == 0
        assert pixels[0, 0, 0] > pixels[0, 0, 2]
        assert pixels[0, 1, 2] > pixels[0, 1, 0]

    def test_a_map_that_is_zero_is_said_to_be(self):
        layer = heat_layer(np.zeros((8, 8, 1), np.float32))
        assert layer.is_zero
        assert (_decode(layer.uri)[..., 3] == 0).all()

    def test_an_outline_leaves_the_map_as_it_is_and_on_paper_is_drawn_around_its_box(self):
        values = np.random.default_rng(0).normal(size=(200, 200, 1)).astype(np.float32)
        plain, outlined = (heat_layer(values, outline=box) for box in (None, (20, 40, 60, 90)))
        assert plain.uri == outlined.uri
        assert plain.outline is None
        assert outlined.outline == (10, 20, 20, 25)  # left, top, width and height in percent
        album = Album({"image": np.full((200, 200, 3), 255, np.uint8), "map": values})
        under = album.picture("image")
        layers = [heat_layer(values, put=album.put, outline=box) for box in (None, (20, 40, 60, 90))]
        flat = [album.files[album.flatten(under, layer).removeprefix(album.mark)] for layer in layers]
        without, with_it = (np.asarray(Image.open(io.BytesIO(data)), np.int64) for data in flat)
        is_changed = np.abs(without - with_it).max(axis=-1) > 60
        inside = np.zeros((200, 200), bool)
        inside[38:92, 18:62] = True  # JPEG spreads a line by a pixel or two
        inside[44:86, 24:56] = False
        assert is_changed[inside].any()
        assert not is_changed[~inside].any()
        assert (with_it[40:90, 20].max(axis=-1) < 90).all()

    def test_a_map_on_a_scale_of_others_is_paler_and_zero_only_where_it_is(self):
        values = np.random.default_rng(0).normal(size=(64, 64, 1)).astype(np.float32)
        own, shared = heat_layer(values), heat_layer(values, 10 * heat_layer(values).scale)
        assert _decode(shared.uri)[..., 3].mean() < _decode(own.uri)[..., 3].mean() / 2
        assert not shared.is_zero
        assert heat_layer(0 * values, 1.0).is_zero

    @pytest.mark.parametrize(("largest", "factor"), [
        (1.0, 0.5), (0.51, 0.5), (0.5, 1), (0.24, 2), (0.1, 5), (0.09, 5), (0.01, 50), (0.0, 1), (1e-9, 5000),
    ])  # fmt: skip
    def test_a_difference_is_amplified_by_the_largest_round_factor_that_cuts_nothing_off(self, largest, factor):
        assert choose_factor(largest) == factor
        change = np.full((8, 8, 1), -largest, np.float32)
        change[4:] = largest
        shown = _decode(difference_uri(change)[0])[..., 0].astype(int)
        assert shown.max() - 127.5 == pytest.approx(255 * factor * largest, abs=4)

    def test_an_outlier_does_not_wash_out_the_map(self):
        values = np.random.default_rng(0).normal(size=(64, 64, 1)).astype(np.float32)
        values[0, 0] = 1000
        assert heat_layer(values).scale < 5

    def test_small_images_are_enlarged_pixel_by_pixel(self):
        checkers = (np.indices((8, 8)).sum(axis=0)[..., None] % 2 * 255).astype(np.uint8)
        pixels = _decode(picture_uri(checkers))
        assert pixels.shape == (168, 168, 3)
        assert abs(int(pixels[5, 5, 0]) - int(pixels[15, 15, 0])) < 10
        assert abs(int(pixels[10, 10, 0]) - int(pixels[10, 31, 0])) > 200


class TestFonts:
    def test_signs_that_no_font_has_are_named_with_what_to_install(self, tmp_path):
        require("pango")
        sign = "\U0010fffd"  # for private use: no font has it
        run = save_run(Run(without_studies(make_result(classes=(f"a{sign}b", "dog"))), Rows(), make_arrays()), tmp_path)
        (warning,) = write_report(run, ("html", "pdf"))
        assert "U+10FFFD" in warning
        assert "apt-get install fonts-noto" in warning
        assert warning in Page((run / "report.html").read_text()).text
        pages = pypdf.PdfReader(run / "report.pdf").pages
        assert "U+10FFFD" in "".join(page.extract_text() for page in pages).replace("\0", "")  # the halves of UTF-16

    def test_a_sign_is_shown_or_named(self, tmp_path):
        require("pango")
        signs = "猫😀שقक𒀀"
        run = save_run(Run(without_studies(make_result(classes=(signs, "dog"))), Rows(), make_arrays()), tmp_path)
        named = set(re.findall(r"U\+([0-9A-F]+)", " ".join(write_report(run, ("pdf",)))))
        assert named <= {f"{ord(sign):04X}" for sign in signs}
        shown = set()
        for page in pypdf.PdfReader(run / "report.pdf").pages:
            for font in page["/Resources"]["/Font"].values():
                program = font.get_object()["/DescendantFonts"][0]["/FontDescriptor"]
                if any(key in program for key in ("/FontFile2", "/FontFile3")):
                    shown |= set(font.get_object()["/ToUnicode"].get_data().decode("ascii").lower().split())
        for sign in signs:
            code = f"<{sign.encode('utf-16-be').hex()}>"
            assert (code in shown) or (f"{ord(sign):04X}" in named), sign

    @pytest.mark.parametrize(
        ("sign", "package"),
        [("猫", "noto-cjk"), ("ひ", "noto-cjk"), ("글", "noto-cjk"), ("😀", "noto-color-emoji"), ("𒀀", "noto-core")],
    )
    def test_the_package_is_one_that_has_the_sign(self, sign, package):
        assert f"apt-get install fonts-{package}`" in describe_missing({sign})

    def test_many_missing_signs_are_counted(self):
        assert "and 88 more" in describe_missing({chr(0x4E00 + number) for number in range(100)})


class TestWriting:
    def test_writes_page_and_pdf_into_the_run(self, run):
        require("pango")
        assert write_report(run, ("html", "pdf")) == []
        assert {file.name for file in run.iterdir()} >= {"report.html", "report.pdf"}
        assert not list(run.glob(".*"))

    @pytest.mark.slow
    def test_the_pdf_is_the_same_twice_byte_for_byte(self, run):
        require("pango")
        write_report(run, ("pdf",))
        first = (run / "report.pdf").read_bytes()
        write_report(run, ("pdf",))
        assert (run / "report.pdf").read_bytes() == first

    def test_the_pdf_has_the_verdict_pages_and_an_outline(self, run):
        require("pango")
        write_report(run, ("pdf",))
        pdf = pypdf.PdfReader(run / "report.pdf")
        text = "\n".join(page.extract_text() for page in pdf.pages)
        assert "The model uses the tag." in text
        assert "Relies on it" in text
        assert f"1 / {len(pdf.pages)}" in text
        titles = [entry.title for entry in pdf.outline[0:] if not isinstance(entry, list)]
        nested = [
            entry.title for part in pdf.outline if isinstance(part, list) for entry in part if hasattr(entry, "title")
        ]
        assert {title for _, title, _ in SECTIONS} <= set(titles + nested)

    def test_without_weasyprint_the_page_is_written_with_a_warning(self, run, monkeypatch, tmp_path):
        replace_weasyprint(monkeypatch, tmp_path, "raise ImportError")
        (warning,) = write_report(run, ("html", "pdf"))
        assert "libpango" in warning
        assert "libpango" in (run / "report.html").read_text()
        assert not (run / "report.pdf").exists()

    def test_without_weasyprint_a_pdf_alone_cannot_be_had(self, run, monkeypatch, tmp_path):
        replace_weasyprint(monkeypatch, tmp_path, "raise ImportError")
        with pytest.raises(ReportError, match="pango"):
            write_report(run, ("pdf",))

    def test_a_missing_library_of_the_system_counts_as_no_weasyprint(self, run, monkeypatch, tmp_path):
        replace_weasyprint(monkeypatch, tmp_path, 'raise OSError("cannot load library libpango-1.0-0")')
        with pytest.raises(ReportError, match="apt-get install libpango"):
            write_report(run, ("pdf",))


class TestOnce:
    @pytest.mark.parametrize("pictures", ["all", "thumbnails", "none"])
    def test_the_result_is_read_and_made_presentable_once_for_all_files(self, run, monkeypatch, pictures):
        done: list[str] = []

        def count(name: str) -> None:
            place, _, function = name.rpartition(".")
            original = getattr(sys.modules[place], function)
            monkeypatch.setattr(name, lambda *given, **named: done.append(function) or original(*given, **named))

        for name in ("run.store.result_from_json", "report.presentable.withhold", "report.presentable.show_plainly"):
            count(f"auditor.{name}")
        monkeypatch.setattr("auditor.report.write.render_pdf", lambda request, meanwhile: Pdf(b"%PDF", frozenset(), ()))
        write_report(run, tuple(FORMATS), pictures)
        assert sorted(done) == ["result_from_json", "show_plainly", "withhold"]
        assert all((run / file).exists() for file in FORMATS.values())

    def test_what_is_not_asked_for_is_not_read(self, run):
        (run / "arrays.npz").unlink()
        (run / "rows.parquet").unlink()
        assert write_report(run, ("junit", "sarif", "markdown")) == []


class TestFaults:
    """Where a report cannot be written there is one clear error, and the older report stands as it stood."""

    @pytest.fixture
    def old(self, tmp_path) -> Path:
        run = save_run(Run(without_studies(make_result()), Rows(), make_arrays()), tmp_path)
        for name in ("report.html", "report.pdf"):
            (run / name).write_text("an older report")
        return run

    def check(self, run: Path, said: str) -> None:
        assert {file.name for file in run.iterdir()} == {
            "result.json", "rows.parquet", "arrays.npz", "hashes.json", "report.html", "report.pdf",
        }  # fmt: skip
        for name in ("report.html", "report.pdf"):
            assert (run / name).read_text() == "an older report"
        assert len(said.strip().splitlines()) == 1

    def test_a_full_disk(self, old):
        """The second file is the first that does not fit."""
        size = len(render_html(without_studies(make_result()), make_arrays(), run=old.name).encode())
        code = (
            "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2);"
            "sys.argv = ['auditor', 'render', sys.argv[1], '--format', 'markdown', '--format', 'html'];"
            "from auditor.cli import main; main()"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, str(old), str(size - 1)],
            env=os.environ | {"COVERAGE_PROCESS_CONFIG": ""},  # what measures this process would need the disk too
            capture_output=True,
            text=True,
        )
        assert done.returncode == 3
        assert done.stderr.startswith(f"error: {old / 'report.html'}: cannot be written: ")
        self.check(old, done.stderr)

    def test_a_folder_that_may_not_be_written(self, old):
        with (
            pytest.raises(ReportError, match=r"report\.\S+: cannot be written: Permission denied") as caught,
            unwritable(old),
        ):
            write_report(old, ("html", "junit"))
        self.check(old, str(caught.value))

    def test_a_folder_in_the_place_of_a_file(self, old):
        (old / "report.md").mkdir()
        with pytest.raises(ReportError, match=r"report\.md: cannot be written: it is a folder") as caught:
            write_report(old, ("html", "markdown"))
        (old / "report.md").rmdir()
        self.check(old, str(caught.value))

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("[" * 100_000, "not JSON"),
            ('{"schema_version": 1, "seconds": NaN}', "NaN is no number of JSON"),
            ('{"schema_version": 3}', "got 3, wanted 1 to 2; a newer Auditor wrote it"),
            ('{"schema_version": true}', "got True, wanted 1 to 2"),
            ("9" * 10_000, "not JSON"),
        ],
    )
    @pytest.mark.parametrize("name", ["html", "junit", "sarif", "markdown"])
    def test_a_damaged_or_newer_result(self, old, name, text, said):
        (old / "result.json").write_text(text)
        with pytest.raises(ReportError, match=said) as caught:
            write_report(old, (name,))
        assert "result.json" in str(caught.value)
        self.check(old, str(caught.value))

    def test_a_finding_without_the_measurement_that_decided_it(self, old):
        broken = make_result(findings=[make_finding(endpoint="gone")])
        (old / "result.json").write_text(result_to_json(broken))
        with pytest.raises(ReportError, match=r"findings\.0\.endpoint: 'gone' is none of its measurements"):
            write_report(old, ("html",))

    def test_names_that_no_encoding_holds(self, tmp_path):
        name = os.fsdecode(b"caf\xe9.png")
        rows = Rows()
        rows.add(image=name, value=1.0)
        run = save_run(Run(make_result(image=name), rows, make_arrays() | {name: np.zeros(1)}), tmp_path)
        assert load_result(run).exemplars[0].image == name
        write_report(run, ("html", "markdown"))
        assert "caf[U+DCE9].png" in (run / "report.html").read_text()


def test_rendering_needs_no_tensorflow(run):
    code = (
        "import sys; from pathlib import Path; from auditor.report.write import write_report;"
        "write_report(Path(sys.argv[1]), ('html',));"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(run)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def _decode(uri: str) -> np.ndarray:
    picture = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
    return np.asarray(picture.convert("RGBA") if picture.format == "PNG" else picture)
