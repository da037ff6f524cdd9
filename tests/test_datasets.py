"""Images are streamed, sampled and shaped: lazily, repeatably, and in order."""

from __future__ import annotations

import gc
import os
import tracemalloc
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from auditor.errors import DataError
from auditor.subject.data.npz import NpzReader
from auditor.subject.data.pictures import CorruptImageError
from auditor.subject.data.sample import Dataset, to_grey, to_model_image
from auditor.subject.data.sources import FolderSource, FunctionSource, NpzSource, first_image_shape

CLASSES = ("cat", "dog", "boat")
RANDOM = np.random.default_rng(0)


def save(folder: Path, *, compressed: bool = False, **arrays: Any) -> NpzSource:
    file = folder / "images.npz"
    (np.savez_compressed if compressed else np.savez)(file, **arrays)
    return NpzSource(file)


def noise(count: int, *shape: int) -> Any:
    return RANDOM.integers(0, 256, (count, *shape), dtype=np.uint8)


def open_sample(source: Any, *, shape: tuple[int, int, int] = (8, 8, 1), **options: Any) -> Dataset:
    return Dataset(source, classes=CLASSES, image_shape=shape, **options)


def all_images(dataset: Dataset, size: int = 7) -> Any:
    return np.concatenate([batch.images for batch in dataset.batches(size)])


def digest(sample: Dataset) -> str:
    return sample.sha256(np.arange(len(sample)))


class TestSampling:
    labels = np.repeat([0, 1, 2], [90, 9, 1])

    def sample(self, tmp_path: Path, **options: Any) -> Dataset:
        return open_sample(save(tmp_path, images=noise(100, 8, 8), labels=self.labels), **options)

    def test_without_a_limit_it_is_everything_in_order(self, tmp_path: Path) -> None:
        for limit in (None, 100, 101):
            assert self.sample(tmp_path, limit=limit).ids == [f"{number:02}" for number in range(100)]

    @pytest.mark.parametrize("limit", [1, 3, 10, 31, 99])
    def test_it_holds_just_as_many_as_the_limit_in_ascending_order(self, limit: int, tmp_path: Path) -> None:
        dataset = self.sample(tmp_path, limit=limit)
        assert len(dataset) == limit
        assert dataset.ids == sorted(set(dataset.ids))
        assert dataset.available == 100

    @pytest.mark.parametrize(("limit", "counts"), [(3, [1, 1, 1]), (6, [3, 2, 1]), (21, [11, 9, 1]), (40, [30, 9, 1])])
    def test_it_is_as_even_over_the_classes_as_they_allow(self, limit: int, counts: list[int], tmp_path: Path) -> None:
        for seed in range(5):
            dataset = self.sample(tmp_path, limit=limit, seed=seed)
            assert dataset.truth is not None
            found = dataset.truth.sum(axis=0)
            assert found.sum() == limit
            assert found[2] == 1
            assert abs(int(found[0]) - counts[0]) <= 1
            assert abs(int(found[1]) - counts[1]) <= 1

    def test_of_a_class_that_is_asked_about_there_are_thirty_and_of_no_more_than_a_third(self, tmp_path: Path) -> None:
        source = save(tmp_path, images=noise(500, 8, 8), labels=np.arange(500) % 10)
        for limit, count in ((100, 30), (60, 20), (400, 40)):
            dataset = Dataset(source, classes=tuple("abcdefghij"), image_shape=(8, 8, 1), limit=limit, wanted=(7,))
            assert dataset.truth is not None
            assert (len(dataset), dataset.truth[:, 7].sum()) == (limit, count)

    def test_a_seed_gives_one_sample_and_another_seed_another(self, tmp_path: Path) -> None:
        first, again, other = (self.sample(tmp_path, limit=20, seed=seed).ids for seed in (1, 1, 2))
        assert first == again
        assert first != other

    def test_labels_groups_and_arrays_stay_with_their_images(self, tmp_path: Path) -> None:
        images = np.arange(100, dtype=np.uint8)[:, None, None] * np.ones((8, 8), np.uint8)
        source = save(
            tmp_path, images=images, labels=np.arange(100) % 3, groups=np.arange(100) // 5, mark=np.arange(100) % 2 == 0
        )
        dataset = open_sample(source, limit=17)
        numbers = np.round(all_images(dataset)[:, 0, 0, 0] * 255).astype(int)
        assert [int(name) for name in dataset.ids] == numbers.tolist()
        assert dataset.truth is not None
        assert dataset.truth.argmax(axis=1).tolist() == (numbers % 3).tolist()
        assert [dataset.group_names[group] for group in dataset.groups] == [str(number // 5) for number in numbers]
        assert dataset.array("mark").tolist() == (numbers % 2 == 0).tolist()  # type: ignore[union-attr]

    def test_without_groups_every_image_is_its_own(self, tmp_path: Path) -> None:
        dataset = open_sample(save(tmp_path, images=noise(5, 8, 8)))
        assert [dataset.group_names[group] for group in dataset.groups] == dataset.ids

    def test_without_labels_nothing_is_true_and_nothing_labelled(self, tmp_path: Path) -> None:
        dataset = open_sample(save(tmp_path, images=noise(5, 8, 8)), limit=3)
        assert dataset.truth is None
        assert not dataset.labelled.any()

    def test_labels_may_be_names_numbers_or_missing(self) -> None:
        for labels in (["cat", "boat", None], [0, 2, None]):
            dataset = open_sample(FunctionSource(lambda labels=labels: items(labels), "mine"))
            assert dataset.truth is not None
            np.testing.assert_array_equal(dataset.truth, [[True, False, False], [False, False, True], [False] * 3])
            assert dataset.labelled.tolist() == [True, True, False]

    def test_a_number_in_text_is_the_name_of_a_class_and_not_its_place(self, tmp_path: Path) -> None:
        source = save(tmp_path, images=noise(2, 8, 8), labels=np.array(["7", "9"]))
        dataset = Dataset(source, classes=("9", "7"), image_shape=(8, 8, 1))
        assert dataset.truth is not None
        assert dataset.truth.argmax(axis=1).tolist() == [1, 0]

    def test_an_image_may_have_several_labels_where_classes_are_independent(self, tmp_path: Path) -> None:
        rows = np.array([[1, 0, 1], [0, 0, 0]])
        dataset = open_sample(save(tmp_path, images=noise(2, 8, 8), labels=rows), multilabel=True)
        np.testing.assert_array_equal(dataset.truth, rows.astype(bool))
        with pytest.raises(DataError, match="2 values, wanted 3: one per class"):
            open_sample(save(tmp_path, images=noise(2, 8, 8), labels=rows[:, :2]), multilabel=True)


class TestStreaming:
    @pytest.mark.parametrize("compressed", [False, True])
    @pytest.mark.parametrize("shape", [(8, 8), (8, 8, 1), (8, 8, 3)])
    def test_it_gives_what_numpy_loads(self, compressed: bool, shape: tuple[int, ...], tmp_path: Path) -> None:
        images = noise(23, *shape)
        channels = shape[2] if len(shape) == 3 else 1
        dataset = open_sample(save(tmp_path, compressed=compressed, images=images), shape=(8, 8, channels))
        expected = images.reshape(23, 8, 8, channels).astype(np.float32) / 255
        np.testing.assert_array_equal(all_images(dataset), expected)
        np.testing.assert_array_equal(all_images(dataset, 64), expected)

    def test_one_that_is_not_read_to_its_end_is_closed_with_it(self, tmp_path: Path):
        source: Any = save(tmp_path, images=np.zeros((5, 2, 2), np.uint8))
        assert len(list(source.stream([0, 1]))) == 2
        source.itself = source  # whatever is collected in a circle goes in any order
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            del source
            gc.collect()
        assert [str(each.message) for each in told] == []

    @pytest.mark.parametrize("compressed", [False, True])
    def test_who_asks_for_parts_in_turn_has_the_file_read_once(
        self, compressed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        images, begun = noise(50, 8, 8), []
        source = save(tmp_path, compressed=compressed, images=images)
        begin = NpzReader.__init__
        monkeypatch.setattr(NpzReader, "__init__", lambda *words: (begun.append(words), begin(*words))[1])

        def read(*rows: int) -> None:
            for row, image in source.stream(rows):
                np.testing.assert_array_equal(image, images[row])

        for first in (0, 10, 30):
            read(first, first + 2, first + 9)
        assert len(begun) == 1
        both = zip(source.stream([40, 41]), source.stream([43, 44]), strict=True)  # neither moves the other on
        assert [(one[0], other[0]) for one, other in both] == [(40, 43), (41, 44)]
        read(3, 49)
        read(48, 49)
        assert len(begun) == 4

    @pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4"])
    def test_floats_are_taken_as_they_are(self, dtype: str, tmp_path: Path) -> None:
        images = RANDOM.random((5, 8, 8, 1)).astype(dtype)
        found = all_images(open_sample(save(tmp_path, images=images)))
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, images.astype(np.float32))

    def test_some_rows_come_in_ascending_order_and_no_others(self, tmp_path: Path) -> None:
        dataset = open_sample(save(tmp_path, images=noise(50, 8, 8)), limit=30)
        rows = [2, 3, 17, 29]
        batches = list(dataset.batches(3, rows))
        assert [len(batch.ids) for batch in batches] == [3, 1]
        assert np.concatenate([batch.positions for batch in batches]).tolist() == rows
        assert [name for batch in batches for name in batch.ids] == [dataset.ids[row] for row in rows]

    def test_images_come_in_the_order_asked_for_however_often(self, tmp_path: Path) -> None:
        dataset = open_sample(save(tmp_path, images=noise(50, 8, 8)), limit=30)
        rows = [29, 2, 17, 2, 3]
        np.testing.assert_array_equal(dataset.images(rows), all_images(dataset)[rows])
        np.testing.assert_array_equal(dataset.images(np.array(rows)), all_images(dataset)[rows])

    def test_no_rows_are_no_images(self, tmp_path: Path) -> None:
        dataset = open_sample(save(tmp_path, images=noise(3, 8, 8)))
        assert dataset.images([]).shape == (0, 8, 8, 1)

    def test_memory_does_not_grow_with_the_number_of_images(self, tmp_path: Path) -> None:
        peaks = {}
        for count in (200, 4000):
            dataset = open_sample(save(tmp_path, compressed=True, images=noise(count, 32, 32)), shape=(32, 32, 1))
            tracemalloc.start()
            seen = sum(len(batch.ids) for batch in dataset.batches(20))
            _, peaks[count] = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert seen == count
        bookkeeping = 4000 * 200  # bytes: a row number and a place in a table for each image, no pixels
        assert peaks[4000] < peaks[200] + bookkeeping < 4000 * 32 * 32

    def test_the_fingerprint_is_that_of_the_file_or_else_of_the_pixels(self, tmp_path: Path) -> None:
        images = noise(3, 8, 8)
        by_file = digest(open_sample(save(tmp_path, images=images)))
        assert by_file == digest(open_sample(save(tmp_path, images=images)))
        assert by_file != digest(open_sample(save(tmp_path, images=images[::-1])))
        by_pixels = [digest(open_sample(FunctionSource(lambda n=n: items(["cat"] * n), "mine"))) for n in (3, 3, 4)]
        assert by_pixels[0] == by_pixels[1] != by_pixels[2]

    def test_the_first_readable_image_tells_the_shape(self, tmp_path: Path) -> None:
        assert first_image_shape(save(tmp_path, images=noise(3, 8, 9, 3))) == (8, 9, 3)
        assert first_image_shape(save(tmp_path, images=noise(3, 8, 9))) == (8, 9, 1)
        write_pictures(tmp_path / "a", 3, corrupt=[0, 1])
        assert first_image_shape(FolderSource(tmp_path / "a")) == (8, 8, 1)


def items(labels: list[Any]) -> Iterator[tuple[Any, Any, Any, Any]]:
    for number, label in enumerate(labels):
        yield np.full((8, 8), number, np.uint8), label, number, None


def write_pictures(folder: Path, count: int, corrupt: list[int] | None = None) -> None:
    (folder / "cat").mkdir(parents=True)
    for number in range(count):
        file = folder / "cat" / f"{number:02}.png"
        if number in (corrupt or []):
            file.write_bytes(b"no picture")
        else:
            Image.new("L", (8, 8), number).save(file)


class TestFolders:
    def test_folders_are_classes_and_files_their_images(self, tmp_path: Path) -> None:
        for name in ("dog/b.png", "dog/a.JPG", "cat/deep/c.png", "cat/note.txt", ".hidden/d.png", "dog/._b.png"):
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (8, 8)).save(file, "PNG")
        source = FolderSource(tmp_path)
        assert source.ids == ["cat/deep/c.png", "dog/a.JPG", "dog/b.png"]
        assert source.labels == ["cat", "dog", "dog"]
        assert source.array("anything") is None

    def test_pictures_directly_in_it_are_unlabelled(self, tmp_path: Path) -> None:
        for name in ("b.PNG", "a.jpg", ".c.png", "note.txt"):
            Image.new("L", (8, 8)).save(tmp_path / name, "PNG")
        (tmp_path / "empty").mkdir()
        (tmp_path / "empty" / "note.txt").touch()
        source = FolderSource(tmp_path)
        assert (source.ids, source.labels, source.groups) == (["a.jpg", "b.PNG"], None, None)
        assert open_sample(source).truth is None

    def test_pictures_both_in_it_and_in_its_folders_are_refused(self, tmp_path: Path) -> None:
        write_pictures(tmp_path, 2)
        Image.new("L", (8, 8)).save(tmp_path / "loose.png")
        with pytest.raises(DataError) as fault:
            FolderSource(tmp_path)
        assert str(fault.value) == (
            f"{tmp_path}: got pictures both directly in it (1, as loose.png) and in folders (2, as cat/00.png); "
            "wanted a folder per class, or unlabelled pictures alone"
        )

    def test_a_class_may_be_a_link_to_a_folder_elsewhere(self, tmp_path: Path) -> None:
        write_pictures(tmp_path / "elsewhere", 2)
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "dog").symlink_to(tmp_path / "elsewhere" / "cat")
        assert FolderSource(tmp_path / "data").ids == ["dog/00.png", "dog/01.png"]

    def test_a_corrupt_file_is_skipped_and_named_and_all_others_kept(self, tmp_path: Path) -> None:
        write_pictures(tmp_path, 30, corrupt=[7])
        dataset = open_sample(FolderSource(tmp_path))
        for _ in range(2):
            seen = list(dataset.batches(10))
            assert [len(batch.ids) for batch in seen] == [9, 10, 10]  # each of ten rows
            np.testing.assert_array_equal(
                np.round(np.concatenate([batch.images for batch in seen])[:, 0, 0, 0] * 255),
                [number for number in range(30) if number != 7],
            )
            assert list(dataset.skipped) == [7]
            assert dataset.skipped[7].image == "cat/07.png"

    @pytest.mark.parametrize(("corrupt", "ends"), [(1, False), (2, True)])
    def test_more_corrupt_files_than_allowed_end_it(self, corrupt: int, ends: bool, tmp_path: Path) -> None:
        write_pictures(tmp_path, 20, corrupt=list(range(corrupt)))
        dataset = open_sample(FolderSource(tmp_path), max_corrupt=0.05)
        if ends:
            with pytest.raises(DataError, match=r"at least 2 of 20 images cannot be used.*the first is cat/00\.png"):
                all_images(dataset)
        else:
            assert len(all_images(dataset)) == 19

    def test_a_name_that_is_not_utf_8_is_spelt_out(self, tmp_path: Path) -> None:
        (tmp_path / "cat").mkdir()
        try:
            Image.new("L", (8, 8)).save(os.fsdecode(os.fsencode(tmp_path) + b"/cat/\xe9.png"))
        except OSError:
            pytest.skip("this file system takes no such names")
        (name,) = FolderSource(tmp_path).ids
        assert name == "cat/\\xe9.png"
        assert name.encode("utf-8")


class TestShapes:
    @pytest.mark.parametrize("fit", ["resize", "crop"])
    @pytest.mark.parametrize("size", [(8, 8), (16, 24), (24, 16), (5, 7), (1, 1), (8, 9)])
    @pytest.mark.parametrize("channels", [1, 3])
    def test_any_size_is_brought_to_the_models_and_stays_in_range(
        self, fit: Any, size: tuple[int, int], channels: int
    ) -> None:
        found = to_model_image(noise(1, *size, 3)[0], (8, 8, channels), fit, "a")
        assert found.shape == (8, 8, channels)
        assert found.dtype == np.float32
        assert 0 <= found.min() <= found.max() <= 1

    @pytest.mark.parametrize("fit", ["exact", "resize", "crop"])
    def test_the_right_size_is_left_alone_to_the_bit(self, fit: Any) -> None:
        image = noise(1, 8, 8, 3)[0]
        np.testing.assert_array_equal(to_model_image(image, (8, 8, 3), fit, "a"), image.astype(np.float32) / 255)

    def test_resizing_keeps_everything_and_cropping_the_centre(self) -> None:
        image = np.zeros((8, 24), np.uint8)
        image[:, :8] = 255
        assert to_model_image(image, (8, 8, 1), "resize", "a").mean() == pytest.approx(1 / 3, abs=0.05)
        assert to_model_image(image, (8, 8, 1), "crop", "a").max() == 0
        image[:, 8:16] = 128
        np.testing.assert_allclose(to_model_image(image, (8, 8, 1), "crop", "a"), 128 / 255)

    @pytest.mark.parametrize("fit", ["resize", "crop"])
    def test_a_large_photograph_is_averaged_and_not_picked_from(self, fit: Any) -> None:
        photograph = RANDOM.integers(0, 256, (512, 512, 3), dtype=np.uint8)
        area = photograph.reshape(16, 32, 16, 32, 3).mean(axis=(1, 3)) / 255
        picked = photograph[16::32, 16::32] / 255
        found = to_model_image(photograph, (16, 16, 3), fit, "a")
        chance = 255 / np.sqrt(12) / 255 / 32  # how far the mean of 32 x 32 such numbers strays
        assert np.abs(found - area).max() < 6 * chance < 0.1 < np.abs(picked - area).std()
        board = (np.indices((512, 512)).sum(axis=0) % 2 * 255).astype(np.uint8)
        np.testing.assert_allclose(to_model_image(board, (16, 16, 1), fit, "a"), 0.5, atol=0.02)

    @pytest.mark.parametrize("fit", ["resize", "crop"])
    def test_one_tone_stays_that_tone(self, fit: Any) -> None:
        image = np.full((13, 17, 3), (10, 200, 90), np.uint8)
        found = to_model_image(image, (8, 8, 3), fit, "a")
        np.testing.assert_allclose(found, np.broadcast_to(image[0, 0] / 255, (8, 8, 3)), atol=1e-6)

    def test_grey_for_a_model_of_colour_is_the_same_in_every_channel(self) -> None:
        found = to_model_image(noise(1, 8, 8)[0], (8, 8, 3), "exact", "a")
        np.testing.assert_array_equal(found[..., 0], found[..., 1])
        np.testing.assert_array_equal(found[..., 0], found[..., 2])

    def test_colour_for_a_model_of_grey_is_its_luminance(self) -> None:
        pure = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]], np.uint8)
        found = to_model_image(pure, (1, 4, 1), "exact", "a")
        np.testing.assert_allclose(found[0, :, 0], [0.299, 0.587, 0.114, 1], atol=1e-6)

    def test_grey_made_colour_and_grey_again_is_the_same(self) -> None:
        grey = RANDOM.random((4, 5, 1)).astype(np.float32)
        np.testing.assert_allclose(to_grey(np.repeat(grey, 3, axis=2)), grey, atol=1e-6)

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_what_is_not_finite_spoils_its_image_only(self, value: float) -> None:
        image = np.full((8, 8), value, np.float32)
        with pytest.raises(CorruptImageError, match="NaN or infinite"):
            to_model_image(image, (8, 8, 1), "exact", "a")

    @pytest.mark.parametrize("image", [np.full((8, 8), 1.01), np.full((8, 8), -0.01), np.zeros((8, 8), np.int16)])
    def test_another_range_or_type_is_a_fault_of_all_the_data(self, image: Any) -> None:
        with pytest.raises(DataError, match="wanted uint8"):
            to_model_image(image, (8, 8, 1), "exact", "a")


class TestFunctions:
    def test_its_images_labels_ids_and_groups_are_taken(self) -> None:
        source = FunctionSource(lambda: [(np.zeros((8, 8)), "cat", 5, "g"), (np.ones((8, 8)), None, 6, None)], "mine")
        assert (source.ids, source.labels, source.groups) == (["5", "6"], ["cat", None], ["g", "6"])
        np.testing.assert_array_equal(all_images(open_sample(source))[:, 0, 0, 0], [0, 1])

    def test_what_is_no_array_is_a_corrupt_image(self) -> None:
        source = FunctionSource(
            lambda: [([[0, 1], [0]] if number == 3 else np.zeros((8, 8)), "cat", number, None) for number in range(40)],
            "mine",
        )
        dataset = open_sample(source)
        assert len(all_images(dataset)) == 39
        assert dataset.skipped[3].reason.startswith("not an array: ")

    def test_it_is_asked_for_no_more_images_than_are_wanted(self) -> None:
        given = []

        def make() -> Iterator[Any]:
            for number in range(100):
                given.append(number)
                yield np.zeros((8, 8), np.uint8), "cat", number, None

        dataset = open_sample(FunctionSource(make, "mine"))
        given.clear()
        dataset.images([0, 1, 2])
        assert len(given) <= 4


@pytest.mark.parametrize("row", [[1, 0, -1], [float("nan"), 0, 1], [2, 0, 0]])
def test_a_multilabel_row_of_anything_but_zeros_and_ones_is_refused(row: list[float]) -> None:
    images = [(np.zeros((4, 4), np.uint8), row, "one", None)]
    with pytest.raises(DataError, match="wanted 0 or 1"):
        Dataset(FunctionSource(lambda: images, "mine"), classes=CLASSES, image_shape=(4, 4, 1), multilabel=True)


def test_a_multilabel_row_may_be_an_array() -> None:
    images = [(np.zeros((4, 4), np.uint8), np.array([0, 1, 1]), "one", None)]
    dataset = Dataset(FunctionSource(lambda: images, "mine"), classes=CLASSES, image_shape=(4, 4, 1), multilabel=True)
    np.testing.assert_array_equal(dataset.truth, [[False, True, True]])
