"""Every error explained by what speaks for the predicted class against the true one, and by what mends it."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from auditor.artefacts.fills import FillName
from auditor.explain.errors.contrast import EDGES, RANDOM, ErrorMaps, explain_errors
from auditor.explain.errors.maps import Choice
from auditor.explain.errors.mending import Cases, Replaced, Trial, tell_wrong, try_artefact
from auditor.explain.errors.record import (
    ContrastGroup,
    ContrastLikeness,
    ContrastMending,
    ContrastShare,
    ContrastSuspect,
    ErrorsRecord,
)
from auditor.explain.inquiry import Inquiry, NotApplicableError
from auditor.measure.arrays import Array, Ints, take
from auditor.measure.intervals import change_interval, mean_interval, median_interval, share_interval
from auditor.measure.measurement import Measurement, Note
from auditor.subject.population import is_correct

Count = Annotated[int, Field(ge=1, le=4096)]
Shown = Annotated[int, Field(ge=0, le=64)]
Share = Annotated[float, Field(gt=0, lt=1)]


def study_errors(
    inquiry: Inquiry,
    *,
    images: Count = 64,
    exemplars: Shown = 6,
    insertions: Count = 128,
    share: Share = 0.05,
    fills: Annotated[tuple[FillName, ...], Field(min_length=1)] = ("mean", "blur", "inpaint"),
) -> ErrorsRecord:
    """What speaks for the predicted class against the true one, on images that are predicted wrongly.

    Each error is explained by every method of attribution that is on: its map for the predicted class, for the true
    one, and of the margin between them. Whether an artefact makes errors is tried out, by taking it out and putting it
    in (into `insertions` images), and so is whether an error is mended once the strongest pixels of a map are gone:
    a `share` of the frame, filled in several ways. `images` errors are measured and `exemplars` shown.

    References: Jacovi et al., "Contrastive explanations for model interpretability" (2021); Prabhushankar et al.,
    "Contrastive explanations in neural networks" (2020).
    """
    wrong, sound, notes = _find_errors(inquiry)
    errors = _cases(inquiry, wrong, images, "errors")
    right = _cases(inquiry, sound, insertions, "right")
    trials = [try_artefact(inquiry, number, errors, right, fills) for number in range(len(inquiry.artefacts))]
    carries = [np.array([name in trial.mended for name in errors.ids]) for trial in trials]
    maps = explain_errors(inquiry, errors, carries, share=share, fills=fills, shown=exemplars)
    regions, shown = _measure_shares(inquiry, maps, errors, "came"), list(maps.exemplars)
    for number, (artefact, trial) in enumerate(zip(inquiry.artefacts, trials, strict=True)):
        broken = take(trial.broken, np.arange(min(len(trial.broken), max(1, images // 2))))
        only = [np.full(len(broken), at == number) for at in range(len(trials))]
        made = explain_errors(inquiry, broken, only, share=share, shown=min(2, exemplars), inserted=artefact.name)
        regions += _measure_shares(inquiry, made, broken, "inserted")
        shown += made.exemplars
    _note(inquiry, maps, errors, fills, trials)
    return ErrorsRecord(
        errors=len(wrong),
        measured=len(errors),
        share=share,
        fills=list(fills),
        likeness=_measure_likeness(inquiry, maps, errors),
        regions=regions,
        interventions=[trial.record for trial in trials],
        suspects=_rank(inquiry, maps, errors, trials),
        groups=_group(inquiry, wrong, errors, maps, trials),
        mending=_measure_mending(inquiry, maps, errors, fills),
        exemplars=shown,
        shares_logit=inquiry.classifier.output == "binary",
        notes=notes,
    )


def _find_errors(inquiry: Inquiry) -> tuple[Ints, Ints, list[Note]]:
    """Rows of the population that are predicted wrongly and rightly, and what is said of the others.

    Errors have one wrongly predicted and one missed class: all of exclusive classes. Of independent classes an error
    may be a missed class alone; it has no foil, and is left out.
    """
    images = inquiry.images
    if not images.labelled.any():
        raise NotApplicableError("the data have no labels, so no prediction is known to be wrong")
    correct = is_correct(images.predicted, images.has)
    wrong = images.labelled & ~correct
    if not wrong.any():
        raise NotApplicableError(f"none of {int(images.labelled.sum())} labelled images is predicted wrongly")
    _, _, is_paired = tell_wrong(images.predicted, images.has)
    rows, count = np.flatnonzero(wrong & is_paired), int(wrong.sum())
    if not len(rows):
        raise NotApplicableError(f"none of {count} errors has one wrongly predicted and one missed class to contrast")
    told = f"{count - len(rows)} errors without one wrongly predicted and one missed class are left out"
    right = np.flatnonzero(images.labelled & correct & images.has.any(axis=1))
    return rows, right, [Note("left out", told)] if count > len(rows) else []


def _cases(inquiry: Inquiry, rows: Ints, most: int, purpose: str) -> Cases:
    """A seeded choice of rows, the same whatever their order, in the order of the population."""
    positions = inquiry.images.positions
    at = np.sort(inquiry.ordered(positions[rows], f"contrastive {purpose}")[:most])
    of = take(inquiry.images, np.searchsorted(positions, at))
    predicted, true, _ = tell_wrong(of.predicted, of.has)
    return Cases(**vars(inquiry.select(at)), has=of.has, predicted=predicted, true=true)


def _note(inquiry: Inquiry, maps: ErrorMaps, errors: Cases, fills: tuple[str, ...], trials: list[Trial]) -> None:
    """A row for every value that a measurement is made of."""
    classes = inquiry.classifier.classes

    def note(cases: Cases, measurement: str, values: Array, **more: object) -> None:
        if cases is errors:
            more["label"] = [classes[number] for number in cases.true]
            more["predicted"] = [classes[number] for number in cases.predicted]
        inquiry.note(cases, values, measurement, **more)

    note(errors, "margin over the true class", maps.margins)
    for name, alike in maps.likeness.items():
        for words, values in zip(("rank correlation", "SSIM", "strongest pixels shared"), alike.T, strict=True):
            note(errors, f"{words} of predicted and true map", values, method=name)
    for (number, name), found in maps.in_region.items():
        more = {"artefact": inquiry.artefacts[number].name, "method": name}
        note(errors, "share of the margin in the region", found.margin, **more)
    for choice, replaced in maps.replaced.items():
        for at, fill in enumerate(fills):
            changed = {"condition": f"strongest pixels replaced: {fill}", "method": choice}
            note(errors, "right prediction", replaced.right[:, at], **changed)
            note(errors, "fall of the margin", replaced.falls[:, at], **changed)
    for trial in trials:
        for outcome in trial.outcomes:
            tried = {"condition": outcome.condition, "artefact": trial.record.artefact}
            note(outcome.cases, "right prediction", outcome.right, **tried)


def _measure_likeness(inquiry: Inquiry, found: ErrorMaps, errors: Cases) -> list[ContrastLikeness]:
    measured = []
    for name, alike in found.likeness.items():
        pairs = zip(alike.T, ("rank correlation", "SSIM", "share"), strict=True)
        medians = [median_interval(values, errors.groups, inquiry.level, unit=unit) for values, unit in pairs]
        measured.append(ContrastLikeness(name, *medians))
    return measured


def _measure_shares(
    inquiry: Inquiry, maps: ErrorMaps, errors: Cases, which: Literal["came", "inserted"]
) -> list[ContrastShare]:
    measured = []
    for (number, name), found in maps.in_region.items():
        if np.isnan(found.margin).all():
            continue
        median = partial(median_interval, groups=errors.groups, level=inquiry.level, unit="share")
        area = float(np.nanmean(found.area))
        shares = median(found.margin), median(found.predicted)
        measured.append(ContrastShare(inquiry.artefacts[number].name, name, which, *shares, area))
    return measured


def _rank(inquiry: Inquiry, maps: ErrorMaps, errors: Cases, trials: list[Trial]) -> list[ContrastSuspect]:
    """Errors that carry an artefact, by the share of what speaks for them that lies in its region, over its area."""
    suspects, classes = [], inquiry.classifier.classes
    for number, trial in enumerate(trials):
        lifts = [found.lift for (of, _), found in maps.in_region.items() if of == number]
        for row, name in enumerate(errors.ids):
            known = [values[row] for values in lifts if np.isfinite(values[row])]
            if name not in trial.mended or not known:
                continue
            is_of_target = inquiry.targets[number] in (None, errors.predicted[row])
            suspects.append(
                ContrastSuspect(
                    image=name,
                    label=classes[errors.true[row]],
                    predicted=classes[errors.predicted[row]],
                    artefact=inquiry.artefacts[number].name,
                    score=float(np.median(known)) if is_of_target else 0.0,
                    mended=trial.mended[name],
                    mended_by_placebo=trial.mended_by_placebo.get(name),
                )
            )
    return sorted(suspects, key=lambda suspect: (-suspect.score, suspect.image))


def _group(inquiry: Inquiry, wrong: Ints, errors: Cases, maps: ErrorMaps, trials: list[Trial]) -> list[ContrastGroup]:
    """All errors, those measured and those not, by the class that is missed and the one that is predicted for it."""
    carrying = np.array([any(name in trial.mended for trial in trials) for name in errors.ids])
    mended = np.array([any(trial.mended.get(name, False) for trial in trials) for name in errors.ids])
    classes, margins = inquiry.classifier.classes, maps.margins.astype(np.float64)
    predicted_as, labelled_as, _ = tell_wrong(inquiry.images.predicted[wrong], inquiry.images.has[wrong])
    kinds = Counter(zip(labelled_as.tolist(), predicted_as.tolist(), strict=True))
    groups = []
    for (true, predicted), count in sorted(kinds.items(), key=lambda item: (-item[1], item[0])):
        rows = (errors.true == true) & (errors.predicted == predicted)
        margin = mean_interval(margins[rows], errors.groups[rows], inquiry.level, score="logit")
        counts = count, margin, int(carrying[rows].sum()), int(mended[rows].sum())
        groups.append(ContrastGroup(classes[true], classes[predicted], *counts))
    return groups


def _measure_mending(inquiry: Inquiry, maps: ErrorMaps, errors: Cases, fills: tuple[str, ...]) -> list[ContrastMending]:
    """Methods, the one that leads most over both its placebo and edges first, then the references.

    An error is mended if it is by most fills.
    """
    replaced, groups, level = maps.replaced, errors.groups, inquiry.level
    methods = [choice.map for choice in replaced if choice.of == "elsewhere"]
    together = 1 - (1 - level) / max(1, len(methods))
    edges = replaced[Choice(EDGES)]

    def lead(own: Replaced, reference: Replaced) -> Measurement:
        return change_interval(own.mended, reference.mended, groups, together)

    def fall_lead(own: Replaced, reference: Replaced) -> Measurement:
        return mean_interval(own.fall - reference.fall, groups, together, score="logit")

    entries, order = [], {}
    for name in [*methods, RANDOM, EDGES]:
        own, leads = replaced[Choice(name)], dict[str, Measurement]()
        if name in methods:
            moved = replaced[Choice(name, "elsewhere")]
            leads = {
                "elsewhere": share_interval(moved.mended, groups, level),
                "over_elsewhere": lead(own, moved),
                "over_edges": lead(own, edges),
                "fall_over_elsewhere": fall_lead(own, moved),
                "fall_over_edges": fall_lead(own, edges),
            }
            order[name] = (
                max(float(other.mended.mean() - own.mended.mean()) for other in (moved, edges)),
                max(float(other.fall.mean() - own.fall.mean()) for other in (moved, edges)),
            )
        if name in methods and inquiry.classifier.output != "binary":
            leads["over_predicted"] = lead(own, replaced[Choice(name, "predicted class alone")])
        mended, fall = share_interval(own.mended, groups, level), mean_interval(own.fall, groups, level, score="logit")
        by_fill = {fill: share_interval(own.right[:, at], groups, level) for at, fill in enumerate(fills)}
        entries.append(ContrastMending(name, mended, fall, by_fill, **leads))
    return sorted(entries, key=lambda entry: order.get(entry.map, (2.0, 0.0)))
