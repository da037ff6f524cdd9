"""When a verdict needs no more images: an audit of many looks at a part of them first, by a far stricter level.

The last look is taken at the rule's own level. So plain cases cost a fraction, hard ones get all images, and the looks
on the way add at most their own small levels to the errors of the last (Haybittle 1971, Peto and others 1976).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from auditor.artefacts.kinds import Artefact
from auditor.errors import AuditError
from auditor.measure.arrays import Bools, Ints
from auditor.subject.data.sample import Dataset
from auditor.verdict.findings import judge
from auditor.verdict.observations import Observations
from auditor.verdict.record import Direction, Rule, Verdict

FIRST_LOOK = 300
"""Images of the first look, as many as the laboratory's audits see; each further look has twice as many."""

SHARE_OF_A_LOOK = 1 / 50
"""Of the rule's level, at every look but the last."""


def choose_rounds(dataset: Dataset, artefacts: Collection[Artefact], rule: Rule, first: int = FIRST_LOOK) -> list[Ints]:
    """The rows of the sample, a round at a time, each ascending; all at once where there is nothing to gain.

    After each round there is a look. None is taken at more than half of the images, and where no class is named, none
    that would leave a class untested in a direction that all images can test.
    """
    everything = np.arange(len(dataset))
    is_scan = any(artefact.target is None for artefact in artefacts)
    if not artefacts or (is_scan and dataset.truth is None):
        return [everything]
    wanted = {artefact.target for artefact in artefacts}
    sizes = [size for size in (first << step for step in range(32)) if 2 * size <= len(dataset)]

    def testable(rows: Ints) -> Bools:
        return _testable(dataset, rows, artefacts, rule)

    looks = [everything]
    for size in reversed(sizes):
        rows = looks[0][dataset.sample_of(looks[0], size, wanted)]
        if is_scan and (testable(rows) != testable(everything)).any():
            break
        looks.insert(0, rows)
    return [looks[0], *(np.setdiff1d(now, before) for before, now in pairwise(looks))]


class Claim(NamedTuple):
    """What a finding says."""

    verdict: Verdict
    direction: Direction | None
    target: str | None
    """The class that is relied on; of a scan without a reliance None."""


def claim_clearly(observed: Observations | AuditError, target: int | None, rule: Rule, artefacts: int) -> Claim | None:
    """What can be claimed of one of so many artefacts at the level of a look; None where it is open."""
    return claim(observed, target, replace(rule, alpha=rule.alpha * SHARE_OF_A_LOOK), artefacts)


def claim(observed: Observations | AuditError, target: int | None, rule: Rule, artefacts: int) -> Claim | None:
    """The same at the level of a rule."""
    if isinstance(observed, AuditError):
        return Claim("error", None, None)
    finding = judge(observed, target, rule, rule.alpha / artefacts)
    relied_on = finding.target if finding.verdict == "relies" else None
    return Claim(finding.verdict, finding.direction, relied_on) if finding.verdict in _CLEAR else None


_CLEAR: tuple[Verdict, ...] = ("relies", "no_evidence")


def _testable(dataset: Dataset, rows: Ints, artefacts: Collection[Artefact], rule: Rule) -> Bools:
    """(artefacts, classes): of which classes there are enough groups that do not carry the artefact."""
    assert dataset.truth is not None
    has, groups = dataset.truth[rows], dataset.groups[rows]
    found = []
    for artefact in artefacts:
        free = ~artefact.carriers[rows]
        found.append([len(np.unique(groups[free & has[:, at]])) >= rule.min_groups for at in range(has.shape[1])])
    return np.array(found)
