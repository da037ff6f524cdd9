"""Pictures of a page: each once inside it, or in files beside it where the page would be too large."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from auditor.errors import ReportError
from auditor.measure.ledger import Rows
from auditor.report import packing
from auditor.report.packing import Album, embed, fits, unpack
from auditor.report.pictures import carry, heat_layer, picture_uri
from auditor.report.templates import policy_hash
from auditor.report.verify import verify_run
from auditor.report.write import render_html, write_report
from auditor.run.store import Run, load_hashes, save_run
from tests.synthetic import make_arrays, make_result, without_studies
from tests.web import unfold

PIXEL = base64.b64decode(picture_uri(np.zeros((1, 1, 1), np.uint8)).partition(",")[2])
URI = carry("png", PIXEL)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return save_run(Run(without_studies(make_result()), Rows(), make_arrays()), tmp_path)


@pytest.fixture
def large(run: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(packing, "LARGEST_PAGE", 1000)
    write_report(run, ("html",))
    return run


class TestInside:
    def test_the_image_under_maps_is_carried_once_however_many_maps_lie_over_it(self):
        arrays = make_arrays()
        (exemplar,) = make_result().exemplars
        many = replace(exemplar, maps=exemplar.maps * 5)
        page = render_html(replace(without_studies(make_result()), exemplars=[many]), arrays)
        assert page.count('<span class="under u0"></span>') == len(many.maps)
        assert page.count(picture_uri(arrays["with"])) == 3  # in the verdict, by itself, and under the maps
        assert page.count(heat_layer(arrays[many.maps[0].array]).uri) >= 5

    def test_images_that_differ_have_names_that_differ(self):
        album = Album({})
        names = [album.put("jpeg", data) for data in (b"one", b"two", b"one")]
        under = "".join(f'<img class="under" src="{name}" alt="">' for name in names)
        page = embed(f"<style>p {{}}{album.rules}</style>{under}", album, "p {}")
        style, _, body = page.partition("</style>")
        assert re.findall(r"u\d", body) == ["u0", "u1", "u0"]
        assert style.count("background-image:url(data:image/jpeg;base64,") == 2

    def test_the_policy_names_the_style_with_the_images_in_it(self):
        album = Album({})
        under = f'<img class="under" src="{album.put("png", PIXEL)}" alt="">'
        page = embed(f"{album.style_hash}<style>p {{}}{album.rules}</style>{under}", album, "p {}")
        style = re.search(r"<style>(.*)</style>", page, re.DOTALL)[1]
        assert "u0" in style
        assert page.startswith(policy_hash(style))

    def test_a_page_with_a_style_of_its_own_carries_every_image_where_it_stands(self):
        album = Album({})
        under = f'<img class="under" src="{album.put("png", PIXEL)}" alt="">'
        page = embed(f"<style>b {{}}{album.rules}</style>{under}{album.style_hash}", album, "p {}")
        assert page == f"<style>b {{}}</style>{under.replace(album.put('png', PIXEL), URI)}{policy_hash('p {}')}"

    def test_a_picture_is_put_wherever_a_template_names_it(self):
        album = Album({})
        name = album.put("png", PIXEL)
        page = f'<link rel="icon" href="{name}"><img src="{name}"><p>{name}</p>'
        assert embed(page, album) == page.replace(name, URI)
        beside = unpack(page, album, "", {})
        file = next(file for file in beside if file.endswith(".png"))
        assert beside["report.html"].decode().count(file) == 3

    def test_a_page_has_no_mark_of_ours_left(self, monkeypatch):
        monkeypatch.setattr("auditor.report.packing.secrets.token_hex", lambda _: "0123456789abcdef")
        assert "0123456789abcdef" not in render_html(make_result(), make_arrays())

    def test_what_is_under_maps_counts_once_towards_the_size_of_a_page(self, monkeypatch):
        album = Album({})
        name = album.put("jpeg", bytes(300))
        under, by_itself = f'<img class="under" src="{name}" alt="">', f'<img src="{name}">'
        monkeypatch.setattr(packing, "LARGEST_PAGE", 1000)
        assert fits(under * 8, album)
        assert not fits(by_itself * 3, album)

    def test_a_name_that_looks_like_one_of_ours_stays_text(self):
        name = 'src="report_pictures/00000000000000000000.png"'
        page = render_html(without_studies(make_result(classes=(name, "dog"))), make_arrays())
        assert "src=&#34;report_pictures/00000000000000000000.png&#34;" in page


class TestBeside:
    def test_every_picture_is_a_file_of_its_own_bytes(self, large):
        page = (large / "report.html").read_text()
        assert "data:image" not in page
        named = set(re.findall(r'src="(report_pictures/[^"]+)"', page))
        assert named == {f"report_pictures/{file.name}" for file in (large / "report_pictures").iterdir()}
        for name in named:
            assert hashlib.sha256((large / name).read_bytes()).hexdigest().startswith(Path(name).stem)

    def test_the_archive_holds_the_page_and_its_pictures_and_is_the_same_twice(self, large):
        data = (large / "report.zip").read_bytes()
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            assert archive.testzip() is None
            for name in archive.namelist():
                assert archive.read(name) == (large / name).read_bytes()
            assert len(archive.namelist()) == 2 + len(list((large / "report_pictures").iterdir()))
        write_report(large, ("html",))
        assert (large / "report.zip").read_bytes() == data

    def test_it_is_verified_and_a_changed_picture_is_found(self, large):
        checks = {check.what: check.state for check in verify_run(large)}
        assert set(checks.values()) == {"as written"}
        picture = next((large / "report_pictures").iterdir())
        picture.write_bytes(b"another")
        checks = {check.what: check.state for check in verify_run(large)}
        assert checks[f"report_pictures/{picture.name}"] == "differs"

    def test_pictures_of_a_page_that_showed_more_do_not_stay(self, large):
        before = {file.name for file in (large / "report_pictures").iterdir()}
        write_report(large, ("html",), "none")
        after = {file.name for file in (large / "report_pictures").iterdir()}
        shown = {re.sub(r".*;base64,", "", picture_uri(make_arrays()[key])) for key in ("with", "without", "mean")}
        page = (large / "report.html").read_text()
        assert after == set(re.findall(r"report_pictures/([^\"]+)", page))
        assert len(before - after) >= len(shown)

    def test_a_page_that_fits_again_leaves_nothing_beside_it(self, large, monkeypatch):
        monkeypatch.setattr(packing, "LARGEST_PAGE", 10**8)
        write_report(large, ("html",))
        assert not (large / "report_pictures").exists()
        assert not (large / "report.zip").exists()
        assert not any("report_pictures" in name or name.endswith(".zip") for name in load_hashes(large).files)

    def test_a_link_in_the_place_of_their_folder_is_refused_and_what_it_leads_to_stays(self, run, tmp_path):
        own = tmp_path / "holiday" / "beach.png"
        own.parent.mkdir()
        own.write_bytes(b"sun")
        (run / "report_pictures").symlink_to(own.parent)
        with pytest.raises(ReportError, match="report_pictures: a symbolic link"):
            write_report(run, ("html",))
        assert own.read_bytes() == b"sun"
        assert not (run / "report.html").exists()

    def test_the_page_is_put_in_its_place_last_for_it_names_the_others(self):
        album = Album({})
        page = f'<img src="{album.put("png", PIXEL)}">'
        (picture,) = album.files
        assert list(unpack(page, album, "", {})) == ["report.zip", f"report_pictures/{picture}", "report.html"]

    def test_sizes_are_told_so_that_nothing_moves_when_a_picture_comes(self, large):
        images = re.findall(r"<img[^>]*>", (large / "report.html").read_text())
        assert images
        assert all(re.search(r'loading="lazy" width="\d+" height="\d+"', image) for image in images)

    def test_a_page_without_pictures_has_none_beside_it(self):
        assert set(unpack("<p>words</p>", Album({}), "", {})) == {"report.html", "report.zip"}

    def test_a_browser_shows_them_from_the_disk_without_complaint(self, large, browser):
        page = browser.new_page()
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.goto((large / "report.html").as_uri())
        unfold(page)
        for picture in page.locator("img").all():
            picture.scroll_into_view_if_needed()
            picture.evaluate("image => image.decode()")
        assert complaints == []
