"""Which methods of attribution deserve trust, in words first: what their tests say of this model."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any, Literal

from auditor.explain.attribution.record import MapName
from auditor.explain.trust.record import MapLikeness, MethodTrust, ReadingRecord, TrustCriterion, TrustRecord, TrustTest
from auditor.explain.trust.sanity import READINGS
from auditor.measure import pieces
from auditor.measure.pieces import Answer, Curves, Line, Picture, Piece, Row, Strip, Told
from auditor.measure.words import listed, number, say, signed
from auditor.report.methods import MARK, method_name, read_methods
from auditor.report.sections.methods_compared import which_method_shows_it
from auditor.report.sections.saturation import tell_saturation
from auditor.report.words import why_not
from auditor.run.result import AuditResult

_SHOWN_STAGES = 4
"""Maps of the cascade that are shown for each method, the trained model's apart."""


def tell_trust(result: AuditResult) -> list[Piece]:
    """What the section says, piece by piece."""
    record = result.trust
    if record is None:
        return [Answer(why_not(result, "trust"))]
    told: list[Piece] = [
        Answer(f"{_WHY_TESTED} {_describe_sample(record)}"),
        Told("Which methods deserve trust here?", _tell_tests(record, result.rule.level)),
        Told("Does the saliency map make sense?", list(_tell_cascades(record))),
        Told("Signed or absolute?", _tell_signs(record)),
        Told("Smoothed or not?", [*_tell_smoothing(record), *_tell_readings(record)]),
    ]
    if record.saturation is not None:
        is_strength = MapName("gradient") in read_methods(record).unsigned
        scores = tell_saturation(record.saturation, result.model.score, is_strength=is_strength)
        told.append(Told("Logit or probability?", scores))
    if result.findings:
        shortcut = [Answer(which_method_shows_it(finding, result)) for finding in result.findings]
        where = pieces.Remark("The table is under", section="methods_compared")
        told.append(Told("Which method shows the shortcut?", [pieces.Answers(shortcut), where]))
    known = [entry for entry in record.likenesses if entry.correlation.value is not None]
    return [*told, Told("Do the methods agree?", _tell_agreement(record, known))] if known else told


def _tell_tests(record: TrustRecord, level: float) -> list[Piece]:
    applied = {test.name for entry in record.methods for test in entry.tests if test.outcome != "not_applicable"}
    criteria = [criterion for criterion in record.criteria if criterion.name in applied]
    columns = [pieces.Column(each.name, _wanted(each), "decides" * each.decisive) for each in criteria]
    rows = [_test_row(entry, criteria) for entry in record.methods]
    caption = f"Every method and every test, with {_describe_levels(level)}"
    return [
        Answer(_say_who_deserves_trust(record)),
        pieces.Table("Tests of the methods", ["Method", *columns], rows, caption),
        *(pieces.Remark(text) for text in [*_say_what_did_not_decide(record), *_say_what_is_empty(record)]),
        pieces.Glossary({criterion.name: _explain_criterion(criterion) for criterion in criteria}),
    ]


def _tell_cascades(record: TrustRecord) -> Iterator[Piece]:
    """The plain saliency map in words, every cascade as a line and as a strip, and the ways down and up."""
    yield Answer(_say_whether_it_makes_sense(record))
    lines, strips = _cascade_lines(record), _cascade_strips(record)
    draws = "one draw of weights" if record.draws == 1 else f"the mean of {record.draws} draws of weights"
    if lines:
        yield Curves(
            "What is left of a map as the model forgets.",
            lines,
            "share of the stages randomised, from the head down",
            "Spearman with\nthe trained model",
            f"Weights are permuted from the head down ({draws} at each stage); each line is a method, in the reading, "
            "signed or absolute, that changes less. A map that shows the model falls at once; one that stays above the "
            "dashed line draws the picture instead.",
            bar=next(criterion.passes for criterion in record.criteria if criterion.name == "randomised weights"),
            has_dots=True,
            name="cascade",
        )
    yield pieces.Abreast([*strips])
    if strips:
        yield pieces.Remark(
            f"Maps of {record.pictured}; under each, the mean Spearman correlation of that stage’s signed maps "
            "with the trained model’s over all images."
        )
    rises = "The sooner it rises, the better. Grey: a random order and an edge filter’s."
    falls = _way(record, "deletion", "deleted", "The sooner the score falls, the better the order.")
    yield pieces.Abreast([falls, _way(record, "insertion", "inserted", rises)])


def _tell_signs(record: TrustRecord) -> list[Piece]:
    told = [_say_signed_or_absolute(entry) for entry in record.methods if "signed" in entry.by_reading]
    return [pieces.Answers(told) if told else Answer("No method here has maps with signs.")]


def _tell_smoothing(record: TrustRecord) -> list[Piece]:
    told = [_say_smoothed_or_not(entry) for entry in record.methods if "smoothed" in entry.by_reading]
    for_the_eye = "Smoothing is for the eye. Every score in this report is taken on maps as they are."
    if told:
        return [pieces.Answers(told), Answer(for_the_eye)]
    return [Answer("Not tested: the gradient and SmoothGrad are switched off.")]


def _tell_readings(record: TrustRecord) -> list[Piece]:
    named = [(_name(entry), reading) for entry in record.methods for reading in entry.readings]
    rows = [
        Row(f"{name}, {part.reading}", [*(part.gains[way] for way in _WAYS), part.over_edges, part.likeness, part.lift])
        for name, part in [*named, *(("controls", control) for control in record.controls)]
    ]
    gains = ["deletion", "insertion", "both", "over edges"]
    columns = ["Method, reading", *gains, "Spearman with absolute", "lift of the region"]
    caption = "Ways to read a map, in mean log-odds over the way"
    return [pieces.Table("Ways to read a map", [*columns], rows, caption), pieces.Glossary(dict(READINGS.items()))]


def _describe_sample(record: TrustRecord) -> str:
    few = [entry for entry in record.methods if entry.is_costly and entry.images]
    none = [_name(entry) for entry in record.methods if not entry.images]
    costly = ""
    if few:
        images = f"only {few[0].images} images and " if few[0].images < record.images else ""
        names = listed([_name(entry) for entry in few])
        costly = f" The tests of {names} took {images}fewer stages, because these methods are slow."
    costly += f" {listed(none)} {'were' if len(none) > 1 else 'was'} not tested, for a map takes long." if none else ""
    return (
        f"Tested on {record.images} images, drawn at random with a fixed seed. {record.with_artefact} carry the "
        f"artefact and are explained for the suspected class; {record.images - record.with_artefact} are untouched and "
        "explained for the predicted class. Cells of "
        f"{record.cell} × {record.cell} pixels are deleted and inserted, and filled by the mean image and by a blur; "
        f"noise has a standard deviation of {number(record.noise, 'share')} of the pixels' range.{costly}"
    )


def _say_who_deserves_trust(record: TrustRecord) -> str:
    passed = [entry for entry in record.methods if entry.status == "passed"]
    count = f"of {len(record.methods)} kinds of maps passed"
    those = f"what decides: {listed([_name(entry) for entry in passed])}" if passed else "all that decides"
    parts = [f"{len(passed) or 'None'} {count} {those}."]
    for status, words in (("failed", _ARE_MARKED), ("open", "Left open, neither passed nor failed")):
        others = [f"{_name(entry)}, {_why(entry)}" for entry in record.methods if entry.status == status]
        parts += [f"{words}: {'; '.join(others)}."] if others else []
    if record.why_not_randomised:
        parts.append(f"No weights could be drawn anew ({record.why_not_randomised}), so no method can pass outright.")
    return " ".join(parts)


def _name(entry: MethodTrust) -> str:
    """A method as one says it, marked where it failed."""
    name = method_name(entry.map)
    return f"{name} [{MARK}]" if entry.status == "failed" else name


def _why(entry: MethodTrust) -> str:
    """The decisive test that a method failed or left open, with its figure."""
    wanted = {"failed": ("failed",), "open": ("open", "not_applicable")}[entry.status]
    return ", ".join(
        f"{test.name}{f' ({test.reading} map)' * bool(test.reading)} {_figure(test)}"
        for test in entry.tests
        if test.outcome in wanted and test.name in _DECISIVE
    )


def _figure(test: TrustTest) -> str:
    return say(test.measured, "full") if test.measured else f"{test.reason}"


def _say_whether_it_makes_sense(record: TrustRecord) -> str:
    """On the plain saliency map, or the first method where that was not tested."""
    entry = next((entry for entry in record.methods if entry.map == MapName("gradient")), record.methods[0])
    randomised, order, edges = (entry.test(name) for name in ("randomised weights", "order", "edge filter"))
    which = f"of the {randomised.reading} map " if randomised.reading else ""
    told = [
        {"passed": "Yes, here it does.", "failed": "No, not here.", "open": "That is open."}[entry.status],
        f"This is about the map of the {_name(entry)}.",
        f"{_MODEL_WORDS[randomised.outcome]}: with weights drawn anew the order {which}correlates by "
        f"{_figure(randomised)} with what it was."
        if randomised.measured is not None
        else f"Whether it follows the model could not be tested: {randomised.reason}.",
    ]
    if order.measured is not None:
        words = _ORDER_WORDS[order.outcome]
        told.append(
            f"The pixels that it ranks first move the score {words} than random ones, by {_figure(order)} over the way."
        )
    if edges.measured is not None:
        told.append(f"It is {_EDGE_WORDS[edges.outcome]} than an edge filter: {_figure(edges)}.")
    return " ".join(told)


def _say_signed_or_absolute(entry: MethodTrust) -> Answer:
    """Which of the two orders finds sooner what moves the score."""
    signs, strengths = (entry.by_reading[name] for name in ("signed", "absolute"))
    gain = signs.over_absolute
    assert gain is not None
    head, told = {
        "above": ("signed", "Its signs tell what speaks for the target: the signed order is better by"),
        "below": ("absolute", "Its signs do not tell what speaks for the target: the absolute order is better by"),
        "open": ("open", "The signed order is not clearly better or worse:"),
    }[gain.against(0)]
    told += f" {say(gain.mapped(operator.neg) if head == 'absolute' else gain, 'full')}. Over a random order "
    told += " and ".join(f"the {part.reading} one gains {_gain(part, 'together')}" for part in (signs, strengths))
    stays = ""
    if entry.cascade:
        last = entry.cascade[-1]
        stays = (
            f" On a model that knows nothing the absolute map still correlates by {signed(last.absolute.value)} with "
            f"the trained model's, the signed one by {signed(last.signed.value)}."
        )
    return Answer(f"{told}.{stays}", f"{_name(entry)}: {head}.")


def _say_smoothed_or_not(entry: MethodTrust) -> Answer:
    """Whether smoothing helps to find what moves the score, and what it changes."""
    raw, smoothed = (entry.by_reading[name] for name in ("absolute", "smoothed"))
    gain, likeness = smoothed.over_absolute, smoothed.likeness
    assert gain is not None
    assert likeness is not None
    head = {"above": "smoothed", "below": "raw", "open": "no clear difference"}[gain.against(0)]
    lifts = ""
    if raw.lift.value is not None and smoothed.lift.value is not None:
        before, after = (say(part.lift, "bare") for part in (raw, smoothed))
        lifts = f"; the lift of the artefact's region goes from {before} to {after}"
    told = (
        f"Smoothing changes what the order gains by {say(gain, 'full')}; deletion alone goes from "
        f"{_gain(raw, 'deletion')} to {_gain(smoothed, 'deletion')}{lifts}. "
        f"It is another map, though: its ranking of the pixels correlates by {say(likeness, 'full')} with the raw one."
    )
    return Answer(told, f"{_name(entry)}: {head}.")


def _gain(part: ReadingRecord, way: str) -> str:
    return say(part.gains[way], "full")


def _describe_levels(level: float) -> str:
    usual, shared = (f"{100 * part:.4g} %" for part in (level, (1 + level) / 2))
    return f"{usual} intervals ({shared} where two readings are tested)"


def _wanted(criterion: TrustCriterion) -> str:
    return f"wanted {'under' if criterion.better == 'low' else 'over'} {criterion.passes:g}"


def _explain_criterion(criterion: TrustCriterion) -> str:
    passed, failed = ("under", "over") if criterion.better == "low" else ("over", "under")
    limit = "it" if criterion.passes == criterion.fails else f"{criterion.fails:g}"
    question = criterion.question[:1].upper() + criterion.question[1:]
    told = f"{question} {criterion.figure}: passed where the whole interval lies {passed} {criterion.passes:g}"
    return f"{told}, else failed where it lies {failed} {limit}."


def _test_row(entry: MethodTrust, criteria: list[TrustCriterion]) -> Row:
    cells = [
        None if test.measured is None else pieces.Judged(test.measured, test.outcome, test.reading or "")
        for test in (entry.test(criterion.name) for criterion in criteria)
    ]
    best = f"best read {entry.best_reading}, " if entry.best_reading else ""
    return Row(method_name(entry.map), [*cells], f"{best}n = {entry.images}", entry.status, str(entry.map))


def _say_what_did_not_decide(record: TrustRecord) -> Iterator[str]:
    """Which tests were not applicable to which methods, or left open whatever their figure, and why."""
    for outcome, words in (("not_applicable", "not applicable to {}, for {}"), ("open", "left open for {}, since {}")):
        found: dict[tuple[str, str], list[str]] = {}
        for entry in record.methods:
            for test in entry.tests:
                if test.outcome == outcome and test.reason:
                    found.setdefault((test.name, test.reason), []).append(_name(entry))
        yield from (f"{name}: {words.format(listed(methods), why)}." for (name, why), methods in found.items())


def _say_what_is_empty(record: TrustRecord) -> list[str]:
    """What share of the maps of random models has no order."""
    names = read_methods(record)
    worst = {entry.map: max((stage.empty for stage in entry.cascade), default=0.0) for entry in record.methods}
    return [
        f"{names.name(method)}: up to {number(share, 'share')} of its maps at one stage of random weights are the same "
        "everywhere or not finite; they count neither as changed nor as unchanged."
        for method, share in worst.items()
        if share > 0
    ]


def _cascade_lines(record: TrustRecord) -> list[Line]:
    lines = []
    for entry in record.methods:
        reading = entry.test("randomised weights").reading or "absolute"
        stages = [stage.signed if reading == "signed" else stage.absolute for stage in entry.cascade]
        if stages:
            later = [(at / len(stages), stage) for at, stage in enumerate(stages, 1)]
            lines.append(Line(f"{read_methods(record).short(entry.map)}, {reading}", [(0.0, 1.0), *later]))
    return lines


def _way(record: TrustRecord, way: Literal["deletion", "insertion"], done: str, text: str) -> Curves:
    """The mean score as cells are deleted, or inserted, in the order of each method and of the controls."""
    names = read_methods(record)
    best = {
        names.short(entry.map): entry.by_reading.get(entry.best_reading or "absolute")
        for entry in record.methods
        if entry.images == record.images
    }
    orders = best | {control.reading: control for control in record.controls}
    lines = [
        Line(name, list(zip(record.fractions, getattr(part, way), strict=True)), is_reference=name not in best)
        for name, part in orders.items()
        if part is not None
    ]
    axes = (f"share of the cells {done}", "score of the target,\nlog-odds")
    return Curves(f"{way.capitalize()}.", lines, *axes, text, name=way)


def _cascade_strips(record: TrustRecord) -> list[Strip]:
    """For each method the map of one image, of the trained model and as ever more of it is randomised."""
    strips = []
    for entry in record.methods:
        last = len(entry.cascade) - 1
        if entry.trained_map is None or last < 0:
            continue
        name, is_strength = _name(entry), entry.map in read_methods(record).unsigned
        looks: dict[str, Any] = {"under": record.picture, "is_strength": is_strength, "place": record.place}
        shown = [Picture(entry.trained_map, "trained", alt=f"{name}, trained", **looks)]
        for at in sorted({round(at * last / (_SHOWN_STAGES - 1)) for at in range(_SHOWN_STAGES)}):
            stage = entry.cascade[at]
            if stage.map is not None:
                words = "all random" if at == last else f"random to {stage.lowest_layer}"
                kept = signed(stage.signed.value)
                alt = f"{name}, {words}: correlates by {kept}"
                shown.append(Picture(stage.map, words, kept, alt=alt, **looks))
        only = ", strength only" if is_strength else ""
        strips.append(Strip(f"{method_name(entry.map)}{only}", shown, str(entry.map)))
    return strips


def _tell_agreement(record: TrustRecord, known: list[MapLikeness]) -> list[Piece]:
    """The closest and the farthest pair in words, and a table of every two methods."""
    ordered = sorted(known, key=lambda entry: entry.correlation.value or 0.0)
    called = read_methods(record)
    farthest, closest = (
        f"{called.name(entry.first)} and {called.name(entry.second)}, {say(entry.correlation, 'full')}"
        for entry in (ordered[0], ordered[-1])
    )
    agree = sum((entry.correlation.value or 0.0) >= 0.5 for entry in known)
    told = (
        f"{agree} of {len(known)} pairs correlate by 0.5 or more (Spearman of absolute maps, median over "
        f"images). Closest are {closest}; farthest apart {farthest}. Methods that disagree cannot all show "
        "what the model looks at."
    )
    names = [entry.map for entry in record.methods]
    pairs = {frozenset((entry.first, entry.second)): entry.correlation for entry in record.likenesses}
    rows = [
        Row(method_name(first), [pairs.get(frozenset((first, second))) for second in names], method=str(first))
        for first in names
    ]
    caption = "Spearman correlation of absolute maps, median over images"
    heads = [called.short(name) for name in names]
    return [Answer(told), pieces.Matrix("Agreement between methods", heads, rows, caption)]


_WHY_TESTED = (
    "A map is worth as much as the method that drew it. So every method is put to tests that one which shows what the "
    "model does must pass."
)
_DECISIVE = ("randomised weights", "order")
_ARE_MARKED = "Failed, and marked wherever their maps appear"
_WAYS = ("deletion", "insertion", "together")
_MODEL_WORDS = {
    "passed": "It follows the model",
    "failed": "It does not follow the model",
    "open": "Whether it follows the model is open",
}
_ORDER_WORDS = {"passed": "sooner", "failed": "no sooner", "open": "not clearly sooner"}
_EDGE_WORDS = {"passed": "better", "failed": "no better", "open": "not clearly better or worse"}
