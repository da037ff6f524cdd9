"""Rewrites the calls of layers in a model of Keras 2 as Keras 3 writes them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from auditor.subject.model.operators import ELLIPSIS

MODELS = ("Functional", "Model", "Sequential")
"""Classes of models whose layers a configuration names."""


def plain(name: str) -> str:
    """The name of a layer, without what Keras 3 does not allow in one."""
    return name.replace("/", "_")


def mend_calls(config: dict[str, Any]) -> None:
    """Write the calls of a model's layers as Keras 3 does: what was called with what, in place of rows of tensors."""
    layers = config["layers"]
    places = _Places(layers)
    for layer in layers:
        nodes = layer.get("inbound_nodes") or []
        layer["inbound_nodes"] = [places.mended(node) for node in nodes]
        layer["name"] = plain(layer["name"])
    for key in ("input_layers", "output_layers"):
        ends = places.of_ends(config.get(key))
        config[key] = ends[0] if isinstance(ends, list) and len(ends) == 1 else ends  # a list of one meant that one


class _Places:
    """Where tensors come from: a layer, which of its calls, and which of what that gave."""

    def __init__(self, layers: list[dict[str, Any]]) -> None:
        self._names = {layer["name"]: plain(layer["name"]) for layer in layers}
        self._sequences = {layer["name"] for layer in layers if layer["class_name"] == "Sequential"}
        models = {layer["name"] for layer in layers if layer["class_name"] in MODELS}
        self._first: dict[str, int] = {}
        """For each model within: the number of its first call, 1 where Keras 2 counted its own building as one."""
        for row in self._rows([layer.get("inbound_nodes") for layer in layers]):
            if row[0] in models:
                self._first[row[0]] = min(row[1], self._first.get(row[0], 1))

    def mended(self, node: Any) -> Any:
        """A call of a layer."""
        if isinstance(node, dict):  # it is written so already
            return node
        if not node:
            return {"args": [], "kwargs": {}}
        rows = [node] if not isinstance(node[0], list) else node
        kwargs = rows[0][3] if len(rows[0]) > 3 else {}
        given = [row[2] if row[0] == _CONSTANT else self._tensor(row) for row in rows]
        if "slice_spec" in kwargs:
            kwargs = kwargs | {"slice_spec": _plain_slices(kwargs["slice_spec"])}
        revived = {key: self._revived(value) for key, value in kwargs.items() if key != "name"}
        return {"args": [given[0] if len(given) == 1 else given], "kwargs": revived}

    def of_ends(self, places: Any) -> Any:
        """Inputs or outputs of the model; Keras 3 itself counts calls of models as Keras 2 did, but of sequences."""
        if self._is_place(places):
            first = self._first.get(places[0], 1) if places[0] in self._sequences else 0
            return [self._names[places[0]], places[1] - first, places[2]]
        if isinstance(places, list):
            return [self.of_ends(place) for place in places]
        return {key: self.of_ends(place) for key, place in places.items()} if isinstance(places, dict) else places

    def _tensor(self, row: Any) -> dict[str, Any]:
        history = [self._names[row[0]], row[1] - self._first.get(row[0], 0), row[2]]
        shape = {"shape": [1], "dtype": "float32"}  # Keras takes the tensor's own
        return {"class_name": "__keras_tensor__", "config": shape | {"keras_history": history}}

    def _revived(self, value: Any) -> Any:
        """A keyword argument, with the tensors in it."""
        if self._is_place(value):
            return self._tensor(value)
        if isinstance(value, list):
            return [self._revived(part) for part in value]
        return {key: self._revived(part) for key, part in value.items()} if isinstance(value, dict) else value

    def _is_place(self, value: Any) -> bool:
        is_triple = isinstance(value, list) and len(value) == 3 and isinstance(value[0], str)
        return is_triple and value[0] in self._names and all(isinstance(number, int) for number in value[1:])

    def _rows(self, node: Any) -> Iterator[Any]:
        """All places in calls, however deep they stand."""
        if isinstance(node, list) and self._is_place(node[:3]):
            yield node
            node = node[3:]
        if isinstance(node, list | dict):
            for part in node.values() if isinstance(node, dict) else node:
                yield from self._rows(part)


def _plain_slices(spec: Any) -> Any:
    """Slices without anything that Keras would take for a class."""
    parts = spec if isinstance(spec, list) else [spec]
    return [ELLIPSIS if isinstance(part, dict) and "class_name" in part else part for part in parts]


_CONSTANT = "_CONSTANT_VALUE"
"""How Keras 2 calls the layer that a number comes from, as in `1 - x`."""
