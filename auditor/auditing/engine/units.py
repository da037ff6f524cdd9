"""Units of work, handed to workers: so many at a time, again where one failed, and back to who asked."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

TRIES = 3
"""A unit that fails so often is an error of its own."""


@dataclass(frozen=True)
class Unit:
    """Something that any worker can do, told by ids alone."""

    name: str
    """For people."""
    call: str
    """The method of `Worker` that does it ..."""
    arguments: tuple[Any, ...] = ()
    """... and what that is told."""
    size: float = 1.0
    """How long it takes beside others: the largest are handed out first."""


@dataclass(frozen=True)
class Done:
    """A unit's result."""

    value: Any


@dataclass(frozen=True)
class Refused:
    """A fault that the user can mend: it ends the audit as it would have in one process."""

    fault: Exception


@dataclass(frozen=True)
class Broken:
    """A unit that failed, or whose worker is gone."""

    reason: str
    is_innocent: bool = False
    """It had not been begun: another unit took its worker along."""


Outcome = Done | Refused | Broken


@dataclass(frozen=True)
class Failed:
    """A unit that failed too often, and why."""

    reason: str


class Crew(Protocol):
    """Workers."""

    @property
    def size(self) -> int:
        """How many there are, or are to be."""

    def agree(self, fingerprint: dict[str, str]) -> None:
        """Only workers that have opened what has this fingerprint are given anything."""

    def share(self, value: Any) -> Any:
        """Something that many units are told, to be named in their place: it travels once to each worker."""

    def room(self) -> int:
        """How many units can be handed out now."""

    def give(self, number: int, unit: Unit) -> None:
        """Hand out a unit."""

    def collect(self) -> list[tuple[int, Outcome]]:
        """What became of some units, by their numbers; waits for one at least, or for a worker.

        Raises
        ------
        EngineError
            There are no workers, and there will be none.
        """


class Dispatcher:
    """Hands units to a crew, and their results to who asks for them, in whatever order.

    What is not asked for is kept: who hands in, bounds how much that is.
    """

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._waiting: list[tuple[float, int]] = []
        self._units: dict[int, Unit] = {}
        self._results: dict[int, Done | Failed] = {}
        self._reasons: dict[int, list[str]] = {}
        self._count = 0
        self.failures: list[str] = []
        """Everything that went wrong and was tried again, a line each."""

    def submit(self, unit: Unit) -> int:
        """Take in a unit; returns its number."""
        number, self._count = self._count, self._count + 1
        self._units[number] = unit
        heapq.heappush(self._waiting, (-unit.size, number))
        self._hand_out()
        return number

    def result(self, number: int) -> Any:
        """What a unit gave, or `Failed`; it is forgotten then.

        Raises
        ------
        EngineError
            There are no workers.
        AuditError
            Whatever it found wrong with model or data.
        """
        while number not in self._results:
            self._hand_out()
            for ended, outcome in self._crew.collect():
                self._end(ended, outcome)
        self._hand_out()
        del self._units[number]
        found = self._results.pop(number)
        return found.value if isinstance(found, Done) else found

    def _hand_out(self) -> None:
        while self._waiting and self._crew.room() > 0:
            _, number = heapq.heappop(self._waiting)
            self._crew.give(number, self._units[number])

    def _end(self, number: int, outcome: Outcome) -> None:
        unit = self._units[number]
        if isinstance(outcome, Done):
            self._results[number] = outcome
            return
        if isinstance(outcome, Refused):
            raise outcome.fault
        reasons = self._reasons.setdefault(number, [])
        if not outcome.is_innocent:
            reasons.append(outcome.reason)
            self.failures.append(f"{unit.name}: {outcome.reason}")
        if len(reasons) < TRIES:
            heapq.heappush(self._waiting, (-float("inf"), number))  # who waits for it has waited already
            return
        self._results[number] = Failed(f"{unit.name} failed {TRIES} times: {'; '.join(dict.fromkeys(reasons))}")


Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    items: Sequence[Item],
    submit: Callable[[Item], int],
    result: Callable[[Item, int], Result],
    window: int,
) -> Iterator[Result]:
    """The results of units in the order of what they are of, with no more than `window` of them on their way."""
    numbers: deque[tuple[Item, int]] = deque()
    for item in items:
        if len(numbers) == window:
            yield result(*numbers.popleft())
        numbers.append((item, submit(item)))
    while numbers:
        yield result(*numbers.popleft())
