"""The presets of a gate: each is a `[gate]` table like any other, and stands here alone."""

from __future__ import annotations

import json
from collections.abc import Sequence

from auditor.config.options import KeyPath, suggest
from auditor.config.sections import Demand, GateConfig, Level, Metric


def _compared(tolerances: dict[Metric, float], level: Level, open: Level) -> tuple[Demand, ...]:
    """Demands on several metrics that none is worse than accepted."""
    return tuple(
        Demand(metric=metric, tolerance=tolerance, level=level, open=open) for metric, tolerance in tolerances.items()
    )


_ON_SHORTCUTS: dict[Metric, float] = {"effect": 0.5, "decisions_turned": 0.05}

_ON_ACCURACY: dict[Metric, float] = {"accuracy": 0.02, "worst_group_accuracy": 0.05}

PRESETS: dict[str, GateConfig] = {
    "verdicts": GateConfig(
        preset="verdicts", relies="error", newly_relies="off", inconclusive="error", not_applicable="error",
        unaccepted="off",
    ),
    "strict": GateConfig(
        preset="strict", relies="error", newly_relies="off", inconclusive="error", not_applicable="error",
        unaccepted="error", demands=_compared(_ON_SHORTCUTS | _ON_ACCURACY, "error", "error"),
    ),
    "release": GateConfig(
        preset="release", relies="error", newly_relies="off", inconclusive="warn", not_applicable="warn",
        unaccepted="warn",
        demands=_compared(_ON_SHORTCUTS, "error", "warn") + _compared(_ON_ACCURACY, "error", "warn"),
    ),
    "watch": GateConfig(
        preset="watch", relies="warn", newly_relies="error", inconclusive="off", not_applicable="off",
        unaccepted="warn",
        demands=_compared(_ON_SHORTCUTS, "error", "off") + _compared(_ON_ACCURACY, "warn", "off"),
    ),
}  # fmt: skip
"""Name -> its demands. `strict` wants everything shown; `release` fails on what is clearly bad and warns of what is
open; `watch` is for a model in use: what was accepted stays accepted, and only what is clearly worse fails."""


def find_unknown_artefacts(gate: GateConfig, names: Sequence[str]) -> list[tuple[KeyPath, str]]:
    """Demands on artefacts that are none of these names, by the path of the key: they would never be made."""
    return [
        (
            ("gate", "demands", number, "artefact"),
            f"unknown artefact {demand.artefact!r}{suggest(demand.artefact, [*names])}",
        )
        for number, demand in enumerate(gate.demands)
        if demand.artefact is not None and demand.artefact not in names
    ]


def write_preset(name: str) -> str:
    """A preset as the `[gate]` table that it stands for."""
    preset = PRESETS[name]
    levels = preset.model_dump(exclude={"preset", "accepted", "demands"})
    lines = ["[gate]", *(f"{key} = {json.dumps(level)}" for key, level in levels.items())]
    for demand in preset.demands:
        lines += ["", "[[gate.demands]]"]
        lines += [f"{key} = {json.dumps(value)}" for key, value in demand.model_dump(exclude_none=True).items()]
    return "\n".join(lines) + "\n"
