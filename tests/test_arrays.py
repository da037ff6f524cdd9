"""Pictures and maps of a run on the disk: what is read is what was saved, one array at a time."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest

from auditor.errors import ReportError
from auditor.measure.ledger import NewArrays, Rows
from auditor.run.files import ARRAYS
from auditor.run.store import Run, SavedRun, save_run
from tests.synthetic import make_result, without_studies

RANDOM = np.random.default_rng(0)
SAVED = {
    "noise / with a path": RANDOM.normal(size=(64, 64, 3)).astype(np.float32),
    "../flat": np.zeros((64, 64, 1), np.float32),
    "picture \N{SNOWMAN}": RANDOM.integers(0, 256, (9, 7, 3)).astype(np.uint8),
    "turned": np.asfortranarray(RANDOM.normal(size=(5, 4))),
}


@pytest.fixture
def run(tmp_path):
    return save_run(Run(without_studies(make_result()), Rows(), SAVED), tmp_path)


def test_every_array_comes_back_as_it_was(run):
    read = SavedRun(run).arrays
    assert list(read) == list(SAVED)
    for name, values in SAVED.items():
        assert read[name].dtype == values.dtype
        np.testing.assert_array_equal(read[name], values)


def test_numpy_alone_reads_the_file(run):
    with np.load(run / ARRAYS, allow_pickle=False) as stored:
        assert list(stored["names"]) == list(SAVED)
        np.testing.assert_array_equal(stored["a0"], SAVED["noise / with a path"])


def test_only_what_shrinks_is_compressed(run):
    with zipfile.ZipFile(run / ARRAYS) as archive:
        ways = {entry.filename: entry.compress_type for entry in archive.infolist()}
    assert (ways["a0.npy"], ways["a1.npy"]) == (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def test_the_same_arrays_give_the_same_bytes(run, tmp_path):
    other = save_run(Run(without_studies(make_result()), Rows(), SAVED), tmp_path / "other")
    assert (other / ARRAYS).read_bytes() == (run / ARRAYS).read_bytes()


def test_an_array_that_is_damaged_is_told_when_it_is_read_and_the_others_are_read(run):
    data = bytearray((run / ARRAYS).read_bytes())
    at = data.index(SAVED["noise / with a path"].tobytes()[:64])
    data[at] ^= 0xFF
    (run / ARRAYS).write_bytes(data)
    arrays = SavedRun(run).arrays
    np.testing.assert_array_equal(arrays["../flat"], SAVED["../flat"])
    with pytest.raises(ReportError, match=r"arrays\.npz: damaged: Bad CRC-32"):
        arrays["noise / with a path"]


@pytest.mark.parametrize(
    "values",
    [np.full((2, 2, 3), np.nan), np.zeros((2, 2), np.uint8), np.zeros((0, 2, 3)), np.array(["text"])],
    ids=["no number", "no channels", "empty", "text"],
)
def test_one_that_no_report_could_show_is_not_kept(values):
    arrays = NewArrays()
    with pytest.raises(ValueError, match=r"array 'odd': got .*, wanted (a picture|finite numbers)"):
        arrays.keep("odd", values, of_data=False)
    assert list(arrays) == arrays.made_up == []


def test_which_show_no_data_is_known_of_all_that_are_put_together():
    first, second = NewArrays(), NewArrays()
    first.keep("drawn", np.zeros(3), of_data=False)
    second.keep("photo", np.zeros(3), of_data=True)
    second.keep("made from noise", np.zeros(3), of_data=False)
    first.extend(second)
    assert (list(first), first.made_up) == (["drawn", "photo", "made from noise"], ["drawn", "made from noise"])
    first.clear()
    assert (list(first), first.made_up) == ([], [])


def test_one_that_was_never_saved_is_missing(run):
    arrays = SavedRun(run).arrays
    assert "another" not in arrays
    with pytest.raises(KeyError):
        arrays["another"]
