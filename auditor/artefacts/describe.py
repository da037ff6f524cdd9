"""What a result tells of an artefact."""

from __future__ import annotations

import numpy as np

from auditor.artefacts.appearance import Frame, box_of
from auditor.artefacts.artefact import Artefact
from auditor.artefacts.global_edits import GlobalEdit
from auditor.artefacts.record import ArtefactRecord
from auditor.artefacts.varied import Varied, edges_of
from auditor.measure.arrays import Floats
from auditor.measure.ledger import NewArrays
from auditor.subject.data.pictures import to_pixels


def describe_artefact(
    artefact: Artefact,
    frame: Frame,
    classes: tuple[str, ...],
    *,
    picture: str,
    arrays: NewArrays,
    of_data: bool = False,
) -> ArtefactRecord:
    """The record of an artefact; where its appearance is known, what it looks like is kept under `picture`.

    That is on grey or, of an edit of the whole image, on a ramp with a chequerboard, for grey would not show a blur.

    Parameters
    ----------
    of_data
        Whether its look was made of audited images.
    """
    appearance, region = artefact.appearance, artefact.appearance.fixed_region
    if appearance.can_insert:
        ground = _chart(frame) if isinstance(appearance, GlobalEdit) else np.full(frame, 0.5, np.float32)
        arrays.keep(picture, to_pixels(artefact.insert(ground[None], ["grey"])[0]), of_data=of_data)
    within = appearance.place.within if isinstance(appearance, Varied) else None
    found, looked_at = artefact.found or (None, None)
    return ArtefactRecord(
        name=artefact.name,
        kind=artefact.kind,
        target=None if artefact.target is None else classes[artefact.target],
        present=artefact.present,
        carriers=int(artefact.carriers.sum()),
        coverage=None if region is None else float(region.mean()),
        box=None if region is None else box_of(region),
        opacity=appearance.opacity,
        picture=picture if appearance.can_insert else None,
        line=artefact.line,
        removable=appearance.can_remove,
        within=None if within is None else edges_of(within, frame),
        found=found,
        looked_at=looked_at,
        parts=tuple(part.name for part in artefact.parts),
    )


def _chart(frame: Frame) -> Floats:
    """A ramp of light from left to right, of colour from top to bottom, and a chequerboard in the middle."""
    height, width, channels = frame
    rows, columns = np.mgrid[0:height, 0:width]
    chart = np.repeat((columns / max(width - 1, 1))[..., None], channels, axis=2)
    chart[..., -1] = (chart[..., -1] + rows / max(height - 1, 1)) / 2
    side = max(1, min(height, width) // 8)
    middle = (np.abs(rows - height / 2) < height / 4) & (np.abs(columns - width / 2) < width / 4)
    chart[middle] = ((rows // side + columns // side) % 2)[middle, None]
    return chart.astype(np.float32)
