"""What an audit costs, part by part: processor time, and images that the model was asked and that it computed."""

from __future__ import annotations

import os
import time
from collections import Counter
from dataclasses import dataclass, field

from auditor.run.provenance import Asked, PartOfWork
from auditor.subject.model.batches import Kind, Work


@dataclass
class Meter:
    """Measures one audit, whose parts follow each other."""

    seconds: dict[str, float] = field(default_factory=dict)
    """Part -> processor time, of all threads of this process and of those that it waited for: trials, PDFs ..."""
    clock: dict[str, float] = field(default_factory=dict)
    """... and time that went by."""
    work: Work = field(default_factory=Work)
    """What the model counts, once there is one."""
    _needed: dict[str, Counter[Kind]] = field(default_factory=dict)
    _made: dict[str, Counter[Kind]] = field(default_factory=dict)
    _before: tuple[Counter[Kind], Counter[Kind]] = field(default_factory=lambda: (Counter(), Counter()))
    _since: tuple[float, float] = (0.0, 0.0)
    _part: str | None = None

    def begin(self, part: str) -> None:
        """End the part before, and begin one; one of the same name goes on."""
        self.end()
        self._part = part

    def end(self) -> None:
        """End the part that was begun last, if any was."""
        now, (needed, made) = (sum(os.times()[:4]), time.monotonic()), self._before
        if self._part is not None:
            for times, at in ((self.seconds, 0), (self.clock, 1)):
                times[self._part] = times.get(self._part, 0.0) + now[at] - self._since[at]
            self._needed.setdefault(self._part, Counter()).update(self.work.needed - needed)
            self._made.setdefault(self._part, Counter()).update(self.work.made - made)
        self._before, self._since = (Counter(self.work.needed), Counter(self.work.made)), now

    def told(self) -> list[PartOfWork]:
        """What each part asked of the model so far, in the order in which they were begun."""
        if self._part is not None:
            self.begin(self._part)
        of = [(part, self._needed[part], self._made[part]) for part in self._needed]
        return [
            PartOfWork(part, Asked(needed["scores"], made["scores"]), Asked(needed["gradients"], made["gradients"]))
            for part, needed, made in of
            if needed.total()
        ]

    def lines(self) -> list[str]:
        """A table for people: each part, and their sum."""
        self.end()
        self._part = None
        rows = [_HEADS]
        for part in self.seconds:
            rows.append(_row(part, self.seconds[part], self.clock[part], self._needed[part], self._made[part]))
        totals = (sum(counts.values(), Counter[Kind]()) for counts in (self._needed, self._made))
        rows.append(_row("all", sum(self.seconds.values()), sum(self.clock.values()), *totals))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return ["  ".join([part.ljust(widths[0]), *map(str.rjust, cells, widths[1:])]) for part, *cells in rows]


def _row(part: str, seconds: float, clock: float, needed: Counter[Kind], made: Counter[Kind]) -> tuple[str, ...]:
    passes = (str(of[kind]) for kind in ("scores", "gradients") for of in (needed, made))
    return part, f"{seconds:.1f}", f"{clock:.1f}", *passes


_HEADS: tuple[str, ...] = ("part", "processor s", "clock s", "scores", "made", "gradients", "made")
