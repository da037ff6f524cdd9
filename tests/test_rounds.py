"""An audit that looks at a part of its images first: when it ends, what it saves, and what it must not change."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from auditor.artefacts.kinds import Artefact
from auditor.errors import DataError, ModelError
from auditor.subject.data.sample import Dataset
from auditor.verdict.findings import judge, judge_all
from auditor.verdict.observations import Observations
from auditor.verdict.passes import NEIGHBOURS
from auditor.verdict.record import Rule
from auditor.verdict.rounds import choose_rounds
from auditor.verdict.trial import survey
from tests.closed_form import MemorySource
from tests.test_second_rule import SHAPE, Model, content, corner, mark, patterns, pushed, sees_mark, world

RULE, FIRST = Rule(), 60
CLASSES = 4


def artefact(name="mark", target: int | None = 0, at=(10, 10), count=480) -> Artefact:
    return Artefact(name, "overlay", mark(at=at), target, "none", np.zeros(count, bool))


def dataset(model, count=480, groups=None, labels=True, classes=CLASSES) -> Dataset:
    images, truth = world(count, classes)
    source = MemorySource(images, truth.tolist() if labels else None, groups)
    return Dataset(source, classes=model.classes, image_shape=SHAPE)


def model_of(formula, classes=CLASSES) -> Model:
    return Model(formula, tuple(f"class {number}" for number in range(classes)))


def look_over(model, data, artefacts, rounds, columns=None, rule=RULE, *, always_beside=False):
    return survey(
        model, data, artefacts, fills=("mean",), rule=rule, seed=0, batch_size=100, progress=lambda *_: None,
        columns=columns, rounds=rounds, always_beside=always_beside,
    )  # fmt: skip


def dataset_of(model, images, truth) -> Dataset:
    labels = None if truth is None else truth.tolist()
    return Dataset(MemorySource(images, labels), classes=model.classes, image_shape=SHAPE)


def verdict_by_looks(formula, images, truth, *, look=None, carriers=None, columns=None) -> str:
    model = model_of(formula)
    carried = np.zeros(len(images), bool) if carriers is None else carriers
    suspect = Artefact("mark", "overlay", look or mark(), 0, "list", carried)
    data = dataset_of(model, images, truth)
    (observed,) = look_over(model, data, [suspect], choose_rounds(data, [suspect]), columns).observed
    return judge(observed, 0, RULE).verdict


PLAIN = model_of(pushed(CLASSES, {0: 6.0}))
INNOCENT = model_of(pushed(CLASSES, {}))


class TestRounds:
    def test_each_row_is_in_one_round_and_each_look_is_twice_as_large_as_the_last(self):
        data = dataset(PLAIN)
        rounds = choose_rounds(data, [artefact()], first=FIRST)
        assert np.cumsum([len(rows) for rows in rounds]).tolist() == [60, 120, 240, 480]
        assert np.array_equal(np.sort(np.concatenate(rounds)), np.arange(480))
        assert all((np.diff(rows) > 0).all() for rows in rounds)

    def test_a_look_has_images_of_the_target_enough_for_its_own_side(self):
        data = dataset(PLAIN)
        first, *_ = choose_rounds(data, [artefact()], first=FIRST)
        assert data.truth[first, 0].sum() >= RULE.min_groups

    def test_a_scan_of_images_of_which_some_have_no_label_has_one_round(self):
        images, truth = world(480, CLASSES)
        labels = [None if at % 3 else int(label) for at, label in enumerate(truth)]
        data = Dataset(MemorySource(images, labels), classes=PLAIN.classes, image_shape=SHAPE)
        assert len(choose_rounds(data, [artefact(target=None)], first=FIRST)) == 1
        assert len(choose_rounds(data, [artefact()], first=FIRST)) > 1

    @pytest.mark.parametrize("case", ["few images", "no artefact", "a scan of images without labels"])
    def test_there_is_one_round_where_there_is_nothing_to_gain(self, case):
        data = dataset(PLAIN, labels="labels" not in case)
        asked = [] if case == "no artefact" else [artefact(target=None if "scan" in case else 0)]
        first = 300 if case == "few images" else FIRST
        (rows,) = choose_rounds(data, asked, first=first)
        assert np.array_equal(rows, np.arange(480))


class TestEnding:
    @pytest.mark.parametrize(("model", "verdict"), [(PLAIN, "relies"), (INNOCENT, "no_evidence")])
    def test_a_plain_case_ends_at_a_look_with_the_verdict_of_all_images(self, model, verdict):
        data = dataset(model, 1200)
        suspect = artefact(count=1200)
        rounds = choose_rounds(data, [suspect], first=200)
        short, whole = (look_over(model, data, [suspect], each) for each in (rounds, ()))
        few, all_of = (judge(seen.observed[0], 0, RULE) for seen in (short, whole))
        assert few.verdict == all_of.verdict == verdict
        assert len(short.images) == 200
        assert sum(short.passes.values()) < sum(whole.passes.values()) / 3
        assert few.effect.low <= all_of.effect.value <= few.effect.high
        (told,) = [note.text for note in few.notes if note.kind == "settled"]
        assert "after 200 images" in told
        assert "other 1000 " in told
        assert not [note for note in all_of.notes if note.kind == "settled"]

    def test_a_case_at_the_margin_takes_all_images(self):
        data, suspect = dataset(PLAIN), artefact()
        whole = look_over(PLAIN, data, [suspect], ())
        effect = judge(whole.observed[0], 0, RULE).effect
        rule = replace(RULE, margin=effect.value)
        seen = look_over(PLAIN, data, [suspect], choose_rounds(data, [suspect], first=FIRST), rule=rule)
        assert len(seen.images) == 480
        one, other = (judge(each.observed[0], 0, rule) for each in (seen, whole))
        assert one.verdict == other.verdict == "inconclusive"
        assert one.effect.value == pytest.approx(other.effect.value, abs=1e-5)

    def test_fewer_images_than_an_all_clear_needs_end_nothing(self):
        data = dataset(INNOCENT, 480)
        seen = look_over(INNOCENT, data, [artefact()], choose_rounds(data, [artefact()], first=30))
        assert len(seen.images) > RULE.images_for_all_clear

    def test_an_artefact_that_is_settled_is_tried_no_more_while_others_are(self):
        """The other one raises the score of some images and lowers that of as many: it turns decisions, and is open."""

        def formula(images):
            sign = np.where(images[:, 13, 0, 0] > 0.5, 8.0, -8.0)
            logits = pushed(CLASSES, {0: 6.0})(images)
            logits[:, 0] += sign * sees_mark(images, (0, 0))
            return logits

        model, pair = model_of(formula), [artefact(), artefact("either way", at=(0, 0))]
        data = dataset(model)
        seen = look_over(model, data, pair, choose_rounds(data, pair, first=120))
        strong, faint = seen.observed
        assert isinstance(strong, Observations)
        assert isinstance(faint, Observations)
        assert len(strong.images) < len(faint.images) == len(seen.images) == 480
        assert judge_all([(strong, 0), (faint, 0)], RULE)[0].verdict == "relies"

    @pytest.mark.parametrize("share", [0.03, 0.15])
    def test_a_part_that_moves_is_found_however_small(self, share):
        images, truth = world(2400, CLASSES)
        is_part = np.random.default_rng(3).random(2400) < share
        images[is_part, :3, :3] = 0.95

        def formula(pictures):
            logits = pushed(CLASSES, {})(pictures)
            is_gated = pictures[:, :3, :3].mean(axis=(1, 2, 3)) > 0.85
            logits[:, 0] += 20 * is_gated * sees_mark(pictures)
            return logits

        columns = {"site": np.where(is_part, "b", "a")}
        assert verdict_by_looks(formula, images, truth, columns=columns) != "no_evidence"

    def test_few_carriers_that_contradict_are_waited_for(self):
        """One image in a hundred carries it, and not where it is named."""
        images, truth = world(2400, CLASSES)
        carriers = np.zeros(2400, bool)
        carriers[np.random.default_rng(5).permutation(2400)[:24]] = True
        images[carriers] = mark(1.0, at=(5, 0)).insert(images[carriers])
        formula = pushed(CLASSES, {0: 12.0}, at=(5, 0))
        assert verdict_by_looks(formula, images, truth, look=mark(1.0), carriers=carriers) == "inconclusive"

    @pytest.mark.parametrize("on_its_own", [-3.0, 0.0])
    def test_own_images_that_are_few_and_unlabelled_are_waited_for(self, on_its_own):
        """The mark raises the class where it is not, and lowers it, or does nothing, where it is."""
        random = np.random.default_rng(1)
        labels = random.choice(CLASSES, 2400, p=[0.03, 0.33, 0.33, 0.31])
        images = 0.5 + 0.15 * random.normal(size=(2400, *SHAPE))
        images[:, 3:11, 3:11, 0] += 0.2 * patterns(CLASSES)[labels]
        images = np.clip(images, 0, 1).astype(np.float32)

        def formula(pictures):
            logits = content(pictures, CLASSES)
            own = 1 / (1 + np.exp(-(logits[:, 0] - 10)))
            logits[:, 0] += sees_mark(pictures) * (6 * (1 - own) + on_its_own * own)
            return logits

        assert verdict_by_looks(formula, images, None) != "relies"

    def test_a_neighbour_is_looked_for_among_all_where_the_first_images_carry_it(self):
        images, truth = world(2400, CLASSES)
        carriers = np.random.default_rng(4).random(2400) > 0.06
        images[carriers] = mark(1.0).insert(images[carriers])
        data = dataset_of(PLAIN, images, truth)
        suspect = Artefact("mark", "overlay", mark(1.0), 0, "list", carriers)
        off = model_of(pushed(CLASSES, {0: 10.0}, at=(8, 10)))
        (found,) = look_over(off, data, [suspect], choose_rounds(data, [suspect])).observed
        assert found.place

    def test_a_look_at_images_of_which_too_many_are_spoilt_ends_nothing(self):
        images, truth = world(1200, CLASSES)
        images[np.random.default_rng(0).random(1200) < 0.3] = np.nan
        data = dataset_of(PLAIN, images, truth)
        with pytest.raises(DataError, match="max_corrupt"):
            look_over(PLAIN, data, [artefact(count=1200)], choose_rounds(data, [artefact(count=1200)]))

    def test_a_scan_ends_at_no_look_that_leaves_a_class_untested_that_all_images_test(self):
        model = model_of(pushed(20, {}), 20)
        images, truth = world(480, 20)
        data = dataset_of(model, images, truth)
        scan = artefact(target=None)
        seen = look_over(model, data, [scan], choose_rounds(data, [scan], first=FIRST))
        count = np.bincount(truth[seen.images.positions], minlength=20)
        assert (count[np.bincount(truth, minlength=20) >= RULE.min_groups] >= RULE.min_groups).all()

    def test_what_breaks_the_model_is_told_of_the_artefact_that_does(self):
        def formula(pictures):
            logits = pushed(CLASSES, {})(pictures)
            logits[corner(pictures).max(axis=(1, 2)) > 1.5] = np.inf
            return logits

        class Breaking(Model):
            def scores(self, images):
                found = super().scores(images)
                if not np.isfinite(found).all():
                    raise ModelError("not finite")
                return found

        model = Breaking(formula, PLAIN.classes)
        bad = mark()
        bad = replace(artefact(), appearance=type(bad)(bad.alpha, bad.ink * 4))
        data = dataset(model)
        good = artefact("good", at=(0, 0))
        seen = look_over(model, data, [bad, good], choose_rounds(data, [bad, good], first=120))
        assert "not finite" in str(seen.observed[0])
        assert isinstance(seen.observed[1], Observations)


class TestBeside:
    """Neighbouring places are tried only where they could withhold an all-clear."""

    def test_what_is_relied_on_is_tried_nowhere_else(self):
        data = dataset(PLAIN)
        short, whole = (look_over(PLAIN, data, [artefact()], (), always_beside=always) for always in (False, True))
        assert NEIGHBOURS not in short.passes
        assert whole.passes[NEIGHBOURS] > 0
        assert short.observed[0].elsewhere is None
        one, other = (judge(seen.observed[0], 0, RULE) for seen in (short, whole))
        assert (one.verdict, one.reason) == (other.verdict, other.reason)
        assert one.verdict == "relies"

    @pytest.mark.parametrize("target", [0, None])
    def test_what_would_be_clear_is_tried_beside_on_each_image_once(self, target):
        """It is named two pixels off; the first look would end with an all-clear, and so would all images."""
        model, suspect = model_of(pushed(CLASSES, {0: 8.0}, at=(8, 10))), artefact(target=target)
        data = dataset(model)
        rounds = choose_rounds(data, [suspect], first=120)
        by_looks, at_once = (look_over(model, data, [suspect], each) for each in (rounds, ()))
        for seen in (by_looks, at_once):
            beside = seen.observed[0].elsewhere.images.positions
            assert len(np.unique(beside)) == len(beside) > 300
            finding = judge(seen.observed[0], target, RULE)
            assert finding.verdict == "inconclusive"
            assert finding.measurements["theta_elsewhere"].low > finding.margin
        few, whole = (seen.observed[0].elsewhere for seen in (by_looks, at_once))
        both, of_few, of_whole = np.intersect1d(few.images.positions, whole.images.positions, return_indices=True)
        assert len(both) > 200
        np.testing.assert_allclose(few.shift[of_few], whole.shift[of_whole], atol=1e-4)

    def test_artefacts_that_are_tried_beside_on_the_same_images_read_them_once(self):
        model = model_of(pushed(CLASSES, {0: 8.0}, at=(8, 10)))
        data, reads = dataset(model), []
        plain = data.batches
        data.batches = lambda size, rows=None: reads.append(len(rows)) or plain(size, rows)
        pair = [artefact(), artefact("again")]
        seen = look_over(model, data, pair, ())
        one, two = (observed.elsewhere for observed in seen.observed)
        assert [rows for rows in reads if rows > 100] == [480, 456]  # and some read a few
        assert np.array_equal(one.images.positions, two.images.positions)
        assert len(one.images) == 456

    def test_artefacts_of_other_carriers_are_tried_beside_in_one_reading_too(self):
        model, reads = model_of(pushed(CLASSES, {0: 8.0}, at=(8, 10))), []
        images, truth = world(480, CLASSES)
        carriers = np.arange(480) % 10 == np.array([[3], [7]])
        suspects = [Artefact(f"mark {at}", "overlay", mark(), 0, "list", own) for at, own in enumerate(carriers)]
        data = dataset_of(model, images, truth)
        plain = data.batches
        data.batches = lambda size, rows=None: reads.append(len(rows)) or plain(size, rows)
        seen = look_over(model, data, suspects, (), always_beside=True)
        assert [rows > 400 for rows in reads if rows > 100] == [True, True]
        for observed, own in zip(seen.observed, carriers, strict=True):
            beside = observed.elsewhere.images.positions
            assert 300 < len(beside) == len(np.unique(beside))
            assert not own[beside].any()

    def test_what_a_look_found_beside_of_a_part_of_the_images_is_not_told_of_all(self):
        """All images of the first look are clear; the mark moves the class on the others, and is open in the end."""
        images, truth = world(1200, CLASSES)
        rounds = choose_rounds(dataset_of(PLAIN, images, truth), [artefact(count=1200)])
        images[:, 0, 0] = 0.0
        images[rounds[-1], 0, 0] = 1.0
        whole = []
        for gate in (4.0, 6.0, 8.0):

            def formula(pictures, gate=gate):
                logits = pushed(CLASSES, {0: 8.0}, at=(8, 10))(pictures)
                logits[:, 0] += gate * sees_mark(pictures) * (pictures[:, 0, 0, 0] > 0.9)
                return logits

            model = model_of(formula)
            (found,) = look_over(model, dataset_of(model, images, truth), [artefact(count=1200)], rounds).observed
            assert found.elsewhere is None or len(found.elsewhere.images) > 1000
            whole.append(found.elsewhere is not None)
        assert not all(whole)


def test_copies_are_joined_over_all_rounds_and_said_once():
    images, truth = world(480, CLASSES)
    order = np.random.default_rng(0).permutation(480)
    images[order[:200]] = images[order[0]]
    data = Dataset(MemorySource(images, truth.tolist()), classes=PLAIN.classes, image_shape=SHAPE)
    rule = replace(RULE, min_groups=400)  # that many there are not: it takes all images
    seen = look_over(PLAIN, data, [artefact()], choose_rounds(data, [artefact()], first=FIRST), rule=rule)
    assert len(np.unique(seen.images.groups)) == 281
    assert len([told for told in data.notes if "show one picture" in told]) == 1
