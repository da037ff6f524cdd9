"""What a result tells of an artefact."""

from __future__ import annotations

import numpy as np

from auditor.artefacts.appearance import Frame, box_of
from auditor.artefacts.kinds import Artefact
from auditor.artefacts.record import ArtefactRecord
from auditor.measure.ledger import NewArrays
from auditor.subject.data.pictures import to_pixels


def describe_artefact(
    artefact: Artefact, frame: Frame, classes: tuple[str, ...], *, picture: str, arrays: NewArrays
) -> ArtefactRecord:
    """The record of an artefact; where its appearance is known, what it looks like on grey is kept under `picture`."""
    appearance, region = artefact.appearance, artefact.appearance.fixed_region
    if appearance.can_insert:
        on_grey = artefact.insert(np.full((1, *frame), 0.5, np.float32), ["grey"])[0]
        arrays.keep(picture, to_pixels(on_grey), of_data=False)
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
    )
