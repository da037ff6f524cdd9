"""How each number of a report is reckoned, and where that comes from; no logic is here but to find an entry.

s is the log-odds of the target, s_k that of another class, x an image, x⁺ the same with the artefact, x⁻ without it.
`docs/method.md` and `docs/explanations.md` have the same in full.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Formula(NamedTuple):
    """How a number is reckoned."""

    text: str
    source: str = "docs/method.md"
    """Paper and year, or the document that defines it."""


def formula_key(pointer: str, formulas: Mapping[str, Formula] | None = None) -> str:
    """Which entry tells how the number at a place in `result.json` is reckoned; empty where none does.

    The last part of the place decides, with the part before it where both stand in the table; else the parts before.
    """
    known = FORMULAS if formulas is None else formulas
    parts = [part for part in pointer.replace("~1", "/").split("/") if part and not part.isdigit()]
    for end in range(len(parts), 0, -1):
        for key in ("/".join(parts[max(0, end - 2) : end]), parts[end - 1]):
            if key in known:
                return key
    return ""


_WILSON = "interval: Wilson (1927), design effect: Kish (1965)"
_STUDENT = "interval: Student over groups of images, skewed ones by Willink (2005)"
_CHANGE = "interval of a change of shares: adjusted Wald, design effect: Kish (1965)"
_EXPLAINED = "docs/explanations.md"
_ADEBAYO = "Adebayo et al., Sanity checks for saliency maps (2018)"
_SAMEK = "Samek et al. (2017); Petsiuk, Das, Saenko, RISE (2018)"
_ARRAS = "Arras, Osman, Samek, CLEVR-XAI (2022)"
_EAD = "Chen et al., EAD: elastic-net attacks (2018)"
_OLAH = "Olah, Mordvintsev, Schubert, Feature visualization (2017)"

FORMULAS: dict[str, Formula] = {
    # adding the artefact
    "theta": Formula("min(rise of the score, rise beyond harmless edits, rise beyond other classes)"),
    "insertion_lift": Formula("mean of s(x⁺) − s(x) over images of other classes without it", _STUDENT),
    "control_contrast": Formula("rise of the score − median over harmless edits of their rise", _STUDENT),
    "class_contrast": Formula("rise of the score − 90th percentile over other classes k of mean s_k(x⁺) − s_k(x)"),
    "own_control_contrast": Formula("rise − median rise of harmless edits, on images of the target itself", _STUDENT),
    "decisions_turned": Formula(
        "(become the target − cease to be it) ÷ images, − the same of the median edit", _CHANGE
    ),
    "decisions_turned_raw": Formula("(images that become the target − images that cease to be it) ÷ images", _CHANGE),
    "decisions_turned_together": Formula("as decisions turned, of all classes that it raises together", _CHANGE),
    "decisions_changed": Formula("images whose decision on the target changes ÷ images, − the median edit’s", _CHANGE),
    "decisions_turned_elsewhere": Formula("decisions turned, at the neighbouring place that does most", _CHANGE),
    "theta_elsewhere": Formula("min(theta, its confirming lead) at the neighbouring place that does most"),
    "lead_over_strongest_control": Formula("rise of the score − the largest rise of a harmless edit", _STUDENT),
    "strongest_by_chance": Formula("largest theta of any class, median over draws of random harmless content"),
    "promoted_by_chance": Formula("draws that reach the rise and the lead of the artefact ÷ draws", _WILSON),
    "suppressed_by_chance": Formula("draws that reach the fall and the lead of the artefact ÷ draws", _WILSON),
    "theta_standardised": Formula("theta ÷ standard deviation of s over images as they came"),
    "probability_change": Formula("mean of p(x⁺) − p(x), p the probability of the target", _STUDENT),
    "flip_rate": Formula("images that become the target ÷ images not predicted as it before", _WILSON),
    "accuracy_drop": Formula("accuracy without it − accuracy with it, on the same images", _CHANGE),
    "worst_group_accuracy": Formula(
        "least accuracy of any class, with or without it", "Sagawa et al. (2020); " + _WILSON
    ),
    # lowering
    "theta_suppression": Formula("min(fall of the score, fall beyond harmless edits, fall beyond other classes)"),
    "theta_suppression_others": Formula("min of the three falls, on images of other classes"),
    "suppression": Formula("mean of s(x) − s(x⁺) over images of the target without it", _STUDENT),
    "suppression_others": Formula("mean of s(x) − s(x⁺) over images of other classes", _STUDENT),
    "suppression_control_contrast": Formula("fall of the score − median fall of harmless edits", _STUDENT),
    "suppression_class_contrast": Formula("fall of the score − 90th percentile of the falls of other classes"),
    "suppression_others_control_contrast": Formula("fall − median fall of harmless edits, on other images", _STUDENT),
    "suppression_others_class_contrast": Formula("fall − that of other classes, on images of other classes"),
    "decisions_lost": Formula("the target’s images that cease to be it ÷ images, − the median edit’s", _CHANGE),
    "decisions_lost_raw": Formula("the target’s images that cease to be it ÷ images", _CHANGE),
    "suppression_flip_rate": Formula("right predictions of the target that are lost ÷ right before", _WILSON),
    "class_accuracy_drop": Formula("accuracy on the target without it − with it", _CHANGE),
    # removing
    "removal_drop": Formula(
        "min(fall, fall − fall after the same edit elsewhere in the image), removed exactly, else the least of fills"
    ),
    "drops": Formula("min(fall, fall − fall after the same edit elsewhere in the image), by this way of removal"),
    "removal_fall": Formula("mean of s(x) − s(x⁻) over images that carry it", _STUDENT),
    "removal_contrast": Formula("mean of (s(x) − s(x⁻)) − (s(x) − s(x edited elsewhere))", _STUDENT),
    "removal_rise": Formula("min(rise, rise − rise after the same edit elsewhere)", _STUDENT),
    "decisions_undone": Formula("carriers that cease to be the target ÷ carriers, − the same edit elsewhere", _CHANGE),
    "decisions_undone_raw": Formula("carriers that cease to be the target ÷ carriers", _CHANGE),
    "removal_flip_rate": Formula("carriers that cease to be the target ÷ carriers predicted as it", _WILSON),
    "carriers_accuracy_drop": Formula("accuracy of carriers as they came − without it", _CHANGE),
    "found": Formula("carriers in which it is found ÷ carriers", _WILSON),
    "found_elsewhere": Formula("carriers in which it lies elsewhere than named ÷ those in which it is found", _WILSON),
    "shown_by_carriers": Formula(
        "how much of the artefact carriers show where it is named, − what others show there", "Cochran (1977)"
    ),
    "shown_by_others": Formula("how much of it images that are not said to carry it show there", "Cochran (1977)"),
    "shown_elsewhere": Formula("how much more of it carriers show a pixel or two beside", "Cochran (1977)"),
    "change_by_inserting": Formula("mean |change by inserting it| ÷ the same on images of one colour"),
    "strength": Formula("mean |change of a pixel|, and 1 − SSIM, over images", "Wang et al. (2004)"),
    "control_strengths": Formula("mean |change of a pixel|, and 1 − SSIM, over images", "Wang et al. (2004)"),
    "alone": Formula("mean of s(artefact on shuffled pixels) − s(shuffled pixels)", _STUDENT),
    # checks and parts
    "pasted_object": Formula("mean of s(x with the middle of a real image of the target) − s(x)", _STUDENT),
    "accuracy": Formula("right predictions ÷ labelled images", _WILSON),
    **dict.fromkeys(
        (f"{of}accuracy_{way}" for of in ("", "class_", "carriers_") for way in ("with", "without")),
        Formula("right predictions ÷ labelled images, these with and without it", _WILSON),
    ),
    "accuracy_inserted": Formula("right predictions with the artefact ÷ labelled images", _WILSON),
    "no_op_change": Formula("mean over images of the largest |change| of any score when they are scored again"),
    "controls": Formula("mean of s(x edited) − s(x) over images of other classes", _STUDENT),
    "variants": Formula("mean of s(x with the variant) − s(x) over at most 48 images", _STUDENT),
    "dose_response": Formula("mean of s(x⁺ at this opacity) − s(x) over at most 48 images", _STUDENT),
    "strata": Formula("as over all images, in this part of them", _CHANGE),
    "carriers": Formula("right predictions ÷ labelled images that carry it, and that do not", _WILSON),
    # maps
    "relevance mass": Formula("Σ |map| inside the region ÷ Σ |map|", _ARRAS),
    "relevance rank": Formula("share of the region among its |M| strongest pixels", _ARRAS),
    "lift": Formula("relevance mass ÷ the region’s share of the frame", _EXPLAINED),
    "excess lift": Formula("lift − lift of an edge filter on the same image", _EXPLAINED),
    "pixel AUC": Formula("P(a pixel of the region is stronger than one outside)", "Mann and Whitney (1947)"),
    "placement percentile": Formula("look-alike places of the same shape that hold less ÷ those places", _EXPLAINED),
    "diagnostics": Formula(
        "the method’s own check of its maps, median over images (a share where it is yes or no)", _EXPLAINED
    ),
    "agreement/correlation": Formula(
        "Pearson correlation of our map and tf-explain’s, mean over images", "Meudec (2021)"
    ),
    # trust
    "tests": Formula("the figure that the head of its column names, held against the limit there", _ADEBAYO),
    "gains": Formula("mean log-odds over the way, in the order of the map, against a random order", _SAMEK),
    "over_edges": Formula("deletion and insertion together, against an edge filter’s order", _SAMEK),
    "over_absolute": Formula("deletion and insertion together, against the absolute map’s order", _SAMEK),
    "readings/likeness": Formula("Spearman correlation with the absolute map, mean over images", _EXPLAINED),
    "likenesses/correlation": Formula("Spearman correlation of two absolute maps, median over images", _EXPLAINED),
    "cascade": Formula("Spearman correlation with the map of the trained model", _ADEBAYO),
    # ideal images
    "matches": Formula("max over shifts of the normalised cross-correlation with the artefact, and leads", _EXPLAINED),
    "predicted_as_asked": Formula("optima that are predicted as their class ÷ optima", _WILSON),
    "restarts_alike": Formula("Pearson correlation of the pixels of two restarts, mean over classes", _OLAH),
    "total_variation": Formula(
        "mean |difference of neighbouring pixels|, over that of the median real image", _EXPLAINED
    ),
    "high_frequency": Formula("variance above half of the finest frequency, over that of real images", _EXPLAINED),
    "looks": Formula("the same of real images; of a probability the mean over the classes", _EXPLAINED),
    "comparisons": Formula("the score of one optimum of each class, made in either way, mean", _OLAH),
    # errors
    "mended": Formula("errors right after most fills ÷ errors, the strongest pixels removed", "Rong et al. (2022)"),
    "by_fill": Formula("errors right after this fill ÷ errors, the strongest pixels removed", "Rong et al. (2022)"),
    "elsewhere": Formula("errors right after most fills ÷ errors, the same mask moved elsewhere", _WILSON),
    "over_elsewhere": Formula("corrected − corrected by the same mask elsewhere, image by image", _CHANGE),
    "mending/over_edges": Formula("corrected − corrected by the strongest edges, image by image", _CHANGE),
    "over_predicted": Formula("corrected − corrected by the map of the predicted class alone", _CHANGE),
    "fall": Formula("mean fall of the margin once the strongest pixels are removed", _STUDENT),
    "margin": Formula("mean of s_predicted − s_true", _STUDENT),
    "spearman": Formula("Spearman correlation of both absolute maps, median over errors", _EXPLAINED),
    "ssim": Formula("structural similarity of both signed maps on one scale, median", "Wang et al. (2004)"),
    "overlap": Formula("strongest pixels in both ÷ in either, median over errors", "Jaccard (1901)"),
    "errors/regions": Formula("Σ |map| inside the region ÷ Σ |map|, median over errors", _ARRAS),
    "interventions": Formula("errors, or right predictions, that the edit changes ÷ all, and leads", _WILSON),
    # smallest edits
    "success": Formula("images for which a change was found ÷ images", _WILSON),
    "adversarial": Formula("changes that the rule calls adversarial ÷ changes found", _WILSON),
    "changed pixels": Formula("pixels that move by 0.5 ⁄ 255 or more ÷ pixels, median", _EAD),
    "L1": Formula("Σ |change|, median over images", _EAD),
    "L2": Formula("√ Σ change², median over images", _EAD),
    "L-infinity": Formula("max |change|, median over images", _EAD),
    "RMS": Formula("√ mean change² over the pixels that move, median", _EXPLAINED),
    "survival": Formula("fall of the margin by the blurred change ÷ by the change, median", _EXPLAINED),
    "spread": Formula("share of cells that holds nine tenths of the energy, median", _EXPLAINED),
    "block": Formula("energy in the largest block of touching pixels ÷ energy, median", _EXPLAINED),
    "high frequencies": Formula("energy above half of Nyquist’s frequency ÷ energy, median", _EXPLAINED),
    "best margin": Formula("largest margin reached where no change was found, median", _EXPLAINED),
    "sets/regions": Formula("energy of the change inside the region ÷ energy, median", _EXPLAINED),
    "sets/leads": Formula("that share − the same towards a random class, median", _EXPLAINED),
    "real_high_frequency": Formula(
        "energy above half of Nyquist’s frequency ÷ energy, between real images", _EXPLAINED
    ),
}
"""Name of a measurement, or of what holds it with a slash between, as in `result.json`."""
