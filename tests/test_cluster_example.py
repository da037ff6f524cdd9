"""The cluster of `examples/cluster` loses a node, and its checks end as they should all the same."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("ray")

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_both_checks_end_as_they_should_though_a_node_is_lost(tmp_path: Path) -> None:
    paths = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, str(ROOT / "examples" / "cluster" / "cluster.py"), str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, env=paths, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    states = dict(re.findall(r"^\S*?(planted|clean_twin)\S*: (\w+), audited", done.stdout, re.MULTILINE))
    assert states == {"planted": "fail", "clean_twin": "pass"}, done.stdout + done.stderr
    assert "estimates" in done.stdout
    assert done.stdout.rstrip().endswith("exit code 1")
