"""Columns of rows in a few bytes for each, where a list takes fifty: an audit has tens of rows for each of its images.

A column is made of blocks. A block says which numbers of an array are meant, so that columns which are noted together
share what they were made of, and hold none of it anew.
"""

from __future__ import annotations

from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Iterable, Iterator, MutableSequence, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from auditor.measure.arrays import Array, Doubles

Item = TypeVar("Item")


class Coded(NamedTuple):
    """Texts, or None, of which most stand in many rows, by number."""

    codes: Array
    """(n,): whole numbers."""
    table: Sequence[str | None]


class Block(NamedTuple):
    """Some rows of a column."""

    values: Array
    """What there is: numbers, or numbers of texts."""
    rows: Array | None
    """(n,): which of these, in the order of the rows; None where it is all of them."""
    table: Sequence[str | None]
    """The texts; empty where values are numbers."""

    def __len__(self) -> int:
        return len(self.values if self.rows is None else self.rows)

    def part(self, start: int, stop: int) -> Array:
        """The values of some rows."""
        return self.values[start:stop] if self.rows is None else self.values[self.rows[start:stop]]


class Column(MutableSequence[Item], Generic[Item]):
    """A list of items that is made to grow; what is changed or inserted in its middle takes as long as all of it."""

    def __init__(self) -> None:
        self._blocks: list[Block] = []
        self._ends: list[int] = []
        self._recent: list[Item] = []

    @abstractmethod
    def _block(self, items: Sequence[Item]) -> Block: ...

    @abstractmethod
    def _items(self, block: Block, start: int, stop: int) -> list[Item]: ...

    def add(self, block: Block) -> None:
        """Take some rows as they are."""
        self._settle()
        if len(block):
            self._blocks.append(block)
            self._ends.append(len(block) + (self._ends[-1] if self._ends else 0))

    def blocks(self, part: slice = slice(None)) -> Iterator[tuple[Block, int, int]]:
        """The blocks that some rows, which follow each other, stand in; of each, its first row and the one after."""
        self._settle()
        start, stop, _ = part.indices(len(self))
        for number in range(bisect_right(self._ends, start), len(self._blocks)):
            before = self._ends[number - 1] if number else 0
            if before >= stop:
                return
            yield self._blocks[number], max(start - before, 0), min(stop, self._ends[number]) - before

    def _settle(self) -> None:
        if self._recent:
            recent, self._recent = self._recent, []
            self.add(self._block(recent))

    def __len__(self) -> int:
        return (self._ends[-1] if self._ends else 0) + len(self._recent)

    def __iter__(self) -> Iterator[Item]:
        for block, start, stop in self.blocks():
            for at in range(start, stop, _AT_ONCE):
                yield from self._items(block, at, min(at + _AT_ONCE, stop))

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return list(self)[at]
        at = range(len(self))[at]
        ((block, start, stop),) = self.blocks(slice(at, at + 1))
        return self._items(block, start, stop)[0]

    def __setitem__(self, at: Any, item: Any) -> None:
        items = list(self)
        items[at] = item
        self._become(items)

    def __delitem__(self, at: Any) -> None:
        if isinstance(at, slice) and at.stop is None and at.step in (None, 1):
            return self.keep_first(at.indices(len(self))[0])
        items = list(self)
        del items[at]
        return self._become(items)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    def insert(self, at: int, item: Item) -> None:
        """See `list.insert`."""
        if at >= len(self):
            self._recent.append(item)
            if len(self._recent) == _AT_ONCE:
                self._settle()
            return
        items = list(self)
        items.insert(at, item)
        self._become(items)

    def extend(self, items: Iterable[Item]) -> None:
        """See `list.extend`; of another column what it holds is shared."""
        if isinstance(items, Column):
            for block, start, stop in list(items.blocks()):
                self.add(_cut(block, start, stop))
        else:
            self.add(self._block(list(items)))

    def keep_first(self, count: int) -> None:
        """Forget all rows but the first."""
        kept = [_cut(block, start, stop) for block, start, stop in self.blocks(slice(count))]
        self.clear()
        for block in kept:
            self.add(block)

    def clear(self) -> None:
        """See `list.clear`."""
        self._blocks, self._ends, self._recent = [], [], []

    def _become(self, items: list[Item]) -> None:
        self.clear()
        self.extend(items)


def _cut(block: Block, start: int, stop: int) -> Block:
    if block.rows is None:
        return Block(block.values[start:stop], None, block.table)
    return Block(block.values, block.rows[start:stop], block.table)


class Texts(Column[str | None]):
    """Texts, or None."""

    def __init__(self) -> None:
        super().__init__()
        self._texts: list[str | None] = []
        self._known: dict[str | None, int] = {}

    def note(self, texts: Any, rows: Array | None, count: int) -> None:
        """Add rows.

        Parameters
        ----------
        texts
            One for all rows, or a list or array (n,) or `Coded` with something for each of all that there is.
        rows
            (count,): which of all that there is are added; None where all are.
        """
        if isinstance(texts, Coded):
            self.add(Block(texts.codes, rows, texts.table))
        elif isinstance(texts, list | tuple | np.ndarray):
            chosen = texts if rows is None else [texts[at] for at in rows]
            self.add(self._block([None if text is None else str(text) for text in chosen]))
        else:
            code = self._encode(None if texts is None else str(texts))
            self.add(Block(np.broadcast_to(np.array(code), count), None, self._texts))

    def _encode(self, text: str | None) -> int:
        code = self._known.setdefault(text, len(self._texts))
        if code == len(self._texts):
            self._texts.append(text)
        return code

    def _block(self, items: Sequence[str | None]) -> Block:
        codes = np.fromiter(map(self._encode, items), np.int32, len(items))
        return Block(codes.astype(np.min_scalar_type(codes.max(initial=0))), None, self._texts)

    def _items(self, block: Block, start: int, stop: int) -> list[str | None]:
        return [block.table[code] for code in block.part(start, stop).tolist()]


class Values(Column[float | None]):
    """Finite numbers, or None."""

    def _block(self, items: Sequence[float | None]) -> Block:
        return Block(np.array([np.nan if item is None else item for item in items], np.float64), None, ())

    def _items(self, block: Block, start: int, stop: int) -> list[float | None]:
        found = block.part(start, stop).astype(np.float64)
        return [None if value != value else value for value in found.tolist()]

    def numbers(self, part: slice) -> Doubles:
        """Some rows, NaN for None."""
        parts = [np.asarray(block.part(start, stop), np.float64) for block, start, stop in self.blocks(part)]
        return np.concatenate([np.empty(0), *parts])


_AT_ONCE = 2**12
