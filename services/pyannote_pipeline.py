"""pyannote's own pipeline (pyannote.audio 4, "community-1") over a recording that is all there, from a folder.

Its weights are pickles, which run whatever code they hold: name a folder that you trust. The package reports what it
is used for unless it is told not to, so it is told before it is imported. It needs pip install 'undertone[pyannote]'.
"""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import yaml

from streams.speech import pyannote_models
from streams.speech.activity import Samples
from streams.speech.turns import SpeakerTurn

PARTS = ("segmentation", "embedding", "plda")  #: what a pipeline loads besides its own file
HERE = "$model/"  #: how a pipeline's file names what lies beside it
SILENT = {**pyannote_models.SILENT, "HF_HUB_OFFLINE": "1"}
_FULL_SCALE = np.float32(32768)

Pipeline = Callable[[Samples, int], list[SpeakerTurn]]  #: of one channel of a recording, and its Hz


class PipelineError(ValueError):
    """A pipeline cannot be opened. One line: the file, what is wrong, the remedy."""


def open_pipeline(folder: Path, speakers: int | None = None) -> Pipeline:
    """The pipeline in `folder`, told how many speak where that is known. Its turns do not overlap. PipelineError."""
    _check(folder / "config.yaml")
    os.environ |= SILENT
    try:
        import torch  # noqa: PLC0415 - only who uses the pipeline needs it
        from pyannote.audio import Pipeline as Theirs  # noqa: PLC0415 - not before it is told to be silent
    except ModuleNotFoundError as error:
        raise PipelineError(f"{folder}: needs pip install 'undertone[pyannote]' ({error})") from error
    pipeline = Theirs.from_pretrained(folder)

    def diarize(samples: Samples, rate: int) -> list[SpeakerTurn]:
        waveform = torch.from_numpy(samples[np.newaxis].astype(np.float32) / _FULL_SCALE)
        found = pipeline({"waveform": waveform, "sample_rate": rate}, num_speakers=speakers)
        numbers = dict[str, int]()
        return [
            SpeakerTurn(numbers.setdefault(speaker, len(numbers)), round(1000 * turn.start), round(1000 * turn.end))
            for turn, _, speaker in found.exclusive_speaker_diarization.itertracks(yield_label=True)
        ]

    return diarize


def _check(path: Path) -> None:
    """Refuse what would be fetched: offline or not, nothing is asked of the hub."""
    try:
        told = yaml.safe_load(path.read_text())["pipeline"]["params"]
        named = {part: told[part] for part in PARTS}
    except (OSError, yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise PipelineError(f"{path}: no pipeline of pyannote.audio 4 ({reason}); fetch the folder again") from error
    for part, source in named.items():
        if not str(source).startswith(HERE) or not (path.parent / str(source).removeprefix(HERE)).is_dir():
            raise PipelineError(f"{path}: {part} {source!r} is no folder beside it; fetch it and write {HERE}{part}")
