"""Child processes: each in a session of its own, its output in a file, dead when its starter dies.

Linux signals a child when the *thread* that started it ends (prctl PR_SET_PDEATHSIG), so start programs from
a thread that lives as long as they should. Elsewhere a killed starter leaves its children behind.
"""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from streams.settings import Settings

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


@dataclass(frozen=True, slots=True)
class Program:
    """What to run, and how it stops."""

    name: str
    argv: tuple[str, ...]
    log: Path  #: its standard output and error are appended here
    env: Mapping[str, str] = field(default_factory=dict, repr=False)  #: beside the starter's own, its settings left out
    user: int | None = None  #: user and group id to run under
    stop_signal: signal.Signals = signal.SIGTERM
    orphan_signal: signal.Signals = signal.SIGKILL  #: what Linux sends it when its starter is gone
    liveness: Path | None = None  #: a file that the program touches while it makes progress
    folder: Path | None = None  #: working directory; the starter's own where it is not given


def start(program: Program) -> subprocess.Popen[bytes]:
    """Start the program; returns at once."""
    program.log.parent.mkdir(parents=True, exist_ok=True)
    with program.log.open("ab") as log:
        return subprocess.Popen(
            program.argv,
            cwd=program.folder,
            env={**_without_settings(os.environ), **program.env},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=program.user,
            group=program.user,
            extra_groups=None if program.user is None else [],
            preexec_fn=_die_with(os.getpid(), program.orphan_signal),  # noqa: PLW1509 - one prctl, no lock
        )


def _without_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """What a program inherits: whoever starts it says which settings it works by."""
    return {name: value for name, value in environ.items() if not name.startswith(Settings.prefix)}


def stop(program: Program, process: subprocess.Popen[bytes], *, grace_s: float = 10) -> None:
    """Ask the program to stop; kill its whole session where it has not after `grace_s`."""
    if process.poll() is None:
        process.send_signal(program.stop_signal)
        try:
            process.wait(grace_s)
        except subprocess.TimeoutExpired:
            kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the program and whatever runs in its session, at once; nothing where it has ended already."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def running(program: Program) -> Iterator[subprocess.Popen[bytes]]:
    """The started program, stopped at the end of the block."""
    process = start(program)
    try:
        yield process
    finally:
        stop(program, process)


def last_lines(log: Path, count: int = 8) -> list[str]:
    """The end of a log, for a person to read; empty where there is none."""
    if not log.exists():
        return []
    with log.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - 64 * 1024))
        return file.read().decode(errors="replace").splitlines()[-count:]


def _die_with(parent: int, orphan_signal: signal.Signals) -> Callable[[], None] | None:
    """What the child does between fork and exec: ask for `orphan_signal` when its starter ends."""
    if _LIBC is None:
        return None

    def ask() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, int(orphan_signal))
        if os.getppid() != parent:  # it ended before it could be asked
            os._exit(1)

    return ask
