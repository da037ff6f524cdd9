"""Tries a model file that is not trusted in a process of its own first: what fails there is never loaded here.

As long as TensorFlow has not run here that process is a fork of this one, which costs nothing. Later, when its threads
would not survive that, and where systems do not fork, it is one of `auditor.subject.model.trying`, which imports
TensorFlow once more, takes seconds to start, and tries all the files that there are.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import subprocess
import sys
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from auditor.config.options import APPLICATIONS, is_function_spec
from auditor.errors import ModelError, OptionError

LEAST_MEMORY, LEAST_SECONDS = 2**30, 10.0
"""Bytes and seconds that every file may take to be loaded and run on one image, beyond TensorFlow itself ..."""

MEMORY_PER_BYTE, SECONDS_PER_BYTE = 6.0, 1 / (5 * 2**20)
"""... and for each byte of its own more: weights are read, drawn at random, and set."""

TO_TRUST = "set trust = true under [model] only if you know where the file comes from"

FORKS = sys.platform.startswith("linux")
"""Whether there is a fork for each file; elsewhere, where libraries may not survive that, a process tries one."""

FEW_THREADS = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"),
    str(min(os.cpu_count() or 1, 4)),  # a thread's stack counts as memory
)
TENSORFLOW = {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3", **FEW_THREADS}
TENSORFLOW["TF_ENABLE_ONEDNN_OPTS"] = "0"  # it keeps what it made for each shape
TENSORFLOW["TF_CPU_ALLOCATOR_USE_BFC"] = "false"  # it takes more than it needs, and waits where there is no more
"""How TensorFlow is to run where models are tried."""

_PATIENCE = 300.0
"""Seconds for TensorFlow to be imported, on a machine that has much else to do."""


@dataclass(frozen=True)
class Trial:
    """What is to be tried."""

    path: str
    """Of a model file or the folder of a SavedModel, absolute."""
    signature: str
    image_shape: tuple[int, int, int] | None
    """Height, width and channels of the data, for a model that leaves them open."""
    sha256: str
    """Of the file or folder: what passed once is not tried again."""


def try_first(trial: Trial) -> None:
    """Load a model, and run it on one image, in a process of its own.

    Raises
    ------
    ModelError
        It cannot be loaded, or not within the limits.
    OptionError
        It has no such signature.
    """
    if trial in _passed:
        return
    try:
        answer = _try_in_a_fork(trial) if FORKS and not _has_run() else _ask_server(trial)
    except (OSError, ValueError) as fault:
        _stop()
        raise ModelError(f"cannot be tried in a process of its own before it is loaded ({fault}); {TO_TRUST}") from None
    if not FORKS:
        _stop()
    kind, text = answer["fault"], answer["text"]
    if kind == "OptionError":
        raise OptionError(answer["option"], text)
    if kind == "ForeignError" and _has_registered():
        return  # by the user's own code, which the process of trials has not run
    if kind:
        raise ModelError(text)
    _passed.add(trial)


def expect(source: str, *, trust: bool) -> None:
    """Start the process of trials early, where one is needed for what a configuration names as its model."""
    if not (FORKS or trust or is_function_spec(source) or source.startswith(APPLICATIONS)):
        start()


def start() -> None:
    """Start the process of trials, unless it runs: it imports TensorFlow meanwhile."""
    global _server
    if _server is not None and _server.poll() is None:
        return
    _stop()
    paths = [str(Path(__file__).parents[3]), *filter(None, sys.path)]  # -P: never modules of the working directory
    _server = subprocess.Popen(
        [sys.executable, "-P", "-m", "auditor.subject.model.trying"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | TENSORFLOW | {"PYTHONPATH": os.pathsep.join(paths)},
        start_new_session=True,  # Ctrl-C is ours to answer
    )


def _has_run() -> bool:
    """Whether TensorFlow has, or may have, run in this process, or others of its threads would be lost in a fork."""
    state = getattr(sys.modules.get("tensorflow.python.eager.context"), "_context", _UNKNOWN)
    return threading.active_count() > 1 or not (state is None or getattr(state, "_initialized", True) is False)


_UNKNOWN = object()


def _try_in_a_fork(trial: Trial) -> Any:
    from auditor.subject.model.trying import try_in_a_fork

    return try_in_a_fork(trial)


def _ask_server(trial: Trial) -> Any:
    try:
        return _ask(trial)
    except BrokenPipeError:  # it had waited for too long, and ended
        return _ask(trial)


def _ask(trial: Trial) -> Any:
    start()
    server = _server
    assert server is not None
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(json.dumps(asdict(trial)).encode() + b"\n")
    server.stdin.flush()
    wait = _PATIENCE + most_seconds(size_of(trial))
    if not select.select([server.stdout], [], [], wait)[0]:
        raise OSError(f"no answer in {wait:.0f} seconds")
    line = server.stdout.readline()
    if not line:
        code = server.wait()
        raise BrokenPipeError("it ended") if code == 0 else OSError(f"it ended with {code}")
    return json.loads(line)


def _stop() -> None:
    global _server
    if _server is None:
        return
    _server.kill()
    with contextlib.suppress(BrokenPipeError):
        _server.communicate()
    _server = None


def _has_registered() -> bool:
    import keras

    return bool(keras.saving.get_custom_objects())


def most_memory(size: int) -> int:
    """Bytes that a model of this size, in bytes, may take beyond TensorFlow itself."""
    return LEAST_MEMORY + int(MEMORY_PER_BYTE * size)


def most_seconds(size: int) -> float:
    """Seconds that it may take to be loaded and run once."""
    return LEAST_SECONDS + SECONDS_PER_BYTE * size


def size_of(trial: Trial) -> int:
    """Bytes of what is to be tried."""
    path = Path(trial.path)
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files)


def refuse_holes(file: Path) -> None:
    """Refuse a file that says it is larger than what the disk holds of it: every limit goes by its size.

    Raises
    ------
    ModelError
        It is mostly holes.
    """
    state = file.stat()
    if state.st_size > _MOST_HOLES + 2 * 512 * getattr(state, "st_blocks", state.st_size):
        raise ModelError(f"says that it has {state.st_size:,} bytes, and most of it is not on the disk; {TO_TRUST}")


_MOST_HOLES = 64 * 2**20
"""Bytes of a file that need not be on the disk: some file systems pack them."""

_server: subprocess.Popen[bytes] | None = None
_passed: set[Trial] = set()
atexit.register(_stop)
