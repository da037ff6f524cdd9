"""Images that show one picture are one group; images that change or give no numbers are left out, and said."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

import auditor
from auditor.errors import DataError
from auditor.subject.data.copies import Copies, merge_groups, sketch
from auditor.subject.data.folders import FolderSource
from auditor.subject.data.sample import Dataset
from auditor.subject.data.sources import NpzSource
from auditor.subject.scoring import score_batches
from auditor.verdict.record import Rule
from auditor.verdict.trial import survey
from tests.closed_form import MemorySource, linear, random_images

PLANTED = Path(__file__).parents[1] / "examples" / "planted"
RANDOM = np.random.default_rng(0)


def find(images, batch=7):
    copies = Copies()
    for start in range(0, len(images), batch):
        rows = np.arange(start, min(start + batch, len(images)))
        copies.add(sketch(rows, images[rows]))
    return [rows.tolist() for rows in copies.find().alike]


class TestFind:
    @pytest.mark.parametrize("shape", [(40, 30, 3), (8, 8, 1), (224, 224, 1)])
    def test_identical_and_recompressed_pictures_are_copies(self, shape):
        images = random_images(20, shape)
        images[5] = images[11]
        images[17] = np.clip(images[11] + RANDOM.normal(0, 0.3 / 255, shape), 0, 1)
        images[2] = images[3]
        assert find(images) == [[2, 3], [5, 11, 17]]

    def test_a_picture_saved_anew_as_jpeg_is_a_copy_of_itself(self, tmp_path):
        rows, columns = np.mgrid[0:96, 0:96] / 96
        first = np.stack([np.sin(9 * rows), np.cos(7 * columns), rows * columns], axis=-1) / 2 + 0.5
        other = np.roll(first, 30, axis=0)
        saved = []
        for number, image in enumerate((first, other)):
            Image.fromarray((image * 255).astype(np.uint8)).save(tmp_path / f"{number}.jpg", quality=80)
            saved.append(np.asarray(Image.open(tmp_path / f"{number}.jpg"), np.float32) / 255)
        assert find(np.stack([first.astype(np.float32), other.astype(np.float32), *saved])) == [[0, 2], [1, 3]]

    def test_photographs_saved_anew_as_small_jpeg_are_copies_of_themselves(self):
        photographs = [skimage.data.astronaut(), skimage.data.coffee(), skimage.data.chelsea(), skimage.data.rocket()]
        cut = [photo[:side, :side] for photo in photographs for side in (300, 240, 180)]
        small = [Image.fromarray(photo).resize((160, 160)) for photo in cut]
        saved = []
        for picture in small:
            kept = io.BytesIO()
            picture.save(kept, "jpeg", quality=20)
            saved.append(Image.open(kept))
        images = np.stack([np.asarray(picture, np.float32) / 255 for picture in [*small, *saved]])
        assert find(images) == [[at, at + 12] for at in range(12)]

    def test_frames_of_one_camera_are_copies_however_many(self):
        frames = np.clip(random_images(1, (32, 32, 1)) + RANDOM.normal(0, 1 / 255, (2000, 32, 32, 1)), 0, 1)
        others = random_images(50, (32, 32, 1), seed=1)
        others[30] = others[10]
        copies, images = Copies(), np.concatenate([frames, others]).astype(np.float32)
        copies.add(sketch(np.arange(len(images)), images))
        found = copies.find()
        assert [len(rows) for rows in found.alike] == [2000, 2]
        assert [rows.tolist() for rows in found.identical] == [[2010, 2030]]

    def test_what_differs_in_light_alone_is_none_however_many(self):
        look, light = random_images(1, (32, 32, 1)), np.linspace(0, 0.5, 40)[:, None, None, None]
        assert find((0.5 * look + light).astype(np.float32)) == []

    def test_pictures_that_differ_in_a_detail_are_none(self):
        images = np.repeat(random_images(1, (64, 64, 1)), 4, axis=0)
        for number in range(4):
            images[number, 8 * number : 8 * number + 6, 10:16] = 1
        assert find(images) == []

    def test_plain_pictures_are_copies_only_where_they_are_identical(self):
        images = np.stack([np.full((20, 20, 1), value, np.float32) for value in (0.5, 0.501, 0.5)])
        assert find(images) == [[0, 2]]

    def test_nothing_is_said_of_no_images_or_of_one(self):
        assert find(random_images(0)) == []
        assert find(random_images(1)) == []


def test_groups_of_copies_are_joined_whatever_groups_they_had():
    groups = np.array(["a", "a", "b", "c", "d", "e"])
    merged = merge_groups(groups, [np.array([1, 2]), np.array([2, 3]), np.array([4, 5])])
    assert merged.tolist() == ["a", "a", "a", "a", "d", "d"]


def look(classifier, dataset):
    options = {"fills": ("mean",), "rule": Rule(), "seed": 0, "batch_size": 8, "progress": lambda *_: None}
    return survey(classifier, dataset, [], **options)


def test_copies_count_once_in_a_survey_and_are_said():
    classifier, images = linear(output="softmax"), random_images(30)
    images[10:20] = images[0]
    dataset = Dataset(MemorySource(images), classes=classifier.classes, image_shape=classifier.image_shape)
    seen = look(classifier, dataset)
    assert len(np.unique(seen.images.groups)) == 20
    assert dataset.notes == [
        "11 images show one picture, the same or nearly so; those of one picture count as one group "
        '(copies = "keep" under [data] takes each as it comes).'
    ]


class TestWhatTheUserSays:
    """Images 0 and 1 are identical, 2 nearly so."""

    @staticmethod
    def groups(copies, given=None):
        classifier, images = linear(output="softmax", shape=(16, 16, 1)), random_images(6, (16, 16, 1))
        images[1] = images[0]
        images[2] = np.clip(images[0] + 0.2 / 255, 0, 1)
        source = MemorySource(images, groups=given)
        options = {"classes": classifier.classes, "image_shape": classifier.image_shape, "copies": copies}
        dataset = Dataset(source, **options)
        seen = look(classifier, dataset)
        return len(np.unique(seen.images.groups)), dataset.notes

    @pytest.mark.parametrize(("copies", "count"), [("auto", 4), ("group", 4), ("keep", 6)])
    def test_of_images_without_groups(self, copies, count):
        assert self.groups(copies)[0] == count

    @pytest.mark.parametrize(("copies", "count"), [("auto", 5), ("group", 4), ("keep", 6)])
    def test_beside_groups_of_the_data(self, copies, count):
        assert self.groups(copies, list("uvwxyz"))[0] == count

    @pytest.mark.parametrize(
        ("copies", "given", "said"),
        [
            ("keep", None, 'their groups stay as they are, as copies = "keep" says.'),
            ("auto", list("uvwxyz"), 'keep 1 of them apart, whose images are not identical (copies = "group"'),
            ("auto", list("uuuxyz"), "those of one picture count as one group"),
        ],
    )
    def test_is_done_and_said(self, copies, given, said):
        (note,) = self.groups(copies, given)[1]
        assert note.startswith("3 images show one picture, the same or nearly so; ")
        assert said in note


class TestImagesThatGo:
    @pytest.fixture
    def folder(self, tmp_path):
        for number in range(30):
            pixels = RANDOM.integers(0, 255, (6, 7, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / f"{number:02}.png")
        return tmp_path

    @pytest.mark.parametrize("change", ["gone", "another"])
    def test_one_that_changes_between_passes_is_left_out_of_later_ones(self, change, folder):
        classifier = linear(output="softmax")
        dataset = Dataset(FolderSource(folder), classes=classifier.classes, image_shape=(6, 7, 3))
        assert len(dataset.images(range(30))) == 30
        if change == "gone":
            (folder / "04.png").unlink()
        else:
            Image.fromarray(np.zeros((6, 7, 3), np.uint8)).save(folder / "04.png")
            os.utime(folder / "04.png", ns=(1, 1))
        rows, images = dataset.read([7, 4, 1])
        assert (rows.tolist(), len(images)) == ([7, 1], 2)
        assert dataset.skipped[4].image == "04.png"
        assert "the images must stay" in dataset.skipped[4].reason
        assert 4 not in look(classifier, dataset).images.positions

    def test_one_that_goes_while_it_is_looked_at_ends_no_audit(self, folder):
        class Removing(FolderSource):
            def stream(self, wanted):
                yield from super().stream(wanted)
                (folder / "04.png").unlink(missing_ok=True)  # after the first pass

        classifier = linear(output="softmax")
        dataset = Dataset(Removing(folder), classes=classifier.classes, image_shape=(6, 7, 3))
        assert look(classifier, dataset).images.positions.tolist() == [at for at in range(30) if at != 4]

    def test_an_npz_that_changes_ends_the_audit_with_a_sentence(self, tmp_path):
        np.savez(tmp_path / "a.npz", images=RANDOM.integers(0, 255, (5, 6, 7, 3)).astype(np.uint8))
        source = NpzSource(tmp_path / "a.npz")
        os.utime(tmp_path / "a.npz", ns=(1, 1))
        with pytest.raises(DataError, match="it was changed while it was audited; the images must stay"):
            list(source.stream([0, 1]))


class TestNoNumbers:
    @staticmethod
    def dataset(bad, max_corrupt=0.1):
        classifier, images = linear(output="softmax"), random_images(40)
        images[bad] = 1
        options = {"classes": classifier.classes, "image_shape": classifier.image_shape, "max_corrupt": max_corrupt}

        class Picky(type(classifier)):
            def scores(self, given):
                from auditor.subject.model.batches import finite

                found = super().scores(given)
                found[(given == 1).all(axis=(1, 2, 3))] = np.nan
                return finite(found, "scores")

        return Picky(classifier.weights, classifier.bias, output="softmax"), Dataset(MemorySource(images), **options)

    def test_an_image_without_a_score_is_skipped_and_named(self):
        classifier, dataset = self.dataset([3, 20])
        positions = np.concatenate([batch.positions for batch, _ in score_batches(classifier, dataset, 8)])
        assert positions.tolist() == [at for at in range(40) if at not in (3, 20)]
        assert [dataset.skipped[at].reason for at in (3, 20)] == ["the model gives no finite score for it"] * 2

    def test_too_many_end_the_audit(self):
        classifier, dataset = self.dataset(list(range(6)))
        with pytest.raises(DataError, match="the first is image 000: the model gives no"):
            list(score_batches(classifier, dataset, 8))


@pytest.mark.slow
def test_pictures_that_go_while_an_audit_explains_end_no_study(tmp_path):
    with np.load(PLANTED / "images.npz") as data:
        pixels, labels = data["images"][:150], data["labels"][:150]
    paths = [tmp_path / f"{number:03}.png" for number in range(150)]
    for path, image in zip(paths, pixels, strict=True):
        Image.fromarray(image.squeeze()).save(path)

    def remove_some(stage, done, total):
        if stage == "explanations" and done == 0:
            for path in paths[::10]:
                path.unlink(missing_ok=True)

    run = auditor.audit(
        PLANTED / "model.keras",
        paths,
        labels,
        classes=(PLANTED / "labels.txt").read_text("utf-8").split("\n")[:10],
        artefacts=[auditor.overlay(PLANTED / "watermark.png", target="Coat")],
        settings={"data": {"limit": "all", "max_corrupt": 0.2}},
        methods={"smoothgrad": {"enabled": False}, "integrated_gradients": {"enabled": False}},
        progress=remove_some,
    )
    assert {unit.status for unit in run.result.units} == {"done"}
    assert "15 images were changed or gone when they were to be explained, and are left out there." in run.warnings
