"""Keras on TensorFlow, whatever it is set to elsewhere."""

from __future__ import annotations

import gc
import json
import os
import sys
from pathlib import Path

from auditor.errors import ModelError


def take_tensorflow() -> str | None:
    """Have Keras run on TensorFlow from now on; returns a sentence where it was set to another backend.

    A Keras that is imported already keeps the backend that it has.
    """
    if "keras" in sys.modules:
        return None
    setting, where = os.environ.get("KERAS_BACKEND"), "KERAS_BACKEND"
    if setting is None:
        where = str(Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "keras.json")
        setting = _backend_of(Path(where))
    os.environ["KERAS_BACKEND"] = "tensorflow"
    if setting in (None, "tensorflow"):
        return None
    return f"Keras is set to {setting} by {where}; here it runs on TensorFlow."


def import_tensorflow() -> None:
    """Import TensorFlow and Keras, in a process of our own, without what Keras looks for and no audit has a use for.

    That takes a third of the time. Keras then has no `wrappers` of scikit-learn and no galleries, and takes no data
    frames; whoever imports these packages gets them all the same. Nor is anything of it, which all stays to the end,
    looked through for what might be dropped, meanwhile or later. TensorFlow keeps memory for what it computes next:
    else the system would hand each large array out anew, page by page, which takes as long as to compute it.
    """
    if "keras" in sys.modules:
        return
    os.environ.setdefault("TF_CPU_ALLOCATOR_USE_BFC", "true")
    hidden = [name for name in _LOOKED_FOR if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # so an import of it fails
    gc.disable()
    try:
        import keras  # noqa: F401
        import tensorflow  # noqa: F401
    finally:
        for name in hidden:
            del sys.modules[name]
        gc.freeze()
        gc.enable()


_LOOKED_FOR = ("matplotlib", "pandas", "sklearn")
"""What Keras imports wherever it is installed."""


def refuse_other_backend() -> None:
    """Refuse to work with a Keras that was imported before, on another backend.

    Raises
    ------
    ModelError
        It runs on another backend than TensorFlow.
    """
    import keras

    name = keras.backend.backend()
    if name != "tensorflow":
        wanted = "set KERAS_BACKEND=tensorflow before keras is imported"
        raise ModelError(f"Keras runs on {name} in this process, and models are audited on TensorFlow; {wanted}")


def _backend_of(file: Path) -> str | None:
    try:
        return str(json.loads(file.read_text("utf-8"))["backend"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
