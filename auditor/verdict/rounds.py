"""When a verdict needs no more images: an audit looks at a part of them first, and ends where a verdict is very clear.

Looks on the way take a far stricter level, the last one the rule's own. So plain cases cost a fraction, hard ones get
all images, and looks add at most their own small levels to the errors of the last (Haybittle 1971, Peto and others
1976).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from auditor.artefacts.kinds import Artefact
from auditor.errors import AuditError
from auditor.measure.arrays import Array, Bools, Ints
from auditor.subject.data.sample import Dataset
from auditor.subject.population import Population
from auditor.verdict.findings import judge
from auditor.verdict.observations import Observations
from auditor.verdict.record import Direction, Rule, Verdict

FIRST_LOOK = 300
"""Images of the first look, as many as the laboratory's audits see; each further look has twice as many."""

SHARE_OF_A_LOOK = 1 / 50
"""Of the rule's level, at every look but the last."""


SETTLED = "settled"
"""Kind of the note that images were left out, because a verdict was clear before."""


def choose_rounds(dataset: Dataset, artefacts: Collection[Artefact], first: int = FIRST_LOOK) -> list[Ints]:
    """The rows of the sample, a round at a time, each ascending; all at once where there is nothing to gain.

    After each round there is a look; none is taken at more than half of the images. Of a scan of images that are not
    all labelled it is not known which classes all of them would test, so it has one round.
    """
    everything = np.arange(len(dataset))
    is_scan = any(artefact.target is None for artefact in artefacts)
    if not artefacts or (is_scan and not dataset.labelled.all()):
        return [everything]
    wanted = {artefact.target for artefact in artefacts}
    looks = [everything]
    for size in reversed([size for size in (first << step for step in range(32)) if 2 * size <= len(dataset)]):
        looks.insert(0, looks[0][dataset.sample_of(looks[0], size, wanted)])
    return [looks[0], *(np.setdiff1d(now, before) for before, now in pairwise(looks))]


def tests_as_much(
    images: Population, dataset: Dataset, artefact: Artefact, columns: Mapping[str, Array], rule: Rule
) -> bool:
    """Whether some images test all that the whole sample tests, so that nothing is silent for want of images.

    Whatever confirms, withholds or contradicts a verdict takes a part of the images, and says nothing where that is of
    too few groups: the class's own and others, with the artefact and without, those that carry another artefact beside,
    each class and each value of the columns declared.
    """
    seen = np.isin(np.arange(len(dataset)), images.positions)

    def count(rows: Bools) -> int:
        return len(np.unique(dataset.groups[rows]))

    def is_tested(rows: Bools) -> bool:
        return count(rows & seen) >= rule.min_groups or count(rows) < rule.min_groups

    carries, target = artefact.carriers, artefact.target
    parts = [carries, *(carries & other.carriers for other in artefact.beside)]
    if dataset.truth is not None:
        parts += [~carries & own for own in dataset.truth.T]
    if target is not None and dataset.truth is not None:
        own = dataset.truth[:, target]
        parts += [one & other for one in (carries, ~carries) for other in (own, ~own)]
    if target is not None:
        others = ~carries if dataset.truth is None else ~carries & ~dataset.truth[:, target]
        parts += [others & (column == value) for column in columns.values() for value in np.unique(column)]
    if target is not None and not dataset.labelled.all():  # what the others are is not known before the model says so
        free = ~carries[images.positions]
        for rows in (free & images.has[:, target], free & ~images.has[:, target]):
            if len(np.unique(images.groups[rows])) < rule.min_groups:
                return False
    return all(map(is_tested, parts))


class Claim(NamedTuple):
    """What a finding says."""

    verdict: Verdict
    direction: Direction | None
    target: str | None
    """The class that is relied on; of a scan without a reliance None."""


def stricter(rule: Rule) -> Rule:
    """The rule at the level of a look."""
    return replace(rule, alpha=rule.alpha * SHARE_OF_A_LOOK)


def is_all_clear(found: Claim | None) -> bool:
    """Whether what can be claimed is that there is no evidence."""
    return found is not None and found.verdict == "no_evidence"


def claim(observed: Observations | AuditError, target: int | None, rule: Rule, artefacts: int) -> Claim | None:
    """What can be claimed of one of so many artefacts by a rule; None where it is open."""
    if isinstance(observed, AuditError):
        return Claim("error", None, None)
    finding = judge(observed, target, rule, rule.alpha / artefacts)
    relied_on = finding.target if finding.verdict == "relies" else None
    return Claim(finding.verdict, finding.direction, relied_on) if finding.verdict in _CLEAR else None


_CLEAR: tuple[Verdict, ...] = ("relies", "no_evidence")
