"""Every error explained by what speaks for the predicted class against the true one, and by what mends it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from auditor.artefacts.fills import FillName
from auditor.explain.attribution.record import MapName
from auditor.explain.errors.contrast import EDGES, RANDOM, ErrorMaps, explain_errors
from auditor.explain.errors.maps import Choice
from auditor.explain.errors.mending import Cases, Trial, try_artefact
from auditor.explain.errors.record import (
    ContrastGroup,
    ContrastLikeness,
    ContrastMending,
    ContrastShare,
    ContrastSuspect,
    ErrorsRecord,
)
from auditor.explain.inquiry import Inquiry, NotApplicableError
from auditor.measure.arrays import Array, Doubles, Ints, take
from auditor.measure.intervals import change_interval, mean_interval, median_interval, share_interval
from auditor.measure.measurement import Measurement, Note
from auditor.measure.seeds import seeded_order
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
    found = _find_errors(inquiry)
    errors = _cases(inquiry, found, _choose(inquiry, found.rows, images, "errors"))
    right = _cases(inquiry, found, _choose(inquiry, found.right, insertions, "right"))
    trials = [try_artefact(inquiry, number, errors, right, fills) for number in range(len(inquiry.artefacts))]
    carries = [np.array([name in trial.mended for name in errors.ids]) for trial in trials]
    maps = explain_errors(inquiry, errors, carries, share=share, fills=fills, shown=exemplars)
    regions, shown = _measure_shares(inquiry, maps, errors, "came"), maps.exemplars
    for number, trial in enumerate(trials):
        broken = take(trial.broken, np.arange(min(len(trial.broken), max(1, images // 2))))
        only = [np.full(len(broken), at == number) for at in range(len(trials))]
        name = inquiry.artefacts[number].name
        made = explain_errors(inquiry, broken, only, share=share, shown=min(2, exemplars), inserted=name)
        regions += _measure_shares(inquiry, made, broken, "inserted")
        shown += made.exemplars
    _note(inquiry, maps, errors, fills, trials)
    return ErrorsRecord(
        errors=len(found.rows),
        measured=len(errors),
        share=share,
        fills=list(fills),
        likeness=_measure_likeness(inquiry, maps, errors),
        regions=regions,
        interventions=[trial.record for trial in trials],
        suspects=_rank(inquiry, maps, errors, trials),
        groups=_group(inquiry, found, errors, maps, trials),
        mending=_measure_mending(inquiry, maps, errors, fills),
        exemplars=shown,
        shares_logit=inquiry.classifier.output == "binary",
        notes=found.notes,
    )


@dataclass(frozen=True)
class _Found:
    """The images predicted wrongly and those predicted rightly, as rows of the population."""

    rows: Ints
    predicted: Ints
    """(population,): the class that is predicted wrongly; of use for errors only."""
    true: Ints
    """(population,): the class that is missed."""
    right: Ints
    notes: list[Note]


def _find_errors(inquiry: Inquiry) -> _Found:
    """Errors with one wrongly predicted and one missed class: all of exclusive classes.

    Of independent classes an error may be a missed class alone; it has no foil, and is left out.
    """
    images = inquiry.images
    if not images.labelled.any():
        raise NotApplicableError("the data have no labels, so no prediction is known to be wrong")
    correct = is_correct(images.predicted, images.has)
    extra, missed = images.predicted & ~images.has, images.has & ~images.predicted
    wrong = images.labelled & ~correct
    if not wrong.any():
        raise NotApplicableError(f"none of {int(images.labelled.sum())} labelled images is predicted wrongly")
    paired = wrong & (extra.sum(axis=1) == 1) & (missed.sum(axis=1) == 1)
    if not paired.any():
        raise NotApplicableError(
            f"none of {int(wrong.sum())} errors has one wrongly predicted and one missed class to contrast"
        )
    left_out = int((wrong & ~paired).sum())
    told = f"{left_out} errors without one wrongly predicted and one missed class are left out"
    notes = [Note("left out", told)] if left_out else []
    right = np.flatnonzero(images.labelled & correct & images.has.any(axis=1))
    return _Found(np.flatnonzero(paired), extra.argmax(axis=1), missed.argmax(axis=1), right, notes)


def _choose(inquiry: Inquiry, rows: Ints, most: int, purpose: str) -> Ints:
    """A seeded choice of rows, the same whatever their order, in the order of the population."""
    names = inquiry.dataset.named(inquiry.images.positions[rows])
    return np.sort(rows[seeded_order(inquiry.seed, f"contrastive {purpose}", names)[:most]])


def _cases(inquiry: Inquiry, found: _Found, rows: Ints) -> Cases:
    population = inquiry.images
    positions, of = population.positions[rows], take(population, rows)
    ids, images = inquiry.dataset.named(positions), inquiry.dataset.images(positions)
    return Cases(positions, ids, of.groups, images, of.has, found.predicted[rows], found.true[rows])


def _note(inquiry: Inquiry, maps: ErrorMaps, errors: Cases, fills: tuple[str, ...], trials: list[Trial]) -> None:
    """A row for every value that a measurement is made of."""
    classes = inquiry.classifier.classes

    def note(cases: Cases, measurement: str, values: Sequence[float] | Array, **more: object) -> None:
        if cases is errors:
            more["label"] = [classes[number] for number in cases.true]
            more["predicted"] = [classes[number] for number in cases.predicted]
        inquiry.rows.note(values, image=cases.ids, group=cases.groups, measurement=measurement, **more)

    note(errors, "margin over the true class", maps.margins)
    for made_by, entries in maps.likeness.items():
        for name, words in (("spearman", "rank correlation"), ("ssim", "SSIM"), ("overlap", "strongest pixels shared")):
            values = [getattr(entry, name) for entry in entries]
            note(errors, f"{words} of predicted and true map", values, method=made_by)
    for (number, made_by), shares in maps.shares.items():
        more = {"artefact": inquiry.artefacts[number].name, "method": made_by}
        note(errors, "share of the margin in the region", [one for one, _ in shares], **more)
    for choice, parts in maps.mended.items():
        falls = np.concatenate(maps.falls[choice])
        for at, fill in enumerate(fills):
            mended = np.concatenate(parts)[:, at]
            more = {"condition": f"strongest pixels replaced: {fill}", "method": choice}
            note(errors, "right prediction", mended, **more)
            note(errors, "fall of the margin", falls[:, at], **more)
    for trial in trials:
        for outcome in trial.outcomes:
            more = {"condition": outcome.condition, "artefact": trial.record.artefact}
            note(outcome.cases, "right prediction", outcome.right, **more)


def _measure_likeness(inquiry: Inquiry, found: ErrorMaps, errors: Cases) -> list[ContrastLikeness]:
    def median(values: Doubles, unit: str) -> Measurement:
        return median_interval(values, errors.groups, inquiry.level, unit=unit)

    measured = []
    for name, entries in found.likeness.items():
        values = [np.array([getattr(entry, which) for entry in entries]) for which in ("spearman", "ssim", "overlap")]
        units = ("rank correlation", "SSIM", "share")
        measured.append(ContrastLikeness(name, *(median(v, unit) for v, unit in zip(values, units, strict=True))))
    return measured


def _measure_shares(
    inquiry: Inquiry, found: ErrorMaps, errors: Cases, which: Literal["came", "inserted"]
) -> list[ContrastShare]:
    measured = []
    for (number, method), entries in found.shares.items():
        margin, predicted = np.array(entries).T
        if np.isnan(margin).all():
            continue
        medians = [median_interval(v, errors.groups, inquiry.level, unit="share") for v in (margin, predicted)]
        area = float(np.nanmean(found.areas[number]))
        measured.append(ContrastShare(inquiry.artefacts[number].name, method, which, medians[0], medians[1], area))
    return measured


def _rank(inquiry: Inquiry, found: ErrorMaps, errors: Cases, trials: list[Trial]) -> list[ContrastSuspect]:
    """Errors that carry an artefact, by the share of what speaks for them that lies in its region, over its area."""
    suspects = []
    for number, trial in enumerate(trials):
        target = inquiry.targets[number]
        for row, name in enumerate(errors.ids):
            known = [score for score in found.lifts[number][row] if np.isfinite(score)]
            if name not in trial.mended or not known:
                continue
            suspects.append(
                ContrastSuspect(
                    image=name,
                    label=inquiry.classifier.classes[errors.true[row]],
                    predicted=inquiry.classifier.classes[errors.predicted[row]],
                    artefact=inquiry.artefacts[number].name,
                    score=float(np.median(known)) if target in (None, errors.predicted[row]) else 0.0,
                    mended=trial.mended[name],
                    mended_by_placebo=trial.mended_by_placebo.get(name),
                )
            )
    return sorted(suspects, key=lambda suspect: (-suspect.score, suspect.image))


def _group(
    inquiry: Inquiry, all_errors: _Found, errors: Cases, found: ErrorMaps, trials: list[Trial]
) -> list[ContrastGroup]:
    margins = np.array(found.margins)
    carrying = np.array([any(name in trial.mended for trial in trials) for name in errors.ids])
    mended = np.array([any(trial.mended.get(name, False) for trial in trials) for name in errors.ids])
    kinds = Counter(
        zip(all_errors.true[all_errors.rows].tolist(), all_errors.predicted[all_errors.rows].tolist(), strict=True)
    )
    groups = []
    for (true, predicted), count in sorted(kinds.items(), key=lambda item: (-item[1], item[0])):
        rows = (errors.true == true) & (errors.predicted == predicted)
        margin = mean_interval(margins[rows], errors.groups[rows], inquiry.level, score="logit")
        names = inquiry.classifier.classes[true], inquiry.classifier.classes[predicted]
        groups.append(ContrastGroup(*names, count, margin, int(carrying[rows].sum()), int(mended[rows].sum())))
    return groups


def _measure_mending(
    inquiry: Inquiry, found: ErrorMaps, errors: Cases, fills: tuple[str, ...]
) -> list[ContrastMending]:
    """Methods, the one that leads most over both its placebo and edges first, then the references.

    An error is mended if it is by most fills.
    """
    by_fill = {choice: np.concatenate(parts) for choice, parts in found.mended.items()}
    falls = {choice: np.concatenate(parts).mean(axis=1, dtype=np.float64) for choice, parts in found.falls.items()}
    mended = {choice: votes.mean(axis=1) > 0.5 for choice, votes in by_fill.items()}
    methods = [choice.map for choice in mended if choice.of == "elsewhere"]
    has_two_logits = inquiry.classifier.output != "binary"
    groups, level = errors.groups, inquiry.level
    together = 1 - (1 - level) / max(1, len(methods))

    def lead(own: Choice, reference: Choice) -> Measurement:
        return change_interval(mended[own], mended[reference], groups, together)

    def fall_lead(own: Choice, reference: Choice) -> Measurement:
        gap = falls[own] - falls[reference]
        return mean_interval(gap, groups, together, score="logit")

    entries = []
    for name in [*methods, RANDOM, EDGES]:
        is_method = name in methods
        own, moved, alone = Choice(name), Choice(name, "elsewhere"), Choice(name, "predicted class alone")
        entries.append(
            ContrastMending(
                map=name,
                mended=share_interval(mended[own], groups, level),
                fall=mean_interval(falls[own], groups, level, score="logit"),
                by_fill={fill: share_interval(by_fill[own][:, at], groups, level) for at, fill in enumerate(fills)},
                elsewhere=share_interval(mended[moved], groups, level) if is_method else None,
                over_elsewhere=lead(own, moved) if is_method else None,
                over_edges=lead(own, Choice(EDGES)) if is_method else None,
                over_predicted=lead(own, alone) if is_method and has_two_logits else None,
                fall_over_elsewhere=fall_lead(own, moved) if is_method else None,
                fall_over_edges=fall_lead(own, Choice(EDGES)) if is_method else None,
            )
        )

    def least_lead(of: dict[Choice, Array], name: MapName) -> float:
        references = Choice(name, "elsewhere"), Choice(EDGES)
        return min(float(of[Choice(name)].mean() - of[reference].mean()) for reference in references)

    order = {name: (-least_lead(mended, name), -least_lead(falls, name)) for name in methods}
    return sorted(entries, key=lambda entry: order.get(entry.map, (2.0, 0.0)))
