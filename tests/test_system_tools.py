"""Where tools of the system are missing, a run of the tests says what it left out; `make setup` installs them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system_tools import TOOLS, require, tell_missing

ROOT = Path(__file__).resolve().parents[1]


def test_a_run_without_them_skips_what_needs_them_and_ends_with_what_was_not_tested_and_how_to_install_it(tmp_path):
    (tmp_path / "weasyprint.py").write_text("raise OSError('cannot load library libpango-1.0-0')")
    chosen = ["tests/test_golden.py::TestTexts", "tests/test_gallery.py::TestFilters", "-k", "pdf or csv or paper"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n1", "-q", "-p", "no:cacheprovider", *chosen],
        cwd=ROOT,
        env=os.environ | {"PATH": str(tmp_path), "CHROMIUM": "none", "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert re.search(r"\d+ passed, \d+ skipped", done.stdout)
    (said,) = [line for line in done.stdout.splitlines() if line.startswith("not tested: ")]
    assert re.fullmatch(
        r"not tested: pages in a browser \(\d tests need chromium\), the PDF \(1 tests need pango\), "
        r"how the PDF reads and looks \(1 tests need poppler\); to install: make setup \(Debian: apt-get install "
        r"chromium libpango-1\.0-0 libpangoft2-1\.0-0 libharfbuzz-subset0 poppler-utils; "
        r"macOS: brew install google-chrome pango poppler\)",
        said,
    )


def test_what_is_skipped_for_another_reason_needs_no_installing():
    assert tell_missing(["Skipped: golden files were made with pango 1, this is 2"]) is None
    assert tell_missing([]) is None


@pytest.mark.parametrize(
    ("programs", "user", "first"),
    [({"apt-get", "sudo"}, 1000, "sudo"), ({"apt-get"}, 0, "apt-get"), ({"brew"}, 501, "brew")],
)
def test_make_setup_installs_them_on_debian_and_on_macos(programs, user, first, tmp_path):
    require("make")
    log = tmp_path / "log"
    for name in programs:
        write_program(tmp_path / name, f'echo {name} "$@" >> {log}' + ('; exec "$@"' if name == "sudo" else ""))
    write_program(tmp_path / "id", f"echo {user}")
    done = run_setup(tmp_path)
    assert done.returncode == 0, done.stderr
    lines = log.read_text().splitlines()
    assert lines[0].split()[0] == first
    system = "macos" if "brew" in programs else "debian"
    wanted = {package for name, tool in TOOLS.items() if name != "make" for package in getattr(tool, system).split()}
    assert wanted <= set(lines[-1].partition(" install ")[2].split())


def test_make_setup_on_another_system_says_what_to_install(tmp_path):
    require("make")
    done = run_setup(tmp_path)
    assert done.returncode != 0
    assert "got neither apt-get nor brew; wanted Debian or macOS" in done.stderr


def write_program(file: Path, body: str) -> None:
    file.write_text(f"#!/bin/sh\n{body}\n")
    file.chmod(0o755)


def run_setup(programs: Path) -> subprocess.CompletedProcess[str]:
    """`make setup` where no other programs are than those of a folder and the few that it cannot do without."""
    for name in ("make", "env", "sh"):
        found = shutil.which(name)  # folders of PATH may be closed to who runs this
        assert found is not None
        (programs / name).symlink_to(found)
    return subprocess.run(
        ["make", "--no-print-directory", "setup"], cwd=ROOT, env={"PATH": str(programs)}, capture_output=True, text=True
    )
