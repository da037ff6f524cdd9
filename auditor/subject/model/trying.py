"""The process that tries models: `python -m auditor.subject.model.trying`, which `trial` starts.

It imports TensorFlow once, takes a line of JSON per trial on its standard input, forks, and answers with a line. A
fork, of this process or of one in which TensorFlow has not run yet, may take only so much memory and time, may write no
file, and has no network where the system lets it be taken away.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import math
import os
import select
import signal
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from auditor.errors import ModelError, OptionError
from auditor.subject.model.backend import import_tensorflow
from auditor.subject.model.trial import (
    FORKS,
    LEAST_MEMORY,
    TENSORFLOW,
    TO_TRUST,
    Trial,
    most_memory,
    most_seconds,
    size_of,
)

MOST_OF_ONE, MOST_ON_AVERAGE, SMALLEST_IMAGE = 512, 64, 64 * 64 * 3
"""How many numbers a layer may give for each of the image's, one and all on average, and what counts as an image."""

_IDLE = 120.0
"""Seconds after which a process that nobody asks ends."""

_DIE_WITH_PARENT, _NO_NEW_PRIVILEGES, _NEW_USER, _NEW_NETWORK = 1, 38, 0x10000000, 0x40000000
"""Of Linux: `prctl` and `unshare`."""


def main() -> None:
    """Answer, one after the other, until there is no more to try."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints is no part of an answer
    import_tensorflow()
    import auditor.subject.model.files  # noqa: F401  # once, for all

    while select.select([sys.stdin], [], [], _IDLE)[0] and (line := sys.stdin.readline()):
        fields = json.loads(line)
        shape = fields["image_shape"]
        trial = Trial(**fields | {"image_shape": None if shape is None else tuple(shape)})
        answer = try_in_a_fork(trial) if FORKS else _here(trial)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
        if not FORKS:
            break


def _here(trial: Trial) -> dict[str, str]:
    """In this process, which then has to end."""
    size = size_of(trial)
    _limit(size)
    signal.alarm(int(most_seconds(size)) + 1)  # it ends the process, unheard
    return _attempt(trial)


def try_in_a_fork(trial: Trial) -> dict[str, str]:
    """Try a model in a fork of this process, in which TensorFlow may be imported and must not have run.

    Returns the kind of what is wrong with it, empty where nothing is, and its text.
    """
    size = size_of(trial)
    reading, writing = os.pipe()
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # that there may be other threads
        child = os.fork()
    if not child:
        code = 1
        with contextlib.suppress(BaseException):  # whatever it is, it is not to be mistaken for this process
            os.close(reading)
            _part()
            _limit(size)
            os.write(writing, json.dumps(_attempt(trial)).encode())
            code = 0
        os._exit(code)
    os.close(writing)
    wait, told, is_late = most_seconds(size), b"", False
    until = time.monotonic() + wait
    try:
        while not is_late:
            is_late = not select.select([reading], [], [], max(until - time.monotonic(), 0))[0]
            part = b"" if is_late else os.read(reading, 2**16)
            told += part
            if not part:
                break
    finally:
        os.close(reading)
        if is_late or sys.exc_info()[0] is not None:
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    if told:
        return json.loads(told)
    code = os.waitstatus_to_exitcode(status)
    name = signal.Signals(-code).name if code < 0 else f"code {code}"
    if name in ("SIGKILL", "SIGXCPU"):
        return _fault(_say_slow(size))
    return _fault(f"{_say_large(size)} (the process that tried it ended with {name})")


def _part() -> None:
    """Leave the terminal to the process that this is a fork of, and be asked nothing that it is asked."""
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    os.environ.update(TENSORFLOW)


def _limit(size: int) -> None:
    """What this process may take from here on; the system holds these limits, not we."""
    import resource

    with contextlib.suppress(OSError, AttributeError):  # where the system has no such call
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
        libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
        if libc.unshare(_NEW_NETWORK):  # only for those who may
            libc.unshare(_NEW_USER | _NEW_NETWORK)
    taken = 0
    with contextlib.suppress(OSError):
        pages = int(Path("/proc/self/statm").read_text().split()[5])
        taken = pages * resource.getpagesize()
    memory, seconds = taken + most_memory(size), int(time.process_time() + 4 * most_seconds(size))
    for limit, most in (
        (resource.RLIMIT_DATA, memory),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, 0),  # no file is written
        (resource.RLIMIT_CORE, 0),
    ):
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(limit, (most, most))


def _attempt(trial: Trial) -> dict[str, str]:
    import tensorflow as tf

    from auditor.subject.model.files import load_model_file

    path = Path(trial.path)
    try:
        model, _ = load_model_file(path, trial.signature, trust=False)
        with contextlib.suppress(ValueError, TypeError, tf.errors.InvalidArgumentError):  # it is said when it is loaded
            _run_once(model, trial)
    except OptionError as fault:
        return {"fault": "OptionError", "option": fault.option, "text": fault.message}
    except ModelError as fault:
        return {"fault": type(fault).__name__, "text": str(fault)}
    except (MemoryError, tf.errors.ResourceExhaustedError):
        return _fault(_say_large(size_of(trial)))
    except Exception as fault:
        return _fault(f"cannot be run: {type(fault).__name__}: {str(fault)[:300]}")
    return {"fault": "", "text": ""}


def _run_once(model: Any, trial: Trial) -> None:
    """The model on one image, and on one value of whatever it takes beside it."""
    import keras
    import tensorflow as tf

    given = [_noise(tensor, trial.image_shape or ()) for tensor in model.inputs]
    held = [math.prod(sides) for sides in _shapes_within(model)]
    image = max(SMALLEST_IMAGE, *(math.prod(values.shape[1:]) for values in given))
    most = max(held, default=0) / MOST_OF_ONE, sum(held) / max(len(held), 1) / MOST_ON_AVERAGE
    if max(most) > image:
        raise ModelError(
            f"has layers that give {max(held):,} numbers for an image, and {sum(held) // len(held):,} on average, "
            f"wanted at most {MOST_OF_ONE * image:,} and {MOST_ON_AVERAGE * image:,}; {TO_TRUST}"
        )
    inputs = given[0] if len(given) == 1 else keras.tree.pack_sequence_as(model.input, given)
    if 4 * sum(held) < LEAST_MEMORY / 2:
        model(inputs, training=False)
    else:  # as a graph, which takes longer to make, and drops what it needs no more
        tf.function(lambda values: model(values, training=False), autograph=False)(inputs)


def _noise(tensor: Any, image_shape: tuple[int, ...]) -> Any:
    """What stands for one input: pixels dark and bright; open sides are those of the image, where it may be one."""
    import tensorflow as tf

    count, *sides = tensor.shape
    known = dict(enumerate(image_shape)) if len(sides) >= 2 else {}
    shape = [known.get(at, 1) if side is None else side for at, side in enumerate(sides)]
    return tf.cast(tf.random.uniform([1 if count is None else count, *shape], 0, 255), tensor.dtype)


def _shapes_within(model: Any) -> Iterator[tuple[int, ...]]:
    """Shapes of what the layers of a model, and of those within it, give for one image, where they are known."""
    import keras

    for part in [model, *(layer for layer in model._flatten_layers(include_self=False))]:
        for operation in getattr(getattr(part, "_functional", None) or part, "operations", ()):
            for node in operation._inbound_nodes:
                for tensor in keras.tree.flatten(node.output_tensors):
                    if None not in tensor.shape[1:]:
                        yield tuple(tensor.shape[1:])


def _fault(text: str) -> dict[str, str]:
    return {"fault": "ModelError", "text": text}


def _say_slow(size: int) -> str:
    return f"takes more than {most_seconds(size):.0f} seconds to be loaded and run on one image; {TO_TRUST}"


def _say_large(size: int) -> str:
    return f"takes more than {most_memory(size) / 2**30:.1f} GiB to be loaded and run on one image; {TO_TRUST}"


if __name__ == "__main__":
    main()
