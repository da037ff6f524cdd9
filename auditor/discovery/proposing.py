"""Which suspects there are: every source proposes, all proposals are tried on the same images, the best are kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from auditor.artefacts.appearance import Appearance
from auditor.discovery.candidate import Candidate, CannotLookError, Proposal, say_place
from auditor.discovery.clusters import propose_clusters
from auditor.discovery.components import propose_components
from auditor.discovery.errors import propose_errors
from auditor.discovery.extent import object_map, of_object
from auditor.discovery.gradients import propose_gradients
from auditor.discovery.material import Material
from auditor.discovery.places import propose_places
from auditor.discovery.properties import propose_properties
from auditor.discovery.stamps import propose_stamps
from auditor.discovery.universal import propose_universal, tell_unasked
from auditor.errors import ModelError
from auditor.measure.arrays import Bools, Doubles

Source = Callable[[Material, int], Iterable[Proposal]]
"""Proposes suspects, from the material and about how many images the model may score for it."""

SOURCES: dict[str, Source] = {
    "places": propose_places,
    "stamps": propose_stamps,
    "gradients": propose_gradients,
    "properties": propose_properties,
    "clusters": propose_clusters,
    "components": propose_components,
    "errors": propose_errors,
    "universal": propose_universal,
}
"""Where suspects come from, by the name that a report gives it."""


@dataclass(frozen=True)
class Proposed:
    """What all sources proposed together."""

    candidates: list[Candidate]
    """The foremost first; names are unique."""
    tried: dict[str, int] = field(default_factory=dict)
    """Source -> how many proposals of it were tried."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Source -> why it did not look, or looked in part only, as a clause."""

    @property
    def dropped(self) -> int:
        """How many proposals did not become candidates."""
        return sum(self.tried.values()) - len(self.candidates)


def propose(material: Material, most: int, passes: int, sources: Iterable[str] = tuple(SOURCES)) -> Proposed:
    """The foremost suspects of some sources.

    Parameters
    ----------
    most
        Candidates, at the most.
    passes
        About how many images the model may score for a source.
    """
    found: list[Candidate] = []
    tried: dict[str, int] = {}
    skipped: dict[str, str] = {}
    free: dict[int, Doubles] = {}
    for name in sources:
        try:
            proposals = list(SOURCES[name](material, passes))
        except (CannotLookError, ModelError) as why:  # the latter of a model whose derivatives cannot be had
            skipped[name] = str(why)
            continue
        tried[name] = len(proposals)
        unasked = tell_unasked(material, passes) if name == "universal" else ""
        if unasked:
            skipped[name] = unasked
        for proposal in proposals:
            if proposal.target not in free:
                own, others = material.own(proposal.target), material.others(proposal.target)
                free[proposal.target] = object_map(material.images[own], material.images[others])
            candidate = _try(material, proposal, free[proposal.target])
            if candidate.effect > LEAST_GAIN and candidate.number > 0:
                found.append(candidate)
    found.sort(key=lambda candidate: -candidate.number)
    kept: list[Candidate] = []
    is_mirrored = len(material.classifier.classes) == 2 and material.classifier.output != "multilabel"
    for candidate in found:
        same = [at for at, other in enumerate(kept) if _is_same(candidate, other, is_mirrored)]
        if same:
            kept[same[0]] = _joined(kept[same[0]], candidate)
        elif len(kept) < most:
            kept.append(candidate)
    return Proposed(_named(material, kept), tried, skipped)


def _try(material: Material, proposal: Proposal, objects: Doubles) -> Candidate:
    """A proposal with one of its looks: the smallest of those that do nearly as much for its class as any."""
    gains = [material.gain(look, proposal.target) for look in proposal.looks]
    most = max(gain for _, gain in gains)
    well = [number for number, (_, gain) in enumerate(gains) if gain >= NEARLY * most] or [0]
    best = min(well, key=lambda number: _size(proposal.looks[number]))
    look = proposal.looks[best]
    raised, gain = gains[best]
    strong = material.images[list(proposal.strong)]
    return Candidate("", proposal, look, gain, of_object(look, objects, strong), raised)


def _size(look: Appearance) -> int:
    region = look.fixed_region
    return 0 if region is None else int(region.sum())


def _is_same(one: Candidate, other: Candidate, is_mirrored: bool) -> bool:
    """Whether two candidates are of one class and mostly of one place, or of one kind of edit.

    Where one of two classes gains what the other loses, one kind of edit is the same whichever it is about.
    """
    first, second = one.look.fixed_region, other.look.fixed_region
    if first is None or second is None:
        is_one_class = one.target == other.target or is_mirrored
        return first is second is None and is_one_class and one.proposal.kind == other.proposal.kind
    return one.target == other.target and overlap(first, second) > _SAME


def overlap(one: Bools, other: Bools) -> float:
    """Intersection over union of two regions (h, w)."""
    union = float((one | other).sum())
    return float((one & other).sum()) / union if union else 0.0


def _joined(one: Candidate, other: Candidate) -> Candidate:
    """A candidate with what another source saw of the same."""
    first, second = one.proposal, other.proposal
    divides = first if first.filter is not None else second  # whether it divides a class, or images of all
    seen = replace(first, focus=max(first.focus, second.focus), filter=divides.filter, is_common=divides.is_common)
    return replace(one, proposal=seen)


def _named(material: Material, candidates: list[Candidate]) -> list[Candidate]:
    """With names of their own, which stay apart without the number of the suspect, too."""
    named, count = list[Candidate](), Counter[str]()
    for number, candidate in enumerate(candidates, 1):
        what = candidate.proposal.told or say_place(candidate.look.fixed_region)
        what = f"{what} of {material.classifier.classes[candidate.target]}"
        count[what] += 1
        again = f" ({count[what]})" if count[what] > 1 else ""
        named.append(replace(candidate, name=f"suspect {number}: {what}{again}"))
    return named


NEARLY = 0.7
"""How much of the best look's effect a smaller one must have."""

LEAST_GAIN = 0.2
"""In standard deviations of the score: less is nothing that matters to the rule of the verdict either."""

_SAME = 0.5
