"""An eye on whom the processes that a test starts speak to."""

import threading
from dataclasses import dataclass, field
from pathlib import Path

import psutil

LOOPBACK = {"127.0.0.1", "::1", "::ffff:127.0.0.1", "localhost", "None", ""}


@dataclass
class Sockets:
    """Whom this process' children spoke to: Python by an audit hook, everything else by looking often."""

    file: Path
    seen: set[tuple[str, str]] = field(default_factory=set)  #: program, remote address
    stopped: threading.Event = field(default_factory=threading.Event)

    def look(self) -> None:
        for child in psutil.Process().children(recursive=True):
            try:
                found = child.net_connections(kind="inet")
                self.seen |= {(child.name(), connection.raddr.ip) for connection in found if connection.raddr}
            except psutil.Error:  # it ended just now
                continue

    def watch(self) -> None:
        while not self.stopped.wait(0.2):
            self.look()

    def asked(self) -> set[tuple[str, str]]:
        """Who was connected to or looked up by name: event, host."""
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        return {(event, host) for _, event, host in (line.split(" ", 2) for line in lines)}

    def foreign(self) -> set[tuple[str, str]]:
        """What left this machine, or tried to."""
        return {(who, whom) for who, whom in self.seen | self.asked() if whom not in LOOPBACK}
