"""Each extension is one file, used from `audit.toml`, through an audit, into the page; what fails fails alone."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from auditor.run.store import load_result
from tests.small_world import WITHOUT_STUDIES, Command, World, make_data

EXAMPLES = Path(__file__).resolve().parents[1] / "examples" / "extensions"
FORMATS = 'formats = ["html"]'


@pytest.fixture
def extend(world: World, monkeypatch: pytest.MonkeyPatch):
    """Put an example beside the configuration, as its users do."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def put(name: str) -> World:
        monkeypatch.delitem(sys.modules, name, raising=False)
        shutil.copy(EXAMPLES / f"{name}.py", world.folder)
        return world

    return put


def audited(world: World, command: Command) -> tuple[object, str]:
    """The result of an audit that came to its verdicts, and the page."""
    ending = command("audit", world.config, "--quiet")
    assert ending.code in (0, 1, 4), ending.err
    (run,) = world.runs()
    return load_result(run), (run / "report.html").read_text("utf-8")


def test_every_example_is_tried_and_short():
    files = sorted(EXAMPLES.glob("*.py"))
    tried = Path(__file__).read_text("utf-8")
    assert len(files) == 8
    for file in files:
        assert f'extend("{file.stem}")' in tried
        assert len(file.read_text("utf-8").splitlines()) <= 40


def test_a_method_of_attribution(extend, command: Command):
    world = extend("attribution")
    world.add('\n[methods."attribution:gradient_times_input"]\nsmooth = 1.0\n')
    world.set_study("trust", "images = 12\nstages = 2\n")
    world.set_study("errors", "")
    result, page = audited(world, command)
    (record,) = [each for each in result.methods if each.name == "attribution:gradient_times_input"]
    assert (record.status, record.options) == ("ok", {"smooth": 1.0})
    assert record.reference.startswith("Shrikumar")
    assert record.name in {str(entry.map) for entry in result.region_scores}
    assert record.name in {str(entry.map) for entry in result.trust.methods}
    assert {each.name: each.status for each in result.methods}["errors"] in ("ok", "not_applicable")
    assert "attribution:gradient times input" in page


def test_a_kind_of_artefact(extend, command: Command):
    world = extend("artefact")
    world.replace('kind = "overlay"\nimage = "mark.png"\nposition = [5, 5]\n', 'kind = "artefact:frame"\nwidth = 2\n')
    result, page = audited(world, command)
    assert result.artefacts[0].kind == "artefact:frame"
    assert result.artefacts[0].box == (0, 0, 8, 8)
    assert "artefact:frame" in page


def test_an_edit_of_one_image(extend, command: Command):
    world = extend("edit")
    world.replace('kind = "overlay"\nimage = "mark.png"\nposition = [5, 5]\n', 'kind = "edit:dust"\nspecks = 20\n')
    result, page = audited(world, command)
    assert result.artefacts[0].kind == "edit:dust"
    assert result.artefacts[0].box is None
    assert set(result.findings[0].controls) == {"uneven light", "another tint", "noise", "blur", "shift"}
    assert "edit:dust" in page


def test_a_study(extend, command: Command):
    world = extend("study")
    world.add('\n[methods."study:brightness"]\nsteps = [-0.2, 0.1]\n')
    result, page = audited(world, command)
    told = result.told["study:brightness"]
    assert told.title == "Does brightness alone turn answers?"
    measured = told.pieces[1].rows[1].cells[0]
    assert measured.n == 42
    assert measured.low <= measured.value <= measured.high
    assert "Does brightness alone turn answers?" in page
    assert "result.json#/told/study%3Abrightness/pieces/1/rows/1/cells/0" in page


def test_a_section(extend, command: Command):
    world = extend("section")
    world.replace(FORMATS, FORMATS + '\nsections = ["section:sign_off"]')
    result, page = audited(world, command)
    assert "Nobody, as it is." in page
    assert result.told["section:sign_off"].title == "Who may sign this off?"


def test_a_section_is_drawn_again_without_its_code(extend, command: Command):
    world = extend("section")
    world.replace(FORMATS, FORMATS + '\nsections = ["section:sign_off"]')
    _, page = audited(world, command)
    (run,) = world.runs()
    (world.folder / "section.py").unlink()
    assert command("render", run, "--format", "html").code == 0
    assert (run / "report.html").read_text("utf-8") == page


def test_an_exporter(extend, command: Command):
    world = extend("exporter")
    world.replace(FORMATS, 'formats = ["html", "exporter:one_line"]')
    ending = command("audit", world.config, "--quiet")
    assert ending.code == 1, ending.err
    (run,) = world.runs()
    assert (run / "status.txt").read_text("utf-8") == "Shortcut audit: mark relies (code 1)\n"
    assert f"status.txt: {run / 'status.txt'}" in ending.out
    assert command("verify", run).code == 0
    assert command("prune", run.parent, "--keep", "0", "--yes").code == 0
    assert not run.exists()


def test_a_classifier(extend, command: Command):
    world = extend("classifier")
    world.replace('source = "model.keras"', 'source = "classifier:load"')
    world.save_images(**make_data(96))  # enough for an all-clear
    result, page = audited(world, command)
    assert result.findings[0].verdict == "no_evidence"
    assert {each.name: each.status for each in result.methods}["smoothgrad"] == "ok"
    assert result.model.preprocessing == "inside the classifier"
    assert "classifier.Linear, 3 classes" in page


def test_a_classifier_without_gradients_has_a_verdict_and_says_what_is_missing(extend, command: Command):
    world = extend("classifier")
    file = world.folder / "classifier.py"
    text = file.read_text("utf-8")
    file.write_text(text[: text.index("    def differentiate(")] + text[text.index("\n\ndef load(") :], "utf-8")
    world.replace('source = "model.keras"', 'source = "classifier:load"')
    world.save_images(**make_data(96))  # enough for an all-clear
    world.config.write_text(world.config.read_text("utf-8").replace(WITHOUT_STUDIES, ""), "utf-8")
    shutil.copy(EXAMPLES / "attribution.py", world.folder)
    world.add('\n[methods."attribution:gradient_times_input"]\n')
    result, page = audited(world, command)
    assert result.findings[0].verdict == "no_evidence"
    assert len(result.methods) == 9
    assert {each.status for each in result.methods} == {"not_applicable"}
    assert all("no gradients" in each.reason for each in result.methods)
    assert "no gradients" in page


def test_a_data_source(extend, command: Command):
    world = extend("data_source")
    world.replace('source = "images.npz"', 'source = "data_source:pictures"')
    result, page = audited(world, command)
    assert (result.data.used, result.data.groups) == (42, 21)
    assert "data_source:pictures" in page


class TestWhatFails:
    """Whatever an extension throws becomes its own error, with its traceback in the run; the verdicts stand."""

    TEXT = "def boom({}, *, a: int = 1):\n    '''Breaks.'''\n    raise {}\n"

    def audited(self, world: World, command: Command) -> tuple[object, str]:
        ending = command("audit", world.config, "--quiet")
        assert ending.code == 3, ending.err
        assert "mark -> boat: relies" in ending.out
        assert "Traceback" not in ending.err
        (run,) = world.runs()
        return load_result(run), (run / "report.html").read_text("utf-8")

    @pytest.mark.parametrize(
        "raised",
        [
            "RuntimeError('no\\nluck')",
            "SystemExit(0)",
            *(pytest.param(raised, marks=pytest.mark.slow) for raised in ("MemoryError()", "KeyError(3)")),
        ],
    )
    @pytest.mark.parametrize("first", ["question", "inquiry"])
    def test_a_method(self, first, raised, world: World, command: Command, monkeypatch: pytest.MonkeyPatch):
        world.write_module(monkeypatch, self.TEXT.format(first, raised))
        world.add('\n[methods."mine:boom"]\na = 2\n')
        result, page = self.audited(world, command)
        ended = {each.name: each for each in result.methods}
        assert ended["mine:boom"].status == "error"
        assert "mine.py" in ended["mine:boom"].trace
        assert ended["gradient"].status == ended["smoothgrad"].status == "ok"
        assert result.findings[0].verdict == "relies"
        assert len(result.exemplars) == 2
        assert "mine:boom" in page

    def test_a_method_that_fails_in_a_study_only_is_left_out_of_it(
        self, world: World, command: Command, monkeypatch: pytest.MonkeyPatch
    ):
        world.write_module(
            monkeypatch,
            "from auditor import Attribution\n"
            "def frail(question):\n"
            "    '''Breaks on fewer images.'''\n"
            "    if len(question.images) < 6:\n"
            "        raise ValueError('too few')\n"
            "    return {'': Attribution(question.first.gradient, {})}\n",
        )
        world.add('\n[methods."mine:frail"]\n')
        world.set_study("trust", "images = 12\nstages = 2\n")
        result, _ = self.audited(world, command)
        ended = {each.name: each for each in result.methods}
        assert (ended["mine:frail"].status, ended["trust"].status) == ("error", "ok")
        assert "mine:frail" not in {str(entry.map) for entry in result.trust.methods}
        assert "gradient" in {str(entry.map) for entry in result.trust.methods}

    @pytest.mark.parametrize(
        ("returned", "said"),
        [
            ("None", "wanted a dict"),
            ("{'': Attribution(question.images[:1], {})}", "returned maps of shape"),
            ("{'': Attribution(question.images * float('nan'), {})}", "not finite"),
        ],
    )
    def test_what_a_method_returns_is_checked(
        self, returned, said, world: World, command: Command, monkeypatch: pytest.MonkeyPatch
    ):
        text = f"from auditor import Attribution\ndef odd(question):\n    '''Odd.'''\n    return {returned}\n"
        world.write_module(monkeypatch, text)
        world.add('\n[methods."mine:odd"]\n')
        result, _ = self.audited(world, command)
        assert said in {each.name: each.reason for each in result.methods}["mine:odd"]

    @pytest.mark.parametrize("body", ["raise RuntimeError('no luck')", "return ['a text']"])
    def test_a_section(self, body, world: World, command: Command, monkeypatch: pytest.MonkeyPatch):
        world.write_module(monkeypatch, f"def boom(result, arrays):\n    '''Breaks.'''\n    {body}\n")
        world.replace(FORMATS, FORMATS + '\nsections = ["mine:boom"]')
        result, page = self.audited(world, command)
        (unit,) = [each for each in result.units if each.status == "error"]
        assert unit.name == "mine:boom"
        assert unit.trace
        assert "mine:boom" in page

    @pytest.mark.parametrize(
        "body", ["raise RuntimeError('no luck')", "return 3", "return '../x', b''", "return 'result.json', b''"]
    )
    def test_an_exporter(self, body, world: World, command: Command, monkeypatch: pytest.MonkeyPatch):
        world.write_module(monkeypatch, f"def boom(run):\n    '''Breaks.'''\n    {body}\n")
        world.replace(FORMATS, 'formats = ["html", "mine:boom"]')
        result, page = self.audited(world, command)
        (unit,) = [each for each in result.units if each.status == "error"]
        assert unit.name == "mine:boom"
        assert unit.trace
        assert "mine:boom" in page
        assert not (world.folder / "reports" / "x").exists()

    @pytest.mark.parametrize("key", ["formats", "sections"])
    @pytest.mark.parametrize("name", ["mine:gone", "nowhere:boom"])
    def test_a_function_that_is_not_there_is_found_before_the_audit(
        self, name, key, world: World, command: Command, monkeypatch: pytest.MonkeyPatch
    ):
        world.write_module(monkeypatch, "")
        world.replace(FORMATS, f'{key} = ["{name}"]')
        ending = command("validate", world.config)
        assert ending.code == 2
        assert f"report.{key}[0]: module '{name.partition(':')[0]}'" in ending.err

    def test_a_function_that_is_no_method_is_one_clear_error(
        self, world: World, command: Command, monkeypatch: pytest.MonkeyPatch
    ):
        world.write_module(monkeypatch, "def odd(thing):\n    '''Odd.'''\n")
        world.add('\n[methods."mine:odd"]\n')
        ending = command("audit", world.config, "--quiet")
        assert ending.code == 2
        assert "methods.mine:odd: got the first parameter 'thing', wanted `question`" in ending.err
        assert not world.runs()
