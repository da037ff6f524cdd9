"""The house holds its shape: no module is too long, the wheel carries its templates, the README tells the truth.

The direction of imports is held by import-linter (`make lint`).
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def modules() -> dict[str, Path]:
    folder = ROOT / "auditor"
    found = {}
    for file in folder.rglob("*.py"):
        name = ".".join(file.relative_to(folder).with_suffix("").parts)
        if not name.endswith("__init__"):
            found[name] = file
    return found


def test_no_module_is_too_long_to_read():
    lengths = {name: len(file.read_text().splitlines()) for name, file in modules().items()}
    too_long = {name: length for name, length in lengths.items() if length > 400}
    assert not too_long


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_every_template(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    found = (ROOT / "templates").rglob("*")
    templates = [file for file in found if file.is_file() and file.parent.name != "__pycache__"]
    assert templates
    for file in templates:
        assert f"auditor/templates/{file.relative_to(ROOT / 'templates').as_posix()}" in names
    assert not [name for name in names if "__pycache__" in name]


def test_the_wheel_holds_the_class_names_of_imagenet_and_their_licence(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert "auditor/subject/model/imagenet_classes.txt" in names
    assert any(name.endswith("licenses/NOTICE") for name in names)


def test_the_wheel_renders_a_report_far_from_the_checkout(wheel, tmp_path):
    from auditor.measure.ledger import Rows
    from auditor.run.store import Run, save_run
    from tests.synthetic import make_arrays, make_result

    run = save_run(Run(make_result(), Rows(), make_arrays()), tmp_path / "reports")
    installed = tmp_path / "installed"
    zipfile.ZipFile(wheel).extractall(installed)
    code = (
        "import sys, auditor; sys.argv = ['auditor', 'render', sys.argv[1], '--format', 'html'];"
        "assert 'installed' in auditor.__file__; from auditor.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(run)],
        cwd=tmp_path,
        env={"PYTHONPATH": str(installed), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "<html" in (run / "report.html").read_text()


def test_constraints_pin_every_direct_dependency_and_name_no_address():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {line.partition("==")[0].lower() for line in lines if line and not line.startswith("#")}
    assert all("==" in line for line in lines if line and not line.startswith("#"))
    assert not any("://" in line or "@" in line for line in lines)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
    ]
    assert {re.split(r"[<>=!~\[]", name)[0].lower() for name in wanted} <= pinned


class TestReadme:
    text = (ROOT / "README.md").read_text()

    def test_names_the_two_commands_and_the_makefile_has_them(self):
        makefile = (ROOT / "Makefile").read_text()
        for target in re.findall(r"^make ([\w-]+)", self.text, re.MULTILINE):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
        assert "make audit" in self.text
        assert "make test" in self.text

    def test_shows_commands_that_exist(self):
        from auditor.cli.commands import cli

        used = set(re.findall(r"^auditor (\w+)", self.text, re.MULTILINE))
        assert {"audit", "validate", "render", "methods", "schema"} <= used <= set(cli.commands)

    def test_shows_a_configuration_that_is_right(self, tmp_path):
        from auditor.artefacts.kinds import ARTEFACT_KINDS
        from auditor.config.file import read_config
        from auditor.explain.table import METHODS

        blocks = re.findall(r"```toml\n(.*?)```", self.text, re.DOTALL)
        assert blocks
        for number, block in enumerate(blocks):
            file = tmp_path / f"{number}.toml"
            file.write_text(block)
            read_config(file, kinds=ARTEFACT_KINDS, methods=METHODS)

    def test_has_only_links_that_lead_somewhere(self):
        for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
            for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
                assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_continuous_integration_calls_the_readmes_test_command():
    script = (ROOT / ".ci" / "run").read_text()
    for command in ("make lint", "make audit", "make test"):
        assert re.search(rf"^{command}$", script, re.MULTILINE)


def test_continuous_integration_looks_for_every_python_that_is_supported():
    supported = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    first, after = map(int, re.fullmatch(r">=3\.(\d+),<3\.(\d+)", supported).groups())
    versions = [f"3.{minor}" for minor in range(first, after)]
    lowest, highest = re.findall(r"find_python ([\d. ]+)\)", (ROOT / ".ci" / "run").read_text())
    assert (lowest.split(), highest.split()) == (versions, versions[::-1])
