"""Networks of pyannote.audio 4, as a person gives them: a folder of this machine, or a hub id with the commit meant.

Their weights are pickles, which run whatever code they hold: name what you trust. The package reports what it is used
for unless it is told not to, so it is told before it is imported. It needs pip install 'undertone[pyannote]'.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from streams.speech.products import Floats

WEIGHTS = "pytorch_model.bin"  #: how pyannote calls them, in a folder and on the hub
SILENT = {"PYANNOTE_METRICS_ENABLED": "false", "HF_HUB_DISABLE_TELEMETRY": "1"}
AT_ONCE = 4  #: rows that go through a network in one go: on one thread, more are no faster

_ON_HUB = re.compile(r"(?P<id>[\w.-]+/[\w.-]+)(?P<folder>(/[\w.-]+)*)(@(?P<commit>.*))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")


class ModelError(ValueError):
    """A network cannot be used. One line: which, what is wrong, the remedy."""


def located(source: str) -> Path:
    """The file of weights in the folder `source`, or in a hub's OWNER/NAME[/FOLDER]@COMMIT. Raises ModelError.

    Nothing is asked of the hub but for an id, and then only what is not here yet.
    """
    path = Path(source)
    if path.is_dir():
        path /= WEIGHTS
    if path.is_file():
        return path
    named = _ON_HUB.fullmatch(source)
    if path.name == WEIGHTS or named is None:
        raise ModelError(f"{source}: no {WEIGHTS} there; name the folder of a network of pyannote.audio 4")
    if not _COMMIT.fullmatch(named["commit"] or ""):
        wanted = f"a hub id needs the commit that is meant: {named['id']}{named['folder']}@ and its 40 hex digits"
        raise ModelError(f"{source}: no such folder; {wanted}")
    return _from_hub(source, named["id"], f"{named['folder']}/{WEIGHTS}".removeprefix("/"), named["commit"])


def _from_hub(source: str, name: str, file: str, commit: str) -> Path:
    os.environ |= SILENT
    try:
        from huggingface_hub import hf_hub_download  # noqa: PLC0415 - only who names a hub id needs it
    except ModuleNotFoundError as error:
        raise _lacking(source, error) from error
    try:
        return Path(hf_hub_download(name, file, revision=commit))
    except (OSError, ValueError) as error:  # a ValueError is an id that the hub does not allow
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ModelError(f"{source}: cannot be fetched from the hub ({reason}); name a folder instead") from error


def load(source: str, weights: Path) -> Any:  # noqa: ANN401 - pyannote ships no types
    """The network whose weights these are, as pyannote.audio has it. Raises ModelError."""
    os.environ |= SILENT
    try:
        from pyannote.audio import Model  # noqa: PLC0415 - not before it is told to be silent
    except ModuleNotFoundError as error:
        raise _lacking(source, error) from error
    try:
        return Model.from_pretrained(weights).eval()
    except Exception as error:  # a pickle of anything may raise anything
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ModelError(f"{source}: no network of pyannote.audio 4 ({reason}); fetch it again") from error


def _lacking(source: str, error: ModuleNotFoundError) -> ModelError:
    return ModelError(f"{source}: needs pip install 'undertone[pyannote]' ({error})")


class Network:
    """A network over rows of audio of one length, a few at once.

    A row's result is the same to the bit, whatever else is in the batch: there are always as many rows, on one thread.
    """

    def __init__(self, model: Any, samples: int) -> None:  # noqa: ANN401 - as `load` gives it
        self._model, self._samples, self._at_once = model, samples, 1
        row = np.random.default_rng(0).standard_normal((1, samples), np.float32)
        out = self._run(np.repeat(row, AT_ONCE, axis=0))
        # Not every machine's instructions treat all rows alike: where they do not, each goes by itself.
        self._at_once = AT_ONCE if (out == out[0]).all() else 1

    def __call__(self, rows: Floats) -> Floats:
        """(n, samples) -> (n, ...)."""
        filled = np.zeros((-(-len(rows) // self._at_once) * self._at_once, self._samples), np.float32)
        filled[: len(rows)] = rows
        tiles = filled.reshape(-1, self._at_once, self._samples)
        return np.concatenate([self._run(tile) for tile in tiles])[: len(rows)]

    def _run(self, rows: Floats) -> Floats:
        import torch  # noqa: PLC0415 - as above

        with _one_thread(), torch.inference_mode():
            return np.array(self._model(torch.from_numpy(rows)[:, None]).numpy(), np.float32)


@contextmanager
def _one_thread() -> Iterator[None]:
    """A worker has one core; and OpenMP counts by the thread that asks, which is not always the same one."""
    import torch  # noqa: PLC0415 - as above

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
