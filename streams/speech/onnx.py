"""The weights in an ONNX file: enough of protobuf's wire format to find its named constants, subgraphs included."""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_SIZES = {_FIXED64: 8, _FIXED32: 4}
#: Numbers of the fields that are read, by message: see onnx.proto.
_MODEL_GRAPH, _GRAPH_NODE = 7, 1
_NODE_OUTPUT, _NODE_ATTRIBUTE = 2, 5
_ATTRIBUTE_TENSOR, _ATTRIBUTE_GRAPH = 5, 6
_TENSOR_DIMS, _TENSOR_TYPE, _TENSOR_RAW = 1, 2, 9
_FLOAT = 1


def float_constants(model: bytes) -> dict[str, NDArray[np.float32]]:
    """Every float32 constant of the model and of its subgraphs, by the name of what it feeds."""
    found: dict[str, NDArray[np.float32]] = {}
    for graph in _all(model, _MODEL_GRAPH):
        found |= _of_graph(graph)
    return found


def _of_graph(graph: bytes) -> dict[str, NDArray[np.float32]]:
    found: dict[str, NDArray[np.float32]] = {}
    for node in _all(graph, _GRAPH_NODE):
        outputs = _all(node, _NODE_OUTPUT)
        for attribute in _all(node, _NODE_ATTRIBUTE):
            for tensor in _all(attribute, _ATTRIBUTE_TENSOR):
                found |= _of_tensor(outputs[0].decode(), tensor)
            for inner in _all(attribute, _ATTRIBUTE_GRAPH):
                found |= _of_graph(inner)
    return found


def _of_tensor(name: str, tensor: bytes) -> Mapping[str, NDArray[np.float32]]:
    fields = list(_fields(tensor))
    shape = [value for field, value in fields if field == _TENSOR_DIMS]
    raw = [value for field, value in fields if field == _TENSOR_RAW and isinstance(value, bytes)]
    if (_TENSOR_TYPE, _FLOAT) not in fields or not raw:
        return {}
    return {name: np.frombuffer(raw[0], "<f4").reshape([int(size) for size in shape])}


def _all(message: bytes, number: int) -> list[bytes]:
    return [value for field, value in _fields(message) if field == number and isinstance(value, bytes)]


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field; the values of fixed-width fields are not needed and left as bytes."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        size, at = _varint(message, at) if wire == _BYTES else (_SIZES[wire], at)
        yield number, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return value, at
