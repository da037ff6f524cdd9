"""What a newcomer does: clone, and run the main command in an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.small_world import runs_in

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_a_fresh_clone_runs_the_main_job(tmp_path):
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("VIRTUAL", "PYTHON"))}
    done = subprocess.run(["make", "audit"], cwd=clone, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "an artefact is relied on (code 1)" in done.stdout
    (run,) = runs_in(clone / "reports")
    assert {"result.json", "rows.parquet", "arrays.npz", "report.html", "report.pdf", "hashes.json"} == {
        f.name for f in run.iterdir()
    }
    assert json.loads((run / "result.json").read_text())["findings"][0]["verdict"] == "relies"
