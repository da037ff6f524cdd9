"""Reads TensorFlow SavedModels: a folder's graph is looked through before anything of it runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import keras
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
from tensorflow.python.framework import op_def_registry

from auditor.errors import ModelError, OptionError
from auditor.subject.model.trial import TO_TRUST, refuse_holes

GRAPH_FILE = "saved_model.pb"


class SavedFunction(keras.layers.Layer):  # type: ignore[misc]  # Keras ships no types
    """One signature of a SavedModel as a layer: images in, the only output out."""

    def __init__(self, loaded: Any, signature: str, last_operation: str) -> None:
        super().__init__(trainable=False, name=signature)
        self._loaded = loaded  # its variables live as long as it does
        self._signature = signature
        self.last_operation = last_operation
        """What TensorFlow calls the operation that gives the output, for example `Softmax` or `MatMul`."""

    @property
    def function(self) -> Any:
        """The signature itself."""
        return self._loaded.signatures[self._signature]

    @property
    def parameters(self) -> int:
        """How many numbers its variables hold."""
        return sum(int(variable.shape.num_elements()) for variable in self.function.variables)

    def call(self, images: Any) -> Any:
        """Scores of a batch of images."""
        ((name, spec),) = self.function.structured_input_signature[1].items()
        (output,) = self.function(**{name: tf.cast(images, spec.dtype)}).values()
        return output


def load_saved_model(folder: Path, signature: str, *, trust: bool) -> Any:
    """A Keras model around one signature of a SavedModel.

    Parameters
    ----------
    trust
        Run operations, too, that may reach beyond the model.

    Raises
    ------
    ModelError
        The folder is damaged, or its graph holds such operations, or the signature is not one image to one output.
    OptionError
        An unknown signature.
    """
    if not trust:
        refuse_odd_files(folder)
    graph = _read_graph(folder)
    found = sorted(name for name in graph.signature_def if not name.startswith("__saved_model"))
    if signature not in found:
        listed = f"one of: {', '.join(found)}" if found else "a model saved with signatures"
        raise OptionError("signature", f"got {signature!r}, wanted {listed}")
    if not trust:
        _refuse_reaching_out(graph)
    given, result = _only_input_and_output(graph, signature)
    if given.tensor_shape.unknown_rank:
        raise ModelError(f"signature {signature!r} does not say what shape its images have")
    size, *shape = [None if dim.size < 0 else dim.size for dim in given.tensor_shape.dim] or [None]
    loaded = tf.saved_model.load(str(folder))
    images = keras.Input(tuple(shape), batch_size=size)
    last_operation = _find_operation(graph, graph.graph_def.node, result.name)
    return keras.Model(images, SavedFunction(loaded, signature, last_operation)(images))


def refuse_odd_files(folder: Path) -> None:
    """Refuse a folder of what is no file in it, or is mostly holes.

    Raises
    ------
    ModelError
        The first of these.
    """
    inside = folder.resolve()
    for number, file in enumerate(folder.rglob("*")):
        if number == _MOST_FILES:
            raise ModelError(f"is a folder of more than {_MOST_FILES:,} files; {TO_TRUST}")
        if not file.resolve().is_relative_to(inside):
            raise ModelError(f"holds a link that leads out of its folder, {file.name[:80]!r}; {TO_TRUST}")
        if not (file.is_file() or file.is_dir()):
            raise ModelError(f"holds what is no file, {file.name[:80]!r}; {TO_TRUST}")
        refuse_holes(file)


def _read_graph(folder: Path) -> Any:
    saved = SavedModel()
    try:
        saved.ParseFromString((folder / GRAPH_FILE).read_bytes())
    except DecodeError:
        raise ModelError(f"{GRAPH_FILE} is no SavedModel, or it is cut short") from None
    if not saved.meta_graphs:
        raise ModelError(f"{GRAPH_FILE} is no SavedModel, or it is cut short")
    if len(saved.meta_graphs) != 1 or not saved.meta_graphs[0].HasField("object_graph_def"):
        raise ModelError("was not saved by TensorFlow 2; load it there and save it anew")
    return saved.meta_graphs[0]


def _only_input_and_output(graph: Any, signature: str) -> tuple[Any, Any]:
    contract = graph.signature_def[signature]
    for tensors, what, wanted in (
        (contract.inputs, "inputs", "the images"),
        (contract.outputs, "outputs", "the scores of the classes"),
    ):
        if len(tensors) != 1:
            names = f", {', '.join(sorted(tensors))}" if tensors else ""
            raise ModelError(f"signature {signature!r} has {len(tensors)} {what}{names}; wanted one: {wanted}")
    ((_, given),) = contract.inputs.items()
    ((_, result),) = contract.outputs.items()
    kind = tf.dtypes.as_dtype(given.dtype)
    if not kind.is_floating:
        raise ModelError(
            f"signature {signature!r} takes {kind.name}, through which no derivative passes; export the model from "
            "where its pixels are float, and tell their range by input_range"
        )
    return given, result


def _refuse_reaching_out(graph: Any) -> None:
    """A graph runs when it is loaded, so what could touch files, the network or Python is found by reading it."""
    of_the_saver = _functions_of_the_saver(graph)
    for asset in graph.asset_file_def:
        if asset.filename.startswith("/") or ".." in PurePosixPath(asset.filename).parts:
            raise ModelError(f"names a file outside of its folder, {asset.filename[:80]!r}; {TO_TRUST}")
    reaching: set[str] = {node.op for node in graph.graph_def.node if _reaches_out(node.op)}
    for function in graph.graph_def.library.function:
        allowed = _CHECKPOINTING if function.signature.name in of_the_saver else frozenset()
        reaching |= {node.op for node in function.node_def if _reaches_out(node.op) and node.op not in allowed}
    if reaching:
        raise ModelError(
            "holds operations that may reach beyond the model, to files, the network or Python, and would be run: "
            f"{', '.join(sorted(reaching))}; {TO_TRUST}"
        )


def _reaches_out(operation: str) -> bool:
    """Whether an operation may do more than compute; one that is not known may.

    What keeps no state, no text (files are named in texts) and no variant (data sets are such) computes, where none of
    its attributes is a function, or a text but of the few that are known.
    """
    if operation in _COMPUTING or operation.startswith(("TensorList", "EmptyTensorList")):
        return False
    known = op_def_registry.get(operation)
    if known is None or known.is_stateful:
        return True
    for attribute in known.attr:
        is_text = attribute.type.endswith(("string", "string)")) and not attribute.allowed_values.list.s
        if "func" in attribute.type or (is_text and attribute.name not in _HARMLESS_TEXTS):
            return True
    unwanted = (types_pb2.DT_STRING, types_pb2.DT_VARIANT)
    return any(arg.type in unwanted for arg in [*known.input_arg, *known.output_arg])


def _functions_of_the_saver(graph: Any) -> set[str]:
    """Functions that only saving and restoring a checkpoint calls; loading a model calls neither."""
    library = {function.signature.name: function.node_def for function in graph.graph_def.library.function}

    def reached(names: Iterable[str]) -> set[str]:
        seen: set[str] = set()
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name in library and name not in seen:
                seen.add(name)
                waiting += _called(library[name])
        return seen

    saver = {graph.saver_def.save_tensor_name.partition(":")[0], graph.saver_def.restore_op_name}
    nodes, objects = graph.graph_def.node, graph.object_graph_def
    elsewhere = reached(_called(node for node in nodes if node.name not in saver))
    elsewhere |= reached(objects.concrete_functions)
    elsewhere |= reached(name for entry in objects.nodes for name in entry.function.concrete_functions)
    elsewhere |= reached(entry.bare_concrete_function.concrete_function_name for entry in objects.nodes)
    return reached(_called(node for node in nodes if node.name in saver)) - elsewhere


def _called(nodes: Iterable[Any]) -> Iterator[str]:
    """Names of the functions that nodes call."""
    for node in nodes:
        yield node.op  # a function may be called like an operation
        for value in node.attr.values():
            yield value.func.name
            yield from (function.name for function in value.list.func)


def _find_operation(graph: Any, nodes: Any, tensor: str) -> str:
    """The operation that a tensor comes from, through calls and what only shifts or reshapes its values."""
    node = next((node for node in nodes if node.name == tensor.partition(":")[0]), None)
    if node is None:
        return "Placeholder"
    if node.op in ("AddV2", "BiasAdd", "Identity", "Reshape", "Squeeze"):
        return _find_operation(graph, nodes, node.input[0])
    called = node.attr["f"].func.name if node.op in ("PartitionedCall", "StatefulPartitionedCall") else None
    for function in graph.graph_def.library.function:
        if function.signature.name == called:
            number = int(tensor.rpartition(":")[2])
            return _find_operation(graph, function.node_def, function.ret[function.signature.output_arg[number].name])
    return node.op


_CHECKPOINTING = frozenset({"MergeV2Checkpoints", "RestoreV2", "SaveV2", "ShardedFilename"})

_COMPUTING = frozenset(
    {
        *("AssignAddVariableOp", "AssignSubVariableOp", "AssignVariableOp", "DestroyResourceOp", "DisableCopyOnRead"),
        *("ReadVariableOp", "ResourceGather", "ResourceGatherNd", "VarHandleOp", "VarIsInitializedOp", "VariableShape"),
        *("Case", "If", "PartitionedCall", "StatefulPartitionedCall", "StatelessCase", "StatelessIf", "StatelessWhile"),
        *("MapDefun", "SymbolicGradient", "While"),
        *("Assert", "CheckNumerics", "CheckNumericsV2"),
        *("CudnnRNNBackpropV2", "CudnnRNNBackpropV3", "CudnnRNNV2", "CudnnRNNV3"),
        *("Multinomial", "RandomGamma", "RandomPoissonV2", "RandomShuffle", "RandomStandardNormal", "RandomUniform"),
        *("RandomUniformInt", "RngReadAndSkip", "RngSkip", "StatefulStandardNormalV2", "StatefulTruncatedNormal"),
        *("StatefulUniform", "StatefulUniformInt", "StatelessRandomGetAlg", "TruncatedNormal"),
        *("HashTableV2", "InitializeTableV2", "LookupTableExportV2", "LookupTableFindV2", "LookupTableImportV2"),
        *("LookupTableInsertV2", "LookupTableSizeV2", "MutableHashTableV2"),
        *("AsString", "StaticRegexFullMatch", "StaticRegexReplace", "StringJoin", "StringLength", "StringLower"),
        *("StringSplitV2", "StringStrip", "StringToHashBucketFast", "StringToNumber", "StringUpper", "Substr"),
        *("DecodeAndCropJpeg", "DecodeBase64", "DecodeBmp", "DecodeGif", "DecodeImage", "DecodeJpeg", "DecodePng"),
        *("DecodeRaw", "DecodeWebP", "EncodeBase64", "EncodeJpeg", "EncodePng", "ExtractJpegShape"),
        *("ParseExample", "ParseExampleV2", "ParseSingleExample"),
    }
)
"""Operations on state, functions or texts that stay inside the model."""

_HARMLESS_TEXTS = frozenset(
    {
        *("bad_indices_policy", "dimension_numbers", "dst_format", "equation", "fill_mode", "frame_name"),
        *("interpolation", "kernel_type", "message", "noise", "padding", "row_partition_types", "set_operation"),
        *("src_format", "var_name"),
    }
)
"""Names of attributes that are texts and name no file, no place and no code."""

_MOST_FILES = 10_000
"""In the folder of a SavedModel."""
