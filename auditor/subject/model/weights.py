"""Sets the weights of models from files, and makes sure that none is left as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from auditor.errors import ModelError
from auditor.subject.model.foreign import failing_as, failing_on_fresh_weights
from auditor.subject.model.keras2 import WAY_OUT
from auditor.subject.model.keras2_calls import plain
from auditor.subject.model.structure import refuse_archive, refuse_hdf5
from auditor.subject.model.trial import refuse_holes


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
    with failing_as(f"{file.name} does not hold the weights of {what}"), failing_on_fresh_weights():
        if not trust:
            refuse_holes(file)
            refuse_archive(file) if file.suffix == ".keras" else refuse_hdf5(file)
        model.load_weights(file)
    missing = [weight.path for weight in weights if np.isnan(keras.ops.convert_to_numpy(weight)).all()]
    if missing:
        raise ModelError(f"{file.name} does not hold the weights of {what}: {missing[0]} is missing")


def fill_by_name(model: Any, file: Path) -> None:
    """Set the weights that a `.h5` file of Keras 2 holds, each layer's by its name.

    Raises
    ------
    ModelError
        A layer's are missing, or of other shapes.
    """
    with h5py.File(file, "r") as content:
        groups = content.get("model_weights", content)
        held = {plain(name): groups[name] for name in _texts(groups, "layer_names")}
        for layer in model.layers:
            wanted = [*layer.trainable_weights, *layer.non_trainable_weights]
            wanted = [weight for weight in wanted if "seed_generator" not in weight.path]
            group = held.get(layer.name)
            found = [] if group is None else [group[name][()] for name in _texts(group, "weight_names")]
            shapes = [tuple(weight.shape) for weight in wanted], [np.shape(values) for values in found]
            if shapes[0] != shapes[1]:
                raise ModelError(
                    f"cannot be loaded: layer {layer.name!r} ({type(layer).__name__}) has weights of shapes "
                    f"{shapes[0]} in Keras 3, and the file has {shapes[1]} for it; {WAY_OUT}"
                )
            for weight, values in zip(wanted, found, strict=True):
                weight.assign(values)
            for part in [layer, *layer._flatten_layers(include_self=False)]:
                if isinstance(part, keras.layers.Normalization) and part.weights:
                    part.finalize_state()  # it keeps what follows of its weights beside them


def _texts(group: Any, name: str) -> list[str]:
    """A list that is kept as one attribute, or, where it is long, as several that are numbered."""
    parts = [name] if name in group.attrs else [f"{name}{number}" for number in range(len(group.attrs))]
    values = [value for part in parts if part in group.attrs for value in group.attrs[part]]
    return [value.decode() if isinstance(value, bytes) else str(value) for value in values]
