"""Where a rule that looks at one number goes wrong: closed-form models of a small world, through survey and judge.

Pictures are noise with a pattern of their class in the middle; the artefact is a speckled mark of 4 x 4 pixels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from auditor.artefacts.kinds import Artefact
from auditor.artefacts.overlay import Overlay
from auditor.errors import AuditError
from auditor.subject.data.sample import Dataset
from auditor.subject.model.classifier import Output
from auditor.verdict.findings import judge
from auditor.verdict.harms import INTERACTION
from auditor.verdict.record import Finding, Rule
from auditor.verdict.trial import survey
from tests.closed_form import MemorySource

SHAPE, SIDE, AT = (14, 14, 1), 4, (10, 10)
MARK = np.random.default_rng(7).random((SIDE, SIDE)).astype(np.float32)
MARK[(MARK > 0.4) & (MARK < 0.6)] = 0.9
PATTERN = (MARK - MARK.mean()) / np.sqrt(np.square(MARK - MARK.mean()).sum())


@dataclass(frozen=True)
class Model:
    """A classifier by its formula: images (n, 14, 14, 1) to logits (n, classes)."""

    formula: Callable[[Any], Any]
    classes: tuple[str, ...]
    output: Output = "softmax"
    image_shape: tuple[int, int, int] = SHAPE

    def scores(self, images):
        return np.asarray(self.formula(images), np.float32)


def patterns(count: int):
    return np.random.default_rng(100).choice([-1.0, 1.0], (count, 8, 8))


def world(n: int, count: int, seed: int = 0):
    random = np.random.default_rng(seed)
    labels = random.integers(0, count, n)
    images = 0.5 + 0.15 * random.normal(size=(n, *SHAPE))
    images[:, 3:11, 3:11, 0] += 0.12 * patterns(count)[labels]
    return np.clip(images, 0, 1).astype(np.float32), labels


def mark(opacity: float = 0.8, at: tuple[int, int] = AT) -> Overlay:
    alpha, ink = np.zeros(SHAPE[:2], np.float32), np.zeros(SHAPE, np.float32)
    place = np.s_[at[0] : at[0] + SIDE, at[1] : at[1] + SIDE]
    alpha[place], ink[(*place, 0)] = opacity, MARK
    return Overlay(alpha, ink)


def corner(images, at: tuple[int, int] = AT):
    return images[:, at[0] : at[0] + SIDE, at[1] : at[1] + SIDE, 0]


def sees_mark(images, at: tuple[int, int] = AT):
    """About 1 with the mark there, 0 without (n,)."""
    part = corner(images, at)
    part = part - part.mean(axis=(1, 2), keepdims=True)
    likeness = (part * PATTERN).sum(axis=(1, 2)) / (np.sqrt(np.square(part).sum(axis=(1, 2))) + 1e-6)
    return 1 / (1 + np.exp(-30 * (likeness - 0.8)))


def content(images, count: int):
    """Logits by the pattern in the middle (n, classes)."""
    return np.einsum("nij,kij->nk", images[:, 3:11, 3:11, 0] - 0.5, patterns(count)) / 64 / 0.01


def pushed(count: int, pushes: dict[int, float], gain: float = 1.0, at: tuple[int, int] = AT):
    """Logits of the content, and so much more for some classes with the mark."""

    def formula(images):
        logits = gain * content(images, count)
        for number, push in pushes.items():
            logits[:, number] += push * sees_mark(images, at)
        return logits

    return formula


def audit(
    formula: Callable[[Any], Any],
    count: int,
    target: int | None = 0,
    *,
    look: Overlay | None = None,
    output: Output = "softmax",
    seed: int = 0,
    n: int = 300,
    carriers: Any = None,
    pictures: Any = None,
    labels: Any = None,
    columns: dict[str, Any] | None = None,
    groups: list[str] | None = None,
) -> Finding:
    images, truth = world(n, count, seed)
    images = images if pictures is None else pictures
    model = Model(formula, tuple(f"class {number}" for number in range(count)), output)
    told = [int(label) for label in (truth if labels is None else labels)]
    source = MemorySource(images, told, groups)
    dataset = Dataset(source, classes=model.classes, image_shape=SHAPE, multilabel=output == "multilabel")
    carried = np.zeros(n, bool) if carriers is None else carriers
    artefact = Artefact("mark", "overlay", look or mark(), target, "none", carried)
    seen = survey(
        model,
        dataset,
        [artefact],
        fills=("mean",),
        rule=Rule(),
        seed=seed,
        batch_size=500,
        progress=lambda *_: None,
        columns=columns,
    )
    (observed,) = seen.observed
    assert not isinstance(observed, AuditError)
    return judge(observed, target, Rule())


class TestSign:
    def test_a_mark_that_harms_less_than_controls_promotes_nothing(self):
        images, _ = world(300, 2)
        images[:, 10:, 10:] = 0.2 + 0.005 * np.random.default_rng(0).normal(size=(300, 4, 4, 1))

        def formula(pictures):
            part = corner(pictures)
            is_natural = np.abs(part - part.mean(axis=(1, 2), keepdims=True)).mean(axis=(1, 2)) < 0.02
            is_natural &= np.abs(part.mean(axis=(1, 2)) - 0.2) < 0.1
            harm = np.where(is_natural, 0, np.where(sees_mark(pictures) > 0.5, -0.4, -1.6))
            logits = content(pictures, 2)
            half = ((logits[:, 1] - logits[:, 0]) * 0.4 + harm) / 2
            return np.stack([-half, half], axis=1)

        finding = audit(formula, 2, 1, pictures=images.astype(np.float32))
        assert finding.measurements["control_contrast"].low > finding.margin
        assert finding.verdict != "relies"

    def test_a_harmless_black_box_where_white_is_the_shortcut_suppresses_nothing(self):
        box = mark()
        box = Overlay(box.alpha, np.zeros_like(box.ink))

        def formula(pictures):
            logits = content(pictures, 10)
            logits[:, 0] += 8 * np.clip((corner(pictures).mean(axis=(1, 2)) - 0.7) / 0.2, 0, 1)
            return logits

        assert audit(formula, 10, look=box).verdict != "relies"


class TestSets:
    @pytest.mark.parametrize("count", [3, 4, 6, 10])
    def test_two_classes_that_are_promoted_together_are_no_all_clear(self, count):
        assert audit(pushed(count, {0: 8, 1: 8}), count).verdict != "no_evidence"

    def test_the_set_is_named(self):
        finding = audit(pushed(5, {0: 8, 1: 8}), 5)
        assert (finding.verdict, finding.together) == ("relies", ["class 1"])

    def test_a_scan_finds_the_set_and_not_what_it_displaces(self):
        finding = audit(pushed(5, {0: 8, 1: 8}), 5, None)
        assert (finding.verdict, finding.direction) == ("relies", "promotes")
        assert {finding.target, *finding.together} == {"class 0", "class 1"}

    def test_labels_that_are_promoted_together_are_relied_on_each(self):
        finding = audit(
            lambda images: pushed(4, {0: 8, 1: 8})(images) - 6, 4, output="multilabel", labels=world(300, 4)[1]
        )
        assert finding.verdict == "relies"


class TestDecisionsAndTemperature:
    def weak(self, images):
        logits = content(images, 2)
        score = np.clip((logits[:, 1] - logits[:, 0]) / 4, -1, 1) * 0.45 + 0.46 * sees_mark(images)
        return np.stack([-score / 2, score / 2], axis=1)

    @pytest.mark.parametrize("target", [1, None])
    def test_a_model_all_of_whose_decisions_turn_is_no_all_clear_however_small_its_scores(self, target):
        finding = audit(self.weak, 2, target)
        assert (finding.verdict, finding.severity) == ("relies", "high")

    @pytest.mark.parametrize("push", [8.0, 0.0])
    def test_the_temperature_changes_no_verdict(self, push):
        formula = pushed(10, {0: push})
        verdicts = {audit(lambda images, T=T: formula(images) / T, 10).verdict for T in (1, 4, 20)}
        assert verdicts == {"relies" if push else "no_evidence"}

    def test_scores_that_move_and_turn_no_decision_are_called_so(self):
        formula = pushed(10, {0: 5.0}, gain=2.0)
        finding = audit(formula, 10)
        assert (finding.verdict, finding.severity) == ("relies", "score only")

    def test_faint_marks_keep_their_controls(self):
        finding = audit(
            lambda images: (
                content(images, 10) * 0.35
                + np.eye(10)[0] * 8 * ((corner(images) - 0.5) * PATTERN).sum(axis=(1, 2))[:, None] / 0.1
            ),
            10,
            look=mark(0.1),
        )
        assert set(finding.controls) == {"scrambled", "inverted tone", "flat patch", "veil"}


class TestInnocents:
    def test_random_sensitivity_of_two_classes_is_hardly_ever_relied_on(self):
        verdicts = Counter[str]()
        for seed in range(20):
            weights = np.random.default_rng(seed).normal(size=(SIDE, SIDE)) * 0.45

            def formula(images, weights=weights):
                logits = content(images, 2)
                half = (logits[:, 1] - logits[:, 0]) * 0.25 + ((corner(images) - 0.5) * weights).sum(axis=(1, 2)) / 2
                return np.stack([-half, half], axis=1)

            verdicts[audit(formula, 2, 1, seed=seed).verdict] += 1
        assert verdicts["relies"] <= 1

    def test_a_model_blind_to_the_corner_gets_an_all_clear_and_what_it_leaves_open(self):
        finding = audit(pushed(10, {}), 10)
        assert (finding.verdict, finding.severity) == ("no_evidence", "none")
        assert finding.could_be_missed.smallest_effect >= finding.margin
        assert finding.could_be_missed.unseen_share.value == 0
        # of n images without a change, the exact bound is 1 - (alpha / 2)^(1 / n)
        n = finding.could_be_missed.unseen_share.n
        assert finding.could_be_missed.unseen_share.high == pytest.approx(1 - 0.025 ** (1 / n))

    @pytest.mark.parametrize("n", [24, 50])
    def test_few_images_are_no_all_clear(self, n):
        finding = audit(pushed(4, {}), 4, n=n)
        assert finding.verdict == "inconclusive"
        assert "an all-clear needs 59" in finding.reason or "independent groups" in finding.reason

    def test_groups_say_what_could_be_missed(self):
        finding = audit(pushed(4, {}), 4, groups=[str(number // 4) for number in range(300)])
        assert finding.could_be_missed.unseen_share.groups < finding.could_be_missed.unseen_share.n
        count = finding.could_be_missed.unseen_share.groups
        assert finding.could_be_missed.unseen_share.high == pytest.approx(1 - 0.025 ** (1 / count))


class TestPlaces:
    @pytest.mark.parametrize("off", [1, 2])
    def test_a_place_named_a_pixel_or_two_off_is_no_all_clear(self, off):
        finding = audit(pushed(10, {0: 8}, gain=0.35), 10, look=mark(at=(10 - off, 10 - off)))
        assert finding.verdict == "inconclusive"
        assert "is it named where it is?" in finding.reason

    def test_the_wrong_corner_is_no_all_clear(self):
        finding = audit(pushed(10, {0: 8}, gain=0.35), 10, look=mark(at=(0, 0)))
        assert finding.verdict == "inconclusive"

    def test_neighbours_are_measured_on_other_groups_than_they_were_chosen_on(self):
        groups = [str(number // 5) for number in range(300)]
        finding = audit(pushed(10, {0: 8}, gain=0.35), 10, look=mark(at=(9, 10)), groups=groups)
        assert finding.verdict == "inconclusive"
        elsewhere, named = (finding.measurements[name].groups for name in ("theta_elsewhere", "theta"))
        assert 0.7 * named <= elsewhere < named

    def test_carriers_as_they_came_can_contradict_a_wrong_place(self):
        images, _ = world(300, 4, 3)
        carriers = np.random.default_rng(0).random(300) < 0.2
        images[carriers, :2, :2] = 1.0  # what carriers really have is elsewhere, and no place that is screened

        def formula(pictures):
            logits = content(pictures, 4)
            logits[:, 0] += 30 * np.clip((pictures[:, :2, :2].mean(axis=(1, 2, 3)) - 0.97) / 0.03, 0, 1)
            return logits

        finding = audit(formula, 4, look=mark(0.3), carriers=carriers, pictures=images, seed=3)
        assert finding.verdict == "inconclusive"
        assert "carry it" in finding.reason
        by_class = {entry.target: entry for entry in finding.carriers}
        assert by_class["class 1"].carriers.value < by_class["class 1"].others.value


class TestRedundancyAndParts:
    def test_one_of_two_redundant_marks_on_every_image_is_no_all_clear(self):
        images, _ = world(400, 10)
        images = mark(at=(0, 0)).insert(mark().insert(images))

        def formula(pictures):
            logits = content(pictures, 10) * 0.35
            logits[:, 0] += 8 * np.maximum(sees_mark(pictures), sees_mark(pictures, (0, 0)))
            return logits

        finding = audit(formula, 10, n=400, carriers=np.ones(400, bool), pictures=images)
        assert finding.verdict == "inconclusive"
        assert finding.measurements["alone"].low > finding.margin

    def test_two_named_marks_of_which_either_suffices_are_taken_out_together(self):
        images, labels = world(300, 10)
        images = mark(at=(0, 0)).insert(mark().insert(images))

        def formula(pictures):
            logits = content(pictures, 10) * 0.35
            logits[:, 0] += 8 * np.maximum(sees_mark(pictures), sees_mark(pictures, (0, 0)))
            return logits

        every = np.ones(300, bool)
        two = [Artefact(f"mark {at}", "overlay", mark(at=at), 0, "all", every) for at in (AT, (0, 0))]
        two = [replace(one, beside=(other,)) for one, other in (two, two[::-1])]
        model = Model(formula, tuple(f"class {number}" for number in range(10)))
        dataset = Dataset(MemorySource(images, labels.tolist()), classes=model.classes, image_shape=SHAPE)
        seen = survey(
            model, dataset, two, fills=("mean",), rule=Rule(), seed=0, batch_size=500, progress=lambda *_: None
        )
        for observed, other in zip(seen.observed, two[::-1], strict=True):
            finding = judge(observed, 0, Rule())
            assert finding.verdict == "inconclusive"
            assert abs(finding.measurements["removal_drop"].value) < 1
            assert finding.measurements[f"{INTERACTION} {other.name}"].low > 5

    def test_a_part_of_the_data_that_moves_is_named(self):
        images, labels = world(600, 10, 5)
        site = np.where(np.random.default_rng(1).random(600) < 0.2, "b", "a")
        images[:, :3, :3, 0] = np.where(site == "b", 0.9, 0.1)[:, None, None]

        def formula(pictures):
            logits = content(pictures, 10)
            logits[:, 0] += 14 * sees_mark(pictures) * (pictures[:, :3, :3].mean(axis=(1, 2, 3)) > 0.5)
            return logits

        finding = audit(formula, 10, n=600, pictures=images, labels=labels, columns={"site": site})
        parts = {part.name: part for part in finding.strata}
        assert parts["site = b"].decisions_turned.low > 0.05
        assert parts["site = a"].decisions_turned.high < 0.05
        assert finding.verdict != "no_evidence"
        assert any(note.kind == "stratum" and "site = b" in note.text for note in finding.notes)

    def test_halves_that_move_opposite_ways_are_no_all_clear(self):
        images, labels = world(400, 2, 2)
        images[:, :3, :3, 0] = np.where(np.arange(400) % 2, 0.9, 0.1)[:, None, None]

        def formula(pictures):
            way = np.where(pictures[:, :3, :3].mean(axis=(1, 2, 3)) > 0.5, 1, -1)
            logits = content(pictures, 2)
            half = (logits[:, 1] - logits[:, 0]) * 0.25 + 4 * way * sees_mark(pictures)
            return np.stack([-half, half], axis=1)

        assert audit(formula, 2, 1, n=400, pictures=images, labels=labels).verdict != "no_evidence"


class TestChecks:
    def test_labels_in_another_order_get_no_verdict(self):
        _, labels = world(300, 10)
        finding = audit(pushed(10, {0: 8}), 10, labels=(labels + 1) % 10)
        assert finding.verdict == "inconclusive"
        assert "order of its outputs" in finding.reason
