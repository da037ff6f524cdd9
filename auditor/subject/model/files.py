"""Reads models from files: `MODEL_LOADERS`, a row per kind of file, and folders of SavedModels.

What a file would make run is refused before anything of it does, unless it is trusted.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import tensorflow as tf

from auditor.errors import ModelError, OptionError
from auditor.subject.model.allowed import refuse_foreign, refuse_what_runs
from auditor.subject.model.foreign import first_line
from auditor.subject.model.saved_model import GRAPH_FILE, load_saved_model, refuse_odd_files
from auditor.subject.model.structure import (
    MOST_TEXT,
    read_architecture,
    refuse_archive,
    refuse_hdf5,
    refuse_leading_out,
)
from auditor.subject.model.trial import APPLICATIONS, TO_TRUST, refuse_holes


def load_model_file(path: Path, signature: str, *, trust: bool) -> Any:
    """The Keras model that a file, or the folder of a SavedModel, holds.

    Parameters
    ----------
    signature
        Of a SavedModel, which one.
    trust
        Load what may run code, too.

    Raises
    ------
    ModelError
        It cannot be loaded, or may not be without trust.
    OptionError
        The SavedModel has no such signature.
    """
    if path.is_dir():
        with failing_as("cannot be loaded, it is damaged or incomplete"):
            return load_saved_model(path, signature, trust=trust)
    return MODEL_LOADERS[path.suffix](path, trust)


def refuse_unknown_kind(path: Path, source: str, *, trust: bool) -> None:
    """Refuse a path that is no model of any known kind, before any of it is read.

    Raises
    ------
    OptionError
        What is there, and what is wanted.
    ModelError
        It leads to other files, and is not trusted.
    """
    if path.is_dir():
        if not (path / GRAPH_FILE).is_file():
            raise OptionError("source", f"{path}: no {GRAPH_FILE} there; wanted the folder of a SavedModel")
    elif path.suffix not in MODEL_LOADERS:
        others = ["the folder of a SavedModel", f"{APPLICATIONS}NAME", "package.module:function"]
        wanted = ", ".join([*MODEL_LOADERS, *others])
        raise OptionError("source", f"got {source!r}, wanted one of: {wanted}")
    elif not path.is_file():
        raise OptionError("source", f"{path}: no such file")
    if not trust:
        refuse_odd_files(path) if path.is_dir() else refuse_holes(path)


def load_weights(model: Any, file: Path, what: str, *, trust: bool) -> None:
    """Load weights, and make sure that no weight of the model is left as it was.

    Raises
    ------
    ModelError
        The file does not hold the weights of `what`, or more than weights.
    """
    weights = [weight for weight in model.weights if "float" in weight.dtype]
    for weight in weights:
        weight.assign(np.full(weight.shape, np.nan))
    with failing_as(f"{file.name} does not hold the weights of {what}"), _failing_on_fresh_weights():
        if not trust:
            refuse_holes(file)
            refuse_archive(file) if file.suffix == ".keras" else refuse_hdf5(file)
        model.load_weights(file)
    missing = [weight.path for weight in weights if np.isnan(keras.ops.convert_to_numpy(weight)).all()]
    if missing:
        raise ModelError(f"{file.name} does not hold the weights of {what}: {missing[0]} is missing")


def _load_keras_archive(file: Path, trust: bool) -> Any:
    try:
        names, config = read_architecture(file)
    except (ModelError, MemoryError):
        raise
    except Exception as fault:  # whatever a file that is none makes of its readers
        what = "it is no archive of Keras, as .keras files are, or it is cut short"
        raise ModelError(f"cannot be loaded: {what} ({first_line(fault)})") from None
    refuse_leading_out(names)
    refuse_foreign(config)
    if not trust:
        refuse_what_runs(config)
        with failing_as("cannot be loaded: it is damaged or cut short"):
            refuse_archive(file)
    return _load_keras_file(file, trust)


def _load_hdf5(file: Path, trust: bool) -> Any:
    if not h5py.is_hdf5(file):
        raise ModelError(f"cannot be loaded: it is no HDF5 file, as {file.suffix} files are")
    with failing_as("cannot be loaded: it is damaged or cut short"), h5py.File(file, "r") as content:
        architecture = content.attrs.get("model_config")
        architecture = (
            architecture.decode("utf-8") if isinstance(architecture, bytes) else architecture
        )  # as Keras does
        if architecture is not None and len(architecture) > MOST_TEXT:
            raise ModelError(f"holds an architecture of {len(architecture):,} bytes, wanted {MOST_TEXT:,} at most")
        config = None if architecture is None else json.loads(architecture)
    if config is None:
        raise ModelError(
            "holds weights only, not the model that they belong to; write a function that builds it and loads them, "
            f'or, where it comes with Keras, set source = "{APPLICATIONS}NAME" and weights = "{file.name}"'
        )
    if not trust:
        refuse_what_runs(config)
        with failing_as("cannot be loaded: it is damaged or cut short"):
            refuse_hdf5(file)
    return _load_keras_file(file, trust)


def _load_keras_file(file: Path, trust: bool) -> Any:
    try:
        with _failing_on_fresh_weights():
            return keras.models.load_model(file, compile=False, safe_mode=not trust)
    except MemoryError:
        raise
    except tf.errors.ResourceExhaustedError as fault:
        raise MemoryError(first_line(fault)) from None
    except Exception as fault:  # Keras raises whatever its readers raise
        said = first_line(fault)
        if "safe_mode" in str(fault):  # Keras knows of something that we do not
            raise ModelError(f"holds what loading would let reach beyond the file ({said}); {TO_TRUST}") from None
        raise ModelError(f"cannot be loaded: {said}") from None


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
def _failing_on_fresh_weights() -> Iterator[None]:
    """Keras only warns where a file lacks weights, and keeps the random ones."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="(?s).*freshly-initialized")
        yield


MODEL_LOADERS: dict[str, Callable[[Path, bool], Any]] = {
    ".keras": _load_keras_archive,
    ".h5": _load_hdf5,
    ".hdf5": _load_hdf5,
}
