"""Two runs image by image: what grew, what shrank, what is the same, and what cannot be told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import auditor
from auditor.errors import ReportError
from auditor.report.comparison import render_comparison
from auditor.run.compare import compare_runs, exit_code, pair_runs, summarise
from auditor.run.evidence import Evidence
from auditor.run.paired import Pairing
from auditor.run.store import Run, SavedRun, save_run
from auditor.verdict.record import Stratum
from tests.numpy_world import build_numpy_world, set_strength
from tests.pairs import IMAGES, make_run, noise
from tests.small_world import Command, World
from tests.synthetic import make_arrays, measure


def with_parts(run: Run) -> Run:
    """The same with the one part that its images are: dogs."""
    part = Stratum("class", "dog", measure(1.0), measure(1.0), measure(0.5, unit="share"))
    findings = [replace(finding, strata=[part]) for finding in run.result.findings]
    return replace(run, result=replace(run.result, findings=findings))


def both(*runs: Run) -> Run:
    """One run with the findings of several, each on an artefact of its own."""
    rows = runs[0].rows
    for run in runs[1:]:
        for name, column in rows.columns.items():
            kept = [at for at, artefact in enumerate(run.rows.columns["artefact"]) if artefact]
            column += [run.rows.columns[name][at] for at in kept]
    return replace(runs[0], result=replace(runs[0].result, findings=[each.result.findings[0] for each in runs]))


def courses(before: Run, after: Run) -> list[str]:
    return [change.course for change in compare_runs(before, after)]


class TestCourse:
    @pytest.mark.parametrize(
        ("shift", "course", "mirrored"),
        [
            (noise(2, spread=0.1) + 2, "grew", "shrank"),
            (noise(2, spread=0.1) - 2, "shrank", "grew"),
            (noise(2, spread=0.1), "unchanged", "unchanged"),
            (noise(2, spread=9.0), "no clear change", "no clear change"),
        ],
    )
    def test_goes_by_the_difference_of_each_image_and_the_other_way_round(
        self, shift: np.ndarray[Any, Any], course: str, mirrored: str
    ) -> None:
        before, after = make_run(noise(1, spread=5) + 3), make_run(noise(1, spread=5) + 3 + shift)
        assert courses(before, after) == [course]
        assert courses(after, before) == [mirrored]

    def test_what_overlapping_intervals_hide_is_seen(self) -> None:
        before, after = make_run(noise(1, spread=5) + 3), make_run(noise(1, spread=5) + 2 + noise(2, spread=0.1))
        (change,) = compare_runs(before, after)
        assert change.before is not None
        assert change.after is not None
        old, new = change.before.effect, change.after.effect
        assert old is not None
        assert new is not None
        assert new.bounds[1] > old.bounds[0]
        assert change.course == "shrank"

    def test_images_of_one_group_count_once(self) -> None:
        grown = np.repeat(noise(2, IMAGES // 10, 2), 10) + 1.2
        before, after = make_run(noise(1) + 3), make_run(noise(1) + 3 + grown)
        apart = compare_runs(before, after)[0].effect
        for run in (before, after):
            run.rows.columns["group"] = [str(int(name.split("-")[1]) // 10) for name in run.rows.columns["image"]]
        together = compare_runs(before, after)[0].effect
        assert apart is not None
        assert together is not None
        assert together.groups == IMAGES // 10
        assert together.bounds[1] - together.bounds[0] > 2 * (apart.bounds[1] - apart.bounds[0])

    def test_the_order_of_images_does_not_matter_and_only_shared_ones_count(self) -> None:
        names = [f"image-{number}" for number in range(IMAGES)]
        before, after = make_run(noise(1) + 3, names=names), make_run((noise(1) + 5)[::-1], names=names[::-1])
        part = make_run((noise(1) + 5)[:60], names=names[:60])
        whole, some = (compare_runs(before, other)[0].effect for other in (after, part))
        assert whole is not None
        assert some is not None
        assert (whole.value, whole.n, some.value, some.n) == pytest.approx((2.0, IMAGES, 2.0, 60))

    def test_runs_that_share_no_images_are_read_by_intervals_and_that_is_said(self) -> None:
        before = make_run(noise(1) + 3)
        after = make_run(noise(1) + 9, names=[f"other-{number}" for number in range(IMAGES)])
        (change,) = compare_runs(before, after)
        assert (change.course, change.effect) == ("grew", None)
        assert "the intervals do not overlap; the runs cannot be compared image by image" in change.reason

    def test_runs_from_before_images_told_it_are_read_by_intervals(self) -> None:
        before, after = make_run(noise(1) + 3), make_run(noise(1) + 9)
        for run in (before, after):
            kept = [name not in ("control_contrast", "class_contrast") for name in run.rows.columns["measurement"]]
            for name, column in run.rows.columns.items():
                run.rows.columns[name] = [value for value, is_kept in zip(column, kept, strict=True) if is_kept]
        assert compare_runs(before, after)[0].course in ("grew", "no clear change")


class TestEvidence:
    def test_an_image_of_several_classes_is_of_each(self) -> None:
        run = make_run(noise(1))
        model = replace(run.result.model, classes=["cat", "dog", "big, dog"])
        labels = ["cat, dog", "big, dog", "dog", "none", None]
        run.rows.columns["label"] = [
            label and labels[int(name.split("-")[1]) % 5]
            for label, name in zip(run.rows.columns["label"], run.rows.columns["image"], strict=True)
        ]
        evidence = Evidence(replace(run, result=replace(run.result, model=model)))
        numbers = np.array([int(name.split("-")[1]) % 5 for name in evidence.names])
        of = {name: set(numbers[evidence.of_class(("tag", "cat"), name)].tolist()) for name in model.classes}
        assert of == {"cat": {0}, "dog": {0, 2}, "big, dog": {1}}

    def test_a_part_of_a_column_is_what_its_rows_say(self) -> None:
        run = make_run(noise(1))
        run.rows.note(
            np.ones(2), image=["image-7", "image-3"], measurement="part of the images", condition="scanner = a"
        )
        evidence = Evidence(run)
        assert set(evidence.names[evidence.members((None, None), "scanner = a")]) == {"image-3", "image-7"}
        assert not evidence.members((None, None), "scanner = b").any()


class TestLeastLead:
    @pytest.mark.parametrize(("spread", "is_clear"), [(0.1, True), (20.0, False)])
    def test_where_it_is_not_clear_which_lead_is_least_the_interval_spans_them(
        self, spread: float, is_clear: bool
    ) -> None:
        """Theta goes from its lead over controls, 2, to its lead over classes, 1; the leads change by +3 and -2."""
        values = noise(1, spread=spread) + 2
        before, after = make_run(values), make_run(values + 3)
        rows = after.rows.columns
        for at, name in enumerate(rows["measurement"]):
            if name == "class_contrast":
                rows["value"][at] = float(rows["value"][at] or 0.0) - 5
        (finding,) = after.result.findings
        change = Pairing(Evidence(before), Evidence(after)).change_of_effect(before.result.findings[0], finding)
        assert change.value == pytest.approx(-1.0)
        assert change.bounds == pytest.approx((-1.0, -1.0) if is_clear else (-2.0, 3.0))


class TestSummary:
    def test_mended(self) -> None:
        before, after = make_run(noise(1) + 4), make_run(noise(1) * 0.1, verdict="no_evidence")
        said = list(summarise(compare_runs(with_parts(before), with_parts(after))))
        assert said == [
            "The shortcut tag → cat shrank; it is no longer relied on above the margin.",
            "No other grew by 0.5 margins or more, in all images or in any part of them.",
        ]

    def test_not_mended(self) -> None:
        before, after = make_run(noise(1) + 4), make_run(noise(1) + 4 + noise(2))
        assert next(summarise(compare_runs(before, after))).startswith("The shortcut tag → cat did not clearly shrink")

    def test_mended_while_another_grew(self) -> None:
        before = both(make_run(noise(1) + 4), make_run(noise(3), artefact="frame", verdict="inconclusive"))
        after = both(make_run(noise(1), verdict="no_evidence"), make_run(noise(3) + 3, artefact="frame"))
        changes = compare_runs(before, after)
        assert list(summarise(changes))[-1] == "Another grew: frame → cat."
        assert exit_code(changes) == 1

    def test_a_part_that_grew_is_named_where_the_whole_did_not(self) -> None:
        half = np.arange(IMAGES) % 2 == 0
        before, after = make_run(noise(1) + 4), make_run(noise(1) + 4 + np.where(half, 2, -2))
        for run in (before, after):
            labels = [f"image-{number}" for number in np.flatnonzero(half)]
            run.rows.columns["label"] = ["dog" if name in labels else "cat" for name in run.rows.columns["image"]]
        changes = compare_runs(with_parts(before), with_parts(after))
        assert ([part.course for part in changes[0].parts], changes[0].course) == (["grew"], "unchanged")
        assert list(summarise(changes))[-1] == "Another grew: tag → cat where class = dog."
        assert exit_code(changes) == 1

    def test_what_grew_as_a_whole_is_not_named_again_by_its_parts(self) -> None:
        changes = compare_runs(with_parts(make_run(noise(1) + 4)), with_parts(make_run(noise(1) + 8)))
        assert [part.course for part in changes[0].parts] == ["grew"]
        assert next(summarise(changes)) == "The shortcut tag → cat grew; it is still relied on."

    def test_what_is_open_is_no_all_clear(self) -> None:
        before = both(make_run(noise(1) + 4), make_run(noise(3, spread=9), artefact="frame", verdict="inconclusive"))
        after = both(make_run(noise(1)), make_run(noise(4, spread=9), artefact="frame", verdict="inconclusive"))
        assert (
            list(summarise(compare_runs(before, after)))[-1]
            == "No other clearly grew, but this is open for frame → cat."
        )


class TestSaved:
    def test_a_saved_run_gives_what_it_gave_in_memory(self, tmp_path: Path) -> None:
        before, after = with_parts(make_run(noise(1) + 4)), with_parts(make_run(noise(1) + noise(2) + 5))
        saved = [SavedRun(save_run(run, tmp_path)) for run in (before, after)]
        assert compare_runs(*saved) == compare_runs(before, after)

    def test_names_that_no_encoding_takes_are_compared_as_they_are_saved(self, tmp_path: Path) -> None:
        names = [f"image-{number}-\udcff" for number in range(IMAGES)]
        before, after = (make_run(noise(1) + shift, names=names) for shift in (3, 5))
        saved = SavedRun(save_run(before, tmp_path))
        (change,) = compare_runs(saved, after)
        assert change.effect is not None
        assert (change.effect.n, change.course) == (IMAGES, "grew")

    @pytest.mark.parametrize("damage", ["columns", "types", "nulls", "bytes"])
    def test_damaged_rows_are_one_sentence(self, tmp_path: Path, damage: str) -> None:
        run = make_run(noise(1) + 4)
        good, bad = (save_run(each, tmp_path) for each in (run, make_run(noise(1) + 5)))
        file = bad / "rows.parquet"
        table = pq.read_table(file, partitioning=None)
        if damage == "columns":
            pq.write_table(table.drop_columns(["value"]), file)
        elif damage == "types":
            pq.write_table(
                table.set_column(table.schema.get_field_index("value"), "value", pa.array(["x"] * len(table))), file
            )
        elif damage == "nulls":
            pq.write_table(table.set_column(0, "image", pa.nulls(len(table), pa.string())), file)
        else:
            file.write_bytes(b"PAR1")
        if damage == "nulls":
            (change,) = compare_runs(SavedRun(good), SavedRun(bad))
            assert change.effect is None
            return
        with pytest.raises(ReportError, match=r"rows\.parquet: damaged"):
            compare_runs(SavedRun(good), SavedRun(bad))

    def test_the_page_says_it_in_plain_sentences(self) -> None:
        runs = with_parts(make_run(noise(1) + 4)), with_parts(make_run(noise(1) * 0.1, verdict="no_evidence"))
        results = runs[0].result, runs[1].result
        page = render_comparison(("a", "b"), results, (make_arrays(), make_arrays()), pairing=pair_runs(*runs))
        assert "The shortcut tag → cat shrank; it is no longer relied on above the margin." in page
        assert "class = dog" in page

    def test_a_real_model_that_was_mended(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
    ) -> None:
        world: World = build_numpy_world(tmp_path, monkeypatch)
        before = auditor.audit(world.config)
        set_strength(world, 0.0)
        after = auditor.audit(world.config)
        (change,) = auditor.compare(before, after)
        assert change.course == "shrank"
        assert {part.course for part in change.parts} == {"shrank"}
        assert before.folder is not None
        assert after.folder is not None
        ending = command("compare", before.folder, after.folder)
        assert ending.code == 0
        assert ending.out.startswith("The shortcut mark → boat shrank; it is no longer relied on above the margin.")
        assert "where class = cat: shrank (its effect shrank by" in ending.out
