"""What `import auditor` promises: a call gives what the command gives, and a notebook shows it."""

from __future__ import annotations

import dataclasses
import gc
import json
import subprocess
import sys
import weakref
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import auditor
from tests.small_world import CLASSES, STUDIES, Command, World, make_data, make_model

OFF = {name: {"enabled": False} for name in STUDIES}
SETTINGS = {"explain": {"images": 6, "exemplars": 2}}
MARK = {"position": (5, 5), "target": "boat", "name": "mark"}


@pytest.fixture(scope="module")
def model():
    return make_model()


def audit(model, images, labels=None, *, mark: Path | None = None, **options):
    given = {"artefacts": [auditor.overlay(mark, **MARK)] if mark else [], "methods": OFF, "settings": SETTINGS}
    return auditor.audit(model, images, labels, classes=CLASSES, **(given | options))


def findings(run: auditor.AuditedRun) -> list[tuple[str, str | None, str]]:
    return [(finding.artefact, finding.target, finding.verdict) for finding in run.findings]


def test_importing_it_loads_nothing_heavy():
    code = "import sys, auditor; print([n for n in ('tensorflow', 'keras', 'numpy', 'pydantic') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_promised_name_is_there_and_no_other():
    assert all(getattr(auditor, name) is not None for name in auditor.__all__)
    assert set(auditor.__all__) <= set(dir(auditor))
    with pytest.raises(AttributeError, match="has no attribute 'audti'; it has"):
        _ = auditor.audti


SLOWER_KINDS = [
    pytest.param(kind, marks=pytest.mark.slow) for kind in ("floats", "list", "pairs", "PyDataset", "one-hot")
]
"""Of images, that take the way of others but for a step."""


class TestAudit:
    @pytest.mark.slow
    def test_a_file_and_a_call_give_the_same_result(self, world: World, command: Command, model):
        assert command("audit", world.config, "--quiet").code == 1
        first = world.result()
        settings = SETTINGS | {"report": {"formats": ["html"]}}
        second = audit(
            str(world.folder / "model.keras"), str(world.folder / "images.npz"), mark=world.folder / "mark.png",
            settings=settings,
        ).result  # fmt: skip
        told = [json.loads(json.dumps(dataclasses.asdict(result))) for result in (first, second)]
        for result in told:
            del result["provenance"]
            for part in (result["model"], result["data"]):
                part["source"] = Path(part["source"]).name
            result["artefacts"][0]["line"] = None
        assert told[0] == told[1]

    def test_a_file_is_audited_as_the_command_does_it(self, world: World):
        run = auditor.audit(world.config)
        assert (run.exit_code, findings(run)) == (1, [("mark", "boat", "relies")])
        assert run.folder.parent == world.folder / "reports"
        assert (run.folder / "report.html").is_file()
        assert (world.folder / "reports" / "index.html").is_file()

    def test_a_file_has_its_own_templates_here_too(self, world: World):
        (world.folder / "mine").mkdir()
        (world.folder / "mine" / "look.css").write_text("h1 { letter-spacing: 7px }")
        world.replace('formats = ["html"]', 'formats = ["html"]\ntemplates = "mine"')
        run = auditor.audit(world.config)
        assert "letter-spacing: 7px" in (run.folder / "report.html").read_text("utf-8")

    def test_templates_that_are_not_there_are_found_before_the_audit(self, world: World):
        world.replace('formats = ["html"]', 'formats = ["html"]\ntemplates = "gone"')
        with pytest.raises(auditor.AuditError, match=r"report\.templates: .*gone: no such folder"):
            auditor.audit(world.config)
        assert not world.runs()

    @pytest.mark.parametrize("kind", ["array", "paths", "generator", "tf.data", "table", *SLOWER_KINDS])
    def test_images_come_in_every_usual_shape(self, kind, world: World, model, tmp_path: Path):
        data = make_data()
        images, labels = data["images"], data["labels"]
        given: tuple = (images, labels)
        if kind == "floats":
            given = ((images / 255).astype(np.float32), [CLASSES[number] for number in labels])
        elif kind == "list":
            given = (list(images), list(labels))
        elif kind == "paths":
            files = [tmp_path / f"{number:02d}.png" for number in range(len(images))]
            for file, image in zip(files, images, strict=True):
                Image.fromarray(image[..., 0]).save(file)
            given = (files, labels[:, None])
        elif kind == "pairs":
            given = (list(zip(images, labels, strict=True)), None)
        elif kind == "generator":
            given = (((image, CLASSES[label]) for image, label in zip(images, labels, strict=True)), None)
        elif kind == "tf.data":
            import tensorflow as tf

            given = (tf.data.Dataset.from_tensor_slices((images, tf.one_hot(labels, 3))).batch(8), None)
        elif kind == "table":
            import pandas

            files = [tmp_path / f"{number:02d}.png" for number in range(len(images))]
            for file, image in zip(files, images, strict=True):
                Image.fromarray(image[..., 0]).save(file)
            table = pandas.DataFrame({"path": files, "label": labels}, index=range(100, 142))
            given = (table["path"], table["label"])
        elif kind == "one-hot":  # as many classes as rows of pixels: still no batch
            flags = np.eye(3, 8)[labels]
            given = (list(zip(images, flags, strict=True)), None)
        elif kind == "PyDataset":
            import keras

            class Batches(keras.utils.PyDataset):
                def __len__(self):
                    return 6

                def __getitem__(self, number):
                    part = slice(7 * number, 7 * number + 7)
                    return images[part], labels[part]

            given = (Batches(), None)
        run = audit(model, *given, mark=world.folder / "mark.png")
        assert findings(run) == [("mark", "boat", "relies")]
        assert run.result.data.used == 42
        assert run.result.data.accuracy.value > 0.9  # with labels and images of one another

    def test_groups_ids_and_carriers_are_taken_as_given(self, world: World, model):
        data = make_data()
        there = np.arange(42) % 2 == 0
        mark = auditor.overlay(world.folder / "mark.png", **MARK, present=there.tolist())
        groups = np.arange(42) // 2
        run = audit(model, data["images"], data["labels"], artefacts=[mark], groups=groups, ids=data["ids"])
        assert run.result.artefacts[0].carriers == 21
        assert run.result.data.groups == 21
        assert {exemplar.image for exemplar in run.result.exemplars} <= set(data["ids"])

    def test_written_text_is_an_artefact_too(self, model):
        data = make_data()
        stamp = auditor.text("7", size=6, target="cat", colour="black")
        run = audit(model, data["images"], data["labels"], artefacts=[stamp])
        assert [(finding.artefact, finding.target) for finding in run.findings] == [("7", "cat")]

    def test_anything_with_scores_gets_a_verdict(self, world: World, model):
        class Wrapped:
            classes, image_shape = CLASSES, (8, 8, 1)

            def scores(self, images):
                return np.log(np.maximum(model.predict(images * 255, verbose=0), 1e-30))

        data = make_data()
        run = auditor.audit(
            Wrapped(), data["images"], data["labels"], artefacts=[auditor.overlay(world.folder / "mark.png", **MARK)]
        )
        assert findings(run) == [("mark", "boat", "relies")]
        assert {each.status for each in run.result.methods} == {"not_applicable"}

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"images": None}, "auditor.audit: images: missing"),
            ({"labels": [0, 1]}, "labels: got 2 for 42 images"),
            (
                {"settings": {"verdict": {"margn": 1}}},
                "auditor.audit: verdict.margn: unknown key; did you mean 'margin'",
            ),
            ({"methods": {"gradcam": {}}}, "auditor.audit: methods.gradcam: unknown method"),
            ({"artefacts": [auditor.overlay("gone.png")]}, "auditor.audit: artefacts[0].image: "),
            ({"model": 3}, "wanted a keras.Model or an auditor.Classifier"),
            ({"images": "gone.npz"}, "labels: got it beside a path of data"),
            ({"images": {"a": 1}}, "images: got dict, wanted images"),
            ({"model": "audit.toml", "images": None}, "labels: got it beside a file"),
        ],
    )
    def test_a_wrong_call_is_one_clear_error(self, change, said, model):
        data = make_data()
        given = {"model": model, "images": data["images"], "labels": data["labels"], "classes": CLASSES} | change
        with pytest.raises(auditor.AuditError) as caught:
            auditor.audit(given.pop("model"), given.pop("images"), given.pop("labels"), **given)
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def run(model, tmp_path_factory) -> auditor.AuditedRun:
    folder = tmp_path_factory.mktemp("run")
    from tests.small_world import build_world

    world = build_world(folder)
    data = make_data()
    return audit(model, data["images"], data["labels"], mark=world.folder / "mark.png")


class TestRun:
    def test_tables_have_a_row_for_each_finding_and_measurement(self, run):
        table = run.to_pandas()
        assert table[["artefact", "target", "verdict"]].to_numpy().tolist() == [["mark", "boat", "relies"]]
        assert (table["low"] <= table["value"]).all()
        rows = run.rows()
        assert len(rows[rows["condition"] == "inserted"]["value"].dropna()) > 0

    def test_is_saved_and_loaded_as_it_was(self, run, tmp_path: Path):
        saved = run.save(tmp_path / "reports")
        loaded = auditor.load(saved.folder)
        assert loaded.result == run.result
        assert loaded.to_pandas().equals(run.to_pandas())
        assert len(loaded.rows()) == len(run.rows())
        assert [change.course for change in auditor.compare(saved.folder, loaded)] == ["unchanged"]

    def test_what_is_no_run_is_one_clear_error(self, tmp_path: Path):
        with pytest.raises(auditor.AuditError, match="wanted the folder of a saved run"):
            auditor.load(tmp_path)

    def test_is_written_as_one_page(self, run, tmp_path: Path):
        file = run.report(tmp_path / "page.html")
        assert "Relies on it" in file.read_text("utf-8")
        with pytest.raises(auditor.AuditError, match=r"ends in \.html or \.pdf"):
            run.report(tmp_path / "page.docx")

    def test_shows_itself_in_a_notebook(self, run):
        shown = run._repr_html_()
        for said in ("mark → boat: Relies on it", run.findings[0].reason, "data:image/jpeg;base64,", "<table>"):
            assert said in shown
        assert "<script" not in shown

    def test_shows_no_markup_of_a_hostile_name(self, run):
        bad = "<script>alert(1)</script>"
        finding = dataclasses.replace(run.findings[0], artefact=bad)
        result = dataclasses.replace(run.result, title=bad, findings=[finding])
        shown = auditor.AuditedRun(dataclasses.replace(run.run, result=result))._repr_html_()
        assert bad not in shown


@pytest.mark.slow
def test_the_notebook_of_the_examples_runs(tmp_path: Path):
    """Every cell, in a kernel of its own."""
    import nbformat
    from nbclient import NotebookClient

    file = Path(__file__).resolve().parents[1] / "examples" / "notebook.ipynb"
    notebook = nbformat.read(file, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(file.parent)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    shown = "".join("".join(output.get("data", {}).get("text/html", "")) for output in outputs)
    assert "watermark → Coat: Relies on it" in shown
    assert "data:image/jpeg;base64," in shown


@pytest.mark.slow
def test_one_audit_after_another_lets_its_model_go_and_keeps_the_terminal_quiet(
    world: World, caplog: pytest.LogCaptureFixture
):
    kept, off = [], OFF | {name: {"enabled": False} for name in ("smoothgrad", "integrated_gradients")}
    for _ in range(7):
        model = make_model()
        run = audit(model, make_data()["images"], make_data()["labels"], mark=world.folder / "mark.png", methods=off)
        assert {each.status for each in run.result.agreement} == {"ok"}
        kept.append(weakref.ref(model))
        del model, run
    gc.collect()
    assert [reference() for reference in kept] == [None] * 7
    assert "retracing" not in caplog.text
