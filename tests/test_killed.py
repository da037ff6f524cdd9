"""An audit that is killed at any of its operations on files is gone on with, and ends as if nothing had happened."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from auditor.report.doctor import examine, exit_code
from auditor.run import journal
from tests import small_audits
from tests.dying import apart, in_child, operations
from tests.small_world import Command, World
from tests.system_tools import require
from tests.test_resuming import Counting

PARTS = 4
"""Of the moments, for several processes to try."""

DIED = 77


def moments(folder: Path) -> list[tuple[str, Path]]:
    """All operations of an audit in a folder, in their order."""
    found: list[tuple[str, Path]] = []
    with operations(folder / "reports", lambda what, file: found.append((what, file))):
        small_audits.audit(folder, model=Counting())
    return found


def die_at(folder: Path, number: int) -> None:
    """Audit in a folder, and die before the operation of that number."""

    def work() -> None:
        left = [number]

        def happen(what: str, file: Path) -> None:
            if not left[0]:
                os._exit(DIED)
            left[0] -= 1

        with operations(folder / "reports", happen):
            small_audits.audit(folder, model=Counting())

    assert in_child(work) == DIED


def hashes(folder: Path) -> dict[str, str]:
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in folder.rglob("*") if file.is_file()}  # fmt: skip


@pytest.mark.parametrize("part", [0, *(pytest.param(part, marks=pytest.mark.slow) for part in range(1, PARTS))])
def test_wherever_it_dies_it_is_gone_on_with_to_the_same_end(part: int, tmp_path: Path):
    apart(try_moments, part, tmp_path)


def try_moments(part: str, place: str) -> None:
    """Every fourth moment, from a number on, each in a copy of a folder that has an older run."""
    journal._BYTES = 3000  # some files of passes, of so small an audit as elsewhere of a large one
    root = Path(place)
    undisturbed = small_audits.audit(root / "undisturbed", model=Counting()).folder
    assert undisturbed is not None
    wanted, begun = small_audits.timeless(undisturbed), root / "begun"
    older = small_audits.audit(begun, settings={"report": {"formats": ["markdown"], "title": "Older"}}).folder
    assert older is not None
    before = hashes(older)
    count = len(moments(shutil.copytree(begun, root / "counted")))
    assert count > 80
    for number in range(int(part), count, PARTS):
        folder = shutil.copytree(begun, root / "tried")
        die_at(folder, number)
        small_audits.audit(folder, model=Counting(), resume=True)
        new = [run for run in small_audits.runs(folder) if run.name != older.name]
        assert new
        assert all(small_audits.timeless(run) == wanted for run in new), number
        assert hashes(folder / "reports" / older.name) == before
        troubles = list(examine(folder / "reports"))
        assert (exit_code(troubles), [str(trouble) for trouble in troubles]) == (0, []), number
        assert not [item for item in (folder / "reports").rglob("*") if item.name.startswith(".")]
        shutil.rmtree(folder)


@pytest.mark.slow
def test_a_real_audit_that_is_killed_at_any_time_is_gone_on_with_to_the_same_end(world: World, command: Command):
    require("pango")
    world.replace('formats = ["html"]', 'formats = ["html", "pdf"]')
    words = [sys.executable, "-P", "-m", "auditor.cli", "audit", str(world.config), "--quiet", "--output"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}

    def start(reports: Path) -> subprocess.Popen[bytes]:
        pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen([*words, str(reports)], env=environment, **pipes)

    undisturbed, begun = world.folder / "undisturbed", time.monotonic()
    assert start(undisturbed).wait() == 1
    lasts = time.monotonic() - begun
    (whole,) = small_audits.runs_of(undisturbed)
    wanted = small_audits.timeless(whole)
    random = np.random.default_rng(0)
    for number in range(20):
        reports = world.folder / f"reports-{number}"
        shutil.copytree(undisturbed, reports)
        before = hashes(reports / whole.name)
        process = start(reports)
        time.sleep(random.uniform(0.2, 1) * lasts)
        process.kill()
        process.wait()
        assert command("audit", world.config, "--output", reports, "--resume").code == 1
        new = [run for run in small_audits.runs_of(reports) if run.name != whole.name]
        assert all(small_audits.timeless(run) == wanted for run in new), number
        assert new
        assert (new[0] / "report.pdf").exists()
        assert hashes(reports / whole.name) == before
        assert list(examine(reports)) == [], number
