"""What a finding says to somebody who decides: its sentence, its number, what speaks against it, and what to do.

The page, the PDF, the index of a folder and the terminal all take their words from here, so they say the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from auditor.measure.measurement import Measurement
from auditor.measure.words import listed, number, say, say_in, say_n, signed
from auditor.report.labels import CONTROLS, WAYS
from auditor.report.sentences import (
    ADVICE,
    CAUTIONS,
    EVERY_CARRIES,
    KEPT_NOTES,
    LEADS,
    NUMBERS,
    OF_SUSPECTS,
    ROWS,
    SEVERITIES,
    TURNED_MOST,
    UNTESTED,
    UNTESTED_OWN,
    fill,
)
from auditor.run.suspects import SET_APART
from auditor.verdict.record import FILL_FACTOR, Finding, Rule


class Effect(NamedTuple):
    """An effect of an artefact in one direction, as a row."""

    words: str
    name: str
    """Of the measurement."""
    measured: Measurement


def tell_lead(finding: Finding, rule: Rule) -> str:
    """What was found, in a sentence that one can repeat."""
    key, words = _lead(finding, rule)
    return _fill(LEADS[key], finding, **{"t": finding.target or "the class", **words})


def tell_why(finding: Finding, rule: Rule) -> str:
    """What keeps a finding open, where its first sentence does not say it already."""
    is_open = finding.verdict in ("inconclusive", "error", "not_applicable")
    if not is_open or _lead(finding, rule)[0] == "few":
        return ""
    for said in _SAID_FIRST:
        told = said.format(a=finding.artefact, t=finding.target)
        if finding.reason.startswith(told):
            why = finding.reason.removeprefix(told)
            return f"{why[:1].upper()}{why[1:]}"
    return finding.reason


def tell_severity(finding: Finding) -> str:
    """How bad it is; nothing is rated where nothing was found."""
    if finding.verdict != "relies":
        return SEVERITIES[finding.told]
    return SEVERITIES.get(finding.severity or "", SEVERITIES["relies, unrated"])


def deciding(finding: Finding) -> Effect | None:
    """The one number that the verdict rests on."""
    effect = finding.effect
    if effect is None or effect.value is None:
        return None
    return Effect(NUMBERS["removal" if finding.basis == "removal" else "effect"], finding.endpoint or "", effect)


def effects_of(finding: Finding) -> list[Effect]:
    """The deciding effect, and beside it each other direction that was tested: those that conflict are two rows."""
    first = deciding(finding)
    found = [] if first is None else [first]
    if finding.verdict == "relies" or finding.basis == "removal":
        return found
    endpoint = finding.endpoint or ""
    names = [endpoint, *(name for name in _DIRECTIONS if name != endpoint)]
    if endpoint in _OTHER_SIDE and _conflicts(finding):
        names.insert(1, _OTHER_SIDE[endpoint])
    rows = []
    for name in names:
        measured = finding.measurements.get(name)
        if measured is not None and measured.value is not None:
            rows.append(Effect(ROWS[name].format(t=finding.target), name, measured))
    return rows or found


def tell_bar(finding: Finding, rule: Rule) -> str:
    """What the effect is held against, and what that is."""
    share = _FRACTIONS.get(round(rule.margin_sd, 4), f"{rule.margin_sd:g}")
    is_floor = rule.margin >= finding.margin > 0
    of = NUMBERS["bar of floor" if is_floor else "bar of spread"].format(share=share)
    factor = _bar_factor(finding)
    if factor != 1:
        of = NUMBERS["bar of fills" if factor > 1 else "bar of decisions"].format(of=of)
    return NUMBERS["bar"].format(bar=number(factor * finding.margin, ""), of=of)


def _bar_factor(finding: Finding) -> float:
    """Times the margin from which an effect counts as reliance: see `auditor.verdict.rule`."""
    if _is_by_fill(finding):
        return float(FILL_FACTOR)
    effect = finding.effect
    if finding.verdict == "relies" and effect is not None and effect.decisive.against(finding.margin) != "above":
        return 0.5
    return 1.0


def _is_by_fill(finding: Finding) -> bool:
    """Whether the artefact could only be painted over."""
    return finding.basis == "removal" and "exact" not in finding.drops


def tell_scale(effect: Measurement) -> str:
    """What a step of so many log-odds is in probabilities that people know."""
    if effect.value is None or effect.unit != "log-odds" or effect.against(0) == "open":
        return ""
    ends = [1 / (1 + math.exp(-sign * min(abs(effect.value), 30) / 2)) for sign in (-1, 1)]
    low, high = (number(end, "share") for end in (ends if effect.value > 0 else reversed(ends)))
    return NUMBERS["scale"].format(low=low, high=high)


def tell_cautions(finding: Finding) -> list[str]:
    """The strongest that speaks against the finding, or against reading it too simply."""
    told = [*_broader(finding), *_removal(finding)]
    told += [f"{note.text}." for note in finding.notes if note.kind in KEPT_NOTES]
    if finding.verdict == "inconclusive":
        flips = finding.measurements.get("flip_rate")
        if flips is not None and flips.value:
            count = round(flips.value * flips.n)
            told.append(CAUTIONS["turned"].format(n=flips.n, count=count, t=finding.target))
    return [f"{text[:1].upper()}{text[1:]}" for text in told]


def tell_notes(finding: Finding) -> list[str]:
    """What else a reader should know, without what is said as a caution."""
    told = []
    for note in finding.notes:
        if note.kind in (*KEPT_NOTES, *_SAID_OTHERWISE):
            continue
        told.append(f"{note.text[:1].upper()}{note.text[1:]}.")
    return [*told, *_untested(finding)]


def tell_hardest_hit(finding: Finding) -> str:
    """The class that suffers most, in a sentence; empty where that is not known."""
    note = next((note for note in finding.notes if note.kind == "worst class"), None)
    told = []
    if note is not None and finding.verdict == "relies":  # elsewhere it is no doing of the artefact
        told.append(f"{note.text[:1].upper()}{note.text[1:]}.")
    moved = sorted(
        (part for part in finding.strata if part.is_moved), key=lambda part: -(part.decisions_turned.value or 0.0)
    )
    if moved:
        parts = [f"{part.value} ({say(replace(part.decisions_turned, low=None), 'points')})" for part in moved[:3]]
        told.append(TURNED_MOST.format(t=finding.target, parts=listed(parts)))
    return " ".join(told)


def tell_advice(finding: Finding, rule: Rule) -> str:
    """What to do in this case."""
    case = _case(finding, rule)
    case = OF_SUSPECTS.get(case, case) if finding.is_suspect else case
    return _fill(ADVICE[case], finding, **_needs(finding, rule))


def _fill(words: str, finding: Finding, **more: object) -> str:
    return fill(words, finding.artefact, is_suspect=finding.is_suspect, **{"t": finding.target, **more})


def strongest_control(finding: Finding) -> tuple[str, float, float] | None:
    """The harmless edit that does most, its effect and that of the artefact, in the direction of the finding."""
    lift = finding.measurements.get("insertion_lift")
    known = {name: part.value for name, part in finding.controls.items() if part.value is not None}
    if lift is None or lift.value is None or not known:
        return None
    way = 1 if lift.value >= 0 else -1
    name = max(known, key=lambda key: way * known[key])
    return name, known[name], lift.value


def _lead(finding: Finding, rule: Rule) -> tuple[str, dict[str, object]]:
    """Which sentence, and what fills it in."""
    effect, values = finding.effect, finding.measurements
    count = len(finding.scanned)
    if finding.verdict == "relies":
        kind: str = "removal" if finding.basis == "removal" else finding.direction or "promotes"
        flips = values.get(_FLIPS[kind])
        if flips is None or flips.value is None:
            size = "–" if effect is None else signed(effect.value)
            return f"{kind}, unknown", {"n": effect.n if effect else 0, "effect": size}
        if kind == "promotes" and finding.severity == "score only":
            kind = "promotes, score only"
        return kind, {"n": flips.n, "share": say_in(flips.value, flips.n)}
    words: dict[str, object] = {"margin": _clear_bar(finding), "classes": count}
    if finding.told == "no_evidence":
        return "no_evidence, scan" if count > 1 else "no_evidence", words
    if finding.verdict != "inconclusive":
        return finding.told, words
    if count > 1:
        still = [entry.target for entry in finding.scanned if entry.verdict == "inconclusive"]
        rest = sum(entry.verdict == "no_evidence" for entry in finding.scanned)
        said = (
            f"{len(still)} {'is' if len(still) == 1 else 'are'} open: {listed(still, 5)}" if still else "none is open"
        )
        return "open, scan", words | {"rest": rest, "open": said}
    case = _case(finding, rule)
    return (case if case in LEADS else "open"), words | _needs(finding, rule)


def _case(finding: Finding, rule: Rule) -> str:
    """What keeps a finding from being acted on, or the kind of reliance; a key of `ADVICE`."""
    effect, values = finding.effect, finding.measurements
    if finding.verdict == "relies":
        is_broad = "broader" in _kinds_of_caution(finding)
        return "relies, score only" if finding.severity == "score only" else "relies, broader" if is_broad else "relies"
    if finding.verdict != "inconclusive":
        return finding.told
    for note in finding.notes:
        if note.kind in SET_APART:
            return note.kind
    accuracy = values.get("accuracy")
    if effect is not None and effect.value is not None and effect.groups < rule.min_groups:
        return "few"
    if accuracy is not None and accuracy.groups >= rule.min_groups and accuracy.against(0.5) == "below":
        return "labels"
    if _conflicts(finding):
        return "conflict"

    def is_known(name: str, bar: float, side: str) -> bool:
        found = values.get(name)
        return found is not None and found.groups >= rule.min_groups and found.against(bar) == side

    if is_known("change_by_inserting", 0.5, "below"):
        return "present"
    moved = values.get("theta_elsewhere")
    is_lost = is_known("found", 0.5, "below") or is_known("shown_by_carriers", 0.5, "below")
    is_off = is_known("found_elsewhere", 0.5, "above") or is_known("shown_elsewhere", 0, "above")
    if is_lost or is_off or (moved is not None and moved.against(finding.margin) == "above" and not _is_above(finding)):
        return "place"
    if effect is not None and effect.value is not None and effect.decisive.against(finding.margin) == "open":
        return "spans" if _images_needed(finding) else "spans, many"
    if effect is not None and effect.against(finding.margin) == "below" and strongest_control(finding) is not None:
        return "turns"
    return "inconclusive"


def _needs(finding: Finding, rule: Rule) -> dict[str, object]:
    """What the words of a case may name."""
    effect, strongest = finding.effect, strongest_control(finding)
    return {
        "margin": _clear_bar(finding),
        "groups": effect.groups if effect else 0,
        "n": effect.n if effect else 0,
        "needed": _images_needed(finding) if effect and effect.groups >= rule.min_groups else rule.min_groups,
        "clear": rule.images_for_all_clear,
        "control": _control(strongest[0]).replace("its ", _fill("the {a}’s ", finding))
        if strongest
        else "the strongest harmless edit",
    }


def _control(name: str) -> str:
    """A harmless edit, as it is called in a sentence."""
    return CONTROLS.get(name, f"the harmless edit “{name}”")


def _clear_bar(finding: Finding) -> str:
    """What an effect must lie below to be no evidence."""
    return number(finding.margin / FILL_FACTOR if _is_by_fill(finding) else finding.margin, "")


def _images_needed(finding: Finding) -> int:
    """How many images would settle it if the effect stays; 0 where that is not known, or more than twenty thousand."""
    effect = finding.effect
    if effect is None or effect.value is None or effect.value == finding.margin:
        return 0
    low, high = effect.decisive.bounds
    if math.isinf(high - low):
        return 0
    needed = math.ceil(effect.n * ((high - low) / 2 / abs(effect.value - finding.margin)) ** 2)
    rounded = round(needed, 1 - len(str(needed)))
    return rounded if effect.n < rounded <= 20_000 else 0


def _conflicts(finding: Finding) -> bool:
    """Whether the effect that lies above the bar is not borne out by the other side's images."""
    if finding.verdict != "inconclusive" or not _is_above(finding):
        return False
    other = finding.measurements.get(_OTHER_SIDE.get(finding.endpoint or "", ""))
    return other is not None and other.value is not None and other.decisive.against(0) != "above"


def _is_above(finding: Finding) -> bool:
    return finding.effect is not None and finding.effect.decisive.against(finding.margin / 2) == "above"


def _kinds_of_caution(finding: Finding) -> set[str]:
    strongest = strongest_control(finding)
    if strongest is None:
        return set()
    _, moved, lift = strongest
    if lift == 0 or moved / lift < 0.5:
        return set()
    if finding.verdict == "relies" and finding.direction == "promotes" and finding.basis == "insertion":
        return {"broader"}
    is_large = lift > finding.margin and (finding.effect is None or finding.effect.groups >= _FEWEST)
    return {"simpler"} if finding.verdict in ("no_evidence", "inconclusive") and is_large else set()


def _broader(finding: Finding) -> Iterator[str]:
    strongest = strongest_control(finding)
    for kind in _kinds_of_caution(finding):
        assert strongest is not None
        name, moved, lift = strongest
        yield _fill(
            CAUTIONS[kind],
            finding,
            control=_control(name),
            share=number(moved / lift, "share"),
            moved=signed(moved),
            lift=signed(lift),
        )


def _removal(finding: Finding) -> Iterator[str]:
    """Where the ways of removal point in opposite directions, each beyond its interval."""
    known = {name: drop for name, drop in finding.drops.items() if drop.value is not None}
    lowering = {name: drop for name, drop in known.items() if drop.against(0) == "above"}
    raising = {name: drop for name, drop in known.items() if drop.against(0) == "below"}
    if not lowering or not raising:
        return
    ways = [
        CAUTIONS["removal, way"].format(
            way=listed([WAYS.get(name, name) for name in part]),
            does=does if len(part) > 1 else f"{does}s",
            fall=listed([number(abs(drop.value or 0.0), "") for drop in part.values()]),
            t=finding.target,
        )
        for does, part in (("lower", lowering), ("raise", raising))
    ]
    said = "; ".join(ways)
    kept = CAUTIONS["exact" if "exact" in known else "least"]
    yield CAUTIONS["removal"].format(ways=f"{said[:1].upper()}{said[1:]}", kept=kept)


def _untested(finding: Finding) -> Iterator[str]:
    """The directions that no image could show, in words."""
    if finding.verdict not in ("relies", "no_evidence", "inconclusive") or finding.basis != "insertion":
        return
    for name, does in (("theta", "raise"), ("theta_suppression", "lower")):
        measured = finding.measurements.get(name)
        if measured is not None and measured.value is None and not finding.scanned:
            reason = measured.reason or ""
            every = reason == f"no image of the class {finding.target} is free of the artefact"
            why = EVERY_CARRIES.format(t=finding.target) if every else f"{reason[:1].upper()}{reason[1:]}."
            others = finding.measurements.get("theta_suppression_others")
            is_told = does == "lower" and others is not None and others.value is not None
            told = UNTESTED_OWN if is_told else UNTESTED
            yield _fill(told, finding, does=does, why=why)


def say_images(effect: Measurement) -> str:
    """How many images, with the noun."""
    count, _, groups = say_n(effect).partition(" in ")
    told = f"{count} image{'' if effect.n == 1 else 's'}"
    return f"{told} in {groups}" if groups else told


_SAID_FIRST = (
    "Not settled whether the score of {t} relies on {a}: ",
    "{a} could not be tested on {t}: ",
    *(f"{why} " for why in SET_APART.values()),
)
"""What a reason begins with, and what the first sentence says already."""

_DIRECTIONS = ("theta", "theta_suppression", "theta_suppression_others")

_OTHER_SIDE = {"theta": "own_control_contrast", "theta_suppression": "suppression_others_control_contrast"}
"""What must bear out an effect: the same on the images of the other side."""

_FLIPS = {"promotes": "flip_rate", "suppresses": "suppression_flip_rate", "removal": "removal_flip_rate"}

_FRACTIONS = {0.1: "a tenth", 0.2: "a fifth", 0.25: "a quarter", 0.5: "half", 1.0: "the whole"}

_FEWEST = 12
"""Groups of images from which a harmless edit is worth a caution where nothing is settled."""

_SAID_OTHERWISE = ("broader", "simpler", "untested", "worst class", "stratum", *SET_APART)
"""Kinds of notes that the report tells in its own words."""
