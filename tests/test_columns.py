"""Columns beside the pictures: what goes with a class and with its score is named, and hardly anything else."""

from __future__ import annotations

import csv
import os
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from auditor.discovery.columns import divide, look_at_columns, measure_pixels
from auditor.discovery.record import NONE, OTHER
from auditor.report.sections.columns import tell_columns, view_columns
from auditor.report.write import draw_page
from auditor.run.result import result_from_json, result_to_json
from auditor.run.store import SavedRun
from auditor.subject.data.columns import read_columns, read_traits
from auditor.subject.data.folders import FolderSource
from auditor.subject.data.manifests import read_manifest
from auditor.subject.population import Population
from tests.small_audits import audit
from tests.small_world import make_data

CLASSES = ("cat", "dog", "boat")


def population(count: int = 360, lift: float = 0.0, seed: int = 0, groups: int = 0):
    """Images of three classes, two fifths of which come from hospital B, boats mostly; its boats score higher."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    hospital = np.where(random.random(count) < np.where(labels == 2, 0.8, 0.2), "B", "A")
    has = labels[:, None] == np.arange(3)
    scores = random.normal(0, 1, (count, 3)) + 2 * has
    scores[:, 2] += lift * (hospital == "B")
    predicted = np.argmax(scores, axis=1)[:, None] == np.arange(3)
    named = np.arange(count) if not groups else random.integers(0, groups, count)
    seen = Population(np.arange(count), scores, predicted, has, np.ones(count, bool), named.astype(str))
    return seen, hospital


def look(seen, columns, measured=None, least: int = 12):
    margins = 0.2 * seen.scores.std(axis=0)
    return look_at_columns(columns, measured or {}, seen, CLASSES, alpha=0.05, margins=margins, least=least)


class TestAPlantedColumn:
    def test_is_named_with_its_value_and_class_and_its_table_is_counted(self):
        seen, hospital = population(lift=2.0)
        record, values = look(seen, {"hospital": hospital.tolist(), "page": ["1"] * len(seen)})
        (found,) = record.found
        assert (found.column, found.value, found.target) == ("hospital", "B", "boat")
        here = hospital == "B"
        first = found.rows[0]
        assert first.images == here.sum()
        assert first.share.value == pytest.approx(seen.has[here, 2].mean())
        assert first.share.low < first.share.value < first.share.high
        assert first.others.value == pytest.approx(seen.scores[here & ~seen.has[:, 2], 2].mean())
        assert values["hospital"].tolist() == hospital.tolist()
        assert record.left_out == ["page holds one value."]

    def test_that_the_model_does_not_use_is_not_named(self):
        seen, hospital = population(lift=0.0)
        assert look(seen, {"hospital": hospital})[0].found == []

    def test_that_does_not_go_with_the_class_is_not_named_whatever_the_score_does(self):
        seen, _ = population()
        column = np.random.default_rng(1).integers(0, 2, len(seen))
        seen.scores[:, 2] += 3 * column
        assert look(seen, {"column": column.tolist()})[0].found == []

    def test_is_found_in_numbers_by_their_range(self):
        seen, hospital = population(lift=3.0)
        ages = np.random.default_rng(0).normal(40, 5, len(seen)) + 30 * (hospital == "B")
        record, _ = look(seen, {}, {"age": ages})
        assert {found.target for found in record.found} == {"boat"}
        assert " to " in record.found[0].value

    def test_of_one_group_is_not_looked_for_and_that_is_said(self):
        seen, hospital = population()
        record, _ = look(replace(seen, groups=np.full(len(seen), "one")), {"hospital": hospital})
        assert record.why_not == "there is 1 independent group of images, and two parts of 12 each are wanted"

    def test_counts_groups_and_not_images(self):
        seen, hospital = population(lift=2.0)
        one = Population(*(getattr(seen, name) for name in ("positions", "scores", "predicted", "has", "labelled")),
                         groups=np.where(hospital == "B", "one", np.arange(len(seen)).astype(str)))  # fmt: skip
        assert look(one, {"hospital": hospital})[0].found == []

    def test_that_is_the_label_itself_is_said_to_be_inseparable(self):
        seen, _ = population()
        record, _ = look(seen, {"code": [CLASSES[at] for at in seen.has.argmax(axis=1)]})
        assert record.found == []
        assert len(record.inseparable) == 3


class TestFalseAlarms:
    """Of families of 200 columns, at most alpha may name any: here no more than chance makes of 5 % of 20."""

    def families(self, make):
        alarms = 0
        for seed in range(20):
            seen, hospital = population(240, lift=1.0, seed=seed)
            random = np.random.default_rng(100 + seed)
            columns = {f"c{at}": make(random, seen, hospital) for at in range(100)}
            others = {f"d{at}": make(random, seen, hospital) for at in range(100)}
            parts = [look(seen, part)[0] for part in (columns, others)]
            assert all(part.tried == 100 * 2 * 3 for part in parts)
            alarms += any(part.found for part in parts)
        return alarms

    @pytest.mark.slow
    def test_of_permuted_columns_are_as_seldom_as_alpha_says(self):
        assert self.families(lambda random, seen, hospital: random.permutation(hospital).tolist()) <= 4

    @pytest.mark.slow
    def test_of_columns_that_go_with_a_class_and_not_with_its_score_are_as_seldom(self):
        def make(random, seen, hospital):
            mixed = hospital.copy()
            for number in range(3):
                rows = np.flatnonzero(seen.has[:, number])
                mixed[rows] = random.permutation(hospital[rows])
            return mixed.tolist()

        assert self.families(make) <= 4

    def test_are_none_of_two_hundred_permuted_columns_and_the_planted_one_is_named_among_them(self):
        seen, hospital = population(lift=2.0)
        random = np.random.default_rng(0)
        columns = {"hospital": hospital.tolist()} | {
            f"c{at}": random.permutation(hospital).tolist() for at in range(99)
        }
        assert [found.column for found in look(seen, columns)[0].found] == ["hospital"]
        more = {f"d{at}": random.permutation(hospital).tolist() for at in range(100)}
        assert look(seen, more)[0].found == []


class TestBadColumns:
    @pytest.mark.parametrize(
        ("values", "said"),
        [
            ([f"patient {at}" for at in range(100)], "names them"),
            (list(range(1000, 1100)), "names them"),
            (["x"] * 100, "one value"),
            ([None] * 100, "one value"),
            ([float("nan")] * 50 + [""] * 50, "one value"),
            ([["a"], ["b"]] * 50, "one value"),
            ([f"word {at // 3}" for at in range(100)], "none of them in 12"),
            (["x"] * 95 + ["y"] * 5, None),
        ],
    )
    def test_are_a_clause_and_never_a_value_of_theirs(self, values, said):
        parts = divide(values, np.arange(100).astype(str), 12)
        if said is None:
            assert set(parts) == {"x", OTHER}
        else:
            assert said in parts
            assert not any(str(value) in parts for value in values if isinstance(value, str) and len(value) > 2)

    def test_mixed_and_missing_values_are_values_as_well(self):
        values = [1, "1", "one", None, float("nan"), True, b"raw"] * 20
        parts = divide(values, np.arange(140).astype(str), 12)
        assert set(parts) == {"1", "one", NONE, "true", "raw"}

    def test_a_thousand_values_are_the_twelve_commonest(self):
        random = np.random.default_rng(0)
        words = [f"word {at}" for at in np.minimum(random.zipf(1.3, 2000), 1000)]
        parts = divide(words, np.arange(2000).astype(str), 12)
        assert len(set(parts)) <= 13

    @pytest.mark.parametrize("what", ["labels", "class", "few"])
    def test_data_that_tell_nothing_are_a_sentence(self, what):
        seen, hospital = population(12 if what == "few" else 120)
        if what == "labels":
            seen.labelled[:] = False
        if what == "class":
            seen.has[:] = np.arange(3) == 0
        record, values = look(seen, {"hospital": hospital})
        assert record.found == []
        assert values == {}
        assert tell_columns(record).startswith("Columns were not looked at: ")
        assert view_columns(record)


def test_what_pixels_tell_has_a_number_for_each_image():
    images = np.random.default_rng(0).random((5, 16, 16, 3)).astype(np.float32)
    found = measure_pixels(images)
    assert {"image: brightness", "image: sharpness", "image: border red"} <= set(found)
    assert all(len(values) == 5 and np.isfinite(values).all() for values in found.values())


class TestFiles:
    def test_tell_their_size_time_compression_and_exif(self, tmp_path):
        exif = Image.Exif()
        exif[0x010F], exif[0x0132] = "Maker", "2026:11:30 10:00:00"
        Image.new("RGB", (20, 10), "red").save(tmp_path / "one.jpg", exif=exif, quality=50)
        os.utime(tmp_path / "one.jpg", (0, 0))
        told = read_traits(tmp_path / "one.jpg")
        assert told["EXIF: Make"] == "Maker"
        assert told["EXIF: DateTime"] == "2026:11"
        assert (told["picture: width"], told["picture: height"], told["picture: format"]) == (20, 10, "JPEG")
        assert told["file: time"] == pytest.approx(1970)
        assert told["picture: quantisation"] > 10

    def test_that_are_damaged_or_gone_tell_what_they_can(self, tmp_path):
        (tmp_path / "bad.jpg").write_bytes(b"no picture")
        assert set(read_traits(tmp_path / "bad.jpg")) == {"file: bytes", "file: time"}
        assert read_traits(tmp_path / "none.jpg") == {}

    def test_what_is_ignored_is_not_read(self, tmp_path):
        (tmp_path / "a").mkdir()
        Image.new("L", (4, 4)).save(tmp_path / "a" / "one.png")
        source = FolderSource(tmp_path)
        whole = read_columns(source, np.array([0]), [])
        less = read_columns(source, np.array([0]), ["file: TIME", "format"])
        assert set(whole.of_files) - set(less.of_files) == {"file: time", "picture: format"}

    def test_a_column_that_is_ignored_is_never_asked_for(self):
        class Source:
            further, files = ("secret", "open"), ()

            def column(self, name):
                assert name != "secret"
                return [1, 2]

        assert set(read_columns(Source(), np.array([1, 0]), ["Secret"]).given) == {"open"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """An audit of images with columns, one of which goes with boats that the model is surer of."""
    data = make_data(240)
    random = np.random.default_rng(0)
    boats = data["labels"] == 2
    is_there = random.random(240) < np.where(boats, 0.7, 0.15)
    data["images"][is_there, 5:, 5:] = 255 * np.array([[1, 0, 1], [0, 0, 1], [1, 1, 0]])[..., None]
    data |= {"scanner": np.where(is_there, "new", "old"), "secret": np.where(is_there, "xyzzy", "plugh")}
    data["patient"] = np.array([f"Mr {at}" for at in range(240)])
    settings = {"discovery": {"ignore": ["secret"], "sources": ["columns"]}, "explain": {"images": 6, "exemplars": 2},
                "report": {"formats": ["markdown"]}}  # fmt: skip
    folder = tmp_path_factory.mktemp("columns")
    np.savez(folder / "data.npz", **data)
    apart = {"labels": None, "groups": None, "ids": None}
    return audit(folder / "audit", artefacts=[], images=folder / "data.npz", settings=settings, **apart)


class TestAnAudit:
    def test_names_the_column_and_shows_its_table(self, run):
        record = run.result.discovery.columns
        assert ("scanner", "boat") in {(found.column, found.target) for found in record.found}
        page = draw_page(run.result, SavedRun(run.folder).arrays, "html").decode()
        assert "goes with scanner = new" in page
        assert result_to_json(result_from_json(result_to_json(run.result), "here")) == result_to_json(run.result)

    def test_prints_nothing_of_what_is_ignored_or_names_images(self, run):
        saved = SavedRun(run.folder)
        text = draw_page(run.result, saved.arrays, "html").decode() + result_to_json(run.result)
        assert not {"xyzzy", "plugh"} & set(re.findall(r"\w+", text))
        assert "Mr 17" not in text
        assert any(
            said.startswith("patient holds a value of its own") for said in run.result.discovery.columns.left_out
        )

    def test_keeps_the_value_of_each_image_as_a_row(self, run):
        rows = SavedRun(run.folder).rows
        said = [text for text, kind in zip(rows.column("condition").to_pylist(), rows.column("measurement").to_pylist(),
                                           strict=True) if kind == "value of a column"]  # fmt: skip
        assert said.count("scanner = new") + said.count("scanner = old") == 240

    def test_decides_nothing(self, run):
        assert run.findings == []
        assert run.exit_code == 4


def test_columns_of_a_manifest_are_read_by_name(tmp_path):
    with (tmp_path / "data.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "label", "hospital"], ["a.png", "cat", "A"], ["b.png", "dog", "B"]])
    manifest = read_manifest(tmp_path / "data.csv")
    assert manifest.further == ["hospital"]
    assert manifest.column("hospital") == ["A", "B"]
