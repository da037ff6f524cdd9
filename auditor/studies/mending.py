"""What mends an error, tried out: an artefact taken out or put in, pixels that maps blame removed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from auditor.artefacts import Artefact, Overlay
from auditor.classifier import Classifier, predicted_classes
from auditor.effects import is_correct
from auditor.explain.contrastive import replace_pixels
from auditor.explanations import ContrastIntervention
from auditor.intervals import change_interval, missing, share_interval, spanning
from auditor.interventions import Edit, Removal, insert, make_controls, remove
from auditor.records import Measurement

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Cases:
    """Labelled images with what the model makes of them."""

    ids: list[str]
    groups: npt.NDArray[np.generic]
    """(n,)."""
    images: Floats
    """(n, h, w, c)."""
    has: Bools
    """(n, classes)."""
    predicted: Ints
    """(n,): the class that is predicted wrongly, where it is."""
    true: Ints
    """(n,): the class that is missed."""

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, chosen: Bools | Ints) -> Cases:
        """Some of the images."""
        at = np.flatnonzero(chosen) if chosen.dtype == bool else chosen
        ids = [self.ids[row] for row in at]
        return Cases(ids, self.groups[at], self.images[at], self.has[at], self.predicted[at], self.true[at])


@dataclass(frozen=True)
class Trial:
    """What taking an artefact out and putting it in did to errors and to right predictions."""

    record: ContrastIntervention
    mended: dict[str, bool]
    """Errors that carried it, by id: whether its removal mends them, by every way where none is exact."""
    mended_by_placebo: dict[str, bool]
    """The same edit elsewhere, by any way; errors where it fits nowhere else are left out."""
    broken: Cases
    """Images that inserting it made errors, as they are with it."""


def try_artefact(
    classifier: Classifier,
    artefact: Artefact,
    target: int | None,
    *,
    carrying: Cases,
    free: Cases,
    right: Cases,
    fills: tuple[str, ...],
    seed: int,
    level: float,
) -> Trial:
    """Take the artefact out of errors that carry it, and put it into errors and right images that do not."""
    removals, placebos, lead, mended, by_placebo, without_region = _take_out(
        classifier, artefact, carrying, fills, level
    )
    notes = [f"{without_region} errors said to carry it have no region that it could be taken from"]
    notes = notes if without_region else []
    nowhere = missing("its appearance is not known, so it cannot be put in", unit="share", score=None)
    put_in = [nowhere] * 4
    towards: Counter[str] = Counter()
    broken = right.rows(np.zeros(len(right), bool))
    overlay = artefact.appearance
    if isinstance(overlay, Overlay):
        controls, left_out = make_controls(overlay, artefact.controls, seed)
        notes += left_out
        mends = _is_right(classifier, insert(free.images, overlay), free)
        with_it = insert(right.images, overlay)
        scores = classifier.scores(with_it)
        predicted = predicted_classes(scores, classifier.output)
        breaks = ~is_correct(predicted, right.has)
        by_controls = _majority([_breaks(classifier, edits, right) for edits in controls.values()], len(right))
        put_in = [
            share_interval(mends, free.groups, level),
            share_interval(breaks, right.groups, level),
            share_interval(by_controls, right.groups, level),
            change_interval(breaks, by_controls, right.groups, level),
        ]
        for flags in predicted[breaks]:
            towards[", ".join(classifier.classes[number] for number in np.flatnonzero(flags)) or "none"] += 1
        named = breaks & ((predicted & ~right.has).sum(axis=1) == 1) & ((right.has & ~predicted).sum(axis=1) == 1)
        wrong, missed = (predicted & ~right.has).argmax(axis=1), (right.has & ~predicted).argmax(axis=1)
        broken = Cases(right.ids, right.groups, with_it, right.has, wrong, missed).rows(named)
    record = ContrastIntervention(
        artefact=artefact.name,
        target=None if target is None else classifier.classes[target],
        removals=removals,
        placebos=placebos,
        removal_lead=lead,
        mended_by_insertion=put_in[0],
        broken=put_in[1],
        broken_by_controls=put_in[2],
        broken_lead=put_in[3],
        towards=dict(towards.most_common()),
        notes=notes,
    )
    return Trial(record, mended, by_placebo, broken)


def replace_strongest(
    classifier: Classifier, errors: Cases, masks: dict[str, Bools], fills: tuple[str, ...], margins: Floats
) -> dict[str, tuple[Bools, Floats]]:
    """What is left of errors without some of their pixels, by the name of the masks (n, h, w).

    Returns which are right then (n, fills), and how much their margins (n,) have fallen (n, fills).
    """
    names = list(masks)
    rows = np.arange(len(names))
    mended = {name: np.zeros((len(errors), len(fills)), bool) for name in names}
    falls = {name: np.zeros((len(errors), len(fills)), np.float32) for name in names}
    for row, image in enumerate(errors.images):
        edited = replace_pixels(image, np.stack([masks[name][row] for name in names]), fills)
        scores = classifier.scores(np.concatenate(list(edited.values()))).reshape(len(fills), len(names), -1)
        has = np.repeat(errors.has[row][None], len(names), axis=0)
        for at, found in enumerate(scores):
            right = is_correct(predicted_classes(found, classifier.output), has)
            margin = found[rows, errors.predicted[row]] - found[rows, errors.true[row]]
            for number, name in enumerate(names):
                mended[name][row, at] = right[number]
                falls[name][row, at] = margins[row] - margin[number]
    return {name: (mended[name], falls[name]) for name in names}


def _take_out(
    classifier: Classifier, artefact: Artefact, errors: Cases, fills: tuple[str, ...], level: float
) -> tuple[dict[str, Measurement], dict[str, Measurement], Measurement, dict[str, bool], dict[str, bool], int]:
    overlay = artefact.appearance if isinstance(artefact.appearance, Overlay) else None
    rows: list[int] = []
    tried: list[dict[str, Removal]] = []
    for row, name in enumerate(errors.ids):
        mask = artefact.region(name, classifier.image_shape)
        if mask is None or not mask.any() or (mask.all() and (overlay is None or not overlay.is_invertible)):
            continue
        rows.append(row)
        tried.append(remove(errors.images[row], mask, () if mask.all() else fills, overlay))
    nobody = missing("no misclassified image that was measured carries it", unit="share", score=None)
    if not rows:
        return {}, {}, nobody, {}, {}, len(errors)
    cases = errors.rows(np.array(rows))
    names = list(tried[0])
    headline = ["exact"] if "exact" in names else names
    removals, placebos, leads = {}, {}, {}
    mended, elsewhere = np.ones(len(cases), bool), np.zeros(len(cases), bool)
    possible = np.array([one[names[0]].placebo is not None for one in tried])
    for name in names:
        gone = _is_right(classifier, np.stack([one[name].removed for one in tried]), cases)
        kept = cases.rows(possible)
        moved = [placebo for one in tried if (placebo := one[name].placebo) is not None]
        other = _is_right(classifier, np.stack(moved), kept) if moved else np.zeros(0, bool)
        removals[name] = share_interval(gone, cases.groups, level)
        placebos[name] = share_interval(other, kept.groups, level)
        leads[name] = change_interval(gone[possible], other, kept.groups, level)
        if name in headline:
            mended &= gone
            elsewhere[possible] |= other
    lead = spanning([leads[name] for name in headline])
    if not possible.any():
        lead = missing("the region fits nowhere else in the frame, so there is no placebo", unit="share", score=None)
    by_placebo = {name: bool(was) for name, was, may in zip(cases.ids, elsewhere, possible, strict=True) if may}
    return (
        removals,
        placebos,
        lead,
        dict(zip(cases.ids, map(bool, mended), strict=True)),
        by_placebo,
        len(errors) - len(rows),
    )


def _breaks(classifier: Classifier, edits: list[Edit], right: Cases) -> Bools:
    return _majority([~_is_right(classifier, edit(right.images), right) for edit in edits], len(right))


def _majority(votes: list[Bools], count: int) -> Bools:
    """Where more than half of the votes (n,) are yes."""
    return np.mean(votes, axis=0) > 0.5 if votes else np.zeros(count, bool)


def _is_right(classifier: Classifier, images: Floats, cases: Cases) -> Bools:
    if not len(cases):
        return np.zeros(0, bool)
    return is_correct(predicted_classes(classifier.scores(images), classifier.output), cases.has)
