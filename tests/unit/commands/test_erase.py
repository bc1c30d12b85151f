from datetime import UTC, datetime
from pathlib import Path

from services.commands.calls import document, printed
from services.emotion.remembered import Remembered
from streams.store.deletion import Deleted
from streams.store.erasure import Erased, Receipt

AT = datetime(2026, 11, 27, 12, tzinfo=UTC)
RECEIPT = Receipt("r1", AT, (Erased("e1", "c" * 64, Deleted()),), {"calls.v1": AT})
FAILED = Receipt("r2", AT, (), {}, failure="disk full")


def test_a_receipt_names_the_bundles_to_train_again() -> None:
    found = Remembered(2, (Path("bundles/a"),), ("bundles/b/bundle.json: damaged",))
    lines = printed(RECEIPT, found).splitlines()
    assert "Bundle bundles/a: holds features of this call; train it again without the call." in lines
    assert "Bundle not looked into: bundles/b/bundle.json: damaged" in lines
    assert document(RECEIPT, found)["bundles"] == {
        "looked_into": 2,
        "retrain": ["bundles/a"],
        "unreadable": ["bundles/b/bundle.json: damaged"],
    }


def test_a_receipt_says_how_many_bundles_were_looked_into_where_none_holds_the_call() -> None:
    assert printed(RECEIPT, Remembered(3)).endswith("Bundles: 3 looked into, none was trained on this call.")


def test_a_receipt_of_an_erasure_that_failed_says_that_alone() -> None:
    assert "NOT ERASED" in printed(FAILED, Remembered(1))
    assert "Bundles" not in printed(FAILED, Remembered(1))
