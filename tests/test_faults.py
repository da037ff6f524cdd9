"""What goes wrong on the way costs no more than it must: memory that runs out, a full disk, pictures that vanish."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from auditor.auditing.resuming import KEPT
from auditor.errors import DataError, ReportError
from auditor.measure.arrays import Floats
from auditor.subject.model.given import GivenClassifier
from tests.closed_form import LinearClassifier, linear, random_images
from tests.small_audits import audit, make_classifier, runs, timeless
from tests.small_world import CLASSES, make_data
from tests.test_resuming import Counting


class Small(LinearClassifier):
    """Its memory holds so many images."""

    most = 8

    def scores(self, images: Floats) -> Floats:
        if len(images) > self.most:
            raise MemoryError
        return super().scores(images)


def small(model: LinearClassifier) -> Small:
    return Small(**{field.name: getattr(model, field.name) for field in dataclasses.fields(model)})


class TestMemory:
    def test_that_runs_out_halves_the_batches_and_that_is_said_once(self, tmp_path: Path):
        wanted = audit(tmp_path / "large").result
        found = audit(tmp_path / "small", model=small(make_classifier())).result
        told = [note.text for note in found.warnings if note.kind == "memory"]
        assert told == [
            "Memory ran out, so the model was asked 8 images at a time; model.batch_size = 8 would begin so."
        ]
        assert [finding.verdict for finding in found.findings] == [finding.verdict for finding in wanted.findings]
        for name, value in wanted.findings[0].measurements.items():
            assert found.findings[0].measurements[name].value == pytest.approx(value.value, abs=1e-4), name
        assert found.exit_code == wanted.exit_code

    def test_that_holds_no_single_image_is_an_error(self):
        model = small(linear())
        model_of_none = GivenClassifier(model, classes=None, image_shape=None, batch_size=64)
        object.__setattr__(model, "most", 0)
        with pytest.raises(MemoryError):
            model_of_none.scores(random_images(3))

    def test_of_a_keras_model_too(self, monkeypatch: pytest.MonkeyPatch):
        from auditor.subject.model import keras as wrapped
        from tests.small_world import make_model

        gathered, sizes = wrapped.gather, list[int]()

        def gather(batches: Any, count: int) -> Any:
            parts = list(batches)
            sizes.append(max(len(part[0]) for part in parts))
            if sizes[-1] > 8:
                raise MemoryError
            return gathered(iter(parts), count)

        images = np.resize(make_data()["images"].astype(np.float32) / 255, (64, *make_data()["images"].shape[1:]))
        targets = np.zeros(len(images), np.int64)
        plain = wrapped.KerasClassifier(make_model(), batch_size=4)
        wanted = plain.differentiate(images, targets)
        monkeypatch.setattr(wrapped, "gather", gather)
        classifier = wrapped.KerasClassifier(make_model(), batch_size=64)
        found = classifier.differentiate(images, targets)
        assert np.allclose(found.gradient, wanted.gradient, atol=1e-6)
        assert np.allclose(classifier.scores(images), plain.scores(images), atol=1e-5)
        assert sizes[:4] == [64, 32, 16, 8]
        assert [note.kind for note in classifier.notes].count("memory") == 1


class Meddling(Counting):
    """Something happens to the pictures before one of its passes."""

    def __init__(self, at: int, happen: Any) -> None:
        super().__init__()
        self._at, self._happen = at, happen

    def scores(self, images: np.ndarray) -> np.ndarray:
        if self.scored == self._at:
            self._happen()
        return super().scores(images)


def write_pictures(folder: Path) -> Path:
    """The small world's images as files in a folder per class."""
    data = make_data()
    for name, image, label in zip(data["ids"], data["images"], data["labels"], strict=True):
        place = folder / CLASSES[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[..., 0]).save(place / f"{name}.png")
    return folder


def audit_folder(folder: Path, pictures: Path, model: Any, **changes: Any) -> Any:
    said = {"ids": None, "groups": None, "images": pictures, "labels": None}
    return audit(folder, model=model, **said | changes)


class TestPictures:
    @pytest.mark.parametrize("part", [*(pytest.param(part, marks=pytest.mark.slow) for part in range(2)), 2])
    def test_one_that_vanishes_before_any_pass_costs_that_picture_alone(self, part: int, tmp_path: Path):
        whole = Meddling(10**9, None)
        audit_folder(tmp_path / "whole", write_pictures(tmp_path / "all"), whole)
        for at in range(part, whole.scored, 3):
            pictures = write_pictures(tmp_path / f"pictures {at}")
            gone = sorted(pictures.rglob("*.png"))[7]
            run = audit_folder(tmp_path / f"run {at}", pictures, Meddling(at, gone.unlink))
            assert [finding.verdict for finding in run.result.findings] == ["relies"], at
            assert {unit.status for unit in run.result.units} == {"done"}, at

    def test_a_folder_that_vanishes_is_said_and_gone_on_with_once_it_is_back(self, tmp_path: Path):
        pictures = write_pictures(tmp_path / "pictures")
        wanted = timeless(audit_folder(tmp_path / "whole", pictures, Meddling(-1, None)).folder)
        away = tmp_path / "away"
        with pytest.raises(DataError, match="images cannot be used") as raised:
            audit_folder(tmp_path / "cut", pictures, Meddling(10, lambda: shutil.move(pictures, away)))
        assert raised.value.__notes__ == [KEPT]
        shutil.move(away, pictures)
        again = Meddling(-1, None)
        run = audit_folder(tmp_path / "cut", pictures, again, resume=True)
        assert timeless(run.folder) == wanted
        assert [each.name for each in runs(tmp_path / "cut")] == [run.folder.name]


def test_a_full_disk_leaves_what_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import errno

    wanted = timeless(audit(tmp_path / "whole", model=Counting()).folder)
    saved = "auditor.run.store._write_parts"

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(saved, full)
        with pytest.raises(ReportError, match="the run cannot be saved: No space left on device") as raised:
            audit(tmp_path / "cut", model=Counting())
    assert raised.value.__notes__ == [KEPT]
    again = Counting()
    assert timeless(audit(tmp_path / "cut", model=again, resume=True).folder) == wanted
    assert again.scored < 12
