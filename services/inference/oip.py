"""Bodies of the Open Inference Protocol v2: JSON, and the binary tensor extension behind a JSON header.

https://github.com/kserve/open-inference-protocol and, for binary data, Triton's extension_binary_data.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

HEADER_LENGTH = "Inference-Header-Content-Length"

Ints = NDArray[np.int16] | NDArray[np.int32]
Tensor = NDArray[np.float32] | Sequence[str]  #: FP32 of any shape, or a row of BYTES

_INTS: Mapping[str, str] = {"INT16": "<i2", "INT32": "<i4"}


class RequestError(ValueError):
    """A request that cannot be answered; the message names the tensor and the remedy, never its values."""


class _Parameters(msgspec.Struct, frozen=True):
    binary_data_size: int | None = None
    binary_data: bool | None = None
    binary_data_output: bool = False


class _Input(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    parameters: _Parameters = _Parameters()
    data: msgspec.Raw = msgspec.Raw()


class _Wanted(msgspec.Struct):
    name: str
    parameters: _Parameters = _Parameters()


class _Request(msgspec.Struct):
    inputs: list[_Input]
    id: str | None = None
    parameters: _Parameters = _Parameters()
    outputs: list[_Wanted] = []


@dataclass(frozen=True, slots=True)
class InferRequest:
    """A request's input tensors, all of one dimension, and how its outputs are wanted."""

    id: str | None
    tensors: Mapping[str, Ints]
    outputs: Mapping[str, bool] | None  #: name -> in binary; None: all of them
    binary: bool  #: where `outputs` does not say


@dataclass(frozen=True, slots=True)
class Reply:
    """A body, and the length of the JSON header before its binary tensors where it has any."""

    body: bytes
    header_length: int | None = None


def read_request(body: bytes, header_length: int | None, datatypes: Mapping[str, str]) -> InferRequest:
    """Decode a request whose inputs must be those of `datatypes` (name -> INT16 or INT32). RequestError otherwise."""
    if header_length is not None and not 0 <= header_length <= len(body):
        raise RequestError(f"{HEADER_LENGTH} must lie between 0 and the body's length")
    whole = memoryview(body)  # tensors are parts of the body: a copy would be held beside it while they wait
    header, binary = whole[:header_length], whole[len(body) if header_length is None else header_length :]
    try:
        request = msgspec.json.decode(header, type=_Request)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise RequestError(f"the request's JSON does not follow the protocol: {error}") from error
    tensors = _tensors(request.inputs, binary, datatypes)
    default = request.parameters.binary_data_output
    wanted = {one.name: _first(one.parameters.binary_data, default) for one in request.outputs}
    return InferRequest(request.id, tensors, wanted or None, default)


def _first(said: bool | None, default: bool) -> bool:
    return default if said is None else said


def _tensors(inputs: Sequence[_Input], rest: memoryview, datatypes: Mapping[str, str]) -> dict[str, Ints]:
    """The inputs in order, each taking its part of the bytes behind the header."""
    tensors: dict[str, Ints] = {}
    for tensor in inputs:
        _check(tensor, tensors, datatypes)
        size = tensor.parameters.binary_data_size
        if size is not None and not 0 <= size <= len(rest):
            raise RequestError(f"input {tensor.name}: binary_data_size is more than the body holds")
        tensors[tensor.name] = _from_json(tensor) if size is None else _from_bytes(tensor, rest[:size])
        rest = rest[size or 0 :]
    missing = datatypes.keys() - tensors.keys()
    if missing:
        raise RequestError(f"inputs missing: {', '.join(sorted(missing))}")
    if len(rest):
        raise RequestError(f"{len(rest)} bytes follow the last input")
    return tensors


def _check(tensor: _Input, before: Mapping[str, Ints], datatypes: Mapping[str, str]) -> None:
    if tensor.name not in datatypes or tensor.name in before:
        raise RequestError(f"inputs must be {', '.join(datatypes)}, each once")
    if tensor.datatype != datatypes[tensor.name]:
        raise RequestError(f"input {tensor.name}: datatype must be {datatypes[tensor.name]}")
    if len(tensor.shape) != 1 or tensor.shape[0] < 0:
        raise RequestError(f"input {tensor.name}: shape must have one dimension")


def _from_bytes(tensor: _Input, data: memoryview) -> Ints:
    dtype = np.dtype(_INTS[tensor.datatype])
    if len(data) != tensor.shape[0] * dtype.itemsize:
        raise RequestError(f"input {tensor.name}: shape says {tensor.shape[0] * dtype.itemsize} bytes, not {len(data)}")
    return np.frombuffer(data, dtype)


def _from_json(tensor: _Input) -> Ints:
    try:
        values = np.array(msgspec.json.decode(tensor.data, type=list[int]), np.int64)
    except (msgspec.MsgspecError, OverflowError) as error:
        raise RequestError(f"input {tensor.name}: data must be a flat list of whole numbers") from error
    limits = np.iinfo(_INTS[tensor.datatype])
    if len(values) != tensor.shape[0]:
        raise RequestError(f"input {tensor.name}: shape says {tensor.shape[0]} values, not {len(values)}")
    if len(values) and not limits.min <= values.min() <= values.max() <= limits.max:
        raise RequestError(f"input {tensor.name}: values do not fit {tensor.datatype}")
    return values.astype(_INTS[tensor.datatype])


def write_reply(model: Mapping[str, Any], outputs: Mapping[str, Tensor], request: InferRequest) -> Reply:
    """Encode the outputs that the request wants. `model` is what the response says of the model."""
    wanted = dict.fromkeys(outputs, request.binary) if request.outputs is None else request.outputs
    unknown = wanted.keys() - outputs.keys()
    if unknown:
        raise RequestError(f"no such output: {', '.join(sorted(unknown))}; there are {', '.join(outputs)}")
    heads, parts = [], []
    for name, in_binary in wanted.items():
        head, part = _write(name, outputs[name], in_binary=in_binary)
        heads.append(head)
        parts.append(part)
    identity = {} if request.id is None else {"id": request.id}
    header = msgspec.json.encode({**model, **identity, "outputs": heads})
    in_any = any(wanted.values())
    return Reply(header + b"".join(parts), len(header) if in_any else None)


def _write(name: str, tensor: Tensor, *, in_binary: bool) -> tuple[dict[str, Any], bytes]:
    """One output's entry in the header, and its bytes behind it."""
    flat: list[Any]
    if isinstance(tensor, np.ndarray):
        datatype, shape, flat, data = (
            "FP32",
            list(tensor.shape),
            tensor.ravel().tolist(),
            tensor.astype("<f4").tobytes(),
        )
    else:
        datatype, shape, flat, data = "BYTES", [len(tensor)], list(tensor), _sized(tensor)
    head: dict[str, Any] = {"name": name, "datatype": datatype, "shape": shape}
    if in_binary:
        return head | {"parameters": {"binary_data_size": len(data)}}, data
    return head | {"data": flat}, b""


def _sized(texts: Sequence[str]) -> bytes:
    """BYTES elements: each with its length before it, 4 bytes little-endian."""
    encoded = [text.encode() for text in texts]
    return b"".join(len(text).to_bytes(4, "little") + text for text in encoded)


def tensor_metadata(name: str, datatype: str, shape: Sequence[int]) -> dict[str, Any]:
    """How a model's metadata describes one tensor; -1 is any size."""
    return {"name": name, "datatype": datatype, "shape": list(shape)}
