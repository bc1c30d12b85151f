import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.speech import telling
from streams.speech.pyannote_models import SILENT, WEIGHTS, ModelError, Network, load, located
from streams.speech.voices import Cepstra

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SAMPLES = 64

#: What the project uses of pyannote.audio; what it was told when it was imported is kept.
PACKAGE = """
import os

TOLD = dict(os.environ)


class Model:
    @classmethod
    def from_pretrained(cls, path):
        raise RuntimeError("PytorchStreamReader failed\\nand more")
"""


def small() -> Network:
    torch.manual_seed(0)
    layers = (torch.nn.Conv1d(1, 6, 5), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(360, 7))
    return Network(torch.nn.Sequential(*layers).eval(), SAMPLES)


NETWORK = small()


@settings(max_examples=30, deadline=None)
@given(count=st.integers(1, 11), data=st.data())
def test_neighbours_change_no_bit_of_a_rows_result(count: int, data: st.DataObject) -> None:
    rows = np.random.default_rng(count).standard_normal((count, SAMPLES), np.float32)
    index = data.draw(st.integers(0, count - 1))
    assert NETWORK(rows)[index].tobytes() == NETWORK(rows[index : index + 1])[0].tobytes()


def test_a_network_that_treats_rows_unlike_gets_them_one_by_one() -> None:
    class Uneven(torch.nn.Module):
        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            return rows[:, 0, :2] + torch.arange(len(rows))[:, None]

    rows = np.ones((5, SAMPLES), np.float32)
    assert Network(Uneven(), SAMPLES)(rows).tolist() == [[1, 1]] * 5


def test_a_network_runs_on_one_thread_and_leaves_the_others_as_they_were() -> None:
    class Counting(torch.nn.Module):
        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            return torch.full((len(rows), 1), float(torch.get_num_threads()))

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert Network(Counting(), SAMPLES)(np.zeros((1, SAMPLES), np.float32)).item() == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_weights_are_taken_from_a_folder_or_named_themselves(tmp_path: Path) -> None:
    (tmp_path / WEIGHTS).touch()
    assert located(str(tmp_path)) == located(str(tmp_path / WEIGHTS)) == tmp_path / WEIGHTS


def test_a_hub_id_is_taken_at_its_commit_from_what_was_fetched_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "models--owner--name" / "snapshots" / COMMIT / "embedding" / WEIGHTS
    kept.parent.mkdir(parents=True)
    kept.touch()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert located(f"owner/name/embedding@{COMMIT}") == kept


@pytest.mark.parametrize("source", ["owner/name", "owner/name@main", "owner/name@v1", f"owner/name@{COMMIT[:7]}"])
def test_a_hub_id_without_its_commit_is_refused_and_nothing_is_fetched(
    source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ModelError, match=r"no such folder; a hub id needs the commit that is meant: owner/name@ and"):
        located(source)


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    for source in (tmp_path, tmp_path / "not there"):
        with pytest.raises(ModelError, match=r"no pytorch_model.bin there; name the folder of a network"):
            located(str(source))


def test_without_the_package_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyannote.audio", None)
    (tmp_path / WEIGHTS).touch()
    for open_ in ({"embedding": str(tmp_path)}, {"segmentation": str(tmp_path)}):
        with pytest.raises(ModelError, match=r"needs pip install 'undertone\[pyannote\]'"):
            telling.open_telling(**open_)


def test_the_package_is_silent_before_it_is_imported_and_weights_that_are_none_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyannote" / "audio").mkdir(parents=True)
    (tmp_path / "pyannote" / "audio" / "__init__.py").write_text(PACKAGE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "pyannote.audio", raising=False)
    for name in SILENT:
        monkeypatch.setenv(name, "true")
    with pytest.raises(ModelError, match=r"given: no network of pyannote.audio 4 \(RuntimeError: .* failed\); fetch"):
        load("given", tmp_path / WEIGHTS)
    told = sys.modules.pop("pyannote.audio").TOLD
    assert {name: told[name] for name in SILENT} == SILENT
    assert os.environ["PYANNOTE_METRICS_ENABLED"] == "false"


def test_where_nothing_is_named_nothing_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyannote.audio", None)
    default = telling.open_telling()
    assert isinstance(default.voiceprints, Cepstra)
    assert (default.segmentation, default.reach_ms) == (None, 0)
