import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from services.pyannote_pipeline import PARTS, SILENT, PipelineError, open_pipeline
from streams.speech.turns import SpeakerTurn

CONFIG = """
version: 4.0.0
pipeline:
  name: pyannote.audio.pipelines.SpeakerDiarization
  params:
    segmentation: $model/segmentation
    embedding: $model/embedding
    plda: $model/plda
    clustering: VBxClustering
"""

#: What the project uses of pyannote.audio, which is not installed for tests; what it saw is kept.
PACKAGE = """
import os
from types import SimpleNamespace

from pyannote.core import Annotation, Segment

TOLD = dict(os.environ)
ASKED = []


class Pipeline:
    @classmethod
    def from_pretrained(cls, folder):
        ASKED.append(folder)
        return cls()

    def __call__(self, file, num_speakers=None):
        ASKED.append((file["waveform"].numpy(), file["sample_rate"], num_speakers))
        found = Annotation()
        found[Segment(0.5, 1.25)] = "SPEAKER_01"
        found[Segment(1.25, 2.0314)] = "SPEAKER_00"
        found[Segment(3, 4)] = "SPEAKER_01"
        return SimpleNamespace(exclusive_speaker_diarization=found)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for part in PARTS:
        (tmp_path / "community" / part).mkdir(parents=True)
    (tmp_path / "community" / "config.yaml").write_text(CONFIG)
    return tmp_path / "community"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "pyannote" / "audio").mkdir(parents=True)
    (tmp_path / "pyannote" / "audio" / "__init__.py").write_text(PACKAGE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "pyannote.audio", raising=False)
    for name in SILENT:
        monkeypatch.setenv(name, "true")
    yield
    sys.modules.pop("pyannote.audio", None)


@pytest.mark.usefixtures("package")
def test_the_package_is_told_to_be_silent_before_it_is_imported(folder: Path) -> None:
    open_pipeline(folder)
    told = sys.modules["pyannote.audio"].TOLD
    assert {name: told[name] for name in SILENT} == SILENT
    assert os.environ["PYANNOTE_METRICS_ENABLED"] == "false"  # it asks again with every call


@pytest.mark.usefixtures("package")
def test_its_turns_are_ours_in_milliseconds(folder: Path) -> None:
    samples = np.array([16384, -32768, 0], np.int16)
    turns = open_pipeline(folder, speakers=2)(samples, 8000)
    assert turns == [SpeakerTurn(0, 500, 1250), SpeakerTurn(1, 1250, 2031), SpeakerTurn(0, 3000, 4000)]
    opened, (waveform, rate, speakers) = sys.modules["pyannote.audio"].ASKED
    assert (opened, rate, speakers) == (folder, 8000, 2)
    assert waveform.tolist() == [[0.5, -1.0, 0.0]]


def test_without_the_package_it_says_how_to_get_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyannote.audio", None)
    for name in SILENT:
        monkeypatch.setenv(name, "true")
    with pytest.raises(PipelineError, match=r"pip install 'undertone\[pyannote\]'"):
        open_pipeline(folder)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (CONFIG.replace("$model/plda", "pyannote/speaker-diarization-community-1"), "plda 'pyannote/.*' is no folder"),
        (CONFIG.replace("$model/plda", "$model/other"), r"plda '\$model/other' is no folder beside it"),
        (CONFIG.replace("    plda: $model/plda\n", ""), "no pipeline of pyannote.audio 4 .KeyError: 'plda'"),
        ("pipeline: [", "no pipeline of pyannote.audio 4"),
        ("", "no pipeline of pyannote.audio 4"),
    ],
)
def test_what_would_be_fetched_or_is_no_pipeline_is_refused_in_one_line(folder: Path, config: str, said: str) -> None:
    (folder / "config.yaml").write_text(config)
    with pytest.raises(PipelineError, match=said) as refused:
        open_pipeline(folder)
    assert "\n" not in str(refused.value)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"config\.yaml: no pipeline .*No such file"):
        open_pipeline(tmp_path)
