"""Where the standalone stack keeps things: the cache outside the checkout, locks, free ports."""

import fcntl
import os
import secrets
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from services.standalone.errors import StandaloneError


def cache_folder() -> Path:
    """The folder that downloads survive in: `UNDERTONE_CACHE`, else the user's cache."""
    given = os.environ.get("UNDERTONE_CACHE")
    folder = Path(given) if given else platformdirs.user_cache_path("undertone")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def locked(path: Path, *, wait: bool, refusal: str = "") -> Iterator[None]:
    """Hold the lock file `path`; where another process has it, wait for it or raise with `refusal`.

    The kernel drops the lock with its holder, so a stack that was killed leaves no lock behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise StandaloneError(refusal) from None
        yield


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of loopback."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


#: Below what Linux (from 32768) and macOS (from 49152) lend to outgoing connections: while a server restarts, one that
#: its clients make elsewhere, or their very attempts to reach it, could take its port.
_SERVER_PORTS = range(20_000, 32_000)


def free_port(preferred: int = 0) -> int:
    """`preferred` where nobody has it, else another port of loopback; no other stack of this user is given it too.

    Raises StandaloneError where every port of a server is taken.
    """
    others = secrets.SystemRandom().sample(_SERVER_PORTS, len(_SERVER_PORTS))
    for port in (preferred, *others):
        if port and is_free(port) and _claim(port):
            return port
    raise StandaloneError(f"no port from {_SERVER_PORTS.start} to {_SERVER_PORTS.stop - 1} of 127.0.0.1 is free")


#: Held until the process ends: between a look at a port and the server's listening, seconds may pass.
_CLAIMS: list[int] = []


def _claim(port: int) -> bool:
    folder = Path(tempfile.gettempdir()) / f"undertone-ports-{os.geteuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    file = os.open(folder / str(port), os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return False
    _CLAIMS.append(file)
    return True
