"""The nights of `examples/nightly` go as the documentation tells them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("nights")
    paths = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONUTF8": "1"}
    command = [sys.executable, str(ROOT / "examples" / "nightly" / "nightly.py"), str(folder)]
    done = subprocess.run(command, cwd=folder, env=paths, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr
    return done.stdout


@pytest.mark.slow
def test_they_end_as_they_should_and_only_a_new_model_is_audited(printed: str) -> None:
    checks = re.findall(r"^boats: (\w+), ([\w ]+): .*?^exit code (\d)$", printed, re.MULTILINE | re.DOTALL)
    assert checks == [
        ("fail", "audited", "1"),
        ("warn", "judged anew", "0"),
        ("warn", "unchanged", "0"),
        ("fail", "audited", "1"),
        ("warn", "judged anew", "0"),
        ("fail", "judged anew", "1"),
        ("pass", "audited", "0"),
    ]
    assert len(re.findall(r"^# checks\.toml: 1 changed", printed, re.MULTILINE)) == 6


@pytest.mark.slow
def test_they_are_told_as_they_go(printed: str) -> None:
    page = (ROOT / "docs" / "checks.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"^```text\n(# The first night.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert without_figures(shown) == without_figures(printed)


def without_figures(text: str) -> list[str]:
    """What neither the machine nor the day changes."""
    text = re.sub(r"\d{8}T\d{6}-[0-9a-f]{8}|\b[0-9a-f]{64}\b", "NAME", text)
    return re.sub(r"[+−-]?\d+(\.\d+)?", "#", text).splitlines()
