"""Reads models from files: `MODEL_LOADERS`, a row per kind of file, and folders of SavedModels.

What a file would make run is refused before anything of it does, unless it is trusted.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import tensorflow as tf

from auditor.config.options import APPLICATIONS
from auditor.errors import ModelError, OptionError
from auditor.subject.model.allowed import refuse_foreign, refuse_what_runs
from auditor.subject.model.foreign import failing_as, failing_on_fresh_weights, first_line
from auditor.subject.model.keras2 import build, is_keras_2, mended, mending
from auditor.subject.model.saved_model import GRAPH_FILE, load_saved_model, refuse_odd_files
from auditor.subject.model.structure import (
    MOST_TEXT,
    read_architecture,
    refuse_archive,
    refuse_hdf5,
    refuse_leading_out,
)
from auditor.subject.model.trial import TO_TRUST, refuse_holes
from auditor.subject.model.weights import fill_by_name, load_weights

Loaded = tuple[Any, list[str]]
"""A model, and what was changed of its file for it to be read, in sentences."""


def load_model_file(path: Path, signature: str, *, trust: bool) -> Loaded:
    """The Keras model that a file, or the folder of a SavedModel, holds, and how its file was mended.

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
            return load_saved_model(path, signature, trust=trust), []
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


def _load_keras_archive(file: Path, trust: bool) -> Loaded:
    try:
        names, config, version = read_architecture(file)
    except (ModelError, MemoryError):
        raise
    except Exception as fault:  # whatever a file that is none makes of its readers
        what = "it is no archive of Keras, as .keras files are, or it is cut short"
        raise ModelError(f"cannot be loaded: {what} ({first_line(fault)})") from None
    refuse_leading_out(names)
    version = version or keras.__version__  # archives of Keras 2 say theirs
    config, told = mended(config, version)
    with mending():
        refuse_foreign(config)
        if not trust:
            refuse_what_runs(config)
    if not trust:
        with failing_as("cannot be loaded: it is damaged or cut short"):
            refuse_archive(file)
    if not told and not is_keras_2(version, config):
        return _load_keras_file(file, config, trust), []
    model = build(config, trust=trust)
    load_weights(model, file, "its own architecture", trust=True)  # it was looked through
    return model, told


def _load_hdf5(file: Path, trust: bool) -> Loaded:
    if not h5py.is_hdf5(file):
        raise ModelError(f"cannot be loaded: it is no HDF5 file, as {file.suffix} files are")
    with failing_as("cannot be loaded: it is damaged or cut short"), h5py.File(file, "r") as content:
        architecture, version = content.attrs.get("model_config"), content.attrs.get("keras_version")
        architecture = (
            architecture.decode("utf-8") if isinstance(architecture, bytes) else architecture
        )  # as Keras does
        if architecture is not None and len(architecture) > MOST_TEXT:
            raise ModelError(f"holds an architecture of {len(architecture):,} bytes, wanted {MOST_TEXT:,} at most")
        config = None if architecture is None else json.loads(architecture)
    if config is None:
        raise ModelError(
            "holds weights only, not the model that they belong to; write a function that builds it, set source = "
            f'"package.module:function", or "{APPLICATIONS}NAME" where it comes with Keras, and weights = "{file.name}"'
        )
    config, told = mended(config, version)
    if not trust:
        with mending():
            refuse_what_runs(config)
        with failing_as("cannot be loaded: it is damaged or cut short"):
            refuse_hdf5(file)
    if not is_keras_2(version, config):
        return _load_keras_file(file, config, trust), told
    model = build(config, trust=trust)
    with failing_as("cannot be loaded: it is damaged or cut short"):
        fill_by_name(model, file)
    return model, told


def _load_keras_file(file: Path, config: Any, trust: bool) -> Any:
    try:
        with failing_on_fresh_weights():
            return keras.models.load_model(file, compile=False, safe_mode=not trust)
    except MemoryError:
        raise
    except tf.errors.ResourceExhaustedError as fault:
        raise MemoryError(first_line(fault)) from None
    except Exception as fault:  # Keras raises whatever its readers raise
        said = first_line(fault)
        if "safe_mode" in str(fault):  # Keras knows of something that we do not
            raise ModelError(f"holds what loading would let reach beyond the file ({said}); {TO_TRUST}") from None
        build(config, trust=trust)  # it says why, where it is not the weights
        raise ModelError(f"cannot be loaded: {said}") from None


MODEL_LOADERS: dict[str, Callable[[Path, bool], Loaded]] = {
    ".keras": _load_keras_archive,
    ".h5": _load_hdf5,
    ".hdf5": _load_hdf5,
}
