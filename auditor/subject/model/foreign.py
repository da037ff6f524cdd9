"""Runs code that is not ours, models and their preprocessing, and says in one line what it raised."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

from auditor.errors import ModelError, OptionError


@contextmanager
def user_code(what: str) -> Iterator[None]:
    """Where the model and its preprocessing run, which are not ours and may raise anything."""
    try:
        yield
    except (ModelError, MemoryError):
        raise
    except tf.errors.ResourceExhaustedError as fault:
        raise MemoryError(first_line(fault)) from None
    except Exception as fault:
        raise ModelError(f"{what}: {first_line(fault)}") from None


@contextmanager
def failing_as(what: str) -> Iterator[None]:
    """Where readers that are not ours may raise anything."""
    try:
        yield
    except (ModelError, OptionError, MemoryError):
        raise
    except Exception as fault:
        raise ModelError(f"{what}: {first_line(fault)}") from None


@contextmanager
def failing_on_fresh_weights() -> Iterator[None]:
    """Keras only warns where a file lacks weights, and keeps the random ones."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="(?s).*freshly-initialized")
        yield


def first_line(fault: BaseException) -> str:
    text = re.sub(r"\x1b\[\d+m", "", str(fault)).rpartition("Exception encountered: ")[2]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) > 1 and lines[0].startswith("Exception encountered when calling"):  # Keras says where, then what
        del lines[0]
    if not lines:
        return f"{type(fault).__name__}: no message"
    if lines[0] == "in user code:":  # TensorFlow's own account of a trace: the fault itself stands last
        faults = [line for line in lines if re.match(r"[\w.]*(Error|Exception|Warning)\b.*: ", line)]
        return (faults or lines)[-1][:300]
    return f"{type(fault).__name__}: {lines[0][:300]}"
