"""A bundle's files on a disk, replaced so that whoever loads them meets the old bundle or the new one, whole.

No step replaces several files at once. So arrays are first written under names that hold their digest, beside those of
the bundle that is there. Replacing `bundle.json` is one step, and the one that counts: what it names by digest is
looked for under these names first. Then the arrays take their own names, and what the bundle does not name is deleted.
A run that is killed anywhere between leaves a bundle that loads: before that step the old one, after it the new one.
"""

import os
import re
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from services.emotion.manifest import MANIFEST, NETWORKS, WEIGHTS, BundleError, read

_DIGITS = (
    16  #: of a digest in a name: it tells two files from each other, and what is read is checked against all of it
)


def publish(folder: Path, manifest: bytes, arrays: Mapping[str, bytes]) -> None:
    """Make these the folder's bundle: `bundle.json`, and name -> content of all files beside it. BundleError."""
    waiting = {folder / name: _waiting(folder / name, sha256(content).hexdigest()) for name, content in arrays.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, content in zip(waiting.values(), arrays.values(), strict=True):
            write_whole(path, content)
        write_whole(folder / MANIFEST, manifest)
        for path, there in waiting.items():
            there.replace(path)
        _tidy(folder, set(arrays))
    except OSError as error:
        raise BundleError(f"{folder}: cannot be written ({error.strerror}); name a folder that can") from error


def content(path: Path, digest: str) -> bytes:
    """What a bundle's file holds, of this sha256. BundleError where it is not there, or is another."""
    try:
        found = _waiting(path, digest).read_bytes()
    except FileNotFoundError:
        found = read(path)
    if sha256(found).hexdigest() != digest:
        raise BundleError(f"{path}: its sha256 is not the one that {MANIFEST} names; copy all files again")
    return found


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that is never seen in part: it takes its name when the disk has it."""
    beside = path.with_name(f"{path.name}.new")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def _waiting(path: Path, digest: str) -> Path:
    """Where a file lies until the bundle that it belongs to is the folder's."""
    return path.with_name(f"{path.stem}-{digest[:_DIGITS]}{path.suffix}")


def _tidy(folder: Path, named: set[str]) -> None:
    """Delete what other bundles left: they hold features of windows that this one may have been made to forget."""
    stems = "|".join(Path(name).stem for name in (WEIGHTS, NETWORKS))
    left = re.compile(rf"({stems})-[0-9a-f]{{{_DIGITS}}}\.safetensors(\.new)?")
    for path in list(folder.iterdir()):
        if left.fullmatch(path.name) or path.name in {NETWORKS} - named:
            path.unlink()
