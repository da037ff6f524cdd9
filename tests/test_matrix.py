"""Checks as one job: what comes first, what is spread, and what a plan says before anything runs."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from auditor.auditing.checks.check import run_checks
from auditor.auditing.checks.child import Ending
from auditor.auditing.checks.forecast import Forecast, forecast, tell_forecasts
from auditor.auditing.checks.spread import at_once, order_cells, share_workers
from auditor.config.checks import Cell, read_checks
from auditor.report.comparison import list_differences
from tests.small_world import World, build_world
from tests.synthetic import make_result


def cell(name: str, model: str = "") -> Cell:
    return Cell(name, Path("audit.toml"), (), (), model)


def test_the_largest_come_first_and_no_model_has_its_second_before_each_has_its_first():
    cells = [cell("a1", "a"), cell("a2", "a"), cell("a3", "a"), cell("b1", "b"), cell("c1", "c"), cell("alone")]
    sizes = {"a1": 5.0, "a2": 9.0, "a3": 8.0, "b1": 1.0, "c1": 3.0, "alone": 2.0}
    assert [each.name for each in order_cells(cells, sizes)] == ["a2", "c1", "alone", "b1", "a3", "a1"]


def test_what_is_larger_than_the_share_of_a_worker_is_spread_over_as_many_as_it_has_shares():
    cells = [cell(name) for name in ("large", "small", "smaller")]
    assert share_workers(cells, {"large": 80.0, "small": 10.0, "smaller": 10.0}, 4) == {
        "large": 3,
        "small": 1,
        "smaller": 1,
    }
    assert share_workers(cells, {}, 4) == dict.fromkeys(("large", "small", "smaller"), 1)
    assert set(share_workers(cells, {each.name: 1.0 for each in cells}, 2).values()) == {1}


@pytest.fixture
def matrix(tmp_path: Path) -> World:
    world = build_world(tmp_path)
    names = "\n".join(f'[[checks]]\nname = "check {number}"' for number in range(3))
    (tmp_path / "checks.toml").write_text(names)
    return world


def test_checks_run_at_once_and_one_that_breaks_hurts_no_other(matrix):
    config = read_checks(matrix.folder / "checks.toml")
    together = threading.Barrier(3)

    def audit(words: list[str], folder: Path, limit: float) -> Ending:
        together.wait(60)  # which none passes before all are here
        return Ending(-9, "", "")

    told: list[str] = []
    checking = run_checks(
        config,
        tell=lambda checked: told.append(checked.record.name),
        each=lambda cells, one: at_once(list(cells), one, dict.fromkeys((f"check {at}" for at in range(3)), audit)),
        now=lambda: datetime(2026, 1, 1, tzinfo=UTC),
    )
    assert sorted(told) == ["check 0", "check 1", "check 2"]
    assert {checked.record.state for checked in checking.checks} == {"broken"}
    assert "SIGKILL" in checking.checks[0].record.reason


def test_so_many_checks_are_begun_at_once_and_the_first_first():
    cells, begun, now, most = [cell(f"{number}") for number in range(9)], list[str](), [0], [0]

    def audit(words: list[str], folder: Path, limit: float) -> Any:
        begun.append(words[0])
        now[0] += 1
        most[0] = max(most[0], now[0])
        time.sleep(0.01)
        now[0] -= 1
        return words[0]

    def one(each: Cell, run: Any) -> Any:
        return run([each.name], Path(), 1.0)

    found = at_once(cells, one, dict.fromkeys((each.name for each in cells), audit), most=3)
    assert {each.name: of for each, of in found} == {f"{number}": f"{number}" for number in range(9)}
    assert most[0] <= 3
    assert set(begun[:3]) == {"0", "1", "2"}


def test_that_another_cluster_did_it_is_no_difference_between_two_runs():
    result = make_result()
    here, there = (
        replace(result, provenance=replace(result.provenance, config=result.provenance.config | {"execution": where}))
        for where in ({"engine": "local"}, {"engine": "ray", "address": "127.0.0.1:6379"})
    )
    assert list_differences(here, there) == []


def test_a_plan_counts_from_the_configuration_and_says_what_it_rests_on(matrix):
    config = read_checks(matrix.folder / "checks.toml")
    (first, *_) = [forecast(each, matrix.folder / "reports", None) for each in config.cells]
    assert (first.least, first.most) == tuple(42 + edits * 42 + 1000 for edits in (7, 14))
    assert first.read == 42 * 8 * 8
    assert first.source == "assumed"
    lines = tell_forecasts([first], 4)
    assert any("check 0" in line and "1,336" in line and "1,630" in line for line in lines)
    assert "estimates" in lines[-1]


def test_a_plan_counts_suspects_where_nothing_is_named(matrix):
    text = (matrix.folder / "audit.toml").read_text()
    named = text[text.index("[[artefacts]]") : text.index("[explain]")]
    (matrix.folder / "audit.toml").write_text(text.replace(named, "[discovery]\nmost = 2\npasses = 500\n"))
    (first, *_) = read_checks(matrix.folder / "checks.toml").cells
    planned = forecast(first, matrix.folder / "reports", None)
    assert planned.least == 42
    assert planned.most == 42 + 500 + 2 * (14 * 21 + 1000)


def test_a_plan_looks_at_300_images_at_the_least_where_there_are_many():
    many = Forecast("many", least=300 * 13 + 1000, most=10**6 * 13 + 1000, explaining=0, read=0, sent=0, seconds=0.01,
                    source="assumed")  # fmt: skip
    low, high = many.hours
    assert (round(low, 3), round(high, 1)) == (0.014, 36.1)
    assert "the longest takes 36 hours on one worker alone, so it is spread" in tell_forecasts([many], 8)


def test_a_plan_of_what_is_not_there_says_so_and_counts_the_others(matrix, command: Any):
    (matrix.folder / "missing.toml").write_text('model = { source = "m.keras" }\ndata = { source = "nothing.npz" }\n')
    with (matrix.folder / "checks.toml").open("a") as file:
        file.write('\n[[checks]]\nname = "missing"\nconfig = "missing.toml"\n')
    done = command("check", matrix.folder / "checks.toml", "--plan")
    assert done.code == 0
    assert "missing: nothing can be said of it: " in done.out
    assert "no such file or folder" in done.out
    assert not (matrix.folder / "reports").exists()
