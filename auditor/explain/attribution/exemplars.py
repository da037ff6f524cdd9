"""Explains a choice of images for one artefact: maps, their region scores, and the pictures that the report shows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from auditor.artefacts.fills import FILLS
from auditor.artefacts.kinds import Artefact
from auditor.errors import MethodError
from auditor.explain.attribution.methods import saliency
from auditor.explain.attribution.question import Attribution, explain
from auditor.explain.attribution.record import Agreement, Exemplar, MapName, MapRecord, RegionScores
from auditor.explain.attribution.regions import LARGEST_SHARE, REGION_SCORES, score_region
from auditor.explain.attribution.second_opinion import compare_with_tf_explain
from auditor.explain.inquiry import Inquiry, Selection
from auditor.measure.arrays import Bools, Doubles, Floats, Groups, Ints, take
from auditor.measure.intervals import mean_interval
from auditor.measure.ledger import NewArrays, Rows
from auditor.measure.measurement import Measurement, Note
from auditor.subject.data.pictures import to_pixels
from auditor.subject.model.classifier import log_odds, predicted_classes
from auditor.subject.population import name_classes

BASELINE = "baseline"
"""The kind of a note on a baseline that hides the artefact."""

CHECK_OF_METHOD = "check of the method"
"""The condition of rows that tell what a method says of its own maps."""

_INVISIBLE = 0.05
"""A baseline nearer to the artefact than this, on average over the region, hides it from a path method."""

_SECOND_OPINIONS = 16
"""Images on which our maps are compared with tf-explain's."""


@dataclass(frozen=True)
class Case:
    """Which images are explained for one artefact and class."""

    artefact: Artefact | None
    target: int | None
    """None explains each image's own prediction."""
    carriers: list[int]
    """Rows of the data set that came with the artefact."""
    inserted: list[int]
    """Rows that it is inserted into; without an artefact, rows explained as they are."""
    shown: int
    """How many become exemplars."""


@dataclass
class Exhibits:
    """What has been explained so far."""

    rows: Rows
    arrays: NewArrays = field(default_factory=NewArrays)
    exemplars: list[Exemplar] = field(default_factory=list)
    region_scores: list[RegionScores] = field(default_factory=list)
    agreement: list[Agreement] = field(default_factory=list)
    diagnostics: dict[str, dict[tuple[str, str], list[tuple[Doubles, Groups]]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    """Method -> check and variant -> (values, groups) of every case."""
    failures: dict[str, MethodError] = field(default_factory=dict)
    """What methods threw, by their names; they are asked no more."""
    shown_before: int = 0
    """Artefacts that exemplars were shown of before these."""
    has_second_opinion: bool = False
    """What tf-explain says was asked before these."""

    @property
    def shown(self) -> int:
        """Artefacts that exemplars are shown of."""
        return self.shown_before + len({exemplar.artefact for exemplar in self.exemplars})

    def marked(self) -> Callable[[], None]:
        """A function that forgets all that is added from now on."""
        rows, arrays = len(self.rows), len(self.arrays)
        exemplars, scores = len(self.exemplars), len(self.region_scores)
        agreement, failures = self.agreement, dict(self.failures)
        known = {method: {check: list(parts) for check, parts in of.items()} for method, of in self.diagnostics.items()}

        def forget() -> None:
            self.rows.keep_first(rows)
            self.arrays.keep_first(arrays)
            del self.exemplars[exemplars:], self.region_scores[scores:]
            self.agreement, self.failures = agreement, failures
            self.diagnostics.clear()
            for method, of in known.items():
                self.diagnostics[method] |= of

        return forget


@dataclass(frozen=True)
class _Pairs(Selection):
    """The images of a case with the artefact, and without."""

    without: Floats
    """(n, h, w, c)."""
    is_carrier: list[bool]
    masks: list[Bools | None]
    targets: Ints
    """(n,): the classes that are explained."""


@dataclass(frozen=True)
class _Explained:
    """What one variant of a method found on some rows of the pairs."""

    name: MapName
    rows: list[int]
    attribution: Attribution


def explain_case(exhibits: Exhibits, case: Case, inquiry: Inquiry) -> None:
    """Explain a case's images for its target, and add what was found to the exhibits."""
    if not case.carriers and not case.inserted:
        return
    pairs = _pair_up(case, inquiry)
    question = inquiry.ask(pairs.images, pairs.targets, pairs.ids)
    shown = _chosen_rows(case, pairs)
    explained: list[_Explained] = []
    for method in inquiry.attributions:
        rows = shown if method.exemplars_only else list(range(len(pairs)))
        if not rows:
            continue
        try:
            found = explain(method, question.about(rows) if method.exemplars_only else question)
        except MethodError as failure:
            exhibits.failures[method.name] = failure
            continue
        for name, attribution in found.items():
            explained.append(_Explained(name, rows, attribution))
            of, about = take(pairs, np.array(rows)), "" if case.artefact is None else case.artefact.name
            for check, found_of_each in attribution.diagnostics.items():
                values = np.asarray(found_of_each, np.float64)
                exhibits.diagnostics[method.name][check, name.variant].append((values, of.groups))
                inquiry.note(of, values, check, artefact=about or None, condition=CHECK_OF_METHOD, method=name)
    if case.artefact is not None and case.target is not None:
        if not exhibits.agreement and not exhibits.has_second_opinion:
            few = question.about(range(min(_SECOND_OPINIONS, len(pairs))))
            exhibits.agreement = compare_with_tf_explain(few, pairs.groups[:_SECOND_OPINIONS], inquiry.level)
        target = inquiry.classifier.classes[case.target]
        exhibits.region_scores += [_score(inquiry, case.artefact.name, target, pairs, entry) for entry in explained]
    if shown:
        exhibits.exemplars += _exhibit(inquiry, case, exhibits.shown, pairs, shown, explained)


def _pair_up(case: Case, inquiry: Inquiry) -> _Pairs:
    came = inquiry.select(np.sort([*case.carriers, *case.inserted]))
    is_carrier = [position in set(case.carriers) for position in came.positions]
    masks: list[Bools | None] = [None] * len(came)
    with_it, without = came.images, came.images.copy()
    if case.artefact is not None:
        for row, (name, image) in enumerate(zip(came.ids, came.images.copy(), strict=True)):
            if not is_carrier[row]:
                masks[row] = case.artefact.region(name, image.shape)
                with_it[row] = case.artefact.insert(image[None], [name])[0]
                continue
            seen = case.artefact.seen_in(image, name)
            masks[row] = seen.region
            if seen.is_exact:
                without[row] = seen.look.remove(image[None])[0]
            elif seen.region is not None:
                without[row] = FILLS["inpaint"](image, seen.region)
    if case.target is None:
        targets = inquiry.classifier.scores(with_it).argmax(axis=1)
    else:
        targets = np.full(len(came), case.target)
    return _Pairs(**vars(came), without=without, is_carrier=is_carrier, masks=masks, targets=targets)


def _score(inquiry: Inquiry, artefact: str, target: str, pairs: _Pairs, entry: _Explained) -> RegionScores:
    """Score one method's maps in the artefact's region, and note the rows."""
    of = take(pairs, np.array(entry.rows))
    share = float(np.mean([0 if mask is None else mask.mean() for mask in of.masks]))
    if share > LARGEST_SHARE:
        told = f"not applicable: the artefact covers {share:.0%} of the frame, so it has no region"
        return RegionScores(artefact, target, entry.name, {}, [Note("not applicable", told)])
    each = zip(saliency(entry.attribution.maps), of.masks, of.images, of.without, strict=True)
    scored = [score_region(*one) for one in each]
    measured: dict[str, Measurement] = {}
    for name in REGION_SCORES:
        values = np.array([scores[name] for scores in scored])
        measured[name] = mean_interval(values, of.groups, inquiry.level, unit=_UNITS.get(name, "share"))
        inquiry.note(
            of,
            values,
            name,
            artefact=artefact,
            target=target,
            condition=["as it came" if is_carrier else "inserted" for is_carrier in of.is_carrier],
            method=entry.name,
        )
    notes = _baseline_notes(entry.attribution.baseline, of.images, of.masks)
    if len(of) < len(pairs):
        notes.append(Note("images", f"on {len(of)} of {len(pairs)} images, those shown below"))
    silent = sum(mask is not None for mask in of.masks) - measured["lift"].n
    if silent:
        notes.append(Note("empty maps", f"{silent} of {len(of.masks)} maps are zero everywhere and have no scores"))
    return RegionScores(artefact, target, entry.name, measured, notes)


def _baseline_notes(baseline: Floats | None, images: Floats, masks: list[Bools | None]) -> list[Note]:
    """A warning where a path method's baseline looks like the artefact and so cannot see it."""
    if baseline is None:
        return []
    differences = [
        np.abs(reference - image)[mask].mean()
        for reference, image, mask in zip(baseline, images, masks, strict=True)
        if mask is not None and mask.any()
    ]
    distance = float(np.mean(differences)) if differences else 1.0
    if distance >= _INVISIBLE:
        return []
    told = f"the baseline equals the artefact in its region (mean difference {distance:.3f}), so it cannot see it"
    return [Note(BASELINE, told)]


def _exhibit(
    inquiry: Inquiry, case: Case, number: int, pairs: _Pairs, rows: list[int], explained: list[_Explained]
) -> Iterator[Exemplar]:
    """Pictures and raw maps of some images."""
    classifier, keep = inquiry.classifier, inquiry.keep
    of, has_twin = take(pairs, np.array(rows)), case.artefact is not None
    can_remove = case.artefact is not None and case.artefact.appearance.can_remove
    removal = "exact un-compositing" if can_remove else "inpainting"
    both = [classifier.scores(images) for images in (of.images, of.without)]
    odds = [log_odds(scores, classifier.output) for scores in both]
    predicted = [predicted_classes(scores, classifier.output) for scores in both]
    for at, row in enumerate(rows):
        key, target, is_carrier = f"case {number} image {at}", of.targets[at], of.is_carrier[at]
        kept = []
        for entry in explained:
            heat = entry.attribution.maps[entry.rows.index(row)]
            kept.append(MapRecord(entry.name, keep(f"{key} map {entry.name}", heat), float(np.abs(heat).max())))
        names = [name_classes(flags[at], classifier.classes) for flags in predicted]
        yield Exemplar(
            image=of.ids[at],
            label=inquiry.dataset.label(of.positions[at], classifier.classes),
            predicted=names[0] if is_carrier else names[1],
            artefact=case.artefact.name if case.artefact else "",
            target=classifier.classes[target],
            carrier=is_carrier,
            score_with=float(odds[0][at, target]),
            score_without=float(odds[1][at, target]) if has_twin else None,
            predicted_with=names[0],
            predicted_without=names[1] if has_twin else None,
            picture_with=keep(f"{key} with", to_pixels(of.images[at])),
            picture_without=keep(f"{key} without", to_pixels(of.without[at])) if has_twin else None,
            removal=removal if is_carrier else None,
            maps=kept,
        )


def _chosen_rows(case: Case, pairs: _Pairs) -> list[int]:
    """The exemplars: the first carriers and the first inserted images, in equal parts."""
    half = case.shown // 2
    carriers = case.carriers[: max(half, case.shown - len(case.inserted))][: case.shown]
    chosen = carriers + case.inserted[: case.shown - len(carriers)]
    return [pairs.positions.tolist().index(position) for position in chosen]


_UNITS = {"lift": "ratio", "excess lift": "difference of ratios", "pixel AUC": "area under the curve"}
"""Of scores that are no shares."""
