"""What a finding says to somebody who decides: sentences by case, cautions, one order by gravity."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from auditor.cli.verdicts import print_verdicts
from auditor.measure.measurement import Measurement, Note
from auditor.report.exports.junit import write_junit
from auditor.report.exports.markdown import write_markdown
from auditor.report.exports.sarif import write_sarif
from auditor.report.gravity import by_gravity, tell_counts
from auditor.report.sections.findings import view_finding
from auditor.report.sentences import fill
from auditor.report.telling import (
    deciding,
    effects_of,
    say_images,
    tell_advice,
    tell_bar,
    tell_cautions,
    tell_hardest_hit,
    tell_lead,
    tell_notes,
    tell_scale,
    tell_severity,
    tell_why,
)
from auditor.report.write import draw_page
from auditor.run.ruling import say_verdict
from auditor.run.suspects import SET_APART
from auditor.verdict.record import SUSPECTED, Finding, Rule, ScannedTarget, Stratum, Verdict
from tests.synthetic import absent, make_arrays, make_finding, make_result, measure

RULE = Rule()


def changed(finding: Finding, **measurements: Measurement) -> Finding:
    return replace(finding, measurements=finding.measurements | measurements)


class TestLead:
    def test_says_what_a_reliance_does_to_images(self):
        told = tell_lead(make_finding(), RULE)
        assert told == "The model uses the tag. Added to 120 images of other classes, it made 1 in 4 a cat."

    def test_says_that_a_suppressor_makes_the_model_miss_the_class(self):
        finding = make_finding(direction="suppresses", endpoint="theta_suppression")
        finding = changed(finding, theta_suppression=measure(2.0), suppression_flip_rate=measure(0.5, 0.1, "share"))
        told = tell_lead(finding, RULE)
        assert "a sign against cat" in told
        assert "miss 1 in 2 of them" in told

    def test_goes_by_the_score_where_no_decision_is_known(self):
        finding = changed(make_finding(), flip_rate=absent("no images"))
        assert "raises the score of cat by +2.1 log-odds" in tell_lead(finding, RULE)

    def test_never_acquits_of_more_than_was_tested(self):
        told = tell_lead(make_finding(verdict="no_evidence"), RULE)
        assert told.startswith("No evidence that the model uses the tag for cat.")
        assert "below 0.50 log-odds" in told

    def test_counts_the_classes_of_a_scan(self):
        verdicts: list[tuple[str, Verdict]] = [("a", "no_evidence"), ("b", "inconclusive"), ("c", "no_evidence")]
        scanned = [ScannedTarget(name, verdict, None, measure(0.0)) for name, verdict in verdicts]
        told = tell_lead(make_finding(verdict="inconclusive", scanned=scanned), RULE)
        assert "2 of 3 classes show no reliance; 1 is open: b." in told

    def test_names_too_few_images_and_how_many_there_must_be(self):
        few = changed(make_finding(verdict="inconclusive"), theta=measure(3.0, 4.0, n=4))
        assert "4 independent groups" in tell_lead(few, RULE)
        assert "at least 12 independent images (this run has 4); an all-clear needs 59" in tell_advice(few, RULE)
        assert tell_why(few, RULE) == ""


class TestCases:
    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"theta": measure(0.51, 0.5)}, "The effect is close to the bar"),
            ({"theta": measure(0.3, 0.9)}, "Audit about 2000 images (this run has 120)"),
            ({"theta": measure(3.0), "own_control_contrast": measure(-1.0)}, "may hide a part of the object"),
            ({"theta": measure(0.0), "found": measure(0.2, 0.1, "share")}, "Check the position and the appearance"),
            ({"accuracy": measure(0.2, 0.1, "share")}, "Check the labels, the order of the classes"),
            ({"shown_by_carriers": measure(0.1, 0.1, "of it")}, "Check the position and the appearance of the tag"),
            ({"shown_elsewhere": measure(0.5, 0.1, "of it")}, "Check the position and the appearance of the tag"),
            ({"change_by_inserting": measure(0.2, 0.1, "of it")}, "Say in `present` which images carry the tag"),
        ],
    )
    def test_of_what_keeps_it_open_are_told_apart(self, changes, said):
        assert said in tell_advice(changed(make_finding(verdict="inconclusive"), **changes), RULE)

    def test_directions_that_conflict_are_two_rows(self):
        finding = changed(make_finding(verdict="inconclusive"), theta=measure(3.0), own_control_contrast=measure(-1.0))
        rows = [(effect.name, effect.measured.value) for effect in effects_of(finding)]
        assert rows == [("theta", 3.0), ("own_control_contrast", -1.0)]

    def test_an_all_clear_shows_both_directions(self):
        finding = changed(make_finding(verdict="no_evidence"), theta=measure(-0.25), theta_suppression=measure(0.125))
        assert [effect.words for effect in effects_of(finding)] == [
            "Raising cat (on other images)",
            "Lowering cat (on its own images)",
        ]

    def test_a_reliance_has_one_number(self):
        finding = make_finding()
        assert effects_of(finding) == [deciding(finding)]

    def test_the_bar_is_the_one_that_the_verdict_was_taken_at(self):
        assert "reliance starts at 0.50 (a fifth" in tell_bar(make_finding(), RULE)
        low = changed(make_finding(), theta=measure(0.5, 0.125))
        assert "reliance starts at 0.25 (half of" in tell_bar(low, RULE)
        filled = make_finding(basis="removal", endpoint="removal_drop")
        assert "reliance starts at 1.0 (twice" in tell_bar(filled, RULE)


class TestWhy:
    def test_does_not_repeat_what_the_first_sentence_says(self):
        finding = make_finding(verdict="inconclusive")
        for said in ("Not settled whether the score of cat relies on tag", "tag could not be tested on cat"):
            told = tell_why(replace(finding, reason=f"{said}: it spans the margin."), RULE)
            assert told == "It spans the margin."

    def test_of_what_is_settled_is_not_told(self):
        assert tell_why(replace(make_finding(), reason="It lies above the margin."), RULE) == ""


class TestCautions:
    def test_a_control_that_does_much_the_same_is_the_first(self):
        finding = make_finding(controls={"flat patch": measure(4.25)})
        first = tell_cautions(finding)[0]
        assert first.startswith("A plain patch in the same place does 92\N{NARROW NO-BREAK SPACE}% as much. The model")
        assert "audit a plain patch there as an artefact of its own" in tell_advice(finding, RULE)

    def test_ways_of_removal_that_reverse_the_effect_are_told(self):
        drops = {"exact": measure(12.25), "mean": measure(-3.5), "blur": measure(-2.0)}
        (caution,) = tell_cautions(make_finding(drops=drops))
        assert "Removing it exactly lowers cat by 12" in caution
        assert "blurring it away raise cat by 3.5 and 2.0" in caution
        assert caution.endswith("we use the exact removal.")

    def test_ways_that_agree_are_none(self):
        assert tell_cautions(make_finding(drops={"mean": measure(2.0), "blur": measure(1.0)})) == []

    def test_an_open_finding_says_how_many_images_turned(self):
        finding = make_finding(verdict="inconclusive", drops={})
        assert "In these 120 images 30 became cat." in tell_cautions(finding)

    def test_are_not_told_twice(self):
        notes = [Note("broader", "said otherwise"), Note("untested", "said otherwise"), Note("control", "left out")]
        finding = make_finding(notes=notes)
        assert "Left out." in tell_notes(finding)
        assert not any("otherwise" in text for text in [*tell_notes(finding), *tell_cautions(finding)])


class TestHardestHit:
    def test_names_the_class_and_the_parts_whose_decisions_turn_most(self):
        turned = {"dog": 0.75, "cow": 0.5, "pig": 0.25, "hen": 0.0}
        strata = [
            Stratum("class", name, measure(2.0), measure(1.0), measure(share, 0.125, "share"))
            for name, share in turned.items()
        ]
        finding = make_finding(strata=strata, notes=[Note("worst class", "hardest hit is dog with the artefact")])
        told = tell_hardest_hit(finding)
        assert told.startswith("Hardest hit is dog with the artefact.")
        assert "to cat in dog (75 points), cow (50 points) and pig (25 points)." in told
        assert tell_hardest_hit(make_finding()) == ""


class TestSeverity:
    @pytest.mark.parametrize("verdict", ["inconclusive", "not_applicable", "error"])
    def test_is_not_rated_where_nothing_was_decided(self, verdict):
        assert tell_severity(make_finding(verdict=verdict)).startswith("not rated")

    def test_of_a_reliance_is_its_own(self):
        assert tell_severity(make_finding()) == "medium"


class TestOrder:
    def test_is_by_gravity(self):
        verdicts: list[Any] = ["no_evidence", "inconclusive", "relies", "relies", "not_applicable", "error"]
        findings = [make_finding(verdict=verdict) for verdict in verdicts]
        findings[3] = replace(findings[3], severity="high")
        assert by_gravity(findings) == [3, 2, 5, 1, 0, 4]

    def test_several_are_counted(self):
        verdicts: list[Any] = ["no_evidence", "inconclusive", "relies", "inconclusive"]
        told = tell_counts([make_finding(verdict=verdict) for verdict in verdicts])
        assert told == "1 of 4 findings relied on, 2 open, 1 no evidence"
        assert tell_counts([make_finding()]) == ""


def test_log_odds_are_told_as_probabilities_that_people_know():
    assert "from 5.8\N{NARROW NO-BREAK SPACE}% to 94\N{NARROW NO-BREAK SPACE}%" in tell_scale(measure(5.59))
    assert tell_scale(measure(0.125)) == ""  # the interval holds nothing


def test_the_effect_that_decides_stands_first_in_the_plot():
    for endpoint, words in (
        ("theta", "effect beyond harmless edits"),
        ("theta_suppression", "lowering effect beyond harmless edits"),
        ("removal_drop", "fall of the score when it is removed"),
    ):
        finding = changed(make_finding(endpoint=endpoint), theta_suppression=measure(1.0))
        plot = view_finding(1, finding, make_result(findings=[finding]))["effects_plot"]
        assert plot.rows[0].name == words
        assert len(plot.rows) == 6 + len(finding.drops)


class TestTerminal:
    def test_says_what_the_report_says_one_sentence_a_line(self, capsys):
        result = make_result()
        print_verdicts(result, None)
        told = capsys.readouterr().out.splitlines()
        (finding,) = result.findings
        assert told[0] == "tag -> cat: relies (promotes), severity medium"
        assert told[1] == f"  {tell_lead(finding, RULE)}"
        assert f"  What to do: {tell_advice(finding, RULE)}" in told
        assert not any("\N{REPLACEMENT CHARACTER}" in line for line in told)

    def test_holds_nothing_against_a_bar_that_was_not_measured(self, capsys):
        for theta, is_told in ((measure(0.5), True), (absent("no images"), False)):
            finding = changed(make_finding(verdict="not_applicable"), theta=theta)
            print_verdicts(make_result(findings=[finding]), None)
            assert ("Reliance starts at" in capsys.readouterr().out) == is_told

    def test_on_a_terminal_the_verdicts_are_one_table_however_narrow_and_without_colours_where_they_are_not_wanted(
        self, capsys, monkeypatch
    ):
        monkeypatch.setattr("sys.stdout.isatty", lambda: True)
        monkeypatch.setenv("NO_COLOR", "1")
        for width in ("40", "120"):
            monkeypatch.setenv("COLUMNS", width)
            names = ("tag", "frame")
            print_verdicts(make_result(findings=[make_finding(name) for name in names]), None)
            told = capsys.readouterr().out
            assert "\x1b[3" not in told
            assert all(name in told for name in names)
            assert "2 of 2 findings relied on." in told


def test_images_are_counted_before_their_groups_are():
    assert say_images(measure(1.0, 0.5)).endswith("images")
    assert say_images(replace(measure(1.0, 0.5), n=110, groups=22)) == "110 images in 22 groups"
    assert say_images(replace(measure(1.0, 0.5), n=1, groups=1)) == "1 image"


class TestASuspectThatNobodyNamed:
    NOTE = Note(SUSPECTED, "nobody named it")

    @pytest.mark.parametrize("verdict", ["no_evidence", "inconclusive", "not_applicable", "error", "relies"])
    def test_never_reads_like_an_all_clear_wherever_it_is_told(self, verdict, capsys):
        few = changed(make_finding("thing", verdict=verdict), theta=measure(0.0, 4.0, n=4))
        for plain in (make_finding("thing", verdict=verdict), few):
            result = make_result(findings=[replace(plain, notes=[self.NOTE])])
            print_verdicts(result, None)
            told = {
                "terminal": capsys.readouterr().out,
                "page": draw_page(result, make_arrays(), "html").decode(),
                "markdown": write_markdown(result),
                "junit": write_junit(result).decode(),
                "sarif": write_sarif(result, result).decode(),
                "index": say_verdict(result.findings[0]),
            }
            for where, text in told.items():
                text = re.sub(r"(?s)<style.*?</style>|<script.*?</script>|<li><b>No evidence above.*?</li>", "", text)
                cleared = [words for words in ALL_CLEAR if words in text]
                assert not cleared, where

    def test_is_not_confirmed_where_there_is_no_evidence_and_passes_no_test(self):
        finding = replace(make_finding(verdict="no_evidence"), notes=[self.NOTE])
        result = make_result(findings=[finding])
        assert tell_lead(finding, RULE).startswith("Not confirmed, and not cleared.")
        assert "<skipped" in write_junit(result).decode()
        assert '"kind": "open"' in write_sarif(result, result).decode()
        assert tell_counts([finding, finding]) == "0 of 2 findings relied on, 2 not confirmed"

    def test_has_a_number_for_its_name_and_no_article(self):
        finding = replace(make_finding("suspect 2: top of Coat", verdict="inconclusive"), notes=[self.NOTE])
        told = [tell_lead(finding, RULE), tell_advice(finding, RULE), *tell_cautions(finding)]
        assert "whether the model uses suspect 2 (top of Coat) for" in told[0]
        assert "the suspect" not in " ".join(told)

    @pytest.mark.parametrize("name", ["suspect 1: top of {cat}", "suspect 1: top of cat}", "suspect 1: {t}"])
    def test_may_have_any_name(self, name):
        assert fill("The {a} of {t}.", name, is_suspect=True, t="cat") == f"Suspect 1 ({name[11:]}) of cat."

    @pytest.mark.parametrize("standing", SET_APART)
    def test_that_was_confirmed_is_not_said_to_be_unsettled(self, standing):
        notes = [self.NOTE, Note(standing, "who knows")]
        finding = replace(make_finding("suspect 2: top of Coat", verdict="inconclusive"), notes=notes)
        assert tell_lead(finding, RULE).startswith("The model ")
        assert "suspect 2 (top of Coat)" in tell_lead(finding, RULE)
        assert tell_advice(finding, RULE).startswith("Look at suspect 2 (top of Coat)")
        assert "who knows" not in " ".join([*tell_notes(finding), *tell_cautions(finding)])

    def test_leaves_what_was_named_as_it_is(self):
        assert make_finding(verdict="no_evidence").told == "no_evidence"
        assert "sign off for this tag only" in tell_advice(make_finding(verdict="no_evidence"), RULE)


ALL_CLEAR = ("You may sign off", "No evidence", "an all-clear needs", "no_evidence")
"""Words that clear what was named."""
