"""A broker of a test's own, to be stopped, killed, frozen and started again on the same data."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from services.standalone.kafka import broker, wait_until_ready
from services.standalone.places import free_port
from services.standalone.processes import Program, kill, start, stop


@dataclass(slots=True)
class Broker:
    folder: Path
    port: int = field(default_factory=free_port)
    program: Program | None = None
    process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        self.program = broker(self.folder, self.port)
        self.process = start(self.program)
        wait_until_ready(self.program, self.process)

    def stop(self) -> None:
        """As an operator stops it."""
        if self.program is not None and self.process is not None:
            stop(self.program, self.process, grace_s=30)

    def kill(self) -> None:
        """Kill -9."""
        if self.process is not None:
            kill(self.process)

    def freeze(self) -> None:
        """Neither answer nor close a connection."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, which: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(which)


@contextmanager
def own_broker(folder: Path) -> Iterator[Broker]:
    made = Broker(folder)
    made.start()
    try:
        yield made
    finally:
        made.kill()
