from pathlib import Path

import msgspec
import pytest

from services.emotion.bundle import DEMO, load_bundle, save_bundle
from services.emotion.manifest import MANIFEST, conversation_mark
from services.emotion.remembered import bundles_below, remembering

CALL = "c" * 64


@pytest.fixture
def bundles(tmp_path: Path) -> Path:
    """Two bundles: `a` was trained on the call, `b` was not."""
    demo = load_bundle(DEMO)
    for name, first in (("a", conversation_mark(CALL)), ("b", conversation_mark("another"))):
        marks = (first, *demo.manifest.training.conversations[1:])
        training = msgspec.structs.replace(demo.manifest.training, conversations=marks)
        manifest = msgspec.structs.replace(demo.manifest, training=training)
        save_bundle(tmp_path / "trained" / name, manifest, demo.heads, demo.reference)
    return tmp_path


def test_the_bundle_that_was_trained_on_a_call_is_named_and_no_other(bundles: Path) -> None:
    found = remembering(bundles_below(bundles), {"4711", CALL})
    assert (found.looked_into, found.holding, found.unreadable) == (2, (bundles / "trained" / "a",), ())
    assert remembering(bundles_below(bundles), {"4711"}).holding == ()


def test_a_bundle_that_is_named_twice_is_looked_into_once(bundles: Path) -> None:
    assert remembering([*bundles_below(bundles), bundles / "trained" / ".." / "trained" / "a"], {CALL}).looked_into == 2


def test_a_bundle_that_cannot_be_read_is_told_and_does_not_hide_the_others(bundles: Path) -> None:
    (bundles / "trained" / "b" / MANIFEST).write_text("{}")
    found = remembering(bundles_below(bundles), {CALL})
    assert found.holding == (bundles / "trained" / "a",)
    [line] = found.unreadable
    assert str(bundles / "trained" / "b" / MANIFEST) in line


@pytest.mark.parametrize("name", ["empty", "gone"])
def test_a_folder_without_a_bundle_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    found = remembering(bundles_below(tmp_path / name), {CALL})
    assert found.looked_into == 0
    assert "bundle.json: cannot be read" in found.unreadable[0]


def test_neither_the_call_nor_its_pseudonym_stands_in_a_bundle(bundles: Path) -> None:
    assert CALL not in (bundles / "trained" / "a" / MANIFEST).read_text()
