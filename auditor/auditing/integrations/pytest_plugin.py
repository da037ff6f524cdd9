"""Golden tests for models: an audit is compared with an accepted golden run, and fails with what is different.

    @pytest.mark.auditor("audit.toml")          # beside the test; golden="folder", set=["data.limit=200"]
    def test_takes_no_shortcut(audited):        # an auditor.AuditedRun; a test needs not ask for it
        assert audited.result.data.accuracy.value > 0.9

`pytest --update-audit` writes the golden runs, and refuses where `CI` is set. pytest loads this file at every start, in
every project, so it imports nothing of the product until a test is marked.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from auditor.auditing.conduct import AuditedRun
    from auditor.run.store import Run

MARK, FIXTURE, OPTION = "auditor", "audited", "--update-audit"

GOLDEN = "golden_audits"
"""The folder beside a test that holds its golden runs, unless the mark names another."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("auditor").addoption(
        OPTION,
        action="store_true",
        help="write the golden runs of marked tests, instead of comparing with them",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "auditor(config, golden=, set=): audit the model of an audit.toml and compare it with its golden run"
    )
    if config.getoption(OPTION) and os.environ.get("CI"):
        raise pytest.UsageError(
            f"{OPTION}: refused where CI is set; wanted a person who reads the difference before it is committed"
        )
    config.stash[_AUDITED], config.stash[_WRITTEN] = {}, []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A marked test is compared, whether it asks for the run or not."""
    for item in items:
        names = getattr(item, "fixturenames", None)
        if names is not None and item.get_closest_marker(MARK) and FIXTURE not in names:
            names.append(FIXTURE)


@pytest.fixture
def audited(request: pytest.FixtureRequest) -> AuditedRun:
    """The run of the `audit.toml` that the test is marked with, in memory; audited once a session."""
    asked = _asked(request.node)
    kept = request.config.stash[_AUDITED]
    key = asked["config"], tuple(asked["set"])
    if key not in kept:
        kept[key] = _audit(*key)
    found = kept[key]
    if isinstance(found, str):
        pytest.fail(found, pytrace=False)
    return found


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Compare before the test's own lines are run, so that a difference is its failure and not an error before it.

    It is called for every kind of test, a method of a `unittest.TestCase` too.
    """
    if isinstance(item, pytest.Function) and item.get_closest_marker(MARK):
        run: Any = item.funcargs[FIXTURE]
        asked = _asked(item)
        if item.config.getoption(OPTION):
            _write_golden(run.run, asked["golden"])
            item.config.stash[_WRITTEN].append(asked["golden"])
        else:
            difference = _describe_difference(run.run, asked["golden"], asked["config"])
            if difference:
                pytest.fail(difference, pytrace=False)
    return (yield)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    written: list[Path] = terminalreporter.config.stash[_WRITTEN]
    for folder in dict.fromkeys(written):
        terminalreporter.write_line(f"golden run written: {folder}; read the difference before you commit it")


def _asked(item: pytest.Item) -> dict[str, Any]:
    """What a mark says, with its paths made whole."""
    marker = item.get_closest_marker(MARK)
    if marker is None:
        pytest.fail(f'{FIXTURE}: wanted @pytest.mark.{MARK}("audit.toml") on the test', pytrace=False)
    unknown = marker.kwargs.keys() - {"golden", "set"}
    if len(marker.args) != 1 or unknown:
        got = f"unknown {min(unknown)!r}" if unknown else f"{len(marker.args)} configurations"
        pytest.fail(f'@pytest.mark.{MARK}: got {got}, wanted ("audit.toml", golden="folder", set=[..])', pytrace=False)
    beside = item.path.parent
    config = beside / marker.args[0]
    named = os.path.splitext(os.path.relpath(config, beside))[0].split(os.sep)
    golden = beside / marker.kwargs.get("golden", f"{GOLDEN}/{'-'.join(part for part in named if part != '..')}")
    overrides = marker.kwargs.get("set", ())
    return {"config": config, "golden": golden, "set": (overrides,) if isinstance(overrides, str) else tuple(overrides)}


def _audit(file: Path, overrides: tuple[str, ...]) -> AuditedRun | str:
    """The run of a configuration, or why there is none."""
    from auditor.artefacts.kinds import ARTEFACT_KINDS
    from auditor.auditing.conduct import conduct
    from auditor.config.file import read_config
    from auditor.errors import AuditError
    from auditor.explain.table import METHODS

    try:
        with warnings.catch_warnings():  # those of the libraries of a model, which tests may have made errors
            warnings.simplefilter("ignore")
            config = read_config(file, overrides, kinds=ARTEFACT_KINDS, methods=METHODS)
            return conduct(config, None, lambda stage, done, total: None)
    except AuditError as fault:
        return str(fault)


def _describe_difference(run: Run, folder: Path, config: Path) -> str:
    """What is not as the golden run says, in lines; empty where nothing is."""
    from datetime import UTC, datetime

    from auditor.auditing.integrations.golden import find_differences
    from auditor.run.store import SavedRun

    hint = f"If it is meant: pytest {OPTION}, and read the difference before you commit it."
    if not folder.is_dir():
        return f"{folder}: no golden run there. pytest {OPTION} writes one; accept it by committing it."
    lines = find_differences(run, SavedRun(folder), datetime.now(UTC).date())
    return "\n".join([f"{config}: not as the golden run in {folder} says", *lines, hint]) if lines else ""


def _write_golden(run: Run, folder: Path) -> None:
    from auditor.auditing.integrations.golden import write_golden
    from auditor.errors import AuditError

    try:
        write_golden(run, folder)
    except AuditError as fault:
        pytest.fail(str(fault), pytrace=False)


_AUDITED: pytest.StashKey[dict[Any, Any]] = pytest.StashKey()
_WRITTEN: pytest.StashKey[list[Any]] = pytest.StashKey()
