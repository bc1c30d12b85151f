"""The service as NVIDIA's own client of the protocol sees it, against a real process."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from services.emotion.bundle import Bundle
from services.standalone.places import free_port


@pytest.fixture(scope="module")
def triton() -> Iterator[InferenceServerClient]:
    port = free_port()
    environment = os.environ | {
        "UNDERTONE_INFERENCE_ALLOW_DEMO_BUNDLE": "true",
        "UNDERTONE_INFERENCE_PORT": str(port),
    }
    process = subprocess.Popen([sys.executable, "-m", "services.inference"], env=environment)
    client = InferenceServerClient(f"127.0.0.1:{port}")
    try:
        _await_ready(client, process)
        yield client
    finally:
        client.close()
        process.terminate()
        assert process.wait(10) == 0


def _await_ready(client: InferenceServerClient, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if client.is_server_ready():
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail("the service did not become ready")


def tensor(name: str, values: NDArray[np.generic], *, binary: bool = True) -> InferInput:
    datatype = {"int16": "INT16", "int32": "INT32"}[values.dtype.name]
    made = InferInput(name, list(values.shape), datatype)
    made.set_data_from_numpy(values, binary_data=binary)
    return made


def inputs(*windows: NDArray[np.int16], rate: int = 8000, binary: bool = True) -> list[InferInput]:
    lengths = np.array([len(window) for window in windows], np.int32)
    return [
        tensor("samples", np.concatenate(windows), binary=binary),
        tensor("lengths", lengths, binary=binary),
        tensor("rate", np.array([rate], np.int32), binary=binary),
    ]


def test_health_and_metadata_are_the_protocols(triton: InferenceServerClient, demo: Bundle) -> None:
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.is_model_ready("demo")
    assert triton.is_model_ready("demo", "1")
    assert not triton.is_model_ready("other")
    assert triton.get_server_metadata()["name"] == "undertone"
    assert [model["name"] for model in triton.get_model_repository_index()] == ["demo"]
    told = triton.get_model_metadata("demo", "1")
    assert told["parameters"]["bundle_sha256"] == demo.sha256
    assert [each["name"] for each in told["inputs"]] == ["samples", "lengths", "rate"]


def test_many_windows_in_binary_tensors_are_answered_in_one_request(
    triton: InferenceServerClient, hum: NDArray[np.int16], demo: Bundle
) -> None:
    found = triton.infer("demo", inputs(hum, np.zeros(24_000, np.int16), hum[:4000]), request_id="7")
    assert found.get_response()["id"] == "7"
    assert found.get_response()["parameters"]["bundle_sha256"] == demo.sha256
    assert found.as_numpy("outcome").tolist() == [b"labelled", b"abstained", b"abstained"]
    assert found.as_numpy("reason").tolist() == [b"", b"silent", b"too_short"]
    for head, classes in demo.manifest.scheme.heads.items():
        rows = found.as_numpy(head)
        assert rows.dtype == np.float32
        assert rows.shape == (3, len(classes))
        np.testing.assert_allclose(rows.sum(axis=1), [1, 0, 0], atol=1e-6)


def test_json_tensors_say_the_same_as_binary_ones(triton: InferenceServerClient, hum: NDArray[np.int16]) -> None:
    wanted = [InferRequestedOutput("valence.full", binary_data=False)]
    in_json = triton.infer("demo", inputs(hum, binary=False), outputs=wanted)
    assert "data" in in_json.get_output("valence.full")
    in_binary = triton.infer("demo", inputs(hum))
    np.testing.assert_allclose(in_json.as_numpy("valence.full"), in_binary.as_numpy("valence.full"), atol=1e-7)


@pytest.mark.parametrize("packed", ["gzip", "deflate"])
def test_a_compressed_request_is_read(triton: InferenceServerClient, hum: NDArray[np.int16], packed: str) -> None:
    found = triton.infer("demo", inputs(hum), request_compression_algorithm=packed)
    assert found.as_numpy("outcome").tolist() == [b"labelled"]


def test_a_faulty_request_is_answered_with_what_is_wrong(triton: InferenceServerClient, hum: NDArray[np.int16]) -> None:
    with pytest.raises(InferenceServerException, match="input rate: one value, 8000 to 48000 Hz") as refused:
        triton.infer("demo", inputs(hum, rate=4000))
    assert refused.value.status() == "400"
    with pytest.raises(InferenceServerException, match="there is model demo, version 1") as unknown:
        triton.infer("other", inputs(hum))
    assert unknown.value.status() == "404"


def test_the_service_says_why_it_refuses_the_demo_bundle() -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("UNDERTONE_INFERENCE")}
    ended = subprocess.run(
        [sys.executable, "-m", "services.inference"], env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert "must not score real customers" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
