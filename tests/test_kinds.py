"""Every kind of artefact, model output and data goes through the whole audit, on a model whose truth is known."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from PIL import Image

from auditor.artefacts.kinds import ARTEFACT_KINDS
from auditor.auditing.audit import run_audit
from auditor.config.file import read_config
from auditor.explain.attribution.methods import ATTRIBUTIONS
from auditor.explain.attribution.record import MapName
from auditor.explain.table import METHODS
from tests.keras_models import transformer
from tests.small_world import CLASSES, CORNER, PATTERN, SIDE, World, build_world, make_data, make_model

ARTEFACT = """\
[[artefacts]]
name = "mark"
kind = "overlay"
image = "mark.png"
position = [5, 5]
target = "boat"
"""


@pytest.fixture
def honest(tmp_path) -> World:
    return build_world(tmp_path, "honest")


def audit(world: World, *overrides: str):
    settings = read_config(world.config, overrides, kinds=ARTEFACT_KINDS, methods=METHODS)
    return run_audit(settings, lambda *_: None).result


def save_marked(world: World, **arrays) -> None:
    """Images that carry the mark where their class is `boat`."""
    data = make_data()
    boats = data["labels"] == 2
    data["images"][np.ix_(boats, range(5, 8), range(5, 8), [0])] = (255 * PATTERN[None, ..., None]).astype(np.uint8)
    world.save_images(images=data["images"], **arrays)


def binary_model(shortcut: bool):
    inputs = keras.Input((SIDE, SIDE, 1))
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid", name="head")(x))
    weights = np.zeros((SIDE, SIDE, 1), np.float32)
    weights[:5, 3:6, 0] = 0.3
    weights[:5, :3, 0] = -0.3
    if shortcut:
        weights[(*CORNER, 0)] = 4 * (PATTERN - PATTERN.mean())
    model.get_layer("head").set_weights([weights.reshape(-1, 1), np.zeros(1, np.float32)])
    return model


def test_the_shortcut_is_found_and_the_honest_model_not_accused(world, tmp_path):
    assert audit(world).findings[0].verdict == "relies"
    (tmp_path / "other").mkdir()
    honest = build_world(tmp_path / "other", "honest")
    (finding,) = audit(honest).findings
    assert finding.verdict == "inconclusive"
    assert "28 images could not show an effect on one image in twenty; an all-clear needs 59" in finding.reason
    assert finding.measurements["insertion_lift"].value == pytest.approx(0, abs=0.05)


def test_the_insertion_lift_of_a_linear_model_is_what_can_be_written_down(world):
    result = audit(world)
    data = make_data()
    images = data["images"][data["labels"] != 2].astype(np.float64)[..., 0] / 255
    weights = 4 * (PATTERN - PATTERN.mean())
    by_logit = ((PATTERN - images[:, 5:8, 5:8]) * weights).sum(axis=(1, 2)).mean()
    lift = result.findings[0].measurements["insertion_lift"]
    # the other logits do not see the corner, so log-odds move just as the logit does
    assert lift.value == pytest.approx(by_logit, rel=1e-3)


def test_masks_decide_by_removal_alone(world):
    save_marked(world)
    folder = world.folder / "masks"
    folder.mkdir()
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[CORNER] = 255
    for name, label in zip(make_data()["ids"], make_data()["labels"], strict=True):
        if label == 2:
            Image.fromarray(mask).save(folder / f"{name}.png")
    world.replace(
        'kind = "overlay"\nimage = "mark.png"\nposition = [5, 5]', 'kind = "masks"\nfolder = "masks"\npresent = "all"'
    )
    (finding,) = audit(world).findings
    assert finding.basis == "removal"
    assert finding.verdict == "relies"
    assert "removal_drop" in finding.measurements
    assert set(finding.drops) == {"mean", "blur", "inpaint"}
    assert finding.measurements["removal_drop"].n == 14
    assert finding.controls == {}


def test_images_of_the_class_count_as_free_of_what_is_taken_out_of_them_exactly(world):
    save_marked(world)
    world.replace('target = "boat"', 'target = "boat"\npresent = "class:boat"\nopacity = 0.9')
    (finding,) = audit(world).findings
    assert finding.basis == "insertion"
    assert finding.drops["exact"].value is not None
    assert finding.measurements["suppression"].n == 14
    assert any(note.text.startswith("14 images that carry it count as images without it") for note in finding.notes)


@pytest.mark.parametrize(
    "kind",
    [
        'kind = "box"\nsize = [3, 3]\nposition = [5, 5]',
        'kind = "text"\ntext = "a"\nsize = 4\nposition = [3, 2]',
        'kind = "lightness"\nstrength = 0.4',
        'kind = "border"\nwidth = 1',
        'kind = "brightness"\nfactor = 0.3',
        'kind = "rotation"\ndegrees = [60, 120]',
    ],
)
def test_every_kind_is_no_evidence_on_the_honest_model_or_open_but_never_an_error(honest, kind):
    honest.replace('kind = "overlay"\nimage = "mark.png"\nposition = [5, 5]', kind)
    (finding,) = audit(honest).findings
    assert finding.verdict in ("no_evidence", "inconclusive")
    assert finding.measurements["theta"].value is not None


def test_a_gradient_over_the_frame_has_interventions_but_no_region_scores(honest):
    honest.replace('kind = "overlay"\nimage = "mark.png"\nposition = [5, 5]', 'kind = "lightness"')
    result = audit(honest)
    assert result.findings[0].measurements["theta"].value is not None
    assert all(entry.scores == {} for entry in result.region_scores)
    assert all(entry.notes[0].kind == "not applicable" for entry in result.region_scores)


def test_a_baseline_that_equals_the_artefact_is_warned_of(honest):
    honest.replace(
        'kind = "overlay"\nimage = "mark.png"\nposition = [5, 5]', 'kind = "box"\nsize = [3, 3]\nposition = [5, 5]'
    )
    honest.add('\n[methods.integrated_gradients]\nbaselines = ["black", "white"]\n')
    result = audit(honest)
    notes = {str(entry.map): entry.notes for entry in result.region_scores}
    assert notes["integrated_gradients (black)"][0].kind == "baseline"
    assert notes["integrated_gradients (white)"] == []
    assert any(warning.kind == "baseline" for warning in result.warnings)
    black = next(entry for entry in result.region_scores if entry.map == MapName("integrated_gradients", "black"))
    assert black.scores["relevance mass"].value in (None, 0)


def test_a_binary_model_has_one_logit_and_no_class_contrast(world):
    world.save_model(binary_model(shortcut=True))
    (world.folder / "labels.txt").write_text("cat\ndog\n")
    data = make_data()
    world.save_images(labels=(data["labels"] > 0).astype(int))
    world.replace('target = "boat"', 'target = "dog"')
    result = audit(world)
    (finding,) = result.findings
    assert result.model.output == "binary"
    assert finding.measurements["class_contrast"].value is None
    found = {name: finding.measurements[name].value for name in ("control_contrast", "own_control_contrast")}
    assert finding.measurements["theta"].value <= found["control_contrast"]
    # the model is linear: every image moves alike
    assert found["control_contrast"] == pytest.approx(found["own_control_contrast"], abs=1e-4)
    assert finding.verdict == "relies"
    statuses = {agreement.method: agreement.status for agreement in result.agreement}
    assert statuses == {"gradient": "not_applicable", "grad_cam": "not_applicable"}
    assert {method.name: method.status for method in result.methods}["grad_cam"] == "not_applicable"


def binary_world(world: World, target: str) -> World:
    """The binary model, of the classes `sound` and `ill`, which takes the mark for `ill`."""
    world.save_model(binary_model(shortcut=True))
    (world.folder / "labels.txt").write_text("sound\nill\n")
    world.save_images(labels=(make_data()["labels"] > 0).astype(int))
    world.replace('target = "boat"\n', target)
    return world


def test_promoting_one_of_two_classes_is_suppressing_the_other(world, tmp_path):
    (tmp_path / "other").mkdir()
    (ill,) = audit(binary_world(world, 'target = "ill"\n')).findings
    (sound,) = audit(binary_world(build_world(tmp_path / "other"), 'target = "sound"\n')).findings
    assert (ill.verdict, ill.direction, ill.severity) == ("relies", "promotes", "high")
    assert (sound.verdict, sound.direction, sound.severity) == ("relies", "suppresses", "high")
    assert "lowers the score of sound" in sound.reason
    for name in ("theta", "suppression", "insertion_lift"):
        twin = {"theta": "theta_suppression", "suppression": "insertion_lift", "insertion_lift": "suppression"}[name]
        assert sound.measurements[name].value == pytest.approx(ill.measurements[twin].value, rel=1e-5)
    assert all(finding.measurements["class_contrast"].reason for finding in (ill, sound))


def test_a_scan_of_a_binary_model_is_one_finding_on_its_one_logit(world):
    (finding,) = audit(binary_world(world, "")).findings
    assert [(entry.target, entry.verdict, entry.direction) for entry in finding.scanned] == [
        ("ill", "relies", "promotes")
    ]
    assert (finding.target, finding.verdict) == ("ill", "relies")


def test_images_may_have_several_labels_or_none(world):
    model = keras.models.load_model(world.folder / "model.keras")
    model.get_layer("head").activation = keras.activations.sigmoid
    kernel, bias = model.get_layer("head").get_weights()
    model.get_layer("head").set_weights([kernel, bias - 3])
    world.save_model(model)
    data = make_data()
    images, labels = data["images"], np.eye(3, dtype=int)[data["labels"]]
    images[::6, :, 3:6] += 100  # every other cat is with a dog
    labels[::6, 1] = 1
    images[1::6] = 20  # and every other dog has gone
    labels[1::6] = 0
    world.save_images(images=images, labels=labels)
    world.replace('target = "boat"\n', "")
    result = audit(world)
    (finding,) = result.findings
    assert (finding.verdict, finding.target, finding.direction) == ("relies", "boat", "promotes")
    assert {entry.target: entry.verdict for entry in finding.scanned} == {
        "boat": "relies",
        "cat": "inconclusive",  # so few images are no all-clear
        "dog": "inconclusive",
    }
    by_class = {entry.name: entry.images for entry in result.data.classes}
    assert by_class == {"cat": 14, "dog": 14, "boat": 14}


@pytest.mark.slow
@pytest.mark.parametrize("target", ['target = "boat"\n', ""])
def test_a_thousand_classes_are_audited_by_name_and_as_a_scan(target, world):
    world.save_model(make_model(outputs=1000))
    (world.folder / "labels.txt").write_text("\n".join([*CLASSES, *(f"class {number}" for number in range(3, 1000))]))
    data = make_data(60)
    world.save_images(**data)
    world.replace('target = "boat"\n', target)
    (finding,) = audit(world).findings
    assert (finding.verdict, finding.target, finding.direction) == ("relies", "boat", "promotes")
    assert len(finding.scanned) == (0 if target else 1000)
    assert [entry.target for entry in finding.scanned if entry.verdict == "relies"] == ([] if target else ["boat"])


@pytest.mark.parametrize(
    ("patches", "reason"),
    [
        ("convolution", "the model's only convolution cuts the image into patches, which are no feature maps"),
        pytest.param("dense", "the model has no convolutional feature maps", marks=pytest.mark.slow),
    ],
)
def test_a_transformer_is_audited_without_grad_cam(patches, reason, world):
    world.save_model(transformer(patches, (SIDE, SIDE, 1)))
    result = audit(world)
    assert result.findings[0].measurements["theta"].value is not None
    methods = {m.name: (m.status, m.reason) for m in result.methods if m.name in ATTRIBUTIONS}
    assert methods.pop("grad_cam") == ("not_applicable", reason)
    assert set(methods.values()) == {("ok", None)}
    agreement = {entry.method: entry.status for entry in result.agreement}
    assert agreement == {"gradient": "ok", "grad_cam": "not_applicable"}
    assert all(value.value is not None for entry in result.region_scores for value in entry.scores.values())


def test_a_multilabel_model_is_measured_by_its_own_logits(world):
    model = keras.models.load_model(world.folder / "model.keras")
    model.get_layer("head").activation = keras.activations.sigmoid
    world.save_model(model)
    labels = np.eye(3, dtype=int)[make_data()["labels"]]
    world.save_images(labels=labels)
    result = audit(world)
    assert result.model.output == "multilabel"
    assert result.findings[0].verdict == "relies"


def test_colour_models_take_grey_images(tmp_path):
    world = build_world(tmp_path)
    inputs = keras.Input((SIDE, SIDE, 3))
    x = keras.layers.Conv2D(4, 3, activation="relu")(keras.layers.Rescaling(1 / 255)(inputs))
    world.save_model(keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(keras.layers.Flatten()(x))))
    result = audit(world)
    assert result.model.image_shape == (SIDE, SIDE, 3)
    assert all(agreement.status == "ok" for agreement in result.agreement)


def test_groups_are_the_unit_of_every_interval(world):
    world.save_images(groups=np.arange(42) // 3)
    finding = audit(world).findings[0]
    assert finding.measurements["theta"].n == 28
    assert finding.measurements["theta"].groups == 14


def test_an_audit_without_artefacts_or_suspects_explains_images_and_decides_nothing(world):
    world.replace(ARTEFACT, "")
    world.add("\n[discovery]\nenabled = false\n")
    result = audit(world)
    assert result.exit_code == 4
    assert result.findings == []
    assert len(result.exemplars) == 2
    assert all(exemplar.maps and exemplar.picture_without is None for exemplar in result.exemplars)


def test_two_artefacts_have_a_finding_each(world):
    world.add('\n[[artefacts]]\nname = "dot"\nkind = "box"\nsize = [1, 1]\ncolour = "white"\ntarget = "cat"\n')
    findings = audit(world).findings
    assert [(finding.artefact, finding.target) for finding in findings] == [("mark", "boat"), ("dot", "cat")]
    assert findings[0].verdict == "relies"
