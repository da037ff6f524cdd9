"""What is held for each image is held once, and reads as what it was made of."""

from __future__ import annotations

import tracemalloc
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from auditor.measure.arrays import Array, Parts, join, take
from auditor.stores.address import Stored
from auditor.subject.data.listed import Files, Names, Picked


@dataclass(frozen=True)
class Inner:
    scores: Array


@dataclass(frozen=True)
class Outer:
    inner: Inner
    names: list[str]
    ways: dict[str, Array] = field(default_factory=dict)
    missing: Array | None = None


def batch(start: int, count: int) -> Outer:
    numbers = np.arange(start, start + count)
    return Outer(Inner(numbers[:, None] / 2), [str(number) for number in numbers], {"b": numbers, "a": -numbers})


def same(one: Outer, other: Outer) -> bool:
    return (
        np.array_equal(one.inner.scores, other.inner.scores)
        and one.names == other.names
        and list(one.ways) == list(other.ways)
        and all(np.array_equal(one.ways[name], other.ways[name]) for name in one.ways)
        and one.missing is other.missing is None
    )


@pytest.mark.parametrize("count", [1, 31, 32, 33, 100])
def test_batches_are_joined_as_they_came_however_many(count: int):
    parts, single = Parts[Outer](), [batch(5 * number, 5) for number in range(count)]
    assert not parts
    for each in single[:40]:
        parts.add(each)
    assert same(parts.joined(), join(single[:40]))
    others = Parts[Outer]()
    for each in single[40:]:
        others.add(each)
    parts.extend(others)
    assert same(parts.joined(), batch(0, 5 * count))
    assert same(parts.joined(), join(single))
    assert same(take(parts.joined(), np.array([3, 1])), take(batch(0, 5), np.array([3, 1])))


def test_joining_batches_holds_few_of_their_arrays_twice():
    tracemalloc.start()
    parts = Parts[Outer]()
    for number in range(200):
        parts.add(Outer(Inner(np.ones((64, 1))), [], {str(way): np.full(64, float(number)) for way in range(15)}))
    parts.joined()
    now, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert now > 200 * 64 * 8 * 16
    assert most < 1.3 * now


def test_names_read_as_the_texts_that_they_were_made_of():
    texts = ["cat/1.png", "", "grüße.png", "\udcff.png", "cat/1.png"]
    names = Names(texts)
    assert names == texts
    assert names == Names(texts)
    assert names != Names(texts[:-1])
    assert (names[-1], names[1:3], len(names), list(names)) == (texts[-1], texts[1:3], 5, texts)
    with pytest.raises(IndexError):
        names[5]
    assert Picked(names, np.array([3, 0])) == [texts[3], texts[0]]
    assert Picked(names, np.array([3, 0]))[1:] == [texts[0]]


@pytest.mark.parametrize(
    ("folder", "files"),
    [
        (Path("/a"), [Path("/a/b/1.png"), Path("/a/2.png")]),
        (Stored("s3", "a/b"), [Stored("s3", "a/b/c//1.png", 7), Stored("s3", "a/b/2.png")]),
    ],
)
def test_files_are_those_that_were_listed_with_their_sizes(folder, files):
    listed = Files(folder, files)
    assert list(listed) == files
    assert [getattr(file, "size", None) for file in listed] == [getattr(file, "size", None) for file in files]
    assert listed[1:] == files[1:]
