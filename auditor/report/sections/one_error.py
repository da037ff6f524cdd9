"""Why one error was made, as far as its maps, its edits and its least change tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from auditor.explain.counterfactual.record import Correction
from auditor.explain.errors.record import ContrastExemplar, ContrastMaps, ErrorsRecord
from auditor.measure.words import number
from auditor.report.methods import Methods
from auditor.report.sentences import WRONG
from auditor.run.result import AuditResult


@dataclass(frozen=True)
class Why:
    """A plain answer to "why was this one wrong?"."""

    text: str
    is_known: bool
    """Whether the run says why; else the text says what was tried."""


def find_corrections(result: AuditResult) -> dict[str, Correction]:
    """The least change of each error that was led to what it is, by image."""
    sets = [] if result.counterfactual is None else result.counterfactual.sets
    found = {}
    for entry in (entry for entry in sets if entry.reason == "errors" and not entry.control):
        for image in entry.shown:  # all that runs of before have
            found[image.image] = Correction(image.image, image.adversarial, image.changed_pixels)
        found |= {change.image: change for change in entry.corrections}
    return found


def tell_why(
    entry: ContrastExemplar, record: ErrorsRecord, corrections: Mapping[str, Correction], names: Methods
) -> Why:
    """Why one error was made: what corrects it and a harmless edit does not, or that these do not say."""
    causes = [*_artefact(entry, record), *_pixels(entry, names), *_change(entry, corrections)]
    if causes:
        return Why(" ".join(causes), is_known=True)
    return Why(WRONG["none"].format(why="; ".join(_tried(entry, corrections, names))), is_known=False)


def _artefact(entry: ContrastExemplar, record: ErrorsRecord) -> Iterator[str]:
    """An artefact that makes the error, or that corrects it by being taken out, as the same edit elsewhere does not."""
    if entry.inserted is not None:
        yield WRONG["inserted"].format(a=entry.inserted)
        return
    for suspect in record.suspects:
        if suspect.image == entry.image and suspect.mended and not suspect.mended_by_placebo:
            kind = "artefact" if suspect.mended_by_placebo is False else "artefact, nowhere else"
            yield WRONG[kind].format(a=suspect.artefact)


def _pixels(entry: ContrastExemplar, names: Methods) -> Iterator[str]:
    """The methods that passed their tests and whose strongest pixels make the error, as those elsewhere do not."""
    known = [maps for maps in _mending(entry) if maps.map in names.passed]
    if known:
        points = "points" if len(known) == 1 else "point"
        yield WRONG["pixels"].format(methods=names.listed(known), points=points)


def _change(entry: ContrastExemplar, corrections: Mapping[str, Correction]) -> Iterator[str]:
    change = None if entry.inserted else corrections.get(entry.image)
    if change is not None and change.adversarial is False and change.changed_pixels is not None:
        yield WRONG["change"].format(share=number(change.changed_pixels, "share"), t=entry.label)


def _tried(entry: ContrastExemplar, corrections: Mapping[str, Correction], names: Methods) -> Iterator[str]:
    """What was tried and does not say why."""
    tried = [maps for maps in entry.maps if maps.mended is not None]
    mending = _mending(entry)
    if not tried:
        yield WRONG["no pixels"]
    elif mending:
        points = "points" if len(mending) == 1 else "point"
        kind = "failed" if all(maps.map in names.failed for maps in mending) else "untested"
        yield WRONG[kind].format(methods=names.listed(mending), points=points)
    elif any(maps.mended for maps in tried):
        yield WRONG["anywhere"]
    else:
        yield WRONG["kept"].format(count=len(tried))
    change = corrections.get(entry.image)
    if change is None:
        yield WRONG["not asked"]
    else:
        yield WRONG["no change" if change.adversarial is None else "invisible"]


def _mending(entry: ContrastExemplar) -> list[ContrastMaps]:
    """The maps whose strongest pixels correct the error, and the same mask elsewhere does not."""
    return [maps for maps in entry.maps if maps.mended and maps.mended_elsewhere is False]
