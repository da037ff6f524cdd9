"""An audit that is ended, whenever and however, has its verdicts on the disk, and says what it did not come to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from auditor.auditing.resuming import KEPT
from auditor.run.store import load_result
from tests.small_world import CONFIG, Command, World, runs_in

PATIENCE = 240.0
HANG = (
    "import auditor, pathlib, time\n"
    "def hang(inquiry):\n"
    "    '''Does not end before it may.'''\n"
    "    pathlib.Path(__file__).with_suffix('.begun').touch()\n"
    "    while not pathlib.Path(__file__).with_suffix('.may').exists():\n"
    "        time.sleep(0.1)\n"
    "    return [auditor.Answer('It may.')]\n"
)


@pytest.fixture
def hanging(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    world.write_module(monkeypatch, HANG)
    world.add('\n[methods."mine:hang"]\n')
    return world


def run_until(world: World, begun: Path, how: int) -> tuple[int, str, str]:
    """Run an audit in a process of its own, end it by a signal once it has come so far; its code and what it says."""
    command = [sys.executable, "-P", "-m", "auditor.cli", "audit", str(world.config), "--quiet"]
    paths = os.pathsep.join(filter(None, sys.path))
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": paths},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # jobs in the background ignore it
    )
    end = time.monotonic() + PATIENCE
    while not begun.exists() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(how)
    out, err = process.communicate(timeout=PATIENCE)
    assert begun.exists(), err
    return process.returncode, out, err


@pytest.mark.parametrize(
    "how", [signal.SIGTERM, *(pytest.param(how, marks=pytest.mark.slow) for how in (signal.SIGKILL, signal.SIGINT))]
)
def test_the_verdicts_stand_what_is_missing_is_said_and_gone_on_with(hanging: World, how: int, command: Command):
    code, out, err = run_until(hanging, hanging.folder / "mine.begun", how)
    assert code == (-how if how == signal.SIGKILL else 3)
    if how != signal.SIGKILL:
        assert err.splitlines()[-1] == f"error: interrupted; {KEPT}"
    (run,) = [folder for folder in runs_in(hanging.folder / "reports") if not folder.name.startswith(".")]
    assert "mark -> boat: relies" in out  # said as soon as it was on the disk, long before the end
    assert f"result.json: {run / 'result.json'}" in out
    result = load_result(run)
    assert [finding.verdict for finding in result.findings] == ["relies"]
    assert result.exit_code == 3
    assert {unit.name: unit.status for unit in result.units} == {
        "verdicts": "done",
        "maps: mark": "done",
        "mine:hang": "missing",
    }
    (record,) = [each for each in result.methods if each.name == "mine:hang"]
    assert (record.status, record.reason) == ("missing", "the audit ended before it was run")
    assert {each.status for each in result.methods if each.name in ("gradient", "smoothgrad")} == {"ok"}
    assert any("ended before these were done: mine:hang" in warning.text for warning in result.warnings)
    assert command("verify", run).code == 0
    assert command("render", run, "--format", "html").code == 0
    page = (run / "report.html").read_text("utf-8")
    assert "The audit ended before these were done: mine:hang." in page
    assert "Relies on it" in page
    (hanging.folder / "mine.may").touch()
    ending = command("audit", hanging.config, "--resume")
    assert ending.code == 1
    assert "note: going on with the audit of " in ending.err
    resumed = load_result(run)
    assert {unit.status for unit in resumed.units} == {"done"}
    assert resumed.findings == result.findings
    assert [piece.text for piece in resumed.told["mine:hang"].pieces] == ["It may."]
    assert command("doctor", run.parent).code == 0
    assert not [item for item in run.parent.rglob("*") if item.name.startswith(".")]
    assert len(runs_in(run.parent)) == 1


def test_the_code_is_the_same_wherever_python_is_interrupted(tmp_path: Path):
    (tmp_path / "audit.toml").write_text(CONFIG + '[methods."mine:study"]\n', encoding="utf-8")
    (tmp_path / "mine.py").write_text("exec('import os; os.kill(os.getpid(), 15)')\n", encoding="utf-8")
    command = [sys.executable, "-P", "-m", "auditor.cli", "validate", str(tmp_path / "audit.toml")]
    paths = os.pathsep.join(filter(None, sys.path))
    ended = subprocess.run(command, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True, check=False)
    assert ended.stderr.splitlines()[-1] == "error: interrupted"
    assert ended.returncode == 3


def test_a_terminal_that_is_full_costs_no_audit(world: World):
    if not Path("/dev/full").exists():
        pytest.skip("this system has no disk that is always full")
    command = [sys.executable, "-P", "-m", "auditor.cli", "audit", str(world.config)]
    paths = os.pathsep.join(filter(None, sys.path))
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": paths}, check=False
        )
    assert ended.returncode == 3
    assert ended.stderr.splitlines()[-1] == "error: not all could be printed: No space left on device"
    (run,) = runs_in(world.folder / "reports")
    assert {unit.status for unit in load_result(run).units} == {"done"}
    assert (run / "report.html").exists()


def test_every_state_that_a_run_grows_through_is_a_whole_run(world: World):
    from auditor.artefacts.kinds import ARTEFACT_KINDS
    from auditor.auditing.audit import run_audit
    from auditor.auditing.conduct import conduct
    from auditor.config.file import read_config
    from auditor.explain.table import METHODS
    from auditor.run.store import grow_run, save_run

    config = read_config(world.config, ("methods.smoothgrad.enabled=false",), kinds=ARTEFACT_KINDS, methods=METHODS)
    states = []
    whole = run_audit(config, lambda *_: None, states.append)
    assert len(states) == 2  # verdicts, maps
    folder = save_run(states[0], world.folder / "grown")
    assert load_result(folder) == states[0].result
    for state in states[1:]:
        grow_run(state, folder)
        assert load_result(folder) == state.result
    assert load_result(folder).findings == whole.result.findings
    assert not any(item.name.startswith(".") for item in folder.parent.iterdir())
    saved = conduct(config, world.folder / "reports", lambda *_: None)
    assert load_result(saved.folder).findings == whole.result.findings
