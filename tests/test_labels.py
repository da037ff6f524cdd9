"""Labels in every container, and data of every layout that people bring."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from auditor.config.file import AuditConfig
from auditor.config.sections import DataConfig, ModelConfig
from auditor.errors import DataError
from auditor.subject.data.folders import FolderSource
from auditor.subject.data.labels import find_class, is_labelled, read_labels
from auditor.subject.data.manifests import WrittenLabel
from auditor.subject.data.naming import OF_ARRAYS, Naming
from auditor.subject.data.sample import Dataset, open_dataset, to_model_image
from auditor.subject.data.sources import NpzSource, open_source
from tests import data_kinds
from tests.closed_form import MemorySource, random_images

CLASSES = ("cat", "dog", "boat")
RANDOM = np.random.default_rng(0)


class TestNumbers:
    """Numbers are places, text is a name."""

    CALLED = ("0", "1", "10", "2")

    @pytest.mark.parametrize(("label", "place"), [(2, 2), (np.int64(2), 2), (2.0, 2), ("2", 3), (WrittenLabel("2"), 3)])
    def test_are_places_and_text_is_a_name(self, label, place):
        assert read_labels([label], self.CALLED, False).argmax() == place

    def test_where_they_may_be_meant_for_names_that_is_said(self):
        def notes(labels, classes):
            source = MemorySource(random_images(4, (4, 4, 1)), labels)
            return Dataset(source, classes=classes, image_shape=(4, 4, 1)).notes

        (note,) = notes([0, 1, 2, 3], self.CALLED)
        assert note.startswith("Labels are numbers, which are places from 0 and no names: 2 is the class called '10'")
        assert notes(["0", "1", "2", "10"], self.CALLED) == []
        assert notes([0, 1, 2, 3], ("0", "1", "2", "3")) == []
        assert notes([0, 1, 2, 3], ("a", "b", "c", "d")) == []


class TestContainers:
    @pytest.mark.parametrize(
        "label",
        [
            1,
            1.0,
            np.float32(1),
            np.int64(1),
            "dog",
            b"dog",
            np.bytes_(b"dog"),
            [1],
            np.array([1.0]),
            np.array([b"dog"]),
            [0, 1, 0],
            np.array([0.0, 1.0, 0.0], np.float32),
            WrittenLabel("1.0"),
            WrittenLabel("dog"),
        ],
    )
    def test_one_class_is_one_class_however_it_is_written(self, label):
        assert read_labels([label, None], CLASSES, False).tolist() == [[False, True, False], [False] * 3]

    @pytest.mark.parametrize("label", [WrittenLabel("10"), WrittenLabel("10.0"), b"10", "10"])
    def test_a_class_that_is_called_by_a_number_is_found_by_its_name(self, label):
        assert read_labels([label], ("0", "1", "10", "2"), False).tolist() == [[False, False, True, False]]

    @pytest.mark.parametrize(
        ("label", "message"),
        [
            (1.5, "labels that the model lacks: '1.5'"),
            (3.0, "labels that the model lacks: '3'"),
            (b"cow", "labels that the model lacks: 'cow'"),
            ([1, 1, 0], "a label row names 2 classes, wanted one"),
            ([0.2, 0.8, 0.0], r"a label row holds 0\.2, wanted 0 or 1 for each class"),
            ([0, 1], "a label is a row of 2 values, wanted a class"),
        ],
    )
    def test_what_names_no_class_is_said(self, label, message):
        with pytest.raises(DataError, match=message):
            read_labels([label], CLASSES, False)

    def test_none_of_the_classes_can_be_said_of_a_multilabel_image(self):
        labels = [WrittenLabel("none"), WrittenLabel("cat|boat"), None]
        assert read_labels(labels, CLASSES, True).tolist() == [[False] * 3, [True, False, True], [False] * 3]
        assert read_labels(labels[:1], ("none", "cat"), True).tolist() == [[True, False]]

    @pytest.mark.parametrize("form", ["NFC", "NFD"])
    def test_signs_may_be_composed_either_way(self, form):
        other = {"NFC": "NFD", "NFD": "NFC"}[form]
        classes = tuple(unicodedata.normalize(form, name) for name in ("Käse", "Brot"))
        label = unicodedata.normalize(other, "Käse")
        assert read_labels([label], classes, False).tolist() == [[True, False]]
        assert find_class(label, classes) == 0

    def test_a_table_names_classes_by_their_numbers_where_they_are_called_so(self):
        named = [WrittenLabel("1"), WrittenLabel("2.0")]
        assert read_labels(named, ("1", "2", "3"), False).argmax(axis=1).tolist() == [0, 1]
        with pytest.raises(DataError, match="labels that the model lacks: '0'"):
            read_labels([*named, WrittenLabel("0")], ("1", "2", "3"), False)
        placed = [WrittenLabel("0"), WrittenLabel("1")]  # none of these is a name, so they are places
        assert read_labels(placed, ("3", "8"), False).argmax(axis=1).tolist() == [0, 1]

    def test_what_is_no_number_is_no_label(self):
        assert is_labelled([1.0, float("nan"), None, "", "cat"], 5).tolist() == [True, False, False, False, True]


class TestNaming:
    @pytest.mark.parametrize(
        ("names", "images", "labels"),
        [
            (["images", "labels"], "images", "labels"),
            (["x", "y"], "x", "y"),
            (["X", "Y"], "X", "Y"),
            (["image", "label"], "image", "label"),
            (["x_train", "y_train", "x_test", "y_test"], "x_test", "y_test"),
            (["Images ", "Target"], "Images ", "Target"),
            (["x_test", "other"], "x_test", None),
        ],
    )
    def test_usual_names_are_taken_and_a_guess_is_said(self, names, images, labels):
        naming = Naming(names, OF_ARRAYS, "array")
        assert (naming.find("images"), naming.find("labels")) == (images, labels)
        guessed = [name for name in (images, labels) if name is not None and name not in ("images", "labels")]
        assert len([note for note in naming.notes if "which is a guess" in note]) == len(guessed)

    def test_labels_go_with_the_images_that_the_user_names(self):
        naming = Naming(["x_train", "y_train", "x_test", "y_test"], OF_ARRAYS, "array", {"images": "x_train"})
        assert (naming.find("images"), naming.find("labels")) == ("x_train", "y_train")

    def test_an_npz_of_any_keys_is_read(self, tmp_path):
        pixels = RANDOM.integers(0, 255, (4, 5, 5), np.uint8)
        np.savez(tmp_path / "a.npz", x_test=pixels, y_test=np.array([[0], [1], [2], [0]]), other=pixels)
        source = NpzSource(tmp_path / "a.npz")
        dataset = Dataset(source, classes=CLASSES, image_shape=(5, 5, 1))
        assert dataset.truth.argmax(axis=1).tolist() == [0, 1, 2, 0]
        assert [next(iter(dataset.batches(4))).images.shape, len(dataset.notes)] == [(4, 5, 5, 1), 2]
        source = NpzSource(tmp_path / "a.npz", declared={"images": "other", "labels": "y_test"})
        assert (source.notes, source.labels) == ([], [[0], [1], [2], [0]])


def save(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(RANDOM.integers(0, 255, (6, 6, 3)).astype(np.uint8)).save(folder / name, "PNG")


class TestFolders:
    def test_pictures_of_rare_suffixes_and_of_none_are_read(self, tmp_path):
        save(tmp_path, "cat/a.jfif", "cat/b.jpe", "dog/c", "dog/d.png")
        source = FolderSource(tmp_path)
        assert source.ids == ["cat/a.jfif", "cat/b.jpe", "dog/c", "dog/d.png"]
        assert source.notes == []

    def test_what_is_left_out_is_counted_and_named(self, tmp_path):
        save(tmp_path, "cat/a.png", "dog/b.png")
        for name in ("cat/notes.txt", "dog/more.txt", "dog/scan.avif", "README"):
            (tmp_path / name).write_text("no picture")
        source = FolderSource(tmp_path)
        assert source.ids == ["cat/a.png", "dog/b.png"]
        assert source.notes == [
            "4 files are no pictures by their names and are left out: .txt (2), without a suffix (1), .avif (1)."
        ]

    @pytest.mark.parametrize(
        ("splits", "taken"), [(("train", "test"), "test"), (("Train", "val"), "val"), (("test",), "test")]
    )
    def test_classes_lie_below_the_parts_of_a_data_set(self, splits, taken, tmp_path):
        for split in splits:
            save(tmp_path, f"{split}/cat/a.png", f"{split}/dog/b.png")
        source = FolderSource(tmp_path)
        assert source.labels == ["cat", "dog"]
        assert source.ids == [f"{taken}/cat/a.png", f"{taken}/dog/b.png"]
        assert source.notes[0].startswith(f"The images of {taken} are audited")

    def test_a_class_may_be_called_like_a_part(self, tmp_path):
        save(tmp_path, "train/a.png", "plane/b.png")
        assert FolderSource(tmp_path).labels == ["plane", "train"]


class TestRange:
    @pytest.mark.parametrize("edge", [1.0000001, 1.0005, -1e-7])
    def test_a_rounding_error_is_none(self, edge):
        pixels = RANDOM.random((4, 4, 3))
        pixels[0, 0] = edge
        found = to_model_image(pixels, (4, 4, 3), "exact", "a")
        assert 0 <= found.min() <= found.max() <= 1

    def test_what_is_more_is_said_with_all_its_digits(self):
        with pytest.raises(
            DataError, match=r"in \[0, 1\.0123457\], wanted uint8 or|in \[0, 1\.0123457\], wanted uint8"
        ):
            to_model_image(np.array([[0.0, 1.0123457]]), (1, 2, 1), "exact", "a")

    @pytest.mark.parametrize(
        ("values", "limits"),
        [
            (np.array([[-1024, 3071]], np.int16), (-1024, 3071)),
            (np.array([[-1024.0, 3071.0]]), (-1024, 3071)),
            (np.array([[0, 4095]], np.uint16), (0, 4095)),
            (np.array([[0, 65535]], np.uint16), None),
            (np.array([[-1.0, 1.0]]), (-1, 1)),
            (np.array([[0.0, 255.0]]), (0, 255)),
        ],
    )
    def test_black_and_white_are_what_the_user_says(self, values, limits):
        assert to_model_image(values, (1, 2, 1), "exact", "a", limits).ravel().tolist() == [0, 1]

    def test_twelve_bits_in_sixteen_are_suspected_and_never_assumed(self, tmp_path):
        np.savez(tmp_path / "a.npz", images=RANDOM.integers(0, 4096, (3, 5, 5)).astype(np.uint16))
        plain, said = (
            Dataset(NpzSource(tmp_path / "a.npz"), classes=CLASSES, image_shape=(5, 5, 1), limits=limits)
            for limits in (None, (0, 4095))
        )
        dark, full = (next(iter(dataset.batches(3))).images for dataset in (plain, said))
        assert dark.max() < 0.07 < 0.9 < full.max()
        assert "range = [0, 4095]" in plain.notes[0]
        assert said.notes == []

    @pytest.mark.parametrize(
        ("pixels", "limits"),
        [
            (RANDOM.integers(-1024, 3072, (30, 5, 5)).astype(np.int16), (-1024.0, 3071.0)),
            (RANDOM.uniform(-1024, 3071, (30, 5, 5)), (-1024.0, 3071.0)),
            (RANDOM.uniform(0, 255, (30, 5, 5)).astype(np.float32), (0.0, 255.0)),
        ],
    )
    def test_values_in_the_units_of_the_model_are_read_so_and_that_is_said(self, pixels, limits, tmp_path):
        np.savez(tmp_path / "a.npz", images=pixels)

        def opened(**data):
            model = ModelConfig(source="m.keras", input_range=limits)
            config = AuditConfig(model=model, data=DataConfig(source="a.npz", **data), file=tmp_path / "audit.toml")
            options = {"classes": CLASSES, "image_shape": (5, 5, 1), "multilabel": False}
            return open_dataset(config, open_source(config), **options)

        dataset = opened()
        expected = (pixels - limits[0]) / (limits[1] - limits[0])
        np.testing.assert_allclose(dataset.images(range(30))[..., 0], expected, atol=1e-5)
        assert "which is a guess" in dataset.notes[0]
        assert opened(range=limits).notes == []

    def test_whoever_says_no_range_gets_one_sentence(self, tmp_path):
        np.savez(tmp_path / "a.npz", images=RANDOM.integers(-1024, 3072, (3, 5, 5)).astype(np.int16))
        with pytest.raises(
            DataError, match=r"image 0 is int16, wanted uint8 .* range = \[black, white\] under \[data\]"
        ):
            Dataset(NpzSource(tmp_path / "a.npz"), classes=CLASSES, image_shape=(5, 5, 1)).images([0])


def test_the_page_of_all_kinds_says_what_happens():
    assert data_kinds.PAGE.read_text("utf-8") == data_kinds.write_page()


class TestFoldersBehindLinks:
    def test_are_looked_into_once(self, tmp_path):
        data, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
        for folder in (data / "cat", elsewhere):
            folder.mkdir(parents=True)
            Image.fromarray(np.zeros((4, 4), np.uint8)).save(folder / "one.png")
        (data / "cat" / "more").symlink_to(elsewhere)
        (data / "cat" / "again").symlink_to(elsewhere)
        (data / "dog").symlink_to(elsewhere)
        source = FolderSource(data)
        assert source.labels == ["cat", "cat", "dog"]
        assert len(set(source.ids)) == 3

    def test_that_lead_back_are_left_out(self, tmp_path):
        (tmp_path / "cat").mkdir()
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "cat" / "one.png")
        (tmp_path / "cat" / "itself").symlink_to(tmp_path / "cat")
        (tmp_path / "cat" / "above").symlink_to(tmp_path.parent)
        assert FolderSource(tmp_path).ids == ["cat/one.png"]


class TestWholeNumbersOfTwoValues:
    @staticmethod
    def images_of(tmp_path, pixels, **options):
        np.savez(tmp_path / "data.npz", images=pixels, labels=np.arange(len(pixels)) % 3)
        config = AuditConfig(
            model=ModelConfig(source="m"), data=DataConfig(source="data.npz", **options), file=tmp_path / "audit.toml"
        )
        dataset = open_dataset(config, open_source(config), classes=CLASSES, image_shape=(4, 4, 1), multilabel=False)
        return dataset.images(range(len(pixels))), dataset.notes

    @pytest.mark.parametrize(("options", "white"), [({}, 1), ({"range": (0, 1)}, 1), ({"range": (0, 255)}, 1 / 255)])
    def test_are_black_and_white_unless_the_user_says_otherwise(self, tmp_path, options, white):
        pixels = RANDOM.integers(0, 2, (9, 4, 4)).astype(np.uint8)
        images, notes = self.images_of(tmp_path, pixels, **options)
        np.testing.assert_allclose(images[..., 0], pixels * np.float32(white))
        assert len(notes) == (not options)
        assert all("which is a guess; range = [0, 255] under [data]" in note for note in notes)

    def test_a_range_within_8_bits_counts_for_them(self, tmp_path):
        images, _ = self.images_of(tmp_path, np.full((6, 4, 4), 8, np.uint8), range=(0, 16))
        np.testing.assert_allclose(images, 0.5)


@pytest.mark.parametrize(("images", "labels"), [("test_images", "test_labels"), ("images_val", "labels_val")])
def test_labels_are_those_of_the_images(images, labels):
    naming = Naming([images, labels, "train_labels", "y_train"], OF_ARRAYS, "array")
    assert (naming.find("images"), naming.find("labels")) == (images, labels)


def test_names_of_classes_in_the_data_are_told(tmp_path):
    pixels = RANDOM.integers(0, 256, (6, 4, 4)).astype(np.uint8)
    np.savez(tmp_path / "data.npz", images=pixels, class_names=np.array(CLASSES))
    config = AuditConfig(model=ModelConfig(source="m"), data=DataConfig(source="data.npz"), file=tmp_path / "a.toml")
    options = {"image_shape": (4, 4, 1), "multilabel": False}
    (note,) = open_dataset(config, open_source(config), classes=("0", "1", "2"), **options).notes
    assert "labels = ['cat', 'dog', 'boat'] under [model] would name the outputs so" in note
