"""What every measurement is called in a report, and what it means in a line; no logic is here."""

from __future__ import annotations

from typing import NamedTuple


class Label(NamedTuple):
    """A measurement in words."""

    name: str
    meaning: str = ""
    is_difference: bool = False
    """Whether it is a difference of shares, which is told in points."""


MEASUREMENTS: dict[str, dict[str, Label]] = {
    "Adding the artefact": {
        "theta": Label("effect beyond harmless edits (theta)", "the least of the three rows below; this decides"),
        "insertion_lift": Label("rise of the score", "how much adding the artefact raises the score of the target"),
        "control_contrast": Label("rise beyond harmless edits", "the rise minus that of the median harmless edit"),
        "class_contrast": Label("rise beyond other classes", "the rise minus that of other classes (90th percentile)"),
        "own_control_contrast": Label(
            "effect on the target’s own images, beyond harmless edits",
            "what is taken for evidence raises the score of these, too",
        ),
        "decisions_turned": Label(
            "decisions turned to the target, beyond harmless edits",
            "images of other classes that become the target, minus those that the median harmless edit turns",
            True,
        ),
        "decisions_turned_raw": Label(
            "decisions turned to the target, in all", "the same, with those that harmless edits turn, too", True
        ),
        "decisions_turned_together": Label(
            "decisions turned to any class that it raises", "the same for these classes together", True
        ),
        "decisions_changed": Label(
            "decisions changed either way", "on the target, beyond those that the median harmless edit changes", True
        ),
        "theta_elsewhere": Label(
            "effect at the neighbouring place that does most", "a place or a size a little off, measured again"
        ),
        "decisions_turned_elsewhere": Label(
            "decisions turned at that place", "to the target, beyond the median harmless edit", True
        ),
        "lead_over_strongest_control": Label(
            "rise beyond the strongest harmless edit", "the median harmless edit decides, not this"
        ),
        "strongest_by_chance": Label(
            "what chance reaches", "largest effect on any class of random harmless content: median and range of draws"
        ),
        "promoted_by_chance": Label(
            "draws of random harmless content that raise the target as far", "shown, never decisive"
        ),
        "theta_standardised": Label("effect in standard deviations of the target’s score", ""),
        "probability_change": Label("rise of the target’s probability", "on images of other classes"),
        "flip_rate": Label("other images that become the target", "of those not predicted as the target before"),
        "accuracy_without": Label("accuracy on other classes, without the artefact", ""),
        "accuracy_with": Label("accuracy on the same images with the artefact", ""),
        "accuracy_drop": Label("accuracy lost when it is added", "", True),
        "worst_group_accuracy": Label("accuracy of the class hit hardest", "the lowest, with or without the artefact"),
    },
    "Adding the artefact: does it lower the target?": {
        "theta_suppression": Label(
            "lowering effect beyond harmless edits (theta)", "the least of the three rows below; this decides, too"
        ),
        "suppression": Label("fall of the score", "how much adding it lowers the target on the target’s own images"),
        "suppression_control_contrast": Label(
            "fall beyond harmless edits", "the fall minus that of the median harmless edit"
        ),
        "suppression_class_contrast": Label("fall beyond other classes", "the fall minus that of the other classes"),
        "suppression_others_control_contrast": Label(
            "fall on other images, beyond harmless edits", "what only hides the object leaves those alone"
        ),
        "theta_suppression_others": Label(
            "lowering effect on images of other classes (theta)",
            "the least of its three leads; decides where too few images of the target are free of it",
        ),
        "suppression_others": Label(
            "fall of the score on images of other classes", "how much adding it lowers the target"
        ),
        "suppression_others_class_contrast": Label(
            "fall on images of other classes, beyond other scores", "that fall minus that of the other classes"
        ),
        "suppressed_by_chance": Label(
            "draws of random harmless content that lower the target as far", "shown, never decisive"
        ),
        "decisions_lost": Label(
            "decisions turned away from the target",
            "its own images that cease to be it, beyond those that the median harmless edit turns",
            True,
        ),
        "decisions_lost_raw": Label(
            "decisions turned away from the target, in all",
            "the same, with those that harmless edits turn, too",
            True,
        ),
        "suppression_flip_rate": Label("the target’s images that are no longer recognised", "of those that were"),
        "class_accuracy_without": Label("accuracy on the target, without the artefact", ""),
        "class_accuracy_with": Label("accuracy on the target, with the artefact", ""),
        "class_accuracy_drop": Label("accuracy on the target lost when it is added", "below zero it is gained", True),
    },
    "Removing the artefact": {
        "removal_drop": Label(
            "fall of the score when it is removed", "on images that had it, minus the same edit elsewhere in the image"
        ),
        "removal_fall": Label("fall of the score when it is removed, by itself", "without the same edit elsewhere"),
        "removal_contrast": Label(
            "fall beyond the same edit elsewhere", "that fall minus that of the same edit elsewhere in the image"
        ),
        "removal_rise": Label(
            "rise of the score when it is removed", "the mirror image: how much removing it raises the target"
        ),
        "decisions_undone": Label(
            "decisions undone when it is removed",
            "images that cease to be the target, beyond the same edit elsewhere",
            True,
        ),
        "decisions_undone_raw": Label("decisions undone, whatever the edit does elsewhere", "", True),
        "removal_flip_rate": Label(
            "images that stop being the target when it is removed", "of those predicted as it before"
        ),
        "carriers_accuracy_with": Label("accuracy on images that had it, as they came", ""),
        "carriers_accuracy_without": Label("accuracy on the same images without it", ""),
        "carriers_accuracy_drop": Label("accuracy lost when it is removed (images that had it)", "", True),
        "found": Label("images said to carry it in which it is found", ""),
        "found_elsewhere": Label("of these, images in which it lies elsewhere than named", ""),
        "shown_by_carriers": Label(
            "how much of it images show that are said to carry it", "where it is named: 1 is all of it, 0 nothing"
        ),
        "shown_by_others": Label("how much of it other images show", "at the same place, by nature or unsaid"),
        "change_by_inserting": Label(
            "how much inserting it changes other images", "over what it changes plain ones: little if they carry it"
        ),
        "shown_elsewhere": Label(
            "how much more of it these show a pixel or two beside", "where that is clearest; above 0 it is misplaced"
        ),
        "alone": Label(
            "effect on images without content", "the pixels of images that had it in random order, and the artefact"
        ),
    },
    "Checks of the run": {
        "pasted_object": Label(
            "positive check: a real image of the target pasted in", "its middle, into images of others; must raise it"
        ),
        "accuracy": Label("accuracy on all labelled images", "as they came; the model must know its task"),
        "accuracy_inserted": Label("accuracy with the artefact on all images", "a model may need it to be right"),
        "no_op_change": Label("repeat scoring, unchanged image", "must move no class"),
    },
}
"""What is measured of a finding: heading -> name -> what it is called."""

LABELS: dict[str, Label] = {name: label for names in MEASUREMENTS.values() for name, label in names.items()}

DROP = "fall when it is removed: {}"
"""The removal drop by one way of removal."""

WAYS = {
    "exact": "removing it exactly",
    "mean": "painting over it with the mean colour",
    "blur": "blurring it away",
    "inpaint": "filling it in from around",
}
"""Ways of removal."""

CONTROLS = {
    "flat patch": "a plain patch",
    "scrambled": "its scrambled pixels",
    "inverted tone": "its negative",
    "veil": "a faint veil",
}
"""Harmless edits, as they are called in a sentence."""

METHODS = {"grad_cam": "Grad-CAM", "smoothgrad": "SmoothGrad", "integrated_gradients": "Integrated Gradients"}

LOG_ODDS = (
    "Log-odds are the logarithm of p / (1 − p), where p is the probability of a class: 0 is 50\N{NARROW NO-BREAK SPACE}"
    "%, +3 is 95\N{NARROW NO-BREAK SPACE}%, −3 is 5\N{NARROW NO-BREAK SPACE}%."
)
"""Said once in a report."""
