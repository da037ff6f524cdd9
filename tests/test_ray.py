"""Audits that Ray really spreads: the same numbers, nothing that listens beyond this machine, nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from auditor.auditing.api import audit_file
from tests.engine_world import told, write_audit
from tests.ray_processes import descendants, is_loopback, left_of, listens, name_of

pytest.importorskip("ray")

ROOT = Path(__file__).resolve().parents[1]


class Audit:
    """`auditor audit` on Ray, in a process of its own that is looked at while it runs."""

    def __init__(self, file: Path, output: Path, *settings: str, **environment: str) -> None:
        said = ["execution.engine=ray", "execution.workers=2", "execution.num_cpus=0.5", *settings]
        words = [word for setting in said for word in ("--set", setting)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "auditor.cli", "audit", str(file), "--resume", "--output", str(output), *words],
            env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.started: set[int] = set()
        self.listened: set[str] = set()

    def look(self) -> None:
        """See who runs and where they listen now."""
        now = descendants(self.process.pid)
        self.started |= now
        self.listened |= listens(now | {self.process.pid})

    def until(self, is_so: Callable[[], Any], seconds: float = 120) -> Any:
        """Look on until something is so; what it is."""
        end = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < end:
            self.look()
            if found := is_so():
                return found
            time.sleep(0.1)
        return None

    def end(self) -> tuple[int, str]:
        """Wait for it: its exit code, and what it said."""
        self.until(lambda: False, 240)
        said, _ = self.process.communicate(timeout=60)
        return self.process.returncode, said

    def workers(self) -> list[int]:
        """Its workers that hold the model."""
        return [process for process in descendants(self.process.pid) if name_of(process).startswith("ray::Worker")]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """An audit, and what one process finds."""
    file = write_audit(tmp_path_factory.mktemp("alone"))
    folder = audit_file(file).folder
    assert folder is not None
    return file, told(folder)


def found_in(output: Path) -> Any:
    (run,) = [folder for folder in output.iterdir() if folder.is_dir() and not folder.name.startswith(".")]
    return told(run)


def test_workers_of_ray_find_the_same_reach_nobody_and_leave_nothing_behind(alone, tmp_path):
    file, wanted = alone
    audit = Audit(file, tmp_path)
    code, said = audit.end()
    assert code == 1, said
    assert found_in(tmp_path) == wanted
    assert [address for address in sorted(audit.listened) if not is_loopback(address)] == []
    assert left_of(audit.started) == []
