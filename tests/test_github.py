"""The GitHub Action and the workflow among the examples: GitHub takes them, and a check that is red stays red."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from tests.test_schedule import github_schema

FOLDER = Path(__file__).resolve().parents[1] / "examples" / "github"


def load(name: str) -> Any:
    return YAML(typ="safe").load((FOLDER / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize(("name", "kind"), [("action.yml", "actions"), ("workflow.yml", "workflows")])
def test_github_takes_it(name: str, kind: str) -> None:
    jsonschema.validate(load(name), github_schema(kind))


def test_no_input_is_a_part_of_a_script() -> None:
    scripts = [step["run"] for step in load("action.yml")["runs"]["steps"] if "run" in step]
    assert scripts
    assert not any("${{" in script for script in scripts)


@pytest.mark.parametrize("code", [0, 1, 2, 3, 4])
def test_the_step_ends_as_the_check_does_once_all_is_kept(code: int, tmp_path: Path) -> None:
    stub = tmp_path / "auditor"
    stub.write_text(f'#!/bin/sh\necho "$@" > words\necho "# found" > auditor-found/checks.md\nexit {code}\n')
    stub.chmod(0o755)
    steps = {step["name"]: step for step in load("action.yml")["runs"]["steps"] if "name" in step}
    environment = os.environ | {
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "CHECKS": "my checks.toml", "ALL": "false",
        "GITHUB_OUTPUT": str(tmp_path / "output"), "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
    }  # fmt: skip

    def run(name: str, **more: str) -> int:
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", steps[name]["run"]]
        return subprocess.run(command, cwd=tmp_path, env=environment | more, check=False).returncode

    assert run("Check") == 0  # what comes after it is to run, whatever was found
    assert (tmp_path / "words").read_text() == "check my checks.toml --export auditor-found --if-changed\n"
    assert (tmp_path / "output").read_text() == f"code={code}\n"
    assert (tmp_path / "summary").read_text() == "# found\n"
    assert run("Pass or fail", CODE=str(code)) == code
    assert run("Pass or fail", CODE="") == 3  # the check was never come to


def test_what_is_kept_is_kept_of_a_red_check_too() -> None:
    steps = load("action.yml")["runs"]["steps"]
    kept = [step for step in steps if str(step.get("uses", "")).startswith(("actions/cache/save", "actions/upload"))]
    assert len(kept) == 2
    assert all(step["if"] == "always()" for step in kept)
