"""A model taken apart: the graph that TensorFlow traces of it, and what its operations and tensors are.

A graph shows all that a model does, whether a layer does it or a line of Python, and is the same for functional,
nested, Sequential and subclassed models. Each operation has a number, in the order in which they are traced; a tensor
is found again in any later trace of the same model by its `Place`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import tensorflow as tf

from auditor.errors import ModelError

Place = tuple[int, int]
"""Number of an operation and which of its outputs; (-1, 0) is what the model is fed with."""

FED: Place = (-1, 0)

_SAME_VALUES = {"Identity", "IdentityN", "StopGradient", "PreventGradient", "Cast", "CheckNumerics", "EnsureShape"}


@dataclass(frozen=True)
class LayerCall:
    """One call of a layer, as it was traced."""

    layer: Any
    given: Any
    """Its first input, where that is a tensor."""
    output: Any
    start: int
    """Number of the first operation of the call."""
    end: int
    is_leaf: bool
    """Whether it called no other layer."""


class Anatomy:
    """A model, traced once."""

    def __init__(
        self, run: Callable[[Any], Any], spec: Any, layers: Sequence[Any], *, is_converted: bool = False
    ) -> None:
        """Trace `run`, a function of a tensor like `spec`, noting what its layers do.

        What is inside of a `tf.function` of the model's own is seen too, unless it cannot be traced in place; then
        `is_open` is False. With `is_converted`, AutoGraph converts what goes by the values of tensors: a preprocessing
        function of the user's may. Keras never converts layers, and converting our own functions takes long.
        """
        self.is_open, self.is_converted = True, is_converted
        try:
            self._trace(run, spec, layers)
        except Exception:  # control flow by the values of tensors is only understood by tf.function itself
            self.is_open = False
            self._trace(run, spec, layers)

    def _trace(self, run: Callable[[Any], Any], spec: Any, layers: Sequence[Any]) -> None:
        seen: dict[str, Any] = {}

        def watched(fed: Any) -> Any:
            graph = tf.compat.v1.get_default_graph()
            before = len(graph.get_operations())
            with _noting(layers, lambda: len(graph.get_operations()) - before) as calls:
                output = run(fed)
            seen.update(fed=fed, output=output, calls=calls, operations=graph.get_operations()[before:])
            return output

        self._function = self.trace(watched, spec)
        self.fed, self.output = seen["fed"], seen["output"]
        self.calls: list[LayerCall] = seen["calls"]
        self.operations: list[Any] = seen["operations"]
        self._inputs: dict[int, list[Place]] = {}
        self._numbers = {operation.name: number for number, operation in enumerate(self.operations)}

    def trace(self, function: Callable[..., Any], *specs: Any) -> Any:
        """A concrete function of something that runs the model, traced as the model was."""
        return trace(function, *specs, in_place=self.is_open, is_converted=self.is_converted)

    def values(self, fed: Any) -> Any:
        """What the model gives, run as it was traced."""
        return self._function(fed)

    def replay(self, run: Callable[[Any], Any], fed: Any, places: Iterable[Place]) -> tuple[Any, list[Any]]:
        """The output and the tensors at some places, in a trace under way."""
        graph = tf.compat.v1.get_default_graph()
        before = len(graph.get_operations())
        output = run(fed)
        operations = graph.get_operations()[before:]
        if fed.shape[0] == 1 and [*map(_kind, operations)] != [*map(_kind, self.operations)]:
            raise ModelError("the model is another one for a single image")
        found = []
        for number, at in places:
            if number >= len(operations) or operations[number].type != self.operations[number].type:
                raise ModelError("the model is another one each time that it is traced; its layers cannot be read")
            found.append(operations[number].outputs[at])
        return output, found

    def place(self, tensor: Any) -> Place | None:
        """Where a tensor of this trace stands; None where it is none of the model's."""
        if tensor is self.fed or getattr(tensor, "name", None) == self.fed.name:
            return FED
        operation = getattr(tensor, "op", None)  # a constant made outside of the graph has none
        number = None if operation is None else self._numbers.get(operation.name)
        return None if number is None else (number, tensor.value_index)

    def tensor(self, place: Place) -> Any:
        """The tensor at a place."""
        return self.fed if place == FED else self.operations[place[0]].outputs[place[1]]

    @cached_property
    def depends(self) -> frozenset[int]:
        """Numbers of the operations that the images reach."""
        found: set[int] = set()
        for number, operation in enumerate(self.operations):
            places = [self.place(tensor) for tensor in operation.inputs]
            if any(place is not None and (place == FED or place[0] in found) for place in places):
                found.add(number)
        return frozenset(found)

    def inputs(self, number: int) -> list[Place]:
        """Places of the inputs of an operation that the images reach."""
        if number not in self._inputs:
            places = [self.place(tensor) for tensor in self.operations[number].inputs]
            reached = (place for place in places if place is not None)
            self._inputs[number] = [place for place in reached if place == FED or place[0] in self.depends]
        return self._inputs[number]

    @cached_property
    def decides(self) -> frozenset[int]:
        """Numbers of the operations that the output depends on and the images reach."""
        place = self.place(self.output)
        return frozenset() if place is None else self.behind(place)

    @cached_property
    def bottlenecks(self) -> frozenset[int]:
        """Numbers of the operations that all goes through from the images to the output: those that dominate it.

        References: Cooper, Harvey and Kennedy, "A simple, fast dominance algorithm" (2001).
        """
        above, depth = {FED[0]: FED[0]}, {FED[0]: 0}
        for number in sorted(self.depends):
            meeting, *others = [place[0] for place in self.inputs(number)]
            for other in others:
                while meeting != other:
                    if depth[meeting] >= depth[other]:
                        meeting = above[meeting]
                    else:
                        other = above[other]
            above[number], depth[number] = meeting, depth[meeting] + 1
        place = self.place(self.output)
        at = FED[0] if place is None or place[0] not in above else place[0]
        found = set()
        while at != FED[0]:
            found.add(at)
            at = above[at]
        return frozenset(found)

    def is_on_every_way(self, places: Sequence[Place]) -> bool:
        """Whether all that goes from the images to the output goes through one of these tensors."""
        if len(places) == 1 or any(number in self.bottlenecks for number, _ in places):
            return any(number in self.bottlenecks for number, _ in places)
        place = self.place(self.output)
        return place is None or FED[0] not in self.behind(place, frozenset(places))

    def behind(self, place: Place, closed: frozenset[Place] = frozenset()) -> frozenset[int]:
        """Numbers of the operations that a place is reached from, not through closed ones; -1 is the images."""
        waiting, found = [] if place in closed else [place], set[int]()
        while waiting:
            number, _ = waiting.pop()
            if number in found:
                continue
            found.add(number)
            if number != FED[0]:
                waiting += [given for given in self.inputs(number) if given not in closed]
        return frozenset(found)

    def source(self, place: Place) -> Place:
        """The place that a tensor has its values from, behind operations that hand them on as they are."""
        while place != FED and self.operations[place[0]].type in _SAME_VALUES:
            given = self.inputs(place[0])
            if len(given) != 1:
                break
            (place,) = given
        return place

    def layer_of(self, number: int) -> Any | None:
        """The innermost layer that an operation belongs to; None where it is the model's own."""
        return next((call.layer for call in self.calls if call.is_leaf and call.start <= number < call.end), None)


def trace(function: Callable[..., Any], *specs: Any, in_place: bool, is_converted: bool = False) -> Any:
    """A concrete function; with `in_place`, whatever is a `tf.function` inside of it is traced as plain Python.

    Otherwise a layer inside of one would be out of reach, and would serve an old trace. With `is_converted`, AutoGraph
    converts it first.
    """
    was_eager = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(in_place)
    try:
        with _groups_apart() if in_place else nullcontext():
            return tf.function(function, autograph=is_converted).get_concrete_function(*specs)
    except ModelError as fault:  # TensorFlow puts an account of the trace before our own words
        raise ModelError(str(fault).rstrip().rpartition("\n")[2].rpartition("ModelError: ")[2]) from None
    finally:
        tf.config.run_functions_eagerly(was_eager)


@contextmanager
def _groups_apart() -> Iterator[None]:
    """Convolutions in groups become one by depth, or one for each group, while the context is open.

    On a processor TensorFlow computes them within XLA only, and Keras puts them into a `tf.function` of that kind,
    which is traced in place here.
    """
    whole = tf.nn.convolution

    def convolution(images: Any, kernel: Any, *places: Any, **options: Any) -> Any:
        options |= dict(zip(("strides", "padding"), places, strict=False))
        groups = (images.shape[-1] or 1) // kernel.shape[-2] if options.get("data_format") == "NHWC" else 1
        if groups == 1:
            return whole(images, kernel, **options)
        strides, dilations = (options.pop(name, None) or 1 for name in ("strides", "dilations"))
        down, right = np.broadcast_to(strides, 2).tolist()
        if kernel.shape[-2] == 1 and down == right and (down == 1 or np.all(np.equal(dilations, 1))):
            by_depth = tf.reshape(kernel, (*kernel.shape[:2], groups, -1))
            spread = np.broadcast_to(dilations, 2).tolist()
            return tf.nn.depthwise_conv2d(images, by_depth, (1, down, down, 1), dilations=spread, **options)
        parts = zip(tf.split(images, groups, axis=-1), tf.split(kernel, groups, axis=-1), strict=True)
        return tf.concat([whole(*each, strides=strides, dilations=dilations, **options) for each in parts], axis=-1)

    tf.nn.convolution = convolution
    try:
        yield
    finally:
        tf.nn.convolution = whole


def _kind(operation: Any) -> tuple[str, list[int | None]]:
    """What an operation does, and how many axes what it gives has."""
    return operation.type, [tensor.shape.rank for tensor in operation.outputs]


def zeros_for_none(slopes: list[Any], tensors: list[Any]) -> list[Any]:
    """Derivatives, zero by what the score does not depend on."""
    pairs = zip(slopes, tensors, strict=True)
    return [tf.zeros_like(tensor) if slope is None else slope for slope, tensor in pairs]


@contextmanager
def _noting(layers: Sequence[Any], count: Callable[[], int]) -> Iterator[list[LayerCall]]:
    """Note every call of these layers while the context is open; `count` tells how many operations there are."""
    calls: list[LayerCall] = []
    inner = [0]  # calls seen inside of each call under way

    def noting(layer: Any, call: Any) -> Any:
        def noted(*args: Any, **kwargs: Any) -> Any:
            start = count()
            inner.append(0)
            output = call(*args, **kwargs)
            is_leaf = not inner.pop()
            inner[-1] += 1
            given = args[0] if args and tf.is_tensor(args[0]) else None
            calls.append(LayerCall(layer, given, output if tf.is_tensor(output) else None, start, count(), is_leaf))
            return output

        return noted

    unique = list({id(layer): layer for layer in layers}.values())
    for layer in unique:
        layer.__dict__["call"] = noting(layer, layer.call)
    try:
        yield calls
    finally:
        for layer in unique:
            del layer.__dict__["call"]
