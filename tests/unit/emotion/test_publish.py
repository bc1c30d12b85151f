"""Training again into a bundle's folder: whenever the run is killed, the old bundle loads, or the new one."""

import re
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from services.emotion.bundle import DEMO, Bundle, load_bundle, save_bundle
from services.emotion.manifest import MANIFEST, WEIGHTS, BundleError

STEPS = 3  #: the arrays under their digest's name, the manifest, the arrays under their own


class KilledError(BaseException):
    """What ends a run, and no code may catch."""


def save(folder: Path, old: Bundle, name: str) -> Bundle:
    """A bundle of its own arrays by this name."""
    manifest = msgspec.structs.replace(old.manifest, name=name)
    intercept = np.full_like(old.heads.intercept, len(name))
    return save_bundle(folder, manifest, replace(old.heads, intercept=intercept), old.reference)


def kill(monkeypatch: pytest.MonkeyPatch, steps: int, *, written: bool) -> None:
    """End the run at the step after these, its file not written yet, or written under another name."""
    honest, left = Path.replace, [steps]

    def replacing(path: Path, target: Path) -> Path:
        if left[0] == 0:
            if not written:
                path.unlink()
            raise KilledError
        left[0] -= 1
        return honest(path, target)

    monkeypatch.setattr(Path, "replace", replacing)


@pytest.fixture
def demo() -> Bundle:
    return load_bundle(DEMO)


@pytest.mark.parametrize("written", [False, True])
@pytest.mark.parametrize("steps", range(STEPS))
def test_a_run_that_is_killed_anywhere_leaves_the_old_bundle_or_the_new_one(
    tmp_path: Path, demo: Bundle, *, steps: int, written: bool
) -> None:
    old, new = save(tmp_path / "at", demo, "old"), save(tmp_path / "beside", demo, "newer")
    with pytest.MonkeyPatch.context() as patched:
        kill(patched, steps, written=written or steps == STEPS - 1)  # the last step moves a file and writes none
        with pytest.raises(KilledError):
            save(tmp_path / "at", demo, "newer")
    assert load_bundle(tmp_path / "at").sha256 == (new if steps == STEPS - 1 else old).sha256

    assert save(tmp_path / "at", demo, "newest").manifest.name == "newest"
    assert sorted(path.name for path in (tmp_path / "at").iterdir()) == [MANIFEST, WEIGHTS]


def test_the_same_bundle_written_again_and_killed_is_still_itself(tmp_path: Path, demo: Bundle) -> None:
    old = save(tmp_path, demo, "old")
    for steps in range(STEPS):
        with pytest.MonkeyPatch.context() as patched:
            kill(patched, steps, written=True)
            with pytest.raises(KilledError):
                save(tmp_path, demo, "old")
        assert load_bundle(tmp_path).sha256 == old.sha256


def test_what_else_lies_in_the_folder_stays(tmp_path: Path, demo: Bundle) -> None:
    for name in ("notes.txt", "heads-final.safetensors"):
        (tmp_path / name).write_text("mine")
    save(tmp_path, demo, "old")
    assert {"notes.txt", "heads-final.safetensors"} < {path.name for path in tmp_path.iterdir()}


def test_a_folder_that_cannot_be_written_is_named_and_the_old_bundle_stays(
    tmp_path: Path, demo: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = save(tmp_path, demo, "old")

    def full(_path: Path, _target: Path) -> Path:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", full)
        with pytest.raises(BundleError, match=re.escape(f"{tmp_path}: cannot be written (No space left")):
            save(tmp_path, demo, "newer")
    assert load_bundle(tmp_path).sha256 == old.sha256
