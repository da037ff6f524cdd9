"""The order of findings wherever several are told, on page, PDF, index and terminal alike: the gravest first."""

from __future__ import annotations

from collections.abc import Sequence

from auditor.report.sentences import SUMMARY
from auditor.run.index import Outcome
from auditor.verdict.record import Finding, Severity, Told


def by_gravity(findings: Sequence[Finding]) -> list[int]:
    """The numbers of the findings, the gravest first: the order on the page, the PDF and the terminal."""

    def gravity(at: int) -> tuple[int, int, float]:
        finding = findings[at]
        effect = finding.effect
        size = abs(effect.value) if effect is not None and effect.value is not None else 0.0
        return GRAVITY.index(finding.told), _SEVERITIES.index(finding.severity), -size

    return sorted(range(len(findings)), key=gravity)


def gravest_first(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The outcomes of a run on the index in the same order."""

    def gravity(outcome: Outcome) -> tuple[int, int, float]:
        return GRAVITY.index(outcome.told), _SEVERITIES.index(outcome.severity), -abs(outcome.value or 0.0)

    return sorted(outcomes, key=gravity)


def tell_counts(findings: Sequence[Finding | Outcome]) -> str:
    """`1 of 4 findings relied on, 2 open, 1 no evidence`; empty where there are fewer than two."""
    if len(findings) < 2:
        return ""
    counts = {verdict: sum(finding.told == verdict for finding in findings) for verdict in GRAVITY}
    return ", ".join(
        SUMMARY[verdict].format(count=count, all=len(findings))
        for verdict, count in counts.items()
        if count or verdict == "relies"
    )


GRAVITY: tuple[Told, ...] = ("relies", "error", "inconclusive", "unconfirmed", "no_evidence", "not_applicable")

_SEVERITIES: tuple[Severity | None, ...] = ("high", "medium", "low", "score only", "none", None)
