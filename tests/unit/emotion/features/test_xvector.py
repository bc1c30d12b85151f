from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from services.emotion.features.fbank import vbx, wespeaker
from services.emotion.features.feature import FeatureError
from services.emotion.features.sources import Model
from services.emotion.features.sources import onnx as onnx_file
from services.emotion.features.xvector import XVector

Array = np.ndarray
WEIGHTS = {
    "kernel": np.random.default_rng(0).normal(0, 0.1, (8, 20, 3)).astype(np.float32),
    "bias": np.random.default_rng(1).normal(0, 0.1, 8).astype(np.float32),
}


def noise(samples: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)


def write(path: Path, shape: list[object], transposed: bool, rate: str = "") -> Path:
    """A network of one convolution over time, rectified, whose mean over time is the embedding; as a real ONNX file."""
    nodes = [
        helper.make_node("Conv", ["bands" if transposed else "feats", "kernel", "bias"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["positive"]),
        helper.make_node("ReduceMean", ["positive"], ["embs"], axes=[2], keepdims=0),
    ]
    if transposed:
        nodes.insert(0, helper.make_node("Transpose", ["feats"], ["bands"], perm=[0, 2, 1]))
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("feats", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("embs", TensorProto.FLOAT, ["batch", 8])],
        [numpy_helper.from_array(values, name) for name, values in WEIGHTS.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if rate:
        helper.set_model_props(model, {"sample_rate": rate})
    onnx.save(model, path)
    return path


def expected(frames: Array) -> Array:
    """The same network by torch, of (frames, bands)."""
    weights = {name: torch.from_numpy(values) for name, values in WEIGHTS.items()}
    hidden = torch.nn.functional.conv1d(torch.from_numpy(frames.T.copy())[None], weights["kernel"], weights["bias"])
    return torch.relu(hidden).mean(dim=2)[0].numpy()


def test_a_network_over_frames_and_bands_hears_as_wespeakers_do(tmp_path: Path) -> None:
    feature = XVector(Model(str(write(tmp_path / "resnet34.onnx", ["B", "T", 20], transposed=True))))
    assert (feature.rate, feature.layers, feature.values) == (16_000, 1, 8)
    (found,) = feature.vectors([noise(20_000)])
    np.testing.assert_allclose(found[0], expected(wespeaker(noise(20_000), 16_000, 20)), atol=1e-5)


def test_a_network_over_bands_and_frames_hears_as_vbxs_do(tmp_path: Path) -> None:
    feature = XVector(Model(str(write(tmp_path / "resnet101.onnx", [1, 20, "T"], transposed=False, rate="8000"))))
    assert feature.rate == 8000
    (found,) = feature.vectors([noise(40_000)])
    np.testing.assert_allclose(found[0], expected(vbx(noise(40_000), 8000, 20)), atol=1e-5)


def test_a_window_is_described_alike_in_any_batch(tmp_path: Path) -> None:
    feature = XVector(Model(str(write(tmp_path / "a.onnx", ["B", "T", 20], transposed=True))))
    windows = [noise(length, length) for length in (20_000, 9000, 50_000)]
    together = feature.vectors(windows)
    assert (together.shape, together.dtype) == ((3, 1, 8), np.float32)
    for at, window in enumerate(windows):
        assert np.array_equal(feature.vectors([window])[0], together[at])
    assert feature.vectors([]).shape == (0, 1, 8)


def test_the_version_holds_the_checksum_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.onnx", ["B", "T", 20], transposed=True)
    known = onnx_file(Model(str(path))).sha256
    assert XVector(Model(str(tmp_path), sha256=known)).version == f"1 {known}"
    with pytest.raises(FeatureError, match="its files have sha256"):
        XVector(Model(str(path), sha256="0" * 64))


@pytest.mark.parametrize("shape", [[1, 200, 20], ["B", "T", "F"], ["B", 20], ["B", 1, "T", 20]])
def test_an_input_that_is_neither_is_refused(tmp_path: Path, shape: list[object]) -> None:
    path = write(tmp_path / "a.onnx", shape, transposed=len(shape) == 3)
    with pytest.raises(FeatureError, match=r"a\.onnx: (one input .* is needed, not|no network that)"):
        XVector(Model(str(path)))


def test_a_network_that_fails_on_what_it_says_it_takes_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.onnx", ["B", "T", 21], transposed=True)
    with pytest.raises(FeatureError, match=r"a\.onnx: (fails on 98 frames|no network that)") as refused:
        XVector(Model(str(path)))
    assert "\n" not in str(refused.value)


def test_a_rate_that_no_call_has_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.onnx", ["B", "T", 20], transposed=True, rate="48000")
    with pytest.raises(FeatureError, match=r"a\.onnx: made for 48000 Hz"):
        XVector(Model(str(path)))


def test_a_file_that_is_no_network_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"no graph")
    with pytest.raises(FeatureError, match=r"a\.onnx: no network that ONNX Runtime can load"):
        XVector(Model(str(tmp_path / "a.onnx")))


def test_weights_beside_the_file_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.onnx", ["B", "T", 20], transposed=True)
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    with pytest.raises(FeatureError, match=r"a\.onnx: no network that ONNX Runtime can load"):
        XVector(Model(str(path)))


def test_a_window_without_a_frame_is_refused(tmp_path: Path) -> None:
    feature = XVector(Model(str(write(tmp_path / "a.onnx", ["B", "T", 20], transposed=True))))
    with pytest.raises(FeatureError, match="xvector: a window under 25 ms has no frame"):
        feature.vectors([noise(399)])


def test_a_device_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.onnx", ["B", "T", 20], transposed=True)
    with pytest.raises(FeatureError, match="device 'cuda': this ONNX Runtime has none"):
        XVector(Model(str(path)), "cuda")
