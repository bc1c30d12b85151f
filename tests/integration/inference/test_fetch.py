import io
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from services.emotion.bundle import DEMO, load_bundle
from services.emotion.manifest import MANIFEST, BundleError
from services.inference import fetch
from services.inference.fetch import unpack


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[str]:
    """Address of a server with the demo bundle on it."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    with tarfile.open(folder / "bundle.tgz", "w:gz") as tar:
        tar.add(DEMO, arcname=".")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def digest(shelf: str, tmp_path: Path) -> str:
    return sha256((tmp_path / "shelf/bundle.tgz").read_bytes()).hexdigest()


def test_a_bundle_is_fetched_and_can_be_served(shelf: str, digest: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "services.inference.fetch", f"{shelf}/bundle.tgz", digest, str(tmp_path / "here")]
    subprocess.run(command, check=True)
    assert load_bundle(tmp_path / "here").sha256 == load_bundle(DEMO).sha256


def test_another_archive_than_the_one_meant_is_not_unpacked(shelf: str, digest: str, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=f"its SHA-256 is {digest}, not {'0' * 64}; nothing was unpacked"):
        fetch.fetch(f"{shelf}/bundle.tgz", "0" * 64, tmp_path / "here")
    assert not (tmp_path / "here").exists()


def test_an_archive_that_is_too_large_is_given_up(
    shelf: str, digest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "LARGEST", 1000)
    with pytest.raises(BundleError, match="larger than 1000 bytes"):
        fetch.fetch(f"{shelf}/bundle.tgz", digest, tmp_path / "here")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("file:///etc/hostname", "not an http"),
        ("http://127.0.0.1:9/bundle.tgz", "cannot be loaded"),
        ("none.tgz", "not an http"),
    ],
)
def test_an_address_that_leads_nowhere_is_named(url: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=f"^{url}: {said}"):
        fetch.fetch(url, "0" * 64, tmp_path)


def test_a_digest_that_is_none_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"^latest: no SHA-256"):
        fetch.fetch("http://127.0.0.1:9/bundle.tgz", "latest", tmp_path)


def packed(name: str) -> io.BytesIO:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.addfile(tarfile.TarInfo(name))
    archive.seek(0)
    return archive


@pytest.mark.parametrize("name", [f"../{MANIFEST}", f"deeper/{MANIFEST}", "README"])
def test_an_archive_that_leads_out_of_its_folder_or_is_no_bundle_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="make it with"):
        unpack(packed(name), tmp_path / "here")
    assert not (tmp_path / MANIFEST).exists()


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="cannot be unpacked"):
        unpack(io.BytesIO(b"<html>not found</html>"), tmp_path)
