"""Bad input gets one clear error with its place and a documented exit code: no traceback and no half run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from auditor.artefacts.kinds import ARTEFACT_KINDS
from auditor.artefacts.masks import Masks
from auditor.config.file import read_config
from auditor.errors import ReportError
from auditor.explain.table import METHODS
from auditor.run.store import load_result, save_run
from tests.bad_worlds import (
    CONFIGURATION,
    DAMAGED,
    DATA,
    LABELS,
    MARK,
    MISFITS,
    MODEL,
    NAMED,
    TARGET,
    Row,
    artefact,
    both,
    class_folders,
    constant,
    float_images,
    masks,
    with_lambda,
    without_derivative,
)
from tests.small_world import Command, Ending, World, build_world


@pytest.mark.parametrize(
    ("code", "row"),
    [
        pytest.param(code, row, id=name)
        for code, rows in ((2, CONFIGURATION), (2, NAMED), (2, MISFITS), (3, DAMAGED))
        for name, row in rows.items()
    ],
)
def test_bad_input_gets_one_error_that_says_where_and_what(
    code: int, row: Row, world: World, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    change, line, said = row
    change(world, monkeypatch)
    ending = command("audit", world.config, "--quiet")
    assert_one_error(ending, code, said)
    if line is not None:
        assert f"{world.config}:{number_of_line(world, line)}:1: " in ending.err
    assert world.runs() == []
    assert not (world.folder / "sprung").exists(), "a pickle was opened"


def test_a_configuration_that_does_not_exist_is_named(world: World, command: Command) -> None:
    ending = command("audit", world.folder / "adit.toml", "--quiet")
    assert_one_error(ending, 2, f"{world.folder}/adit.toml: no such file; wanted the configuration of an audit")


def test_a_configuration_that_is_a_folder_is_refused(world: World, command: Command) -> None:
    assert_one_error(command("audit", world.folder, "--quiet"), 2, "cannot be read: Is a directory")


def test_all_faults_of_a_configuration_are_told_at_once_in_the_order_of_its_lines(
    world: World, command: Command
) -> None:
    world.replace(MODEL, "source = 3\n")
    world.replace(MARK, 'kind = "box"\nsize = [1]\n')
    world.add("[methods.smoothgrad]\nsamples = 0\nspeed = 1\n")
    ending = command("audit", world.config, "--quiet", "--set", "data.limit=none")
    assert ending.code == 2
    keys = [line.removeprefix("error: ").split(": ")[1] for line in ending.err.splitlines()]
    assert keys == [
        "model.source",
        "data.limit",
        "artefacts[0].size",
        "methods.smoothgrad.samples",
        "methods.smoothgrad.speed",
    ]
    assert "\n--set: data.limit: " in ending.err
    assert ending.err.count("error:") == 1


def test_an_empty_configuration_lacks_a_model_and_data(world: World, command: Command) -> None:
    world.config.write_text("")
    ending = command("audit", world.config, "--quiet")
    assert (ending.code, ending.err.count("missing; it is required")) == (2, 2)


def test_all_faults_of_artefacts_are_told_at_once(world: World, command: Command) -> None:
    world.replace("[5, 5]", "[6, 6]")
    world.add('[[artefacts]]\nname = "other"\nkind = "box"\nsize = [2, 2]\ntarget = "ship"\n')
    ending = command("audit", world.config, "--quiet")
    assert ending.code == 2
    assert [line.removeprefix("error: ").split(": ")[1] for line in ending.err.splitlines()] == [
        "artefacts[0].position",
        "artefacts[1].target",
    ]


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("verdict.margin", "--set verdict.margin: got no KEY=VALUE, wanted for example --set verdict.margin=0.5"),
        ("=1", "--set =1: got no KEY=VALUE"),
        ("verdict.margn=1", "--set: verdict.margn: unknown key; did you mean 'margin'?"),
        ("verdikt.margin=1", "--set: verdikt: unknown key; did you mean 'verdict'?"),
        ("verdict.margin=much", '--set: verdict.margin: got "much", wanted a number'),
        ("artefacts.3.target=cat", "--set artefacts.3.target=cat: artefacts[3] is no key of the configuration"),
        ("model.source.file=x", "--set model.source.file=x: model.source.file is no key of the configuration"),
        ("artefacts.0.target=ship", "--set: artefacts[0].target: got 'ship', which is no class of the model"),
        ("model.source=other.keras", "--set: model.source: "),
    ],
)
def test_a_bad_override_is_blamed_on_the_command_line_and_not_on_the_file(
    override: str, said: str, world: World, command: Command
) -> None:
    assert_one_error(command("audit", world.config, "--quiet", "--set", override), 2, f"error: {said}")
    assert world.runs() == []


def test_a_fault_of_the_file_is_blamed_on_the_file_where_a_neighbour_was_overridden(
    world: World, command: Command
) -> None:
    world.replace(MODEL, 'source = "other.keras"\n')
    ending = command("audit", world.config, "--quiet", "--set", "model.batch_size=8")
    assert_one_error(ending, 2, f"error: {world.config}:2:1: model.source: ")


@pytest.mark.parametrize("output", ["mark.png", "mark.png/runs"])
def test_an_output_that_cannot_be_written_is_refused_before_the_audit(
    output: str, world: World, command: Command
) -> None:
    ending = command("audit", world.config, "--quiet", "--output", world.folder / output)
    assert_one_error(ending, 2, f"error: --output: {world.folder}/mark.png: cannot be written")


def test_checking_whether_a_folder_can_be_written_leaves_nothing_in_it(world: World, command: Command) -> None:
    world.replace(MODEL, 'source = "other.keras"\n')
    before = sorted(world.folder.rglob("*"))
    assert command("audit", world.config, "--quiet", "--output", world.folder / "new" / "runs").code == 2
    assert sorted(world.folder.rglob("*")) == before


def test_a_lambda_layer_is_loaded_where_its_origin_is_trusted(world: World, command: Command) -> None:
    world.save_model(with_lambda(keras()))
    world.replace(LABELS, LABELS + "trust = true\n")
    assert command("validate", world.config).code == 0


def test_one_corrupt_image_is_skipped_counted_and_named(
    world: World, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    class_folders("cat", "dog", "boat", corrupt=1)(world, monkeypatch)
    ending = command("audit", world.config, "--quiet")
    assert ending.code == 1
    assert "1 image could not be used" in ending.err
    result = world.result()
    assert (result.data.sampled, result.data.used) == (42, 41)
    assert [skipped.image for skipped in result.data.skipped] == ["cat/00.png"]
    assert "not a readable picture" in result.data.skipped[0].reason


def test_a_picture_that_is_not_finite_is_skipped_counted_and_named(world: World, command: Command) -> None:
    world.save_images(images=float_images(np.nan))
    assert command("audit", world.config, "--quiet").code == 1
    assert [skipped.image for skipped in world.result().data.skipped] == ["picture-2"]


def test_a_damaged_mask_spoils_its_artefact_and_no_other(
    world: World, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    masks(side=9)(world, monkeypatch)
    world.add('[[artefacts]]\nname = "region"\nkind = "masks"\nfolder = "masks"\npresent = "all"\ntarget = "boat"\n')
    ending = command("audit", world.config, "--quiet")
    assert ending.code == 3
    verdicts = {finding.artefact: finding.verdict for finding in world.result().findings}
    assert verdicts == {"mark": "relies", "region": "error"}
    assert "mask is 9 x 9 pixels, the image is 8 x 8" in ending.out


def test_masks_that_belong_to_no_image_are_not_applicable(
    world: World, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    both(masks(named=["other"]), artefact("masks", 'folder = "masks"\npresent = "all"\n'))(world, monkeypatch)
    assert command("audit", world.config, "--quiet").code == 4
    (finding,) = world.result().findings
    assert finding.verdict == "not_applicable"


@pytest.mark.parametrize("name", ["picture-1.v2", "folder/picture-1.jpg", "picture"])
def test_a_mask_is_found_by_the_id_of_its_image_with_or_without_its_suffix(name: str, tmp_path: Path) -> None:
    for number, stem in enumerate((name, str(Path(name).with_suffix("")))):
        folder = Masks(tmp_path / str(number))
        file = folder.folder / f"{stem}.png"
        file.parent.mkdir(parents=True)
        Image.new("L", (8, 8), 255).save(file)
        mask = folder.region(name, (8, 8, 1))
        assert mask is not None
        assert mask.all()
        assert folder.region("other", (8, 8, 1)) is None


def test_an_artefact_over_the_whole_frame_has_no_region_and_the_audit_says_so(world: World, command: Command) -> None:
    world.replace(MARK, 'kind = "box"\nsize = [8, 8]\ncolour = "white"\nopacity = 0.5\n')
    world.replace(TARGET, TARGET + 'present = "class:boat"\n')
    ending = command("audit", world.config, "--quiet")
    assert ending.code in (0, 1, 4)
    result = world.result()
    assert all("covers 100%" in entry.notes[0].text for entry in result.region_scores)
    assert set(result.findings[0].drops) == {"exact"}  # nothing is left to fill it in from


def test_data_of_one_class_are_audited_as_far_as_they_reach(world: World, command: Command) -> None:
    world.save_images(labels=np.full(42, 2))
    ending = command("audit", world.config, "--quiet")
    assert ending.code in (0, 4)
    (finding,) = world.result().findings
    assert finding.measurements["theta"].value is None
    assert "no image without the class boat" in str(finding.measurements["theta"].reason)
    assert "untested" in [note.kind for note in finding.notes]


def test_fewer_groups_than_a_verdict_needs_are_inconclusive(world: World, command: Command) -> None:
    world.save_images(groups=np.arange(42) % 11)
    assert command("audit", world.config, "--quiet").code == 4
    (finding,) = world.result().findings
    assert finding.verdict == "inconclusive"
    assert "11 independent groups of images, and a verdict needs 12" in finding.reason


def test_a_model_that_always_says_the_same_is_inconclusive(world: World, command: Command) -> None:
    world.save_model(constant(keras()))
    assert command("audit", world.config, "--quiet").code == 4
    result = world.result()
    assert result.findings[0].measurements["theta"].value == pytest.approx(0, abs=1e-5)  # log-odds are float32
    assert all(value.value is None for entry in result.region_scores for value in entry.scores.values())


def test_a_model_at_chance_is_inconclusive(world: World, command: Command) -> None:
    (world.folder / "honest").mkdir()
    honest = build_world(world.folder / "honest", "honest")
    honest.save_images(labels=np.random.default_rng(3).permutation(np.arange(42) % 3))
    assert command("audit", honest.config, "--quiet").code == 4
    (finding,) = honest.result().findings
    assert finding.verdict == "inconclusive"
    assert "is it fed as it expects?" in finding.reason


def test_a_model_whose_derivatives_are_not_finite_is_told_so(world: World, command: Command) -> None:
    world.save_model(without_derivative(keras()))
    ending = command("audit", world.config, "--quiet")
    assert ending.code == 3
    assert "the model's derivatives are not finite (NaN or infinity)" in ending.out + ending.err
    assert "Traceback" not in ending.err


def test_without_an_artefact_and_suspects_nothing_is_decided_and_maps_are_drawn(world: World, command: Command) -> None:
    start = world.config.read_text().index("[[artefacts]]")
    stop = world.config.read_text().index("[explain]")
    world.replace(world.config.read_text()[start:stop], "[discovery]\nenabled = false\n\n")
    ending = command("audit", world.config, "--quiet")
    assert ending.code == 4
    assert "names no artefact" in ending.out
    assert world.result().findings == []
    assert len(world.result().exemplars) == 2


def test_data_without_labels_are_audited_and_their_accuracy_is_not_applicable(world: World, command: Command) -> None:
    world.save_images(labels=None)
    assert command("audit", world.config, "--quiet").code == 1
    result = world.result()
    assert not result.data.labelled
    assert (result.data.accuracy.value, result.data.accuracy.reason) == (None, "the data have no labels")
    assert result.findings[0].measurements["accuracy_drop"].reason == "the data have no labels"


def test_a_users_own_kind_model_data_and_preprocessing_are_audited(
    world: World, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.write_module(monkeypatch, MINE)
    (world.folder / "neighbour.py").write_text("SIDE = 8\n")
    world.replace(MODEL, 'source = "mine:load"\npreprocess = "mine:halve"\n')
    world.replace(DATA, 'source = "mine:pictures"\n')
    world.replace(MARK, 'kind = "mine:stamp"\nsize = 3\n')
    ending = command("audit", world.config, "--quiet")
    assert ending.code in (0, 1, 4), ending.err
    result = world.result()
    assert result.model.preprocessing == "halve of pixels in [0, 255]"
    assert (result.data.used, result.data.groups) == (30, 15)
    assert result.artefacts[0].box == (0, 0, 3, 3)


def test_what_was_found_is_said_even_where_it_cannot_be_saved(
    world: World, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ReportError("reports: the run cannot be saved: No space left on device")

    monkeypatch.setattr("auditor.auditing.resuming.save_run", fail)
    ending = command("audit", world.config, "--quiet")
    assert ending.code == 3
    assert "mark -> boat: relies" in ending.out
    kept = "what was measured until then is kept: the same command with --resume goes on from there"
    assert ending.err == f"error: reports: the run cannot be saved: No space left on device; {kept}\n"


def test_a_report_that_fails_leaves_the_run_saved_and_named(
    world: World, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ReportError("template: damaged")

    monkeypatch.setattr("auditor.report.write.write_report", fail)
    ending = command("audit", world.config, "--quiet")
    (run,) = [run for run in world.runs() if not run.name.startswith(".")]  # beside it lies what to go on from
    assert ending.code == 3
    assert f"result.json: {run / 'result.json'}" in ending.out
    assert load_result(run).exit_code == 1


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (MemoryError(), "error: out of memory; lower model.batch_size"),
        (KeyboardInterrupt(), "error: interrupted"),
        (FileNotFoundError(2, "No such file or directory", "gone.npz"), "error: gone.npz: No such file or directory"),
        (SystemExit(0), "error: Python was told to exit (code 0)"),
        (AssertionError("ours"), "error: this is a defect of auditor"),
    ],
)
def test_whatever_breaks_an_audit_off_ends_with_3_which_is_no_verdict(
    fault: BaseException, said: str, world: World, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise fault

    monkeypatch.setattr("auditor.auditing.conduct.run_audit", fail)
    ending = command("audit", world.config, "--quiet")
    assert ending.code == 3
    assert said in ending.err
    assert ("Traceback" in ending.err) == isinstance(fault, AssertionError)
    assert world.runs() == []


@pytest.fixture(scope="module")
def saved_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from auditor.auditing.audit import run_audit

    world = build_world(tmp_path_factory.mktemp("saved"))
    settings = read_config(world.config, kinds=ARTEFACT_KINDS, methods=METHODS)
    return save_run(run_audit(settings, lambda *_: None), world.folder / "reports")


def spoil_result(**changes: object) -> Callable[[Path], object]:
    def spoil(run: Path) -> None:
        kept = json.loads((run / "result.json").read_text())
        (run / "result.json").write_text(json.dumps(kept | changes))

    return spoil


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (shutil.rmtree, "no result.json there; wanted the folder of a saved run"),
        (lambda run: (run / "result.json").unlink(), "no result.json there"),
        (lambda run: (run / "result.json").write_text('{"schema_version":'), "result.json:1:19: not JSON: "),
        (lambda run: (run / "result.json").write_bytes(b"\xff"), "result.json: cannot be read: "),
        (lambda run: (run / "result.json").write_text("[]"), "schema_version: got None, wanted 1 to 2"),
        (spoil_result(schema_version=3), "schema_version: got 3, wanted 1 to 2"),
        (spoil_result(findings="none"), "result.json: findings: "),
        (lambda run: (run / "arrays.npz").unlink(), "arrays.npz: missing; the run cannot be shown"),
        (lambda run: (run / "arrays.npz").write_bytes(b"PK"), "arrays.npz: damaged: "),
        (lambda run: np.savez(run / "arrays.npz", a0=np.zeros(1)), "arrays.npz: damaged: "),
    ],
)
def test_a_run_that_is_missing_damaged_or_of_another_version_is_not_rendered(
    spoil: Callable[[Path], object], said: str, saved_run: Path, tmp_path: Path, command: Command
) -> None:
    run = shutil.copytree(saved_run, tmp_path / "run")
    spoil(run)
    assert_one_error(command("render", run, "--format", "html"), 3, str(run), said)


def keras() -> Any:
    import keras

    return keras


MINE = """\
import numpy as np

def load():
    from tests.small_world import make_model
    return make_model()

def halve(pixels):
    return pixels / 2

def pictures():
    from neighbour import SIDE  # imported when it is called, not when the module is
    for number in range(30):
        yield np.full((SIDE, SIDE), number, np.uint8), ["cat", "dog", "boat"][number % 3], number, number // 2

def stamp(frame, *, size, tone=0.5):
    layer = np.zeros((*frame[:2], 4))
    layer[:size, :size] = tone
    layer[:size, :size, 3] = np.linspace(0.2, 1, size)
    return layer
"""


def assert_one_error(ending: Ending, code: int, *said: str) -> None:
    assert ending.code == code, ending
    assert ending.out == ""
    assert ending.err.startswith("error: ")
    assert len(ending.err.splitlines()) == 1, ending.err
    assert "Traceback" not in ending.err
    for part in said:
        assert part in ending.err


def number_of_line(world: World, start: str) -> int:
    lines = world.config.read_text(encoding="utf-8").splitlines()
    return 1 + next(number for number, line in enumerate(lines) if line.startswith(start.rstrip()))
