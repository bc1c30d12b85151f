"""Networks in pyannote.audio's own files, with pyannote.audio itself."""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from streams.domain.overlap import FRAME_MS
from streams.domain.pieces import PIECE_MS
from streams.speech.embedding import open_voiceprints
from streams.speech.pyannote_models import WEIGHTS, ModelError
from streams.speech.segmentation import NetworkSegmentation
from streams.speech.telling import open_telling

pytestmark = [pytest.mark.needs("pyannote.audio"), pytest.mark.filterwarnings("ignore")]  # those of other packages

HERE = Path(__file__).parent
COMMIT = "0123456789abcdef0123456789abcdef01234567"
RATES = (8000, 16000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    os.environ["PYANNOTE_METRICS_ENABLED"] = "false"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from integration.speech import pyannote_files  # noqa: PLC0415 - what it imports may not be here

        given = tmp_path_factory.mktemp("networks")
        pyannote_files.embedding(given / "embedding")
        pyannote_files.segmentation(given / "segmentation")
        pyannote_files.segmentation(given / "short", duration=2.0)
        pyannote_files.segmentation(given / "plain", powerset=False)
    return given


def sounds(rate: int, ms: int, count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(count)
    return [rng.normal(0, 300 * (1 + number), ms * rate // 1000).astype(np.int16) for number in range(count)]


def test_a_pieces_vector_is_the_same_to_the_bit_whatever_else_is_in_the_batch(folder: Path) -> None:
    voiceprints = open_voiceprints(str(folder / "embedding"))
    pieces = [piece for ms in (384, 1000, PIECE_MS) for piece in sounds(8000, ms, 2)]
    together = voiceprints.embed(8000, pieces)
    assert together.shape == (6, 2)
    assert np.isfinite(together).all()
    alone = [voiceprints.embed(8000, [piece])[0].tobytes() for piece in pieces]
    backwards = voiceprints.embed(8000, pieces[::-1])[::-1]
    assert alone == [row.tobytes() for row in together] == [row.tobytes() for row in backwards]


@pytest.mark.parametrize("rate", RATES)
def test_who_speaks_in_a_window_is_the_same_whatever_else_is_in_the_batch(folder: Path, rate: int) -> None:
    segmentation = NetworkSegmentation(str(folder / "segmentation"))
    windows = sounds(rate, segmentation.window_ms, 6)
    together = segmentation.hear(rate, windows)
    assert [segmentation.hear(rate, [window])[0] for window in windows] == together
    assert segmentation.hear(rate, windows[::-1])[::-1] == together
    assert {len(each) for each in together} == {segmentation.window_ms // FRAME_MS}
    said = {who for each in together for who in each}
    assert len(said) > 1
    assert said <= {0, 1, 2, 4, 3, 5, 6}


def test_a_frame_is_judged_by_the_output_in_its_middle(folder: Path) -> None:
    segmentation = NetworkSegmentation(str(folder / "segmentation"))
    outputs, frames = segmentation._network._model.receptive_field, segmentation._nearest
    end_ms = segmentation.window_ms
    middles = [1000 * outputs[int(index)].middle for index in frames]
    ours = np.arange(end_ms - len(frames) * FRAME_MS + FRAME_MS / 2, end_ms, FRAME_MS)
    away = np.abs(np.array(middles) - ours)
    assert away[1:-1].max() <= 1000 * outputs.step / 2
    assert away.max() <= FRAME_MS  # the network's outputs begin and end within the window


def test_a_network_in_the_others_place_or_without_a_space_is_refused(folder: Path, tmp_path: Path) -> None:
    embedding, segmentation = str(folder / "embedding"), str(folder / "segmentation")
    with pytest.raises(ModelError, match=r"is no network of speaker embeddings; name one"):
        open_telling(embedding=segmentation)
    for other in (embedding, str(folder / "plain")):
        with pytest.raises(ModelError, match=r"is no powerset segmentation; name one"):
            open_telling(segmentation=other)
    with pytest.raises(ModelError, match=r"hears windows of 2000 ms, which is too short; name one that hears 2880"):
        open_telling(segmentation=str(folder / "short"))
    with pytest.raises(ModelError, match=r"not there; estimate it on recordings of known speakers"):
        open_telling(embedding, tmp_path / "space.safetensors")


def test_neither_loading_networks_nor_hearing_with_them_looks_anything_up_or_connects(
    folder: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "hub" / "models--owner--name" / "snapshots" / COMMIT / WEIGHTS
    kept.parent.mkdir(parents=True)
    kept.write_bytes((folder / "segmentation" / WEIGHTS).read_bytes())
    given = (folder / "embedding", folder / "segmentation", f"owner/name@{COMMIT}")
    told = {name: value for name, value in os.environ.items() if not name.startswith(("PYANNOTE_", "HF_"))}
    command = [sys.executable, HERE / "silent_models.py", *given]
    done = subprocess.run(
        command,
        env={**told, "HF_HUB_CACHE": str(tmp_path / "hub"), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    noted = json.loads(done.stdout.splitlines()[-1])
    assert noted["silent"] == []
    assert noted["reporting"]  # that it would have been seen
