"""A suspect as a result tells of it: why it was proposed, what it looks like, and how to name it."""

from __future__ import annotations

from typing import Any

import numpy as np

from auditor.artefacts.appearance import box_of
from auditor.config.options import to_toml
from auditor.discovery.candidate import Candidate, say_place
from auditor.discovery.embedding import Embedding, embed
from auditor.discovery.material import Material
from auditor.discovery.record import ClusterRecord, EmbeddingRecord
from auditor.measure.arrays import Array, Floats
from auditor.measure.ledger import NewArrays
from auditor.measure.pieces import Picture
from auditor.run.suspects import Standing, Suspect
from auditor.subject.data.pictures import to_pixels


def describe_suspect(
    number: int,
    candidate: Candidate,
    material: Material,
    standing: Standing,
    evidence: list[str],
    arrays: NewArrays,
) -> Suspect:
    """A suspect as a result tells of it, its pictures kept."""
    look, proposal, classes = candidate.look, candidate.proposal, material.classifier.classes
    target, region = classes[candidate.target], look.fixed_region
    is_place = proposal.kind == "overlay" and region is not None
    box = box_of(region) if region is not None else None
    where = f"at the {say_place(region)}" if is_place else proposal.told
    why = COMMON if proposal.is_common else REASONS[proposal.source]
    reason = why.format(target=target, where=where, gain=f"{candidate.gain:.1f}")
    reason = f"{reason} {proposal.beside}".strip()
    frame = material.images.shape[1:]
    key = f"suspect {number}"
    strong = list(proposal.strong)
    weak = material.others(candidate.target, 1)
    shown = [
        _keep(
            arrays, f"{key}: strongest", material.images[strong[0]], "where it is strongest", material.ids[strong[0]]
        ),
        _keep(arrays, f"{key}: without", material.images[weak[0]], "an image without it", material.ids[weak[0]]),
        _keep(arrays, f"{key}: with", _put(look, material.images[weak]), "the same with it", material.ids[weak[0]]),
    ]
    picture = None
    if is_place:
        grey = np.full((1, *frame), 0.5, np.float32)
        picture = arrays.keep(f"{key}: alone", to_pixels(_put(look, grey)), of_data=True)
        shown.append(Picture(picture, "it alone, on grey"))
    mean = material.images[strong].mean(axis=0)
    shown.append(_keep(arrays, f"{key}: average", mean, f"mean of the {len(strong)} images where it is strongest"))
    file = ""
    if is_place:
        file = f"suspect-{number}.png"
        arrays.keep(f"{key}: look", np.concatenate([look.ink, look.alpha[..., None]], axis=2), of_data=True)  # type: ignore[attr-defined]
    return Suspect(
        name=candidate.name,
        reason=reason,
        box=box,
        picture=picture,
        source=proposal.source,
        target=target,
        gain=candidate.gain,
        on_object=candidate.on_object,
        standing=standing,
        evidence=evidence,
        pictures=shown,
        block=_write_block(candidate, target, box, file),
        file=file,
    )


def _put(look: Any, images: Floats) -> Floats:
    return np.asarray(look.insert(images, [np.random.default_rng(0) for _ in images])[0])


def _keep(arrays: NewArrays, key: str, image: Floats, caption: str, identity: str = "") -> Picture:
    return Picture(arrays.keep(key, to_pixels(image), of_data=True), caption, image=identity)


def _write_block(candidate: Candidate, target: str, box: tuple[int, int, int, int] | None, file: str) -> str:
    """The `[[artefacts]]` that name it."""
    said: dict[str, Any] = {"name": candidate.name.partition(": ")[2], "kind": candidate.proposal.kind}
    if file and box is not None:
        said |= {"image": file, "position": list(box[:2])}
    said |= {**candidate.proposal.options, "target": target}
    return "[[artefacts]]\n" + "".join(f"{name} = {to_toml(value)}\n" for name, value in said.items())


def show_embedding(material: Material, candidates: list[Candidate], arrays: NewArrays) -> EmbeddingRecord | None:
    """How images lie to each other, with a contact sheet of each cluster kept; None where that tells nothing."""
    found = embed(material)
    if found is None:
        return None
    clusters = []
    for number in range(int(found.labels.max()) + 1):
        inside = found.labels == number
        rows = found.rows[inside]
        counts = material.seen.has[rows].sum(axis=0)
        first = [at for at in np.argsort(-counts, kind="stable")[:3] if counts[at]]
        middle = found.middle(number, ON_A_SHEET)
        sheet = arrays.keep(f"cluster {number + 1}", _sheet(material.images[middle]), of_data=True)
        suspects = {}
        for each in candidates:
            strong = np.intersect1d(each.proposal.strong, found.rows)
            here = int(np.isin(strong, rows).sum())
            if 2 * here > len(strong):
                suspects[each.name] = (here, len(strong))
        clusters.append(
            ClusterRecord(
                points=[(round(float(x), 3), round(float(y), 3)) for x, y in found.points[inside]],
                stability=None if found.clusters is None else _stability(found, number),
                classes={material.classifier.classes[at]: int(counts[at]) for at in first},
                recognised=int((material.seen.has[rows] == material.seen.predicted[rows]).all(axis=1).sum()),
                suspects=suspects,
                sheet=Picture(sheet, f"{len(middle)} of {len(rows)} images, those nearest to its middle"),
            )
        )
    return EmbeddingRecord(found.told_by, found.held, clusters)


def _stability(found: Embedding, number: int) -> float:
    assert found.clusters is not None
    return float(found.clusters.stability[found.clusters.labels[found.labels == number][0]])


def _sheet(images: Floats) -> Array:
    """Images (n, h, w, c), none larger than a thumbnail, side by side on grey as one picture."""
    step = max(1, -(-max(images.shape[1:3]) // THUMBNAIL))
    small = np.stack([to_pixels(image) for image in images[:, ::step, ::step]])
    height, width = small.shape[1] + 2, small.shape[2] + 2
    columns = min(IN_A_ROW, len(small))
    sheet = np.full((-(-len(small) // columns) * height, columns * width, small.shape[3]), 128, np.uint8)
    for at, image in enumerate(small):
        top, left = at // columns * height + 1, at % columns * width + 1
        sheet[top : top + height - 2, left : left + width - 2] = image
    return sheet


ON_A_SHEET, IN_A_ROW, THUMBNAIL = 12, 6, 64
"""Images on a contact sheet, in a row of it, and the longest side of one in pixels."""

REASONS = {
    "places": (
        "What images of {target} show {where} raises the score of {target} in other images, {gain} standard "
        "deviations more than harmless edits there."
    ),
    "stamps": (
        "Images of {target}, or a part of them, are more alike {where} than other images; put into others, what they "
        "show there raises the score of {target} by {gain} standard deviations more than harmless edits."
    ),
    "gradients": (
        "The model looks for the same {where} in every image, as its mean derivative tells. What images of {target} "
        "show there raises their score in others by {gain} standard deviations more than harmless edits."
    ),
    "properties": (
        "Images of {target} have {where} than others; edited likewise, others score higher for {target}, by {gain} "
        "standard deviations more than by harmless edits."
    ),
    "clusters": (
        "In some images of {target} the score hangs on what they show {where}, in the rest it does not. Put into "
        "others it raises the score of {target} by {gain} standard deviations more than harmless edits."
    ),
    "components": (
        "Images of {target} differ most in what they owe to what they show {where}. Put into others it raises the "
        "score of {target} by {gain} standard deviations more than harmless edits."
    ),
    "errors": (
        "Images that are wrongly called {target} share what they show {where}. Put into others it raises the score of "
        "{target} by {gain} standard deviations more than harmless edits."
    ),
    "universal": (
        "The model alone asks for it: of patches all over the frame, drawn for {target}, the one {where} raises its "
        "score most, in images of {target} as well as in others. In others it does so by {gain} standard deviations "
        "more than harmless edits."
    ),
}
"""Why a source proposed a suspect."""

COMMON = (
    "Some images of several classes are alike {where}, and the rest show nothing of it; put into others it "
    "raises the score of {target} most of all classes, by {gain} standard deviations more than harmless edits."
)
"""The same of what no class has for its own."""
