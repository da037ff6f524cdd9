"""Methods of attribution as a report names them: one that failed its tests is marked wherever its name stands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from auditor.explain.attribution.record import Exemplar, MapName
from auditor.explain.trust.record import MethodTrust, TrustRecord
from auditor.measure.words import listed, say
from auditor.report.labels import METHODS

MARK = "✗ failed its tests"
"""Stands behind the name of a method that failed the tests of trust."""


@dataclass(frozen=True)
class Methods:
    """What is known of the methods of a run."""

    failed: Mapping[MapName, str] = field(default_factory=dict)
    """Those that failed the tests of trust, and why."""
    unsigned: frozenset[MapName] = frozenset()
    """Those whose signs were tested and do not tell what speaks for a class: only their strength is shown."""
    passed: frozenset[MapName] = frozenset()
    """Those that passed the tests; what was not tested has neither passed nor failed."""

    def name(self, method: MapName) -> str:
        """A method as one says it, marked where it failed."""
        return f"{method_name(method)} [{MARK}]" if method in self.failed else method_name(method)

    def short(self, method: MapName) -> str:
        """The same where room is scarce, as in a plot."""
        return f"✗ {method_name(method)}" if method in self.failed else method_name(method)

    def listed(self, entries: Iterable[Any]) -> str:
        """The methods of records that have a map."""
        return listed([self.name(entry.map) for entry in entries])


def read_methods(record: TrustRecord | None) -> Methods:
    """What the tests of trust say; nothing is marked where they did not run."""
    if record is None:
        return Methods()
    failed = {entry.map: why_failed(entry) for entry in record.methods if entry.status == "failed"}
    passed = frozenset(entry.map for entry in record.methods if entry.status == "passed")
    return Methods(failed, frozenset(entry.map for entry in record.methods if _is_disowned(entry)), passed)


def method_name(name: MapName) -> str:
    """A method as one says it, its layer or baseline in brackets."""
    told = METHODS.get(name.method, name.method.replace("_", " "))
    return f"{told} ({name.variant})" if name.variant else told


def why_failed(entry: MethodTrust) -> str:
    """Why a method failed, in words."""
    return "; ".join(_failures(entry)) or entry.reason


def tell_signs(exemplars: Iterable[Exemplar], methods: Methods) -> Markup:
    """What the colours of maps say: signs are explained only where some map shows signs that hold."""
    shown = dict.fromkeys(kept.map for exemplar in exemplars for kept in exemplar.maps)
    unsigned = [name for name in shown if name in methods.unsigned]
    told = _SIGNS if len(unsigned) < len(shown) or not shown else Markup("")
    if unsigned:
        told += _STRENGTH.format(methods=listed([methods.name(name) for name in unsigned]))
    return told


def _failures(entry: MethodTrust) -> Iterator[str]:
    for test in entry.tests:
        if test.outcome == "failed" and test.name in _FAILURES and test.measured is not None:
            reading = f", {test.reading} map" if test.reading else ""
            yield f"{_FAILURES[test.name]}: {say(test.measured, 'full')}{reading}"


def _is_disowned(entry: MethodTrust) -> bool:
    """Whether the signed order of its maps finds later what moves the score than the absolute one does."""
    signs = entry.by_reading.get("signed")
    return signs is not None and signs.over_absolute is not None and signs.over_absolute.against(0) == "below"


_FAILURES = {
    "randomised weights": "its maps hardly change when the model's weights are drawn anew",
    "order": "the pixels that it ranks first move the score no sooner than random ones do",
}

_SIGNS = Markup(
    '<span class="for">Orange</span> pixels speak for it, <span class="against">blue</span> ones against it. '
)
_STRENGTH = Markup(
    "Of {methods} only the strength is shown, in orange: the tests of the maps found that their signs do not tell what "
    "speaks for a class."
)
