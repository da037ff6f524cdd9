"""Suspects that nobody named: what they look like, who proposed them, what became of them, and how to name them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from auditor.config.options import to_toml
from auditor.discovery.record import STABLE, ClusterRecord, EmbeddingRecord
from auditor.measure.pieces import Strip
from auditor.measure.words import listed, number
from auditor.report.clouds import Cloud, plot_clouds
from auditor.report.sections.columns import view_columns
from auditor.run.result import AuditResult
from auditor.run.suspects import DiscoveryRecord, Standing, Suspect


def view_suspects(result: AuditResult, run: str) -> dict[str, Any] | None:
    """What the section shows; None where suspects were not looked for."""
    record = result.discovery
    if record is None:
        return None
    numbers = {finding.artefact: at for at, finding in enumerate(result.findings)}
    return {
        "lead": tell_suspects(result),
        "columns": view_columns(record.columns),
        "how": " ".join(
            filter(None, [_tell_how(record, len(result.suspects)), *_tell_skipped(record), tell_control(record)])
        ),
        "embedding": _view_embedding(record.embedding),
        "items": [_view(suspect, result, numbers.get(suspect.name), run) for suspect in result.suspects],
    }


def tell_suspects(result: AuditResult) -> str:
    """What came of the looking, in a sentence or two; empty where suspects were not looked for."""
    record, suspects = result.discovery, result.suspects
    if record is None:
        return ""
    counts = {standing: sum(each.standing == standing for each in suspects) for standing in WORDS}
    if record.why_not_judged:
        found = f"{_count(len(suspects))} listed and not judged"
        if not suspects:
            found = f"No suspect was found among {_images(record.proposing)}, and none would have been judged"
        return f"{found}, for {record.why_not_judged}. Nothing is decided on."
    if not suspects:
        return f"No suspect was found among {_images(record.proposing)}. {NO_ALL_CLEAR}"
    told = [f"{counts[standing]} {words}" for standing, words in TOLD.items() if counts[standing]]
    left = f"{_count(len(suspects))} judged on images that did not propose them: {listed(told)}."
    is_open = not counts["shortcut candidate"]
    return f"{left} {NO_ALL_CLEAR}" if is_open else left


def block_of(suspect: Suspect, folder: str) -> str:
    """The `[[artefacts]]` that name a suspect, its picture lying in a folder as the configuration names it."""
    if not suspect.file or not folder:
        return suspect.block
    return suspect.block.replace(f"image = {to_toml(suspect.file)}", f"image = {to_toml(f'{folder}/{suspect.file}')}")


def _tell_how(record: DiscoveryRecord, kept: int) -> str:
    whole = sum(record.tried.values())
    if not whole:
        return f"No source proposed anything on {_images(record.proposing)}."
    tried = listed([f"{count} from {SOURCES[name]}" for name, count in record.tried.items() if name in SOURCES])
    half = "" if record.why_not_judged else ", and ranked before the other half was looked at"
    return (
        f"{whole} proposals ({tried}) were tried on {_images(record.proposing)}{half}; {record.dropped} were weaker "
        f"than the {kept} shown, or like one of them."
    )


def _tell_skipped(record: DiscoveryRecord) -> list[str]:
    """Why sources did not look, or looked in part only."""
    return [
        f"From {SOURCES.get(name, name)} came {'a part only' if name in record.tried else 'nothing'}: {why}."
        for name, why in record.skipped.items()
    ]


def tell_control(record: DiscoveryRecord) -> str:
    """What the search would have seen and what not; empty where that was not tried."""
    control = record.control
    if control is None:
        return ""
    tried = (
        f"a square of black and white noise, {control.side} pixels wide, put into a corner of {control.carriers} of "
        f"{control.images} images of {control.target}"
    )
    if control.weakest_seen is None:
        return f"The search would have missed even an opaque mark: {tried}, was not seen."
    weakest = number(control.weakest_seen, "share")
    if all(control.seen):
        return f"As a control, {tried}, was seen down to an opacity of {weakest}; fainter ones were not tried."
    missed = number(control.opacities[-1], "share")
    return f"As a control, {tried}, was seen down to an opacity of {weakest}, and missed at {missed}."


def _view(suspect: Suspect, result: AuditResult, at: int | None, run: str) -> dict[str, Any]:
    section: Mapping[str, Any] = result.provenance.config.get("report", {})
    output = str(section.get("output", "reports")) if isinstance(section, dict) else "reports"
    return {
        "suspect": suspect,
        "finding": None if at is None else at,
        "word": WORDS[suspect.standing],
        "badge": BADGES[suspect.standing],
        "strip": Strip("", suspect.pictures),
        "title": re.sub(r"^suspect \d+: ", "", suspect.name),
        "block": block_of(suspect, f"{output}/{run}" if run else ""),
    }


def _view_embedding(record: EmbeddingRecord | None) -> dict[str, Any] | None:
    """The plot, what is told above it, and of each cluster a name, a sentence and its contact sheet."""
    if record is None:
        return None
    clusters = [
        {
            "id": f"cluster-{at}",
            "name": f"Cluster {at}",
            "told": _tell_cluster(cluster),
            "sheet": Strip("", [cluster.sheet]),
        }
        for at, cluster in enumerate(record.clusters, 1)
    ]
    clouds = [
        Cloud(str(each["name"]), cluster.points, str(each["id"]))
        for each, cluster in zip(clusters, record.clusters, strict=True)
    ]
    first, second = (number(share, "share") for share in record.held)
    axes = (f"first component, {first} of what differs", f"second component, {second}")
    title = f"How {_images(sum(len(cloud.points) for cloud in clouds))} lie to each other, by {record.told_by}"
    return {"title": title, "plot": plot_clouds(clouds, title, axes, "embedding"), "clusters": clusters}


def _tell_cluster(cluster: ClusterRecord) -> str:
    count = len(cluster.points)
    told = f"{_images(count)}, {cluster.recognised} recognised"
    if cluster.classes:
        told += f"; most are {listed([f'{name} ({images})' for name, images in cluster.classes.items()])}"
    if cluster.stability is not None and cluster.stability < STABLE:
        told += f"; drawn anew, the cluster comes again by {number(cluster.stability, '')} only"
    for name, (here, strong) in cluster.suspects.items():
        told += f"; {here} of {strong} images where {name.partition(':')[0]} is strongest"
    return f"{told}."


def _images(count: int) -> str:
    return f"{count} image{'' if count == 1 else 's'}"


def _count(count: int) -> str:
    return f"{count} suspect{' was' if count == 1 else 's were'}"


NO_ALL_CLEAR = (
    "That is no all-clear: what no image here shows, what is faint, and what lies on the object is not found like this."
)

SOURCES = {
    "places": "patches pasted",
    "stamps": "shared content",
    "gradients": "mean derivatives",
    "properties": "whole images",
    "clusters": "clusters of maps",
    "components": "components of features",
    "errors": "errors",
    "universal": "the model alone",
}
"""What sources are called."""

WORDS: dict[Standing, str] = {
    "shortcut candidate": "Shortcut candidate",
    "part of the object, perhaps": "Part of the object, perhaps",
    "shown by hardly any image": "Shown by hardly any image",
    "not confirmed": "Not confirmed",
    "not judged": "Not judged",
}

TOLD: dict[Standing, str] = {
    "shortcut candidate": "confirmed (not the object)",
    "part of the object, perhaps": "confirmed (perhaps a part of the object)",
    "shown by hardly any image": "confirmed (shown by hardly any image)",
    "not confirmed": "not confirmed",
}

BADGES: dict[Standing, str] = {
    "shortcut candidate": "relies",
    "part of the object, perhaps": "inconclusive",
    "shown by hardly any image": "inconclusive",
    "not confirmed": "not_applicable",
    "not judged": "not_applicable",
}
"""The look of a badge: that of a verdict."""
