import json
import struct
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.inference.model import INPUTS
from services.inference.oip import InferRequest, RequestError, read_request, write_reply

Values = dict[str, list[int]]

VALUES = st.fixed_dictionaries(
    {
        "samples": st.lists(st.integers(-32768, 32767), max_size=20),
        "lengths": st.lists(st.integers(-(2**31), 2**31 - 1), max_size=5),
        "rate": st.lists(st.integers(0, 48000), min_size=1, max_size=1),
    }
)
GOOD: Values = {"samples": [1, -2, 3], "lengths": [3], "rate": [8000]}


def encoded(values: Values, *, binary: set[str]) -> tuple[bytes, int | None]:
    """A request as a client writes it, the tensors of `binary` behind the JSON header."""
    inputs: list[dict[str, Any]] = []
    tail = b""
    for name, data in values.items():
        tensor: dict[str, Any] = {"name": name, "datatype": INPUTS[name], "shape": [len(data)]}
        if name in binary:
            raw = struct.pack(f"<{len(data)}{'h' if name == 'samples' else 'i'}", *data)
            tensor["parameters"] = {"binary_data_size": len(raw)}
            tail += raw
        else:
            tensor["data"] = data
        inputs.append(tensor)
    header = json.dumps({"id": "7", "inputs": inputs}).encode()
    return header + tail, len(header) if binary else None


@given(values=VALUES, binary=st.sets(st.sampled_from(sorted(INPUTS))))
def test_json_and_binary_tensors_are_read_alike(values: Values, binary: set[str]) -> None:
    body, header_length = encoded(values, binary=binary)
    request = read_request(body, header_length, INPUTS)
    assert request.id == "7"
    assert {name: tensor.tolist() for name, tensor in request.tensors.items()} == values


def test_a_binary_tensor_takes_no_memory_beside_its_request() -> None:
    body, header_length = encoded(GOOD, binary={"samples"})
    samples = read_request(body, header_length, INPUTS).tensors["samples"]
    assert np.shares_memory(samples, np.frombuffer(body, np.uint8))


@given(body=st.binary(max_size=200), header_length=st.none() | st.integers(-1, 300))
def test_bytes_that_are_no_request_are_refused(body: bytes, header_length: int | None) -> None:
    with pytest.raises(RequestError):
        read_request(body, header_length, INPUTS)


@given(position=st.integers(0, 10_000), byte=st.integers(0, 255))
@settings(max_examples=300)
def test_a_damaged_request_is_read_or_refused(position: int, byte: int) -> None:
    body, header_length = encoded(GOOD, binary={"samples", "rate"})
    damaged = bytearray(body)
    damaged[position % len(body)] = byte
    with suppress(RequestError):
        assert read_request(bytes(damaged), header_length, INPUTS).tensors.keys() == INPUTS.keys()


def change(path: list[Any], value: object) -> bytes:
    body, _ = encoded(GOOD, binary=set())
    request = json.loads(body)
    at = request
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    return json.dumps(request).encode()


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        (["inputs", 0, "name"], "audio", "inputs must be samples, lengths, rate, each once"),
        (["inputs", 1, "name"], "samples", "inputs must be samples, lengths, rate, each once"),
        (["inputs", 0, "datatype"], "FP32", "input samples: datatype must be INT16"),
        (["inputs", 0, "shape"], [1, 3], "input samples: shape must have one dimension"),
        (["inputs", 0, "shape"], [4], "input samples: shape says 4 values, not 3"),
        (["inputs", 0, "data"], [1, 2, 40000], "input samples: values do not fit INT16"),
        (["inputs", 0, "data"], [1, 2, 10**30], "input samples: data must be a flat list of whole numbers"),
        (["inputs", 0, "data"], [1, 2, 3.5], "input samples: data must be a flat list of whole numbers"),
        (["inputs", 0, "data"], [[1, 2, 3]], "input samples: data must be a flat list of whole numbers"),
        (["inputs", 0, "parameters"], {"binary_data_size": 6}, "binary_data_size is more than the body holds"),
        (["inputs", 0, "parameters"], {"binary_data_size": -6}, "binary_data_size is more than the body holds"),
        (["inputs"], [], "inputs missing: lengths, rate, samples"),
        (["inputs"], 5, "does not follow the protocol"),
    ],
)
def test_a_fault_is_named_with_its_tensor(path: list[Any], value: object, complaint: str) -> None:
    with pytest.raises(RequestError, match=complaint):
        read_request(change(path, value), None, INPUTS)


def test_bytes_behind_the_last_tensor_are_refused() -> None:
    body, header_length = encoded(GOOD, binary={"rate"})
    with pytest.raises(RequestError, match="2 bytes follow the last input"):
        read_request(body + b"xx", header_length, INPUTS)


OUTPUTS = {"mood": np.array([[0.25, 0.75]], np.float32), "reason": ["too_short"]}


def test_outputs_are_written_as_json_unless_binary_is_asked_for() -> None:
    reply = write_reply({"model_name": "m"}, OUTPUTS, InferRequest("7", {}, None, binary=False))
    assert reply.header_length is None
    assert json.loads(reply.body) == {
        "model_name": "m",
        "id": "7",
        "outputs": [
            {"name": "mood", "datatype": "FP32", "shape": [1, 2], "data": [0.25, 0.75]},
            {"name": "reason", "datatype": "BYTES", "shape": [1], "data": ["too_short"]},
        ],
    }


def test_binary_outputs_lie_behind_the_header_in_its_order() -> None:
    reply = write_reply({}, OUTPUTS, InferRequest(None, {}, {"reason": True, "mood": True}, binary=False))
    header = json.loads(reply.body[: reply.header_length])
    assert [(out["name"], out["parameters"]["binary_data_size"]) for out in header["outputs"]] == [
        ("reason", 13),
        ("mood", 8),
    ]
    assert reply.body[reply.header_length :] == b"\x09\x00\x00\x00too_short" + struct.pack("<2f", 0.25, 0.75)


def test_one_output_may_be_binary_and_another_json() -> None:
    reply = write_reply({}, OUTPUTS, InferRequest(None, {}, {"mood": False, "reason": True}, binary=True))
    header = json.loads(reply.body[: reply.header_length])
    assert header["outputs"][0]["data"] == [0.25, 0.75]
    assert reply.body[reply.header_length :] == b"\x09\x00\x00\x00too_short"


def test_an_output_that_does_not_exist_is_refused() -> None:
    with pytest.raises(RequestError, match="no such output: taste; there are mood, reason"):
        write_reply({}, OUTPUTS, InferRequest(None, {}, {"taste": True}, binary=True))
