"""What a report says of a finding, sentence by sentence, so that it can be read through.

`telling` chooses and fills in: `{a}` is the artefact, `{t}` the class, `{n}` how many images, `{share}` a share of them
in words, `{effect}` the effect.
"""

from __future__ import annotations


def fill(words: str, name: str, *, is_suspect: bool, **more: object) -> str:
    """Words with the name of an artefact filled in; what nobody named has a number for its name, and no article."""
    if is_suspect:
        number, _, what = name.partition(": ")
        name = f"{number} ({what})" if what else number
        words = words.replace("the {a}", "{a}").replace("this {a}", "{a}").replace("The {a}", "{A}")
    return words.format(a=name, A=f"{name[:1].upper()}{name[1:]}", **more)


LEADS = {
    "promotes": "The model uses the {a}. Added to {n} images of other classes, it made {share} a {t}.",
    "promotes, score only": "The model uses the {a}, though it moves scores more than decisions: added to {n} images "
    "of other classes, it made {share} a {t}.",
    "promotes, unknown": "The model uses the {a}. Added to {n} images of other classes, it raises the score of {t} "
    "by {effect} log-odds more than harmless edits do.",
    "suppresses": "The model takes the {a} as a sign against {t}. Added to {n} images of {t}, it made the model miss "
    "{share} of them.",
    "suppresses, unknown": "The model takes the {a} as a sign against {t}. Added to {n} images of {t}, it lowers "
    "their score by {effect} log-odds more than harmless edits do.",
    "removal": "The model uses the {a}. Once it was taken out of {n} images of {t}, {share} were no longer called {t}.",
    "removal, unknown": "The model uses the {a}. Taking it out of {n} images lowers the score of {t} by {effect} "
    "log-odds more than the same edit elsewhere.",
    "no_evidence": "No evidence that the model uses the {a} for {t}. Its effect, if there is one, is below {margin} "
    "log-odds.",
    "no_evidence, scan": "No evidence that the model uses the {a} for any of {classes} classes. Its effect, if there "
    "is one, is below {margin} log-odds.",
    "unconfirmed": "Not confirmed, and not cleared. On images that did not propose it, the {a} moves the score of {t} "
    "by less than {margin} log-odds, if at all.",
    "few": "Not settled: too few images to say whether the model uses the {a} for {t}. There are {groups} "
    "independent groups of them; a verdict needs {needed}.",
    "spans": "Not settled whether the model uses the {a} for {t}. The effect may lie on either side of the bar.",
    "conflict": "Not settled whether the model uses the {a} for {t}. It moves images of {t} and other images in "
    "ways that do not fit together.",
    "open": "Not settled whether the model uses the {a} for {t}.",
    "open, scan": "Not settled whether the model uses the {a}. {rest} of {classes} classes show no reliance; {open}.",
    "part of the object, perhaps": "The model uses the {a} for {t}. Whether that is a part of the object, and used "
    "rightly, is for a person to say.",
    "shown by hardly any image": "The model answers to the {a} for {t}, but hardly any image of {t} here shows it.",
    "not_applicable": "Whether the model uses the {a} could not be tested.",
    "error": "The test of the {a} failed, so nothing can be said of it.",
}
"""The first sentence of a finding: what somebody who decides can repeat."""

NUMBERS = {
    "effect": "Effect beyond harmless edits",
    "removal": "Fall of the score when it is removed, beyond the same edit elsewhere",
    "bar": "reliance starts at {bar} ({of})",
    "bar of spread": "{share} of the score’s spread",
    "bar of floor": "the configured minimum",
    "bar of fills": "twice {of}, because it could only be painted over",
    "bar of decisions": "half of {of}, because it clearly turns decisions",
    "scale": "a step of that size takes a probability from {low} to {high}",
    "corrected": "the lower end allows for everything that was tried",
}

ROWS = {
    "theta": "Raising {t} (on other images)",
    "theta_suppression": "Lowering {t} (on its own images)",
    "theta_suppression_others": "Lowering {t} (on other images)",
    "own_control_contrast": "Raising {t} on its own images",
    "suppression_others_control_contrast": "Lowering {t} on other images",
}
"""Measurement -> the direction in which it is told: those that conflict are rows of their own."""

SEVERITIES = {
    "high": "high",
    "medium": "medium",
    "low": "low",
    "score only": "score only",
    "relies, unrated": "not rated",
    "no_evidence": "none found",
    "unconfirmed": "not rated (not confirmed)",
    "inconclusive": "not rated (inconclusive)",
    "not_applicable": "not rated (not tested)",
    "error": "not rated (failed)",
}

CAUTIONS = {
    "broader": "{control} in the same place does {share} as much. The model may use something simpler there, not only "
    "this {a}.",
    "simpler": "adding the {a} moves the score by {lift} log-odds, and a harmless edit in its place does much the same "
    "({control}: {moved}). The model may rely on something simpler there: test that as an artefact of its own.",
    "removal": "the ways of removal disagree. {ways}. A model that reacts to the paint itself can mislead; {kept}.",
    "removal, way": "{way} {does} {t} by {fall}",
    "exact": "we use the exact removal",
    "least": "none of them decides alone",
    "turned": "in these {n} images {count} became {t}.",
}
"""What speaks most against a finding."""

KEPT_NOTES = ("both directions", "unchecked", "not found", "elsewhere", "not shown", "partly shown", "not said")
"""Kinds of notes that are cautions."""

ADVICE = {
    "relies": "Do not ship this model. Train without the {a}, or with it in every class alike, and audit again.",
    "relies, broader": "Do not ship this model. Find out what it uses in that place: audit {control} there as an "
    "artefact of its own. Then train without either of them, and audit again.",
    "relies, score only": "Few decisions change so far. Watch borderline cases, and train without the {a} before the "
    "next release.",
    "no_evidence": "You may sign off for this {a} only. Not covered: other artefacts, effects below {margin} log-odds, "
    "other kinds of images.",
    "unconfirmed": "Nothing follows from this: nobody named the {a}, and what the audit did not think of, or drew "
    "otherwise than it is, was not tested. Name what you suspect under `[[artefacts]]`, and audit that.",
    "few": "Audit at least {needed} independent images (this run has {groups}); an all-clear needs {clear}.",
    "few, suspect": "Audit at least {needed} independent images (this run has {groups}).",
    "spans": "Audit about {needed} images (this run has {n}), if the effect stays what it is.",
    "spans, many": "The effect is close to the bar: more images alone will hardly settle it. Decide whether an "
    "effect of that size matters to you, and set `verdict.margin_sd` by that.",
    "conflict": "The {a} may hide a part of the object, or look like one. Audit it weaker, smaller or elsewhere, and "
    "look at the images of {t} below before you decide.",
    "part of the object, perhaps": "Look at the {a} under Suspects that nobody named. If it is no part of {t}, do "
    "not ship this model: name it under `[[artefacts]]`, and audit again.",
    "shown by hardly any image": "Look at the {a} under Suspects that nobody named. If images that the model will meet "
    "may show it, name it under `[[artefacts]]`, and audit it on such images.",
    "place": "Check the position and the appearance of the {a} in the configuration: it may not be named where it is.",
    "present": "Say in `present` which images carry the {a}: adding it hardly changes them, so they seem to carry it "
    "already. Then audit again.",
    "labels": "Check the labels, the order of the classes and the preprocessing: the model is wrong on most images.",
    "turns": "It changes decisions all the same. Audit {control} as an artefact of its own before you sign off.",
    "inconclusive": "Do not sign off yet. Read below what keeps it open, mend that, and audit again.",
    "not_applicable": "Change the configuration so that some images can be tested.",
    "error": "Mend the cause and audit again.",
}
"""What to do in this case."""

OF_SUSPECTS = {"few": "few, suspect", "place": "inconclusive", "present": "inconclusive"}
"""What to do instead where nobody named it: no configuration says where it is."""

SUMMARY = {
    "relies": "{count} of {all} findings relied on",
    "error": "{count} failed",
    "inconclusive": "{count} open",
    "unconfirmed": "{count} not confirmed",
    "no_evidence": "{count} no evidence",
    "not_applicable": "{count} not tested",
}
"""The counts above several findings, gravest first."""

TURNED_MOST = "Beyond harmless edits it turns most decisions to {t} in {parts}."

UNTESTED = "Not tested: whether the {a} can also {does} the score of {t}. {why}"
UNTESTED_OWN = "Whether the {a} also lowers {t} was tested on images of other classes alone. {why}"
EVERY_CARRIES = "Every image of {t} carries it."
"""Why a direction could not be tested."""

WRONG = {
    "inserted": "Because of the {a}: the model was right until it was added.",
    "artefact": "Because of the {a}: with it taken out the model is right; the same edit elsewhere does not do that.",
    "artefact, nowhere else": "Probably because of the {a}: with it taken out the model is right. The same edit fits "
    "nowhere else, so there is nothing to compare that with.",
    "pixels": "Probably because of what {methods} {points} at: without these pixels the model is right, and without as "
    "many elsewhere it is not.",
    "change": "The smallest edit that corrects it can be seen ({share} of the pixels), so it may show what the model "
    "missed of {t}.",
    "none": "These do not say: {why}.",
    "no pixels": "no pixels were taken out of it",
    "failed": "only {methods} {points} at pixels that correct it, too little to build on",
    "untested": "{methods} {points} at pixels that correct it, and whether their maps can be trusted was not settled",
    "anywhere": "taking out as many pixels elsewhere corrects it too, so their place says nothing",
    "kept": "taking out what the maps point at does not correct it ({count} tried)",
    "not asked": "no smallest edit was searched for",
    "no change": "no small edit was found that corrects it",
    "invisible": "the smallest edit that corrects it is one that nobody sees",
}
"""Why one error was made: the answers first, then what does not tell it."""
