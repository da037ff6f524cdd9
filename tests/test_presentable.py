"""What is shown of a result: no sign works unseen, names fit, and pictures are as private as asked."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from auditor.errors import ReportError
from auditor.measure.ledger import Arrays, Rows
from auditor.measure.measurement import Note
from auditor.report import plots
from auditor.report.pictures import heat_layer, map_scale, picture_uri, placeholder, shrink
from auditor.report.presentable import (
    LONGEST_NAME,
    PICTURE_NOTES,
    THUMBNAIL,
    checked,
    make_visible,
    show_plainly,
    withhold,
)
from auditor.report.templates import read_own_templates
from auditor.report.write import render_html, write_report
from auditor.run.result import AuditResult
from auditor.run.store import Run, save_run
from tests.small_world import Command
from tests.synthetic import METHODS, make_arrays, make_result
from tests.test_report import Page

PERSON = "Ms Example 1970-01-01.png"
DATA = ("with", "without", "mean")
DECISIVE = 4
"""Pictures that show what the artefact changes: none of them says anything where it is withheld."""


def make_large() -> Arrays:
    """As `make_arrays`, of pictures that thumbnails would not show."""
    random = np.random.default_rng(0)
    return {
        key: random.integers(0, 256, (60, 80, 3)).astype(np.uint8)
        if values.dtype == np.uint8
        else random.normal(size=(60, 80, 3)).astype(np.float32)
        for key, values in make_arrays().items()
    }


@pytest.fixture
def without_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plots, "svg_of", lambda *_, **__: "")


def pictures_of(html: str) -> list[np.ndarray]:
    """Every picture of a page as it is decoded."""
    found = re.findall(r'src="data:image/[a-z]+;base64,([^"]+)"', html)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGBA")) for data in found]


def personal() -> AuditResult:
    result = make_result(image=PERSON)
    skipped = replace(result.data.skipped[0], image="b.png", reason=f"cannot identify '/patients/{PERSON}'")
    return replace(
        result, data=replace(result.data, skipped=[skipped]), warnings=[Note("remark", f"looked twice at {PERSON}")]
    )


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    """The page of one run in every mode."""
    return {mode: render_html(personal(), make_large(), pictures=mode) for mode in PICTURE_NOTES}


class TestPictures:
    def test_all_changes_nothing(self):
        result, arrays = make_result(), make_large()
        assert withhold(result, arrays, "all") == (result, arrays)

    def test_thumbnails_reduce_what_shows_the_data_and_keep_artefacts_and_optimised_inputs(self):
        arrays = make_large()
        result, shown = withhold(make_result(), arrays, "thumbnails")
        assert result == make_result()
        for key in (*DATA, *(f"map {method}" for method in METHODS)):
            assert shown[key].shape == (24, THUMBNAIL, 3)
            assert shown[key].dtype == arrays[key].dtype
        for key in ("artefact", "optimum"):
            assert shown[key] is arrays[key]

    def test_what_nobody_said_is_made_up_counts_as_data(self):
        arrays = make_large()
        shown = withhold(replace(make_result(), made_up=[]), arrays, "thumbnails")[1]
        assert {shown[key].shape for key in arrays} == {(24, THUMBNAIL, 3)}

    @pytest.mark.parametrize("mode", ["thumbnails", "none"])
    def test_flat_maps_are_reduced_like_others(self, mode):
        values = make_large()[f"map {METHODS[0]}"][..., 0]
        shown = withhold(make_result(), {"flat": values}, mode)[1]["flat"]
        assert shown.ndim == 2
        assert shown.shape == (24, THUMBNAIL) or np.isnan(shown).sum() == shown.size - 1

    def test_a_reduced_pixel_is_the_mean_of_those_that_it_stands_for(self):
        values = np.random.default_rng(0).normal(size=(64, 64, 2)).astype(np.float32)
        means = values.reshape(32, 2, 32, 2, 2).mean(axis=(1, 3))
        np.testing.assert_allclose(shrink(values, 32), means, atol=1e-6)
        assert shrink(values, 64) is values

    def test_none_shows_nothing_of_the_data_whatever_the_data_are(self, pages):
        """Two runs that differ in all pictures and maps of the data, but for the scales of the maps, look the same."""
        arrays = make_large()
        others = {
            key: values if key in ("artefact", "optimum") else values[::-1, ::-1].copy()
            for key, values in arrays.items()
        }
        others["mean"] = arrays["mean"]  # its pixels are the key of the pseudonyms
        assert render_html(personal(), others, pictures="none") == pages["none"]
        assert render_html(personal(), others) != pages["all"]

    def test_none_puts_a_placeholder_for_each_picture_and_leaves_the_artefact(self, pages):
        arrays, bare = make_large(), pages["none"]
        assert len(pictures_of(bare)) == len(pictures_of(pages["all"])) - DECISIVE
        stand_in = picture_uri(placeholder(60, 80))
        made_up = {picture_uri(arrays["artefact"]), picture_uri(arrays["optimum"])}
        shown = set(re.findall(r"data:image/jpeg[^\")]*", bare))
        assert stand_in in shown
        assert shown - {stand_in} == made_up & set(re.findall(r"data:image/jpeg[^\")]*", pages["all"]))
        assert not any(picture_uri(arrays[key]) in bare for key in DATA)

    def test_a_withheld_map_keeps_its_scale_and_draws_nothing(self):
        values = make_large()[f"map {METHODS[0]}"]
        withheld = withhold(make_result(), {"map": values}, "none")[1]["map"]
        layer, whole = heat_layer(withheld), heat_layer(values)
        assert layer.scale == pytest.approx(whole.scale) == pytest.approx(map_scale(values))
        assert not layer.is_zero
        (pixels,) = pictures_of(f'src="{layer.uri}"')
        assert (pixels[..., 3] == 0).all()

    def test_none_calls_images_by_pseudonyms_wherever_they_are_named(self, pages):
        assert "Example" not in pages["none"]
        assert re.search(r"looked twice at image [0-9a-f]{8}", pages["none"])
        assert PERSON in pages["thumbnails"]

    def test_pseudonyms_are_the_same_twice_and_others_for_other_data(self):
        def pseudonym(arrays: Arrays) -> str:
            return withhold(personal(), arrays, "none")[0].exemplars[0].image

        arrays = make_large()
        assert pseudonym(arrays) == pseudonym(dict(reversed(arrays.items())))
        assert pseudonym(arrays) != pseudonym(arrays | {"mean": arrays["without"]})

    def test_pseudonyms_take_no_word_or_number_from_a_sentence(self):
        result = make_result(classes=("cat", "dog"), image="cat")
        result = replace(result, data=replace(result.data, skipped=[replace(result.data.skipped[0], image="120")]))
        findings = withhold(result, make_large(), "none")[0].findings
        assert findings == result.findings

    @pytest.mark.parametrize("name", ["relies", "no_evidence", "passed", "failed", "answer", "not_applicable"])
    def test_an_image_may_be_called_like_a_word_of_ours(self, name, without_plots):
        page = render_html(make_result(image=name), make_arrays(), pictures="none")
        assert f">{name} <" not in page
        assert "Relies on it" in page

    @pytest.mark.parametrize("mode", ["thumbnails", "none"])
    def test_the_report_says_what_it_keeps_back(self, mode, pages):
        assert [name for name in pages if PICTURE_NOTES[mode] in pages[name]] == [mode]

    def test_the_run_says_what_its_report_shows_and_the_command_line_overrules_it(
        self, tmp_path: Path, command: Command
    ):
        result = personal()
        config = result.provenance.config | {"report": {"pictures": "none"}}
        result = replace(result, provenance=replace(result.provenance, config=config))
        run = save_run(Run(result, Rows(), make_large()), tmp_path)
        write_report(run, ("html",))
        assert "Example" not in (run / "report.html").read_text()
        assert command("render", run, "--format", "html", "--pictures", "all").code == 0
        assert PERSON in (run / "report.html").read_text()


class TestTexts:
    @pytest.mark.parametrize("sign", ["\x00", "\x1b", "\x7f", "\x9b", "\u202e", "\u2066", "\u200f", "\ufeff", "\ud800"])
    def test_what_hides_or_turns_text_is_written_out(self, sign):
        assert make_visible(f"a{sign}b") == f"a[U+{ord(sign):04X}]b"

    @pytest.mark.parametrize("text", ["plain", "é ü ß", "猫と犬", "👩\u200d👧", "❤\ufe0f", "क्ष", "two\nlines\tand"])
    def test_other_text_stays_as_it_is(self, text):
        assert make_visible(text) == text

    @pytest.mark.parametrize("text", ["שלום", "قط", "cat שלום 12"])
    def test_text_from_right_to_left_is_kept_apart(self, text):
        assert make_visible(text) == f"\u2068{text}\u2069"

    def test_a_name_is_shown_alike_alone_and_in_sentences(self):
        result = make_result(classes=("שלום", "\u202eb" * 300), artefact="a\u202eb")
        shown, _ = show_plainly(result, {})
        (finding,) = shown.findings
        assert finding.artefact == shown.artefacts[0].name == "a[U+202E]b"
        assert finding.target in finding.reason
        assert finding.artefact in finding.reason
        assert "\u202e" not in repr(shown)

    def test_long_names_are_cut_and_stay_apart(self):
        names = ("x" * 10_000, "x" * 9_999 + "y")
        shown, _ = show_plainly(make_result(classes=names), {})
        one, other = shown.model.classes
        assert one != other
        assert len(one) < LONGEST_NAME + 50
        assert "10000 characters" in one
        html = render_html(make_result(classes=names, title="t" * 10_000, image="i" * 10_000), make_arrays())
        assert not re.search(r"[xyti]{300}", html)

    def test_arrays_go_by_the_names_that_the_result_calls_them(self):
        name = "case 0 image 0 map grad_cam (\u202elayer שלום)"
        result, arrays = make_result(), make_arrays()
        exemplar = result.exemplars[0]
        renamed = replace(exemplar, maps=[replace(exemplar.maps[0], array=name)])
        arrays[name] = 2 * arrays[exemplar.maps[0].array] + 1
        html = render_html(replace(result, exemplars=[renamed]), arrays)
        assert heat_layer(arrays[name], is_strength=True).uri in html

    def test_nothing_on_the_page_turns_the_text_around(self):
        nasty = "\u202e\u2067שלום\u2069 evil.png"
        result = make_result(classes=(nasty, "dog"), artefact=nasty, title=nasty, image=nasty)
        html = render_html(result, make_arrays(), run=nasty)
        assert not re.search("[\u202a-\u202e\u2066\u2067]", html)
        assert html.count("\u2068") == html.count("\u2069") > 0
        assert Page(html).tags.count("script") == 1  # our own, which the policy names


class TestDamage:
    @pytest.mark.parametrize(
        "values",
        [
            np.zeros((8, 8), np.uint8),
            np.zeros((8, 8, 2), np.uint8),
            np.zeros((0, 8, 3), np.uint8),
            np.full((8, 8, 1), np.nan, np.float32),
            np.array(["a"]),
            np.zeros(0, np.float32),
        ],
    )
    def test_arrays_that_cannot_be_shown_are_named(self, values):
        for key, known in checked(make_arrays()).items():
            np.testing.assert_array_equal(known, make_arrays()[key])
        with pytest.raises(ReportError, match=r"arrays\.npz: 'with': damaged: got .*, wanted "):
            render_html(make_result(), make_arrays() | {"with": values})

    @pytest.mark.parametrize("key", ["with", "map gradient"])
    def test_found_while_a_page_is_drawn_is_not_laid_at_the_door_of_a_users_templates(self, key, tmp_path):
        (tmp_path / "look.css").write_text("p { color: red }")
        damaged = make_arrays() | {key: np.full((8, 8, 1), np.inf, np.float32)}
        with pytest.raises(ReportError, match=rf"arrays\.npz: '{key}': damaged"):
            render_html(make_result(), damaged, own=read_own_templates(tmp_path))
