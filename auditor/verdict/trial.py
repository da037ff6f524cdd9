"""Tries every intervention on every image, in one pass over the data, and keeps scores, never images.

What a batch of images gives depends on its rows and on few things decided before: so batches may be looked at here, one
after the other, or anywhere else, and what they give is taken in by their order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from auditor.artefacts.kinds import Artefact
from auditor.errors import AuditError, DataError
from auditor.measure.arrays import Array, Floats, Ints, Parts, take
from auditor.subject.data.copies import Copies
from auditor.subject.data.sample import Dataset
from auditor.subject.model.classifier import Classifier
from auditor.subject.pooling import Pool
from auditor.subject.population import Population
from auditor.verdict.checks import check_run
from auditor.verdict.gathered import Gathered
from auditor.verdict.interventions import Trial, regrouped
from auditor.verdict.looking import Beside, Course, Look, look_here
from auditor.verdict.observations import Checks, Observations
from auditor.verdict.passes import CHECKS, NEIGHBOURS, Counted
from auditor.verdict.record import Rule
from auditor.verdict.rounds import Claim, claim, is_all_clear, stricter, tests_as_much

Progress = Callable[[str, int, int], None]
"""Told the stage, how much of it is done, and how much there is."""


@dataclass(frozen=True)
class Survey:
    """What one pass over the data gave."""

    images: Population
    """All usable images, as they came."""
    mean_image: Floats
    """(h, w, c)."""
    observed: list[Observations | AuditError]
    """For each artefact, what was measured, or why it could not be."""
    passes: dict[str, int] = field(default_factory=dict)
    """Part of the survey -> images that the model scored for it."""


def survey(
    classifier: Classifier,
    dataset: Dataset,
    artefacts: list[Artefact],
    *,
    fills: tuple[str, ...],
    rule: Rule,
    seed: int,
    batch_size: int,
    progress: Progress,
    columns: Mapping[str, Array] | None = None,
    rounds: Sequence[Ints] = (),
    look: Look = look_here,
    always_beside: bool = False,
) -> Survey:
    """Score every image as it is and after every intervention.

    Parameters
    ----------
    rule
        What the verdicts will be decided by: the smaller its level, the more draws of innocent content a scan needs.
    columns
        Column of the data -> (images of the sample,): values, as text, that divide the images into parts.
    rounds
        Rows of the sample, a round at a time: after each, an artefact whose verdict is settled is tried no more, and
        when none is left the survey ends. All images at once where there are none.
    look
        Looks at batches of images.
    always_beside
        Try every artefact at a neighbouring place, and not only one that is clear where it is named: what is measured
        is to be judged by other rules, too.
    """
    rounds = rounds or [np.arange(len(dataset))]
    counted = Counted(classifier, pool=Pool(classifier, batch_size))
    trials = [Trial(counted, dataset, each, fills, seed, rounds[0]) for each in artefacts]
    observed: dict[int, Observations | AuditError] = {}
    total = np.zeros(classifier.image_shape, np.float64)
    seen = Parts[Population]()
    done = due = 0
    copies = Copies()
    for rows in rounds:
        due += len(rows)
        waiting = {at: trial for at, trial in enumerate(trials) if at not in observed}
        course = _course(dataset, waiting, rounds[0], is_first=not seen)
        for looked in look(counted, dataset, waiting, course, rows, batch_size):
            if looked.came is not None and looked.sketches is not None:
                copies.add(looked.sketches)
                seen.add(looked.came)
                total += looked.total
            for at, trial in waiting.items():
                if trial.failure is None and at in looked.gathered:
                    trial.gathered.extend(looked.gathered[at])
            done += 0 if looked.came is None else len(looked.came)
            progress("interventions", done, due)
        if not seen:
            raise DataError(f"none of {len(dataset)} images could be used")
        dataset.join_copies(copies.find())
        images, is_last = regrouped(seen.joined(), dataset), rows is rounds[-1]
        images = take(images, np.argsort(images.positions))
        images = take(images, ~np.isin(images.positions, list(dataset.skipped)))

        # what costs passes besides is asked only of what would be settled by it
        asked_by = rule if is_last else stricter(rule)
        may_end = is_last or not dataset.lacks_too_many(due)
        tried = {
            at: trial
            for at, trial in waiting.items()
            if is_last or (may_end and tests_as_much(images, dataset, artefacts[at], columns or {}, rule))
        }

        say = partial(_claim, images=images, columns=columns, rule=rule, asked_by=asked_by, artefacts=len(artefacts))
        # a scan tells of every class, of which some are always clear
        named = {at: trial for at, trial in tried.items() if artefacts[at].target is not None and not always_beside}
        claims = {at: say(trial) for at, trial in named.items()}
        beside = {at: trial for at, trial in tried.items() if at not in claims or is_all_clear(claims[at])}
        for done_beside, due_beside in _look_beside(look, counted, dataset, beside, images, rounds[0], batch_size):
            progress(NEIGHBOURS, done_beside, due_beside)
        claims |= {at: None if is_last else say(trial) for at, trial in beside.items()}
        near = {at: clear for at, clear in claims.items() if is_last or clear is not None}
        if near or is_last:
            images, checks = _check(counted.part(CHECKS), dataset, images, artefacts, seed)
        for at, clear in near.items():
            found = trials[at].observed(images, columns, checks, len(artefacts), rule)
            if is_last or claim(found, artefacts[at].target, rule, len(artefacts)) == clear:
                observed[at] = found
                trials[at].gathered = Gathered(failure=trials[at].failure)  # what it was made of is held no more
        if trials and len(observed) == len(trials):
            break
    return Survey(
        images=images,
        mean_image=(total / len(images)).astype(np.float32),
        observed=[observed[at] for at in range(len(trials))],
        passes=dict(counted.counts),
    )


def _claim(
    trial: Trial,
    images: Population,
    columns: Mapping[str, Array] | None,
    rule: Rule,
    asked_by: Rule,
    artefacts: int,
) -> Claim | None:
    """What can be claimed of one of so many artefacts so far."""
    return claim(trial.look(images, columns, rule), trial.artefact.target, asked_by, artefacts)


def _course(dataset: Dataset, trials: Mapping[int, Trial], first: Ints, *, is_first: bool) -> Course:
    return Course(first, dataset.groups, {at: trial.chosen for at, trial in trials.items()}, is_first)


def _look_beside(
    look: Look,
    counted: Counted,
    dataset: Dataset,
    trials: Mapping[int, Trial],
    images: Population,
    first: Ints,
    batch_size: int,
) -> Iterator[tuple[int, int]]:
    """Look once more at images that artefacts are still to be tried on beside; gives how many are done, and all."""
    for trial in trials.values():
        trial.choose_beside()
    due = {at: trial.due_beside(images) for at, trial in trials.items()}
    rows = np.unique(np.concatenate([*due.values(), np.arange(0)]))
    if not len(rows):
        return
    came = take(images, np.isin(images.positions, rows))
    course = replace(_course(dataset, trials, first, is_first=False), beside=Beside(came, due))
    done = 0
    for looked in look(counted, dataset, trials, course, rows, batch_size):
        for at, gathered in looked.gathered.items():
            if trials[at].failure is None:
                trials[at].gathered.extend(gathered)
        done = min(done + batch_size, len(rows))
        yield done, len(rows)
    for at, trial in trials.items():
        trial.beside = np.union1d(trial.beside, due[at])


def _check(
    classifier: Counted, dataset: Dataset, images: Population, artefacts: list[Artefact], seed: int
) -> tuple[Population, Checks]:
    """The images that are still there, and the checks of the run on them."""
    targets = {artefact.target for artefact in artefacts}
    regions = [region for each in artefacts if (region := each.appearance.fixed_region) is not None]
    checks = None
    while checks is None:
        images = take(images, ~np.isin(images.positions, list(dataset.skipped)))
        checks = check_run(classifier, dataset, images, targets, regions, seed)
    return images, checks
