"""The weights of a torch checkpoint are read, and nothing that is in the file is run."""

from __future__ import annotations

import builtins
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch_weights import WeightsError, read_torch_weights

MAGIC, PROTOCOL = (pickle.dumps(number, protocol=2) for number in (0x1950A86A20F9469CFC6C, 1001))
SYSTEM = pickle.dumps({"protocol_version": 1001, "little_endian": True}, protocol=2)


def text(words: str) -> bytes:
    return b"X" + struct.pack("<I", len(words.encode())) + words.encode()


def number(value: int) -> bytes:
    return b"\x8a\x08" + struct.pack("<q", value)


def sequence(*parts: bytes) -> bytes:
    return b"(" + b"".join(parts) + b"t"


def tensor(key: str, count: int, shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0) -> bytes:
    storage = sequence(text("storage"), b"ctorch\nFloatStorage\n", text(key), text("cpu"), number(count), b"N") + b"Q"
    sizes = (sequence(*map(number, values)) for values in (shape, strides))
    hooks = b"ccollections\nOrderedDict\n)R"
    return b"ctorch._utils\n_rebuild_tensor_v2\n" + sequence(storage, number(offset), *sizes, b"\x89", hooks) + b"R"


def table(*items: bytes, state: bytes = b"") -> bytes:
    return b"\x80\x02ccollections\nOrderedDict\n)R(" + b"".join(items) + b"u" + state + b"."


def checkpoint(content: bytes, **storages: np.ndarray) -> bytes:
    head = MAGIC + PROTOCOL + SYSTEM + content + pickle.dumps(list(storages), protocol=2)
    return head + b"".join(struct.pack("<q", values.size) + values.tobytes() for values in storages.values())


ONE, TWO = np.arange(6, dtype="<f4"), np.array([7, 8], "<f4")
NOTES = b"}" + text("_metadata") + b"ccollections\nOrderedDict\n)Rsb"
GOOD = checkpoint(
    table(text("a"), tensor("1", 6, (2, 3), (1, 2)), text("b"), tensor("2", 2, (1,), (1,), offset=1), state=NOTES),
    **{"1": ONE, "2": TWO},
)


def refusal(folder: Path, content: bytes) -> str:
    file = folder / "model.pth"
    file.write_bytes(content)
    with pytest.raises(WeightsError) as caught:
        read_torch_weights(file)
    message = str(caught.value)
    assert message.startswith("model.pth ")
    assert "\n" not in message
    return message


def test_weights_come_out_in_their_shapes_whatever_their_strides(tmp_path):
    file = tmp_path / "model.pth"
    file.write_bytes(GOOD)
    weights = read_torch_weights(file)
    assert list(weights) == ["a", "b"]
    np.testing.assert_array_equal(weights["a"], ONE.reshape(3, 2).T)
    np.testing.assert_array_equal(weights["b"], TWO[1:])


class Reduced:
    """Pickled, it calls a function when it is opened."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def attacks(marker: Path) -> dict[str, tuple[bytes, str]]:
    """What a hostile table of weights may hold, and the global that its refusal must name."""
    touch, write = f"touch {marker}", f"open({str(marker)!r}, 'w').close()"
    system, evaluate = Reduced(os.system, touch), Reduced(builtins.eval, write)
    by_name = b"\x80\x02cos\nsystem\n" + text(touch) + b"\x85R."
    # an object is given a __setstate__ of the attacker's choice, and then a state for it
    setting = b"}" + text("__setstate__") + b"cos\nsystem\nsb" + text(touch) + b"b"
    instance = b"(" + text(touch) + b"ios\nsystem\n."
    return {
        "os.system": (by_name, "os.system"),
        "posix.system": (pickle.dumps(system, protocol=2), "posix.system"),
        "posix.system in protocol 4": (pickle.dumps(system, protocol=4), "posix.system"),
        "eval": (pickle.dumps(evaluate, protocol=2), "__builtin__.eval"),
        "eval in protocol 5": (pickle.dumps(evaluate, protocol=5), "builtins.eval"),
        "nested in a list": (pickle.dumps({"a": [1, (2, system)]}, protocol=2), "posix.system"),
        "nested in the call of another": (pickle.dumps(Reduced(sorted, [evaluate]), protocol=2), "__builtin__.sorted"),
        "__setstate__": (b"\x80\x02" + b"ccollections\nUserDict\n)R" + setting + b".", "collections.UserDict"),
        "an instance": (instance, "os system"),
    }


@pytest.mark.parametrize("name", sorted(attacks(Path("marker"))))
def test_a_hostile_checkpoint_is_refused_and_nothing_of_it_runs(tmp_path, name):
    marker = tmp_path / "marker"
    content, named = attacks(marker)[name]
    pickle.loads(content)
    assert marker.exists()  # so it is hostile indeed
    marker.unlink()
    message = refusal(tmp_path, checkpoint(content))
    assert named in message
    assert "nothing was run" in message
    assert not marker.exists()


@pytest.mark.parametrize("place", range(4))
def test_none_of_the_pickles_of_a_file_may_hold_a_call(tmp_path, place):
    parts = [MAGIC, PROTOCOL, SYSTEM, table()]
    parts[place] = pickle.dumps(Reduced(os.system, f"touch {tmp_path / 'marker'}"), protocol=2)
    assert "posix.system" in refusal(tmp_path, b"".join(parts))
    assert not (tmp_path / "marker").exists()


def test_a_state_is_set_on_nothing_but_the_table(tmp_path):
    state = b"}" + text("__code__") + b"Nsb"
    for content in (b"ctorch._utils\n_rebuild_tensor_v2\n", tensor("1", 6, (2, 3), (3, 1))):
        assert "sets the state" in refusal(tmp_path, checkpoint(b"\x80\x02" + content + state + b"."))
    with_setstate = table(text("a"), tensor("2", 2, (2,), (1,)), state=b"}" + text("__setstate__") + b"cos\nsystem\nsb")
    assert "os.system" in refusal(tmp_path, checkpoint(with_setstate, **{"2": TWO}))


def test_an_allowed_name_is_called_only_as_torch_does(tmp_path):
    for content in (b"ctorch\nFloatStorage\n)R", b"ctorch._utils\n_rebuild_tensor_v2\n)R", text("a") + b")R"):
        assert "damaged or no checkpoint" in refusal(tmp_path, checkpoint(b"\x80\x02" + content + b"."))


def test_a_file_cut_short_anywhere_is_refused_in_one_sentence(tmp_path):
    for length in range(len(GOOD)):
        refusal(tmp_path, GOOD[:length])


def test_a_changed_byte_is_refused_or_changes_numbers_but_ends_in_no_other_fault(tmp_path):
    file = tmp_path / "model.pth"
    refused = 0
    for at in range(len(GOOD)):
        changed = bytearray(GOOD)
        changed[at] ^= 1 << at % 8
        file.write_bytes(changed)
        try:
            read_torch_weights(file)
        except WeightsError:
            refused += 1
    assert refused > len(GOOD) // 2


@pytest.mark.parametrize(
    ("shape", "strides", "offset"),
    [
        ((2, 4), (4, 1), 0),
        ((6,), (2,), 0),
        ((2,), (1,), 5),
        ((100_000, 100_000), (0, 0), 0),
        ((1,), (1,), 6),
        ((0,), (1,), 0),
    ],
)
def test_a_weight_stays_within_its_storage(tmp_path, shape, strides, offset):
    content = checkpoint(table(text("a"), tensor("1", 6, shape, strides, offset)), **{"1": ONE})
    assert "a reaches beyond the 6 numbers" in refusal(tmp_path, content)


def test_sizes_are_checked_against_the_bytes_there_are(tmp_path):
    huge = checkpoint(table(text("a"), tensor("1", 2**30, (1,), (1,))), **{"1": np.zeros(0, "<f4")})
    assert "1073741824" in refusal(tmp_path, huge)
    honest = MAGIC + PROTOCOL + SYSTEM + table(text("a"), tensor("1", 2**30, (1,), (1,)))
    honest += pickle.dumps(["1"], protocol=2) + struct.pack("<q", 2**30) + bytes(10)
    assert "wants 4294967296 bytes, 10 are left" in refusal(tmp_path, honest)


@pytest.mark.parametrize(
    "described",
    [
        tensor("1", 2**62, (1,), (1,)),
        tensor("1", 6, (1,), (2**62,)),
        tensor("1", 6, (1,) * 99, (1,) * 99),
        tensor("1", 6, (-1,), (1,)),
        tensor("1", 6, (1, 1), (1,)),
        tensor("1", -6, (1,), (1,)),
    ],
)
def test_sizes_that_no_weight_has_are_refused(tmp_path, described):
    assert "not described as torch does" in refusal(tmp_path, checkpoint(table(text("a"), described), **{"1": ONE}))


def test_other_files_are_told_from_checkpoints(tmp_path):
    assert "no torch checkpoint of the old kind" in refusal(tmp_path, pickle.dumps(7, protocol=2))
    assert "damaged or no checkpoint" in refusal(tmp_path, b"PK\x03\x04 a zip archive")
    refusal(tmp_path, b"")
    with pytest.raises(WeightsError, match=r"nowhere\.pth cannot be read: No such file"):
        read_torch_weights(tmp_path / "nowhere.pth")
