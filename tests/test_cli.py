"""The command line: what it prints, where it writes, how it ends, and that it is quick where nothing heavy is asked."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from PIL import Image

from auditor.artefacts.kinds import ARTEFACT_KINDS
from auditor.cli.commands import EXIT_CODES, cli
from auditor.config.options import describe_options
from auditor.explain.table import METHODS
from auditor.run.result import result_schema
from auditor.run.store import SavedRun, load_result
from tests.small_world import Command, World, build_world, make_data, runs_in

WITHOUT_TENSORFLOW = (
    "import sys; sys.argv = ['auditor', *sys.argv[1:]]\n"
    "from auditor.cli import main\n"
    "try:\n"
    "    main()\n"
    "finally:\n"
    "    heavy = {'tensorflow', 'keras', 'tf_explain'} & set(sys.modules)\n"
    "    assert not heavy, heavy\n"
)


@pytest.mark.parametrize(("model", "code", "verdict"), [("shortcut", 1, "relies"), ("honest", 0, "no_evidence")])
def test_a_good_audit_ends_with_its_verdict_and_a_result_of_the_schema(
    model: str, code: int, verdict: str, tmp_path: Path, command: Command
) -> None:
    world = build_world(tmp_path, model)
    world.save_images(**make_data(96))  # enough for an all-clear
    ending = command("audit", world.config, "--quiet")
    (run,) = world.runs()
    assert ending.code == code
    assert ending.out.startswith(f"mark -> boat: {verdict}")
    assert f"result.json: {run / 'result.json'}" in ending.out
    assert f"report.html: {run / 'report.html'}" in ending.out
    data = json.loads((run / "result.json").read_text())
    jsonschema.Draft202012Validator(result_schema()).validate(data)
    assert data["exit_code"] == code
    assert sorted(file.name for file in run.iterdir()) == [
        "arrays.npz", "hashes.json", "report.html", "result.json", "rows.parquet",
    ]  # fmt: skip


def test_the_printed_schema_is_that_of_results(world: World, command: Command) -> None:
    assert command("audit", world.config, "--quiet").code == 1
    schema = json.loads(command("schema", "result").out)
    jsonschema.Draft202012Validator.check_schema(schema)
    (run,) = world.runs()
    data = json.loads((run / "result.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(data)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema).validate(data | {"verdict": "clean"})


def test_results_go_to_standard_output_and_all_else_to_standard_error(world: World, command: Command) -> None:
    ending = command("audit", world.config)
    assert ending.code == 1
    assert all(line.startswith(("loading:", "interventions:", "explanations:", "studies:", "report:", "scored:"))
               for line in ending.err.splitlines())  # fmt: skip
    assert {"loading", "interventions", "explanations", "report", "scored"} <= set(
        re.findall(r"^\w+", ending.err, re.M)
    )
    assert all(line.startswith(("mark -> boat", "  ", "result.json: ", "report.html: "))
               for line in ending.out.splitlines())  # fmt: skip


def test_quiet_keeps_the_stages_back_and_not_the_warnings(world: World, command: Command) -> None:
    ending = command("audit", world.config, "--quiet", "--set", "verdict.margin_sd=0.1")
    assert "Not calibrated" in ending.err
    assert all(line.startswith("warning: ") for line in ending.err.splitlines())


def test_paths_of_the_configuration_are_those_of_its_folder_and_output_that_of_the_caller(
    world: World, command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.chdir(elsewhere)
    relative = os.path.relpath(world.config, elsewhere)
    assert command("audit", relative, "--quiet", "--output", "runs").code == 1
    assert world.runs() == []
    assert len(runs_in(elsewhere / "runs")) == 1
    assert command("audit", relative, "--quiet").code == 1
    assert len(world.runs()) == 1


def test_a_path_that_set_gives_is_that_of_the_caller_whatever_key_it_is_for(
    world: World, command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    for name in ("model.keras", "labels.txt", "images.npz", "mark.png"):
        (world.folder / name).rename(elsewhere / f"my-{name}")
    Image.open(elsewhere / "my-mark.png").rotate(90).save(elsewhere / "turned.png")
    monkeypatch.chdir(elsewhere)
    given = {"model.source": "my-model.keras", "model.labels": "my-labels.txt", "data.source": "my-images.npz"}
    given |= {"artefacts.0.image": "my-mark.png", "artefacts.0.variants": '["turned.png"]', "report.output": "runs"}
    words = [word for key, value in given.items() for word in ("--set", f"{key}={value}")]
    assert command("audit", world.config, "--quiet", *words).code == 1
    (run,) = runs_in(elsewhere / "runs")
    assert "turned" in load_result(run).findings[0].variants
    ending = command("validate", world.config, *words, "--set", "model.source=none.keras")
    assert ending.err == "error: --set: model.source: none.keras: no such file\n"


def test_an_override_changes_the_audit_and_is_kept_with_its_result(world: World, command: Command) -> None:
    ending = command(
        "audit", world.config, "--quiet", "--set", "verdict.margin=50", "--set", "artefacts.0.name=stamp",
        "--set", "report.title=It is 5 o'clock",
    )  # fmt: skip
    assert ending.code == 4
    config = world.result().provenance.config
    assert config["verdict"]["margin"] == 50
    assert config["artefacts"][0]["name"] == "stamp"
    assert world.result().title == "It is 5 o'clock"


def test_two_audits_of_the_same_world_differ_in_their_clock_alone(world: World, command: Command) -> None:
    for _ in range(2):
        assert command("audit", world.config, "--quiet").code == 1
    first, second = world.runs()
    kept = [json.loads((run / "result.json").read_text()) for run in (first, second)]
    for result in kept:
        del result["provenance"]["started"], result["provenance"]["seconds"]
    assert kept[0] == kept[1]
    assert (first / "rows.parquet").read_bytes() == (second / "rows.parquet").read_bytes()
    arrays = [SavedRun(run).arrays for run in (first, second)]
    assert arrays[0].keys() == arrays[1].keys()
    for name, values in arrays[0].items():
        np.testing.assert_array_equal(values, arrays[1][name])


def test_validate_says_what_the_audit_would_be_about_and_writes_nothing(world: World, command: Command) -> None:
    before = sorted(world.folder.rglob("*"))
    ending = command("validate", world.config)
    assert ending.code == 0
    assert ending.out.splitlines()[0] == f"{world.config}: in order"
    assert "3 classes" in ending.out
    assert "images: 42 of 42, 8 x 8 x 1" in ending.out
    assert "artefact 'mark': overlay, target boat, on 0 images" in ending.out
    assert sorted(world.folder.rglob("*")) == before


def test_render_writes_the_same_report_again(world: World, command: Command) -> None:
    assert command("audit", world.config, "--quiet").code == 1
    (run,) = world.runs()
    report = run / "report.html"
    first = report.read_bytes()
    report.unlink()
    ending = command("render", run, "--format", "html")
    assert (ending.code, ending.out) == (0, f"report.html: {report}\n")
    assert report.read_bytes() == first


def test_an_audit_writes_what_other_tools_read_beside_its_report(world: World, command: Command) -> None:
    ending = command("audit", world.config, "--quiet", "--set", 'report.formats=["html", "junit", "sarif", "markdown"]')
    (run,) = world.runs()
    assert ending.code == 1
    for name in ("report.html", "report.junit.xml", "report.sarif", "report.md"):
        assert f"{name}: {run / name}" in ending.out
        assert (run / name).is_file()
    (result,) = json.loads((run / "report.sarif").read_text())["runs"][0]["results"]
    line = result["locations"][0]["physicalLocation"]["region"]["startLine"]
    assert world.config.read_text().splitlines()[line - 1] == "[[artefacts]]"


def test_methods_lists_every_method_and_kind_with_every_option_and_default(command: Command) -> None:
    ending = command("methods")
    assert ending.code == 0
    for name, function in (METHODS | ARTEFACT_KINDS).items():
        start = ending.out.index(f"\n  {name}: ")
        listed = ending.out[start + 1 :].partition("\n\n")[0]
        for option, _, default in describe_options(function):
            assert f"    {option} = {default}  (" in listed
    assert not re.search(r"Annotated|tuple|typing|pathlib|null", ending.out)


@pytest.mark.parametrize("words", [["--help"], ["audit", "--help"], ["-h"], ["--version"]])
def test_help_is_no_error(words: list[str], command: Command) -> None:
    ending = command(*words)
    assert ending.code == 0
    assert ending.out
    assert ending.err == ""


def test_help_tells_every_command_and_exit_code(command: Command) -> None:
    ending = command("--help")
    for name in cli.commands:
        assert re.search(rf"^  {name}  +[A-Z]", ending.out, re.MULTILINE), name
    for code in re.findall(r"^  (\d)  ", EXIT_CODES, re.MULTILINE):
        assert re.search(rf"^ +{code}  \w", ending.out, re.MULTILINE), code


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["adit"], "No such command 'adit'"),
        (["audit", "--quite"], "No such option"),
        (["schema", "model"], "'model' is not one of 'config', 'result'"),
        (["schema"], "Missing argument"),
        (["render"], "Missing argument 'RUN'"),
        (["render", "run", "--format", "docx"], "'docx' is not one of 'html', 'pdf'"),
    ],
)
def test_a_wrong_command_line_ends_with_2(words: list[str], said: str, command: Command) -> None:
    ending = command(*words)
    assert ending.code == 2
    assert said in ending.err
    assert ending.err.count("Error:") == 1


@pytest.mark.parametrize(
    "words", [["--help"], ["audit", "--help"], ["methods"], ["schema", "config"], ["schema", "result"]]
)
def test_light_commands_do_without_tensorflow(words: list[str]) -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_TENSORFLOW, *words], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("words", [["--help"], ["audit", "--help"], ["validate", "--help"], ["check", "--help"]])
def test_help_needs_hardly_anything(words: list[str]) -> None:
    others = "'numpy', 'pydantic', 'matplotlib', 'pandas', 'scipy', 'skimage', 'pyarrow', 'jinja2', 'PIL'"
    script = WITHOUT_TENSORFLOW.replace("{'tensorflow',", f"{{{others}, 'tensorflow',")
    assert others in script
    done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_render_and_a_faulty_configuration_do_without_tensorflow(world: World, command: Command) -> None:
    assert command("audit", world.config, "--quiet").code == 1
    (run,) = world.runs()
    light = [sys.executable, "-c", WITHOUT_TENSORFLOW]
    done = subprocess.run([*light, "render", str(run), "--format", "html"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert load_result(run).exit_code == 1
    world.replace("[explain]", "[explian]")
    done = subprocess.run([*light, "audit", str(world.config)], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {world.config}:15:1: explian: unknown key; did you mean 'explain'?")


@pytest.mark.slow
def test_the_installed_command_says_nothing_of_tensorflow(world: World) -> None:
    script = Path(sys.executable).parent / "auditor"
    if not script.exists():
        pytest.skip("auditor is not installed as a command here")
    done = subprocess.run([script, "audit", world.config, "--quiet"], capture_output=True, text=True)
    assert done.returncode == 1
    assert all(line.startswith("warning: ") for line in done.stderr.splitlines()), done.stderr


UNREAD = ("", ">&-")
"""Redirections: a pipe whose reader has gone stays what it is, or is closed from the start."""

COMPLETE = Path(__file__).parent / "golden" / "runs" / "complete"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["methods"], 0),
        (["--help"], 0),
        (["schema", "result"], 0),
        (["list", str(COMPLETE.parent)], 0),
        (["compare", str(COMPLETE), str(COMPLETE)], 0),
        (["verify", str(COMPLETE)], 3),
        (["export", str(COMPLETE), "--format", "csv", "--output", "-"], 0),
        (["validate", "none.toml"], 2),
    ],
)
@pytest.mark.parametrize("streams", [UNREAD[0], pytest.param(UNREAD[1], marks=pytest.mark.slow)])
def test_without_a_reader_a_command_ends_quietly_with_the_code_that_it_has_with_one(
    words: list[str], code: int, streams: str, tmp_path: Path
) -> None:
    done = run_unread(words, streams, tmp_path)
    assert done.returncode == code
    assert len(done.stderr.splitlines()) == (code > 0), done.stderr


@pytest.mark.parametrize("streams", [f"{UNREAD[0]} 2>&1", pytest.param(f"{UNREAD[1]} 2>&-", marks=pytest.mark.slow)])
def test_an_audit_that_nobody_reads_is_finished_all_the_same(streams: str, world: World) -> None:
    assert run_unread(["audit", str(world.config)], streams, world.folder).returncode == 1
    (run,) = world.runs()
    assert load_result(run).exit_code == 1
    assert (run / "report.html").is_file()
    assert (world.folder / "reports" / "index.html").is_file()


def run_unread(words: list[str], streams: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the command line, its standard output a pipe whose reader has gone, and then redirected."""
    reader, unread = os.pipe()
    os.close(reader)
    command = shlex.join([sys.executable, "-m", "auditor.cli", *words])
    try:
        return subprocess.run(
            ["sh", "-c", f"{command} {streams}"],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
            stdout=unread,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        os.close(unread)


def test_a_profile_tells_what_each_part_cost(world: World, command: Command) -> None:
    ending = command("audit", world.config, "--quiet", "--profile")
    lines = ending.err.splitlines()
    (head,) = [at for at, line in enumerate(lines) if line.split()[:1] == ["part"]]
    rows = {line[: len("opening")].strip(): line.split()[-4:] for line in lines[head + 1 :]}
    assert {"imports", "opening", "verdict", "report", "all"} <= set(rows)
    for scores, made, gradients, differentiated in rows.values():
        assert int(scores) <= int(made)
        assert int(gradients) <= int(differentiated)
    assert int(rows["verdict"][0]) > 0
