"""Reads the weights of an old torch checkpoint without torch, and without running anything that is in it.

Such a file is a few pickles and then the numbers. A pickle is a small program, and Python's own unpickler runs it.
Here its instructions are read instead: those that a table of weights needs, and no others. Nothing is imported, called
or changed: a global is a name, and only the names in `_ALLOWED` may occur.
"""

from __future__ import annotations

import math
import pickletools
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_MOST_AXES = 8
_TABLE = "collections.OrderedDict"
_TENSOR = "torch._utils._rebuild_tensor_v2"
_STORAGES = {"torch.FloatStorage": np.dtype("<f4"), "torch.LongStorage": np.dtype("<i8")}
_ALLOWED = (_TABLE, _TENSOR, *_STORAGES)


class WeightsError(ValueError):
    """A checkpoint is refused; the message says why."""


@dataclass(frozen=True)
class _Global:
    name: str


@dataclass(frozen=True)
class _Storage:
    key: str
    dtype: np.dtype[Any]
    count: int


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_torch_weights(file: Path) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a checkpoint by name.

    Raises
    ------
    WeightsError
        It is no such checkpoint, is damaged, or holds anything but weights.
    """
    try:
        return _read(BytesIO(file.read_bytes()))
    except WeightsError as fault:
        raise WeightsError(f"{file.name} {fault}") from None
    except OSError as fault:
        raise WeightsError(f"{file} cannot be read: {fault.strerror or fault}") from None


def _read(file: BytesIO) -> dict[str, npt.NDArray[Any]]:
    if _unpickle(file) != _MAGIC:
        raise WeightsError("is no torch checkpoint of the old kind (before torch 1.6)")
    if _unpickle(file) != _PROTOCOL:
        raise WeightsError(f"is of another version than {_PROTOCOL}")
    system = _unpickle(file)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise WeightsError("was not written in little-endian order")
    table = _unpickle(file)
    if not isinstance(table, dict) or not all(isinstance(tensor, _Tensor) for tensor in table.values()):
        raise WeightsError("holds something else than a table of weights")
    storages = {tensor.storage.key: tensor.storage for tensor in table.values()}
    keys = _unpickle(file)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys) or set(keys) != set(storages):
        raise WeightsError("is damaged: its list of storages does not fit its weights")
    values = {key: _read_storage(file, storages[key]) for key in keys}
    return {name: _view(name, tensor, values[tensor.storage.key]) for name, tensor in table.items()}


def _read_storage(file: BytesIO, storage: _Storage) -> npt.NDArray[Any]:
    count = int.from_bytes(file.read(8), "little", signed=True)
    if count != storage.count:
        raise WeightsError(f"is damaged: storage {storage.key!r} has {count} numbers, wanted {storage.count}")
    wanted = count * storage.dtype.itemsize
    there = file.read(wanted)
    if len(there) < wanted:
        raise WeightsError(f"is cut short: storage {storage.key!r} wants {wanted} bytes, {len(there)} are left")
    return np.frombuffer(there, storage.dtype)


def _view(name: str, tensor: _Tensor, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    numbers = math.prod(tensor.shape)
    last = tensor.offset + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.strides, strict=True))
    if not 0 < numbers <= len(values) or last >= len(values):
        raise WeightsError(f"is damaged: {name} reaches beyond the {len(values)} numbers of its storage")
    steps = [step * values.itemsize for step in tensor.strides]
    return np.lib.stride_tricks.as_strided(values[tensor.offset :], tensor.shape, steps).copy()


def _unpickle(file: BytesIO) -> Any:
    """The value that the next pickle of a file describes."""
    try:
        return _follow(file)
    except WeightsError:
        raise
    except (ValueError, IndexError, KeyError, TypeError, AttributeError) as fault:
        raise WeightsError(f"is damaged or no checkpoint ({fault})") from None


def _follow(file: BytesIO) -> Any:
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}

    def since_mark() -> list[Any]:
        start = marks.pop()
        items = stack[start:]
        del stack[start:]
        return items

    for instruction, argument, _ in pickletools.genops(file):
        match instruction.name:
            case "PROTO" | "FRAME":
                pass
            case "LONG1" | "BININT" | "BININT1" | "BININT2" | "BINUNICODE" | "SHORT_BINUNICODE":
                stack.append(argument)
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[instruction.name])
            case "EMPTY_TUPLE":
                stack.append(())
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_DICT":
                stack.append({})
            case "MARK":
                marks.append(len(stack))
            case "TUPLE":
                stack.append(tuple(since_mark()))
            case "TUPLE1":
                stack.append((stack.pop(),))
            case "TUPLE2":
                stack[-2:] = [(stack[-2], stack[-1])]
            case "APPEND":
                item = stack.pop()
                stack[-1].append(item)
            case "APPENDS":
                items = since_mark()
                stack[-1].extend(items)
            case "SETITEM":
                value, key = stack.pop(), stack.pop()
                _put(stack[-1], [key, value])
            case "SETITEMS":
                items = since_mark()
                _put(stack[-1], items)
            case "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "GLOBAL":
                stack.append(_allow(argument.replace(" ", ".")))
            case "STACK_GLOBAL":
                name, module = stack.pop(), stack.pop()
                stack.append(_allow(f"{module}.{name}"))
            case "BINPERSID":
                stack.append(_storage(stack.pop()))
            case "REDUCE":
                arguments, function = stack.pop(), stack.pop()
                stack.append(_make(function, arguments))
            case "BUILD":  # torch hangs notes on the table, which are not weights
                stack.pop()
                if type(stack[-1]) is not dict:
                    raise WeightsError("is refused: it sets the state of something that is no table; nothing was run")
            case "STOP":
                return stack.pop()
            case other:
                what = f"{other} {argument[:60]!r}" if isinstance(argument, str) else other
                raise WeightsError(f"is refused: a table of weights needs no instruction {what}; nothing was run")
    raise AssertionError("pickletools ends at STOP or raises")


def _allow(name: str) -> _Global:
    if name not in _ALLOWED:
        allowed = ", ".join(_ALLOWED)
        raise WeightsError(f"is refused: it asks for the global {name[:60]} (allowed: {allowed}); nothing was run")
    return _Global(name)


def _put(table: Any, items: list[Any]) -> None:
    for key, value in zip(items[::2], items[1::2], strict=True):
        if type(table) is not dict or type(key) is not str:
            raise TypeError("a table has names for its entries")
        table[key] = value


def _storage(reference: Any) -> _Storage:
    kind, made_of, key, _, count, view = reference
    if kind != "storage" or view is not None or type(key) is not str or not _is_size(count):
        raise TypeError("a storage is not described as torch does")
    return _Storage(key, _STORAGES[made_of.name], count)


def _make(function: Any, arguments: Any) -> Any:
    if function == _Global(_TABLE) and arguments == ():
        return {}
    if function != _Global(_TENSOR):
        raise TypeError("something is called that is no table and no weight")
    storage, offset, shape, strides, *_ = arguments
    sizes = (offset, *shape, *strides)
    if not (isinstance(storage, _Storage) and all(map(_is_size, sizes)) and len(shape) == len(strides) <= _MOST_AXES):
        raise TypeError("a weight is not described as torch does")
    return _Tensor(storage, offset, shape, strides)


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**40
