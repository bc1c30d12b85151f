import json
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import numpy as np
import pytest
from safetensors.numpy import load, save

from services.emotion.bundle import DEMO, load_bundle, save_bundle
from services.emotion.manifest import FORMAT, MANIFEST, WEIGHTS, BundleError, conversation_mark, window_rule
from streams.domain import overlap, windows
from streams.domain.schemes import EMODB

ROOT = Path(__file__).parents[3]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in (MANIFEST, WEIGHTS):
        (tmp_path / name).write_bytes((DEMO / name).read_bytes())
    return tmp_path


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    change(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest))


def edit_arrays(folder: Path, change: Callable[[dict[str, np.ndarray]], object]) -> None:
    """Change the weights and keep the manifest's sha256 true, as a faulty trainer would."""
    arrays = {name: array.copy() for name, array in load((folder / WEIGHTS).read_bytes()).items()}
    change(arrays)
    (folder / WEIGHTS).write_bytes(save(arrays))
    resign(folder)


def resign(folder: Path) -> None:
    edit(folder, lambda it: it.update(weights_sha256=sha256((folder / WEIGHTS).read_bytes()).hexdigest()))


def test_the_demo_bundle_is_small_for_demonstrations_and_tells_its_scheme() -> None:
    bundle = load_bundle(DEMO)
    assert bundle.manifest.limits.demo_only
    assert bundle.manifest.scheme.name == EMODB.name
    assert bundle.manifest.scheme.heads == EMODB.heads()
    assert sum(file.stat().st_size for file in DEMO.iterdir()) < 5_000_000
    assert bundle.manifest.training.speakers == 10


def test_the_demo_bundles_scores_stand_with_their_intervals_above_chance() -> None:
    scores = load_bundle(DEMO).manifest.scores
    assert scores.keys() == EMODB.heads().keys()
    for head, classes in EMODB.heads().items():
        assert 1 / len(classes) < scores[head]["uar"].low <= scores[head]["uar"].value <= scores[head]["uar"].high


def test_the_card_opens_with_what_the_bundle_cannot_do() -> None:
    opening = " ".join((DEMO / "CARD.md").read_text().split("\n\n")[1].split())
    for words in (
        "Acted, ten speakers, single sentences",
        "Valence and arousal are a table of the category",
        "agreement between heads confirms nothing",
        "No class means 'very negative'",
        "shows the wiring and **must not score real customers**",
    ):
        assert words in opening
    assert load_bundle(DEMO).sha256 in (DEMO / "CARD.md").read_text()


def test_a_saved_bundle_loads_as_it_was(tmp_path: Path) -> None:
    demo = load_bundle(DEMO)
    again = save_bundle(tmp_path, demo.manifest, demo.heads, demo.reference)
    assert again.manifest == demo.manifest
    assert again.sha256 == demo.sha256
    np.testing.assert_array_equal(again.heads.dual, demo.heads.dual)
    np.testing.assert_array_equal(again.heads.support, demo.heads.support)


def test_a_manifest_from_before_there_were_networks_says_that_machines_judge() -> None:
    assert "networks" not in json.loads((DEMO / MANIFEST).read_text())
    assert load_bundle(DEMO).manifest.head == "svm"


def test_a_bundle_of_machines_needs_no_torch() -> None:
    judged = (
        "import sys, numpy as np; from services.emotion.bundle import DEMO, load_bundle;"
        " from services.emotion.model import judge; judge(load_bundle(DEMO), [np.zeros(24_000, np.float32)]);"
        " sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", judged], check=False, cwd=ROOT).returncode == 0


def test_the_reference_is_every_training_window_and_support_vectors_are_windows_or_copies_of_them() -> None:
    bundle, arrays = load_bundle(DEMO), load((DEMO / WEIGHTS).read_bytes())
    kept = np.concatenate([arrays["reference"], arrays["copies"]]).astype(np.float32)
    assert len(bundle.reference.points) == bundle.manifest.training.windows == 339
    assert len(arrays["copies"]) <= 339 * len(bundle.manifest.training.copies)
    assert {row.tobytes() for row in bundle.heads.support} <= {np.clip(row, -3, 3).tobytes() for row in kept}


def test_a_conversation_is_known_again_by_its_mark_and_not_by_its_name() -> None:
    bundle = load_bundle(DEMO)
    speakers = ("03", "08", "09", "10", "11", "12", "13", "14", "15", "16")
    assert bundle.manifest.training.conversations == tuple(map(conversation_mark, speakers))
    assert np.bincount(bundle.reference.groups).sum() == 339
    assert conversation_mark("a" * 64) != conversation_mark("b" * 64)
    assert "a" * 8 not in conversation_mark("a" * 64)


def test_the_digest_covers_both_files(copy: Path) -> None:
    before = load_bundle(copy).sha256
    edit(copy, lambda it: it.update(name="other"))
    renamed = load_bundle(copy).sha256
    edit_arrays(copy, lambda it: it["intercept"].__setitem__(0, 1.0))
    assert len({before, renamed, load_bundle(copy).sha256}) == 3


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda it: it.update(format=FORMAT + 1), r"bundle\.json: format 4 is of a newer version.*; update undertone"),
        (lambda it: it.update(format=2), r"bundle\.json: format 2 is of an older version, .*; train it again"),
        (lambda it: it.update(surprise=1), r"bundle\.json: .*surprise"),
        (lambda it: it.pop("limits"), r"bundle\.json: .*limits"),
        (lambda it: it["feature"].update(name="mood"), r"bundle\.json: feature 'mood': there is none of this name"),
        (lambda it: it["feature"].update(version="0"), r"bundle\.json: made for feature .* of version 0, here is"),
        (lambda it: it["feature"].update(layer=1), r"bundle\.json: feature .* has 1 layer\(s\), no layer 1"),
        (lambda it: it.update(band="loud"), r"bundle\.json: .*band"),
        (lambda it: it.update(rate=0), r"bundle\.json: rate must be 8000 or 16000 Hz, as windows of calls have, is 0"),
        (lambda it: it.update(rate=-8000), r"bundle\.json: rate must be 8000 or 16000 Hz, .*, is -8000"),
        (lambda it: it.update(rate=44_100), r"bundle\.json: rate must be 8000 or 16000 Hz, .*, is 44100"),
        (lambda it: it["limits"].update(min_ms=20_001), r"bundle\.json: limits\.min_ms must be 0 or more, and no more"),
        (lambda it: it["limits"].update(min_ms=-1), r"bundle\.json: limits\.min_ms must be 0 or more, and no more"),
        (lambda it: it.update(networks={"kind": "sp"}), r"bundle\.json: .*sha256"),
        (lambda it: it["calibration"].update({"mood": []}), "a sigmoid for each class of a head of the scheme"),
        (lambda it: it["calibration"]["arousal.full"].pop(), "a sigmoid for each class of a head of the scheme"),
        (lambda it: it["distance"].update(limit=0), "distance.limit a positive one"),
        (lambda it: it["distance"].update(neighbours=3), "distance must be to 5 neighbours"),
        (lambda it: it["training"].update(windows=338), r"heads\.safetensors: array 'reference' must be"),
        (lambda it: it["training"].update(segmented="somehow"), r"bundle\.json: .*segmented"),
        (lambda it: it.update(name="../etc"), r"bundle\.json: name must be letters"),
        (lambda it: it["scheme"].update(heads={}), r"bundle\.json: .*no heads"),
        (lambda it: it["scheme"]["heads"].update({"category.full": ["a", "a"]}), "two or more different classes"),
        (
            lambda it: (it["scheme"]["heads"].pop("arousal.full"), it["calibration"].pop("arousal.full")),
            "array 'dual' must",
        ),
        (lambda it: it.update(weights_sha256="0" * 64), r"heads\.safetensors: its sha256 is not the one"),
    ],
)
def test_a_bad_manifest_is_refused_with_its_file_and_fault(
    copy: Path, change: Callable[[dict[str, Any]], object], complaint: str
) -> None:
    edit(copy, change)
    with pytest.raises(BundleError, match=complaint):
        load_bundle(copy)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (overlap, "FRAME_MS"),
        (overlap, "OVERLAP_MS"),
        (overlap, "ONSET"),
        (overlap, "OFFSET"),
        (windows, "MIN_WINDOW_MS"),
        (windows, "TURN_SILENCE_MS"),
        (windows, "CUT_AT_MS"),
    ],
)
def test_whatever_changes_where_a_window_begins_or_ends_is_another_window_rule(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str
) -> None:
    before = window_rule()
    monkeypatch.setattr(module, name, getattr(module, name) * 2)
    assert window_rule() != before


def test_a_bundle_whose_windows_another_rule_made_is_refused_with_the_remedy(copy: Path) -> None:
    edit(copy, lambda it: it["training"].update(segmented="by the window rule"))
    load_bundle(copy)
    edit(copy, lambda it: it.update(window_rule="0" * 16))
    with pytest.raises(BundleError, match=r"bundle\.json: .* window rule 0{16}, here is .*; train it again"):
        load_bundle(copy)


def test_a_bundle_whose_corpus_brought_its_segments_never_met_the_rule_and_loads(copy: Path) -> None:
    edit(copy, lambda it: it.update(window_rule="0" * 16))
    assert load_bundle(copy).manifest.training.segmented == "by the corpus"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda it: it.pop("gamma"), "'gamma' must be float64 (1,), is missing"),
        (lambda it: it.pop("copies"), "array 'copies' must be float16"),
        (lambda it: it.update(reference=it["reference"].astype(np.float32)), "array 'reference' must be float16"),
        (lambda it: it.update(mean=it["mean"][1:]), "'mean' must be float64 (1402,), is float64 (1401,)"),
        (lambda it: it.update(dual=it["dual"].astype(np.float32)), "array 'dual' must be float64"),
        (lambda it: it["reference"].__setitem__((0, 0), np.nan), "'reference' holds values that are no numbers"),
        (lambda it: it["scale"].__setitem__(0, 0), "scale and gamma must be positive"),
        (lambda it: it["support"].__setitem__(0, 1386), "'support' must lie from 0 to 1385"),
        (lambda it: it["groups"].__setitem__(0, -1), "'groups' must lie from 0 to 9"),
    ],
)
def test_bad_arrays_are_refused_even_where_their_checksum_is_right(
    copy: Path, change: Callable[[dict[str, np.ndarray]], object], complaint: str
) -> None:
    edit_arrays(copy, change)
    with pytest.raises(BundleError, match=re.escape(complaint)):
        load_bundle(copy)


@pytest.mark.parametrize("name", [MANIFEST, WEIGHTS])
def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(BundleError, match=re.escape(str(copy / name))):
        load_bundle(copy)


def test_a_pickle_is_never_opened(copy: Path) -> None:
    (copy / WEIGHTS).write_bytes(pickle.dumps({"mean": [1.0]}))
    resign(copy)
    with pytest.raises(BundleError, match=r"heads\.safetensors"):
        load_bundle(copy)


def test_a_manifest_that_is_no_json_is_refused(copy: Path) -> None:
    (copy / MANIFEST).write_bytes(b"\xff{")
    with pytest.raises(BundleError, match=r"bundle\.json"):
        load_bundle(copy)


def test_a_flipped_byte_of_the_weights_is_noticed(copy: Path) -> None:
    weights = bytearray((copy / WEIGHTS).read_bytes())
    weights[-1] ^= 1
    (copy / WEIGHTS).write_bytes(weights)
    with pytest.raises(BundleError, match="sha256"):
        load_bundle(copy)


def test_the_manifest_says_what_scores_it_was_given() -> None:
    manifest = load_bundle(DEMO).manifest
    assert msgspec.json.decode((DEMO / MANIFEST).read_bytes())["scores"]["arousal.full"]["uar"] == msgspec.to_builtins(
        manifest.scores["arousal.full"]["uar"]
    )
