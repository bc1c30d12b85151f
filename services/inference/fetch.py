"""`python -m services.inference.fetch URL SHA256 FOLDER`: put a bundle where the service finds it.

What a pod runs before the service where the bundle is neither in the image nor on a volume.
"""

import re
import sys
import tarfile
import tempfile
import urllib.request
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import IO

from services.emotion.manifest import MANIFEST, BundleError

TIMEOUT_S = 30.0  #: between two bytes
BLOCK = 1 << 20
LARGEST = 4 << 30  #: bytes of an archive
_MAKE = "make it with `tar -czf bundle.tgz -C BUNDLE .`"


def fetch(url: str, digest: str, folder: Path) -> None:
    """Load the archive that `url` names and unpack it into `folder`. Raises BundleError; nothing is unpacked then."""
    if not url.startswith(("https://", "http://")):
        raise BundleError(f"{url}: not an http(s) address; name one, or mount the bundle as a volume")
    if not re.fullmatch("[0-9a-f]{64}", digest):
        raise BundleError(f"{digest}: no SHA-256; give the 64 hexadecimal digits that `sha256sum` prints")
    with tempfile.TemporaryFile() as archive:
        try:
            with closing(urllib.request.urlopen(url, timeout=TIMEOUT_S)) as answer:  # noqa: S310 - checked above
                found = _copy(answer, archive)
        except OSError as error:  # urllib's own among them
            raise BundleError(f"{url}: cannot be loaded ({error}); correct the address") from None
        if found != digest:
            raise BundleError(f"{url}: its SHA-256 is {found}, not {digest}; nothing was unpacked")
        unpack(archive, folder)


def _copy(source: IO[bytes], target: IO[bytes]) -> str:
    """Copy everything; its digest."""
    digest, left = sha256(), LARGEST
    while block := source.read(BLOCK):
        left -= len(block)
        if left < 0:
            raise OSError(f"larger than {LARGEST} bytes")
        digest.update(block)
        target.write(block)
    target.seek(0)
    return digest.hexdigest()


def unpack(archive: IO[bytes], folder: Path) -> None:
    """Unpack a tar archive (compressed or not) of a bundle's files. Raises BundleError."""
    try:
        with tarfile.open(fileobj=archive) as tar:
            tar.extractall(folder, filter="data")  # no link, no device and no path that leads out of the folder
    except (tarfile.TarError, OSError) as error:
        raise BundleError(f"the archive cannot be unpacked ({error}); {_MAKE}") from None
    if not (folder / MANIFEST).is_file():
        raise BundleError(f"the archive has no {MANIFEST} at its top; {_MAKE}")


def main() -> None:
    """Fetch what the command line names; a fault is one line on stderr."""
    if len(sys.argv) != 4:
        sys.exit("usage: python -m services.inference.fetch URL SHA256 FOLDER")
    try:
        fetch(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
    except BundleError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
