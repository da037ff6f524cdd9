"""Activation maximisation: every objective rises, and a planted artefact is told from innocent ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from auditor.artefacts.kinds import Artefact
from auditor.artefacts.masks import Masks
from auditor.artefacts.overlay import Overlay
from auditor.errors import OptionError
from auditor.explain.attribution.likeness import correlations
from auditor.explain.attribution.record import MethodRecord
from auditor.explain.inquiry import Inquiry
from auditor.explain.optima.ascent import Recipe, ascend, evaluate
from auditor.explain.optima.objectives import (
    class_log_odds,
    class_logit,
    class_probability,
    cut_pattern,
    draw_noise,
    feature_direction,
    feature_mean,
    find_features,
    match_patterns,
    parse_feature,
    random_phases,
)
from auditor.explain.optima.parametrisation import parametrise
from auditor.explain.optima.study import study_optima
from auditor.measure.ledger import NewArrays, Rows
from auditor.report.write import render_html
from auditor.subject.model.classifier import log_odds
from auditor.subject.population import Population
from tests.closed_form import LinearClassifier, linear, memory_dataset, quadratic, random_images
from tests.keras_models import SHAPE, small_classifier
from tests.synthetic import make_arrays, make_finding, make_result, measure

TARGETS = np.array([0, 1, 2])
ROWS = np.arange(3)
BASES = ["pixels", "fourier"]
OBJECTIVES = {
    "logit": class_logit(TARGETS),
    "log-odds": class_log_odds(TARGETS, "softmax"),
    "probability": class_probability(TARGETS, "softmax"),
    "channel": feature_mean([parse_feature(f"conv_2:{number}") for number in (0, 1, 4)]),
    "neuron": feature_mean([parse_feature(f"conv_1:{number}@5,7") for number in range(3)]),
    "direction": feature_direction("conv_2", np.linspace(-1, 1, 6)),
}


def climb(classifier, objective, basis, steps=3, **changes):
    shape, names = classifier.image_shape, ["a", "b", "c"]
    way = parametrise(basis, "sigmoid", shape)
    parameters = draw_noise(way, shape, names, 0.3, 0)
    return ascend(
        classifier, objective, way, parameters, Recipe(steps, **changes), names=names, keep=[0], watch=[0, steps]
    )


class TestObjectives:
    @pytest.mark.parametrize("basis", BASES)
    @pytest.mark.parametrize("name", OBJECTIVES)
    def test_three_steps_raise_it(self, name, basis):
        climbed = climb(small_classifier().sized(3), OBJECTIVES[name], basis)
        risen = climbed.curve[3] - climbed.curve[0]
        dead = climbed.curve[3] == 0  # a channel that no image near the start excites has no slope
        assert (risen[~dead] > 0).all()
        assert not dead.all()

    @pytest.mark.parametrize("name", OBJECTIVES)
    def test_its_derivatives_are_those_of_finite_differences(self, name):
        objective, classifier = OBJECTIVES[name], small_classifier().sized(3)
        images, random = random_images(3, SHAPE), np.random.default_rng(0)
        seen = classifier.linearise(images, objective.layers)
        judged = objective.judge(seen.scores, seen.features)
        by_scores = random.normal(size=seen.scores.shape).astype(np.float32)
        by_features = {k: random.normal(size=v.shape).astype(np.float32) for k, v in seen.features.items()}
        moved = []
        for sign in (1, -1):
            size = np.float32(sign * 1e-2)
            features = {layer: maps + size * by_features[layer] for layer, maps in seen.features.items()}
            moved.append(objective.judge(seen.scores + size * by_scores, features).values)
        found = np.zeros(3)
        if judged.by_scores is not None:
            found += (judged.by_scores * by_scores).sum(axis=1)
        for layer, slopes in judged.by_features.items():
            found += (slopes * by_features[layer]).sum(axis=(1, 2, 3))
        np.testing.assert_allclose(found, (moved[0] - moved[1]) / 2e-2, rtol=0.01, atol=1e-3)

    def test_probability_log_odds_and_logit_of_a_class_agree_on_what_raises_it(self):
        scores = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
        slopes = [
            make(TARGETS).judge(scores, {}).by_scores
            for make in (class_logit, softly(class_log_odds), softly(class_probability))
        ]
        for each in slopes:
            assert (each[ROWS, TARGETS] > 0).all()
        np.testing.assert_array_equal(np.sign(slopes[1]), np.sign(slopes[2]))
        others = np.ones((3, 5), bool)
        others[ROWS, TARGETS] = False
        assert (slopes[0][others] == 0).all()
        assert (slopes[2][others] < 0).all()

    def test_the_probability_is_the_softmax(self):
        scores = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
        expected = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        found = class_probability(TARGETS, "softmax").judge(scores, {})
        np.testing.assert_allclose(found.values, expected[ROWS, TARGETS], rtol=1e-4)
        jacobian = expected[ROWS, TARGETS][:, None] * (np.eye(5)[TARGETS] - expected)
        np.testing.assert_allclose(found.by_scores, jacobian, atol=1e-5)

    def test_where_classes_are_independent_no_other_class_matters(self):
        scores = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
        for make in (class_log_odds, class_probability):
            slopes = make(TARGETS, "multilabel").judge(scores, {}).by_scores
            assert np.count_nonzero(slopes) == 3

    def test_the_plain_score_climbs_in_one_pass_as_it_does_in_two(self):
        classifier = quadratic()
        plain = class_logit(TARGETS)
        in_two = replace(plain, targets=None)
        first, second = (climb(classifier, each, "fourier", 20).images for each in (plain, in_two))
        np.testing.assert_allclose(first, second, atol=1e-4)

    def test_a_channel_and_a_direction_along_it_are_one_objective(self):
        classifier, images = small_classifier().sized(3), random_images(3, SHAPE)
        channel = feature_mean([parse_feature("conv_2:4")] * 3)
        along = feature_direction("conv_2", np.eye(6)[4])
        np.testing.assert_allclose(
            evaluate(classifier, channel, images), evaluate(classifier, along, images), rtol=1e-5
        )

    @pytest.mark.parametrize("basis", BASES)
    def test_a_keras_model_climbs_alike_in_any_batch_and_order(self, basis):
        classifier, shape, names = small_classifier(), SHAPE, ["a", "b", "c"]
        way = parametrise(basis, "sigmoid", shape)
        parameters = draw_noise(way, shape, names, 0.3, 0)
        recipe = Recipe(10, jitter=1, rotation=5)

        def run(rows, size):
            objective, own = class_logit(TARGETS[rows]), [names[row] for row in rows]
            return ascend(classifier.sized(size), objective, way, parameters[rows], recipe, names=own).images

        together = run([0, 1, 2], 3)
        np.testing.assert_array_equal(run([0, 1, 2], 3), together)
        np.testing.assert_allclose(run([2, 0, 1], 3), together[[2, 0, 1]], atol=1e-4)
        np.testing.assert_allclose(np.concatenate([run([row], 1) for row in range(3)]), together, atol=1e-4)


class TestFeatureNames:
    def test_a_name_is_read_back_as_it_was_written(self):
        for text in ("conv_2:5", "block/conv:0", "conv_2:5@3,4"):
            assert str(parse_feature(text)) == text

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("conv_2", r"features: got 'conv_2', wanted 'layer:channel' or 'layer:channel@row,column'"),
            ("conv_2:five", "got 'conv_2:five', wanted"),
            ("conv_2:5@3", "got 'conv_2:5@3', wanted"),
            ("conv_9:5", r"no layer 'conv_9' has feature maps; layers that have: conv_2, conv_1, pool"),
            ("conv_2:6", r"got channel 6 in 'conv_2:6', wanted a channel from 0 to 5 of 'conv_2'"),
            (
                "conv_2:5@6,0",
                r"got row 6, column 0 in 'conv_2:5@6,0', wanted a row from 0 to 5 and a column from 0 to 5",
            ),
        ],
    )
    def test_a_name_of_nothing_is_refused_in_words(self, text, message):
        with pytest.raises(OptionError, match=message):
            find_features(small_classifier(), [text])

    def test_known_features_are_found(self):
        first, second = find_features(small_classifier(), ["conv_2:5", "conv_1:0@11,11"])
        assert (first.channel, second.place) == (5, (11, 11))


class TestPatterns:
    def test_a_pattern_is_found_where_it_is_and_matches_itself_perfectly(self):
        pattern = np.random.default_rng(0).normal(size=(4, 5, 3))
        images = 0.5 + 0.01 * random_images(3, (12, 14, 3))
        for number, (row, column) in enumerate([(0, 0), (8, 9), (3, 5)]):
            images[number, row : row + 4, column : column + 5] = 0.5 + 0.1 * pattern
        cut = cut_pattern(np.pad(pattern, ((4, 4), (5, 4), (0, 0))), (5, 4, 10, 8))
        bare = type(cut)(pattern - pattern.mean(axis=(0, 1)), (4, 5))
        quality, places = match_patterns(images, [bare])
        np.testing.assert_allclose(quality, 1, atol=1e-3)
        np.testing.assert_array_equal(places[:, 0], [(0, 0), (8, 9), (3, 5)])

    def test_the_correlation_is_pearsons_at_every_place(self):
        pattern = cut_pattern(random_images(1, (9, 8, 3))[0], (2, 3, 5, 6))
        image = random_images(1, (9, 8, 3), seed=4)
        height, width = pattern.values.shape[:2]
        found = []
        for row in range(9 - height + 1):
            for column in range(8 - width + 1):
                window = image[:, row : row + height, column : column + width].astype(np.float64)
                window = window - window.mean(axis=(1, 2), keepdims=True)
                found.append(correlations(window, pattern.values[None])[0])
        assert match_patterns(image, [pattern])[0][0, 0] == pytest.approx(max(found), abs=1e-6)

    def test_a_match_does_not_depend_on_contrast_or_brightness(self):
        pattern = cut_pattern(random_images(1, (9, 8, 1))[0], (2, 3, 5, 6))
        images = random_images(2, (9, 8, 1), seed=4)
        np.testing.assert_allclose(
            match_patterns(0.2 + 0.3 * images, [pattern])[0], match_patterns(images, [pattern])[0], atol=1e-5
        )

    def test_an_image_without_contrast_matches_nothing(self):
        pattern = cut_pattern(random_images(1, (9, 8, 3))[0], (2, 3, 5, 6))
        grey = np.full((1, 9, 8, 3), 0.5, np.float32)
        assert match_patterns(grey, [pattern])[0] == pytest.approx(0, abs=1e-6)

    def test_a_change_that_nobody_sees_is_no_pattern(self):
        assert cut_pattern(np.full((9, 8, 3), 1e-4, np.float32), (2, 3, 5, 6)) is None

    def test_random_phases_keep_the_spectrum_and_nothing_else(self):
        pattern = cut_pattern(random_images(1, (16, 16, 1))[0], (4, 4, 12, 12))
        other = random_phases(pattern, 0, "first")
        spectra = [np.abs(np.fft.fft2(each.values, axes=(0, 1))) for each in (pattern, other)]
        np.testing.assert_allclose(*spectra, atol=1e-6)
        assert abs(correlations(pattern.values[None], other.values[None])[0]) < 0.5


OPTIONS = {"steps": 80, "l2": 100.0, "total_variation": 0.0, "features": ("pixels:0", "pixels:0@3,4")}


def softly(make):
    return lambda targets: make(targets, "softmax")


FRAME = (20, 20, 1)
MARK = np.kron(np.array([[1, 0, 1], [1, 1, 0], [0, 0, 1]], np.float32), np.ones((2, 2), np.float32))


def corner_artefact(appearance=None, name="mark"):
    if appearance is None:
        alpha, ink = np.zeros(FRAME[:2], np.float32), np.zeros(FRAME, np.float32)
        alpha[12:18, 11:17] = 0.6
        ink[12:18, 11:17, 0] = MARK
        appearance = Overlay(alpha, ink)
    return Artefact(name, "overlay", appearance, 1, "none", np.zeros(40, bool))


def planted(strength):
    """A linear classifier whose class 1 holds the mark in its weights, so strong, at the artefact's place."""
    weights = 0.3 * gaussian_filter(linear(classes=5, shape=FRAME).weights, (0, 1, 1, 0))
    weights[1, 12:18, 11:17, 0] += strength * (MARK - MARK.mean())
    return LinearClassifier(weights, np.zeros(5, np.float32), output="softmax")


def inquire(classifier, artefacts, seed=0):
    images = random_images(40, classifier.image_shape)
    dataset = memory_dataset(classifier, images, [f"class {number % 5}" for number in range(40)])
    scores = classifier.scores(images)
    predicted = np.eye(len(classifier.classes), dtype=bool)[scores.argmax(axis=1)]
    odds = log_odds(scores, classifier.output)
    positions = np.arange(40)
    return Inquiry(
        classifier=classifier,
        dataset=dataset,
        images=Population(positions, odds, predicted, dataset.truth, dataset.labelled, dataset.groups),
        artefacts=artefacts,
        targets=[1 for _ in artefacts],
        mean_image=images.mean(axis=0),
        attributions=[],
        rows=Rows(),
        arrays=NewArrays(),
        seed=seed,
        level=0.95,
        progress=lambda stage, done, total: None,
    )


@pytest.fixture(scope="module")
def study():
    inquiry = inquire(planted(2.0), [corner_artefact()])
    return study_optima(inquiry, **OPTIONS), inquiry


class TestStudy:
    def test_an_artefact_in_the_weights_is_found_in_the_optima_of_its_class_alone(self, study):
        record, _ = study
        (match,) = record.matches
        found = match.measurements
        assert match.status == "ok"
        assert found["correlation"].value > 0.65
        assert found["over_classes"].low > 0.2
        assert found["over_next"].low > 0.2
        assert found["here"].value == pytest.approx(found["correlation"].value)
        assert abs(found["here_others"].value) < 0.1
        assert found["own_place"].value == 1
        assert found["own_place_others"].value < 0.2
        assert next(iter(match.classes)) == match.target == "class 1"
        assert all(value.value < 0.4 for name, value in match.classes.items() if name != "class 1")

    def test_an_artefact_that_the_model_does_not_know_is_not_found(self):
        record = study_optima(inquire(planted(0.0), [corner_artefact()]), steps=40)
        found = record.matches[0].measurements
        assert found["over_classes"].value < 0.1
        assert found["over_next"].value < 0.1
        assert found["own_place"].value < 0.5

    def test_an_artefact_without_a_look_is_not_applicable_and_says_why(self):
        everywhere = Overlay(np.full(FRAME[:2], 0.3, np.float32), np.ones(FRAME, np.float32))
        artefacts = [corner_artefact(Masks(), "place"), corner_artefact(everywhere, "light")]
        record = study_optima(inquire(planted(0.0), artefacts), steps=2, restarts=2)
        states = {match.artefact: (match.status, match.reason) for match in record.matches}
        assert states["place"] == ("not_applicable", "only its place is known, not its look")
        assert states["light"] == (
            "not_applicable",
            "it covers 100% of the frame, so it has no shape of its own to look for",
        )

    def test_the_target_comes_first_then_the_most_predicted(self, study):
        record, inquiry = study
        assert record.classes[0].name == "class 1"
        assert record.classes[0].reason == "target of mark"
        counts = inquiry.images.predicted.sum(axis=0)
        rest = [counts[inquiry.classifier.classes.index(entry.name)] for entry in record.classes[1:]]
        assert rest == sorted(rest, reverse=True)

    def test_the_cap_leaves_out_classes_and_says_so(self):
        record = study_optima(inquire(planted(0.0), [corner_artefact()]), steps=2, restarts=2, classes=2)
        assert len(record.classes) == 2
        assert record.notes[0].text.startswith("2 of 5 classes were optimised")

    def test_every_picture_that_the_record_names_is_kept(self, study):
        record, inquiry = study
        keys = set()

        def collect(value):
            if hasattr(value, "__dataclass_fields__"):
                for name in value.__dataclass_fields__:
                    part = getattr(value, name)
                    if name in ("picture", "pattern", "found", "start_picture") and isinstance(part, str):
                        keys.add(part)
                    collect(part)
            elif isinstance(value, list):
                for part in value:
                    collect(part)

        collect(record)
        assert keys <= set(inquiry.arrays)
        assert set(inquiry.arrays) == keys
        assert all(inquiry.arrays[key].dtype == np.uint8 for key in keys)

    def test_what_began_with_noise_is_made_up_and_what_began_with_an_image_is_not(self, study):
        record, inquiry = study
        real = {found.picture for entry in record.classes for found in entry.real}
        real |= {found.picture for entry in record.features for found in entry.real}
        real |= {picture for entry in record.comparisons for picture in (entry.start_picture,) if picture}
        real |= {
            side.picture for each in record.comparisons for side in (each.first, each.second) if side.name == "image"
        }
        assert real
        assert set(inquiry.arrays) - set(inquiry.arrays.made_up) == real

    def test_nothing_that_shows_a_class_is_made_up_where_all_begins_with_images(self):
        inquiry = inquire(planted(2.0), [corner_artefact()])
        record = study_optima(inquiry, steps=2, restarts=2, start="image")
        shown = {entry.optimum.picture for entry in record.classes}
        shown |= {snapshot.picture for entry in record.classes for snapshot in entry.snapshots}
        shown |= {match.found for match in record.matches if match.found}
        assert shown
        assert not shown & set(inquiry.arrays.made_up)
        assert {match.pattern for match in record.matches if match.pattern} <= set(inquiry.arrays.made_up)

    def test_the_same_study_finds_the_same(self, study):
        record, inquiry = study
        again = inquire(planted(2.0), [corner_artefact()])
        assert study_optima(again, **OPTIONS) == record
        assert again.rows.columns == inquiry.rows.columns

    def test_means_over_restarts_are_those_of_the_rows(self, study):
        record, inquiry = study
        columns = inquiry.rows.columns
        for entry in record.classes:
            values = [
                value
                for value, target, measured in zip(
                    columns["value"], columns["target"], columns["measurement"], strict=True
                )
                if target == entry.name and measured == "log-odds of the optimum"
            ]
            assert len(values) == record.restarts
            assert np.mean(values) == pytest.approx(entry.log_odds.value)

    def test_starts_objectives_and_regularisation_are_compared_on_every_class(self, study):
        record, _ = study
        assert [each.topic for each in record.comparisons] == ["start", "objective", "regularisation"]
        for each in record.comparisons:
            assert each.gain.n == each.correlation.n == 5
            difference = each.second.log_odds.value - each.first.log_odds.value
            assert each.gain.value == pytest.approx(difference, abs=1e-3)

    def test_features_and_the_direction_of_the_artefact_are_optimised(self, study):
        record, inquiry = study
        direction, channel, neuron = record.features
        assert (direction.kind, direction.artefact) == ("direction", "mark")
        assert (channel.kind, neuron.kind) == ("channel", "neuron")
        for feature in record.features:
            assert feature.reached.value > feature.usual.value
        shift = inquiry.artefacts[0].appearance.insert(inquiry.dataset.images([0])) - inquiry.dataset.images([0])
        assert direction.with_artefact.value > direction.usual.value
        assert shift.any()

    @pytest.mark.parametrize(
        "options",
        [
            {"objective": "probability", "start": "grey"},
            {"objective": "log_odds", "start": "image", "basis": "pixels", "constraint": "clip"},
            {"blur_every": 2, "optimiser": "plain", "jitter": 0, "scale": 0.0, "rotation": 0.0, "l2": 0.0},
        ],
    )
    def test_every_option_runs(self, options):
        record = study_optima(inquire(planted(1.0), [corner_artefact()]), steps=3, restarts=2, **options)
        assert record.restarts == 2
        assert all(np.isfinite(entry.log_odds.value) for entry in record.classes)

    def test_optima_count_as_predicted_where_their_class_scores_highest(self):
        weights = 0.002 * gaussian_filter(linear(classes=5, shape=FRAME).weights, (0, 1, 1, 0))
        unsure = LinearClassifier(weights, np.zeros(5, np.float32), output="softmax")
        inquiry = inquire(unsure, [corner_artefact()])
        record = study_optima(inquiry, steps=30, restarts=2, l2=0.0, total_variation=0.0)
        said = inquiry.rows.columns["predicted"]
        asked = inquiry.rows.columns["target"]
        optima = [
            at for at, name in enumerate(inquiry.rows.columns["measurement"]) if name == "log-odds of the optimum"
        ]
        assert record.looks.probability.high < 0.5
        share = np.mean([said[at] == asked[at] for at in optima])
        assert record.looks.predicted_as_asked.value == pytest.approx(share)
        assert share > 0

    def test_no_interval_leaves_what_is_possible(self, study):
        record, _ = study
        for each in record.comparisons:
            assert -1 <= each.correlation.low <= each.correlation.high <= 1
            for side in (each.first, each.second):
                assert side.total_variation.low > 0
                assert side.high_frequency.low > 0
                assert 0 <= side.fine.low <= side.fine.high <= 1
        assert "jittered by up to 1 pixel," in record.recipe


class TestSection:
    def told(self, result):
        html = render_html(result, make_arrays())
        return " ".join(html[html.index('id="optima"') : html.index('id="errors"')].split())

    def with_leads(self, value, verdict):
        result = make_result(findings=[make_finding("tag", "cat", verdict)])
        record = result.optima
        lead = measure(value, 0.125, "difference of correlations", 8)
        match = replace(record.matches[0], measurements=record.matches[0].measurements | dict.fromkeys(LEADS, lead))
        return self.told(replace(result, optima=replace(record, matches=[match])))

    @pytest.mark.parametrize(
        ("value", "verdict", "answer", "relation"),
        [
            (0.25, "relies", "Yes, more than any other class does.", "This agrees with the interventions"),
            (-0.25, "relies", "No.", "found reliance all the same"),
            (0.0, "relies", "That is open.", "The interventions, which decide, found reliance"),
            (0.25, "no_evidence", "Yes, more than any other class does.", "need not be what moves its score"),
            (-0.25, "no_evidence", "No.", "they found no evidence above the margin"),
            (
                0.25,
                "inconclusive",
                "Yes, more than any other class does.",
                "the interventions decide, and they left it",
            ),
        ],
    )
    def test_the_answer_goes_by_the_numbers_and_never_passes_for_a_verdict(self, value, verdict, answer, relation):
        told = self.with_leads(value, verdict)
        assert answer in told
        assert relation in told
        assert "they never decide" in told

    def test_every_question_has_an_answer(self):
        told = self.told(make_result())
        for question in (
            "Does it show the artefact?",
            "What does each class look for?",
            "Does the optimal input look natural?",
            "How does it change over the steps?",
            "Does it matter where it starts, from noise or from an image?",
            "Does it matter what is climbed, the logit or the probability?",
            "What does regularisation do?",
            "What do single features look for?",
        ):
            assert f"<h3>{question}</h3> <" in told
        assert "it covers the whole frame" in told

    @pytest.mark.parametrize(
        ("status", "expected"),
        [
            ("off", "Not run: because."),
            ("not_applicable", "Not applicable: because."),
            ("error", "It could not be completed: because."),
        ],
    )
    def test_where_it_did_not_run_the_section_says_why(self, status, expected):
        method = MethodRecord("optima", status, "because", {}, "", "")
        result = make_result()
        told = self.told(replace(result, optima=None, methods=[*result.methods, method]))
        assert expected in told
        assert "<img" not in told


LEADS = ("over_classes", "over_placebos", "over_both", "over_next")


@pytest.mark.parametrize(
    ("feature", "message"),
    [
        ("nowhere:0", "no layer 'nowhere' has feature maps; layers that have: identity"),
        ("identity:7", "got channel 7 in 'identity:7', wanted a channel from 0 to 0 of 'identity'"),
        ("identity", "got 'identity', wanted 'layer:channel' or 'layer:channel@row,column'"),
    ],
)
def test_a_feature_that_does_not_exist_ends_the_audit_at_once_with_its_place(world, command, feature, message):
    world.set_study("optima", f'features = ["{feature}"]\n')
    ending = command("audit", world.config)
    assert ending.code == 2
    assert message in ending.err
    line = world.config.read_text().splitlines().index(f'features = ["{feature}"]') + 1
    assert f"audit.toml:{line}:1: methods.optima.features: " in ending.err
    assert world.runs() == []


def test_an_audit_keeps_what_it_found_of_features(world, command):
    world.set_study("optima", 'steps = 2\nrestarts = 2\nfeatures = ["identity:0", "identity:0@1,2"]\n')
    assert command("audit", world.config, "--quiet").code == 1
    record = world.result().optima
    assert [feature.kind for feature in record.features] == ["direction", "channel", "neuron"]
    assert record.steps == 2
