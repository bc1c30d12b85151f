import json
import subprocess
import sys
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from services.emotion.features.feature import FeatureError
from services.emotion.features.sources import Model, checksum, from_hub, onnx, pretrained

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def write_model(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text('{"model_type": "wavlm"}')
    save_file({"weight": np.zeros(3, np.float32)}, folder / "model.safetensors")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model")


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the hub's own library keeps what it fetched; nothing can be fetched."""
    from huggingface_hub import constants  # noqa: PLC0415 - the others do without

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub" / "models--someone--model" / "snapshots"


def no_fetch(source: str, revision: str, patterns: Sequence[str]) -> Path:
    raise AssertionError(source)


def test_the_checksum_is_what_sha256sum_says_of_sha256sum(folder: Path) -> None:
    names = ["config.json", "model.safetensors"]
    lines = "".join(f"{sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names)
    assert pretrained(Model(str(folder))).sha256 == sha256(lines.encode()).hexdigest()
    assert checksum(folder, ["config.json"]) == sha256((folder / "config.json").read_bytes()).hexdigest()


def test_files_that_are_never_read_do_not_count(folder: Path) -> None:
    before = pretrained(Model(str(folder)))
    (folder / "README.md").write_text("read me")
    (folder / "pytorch_model.bin").write_bytes(b"code")
    (folder / "model.fp32-00001-of-00002.safetensors").write_bytes(b"")
    assert pretrained(Model(str(folder))) == before
    assert before.names == ("config.json", "model.safetensors")


def test_a_changed_byte_is_noticed(folder: Path) -> None:
    known = pretrained(Model(str(folder))).sha256
    assert pretrained(Model(str(folder), sha256=known)).sha256 == known
    save_file({"weight": np.ones(3, np.float32)}, folder / "model.safetensors")
    with pytest.raises(FeatureError, match=f"model: its files have sha256 [0-9a-f]{{64}}, not the {known}"):
        pretrained(Model(str(folder), sha256=known))


def test_pickled_weights_are_refused_by_name(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(FeatureError, match=r"no model\.safetensors but pytorch_model\.bin, which can hold code"):
        pretrained(Model(str(folder)))


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "tokenizer_config.json"])
def test_a_model_that_brings_code_is_refused(folder: Path, name: str) -> None:
    (folder / name).write_text(json.dumps({"auto_map": {"AutoModel": "modeling.Model"}}))
    with pytest.raises(FeatureError, match=f"{name}: auto_map asks for code"):
        pretrained(Model(str(folder)))


def test_a_folder_without_a_config_is_refused(folder: Path) -> None:
    (folder / "config.json").unlink()
    with pytest.raises(FeatureError, match=r"model: no config\.json"):
        pretrained(Model(str(folder)))


@pytest.mark.parametrize(("content", "what"), [("{", "cannot be read as JSON"), ("[]", "holds no JSON object")])
def test_a_broken_config_is_named(folder: Path, content: str, what: str) -> None:
    (folder / "config.json").write_text(content)
    with pytest.raises(FeatureError, match=rf"config\.json: {what}"):
        pretrained(Model(str(folder)))


def test_a_missing_part_of_the_weights_is_named(folder: Path) -> None:
    parts = [f"model-0000{part}-of-00002.safetensors" for part in (1, 2)]
    (folder / "model.safetensors").rename(folder / parts[0])
    index = {"weight_map": {"a": parts[0], "b": parts[1]}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(FeatureError, match=f"{parts[1]} missing"):
        pretrained(Model(str(folder)))
    (folder / parts[1]).write_bytes(b"")
    assert pretrained(Model(str(folder))).names[1:3] == tuple(parts)


def test_a_place_that_is_not_there_is_never_asked_of_the_hub(tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match="owner/model: no such folder or file; a hub id needs the commit"):
        pretrained(Model("owner/model"), no_fetch)


@pytest.mark.parametrize("revision", ["main", "v1.0", COMMIT[:7], COMMIT.upper()])
def test_a_revision_that_may_move_is_refused(revision: str) -> None:
    with pytest.raises(FeatureError, match="may move; name the commit's 40 hex digits"):
        pretrained(Model("owner/model", revision), no_fetch)


def test_what_was_fetched_before_is_not_asked_for_again(hub_cache: Path) -> None:
    fetched = write_model(hub_cache / COMMIT)
    assert pretrained(Model("someone/model", COMMIT), no_fetch).folder == fetched


def test_a_fetch_that_was_cut_off_is_taken_up_again(hub_cache: Path, folder: Path) -> None:
    (write_model(hub_cache / COMMIT) / "model.safetensors").unlink()
    asked = []

    def fetch(source: str, revision: str, patterns: Sequence[str]) -> Path:
        asked.append((source, revision, "model.safetensors" in patterns, "pytorch_model.bin" in patterns))
        return folder

    assert pretrained(Model("someone/model", COMMIT), fetch).folder == folder
    assert asked == [("someone/model", COMMIT, True, False)]


def test_a_hub_that_cannot_be_reached_is_told_in_one_line(hub_cache: Path) -> None:
    with pytest.raises(FeatureError, match=f"someone/model at {COMMIT}: cannot be fetched") as refused:
        from_hub("someone/model", COMMIT, ["config.json"])
    assert "\n" not in str(refused.value)


def test_an_id_that_no_hub_allows_is_told_in_one_line() -> None:
    with pytest.raises(FeatureError, match="cannot be fetched from the hub"):
        from_hub("a/b/c", COMMIT, ["config.json"])


def test_an_onnx_file_is_named_itself_or_by_its_folder(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"graph")
    found = onnx(Model(str(tmp_path / "a.onnx")))
    assert found == onnx(Model(str(tmp_path)))
    assert found.sha256 == sha256(b"graph").hexdigest()
    (tmp_path / "b.onnx").write_bytes(b"graph")
    with pytest.raises(FeatureError, match=r"2 ONNX files: a\.onnx, b\.onnx; name the one"):
        onnx(Model(str(tmp_path)))


def test_hugging_faces_telemetry_is_off_wherever_a_feature_is_opened() -> None:
    code = (
        "from services.emotion.features import linguistic, registry, selfsupervised\n"
        "from huggingface_hub import constants\n"
        "print(constants.HF_HUB_DISABLE_TELEMETRY)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["True"]
