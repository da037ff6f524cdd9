from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from auditor.errors import ModelError
from auditor.explain.attribution.methods import ATTRIBUTIONS
from auditor.explain.attribution.question import Attribution
from auditor.explain.attribution.record import MapName
from auditor.explain.inquiry import NotApplicableError
from auditor.explain.optima import search as optima
from auditor.explain.trust import randomisation as panels
from auditor.explain.trust import study
from auditor.explain.trust.record import TrustRecord
from auditor.explain.trust.sample import draw_sample
from auditor.explain.trust.sanity import TRUST_TESTS
from auditor.explain.trust.study import study_trust
from auditor.report.methods import read_methods
from auditor.report.sections.methods_compared import points_at, which_method_shows_it
from auditor.report.sections.trust import tell_trust
from tests.closed_form import LinearClassifier, linear, random_images
from tests.synthetic import make_result, measure
from tests.trust_doubles import (
    deep_classifier,
    edges_posing_as_explainer,
    make_inquiry,
    pictures,
    planted_classifier,
    planted_images,
)

CHEAP = {"smoothgrad": {"samples": 8}, "integrated_gradients": {"baselines": ("mean",), "most_nodes": 16}}
METHODS = {"gradient": {}, "grad_cam": {}, **CHEAP, "guided_backpropagation": {}, "edges": {}}


def edges_of_random_sign_posing_as_explainer(question):
    """Edges of the image; only their signs depend on the weights."""
    (edges,) = edges_posing_as_explainer(question).values()
    (noise,) = noise_posing_as_explainer(question).values()
    return {"": Attribution(np.where(noise.maps[..., :1] < 0.5, -edges.maps, edges.maps), {})}


def noise_posing_as_explainer(question):
    """What depends on the weights, but knows nothing of the score."""
    seeds = question.first.scores[:, 0].copy().view(np.uint32)
    shape = question.images.shape[1:]
    return {"": Attribution(np.stack([np.random.default_rng(s).random(shape) for s in seeds]).astype(np.float32), {})}


@pytest.fixture(scope="module")
def found() -> tuple[TrustRecord, object]:
    """All methods and their doubles on the model of the example, with one artefact."""
    classifier, guided = planted_classifier()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ATTRIBUTIONS, "guided_backpropagation", guided)
        patch.setitem(ATTRIBUTIONS, "edges", edges_posing_as_explainer)
        patch.setitem(ATTRIBUTIONS, "noise", noise_posing_as_explainer)
        patch.setitem(ATTRIBUTIONS, "signed edges", edges_of_random_sign_posing_as_explainer)
        inquiry = make_inquiry(
            classifier, planted_images(60), {**METHODS, "noise": {}, "signed edges": {}}, artefacts=(("square", 2),)
        )
        return study_trust(inquiry, images=24), inquiry


def outcomes(record: TrustRecord, method: str) -> dict[str, str]:
    (entry,) = [entry for entry in record.methods if str(entry.map) == method]
    return {test.name: test.outcome for test in entry.tests}


def outcomes_of(entry) -> dict[str, str]:
    return {test.name: test.outcome for test in entry.tests}


def status(record: TrustRecord) -> dict[str, str]:
    return {str(entry.map): entry.status for entry in record.methods}


class TestTheStudy:
    def test_sees_through_an_edge_filter_posing_as_explainer(self, found):
        assert outcomes(found[0], "edges")["randomised weights"] == "failed"
        assert outcomes(found[0], "edges")["other class"] == "failed"
        assert status(found[0])["edges"] == "failed"

    def test_sees_through_edges_whose_signs_alone_depend_on_the_weights(self, found):
        (entry,) = [entry for entry in found[0].methods if str(entry.map) == "signed edges"]
        (test,) = [test for test in entry.tests if test.name == "randomised weights"]
        assert (test.outcome, test.reading, entry.status) == ("failed", "absolute", "failed")
        assert "randomised weights (absolute)" in entry.reason
        assert entry.cascade[-1].signed.value < 0.2 < 0.9 < entry.cascade[-1].absolute.value

    def test_sees_through_guided_backpropagation(self, found):
        assert outcomes(found[0], "guided_backpropagation")["randomised weights"] == "failed"
        assert status(found[0])["guided_backpropagation"] == "failed"

    @pytest.mark.parametrize("method", ["gradient", "smoothgrad"])
    def test_passes_maps_that_follow_the_model(self, found, method):
        assert outcomes(found[0], method)["randomised weights"] == "passed"
        assert status(found[0])[method] != "failed"

    def test_sees_that_integrated_gradients_keep_the_pattern_of_the_picture_and_lose_its_signs(self, found):
        (entry,) = [entry for entry in found[0].methods if str(entry.map) == "integrated_gradients (mean)"]
        (test,) = [test for test in entry.tests if test.name == "randomised weights"]
        assert (test.outcome, test.reading, entry.status) == ("failed", "absolute", "failed")
        assert all(stage.signed.high < 0.5 for stage in entry.cascade[1:])

    def test_decides_the_order_by_the_reading_that_regions_are_scored_by(self, found):
        for entry in found[0].methods:
            gains = {reading.reading: reading.gains["together"] for reading in entry.readings}
            tests = {test.name: test for test in entry.tests}
            assert tests["order"].reading == "absolute"
            assert tests["order"].measured.value == pytest.approx(gains["absolute"].value)

    def test_does_not_let_noise_pass(self, found):
        assert outcomes(found[0], "noise")["randomised weights"] == "passed"
        assert outcomes(found[0], "noise")["small noise"] == "failed"
        assert status(found[0])["noise"] != "passed"

    def test_gives_back_the_weights_bit_for_bit(self, found):
        classifier = planted_classifier()[0]
        for before, after in zip(classifier._model.weights, found[1].classifier._model.weights, strict=True):
            np.testing.assert_array_equal(before.numpy(), after.numpy())

    def test_measures_everything_with_n_and_interval(self, found):
        for entry in found[0].methods:
            assert {test.name for test in entry.tests} == set(TRUST_TESTS)
            for test in entry.tests:
                if test.outcome == "not_applicable":
                    assert test.reason
                else:
                    assert test.measured.n == 24 or entry.map.method == "grad_cam"
                    assert test.measured.low <= test.measured.value <= test.measured.high

    def test_sets_the_gradient_of_the_probability_beside_that_of_the_logit(self, found):
        record, inquiry = found
        told = record.saturation
        sure, unsure = (entry.probability for entry in told.shown)
        assert sure * (1 - sure) < unsure * (1 - unsure)
        assert told.fainter.value > 4  # p (1 - p) is a quarter at most
        assert set(told.lifts) == {"logit", "log-odds", "probability"}
        assert told.lifts["log-odds"].value == pytest.approx(told.lifts["probability"].value, rel=1e-4)
        columns = inquiry.rows.columns
        noted = [value for name, value in zip(columns["measurement"], columns["value"], strict=True) if "faint" in name]
        assert np.median(noted) == pytest.approx(told.fainter.value)
        for entry in told.shown:
            odds, chance = (inquiry.arrays[entry.maps[score]] for score in ("log-odds", "probability"))
            np.testing.assert_allclose(chance, entry.probability * (1 - entry.probability) * odds, rtol=1e-3, atol=1e-9)

    def test_compares_every_two_methods(self, found):
        count = len(found[0].methods)
        assert len(found[0].likenesses) == count * (count - 1) / 2

    def test_tests_path_methods_alone_for_completeness(self, found):
        tested = {
            str(e.map) for e in found[0].methods if outcomes(found[0], str(e.map))["completeness"] != "not_applicable"
        }
        assert tested == {"integrated_gradients (mean)"}

    def test_sets_lifts_beside_those_of_a_model_that_knows_nothing(self, found):
        (edges,) = [entry for entry in found[0].methods if str(entry.map) == "edges"]
        (control,) = edges.lifts
        assert control.artefact == "square"
        assert control.lift.n == 12
        assert control.over_random_model.value == pytest.approx(0, abs=1e-5)  # ratios of float32 sums

    def test_notes_every_image_behind_a_figure(self, found):
        rows = found[1].rows.columns
        (gradient,) = [entry for entry in found[0].methods if str(entry.map) == "gradient"]
        for test in gradient.tests:
            if test.measured is None:
                continue
            wanted = (f"trust: {test.name}", "gradient", test.reading)
            noted = zip(rows["measurement"], rows["method"], rows["condition"], rows["value"], strict=True)
            values = [value for *about, value in noted if (about[0], about[1], about[2] or None) == wanted]
            assert len(values) == test.measured.n
            assert np.mean(values) == pytest.approx(test.measured.value)

    def test_keeps_the_pictures_that_it_names(self, found):
        record, inquiry = found
        named = {record.picture, *(entry.trained_map for entry in record.methods)}
        named |= {stage.map for entry in record.methods for stage in entry.cascade}
        assert named <= set(inquiry.arrays)
        assert all(inquiry.arrays[key].shape == (28, 28, 1) for key in named)

    def test_is_the_same_again(self, found):
        with pytest.MonkeyPatch.context() as patch:
            classifier, guided = planted_classifier()
            patch.setitem(ATTRIBUTIONS, "guided_backpropagation", guided)
            patch.setitem(ATTRIBUTIONS, "edges", edges_posing_as_explainer)
            again = study_trust(
                make_inquiry(classifier, planted_images(60), {"gradient": {}, "edges": {}}, artefacts=(("square", 2),)),
                images=24,
            )
        for entry in again.methods:
            (before,) = [one for one in found[0].methods if one.map == entry.map]
            assert entry == before


def test_on_a_linear_classifier_the_signed_attributions_are_the_exact_order():
    classifier, images = linear(shape=(8, 8, 1)), random_images(30, (8, 8, 1))
    inquiry = make_inquiry(classifier, images, {"gradient": {}, "integrated_gradients": {"baselines": ("mean",)}})
    record = study_trust(inquiry, images=20)
    (_, path) = record.methods
    assert path.status == "passed"
    assert path.best_reading == "signed"
    assert outcomes(record, str(path.map))["completeness"] == "passed"
    by_fill = {reading.reading: reading.fills["mean"].value for reading in path.readings}
    best_of_gradient = max(reading.fills["mean"].value for reading in record.methods[0].readings)
    assert by_fill["signed"] > best_of_gradient > 0


class TestWhatCannotBeTested:
    def test_weights_that_nobody_can_change_leave_methods_open(self):
        class Sealed(type(linear())):
            weight_layers = ()
            why_no_weights = "a SavedModel shows no layers"

        sealed = linear(shape=(8, 8, 1))
        object.__setattr__(sealed, "__class__", Sealed)
        record = study_trust(make_inquiry(sealed, random_images(20, (8, 8, 1)), {"gradient": {}}))
        assert record.why_not_randomised == "a SavedModel shows no layers"
        assert outcomes(record, "gradient")["randomised weights"] == "not_applicable"
        assert record.methods[0].status in ("open", "failed")
        assert record.methods[0].cascade == []

    def test_a_random_model_that_breaks_down_is_said_to(self, monkeypatch):
        classifier = deep_classifier()
        inquiry = make_inquiry(classifier, pictures(12), {"gradient": {}})
        before = [weight.numpy() for weight in classifier._model.weights]
        explain = panels.MethodGroup.explain

        def break_down(group, model=None, **options):
            if model is not None:
                raise ModelError("the model's scores are not finite")
            return explain(group, model, **options)

        monkeypatch.setattr(panels.MethodGroup, "explain", break_down)
        (entry,) = study_trust(inquiry).methods
        (test,) = [test for test in entry.tests if test.name == "randomised weights"]
        assert test.outcome == "not_applicable"
        assert "not finite" in test.reason
        for weight, values in zip(classifier._model.weights, before, strict=True):
            np.testing.assert_array_equal(weight.numpy(), values)

    def test_two_classes_of_one_logit_have_no_other_class(self):
        two = linear(classes=2, shape=(8, 8, 1), output="binary")
        record = study_trust(make_inquiry(two, random_images(20, (8, 8, 1)), {"gradient": {}}))
        assert outcomes(record, "gradient")["other class"] == "not_applicable"

    def test_without_methods_there_is_nothing_to_test(self):
        with pytest.raises(NotApplicableError, match="no method of attribution"):
            study_trust(make_inquiry(linear(shape=(8, 8, 1)), random_images(20, (8, 8, 1)), {}))


def test_a_costly_method_is_tested_on_less_and_said_to_be(monkeypatch):
    monkeypatch.setattr(panels, "_COSTLY", 8)
    methods = {"gradient": {}, "smoothgrad": {"samples": 16}}
    record = study_trust(make_inquiry(linear(shape=(8, 8, 1)), random_images(30, (8, 8, 1)), methods), costly_images=3)
    assert [(entry.map.method, entry.is_costly, entry.images) for entry in record.methods] == [
        ("gradient", False, 16),
        ("smoothgrad", True, 3),
    ]


def test_a_costly_method_is_tested_on_all_small_images_in_fewer_stages():
    """What it costs is counted in images that are differentiated for a map, and their size does not matter."""
    methods = {"gradient": {}, "smoothgrad": {"samples": 16}}
    record = study_trust(make_inquiry(linear(shape=(8, 8, 1)), random_images(30, (8, 8, 1)), methods))
    assert [(entry.map.method, entry.is_costly, entry.images) for entry in record.methods] == [
        ("gradient", False, 16),
        ("smoothgrad", True, 16),
    ]
    assert outcomes_of(record.methods[1])["randomised weights"] == "passed"


def test_a_costly_method_is_differentiated_for_fewer_stages(monkeypatch):
    asked = []

    class Counting(LinearClassifier):
        weight_layers = ("a", "b", "c", "d", "e")

        def differentiate(self, images, targets, layers=()):
            asked.append(len(images))
            return super().differentiate(images, targets, layers)

    plain, spent = linear(shape=(8, 8, 1)), []
    for costly in (10**9, 8):
        monkeypatch.setattr(panels, "_COSTLY", costly)
        methods = {"smoothgrad": {"samples": 8}}
        inquiry = make_inquiry(Counting(plain.weights, plain.bias), random_images(30, (8, 8, 1)), methods)
        asked.clear()
        (entry,) = study_trust(inquiry, images=12).methods
        spent.append(sum(asked))
        assert {outcomes_of(entry)[name] for name in ("other class", "small noise")} <= {"passed", "failed", "open"}
    assert spent[0] - spent[1] == 2 * 12 * (8 + 1)  # two stages, each of eight samples and a first pass for an image


def test_a_costly_method_on_large_images_is_not_tested_unless_asked_and_said_not_to_be(monkeypatch):
    monkeypatch.setattr(panels, "_COSTLY", 8)
    monkeypatch.setattr(study, "_SMALL", 60)
    methods = {"gradient": {}, "smoothgrad": {"samples": 16}}
    inquiry = make_inquiry(linear(shape=(8, 8, 1)), random_images(30, (8, 8, 1)), methods)
    tested, untested = study_trust(inquiry).methods
    assert tested.images == 16
    assert (untested.images, untested.status, untested.readings, untested.cascade) == (0, "open", [], [])
    assert untested.reason.startswith("not tested: a map takes long here")
    assert {test.outcome for test in untested.tests} == {"not_applicable"}
    (_, asked) = study_trust(inquiry, costly_images=12).methods
    assert asked.images == 12


@pytest.mark.parametrize(("images", "said"), [(16, "took fewer stages"), (12, "took only 12 images and fewer stages")])
def test_the_report_says_what_costly_methods_were_tested_on(images, said):
    result = make_result()
    first, *others = result.trust.methods
    costly = replace(first, is_costly=True, images=images)
    told = tell_trust(replace(result, trust=replace(result.trust, methods=[costly, *others])))
    assert said in str(told[0])


def test_few_images_leave_every_decision_open_and_the_report_says_why():
    inquiry = make_inquiry(linear(shape=(8, 8, 1)), random_images(30, (8, 8, 1)), {"gradient": {}})
    record = study_trust(inquiry, images=8)
    (entry,) = record.methods
    assert entry.status == "open"
    assert {outcomes_of(entry)[name] for name in ("randomised weights", "order")} == {"open"}
    assert "8 groups of images are under the 12 that a decision needs" in entry.reason


def test_maps_that_a_random_model_leaves_empty_count_neither_as_changed_nor_as_unchanged(monkeypatch):
    """Every third map of random models is zero, and the others are as they were."""
    known: dict[str, Attribution] = {}

    def explain(question):
        maps = known.setdefault("", Attribution(random_images(len(question.images), (8, 8, 1), seed=5), {})).maps
        is_trained = question.classifier is classifier
        return {"": Attribution(maps if is_trained else maps * (np.arange(len(maps)) % 3 > 0)[:, None, None, None], {})}

    monkeypatch.setitem(ATTRIBUTIONS, "fading", explain)
    classifier = linear(shape=(8, 8, 1))
    monkeypatch.setattr(panels.MethodGroup, "is_costly", lambda group, method: False)
    record = study_trust(make_inquiry(classifier, random_images(40, (8, 8, 1)), {"fading": {}}), images=24)
    (entry,) = record.methods
    (test,) = [test for test in entry.tests if test.name == "randomised weights"]
    assert test.outcome == "open"
    assert test.reason == "33\N{NARROW NO-BREAK SPACE}% of the maps are the same everywhere, or not finite"
    assert test.measured.value == pytest.approx(1)
    assert [stage.empty for stage in entry.cascade] == pytest.approx([1 / 3] * len(entry.cascade))


class TestTheSample:
    classifier = linear(shape=(9, 9, 1))
    images = random_images(60, (9, 9, 1))

    def test_is_half_with_artefacts_each_in_turn(self):
        inquiry = make_inquiry(self.classifier, self.images, {}, artefacts=(("one", 0), ("two", 1)))
        sample = draw_sample(inquiry, 16)
        assert sample.artefacts[:4] == [0, None, 1, None]
        assert [sample.artefacts.count(which) for which in (0, 1, None)] == [4, 4, 8]
        assert len(set(sample.ids)) == 16
        for target, artefact, mask in zip(sample.targets, sample.artefacts, sample.masks, strict=True):
            assert artefact is None or target == artefact
            assert (mask is None) == (artefact is None)

    def test_explains_what_is_predicted_where_there_is_no_artefact(self):
        sample = draw_sample(make_inquiry(self.classifier, self.images, {}), 10)
        assert sample.artefacts == [None] * 10
        np.testing.assert_array_equal(sample.targets, self.classifier.scores(sample.images).argmax(axis=1))

    def test_takes_from_every_group_before_it_takes_from_one_again(self):
        inquiry = make_inquiry(self.classifier, self.images, {}, artefacts=(("one", 0),))
        inquiry.dataset.groups[:] = np.arange(60) % 12
        sample = draw_sample(inquiry, 12)
        assert len(set(sample.groups)) == 12

    def test_is_the_same_whatever_the_order_of_the_data_set(self):
        artefacts = (("one", 0), ("two", 1))
        inquiry = make_inquiry(self.classifier, self.images, {}, artefacts=artefacts)
        turned = make_inquiry(self.classifier, self.images[::-1], {}, artefacts=artefacts)
        turned.dataset.ids = inquiry.dataset.ids[::-1]
        first, second = draw_sample(inquiry, 16), draw_sample(turned, 16)
        assert first.ids == second.ids
        np.testing.assert_array_equal(first.images, second.images)

    @pytest.mark.parametrize("most", [20, 256])
    def test_of_optima_is_the_same_whatever_the_order_of_the_data_set(self, monkeypatch, most):
        monkeypatch.setattr(optima, "SAMPLE", most)
        inquiry = make_inquiry(self.classifier, self.images, {})
        turned = make_inquiry(self.classifier, self.images[::-1], {})
        turned.dataset.ids = inquiry.dataset.ids[::-1]
        maximisers = [optima.set_up(one) for one in (inquiry, turned)]
        first, second = ({one.inquiry.dataset.ids[at] for at in one.sample.positions} for one in maximisers)
        assert first == second
        starts = [maximiser.start_images(np.arange(4), np.arange(4)) for maximiser in maximisers]
        np.testing.assert_array_equal(*starts)


class TestTheReport:
    def test_says_that_a_method_was_not_tested(self):
        result = make_result()
        untested = study._leave_untested(MapName("smoothgrad"), TRUST_TESTS)
        methods = [entry for entry in result.trust.methods if entry.map != untested.map]
        record = replace(result.trust, methods=[*methods, untested])
        assert "SmoothGrad was not tested, for a map takes long." in str(tell_trust(replace(result, trust=record)))

    def test_marks_methods_that_failed_and_says_why(self):
        result = make_result()
        ((name, why),) = read_methods(result.trust).failed.items()
        assert name == MapName("grad_cam", "conv")
        assert "weights are drawn anew" in why

    def test_no_failed_method_points_at_anything(self):
        result = make_result()
        states = {str(entry.map): points_at(entry, result) for entry in result.region_scores}
        assert states == {"gradient": "points", "grad_cam (conv)": "failed"}
        assert "Shown by gradient." in which_method_shows_it(result.findings[0], result)

    @pytest.mark.parametrize(
        ("verdict", "about"),
        [
            ("relies", "tag, cat: yes"),
            ("no_evidence", "tag, every class: no evidence"),
            ("error", "tag, every class: whether"),
        ],
    )
    def test_a_scan_that_found_nothing_speaks_of_no_single_class(self, verdict, about):
        result = make_result()
        finding = replace(result.findings[0], verdict=verdict)
        assert finding.scanned
        assert which_method_shows_it(finding, result).startswith(about)

    def test_a_map_that_is_as_strong_on_a_random_model_does_not_point(self):
        result = make_result()
        lifts = [replace(result.trust.methods[0].lifts[0], over_random_model=measure(-0.5, 0.25))]
        first = replace(result.trust.methods[0], lifts=lifts)
        changed = replace(result, trust=replace(result.trust, methods=[first, *result.trust.methods[1:]]))
        assert points_at(changed.region_scores[0], changed) == "random"

    @pytest.mark.parametrize(
        ("over", "state"),
        [
            (measure(0.0, 0.0), "random"),
            (measure(-0.25, 0.25), "random"),
            (measure(0.25, 0.25), "open"),
            (measure(0.1, 0.25), "open"),
            (replace(measure(9.0), low=None, high=None), "open"),
            (measure(0.5, 0.25), "points"),
        ],
    )
    def test_a_map_points_only_where_it_surely_shows_more_than_on_a_random_model(self, over, state):
        result = make_result()
        first, *others = result.trust.methods
        first = replace(first, lifts=[replace(first.lifts[0], over_random_model=over)])
        changed = replace(result, trust=replace(result.trust, methods=[first, *others]))
        assert points_at(changed.region_scores[0], changed) == state
        answer = which_method_shows_it(changed.findings[0], changed)
        assert ("Left open by gradient." in answer) == (state == "open")

    @pytest.mark.parametrize("score", ["excess lift", "placement percentile"])
    def test_a_score_without_an_interval_leaves_open_whether_a_map_points(self, score):
        result = make_result()
        entry = result.region_scores[0]
        bare = replace(entry.scores[score], low=None, high=None)
        assert points_at(replace(entry, scores=entry.scores | {score: bare}), result) == "open"

    @pytest.mark.parametrize("score", ["excess lift", "placement percentile"])
    @pytest.mark.parametrize(("half", "state"), [(0.8, "not clearly"), (0.2, "does not")])
    def test_a_map_points_only_where_edges_and_look_alike_places_do_not(self, score, half, state):
        result = make_result()
        low = measure(-0.25, half)
        entry = replace(result.region_scores[0], scores=result.region_scores[0].scores | {score: low})
        assert points_at(entry, result) == state
        changed = replace(result, region_scores=[entry])
        answer = which_method_shows_it(changed.findings[0], changed)
        assert ("Not clearly shown by gradient." in answer) == (state == "not clearly")
        assert ("Not shown by gradient." in answer) == (state == "does not")

    def test_without_the_study_nothing_is_marked(self):
        result = replace(make_result(), trust=None)
        assert read_methods(result.trust).failed == {}
        assert [piece.kind for piece in tell_trust(result)] == ["answer"]

    def test_answers_in_words(self):
        _, *parts = tell_trust(make_result())
        told = {part.title: part.pieces for part in parts}
        tests, sense = told["Which methods deserve trust here?"][0], told["Does the saliency map make sense?"]
        assert tests.text.startswith("1 of 2 kinds of maps passed what decides: gradient.")
        assert "Grad-CAM (conv) [✗ failed its tests], randomised weights" in tests.text
        assert sense[0].text.startswith("Yes, here it does.")
        assert "one draw of weights" in sense[1].text
        assert told["Signed or absolute?"][0].answers[0].head == "gradient: absolute."
        assert "pairs correlate by 0.5 or more" in told["Do the methods agree?"][0].text
        sure = told["Logit or probability?"]
        assert "In 8 of 16 images the probability of the target is over 99\u202f% or under 1\u202f%" in (sure[0].text)
        assert "48 times (median; 32 to 64, n = 16) fainter" in sure[0].text
        assert all(picture.is_strength for picture in sure[1].pictures[1:])  # the signs of this gradient say nothing
        assert [picture.scale_of for picture in sure[1].pictures] == [None] * 4 + ["map gradient"]
        assert told["Smoothed or not?"][0].answers[0].head == "gradient: no clear difference."
