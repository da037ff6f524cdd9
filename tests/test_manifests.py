"""Manifests name pictures, labels, groups, masks and presence; whatever is wrong with one is said with its line."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from auditor.artefacts.masks import Masks
from auditor.errors import DataError, OptionError
from auditor.subject.data.manifests import read_manifest
from auditor.subject.data.sample import Dataset
from auditor.subject.data.sources import FunctionSource, ManifestSource
from tests.small_world import CORNER, Command, World, make_data
from tests.test_bad_input import assert_one_error

CLASSES = ("cat", "dog", "boat")


def write_csv(folder: Path, text: str | bytes) -> Path:
    file = folder / "manifest.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
    return file


def write_parquet(folder: Path, **columns: Any) -> Path:
    file = folder / "manifest.parquet"
    pq.write_table(pa.table(columns), file)
    return file


def open_sample(file: Path, classes: tuple[str, ...] = CLASSES, **options: Any) -> Dataset:
    return Dataset(ManifestSource(file), classes=classes, image_shape=(8, 8, 1), **options)


def truth_of(file: Path, classes: tuple[str, ...] = CLASSES, **options: Any) -> list[list[int]]:
    truth = open_sample(file, classes, **options).truth
    assert truth is not None
    return [np.flatnonzero(row).tolist() for row in truth]


class TestColumns:
    def test_paths_are_relative_to_the_manifest_or_absolute(self, tmp_path: Path) -> None:
        found = read_manifest(write_csv(tmp_path, "path\nsub/a.png\n/far/b.png\n../c.png\n"))
        assert found.files == [tmp_path / "sub/a.png", Path("/far/b.png"), tmp_path / "../c.png"]
        assert found.ids == ["sub/a.png", "/far/b.png", "../c.png"]
        assert (found.labels, found.groups, found.masks) == (None, None, None)

    def test_what_a_row_leaves_empty_it_does_not_have(self, tmp_path: Path) -> None:
        text = "mask,id,group,label,path,remark\nm.png,one,g,cat,a.png,x\n,,,,b.png,\n"
        found = read_manifest(write_csv(tmp_path, text))
        assert found.ids == ["one", "b.png"]
        assert found.labels == ["cat", None]
        assert found.groups == ["g", "b.png"]
        assert found.masks == [tmp_path / "m.png", None]

    def test_both_formats_say_the_same(self, tmp_path: Path) -> None:
        text = "path,label,group,mask,id,marked\na.png,cat,1,m.png,x,true\nb.png,,2,,y,0\n"
        columns = {
            "path": ["a.png", "b.png"],
            "label": ["cat", None],
            "group": [1, 2],
            "mask": ["m.png", None],
            "id": ["x", "y"],
            "marked": [True, False],
        }
        one, other = read_manifest(write_csv(tmp_path, text)), read_manifest(write_parquet(tmp_path, **columns))
        for name in ("files", "ids", "labels", "groups", "masks"):
            assert getattr(one, name) == getattr(other, name)
        np.testing.assert_array_equal(one.flags("marked"), other.flags("marked"))

    def test_a_name_that_is_nearly_ours_is_taken_and_said(self, tmp_path: Path) -> None:
        found = read_manifest(write_csv(tmp_path, "path, Label,group\na.png, cat,g\n"))
        assert (found.labels, found.groups) == (["cat"], ["g"])
        (note,) = found.notes
        assert note == (
            "The column 'Label' is taken for the labels, which is a guess; labels = \"Label\" under [data] says so."
        )

    def test_a_name_that_is_only_like_ours_is_said_and_not_taken(self, tmp_path: Path) -> None:
        found = read_manifest(write_csv(tmp_path, "path,lable\na.png,cat\n"))
        assert found.labels is None
        assert found.notes[0].startswith("The column 'lable' is not read as the labels; labels = ")

    def test_what_the_user_calls_them_comes_first(self, tmp_path: Path) -> None:
        file = write_csv(tmp_path, "path,label,finding\na.png,cat,dog\n")
        found = read_manifest(file, declared={"labels": "finding"})
        assert (found.labels, found.notes) == (["dog"], [])
        with pytest.raises(DataError, match="no column 'findings', as labels says; it holds path, label, finding"):
            read_manifest(file, declared={"labels": "findings"})

    def test_a_picture_is_found_under_a_name_composed_otherwise(self, tmp_path: Path) -> None:
        (tmp_path / unicodedata.normalize("NFD", "Käse.png")).touch()
        composed = unicodedata.normalize("NFC", "Käse.png")
        found = read_manifest(write_csv(tmp_path, f"path\n{composed}\n"))
        assert found.files[0].exists()
        assert found.ids == [composed]


class TestText:
    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    @pytest.mark.parametrize("start", ["", "\N{BYTE ORDER MARK}"])
    @pytest.mark.parametrize("last", [True, False])
    def test_any_line_ends_and_byte_order_mark_are_read(self, end: str, start: str, last: bool, tmp_path: Path) -> None:
        text = start + end.join(["path,label", "a.png,cat", "", "b.png,dog"]) + end * last
        found = read_manifest(write_csv(tmp_path, text))
        assert (found.ids, found.labels) == (["a.png", "b.png"], ["cat", "dog"])

    def test_quotes_hold_commas_quotes_and_line_ends(self, tmp_path: Path) -> None:
        found = read_manifest(write_csv(tmp_path, 'path,label\n"a, b.png","cat"\n"c ""d"".png",dog\n"e\nf.png",\n'))
        assert found.ids == ["a, b.png", 'c "d".png', "e\nf.png"]

    def test_names_with_spaces_and_of_any_script_lead_to_their_pictures(self, tmp_path: Path) -> None:
        names = ["a b.png", "Löwe.png", "猫/1.png"]
        for number, name in enumerate(names):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            Image.new("L", (8, 8), number).save(tmp_path / name)
        for file in (write_csv(tmp_path, "\n".join(["path", *names])), write_parquet(tmp_path, path=names)):
            images = open_sample(file).images([0, 1, 2])
            assert np.round(images[:, 0, 0, 0] * 255).tolist() == [0, 1, 2]


class TestLabels:
    def test_they_are_names_or_else_numbers(self, tmp_path: Path) -> None:
        assert truth_of(write_csv(tmp_path, "path,label\na,boat\nb,1\nc,\nd,2.0\n")) == [[2], [1], [], [2]]

    @pytest.mark.parametrize("label", ["1", "3", "doge"])
    def test_a_number_is_no_place_where_classes_are_called_by_numbers(self, label: str, tmp_path: Path) -> None:
        file = write_csv(tmp_path, f"path,label\na,7\nb,{label}\n")
        with pytest.raises(DataError, match=f"labels that the model lacks: '{label}'"):
            truth_of(file, ("9", "7", "dog"))
        assert truth_of(write_csv(tmp_path, "path,label\na,7\nb,9\n"), ("9", "7", "dog")) == [[1], [0]]

    @pytest.mark.parametrize("label", ["3", "-1", "1.5", "cow"])
    def test_what_the_model_lacks_is_named(self, label: str, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=f"labels that the model lacks: '{label}'"):
            truth_of(write_csv(tmp_path, f"path,label\na,{label}\n"))

    def test_several_stand_between_bars_where_classes_are_independent(self, tmp_path: Path) -> None:
        file = write_csv(tmp_path, "path,label\na,boat|cat\nb,dog\nc,\nd,0 | 1\n")
        assert truth_of(file, multilabel=True) == [[0, 2], [1], [], [0, 1]]
        with pytest.raises(DataError, match=r"labels that the model lacks: '0 \| 1'"):
            truth_of(file)

    def test_a_bar_may_be_part_of_a_name(self, tmp_path: Path) -> None:
        file = write_csv(tmp_path, "path,label\na,cat|dog\n")
        for multilabel in (False, True):
            assert truth_of(file, ("cat", "cat|dog", "dog"), multilabel=multilabel) == [[1]]

    @pytest.mark.parametrize(
        "values", [[2, None, 0], [2.0, float("nan"), 0.0], pa.array(["boat", None, "cat"]).dictionary_encode()]
    )
    def test_a_table_of_numbers_may_have_gaps(self, values: Any, tmp_path: Path) -> None:
        assert truth_of(write_parquet(tmp_path, path=["a", "b", "c"], label=values)) == [[2], [], [0]]

    def test_none_at_all_are_unlabelled_data(self, tmp_path: Path) -> None:
        dataset = open_sample(write_csv(tmp_path, "path,label\na,\nb,\n"))
        assert dataset.truth is None
        assert not dataset.labelled.any()

    def test_text_of_other_sources_is_a_name_and_never_a_number(self) -> None:
        source = FunctionSource(lambda: [(np.zeros((8, 8)), "1", "a", None)], "mine")
        with pytest.raises(DataError, match="labels that the model lacks: '1'"):
            Dataset(source, classes=CLASSES, image_shape=(8, 8, 1))


class TestPresence:
    @pytest.mark.parametrize(("yes", "no"), [("true", "false"), ("True", "FALSE"), ("1", "0"), ("yes", "No")])
    def test_it_is_said_in_several_words(self, yes: str, no: str, tmp_path: Path) -> None:
        source = ManifestSource(write_csv(tmp_path, f"path,marked\na,{yes}\nb,{no}\nc,{yes}\n"))
        found = source.array("marked")
        assert found is not None
        assert (found.tolist(), found.dtype) == ([True, False, True], np.dtype(bool))
        assert source.array("other") is None

    @pytest.mark.parametrize("values", [[True, False], [1, 0], ["yes", "no"]])
    def test_a_parquet_says_it_as_booleans_numbers_or_text(self, values: Any, tmp_path: Path) -> None:
        found = ManifestSource(write_parquet(tmp_path, path=["a", "b"], marked=values)).array("marked")
        assert found is not None
        assert found.tolist() == [True, False]

    @pytest.mark.parametrize("value", ["maybe", "", "2", "true "])
    def test_anything_else_is_refused_with_its_line(self, value: str, tmp_path: Path) -> None:
        source = ManifestSource(write_csv(tmp_path, f"path,marked\na,yes\nb,{value}\n"))
        with pytest.raises(DataError) as fault:
            source.array("marked")
        wanted = "wanted true, false, yes, no, 1 or 0"
        assert str(fault.value) == f"{tmp_path}/manifest.csv:3: marked: got {value!r}, {wanted}"

    def test_a_gap_in_a_parquet_is_refused_with_its_row(self, tmp_path: Path) -> None:
        source = ManifestSource(write_parquet(tmp_path, path=["a", "b"], marked=[True, None]))
        with pytest.raises(DataError, match=r"manifest\.parquet: row 2: marked: got None"):
            source.array("marked")


FAULTS: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", ": no column 'path'; its columns are: none"),
    "no path": ("where,label\na,b\n", ": no column 'path'; its columns are: where, label"),
    "semicolons": ("path;label\na;b\n", ": no column 'path'; its columns are: path;label"),
    "no rows": ("path,label\n\n", ": it has no rows, wanted one for each image"),
    "an empty path": ("path,label\na,cat\n,cat\n", ":3: path is empty, wanted the file of an image"),
    "too few values": ("path,label\n\n'a,\nb\n", ":4: got 1 values, wanted 2: path, label"),
    "too many values": ("path,label\na,cat,x\n", ":2: got 3 values, wanted 2: path, label"),
    "ragged after lines in quotes": ('path,label\n"a\n\nb",cat\nc\n', ":5: got 1 values, wanted 2: path, label"),
    "an open quote": ('path,label\na,cat\n"b,dog\nc,cat\n', ":3: not CSV: unexpected end of data"),
    "two columns of a name": ("path,label,label\na,b,c\n", ": got two columns 'label', wanted a name of its own"),
    "another encoding": ("path,label\na,Löwe\n".encode("latin-1"), ":2: not UTF-8 text: got byte 0xf6"),
    "two bytes for each sign": ("path\na\n".encode("utf-16"), ":1: not UTF-8 text: got byte 0xff"),
}


@pytest.mark.parametrize("name", list(FAULTS))
def test_a_wrong_csv_is_refused_with_its_line(name: str, tmp_path: Path) -> None:
    text, said = FAULTS[name]
    file = write_csv(tmp_path, text)
    with pytest.raises(DataError) as fault:
        read_manifest(file, "audit.toml:5:1: data.source: ")
    assert str(fault.value).startswith(f"audit.toml:5:1: data.source: {file}{said}")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.99])
def test_a_truncated_parquet_is_refused(share: float, tmp_path: Path) -> None:
    file = write_parquet(tmp_path, path=[f"{n}.png" for n in range(500)])
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    with pytest.raises(DataError, match=r"manifest\.parquet: not a readable Parquet file: "):
        read_manifest(file)


def test_a_parquet_of_garbled_pages_is_refused(tmp_path: Path) -> None:
    file = write_parquet(tmp_path, path=[f"{n}.png" for n in range(5000)])
    content = bytearray(file.read_bytes())
    content[40:4000] = bytes(3960)
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"manifest\.parquet: column 'path' cannot be read: "):
        read_manifest(file)


def write_world(world: World, *, marked: str = "no") -> list[list[str]]:
    """The small world as pictures and a manifest of them, and its rows."""
    data = make_data()
    folder = world.folder / "pictures"
    folder.mkdir()
    rows = [["path", "label", "group", "mask", "id", "marked"]]
    mask = np.zeros((8, 8), np.uint8)
    mask[CORNER] = 255
    Image.fromarray(mask).save(folder / "mask.png")
    for number, pixels in enumerate(data["images"]):
        Image.fromarray(pixels[..., 0]).save(folder / f"{number:02}.png")
        label = ("cat", "dog", "boat")[data["labels"][number]]
        rows.append([f"{number:02}.png", label, str(number // 2), "mask.png", str(data["ids"][number]), marked])
    write_rows(world, rows)
    world.replace('source = "images.npz"', 'source = "pictures/manifest.csv"')
    return rows


def write_rows(world: World, rows: list[list[str]]) -> None:
    write_csv(world.folder / "pictures", "\n".join(",".join(row) for row in rows) + "\n")


ARTEFACT = 'kind = "overlay"\nimage = "mark.png"\nposition = [5, 5]'


class TestAudits:
    @pytest.mark.slow
    def test_a_manifest_finds_what_the_same_images_find(self, world: World, command: Command) -> None:
        assert command("audit", world.config, "--quiet").code == 1
        before = world.result()
        write_world(world)
        assert command("audit", world.config, "--quiet", "--output", world.folder / "second").code == 1
        after = world.result("second")
        assert after.data.groups == 21
        assert after.data.accuracy.value == pytest.approx(before.data.accuracy.value)
        for name in ("theta", "insertion_lift", "flip_rate"):
            found, expected = (result.findings[0].measurements[name].value for result in (after, before))
            assert found == pytest.approx(expected, rel=1e-5)  # float32 scores of the same images

    def test_masks_come_from_the_manifest_where_no_folder_is_named(self, world: World, command: Command) -> None:
        rows = write_world(world, marked="yes")
        for row in rows[1::3]:
            row[3], row[5] = "", "no"
        write_rows(world, rows)
        world.replace(ARTEFACT, 'kind = "masks"\npresent = "marked"')
        ending = command("audit", world.config, "--quiet")
        assert ending.code in (0, 1, 4), ending.err
        result = world.result()
        assert result.artefacts[0].carriers == 28
        assert result.findings[0].measurements["removal_drop"].n == 28

    def test_masks_of_another_size_follow_their_images(self, world: World, command: Command) -> None:
        write_world(world)
        for file in (world.folder / "pictures").glob("*.png"):
            picture = Image.open(file)
            picture.resize((24, 24), Image.Resampling.NEAREST).save(file)
        world.replace(ARTEFACT, 'kind = "masks"\npresent = "all"')
        ending = command("audit", world.config, "--quiet")
        assert_one_error(ending, 2, 'image picture-0 is 24 x 24 pixels, the model takes 8 x 8; set data.fit = "resize"')
        world.replace("[data]\n", '[data]\nfit = "resize"\n')
        assert command("audit", world.config, "--quiet").code in (0, 1, 4)
        assert world.result().findings[0].measurements["removal_drop"].n == 42
        page = next(world.folder.glob("reports/*/report.html")).read_text()
        assert "8 × 8 pixels: images of another size were resized to it" in page

    def test_missing_pictures_are_skipped_and_named(self, world: World, command: Command) -> None:
        rows = write_world(world)
        rows[4][0] = "gone.png"
        write_rows(world, rows)
        assert command("audit", world.config, "--quiet").code == 1
        (skipped,) = world.result().data.skipped
        assert (skipped.image, skipped.reason) == ("picture-3", "no such file")
        for row in rows[5:8]:
            row[0] = "gone.png"
        write_rows(world, rows)
        ending = command("audit", world.config, "--quiet")
        assert_one_error(ending, 3, "images cannot be used, more than data.max_corrupt = 0.05; the first is picture-3:")

    @pytest.mark.parametrize(
        ("change", "code", "said"),
        [
            (lambda rows: rows[2].__setitem__(4, "picture-0"), 2, "got id 'picture-0' for 2 images"),
            (
                lambda rows: rows[2].__setitem__(5, "maybe"),
                2,
                "manifest.csv:3: marked: got 'maybe', wanted true, false",
            ),
            (
                lambda rows: rows[2].pop(),
                3,
                "manifest.csv:3: got 5 values, wanted 6: path, label, group, mask, id, marked",
            ),
            (lambda rows: rows[0].__setitem__(0, "where"), 2, "no column 'path'; its columns are: where, label, group"),
            (lambda rows: rows[0].__setitem__(5, "mark"), 2, "got 'marked', which is no array or column of the data"),
            (lambda rows: rows[2].__setitem__(1, "cow"), 2, "labels that the model lacks: 'cow' (1 image)"),
        ],
    )
    def test_a_wrong_manifest_gets_one_error(
        self, change: Any, code: int, said: str, world: World, command: Command
    ) -> None:
        rows = write_world(world)
        change(rows)
        write_rows(world, rows)
        world.replace('target = "boat"', 'target = "boat"\npresent = "marked"')
        assert_one_error(command("audit", world.config, "--quiet"), code, said)

    def test_masks_without_a_folder_or_a_column_are_refused(self, world: World, command: Command) -> None:
        world.replace(ARTEFACT, 'kind = "masks"\npresent = "all"')
        ending = command("audit", world.config, "--quiet")
        assert_one_error(ending, 2, "artefacts[0].folder: missing, and the data have no column 'mask'")

    def test_masks_that_are_named_and_do_not_exist_are_refused(self, world: World, command: Command) -> None:
        rows = write_world(world)
        rows[3][3], rows[5][3] = "gone.png", "lost.png"
        write_rows(world, rows)
        world.replace(ARTEFACT, 'kind = "masks"\npresent = "all"')
        ending = command("audit", world.config, "--quiet")
        assert_one_error(ending, 2, "pictures/gone.png that the data name does not exist (2 in all)")

    def test_an_unlabelled_folder_is_audited_and_its_report_speaks_of_no_accuracy(
        self, world: World, command: Command
    ) -> None:
        write_world(world)
        (world.folder / "pictures" / "mask.png").unlink()
        world.replace('source = "pictures/manifest.csv"', 'source = "pictures"')
        assert command("audit", world.config, "--quiet").code == 1
        result = world.result()
        (finding,) = result.findings
        predicted_boats = next(entry.predicted for entry in result.data.classes if entry.name == "boat")
        assert finding.measurements["insertion_lift"].n == 42 - predicted_boats
        assert finding.measurements["accuracy_drop"].reason == "the data have no labels"
        measured = {name for name, value in finding.measurements.items() if value.value is not None}
        assert not {name for name in measured if "accuracy" in name}
        page = next(world.folder.glob("reports/*/report.html")).read_text()
        assert "Not applicable: the data have no labels. Images count as what they are predicted." in page
        assert "are right" not in page
        assert "The data have no labels: images count as what they are predicted" in page


class TestMasks:
    def square(self, folder: Path, side: int, box: tuple[int, int, int, int]) -> Path:
        mask = Image.new("L", (side, side))
        mask.paste(255, box)
        mask.save(folder / "m.png")
        return folder / "m.png"

    @pytest.mark.parametrize("fit", ["resize", "crop"])
    def test_a_larger_mask_covers_all_that_its_region_reaches(self, fit: Any, tmp_path: Path) -> None:
        file = self.square(tmp_path, 80, (20, 20, 60, 60))
        mask = Masks(files={"a": file}, fit=fit).region("a", (8, 8, 1))
        assert mask is not None
        assert mask[2:6, 2:6].all()
        assert mask.sum() <= 36
        assert Masks(files={"a": file}, fit=fit).region("b", (8, 8, 1)) is None

    def test_a_hair_is_not_lost(self, tmp_path: Path) -> None:
        mask = Masks(files={"a": self.square(tmp_path, 80, (35, 0, 36, 80))}, fit="resize").region(
            "a", (8, 8, 1), np.random.default_rng(0)
        )
        assert mask is not None
        assert mask[:, 3].all()

    @pytest.mark.parametrize("name", ["../pictures/a.png", "/pictures/a.png", "../../a.png"])
    def test_a_folder_of_masks_is_never_left(self, name: str, tmp_path: Path) -> None:
        for folder in ("masks", "pictures", "masks/pictures"):
            (tmp_path / folder).mkdir()
        Image.new("L", (8, 8), 255).save(tmp_path / "pictures" / "a.png")
        Image.new("L", (8, 8), 255).save(tmp_path / "a.png")
        masks = Masks(tmp_path / "masks")
        assert masks.region(name, (8, 8, 1)) is None
        (tmp_path / "pictures" / "a.png").rename(tmp_path / "masks/pictures/a.png")
        assert (masks.region(name, (8, 8, 1)) is None) == name.startswith("../../")

    def test_the_names_of_the_data_count_only_where_there_is_no_folder(self, tmp_path: Path) -> None:
        file = self.square(tmp_path, 8, (0, 0, 4, 4))
        assert Masks(tmp_path).named_by({"a": file}).files == {}
        assert Masks().named_by({"a": file}).files == {"a": file}
        with pytest.raises(OptionError, match="no column 'mask'"):
            Masks().named_by(None)
