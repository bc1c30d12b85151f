"""mosec: an HTTP front in Rust, and a process that batches."""

import sys

from mosec import Server, Worker
from serving import BATCH, WAIT_S, answers


class Infer(Worker):  # type: ignore[misc]  # untyped where it is not installed
    """Bytes in, bytes out: the length of a request's JSON before it."""

    def deserialize(self, data: bytes) -> tuple[bytes, int]:
        """A request and the length of its JSON."""
        return data[4:], int.from_bytes(data[:4], "big")

    def forward(self, data: list[tuple[bytes, int]]) -> list[bytes]:
        """Judge a batch."""
        return answers(self.work, data)

    def serialize(self, data: bytes) -> bytes:
        """As it is."""
        return data

    @property
    def work(self) -> str:
        """What is done with the windows."""
        return type(self).__name__.lower()


class Demo(Infer):
    """The demo bundle."""


class Gpu(Infer):
    """A processor that waits for a GPU."""


def serve(work: str, port: int) -> None:
    """Serve until it is told to stop."""
    sys.argv[1:] = ["--port", str(port), "--address", "127.0.0.1", "--log-level", "error", "--timeout", "60000"]
    server = Server()
    server.append_worker(Demo if work == "demo" else Gpu, max_batch_size=BATCH, max_wait_time=int(WAIT_S * 1000))
    server.run()
