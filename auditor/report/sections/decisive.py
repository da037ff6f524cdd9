"""The decisive picture of a finding: one image without the artefact, with it, and what differs, with a ring around."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from auditor.explain.attribution.record import Exemplar
from auditor.measure.arrays import Array
from auditor.report.packing import Album
from auditor.report.pictures import difference_uri, draw_ring
from auditor.run.result import AuditResult
from auditor.verdict.record import Finding

_LARGEST_PLACE = 0.5
"""A ring goes round what covers less of the frame than this."""


Box = tuple[int, int, int, int]
"""Left, top, right and bottom, in pixels."""


@dataclass(frozen=True)
class Decisive:
    """Pictures in the order in which they are read."""

    exemplar: Exemplar
    artefact: str | None
    """What names the picture of the artefact alone, on grey."""
    without: str
    with_it: str
    difference: str
    factor: str
    """By how much the difference is amplified; empty where it is not."""
    has_ring: bool

    @property
    def before(self) -> str:
        return self.exemplar.predicted_without or "–"

    @property
    def after(self) -> str:
        return self.exemplar.predicted_with or "–"


def view_decisive(finding: Finding, result: AuditResult, album: Album) -> Decisive | None:
    """The image that shows a finding best, drawn; none where no image is shown with and without the artefact."""
    exemplar = choose_exemplar(finding, result)
    if exemplar is None or exemplar.picture_with is None or exemplar.picture_without is None:
        return None
    before, after = (album.arrays[key] for key in (exemplar.picture_without, exemplar.picture_with))
    if before.shape != after.shape or np.array_equal(before, after):  # withheld, or so faint that nothing can be seen
        return None
    change = after.astype(np.float64) - before.astype(np.float64)
    place = find_place(change)
    difference, factor = difference_uri((change / 255).astype(np.float32), album.put)
    record = next((record for record in result.artefacts if record.name == finding.artefact), None)
    alone = record.picture if record is not None else None
    with_it = album.picture(exemplar.picture_with) if place is None else album.put("png", draw_ring(after, place))
    return Decisive(
        exemplar,
        None if alone is None else album.picture(alone),
        album.picture(exemplar.picture_without),
        with_it,
        difference,
        "" if factor in (None, 1) else f"{factor:g}",
        place is not None,
    )


def choose_exemplar(finding: Finding, result: AuditResult) -> Exemplar | None:
    """Of the images that are shown, one whose decision turns as the finding says; else the first that has both."""

    def rank(exemplar: Exemplar) -> tuple[bool, bool]:
        turns = exemplar.predicted_with != exemplar.predicted_without
        lands = finding.target in (exemplar.predicted_with, exemplar.predicted_without)
        return not (turns and lands), exemplar.carrier

    known = [
        exemplar
        for exemplar in result.exemplars
        if (exemplar.artefact, exemplar.target) == (finding.artefact, finding.target)
        and exemplar.picture_with is not None
        and exemplar.picture_without is not None
    ]
    return min(known, key=rank, default=None)


def place_of(exemplar: Exemplar, album: Album) -> Box | None:
    """Where an image with its artefact differs from the same without; none where that is most of it, or not shown."""
    if exemplar.picture_with is None or exemplar.picture_without is None:
        return None
    before, after = (album.arrays[key] for key in (exemplar.picture_without, exemplar.picture_with))
    return None if before.shape != after.shape else find_place(after.astype(np.float64) - before.astype(np.float64))


def find_place(change: Array) -> Box | None:
    """The box (left, top, right, bottom) that holds nearly all of a change (h, w, c); none where that is most of it."""
    size = np.abs(change).max(axis=-1)
    if not size.any():
        return None
    rows, columns = (np.flatnonzero((size > size.max() / 8).any(axis=axis)) for axis in (1, 0))
    box = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
    area = (box[2] - box[0]) * (box[3] - box[1])
    return box if area <= _LARGEST_PLACE * size.size else None
