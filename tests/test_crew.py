"""Workers that Ray keeps, where Ray is a double whose workers are lost as they are told to be."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import pytest

from auditor.auditing.checks.cell import check_cell
from auditor.auditing.checks.spread import RayAudits
from auditor.auditing.engine.cluster import Head, _takes
from auditor.auditing.engine.crew import RayCrew
from auditor.auditing.engine.units import Broken, Dispatcher, Done, Outcome, Unit
from auditor.auditing.engine.worker import Opening
from auditor.config.sections import ExecutionConfig
from auditor.errors import EngineError, EngineLostError
from auditor.run.provenance import describe_software

OPENING = Opening({}, "audit.toml", {}, {}, ".")


class LostError(Exception):
    """As Ray says that an actor is gone."""


@dataclass(eq=False)
class Reference:
    give: Callable[[], Any]


class Ray:
    """The part of Ray's module that is used; `fate` of a worker's number and what it is asked may raise."""

    exceptions = SimpleNamespace(RayActorError=LostError, RayError=LostError)

    def __init__(self, cpus: float = 2, gpus: float = 0, fate: Callable[[int, str], None] = lambda at, call: None):
        self.resources = {"CPU": cpus, "GPU": gpus}
        self.fate, self.started, self.killed, self.is_deaf = fate, 0, 0, False

    def cluster_resources(self) -> dict[str, float]:
        return self.resources

    def get_runtime_context(self) -> Any:
        return SimpleNamespace(gcs_address="127.0.0.1:1", get_node_id=lambda: "here")

    def nodes(self) -> list[dict[str, str]]:
        return []

    def remote(self, kind: type) -> Any:
        return SimpleNamespace(options=lambda **_: SimpleNamespace(remote=self.start))

    def start(self) -> Any:
        at, self.started = self.started, self.started + 1

        def method(call: str, answer: Callable[..., Any]) -> Any:
            def remote(*arguments: Any) -> Reference:
                def give() -> Any:
                    self.fate(at, arguments[0] if call == "do" else call)
                    return answer(*arguments)

                return Reference(give)

            return SimpleNamespace(remote=remote)

        return SimpleNamespace(
            hello=method("hello", lambda: (at, describe_software())),
            open=method("open", lambda opening: Done({})),
            do=method("do", lambda call, *arguments: Done(call)),
        )

    def wait(
        self, references: list[Reference], num_returns: int, timeout: float, fetch_local: bool = True
    ) -> tuple[list[Any], list[Any]]:
        return ([], references) if self.is_deaf else (references[:1], references[1:])

    def get(self, asked: Any) -> Any:
        return [each.give() for each in asked] if isinstance(asked, list) else asked.give()

    def kill(self, handle: Any) -> None:
        self.killed += 1


def section(**keys: Any) -> ExecutionConfig:
    return ExecutionConfig(engine="ray", **keys)


def open_all(crew: RayCrew) -> None:
    while crew.room() < 2 * crew.size:
        crew.collect()


def test_of_a_worker_that_is_lost_only_the_unit_in_work_failed_and_another_takes_its_place():
    def fate(at: int, call: str) -> None:
        if (at, call) == (0, "bad"):
            raise LostError("The actor died")

    ray = Ray(fate=fate)
    crew = RayCrew(ray, section(workers=1), OPENING)
    open_all(crew)
    crew.give(7, Unit("first", "bad"))
    crew.give(8, Unit("next", "good"))
    assert crew.collect() == [
        (7, Broken("its worker was lost (its process ended)")),
        (8, Broken("", is_innocent=True)),
    ]
    assert (crew.lost, crew.room(), ray.started) == (1, 0, 2)
    open_all(crew)
    assert crew.room() == 2


def test_units_of_lost_workers_are_done_by_others_until_all_are_done():
    def fate(at: int, call: str) -> None:
        if call.startswith("unit") and at < 2:
            raise LostError("The actor died of an out-of-memory kill")

    ray = Ray(fate=fate)
    crew = RayCrew(ray, section(workers=2), OPENING)
    dispatcher = Dispatcher(crew)
    numbers = [dispatcher.submit(Unit(f"{number}", f"unit {number}")) for number in range(9)]
    assert [dispatcher.result(number) for number in numbers] == [f"unit {number}" for number in range(9)]
    assert crew.lost == ray.started - 2 > 0
    assert all(failure.endswith("its worker was lost (out of memory)") for failure in dispatcher.failures)
    crew.end()
    assert ray.killed == 2


def test_a_worker_that_hangs_is_ended_and_its_unit_counts_as_failed():
    ray = Ray()
    crew = RayCrew(ray, section(workers=1, unit_minutes=1e-9), OPENING)
    open_all(crew)
    crew.give(7, Unit("first", "slow"))
    crew.give(8, Unit("next", "good"))
    ray.is_deaf = True
    assert crew.collect() == [
        (7, Broken("its worker gave nothing for 1e-09 minutes")),
        (8, Broken("", is_innocent=True)),
    ]
    assert (crew.lost, ray.killed, ray.started) == (1, 1, 2)
    assert crew.collect() == []  # who opens what is audited may wait for room


def test_what_is_done_is_taken_however_long_nobody_asked_for_it():
    ray = Ray()
    crew = RayCrew(ray, section(workers=2, unit_minutes=1e-9), OPENING)
    open_all(crew)
    for number in (7, 8):
        crew.give(number, Unit("it", "slow"))
    done = [*crew.collect(), *crew.collect()]
    assert sorted(number for number, _ in done) == [7, 8]
    assert {outcome for _, outcome in done} == {Done("slow")}
    assert ray.killed == 0


def test_workers_that_are_lost_before_they_can_work_are_not_started_for_ever():
    def fate(at: int, call: str) -> None:
        if call == "open":
            raise LostError("The actor died.")

    ray = Ray(fate=fate)
    dispatcher = Dispatcher(RayCrew(ray, section(workers=2), OPENING))
    number = dispatcher.submit(Unit("it", "look"))
    with pytest.raises(EngineError, match="workers are lost before they can work: The actor died"):
        dispatcher.result(number)
    assert ray.started == 7


def test_a_worker_without_what_numbers_depend_on_is_given_nothing():
    crew = RayCrew(Ray(), section(workers=1), OPENING)
    crew.agree({"model": "another"})
    with pytest.raises(EngineError, match="got a worker with another model; wanted the same files"):
        crew.collect()


def test_where_nobody_answers_that_is_an_error_only_if_nobody_can(monkeypatch):
    monkeypatch.setattr("auditor.auditing.engine.crew._PATIENCE", 0)
    ray = Ray()
    crew = RayCrew(ray, section(), OPENING)
    ray.is_deaf = True
    waited: list[tuple[int, Outcome]] = crew.collect()
    assert waited == []
    ray.resources = {}
    with pytest.raises(EngineError, match="wanted a node that is alive"):
        crew.collect()


@pytest.mark.parametrize("keys", [{"num_gpus": 1}, {"num_cpus": 4}, {"num_cpus": 4, "workers": 2}])
@pytest.mark.parametrize("start", [lambda *given: RayCrew(*given, OPENING), RayAudits])
def test_workers_that_no_cluster_can_have_are_refused_and_not_waited_for(keys, start):
    with pytest.raises(EngineError, match="which no worker in this cluster can have"):
        start(Ray(), section(**keys))


def test_there_are_as_many_workers_as_have_room_where_nobody_says():
    assert RayCrew(Ray(cpus=6, gpus=1), section(num_gpus=0.25), OPENING).size == 4
    assert RayAudits(Ray(cpus=6, gpus=1), section(num_cpus=2, num_gpus=0.25)).workers == 3


def test_a_head_is_lost_when_it_is_silent_for_a_while_and_not_when_nobody_looked(monkeypatch):
    clock, silent = [0.0], [False]

    def reach(address):
        if silent[0]:
            raise RuntimeError("nobody answers there")

    monkeypatch.setattr("auditor.auditing.engine.cluster.time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr("auditor.auditing.engine.cluster._reach", reach)
    head = Head(Ray())

    def look(at: float, is_silent: bool) -> None:
        clock[0], silent[0] = at, is_silent
        head.look()

    look(600, True)  # it was not looked at before
    look(615, True)
    look(630, False)
    look(640, True)
    look(655, True)
    assert not head.is_lost
    with pytest.raises(EngineLostError, match=r"at 127\.0\.0\.1:1 was lost: nobody answers there for 20 seconds"):
        look(665, True)
    assert head.is_lost


@pytest.fixture
def store_path() -> Iterator[str]:
    """Where a socket may lie: its path has room for a hundred letters."""
    with TemporaryDirectory(dir="/tmp") as folder:
        yield f"{folder}/store"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a socket with a full backlog refuses")
def test_a_store_with_many_to_listen_to_is_there(store_path):
    path = store_path
    with socket.socket(socket.AF_UNIX) as store:
        store.bind(path)
        store.listen(1)
        with ExitStack() as waiting:
            for _ in range(6):
                one = waiting.enter_context(socket.socket(socket.AF_UNIX))
                one.setblocking(False)
                with suppress(BlockingIOError):
                    one.connect(path)
            assert _takes(path)
    assert not _takes(path)


def test_a_cell_of_a_matrix_does_not_bury_that_the_cluster_is_lost(tmp_path, monkeypatch):
    def lose(*_):
        raise EngineLostError("execution: the head of the cluster was lost")

    monkeypatch.setattr("auditor.auditing.checks.cell.read_cell", lose)
    cell = SimpleNamespace(name="a", model="m", data="d")
    with pytest.raises(EngineLostError):
        check_cell(
            cell, SimpleNamespace(folder=tmp_path, reports="reports"), None, {}, lose,
            may_skip=False, now=datetime.now(UTC),
        )  # fmt: skip


def test_the_store_beside_that_is_gone_is_told(store_path):
    ray = Ray()
    ray.nodes = lambda: [{"NodeID": "here", "ObjectStoreSocketName": store_path}]
    crew = RayCrew(ray, section(workers=1), OPENING)
    with pytest.raises(EngineLostError, match="what Ray keeps on this machine has ended"):
        crew.collect()
    crew.end()
    assert ray.killed == 0  # who asks such a Ray for anything is ended by it
