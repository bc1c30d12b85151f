from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.commands.calls import _remembered, document, printed
from services.emotion.bundle import DEMO
from services.emotion.remembered import Remembered
from streams.settings import Settings
from streams.store.deletion import Deleted
from streams.store.epochs import create_epochs
from streams.store.erasure import Erased, Receipt

AT = datetime(2026, 11, 27, 12, tzinfo=UTC)
RECEIPT = Receipt("r1", AT, (Erased("e1", "c" * 64, Deleted()),), {"calls.v1": AT})
FAILED = Receipt("r2", AT, (), {}, failure="disk full")


def test_a_receipt_names_the_bundles_to_train_again() -> None:
    found = Remembered(2, (Path("bundles/a"),), ("bundles/b/bundle.json: damaged",))
    lines = printed(RECEIPT, found, None).splitlines()
    assert "Bundle bundles/a: holds features of this call; train it again without the call." in lines
    assert "Bundle not looked into: bundles/b/bundle.json: damaged" in lines
    assert document(RECEIPT, found, None)["bundles"] == {
        "looked_into": 2,
        "retrain": ["bundles/a"],
        "unreadable": ["bundles/b/bundle.json: damaged"],
    }


def test_a_receipt_says_how_many_bundles_were_looked_into_where_none_holds_the_call() -> None:
    lines = printed(RECEIPT, Remembered(3), None).splitlines()
    assert "Bundles: 3 looked into, none holds features of this call." in lines


def test_a_receipt_names_the_caches_to_delete() -> None:
    found = Remembered(2, (Path("cache/a"),), ("cache/b: of an older release",))
    lines = printed(RECEIPT, Remembered(), found).splitlines()
    assert "Cache cache/a: holds features of this call; delete the folder; what is left is computed again." in lines
    assert "Cache not looked into: cache/b: of an older release" in lines
    assert document(RECEIPT, Remembered(), found)["caches"] == {
        "looked_into": 2,
        "delete": ["cache/a"],
        "unreadable": ["cache/b: of an older release"],
    }


def test_a_receipt_says_that_no_cache_was_looked_into_where_no_folder_of_them_is_named() -> None:
    assert printed(RECEIPT, Remembered(), None).splitlines()[-1].startswith("Caches: none looked into; name their")
    assert document(RECEIPT, Remembered(), None)["caches"] is None


def test_a_receipt_of_an_erasure_that_failed_says_that_alone() -> None:
    assert "NOT ERASED" in printed(FAILED, Remembered(1), None)
    assert "Bundles" not in printed(FAILED, Remembered(1), None)


def test_a_setting_of_the_inference_service_that_cannot_be_used_keeps_no_erasure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("UNDERTONE_INFERENCE_PORT", "none")
    monkeypatch.setenv("UNDERTONE_INFERENCE_BUNDEL", "misspelt")
    monkeypatch.setenv("UNDERTONE_INFERENCE_BUNDLE", str(DEMO))
    create_epochs(tmp_path / "epochs.json", AT)
    assert _remembered("4711", Settings(epochs=tmp_path / "epochs.json")) == (Remembered(looked_into=1), None)
