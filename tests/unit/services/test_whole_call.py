import struct
from pathlib import Path

import h5py
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from services.emotion.features.fbank import vbx, wespeaker
from services.emotion.features.feature import FeatureError
from services.whole_call import Network, open_network, whole_call, windows
from streams.speech import regions
from streams.speech.activity import VoiceActivity
from streams.speech.plda_files import PldaError
from streams.speech.vbx import MEETING, TELEPHONE

Array = np.ndarray
BANDS, DIMS = 20, 8
RATE = 8000


def network(path: Path, rate: int = RATE, values: int = BANDS, *, frames_first: bool = False) -> None:
    """A real ONNX file: how far each band goes from its mean (frames first), or from frame to frame."""
    axis = 1 if frames_first else 2
    shape = ["B", "T", values] if frames_first else [1, values, "T"]
    moved = [] if frames_first else [helper.make_node("Conv", ["feats", "step"], ["moved"], group=values)]
    graph = helper.make_graph(
        [
            *moved,
            helper.make_node("Abs", ["moved" if moved else "feats"], ["far"]),
            helper.make_node("ReduceMean", ["far"], ["embs"], axes=[axis], keepdims=0),
        ],
        "bands",
        [helper.make_tensor_value_info("feats", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("embs", TensorProto.FLOAT, ["batch", values])],
        [numpy_helper.from_array(np.tile(np.array([-1, 1], np.float32), (values, 1, 1)), "step")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {"sample_rate": str(rate)})
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)


def plda(folder: Path, values: int = BANDS) -> None:
    """Files as VBx publishes them: a mean, directions of the bands, and more between speakers than within."""
    numbers = np.eye(DIMS) * 16
    folder.joinpath("plda").write_bytes(
        b"\0B<Plda> DV \4"
        + struct.pack("<i", DIMS)
        + np.zeros(DIMS).tobytes()
        + b"DM \4"
        + struct.pack("<i", DIMS)
        + b"\4"
        + struct.pack("<i", DIMS)
        + numbers.tobytes()
        + b"DV \4"
        + struct.pack("<i", DIMS)
        + np.full(DIMS, 12.0).tobytes()
        + b"</Plda> "
    )
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(values, DIMS)))
    transform(folder, np.zeros(values), turn)


def transform(folder: Path, mean: Array, lda: Array) -> None:
    with h5py.File(folder / "transform.h5", "w") as file:
        file["mean1"], file["mean2"], file["lda"] = mean, np.zeros(DIMS), lda


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    network(tmp_path / "nnet" / "final.onnx")
    plda(tmp_path)
    return tmp_path


def voice(seconds: float, pitch: float, formant: float, syllables: float) -> Array:
    """A buzz with one formant (Hz), that swells as syllables do, so many a second."""
    time = np.arange(int(seconds * RATE)) / RATE
    swing = 2 * np.pi * np.cumsum(pitch * (1 + 0.1 * np.sin(2 * np.pi * 2.5 * time))) / RATE
    buzz = sum(np.sin(n * swing) * np.exp(-(((n * pitch - formant) / 500) ** 2)) for n in range(1, int(3500 / pitch)))
    sound = buzz * np.clip(np.sin(2 * np.pi * syllables / 2 * time), 0.05, None)
    return (sound / np.abs(sound).max() * 9000).astype(np.int16)


LOW, HIGH = (110, 500, 3.4), (150, 600, 8.0)  #: pitch and formant (Hz) of two voices
PAUSE = np.zeros(RATE, np.int16)


def test_two_voices_are_told_apart_and_each_is_known_again(folder: Path) -> None:
    spoken = [(voice(4, *of) / 32768).astype(np.float32) for of in (LOW, HIGH)]
    low, high = (open_network(folder).xvector.along(each, windows)[1].mean(axis=0) for each in spoken)
    learnt = np.zeros((BANDS, DIMS))
    learnt[:, 0] = high - low
    transform(folder, (low + high) / 2, learnt)
    call = np.concatenate([voice(4, *LOW), PAUSE, voice(4, *HIGH), PAUSE, voice(4, *LOW)])
    turns = whole_call(call, RATE, open_network(folder))
    assert [turn.speaker for turn in turns] == [0, 1, 0]
    found = [(turn.start_ms, turn.end_ms) for turn in turns]
    np.testing.assert_allclose(found, [(0, 4000), (5000, 9000), (10_000, 14_000)], atol=100)


def test_turns_last_as_long_as_speech_is_heard(folder: Path) -> None:
    call = np.concatenate([PAUSE, voice(3, *LOW), PAUSE, voice(0.5, *LOW), PAUSE])
    heard = regions.regions(VoiceActivity(), RATE, call)
    turns = whole_call(call, RATE, open_network(folder))
    assert [(turn.start_ms, turn.end_ms) for turn in turns] == heard
    assert len(heard) == 2


def test_a_call_without_speech_has_no_turns(folder: Path) -> None:
    assert whole_call(PAUSE, RATE, open_network(folder)) == []


def test_progress_is_told_in_media_time(folder: Path) -> None:
    told: list[int] = []
    call = np.concatenate([voice(3, *LOW), PAUSE, voice(3, *HIGH)])
    whole_call(call, RATE, open_network(folder), told.append)
    assert told == [end for _, end in regions.regions(VoiceActivity(), RATE, call)]


@pytest.mark.parametrize(("rate", "settings"), [(8000, TELEPHONE), (16_000, MEETING)])
def test_parameters_are_those_published_for_the_networks_rate(tmp_path: Path, rate: int, settings: object) -> None:
    network(tmp_path / "final.onnx", rate)
    plda(tmp_path)
    assert open_network(tmp_path).settings == settings


@pytest.mark.parametrize("frames_first", [False, True])
def test_x_vectors_are_those_of_the_networks_own_recipe(tmp_path: Path, *, frames_first: bool) -> None:
    network(tmp_path / "final.onnx", frames_first=frames_first)
    plda(tmp_path)
    opened: Network = open_network(tmp_path)
    speech = np.random.default_rng(0).normal(0, 0.1, 3 * RATE).astype(np.float32)
    spans, found = opened.xvector.along(speech, windows)
    frames = (wespeaker if frames_first else vbx)(speech, RATE, BANDS)
    pieces = [frames[start:end] for start, end in spans]
    far = [piece - piece.mean(axis=0) if frames_first else np.diff(piece, axis=0) for piece in pieces]
    wanted = [np.abs(each).mean(axis=0) for each in far]
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_windows_are_those_of_vbxs_recipe() -> None:
    assert windows(9) == []
    assert windows(10) == [(0, 10)]
    assert windows(144) == [(0, 144)]
    assert windows(145) == [(0, 144), (24, 145)]
    assert windows(169) == [(0, 144), (24, 168), (48, 169)]


@pytest.mark.needs("recordings")
def test_windows_of_vbxs_example_are_where_vbx_took_them(recordings: Path) -> None:
    folder = recordings / "vbx"
    found = []
    for line in (folder / "ES2005a.lab").read_text().splitlines():
        start, end = (round(100 * float(seconds)) for seconds in line.split()[:2])
        found += [(start + first, start + last) for first, last in windows(end - start)]
    theirs = [line.split()[2:] for line in (folder / "ES2005a.seg").read_text().splitlines()]
    assert found == [(round(100 * float(start)), round(100 * float(end))) for start, end in theirs]


def test_files_of_two_networks_are_refused(folder: Path) -> None:
    plda(folder, values=BANDS + 1)
    with pytest.raises(PldaError, match=r"the network gives 20 values and the transform takes 21"):
        open_network(folder)


def test_a_folder_without_a_network_is_refused_by_name(tmp_path: Path) -> None:
    plda(tmp_path)
    with pytest.raises(FeatureError, match=str(tmp_path)):
        open_network(tmp_path)
