"""An audit spread over workers finds what one process finds, in whatever order they work and whatever befalls them."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auditor.auditing import conduct
from auditor.auditing.api import audit_file
from auditor.auditing.engine import cluster
from auditor.auditing.engine.crew import refuse_other
from auditor.auditing.engine.units import TRIES, Broken, Dispatcher, Done, Failed, Outcome, Refused, Unit, in_order
from auditor.errors import ConfigError, EngineError
from auditor.run.store import grow_run
from tests.engine_world import told, work_inline, write_audit
from tests.test_suspecting import planted

RAY = ("execution.engine=ray",)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """An audit, and what one process finds."""
    file = write_audit(tmp_path_factory.mktemp("alone"))
    folder = audit_file(file).folder
    assert folder is not None
    return file, told(folder)


@pytest.mark.parametrize(("workers", "seed"), [(1, 0), (2, 1), (4, 2)])
def test_any_number_of_workers_finds_the_same_to_the_byte(alone, workers, seed, tmp_path, monkeypatch):
    file, wanted = alone
    crews = work_inline(monkeypatch, workers=workers, seed=seed)
    run = audit_file(file, overrides=RAY, output=tmp_path)
    assert told(run.folder) == wanted
    assert len(crews[0].done) > 6


def test_what_is_clear_where_it_is_named_is_tried_beside_by_workers_too(tmp_path, monkeypatch):
    file = write_audit(tmp_path / "named", count=210)
    text = file.read_text()
    named = text.replace('present = "marked"', 'target = "boat"')
    assert named != text
    file.write_text(named)
    alone = audit_file(file, output=tmp_path / "alone")
    assert "theta_elsewhere" in alone.findings[1].measurements
    assert "theta_elsewhere" not in alone.findings[0].measurements
    work_inline(monkeypatch, workers=3)
    spread = audit_file(file, overrides=RAY, output=tmp_path / "spread")
    assert told(spread.folder) == told(alone.folder)


def test_a_unit_that_fails_twice_is_done_the_third_time(alone, tmp_path, monkeypatch):
    file, wanted = alone
    tries: dict[str, int] = {}

    def fate(unit: Unit) -> str:
        tries[unit.name] = tries.get(unit.name, 0) + 1
        return "its worker was lost" if tries[unit.name] < TRIES else ""

    work_inline(monkeypatch, fate=fate)
    assert told(audit_file(file, overrides=RAY, output=tmp_path).folder) == wanted
    assert set(tries.values()) == {TRIES}


def test_an_artefact_whose_work_fails_three_times_is_an_error_of_its_own(alone, tmp_path, monkeypatch):
    file, _ = alone

    def fate(unit: Unit) -> str:
        return "its worker was lost" if unit.call == "look" and 1 in unit.arguments[0].artefacts else ""

    work_inline(monkeypatch, fate=fate)
    run = audit_file(file, overrides=RAY, output=tmp_path)
    assert [finding.verdict for finding in run.findings] == ["relies", "error"]
    assert run.findings[1].reason == ("artefact 2 on images 1 to 8 of the sample failed 3 times: its worker was lost")
    assert run.exit_code == 3


def test_images_that_end_every_worker_are_left_out_and_said(alone, tmp_path, monkeypatch):
    file, _ = alone
    work_inline(monkeypatch, fate=lambda unit: "lost" if unit.call == "look" and 8 in unit.arguments[0].rows else "")
    overrides = (*RAY, "data.max_corrupt=0.5")
    run = audit_file(file, overrides=overrides, output=tmp_path)
    assert [image.image for image in run.result.data.skipped] == [f"picture-{row}" for row in range(8, 16)]
    assert {image.reason for image in run.result.data.skipped} == {"images 9 to 16 of the sample failed 3 times: lost"}


@pytest.mark.parametrize("name", ["maps: mark", "spread"])
def test_an_explanation_that_fails_three_times_is_an_error_and_the_verdicts_stand(name, alone, tmp_path, monkeypatch):
    file, _ = alone
    work_inline(monkeypatch, fate=lambda unit: "lost" if unit.name.endswith(name) else "")
    run = audit_file(file, overrides=RAY, output=tmp_path)
    units = {unit.name.rpartition(":")[2].strip(): unit for unit in run.result.units}
    failed = units[name.rpartition(":")[2].strip()]
    assert failed.status == "error"
    assert failed.reason.endswith("failed 3 times: lost")
    assert [unit.status for unit in units.values()].count("error") == 1
    assert run.findings[0].verdict == "relies"
    assert run.exit_code == 3


def test_methods_whose_every_map_is_lost_are_errors_and_not_merely_missing(alone, tmp_path, monkeypatch):
    file, _ = alone
    work_inline(monkeypatch, fate=lambda unit: "lost" if unit.name.startswith("maps") else "")
    run = audit_file(file, overrides=RAY, output=tmp_path)
    methods = {method.name: method for method in run.result.methods}
    assert methods["gradient"].status == "error"
    assert "failed 3 times: lost" in methods["gradient"].reason
    assert "missing" not in {method.status for method in methods.values()}
    assert run.findings[0].verdict == "relies"


def test_suspects_that_are_found_on_the_way_are_explained_by_workers_too(tmp_path, monkeypatch):
    file = write_audit(tmp_path / "world")
    np.savez(file.parent / "images.npz", **planted())
    overrides = ("artefacts=[]", "explain.images=4", "discovery.most=1", 'discovery.sources=["stamps"]')
    wanted = audit_file(file, overrides=overrides, output=tmp_path / "alone")
    assert any(unit.name.startswith("maps: suspect") for unit in wanted.result.units)
    crews = work_inline(monkeypatch)
    run = audit_file(file, overrides=(*overrides, *RAY), output=tmp_path / "spread")
    assert told(run.folder) == told(wanted.folder)
    assert any(name.startswith("maps: suspect") for name in crews[0].done)


def test_what_memory_of_workers_ran_out_is_said(alone, tmp_path, monkeypatch):
    file, _ = alone
    work_inline(monkeypatch)
    monkeypatch.setenv("MOST", "4")
    run = audit_file(file, overrides=RAY, output=tmp_path)
    assert [note.kind for note in run.result.warnings].count("memory") == 1
    assert "asked 4 images at a time" in next(note.text for note in run.result.warnings if note.kind == "memory")


def test_an_audit_cut_short_in_its_explanations_goes_on_with_other_workers(alone, tmp_path, monkeypatch):
    file, wanted = alone

    def grow_once(run: Any, folder: Path) -> None:
        grow_run(run, folder)
        raise KeyboardInterrupt

    with monkeypatch.context() as first:
        work_inline(first)
        first.setattr(conduct, "grow_run", grow_once)
        with pytest.raises(KeyboardInterrupt):
            audit_file(file, overrides=RAY, output=tmp_path)
    crews = work_inline(monkeypatch, workers=3)
    run = audit_file(file, overrides=(*RAY, "execution.workers=3"), output=tmp_path, resume=True)
    assert [folder.name for folder in tmp_path.iterdir() if folder.is_dir()] == [run.folder.name]
    assert "maps: mark" not in crews[0].done
    assert told(run.folder)[1:] == wanted[1:]


class Reversed:
    """A crew that gives what it was given last first, fails as it is told, and counts what it holds."""

    def __init__(self, size: int = 2, fails: dict[str, int] | None = None) -> None:
        self.size, self.fails = size, fails or {}
        self.given: list[tuple[int, Unit]] = []
        self.order: list[str] = []
        self.most = 0

    def agree(self, fingerprint: dict[str, str]) -> None: ...

    def share(self, value: Any) -> Any:
        return value

    def room(self) -> int:
        return self.size - len(self.given)

    def give(self, number: int, unit: Unit) -> None:
        self.given.append((number, unit))
        self.order.append(unit.name)
        self.most = max(self.most, len(self.given))

    def collect(self) -> list[tuple[int, Outcome]]:
        number, unit = self.given.pop()
        if self.fails.get(unit.name, 0):
            self.fails[unit.name] -= 1
            return [(number, Broken("no luck"))]
        return [(number, Done(unit.name))]


def test_results_come_in_the_order_of_what_they_are_of_and_no_more_are_on_their_way_than_may_be():
    crew, ahead, most = Reversed(size=3), [0], [0]
    dispatcher = Dispatcher(crew)

    def submit(name: str) -> int:
        ahead[0] += 1
        most[0] = max(most[0], ahead[0])
        return dispatcher.submit(Unit(name, "look"))

    def result(name: str, number: int) -> Any:
        ahead[0] -= 1
        return name, dispatcher.result(number)

    names = [f"{number}" for number in range(40)]
    assert list(in_order(names, submit, result, 7)) == [(name, name) for name in names]
    assert most[0] == 7
    assert crew.most <= 3


def test_the_largest_are_handed_out_first_and_what_failed_before_them():
    crew = Reversed(size=1, fails={"small": 1})
    dispatcher = Dispatcher(crew)
    numbers = [dispatcher.submit(Unit(name, "look", size=size)) for name, size in SIZES]
    assert [dispatcher.result(number) for number in numbers] == [name for name, _ in SIZES]
    assert crew.order == ["small", "small", "largest", "middle", "smaller"]


SIZES = [("small", 2.0), ("middle", 5.0), ("largest", 9.0), ("smaller", 1.0)]


def test_a_unit_fails_after_three_tries_with_every_reason_and_others_are_done():
    dispatcher = Dispatcher(Reversed(fails={"bad": 5, "unlucky": 2}))
    numbers = [dispatcher.submit(Unit(name, "look")) for name in ("bad", "unlucky", "good")]
    bad, unlucky, good = (dispatcher.result(number) for number in numbers)
    assert bad == Failed("bad failed 3 times: no luck")
    assert (unlucky, good) == ("unlucky", "good")
    assert len(dispatcher.failures) == 5


def test_a_unit_that_was_lost_before_it_began_is_not_held_against_it():
    class Losing(Reversed):
        def collect(self) -> list[tuple[int, Outcome]]:
            number, unit = self.given.pop()
            self.fails["left"] = self.fails.get("left", 9) - 1
            return [(number, Broken("", is_innocent=True) if self.fails["left"] > 0 else Done(unit.name))]

    dispatcher = Dispatcher(Losing())
    assert dispatcher.result(dispatcher.submit(Unit("unlucky", "look"))) == "unlucky"
    assert not dispatcher.failures


def test_an_image_is_in_the_same_batch_whatever_cannot_be_read_before_it(tmp_path):
    from auditor.subject.data.memory import HeldSource
    from auditor.subject.data.sample import Dataset

    files = []
    for number in range(20):
        file = tmp_path / f"{number}.png"
        if number in (3, 9):
            file.write_bytes(b"no picture")
        else:
            from PIL import Image

            Image.fromarray(np.full((4, 4), number, np.uint8)).save(file)
        files.append(file)
    source = HeldSource(files, ids=list(range(20)))
    dataset = Dataset(source, classes=("a", "b"), image_shape=(4, 4, 1), max_corrupt=0.5)
    assert [batch.positions.tolist() for batch in dataset.batches(8)] == [
        [0, 1, 2, 4, 5, 6, 7],
        [8, 10, 11, 12, 13, 14, 15],
        [16, 17, 18, 19],
    ]


OURS = {"auditor": "0.2.0", "python": "3.11.7"}


@pytest.mark.parametrize(
    ("theirs", "opened", "told"),
    [
        (OURS | {"python": "3.12.1"}, Done({}), "got a worker with python 3.12.1, wanted 3.11.7 as in this process"),
        (OURS | {"auditor": "0.1.0"}, Done({}), "got a worker with auditor 0.1.0, wanted 0.2.0 as in this process"),
        (OURS | {"numpy": "1.0"}, Done({}), "got a worker with numpy 1.0, wanted not installed as in this process"),
        (OURS, Done({"model": "a", "data": "c"}), "got a worker with another data; wanted the same files"),
        (OURS, Broken("out of memory"), "a worker could not open model and images: out of memory"),
        (OURS, Refused(EngineError("no such file")), "no such file"),
    ],
)
def test_a_worker_whose_numbers_would_be_others_is_refused_in_a_sentence(theirs, opened, told):
    with pytest.raises(EngineError, match=re.escape(told)):
        refuse_other(theirs, OURS, opened, {"model": "a", "data": "b"})
    refuse_other(OURS, OURS, Done({"model": "a", "data": "b"}), {"model": "a", "data": "b"})


def test_objects_that_are_handed_in_are_refused_for_workers_open_files(alone):
    file, _ = alone
    with pytest.raises(ConfigError, match="wanted files, which every worker can open"):
        audit_file(file, model=object(), overrides=RAY, is_kept=False)


def test_keys_that_ray_alone_reads_are_refused_beside_the_local_engine(alone):
    file, _ = alone
    with pytest.raises(ConfigError, match='engine = "ray" beside keys that have an effect on it alone'):
        audit_file(file, overrides=("execution.workers=2",), is_kept=False)


def test_where_ray_is_not_installed_that_is_said(alone, monkeypatch):
    file, _ = alone
    monkeypatch.setattr(cluster, "find_spec", lambda name: None)
    with pytest.raises(EngineError, match=re.escape("wanted `pip install auditor[ray]`")):
        audit_file(file, overrides=RAY, is_kept=False)


def test_where_nobody_answers_at_the_address_that_is_said_at_once(alone):
    file, _ = alone
    pytest.importorskip("ray")
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{opened.getsockname()[1]}"
    with pytest.raises(EngineError, match=rf"address: got '{address}', which cannot be joined: nobody answers there"):
        audit_file(file, overrides=(*RAY, f"execution.address={address}"), is_kept=False)
