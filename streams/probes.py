"""Metrics, liveness and readiness over HTTP, from a thread of its own: it answers where the event loop is stuck."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest

_TEXT = "text/plain; charset=utf-8"


@contextmanager
def serving(
    registry: CollectorRegistry,
    host: str,
    port: int,
    *,
    live: Callable[[], bool],
    ready: Callable[[], bool],
) -> Iterator[int]:
    """Serve /metrics, /live and /ready (200 or 503) while the block runs; yields the port, chosen where it is 0."""
    ProcessCollector(registry=registry)
    answers = {
        "/metrics": lambda: (HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(registry)),
        "/live": lambda: _verdict(live()),
        "/ready": lambda: _verdict(ready()),
    }
    with ThreadingHTTPServer((host, port), _handler(answers)) as server:
        thread = Thread(target=server.serve_forever, name="probes", daemon=True)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


_Answer = tuple[HTTPStatus, str, bytes]


def _verdict(good: bool) -> _Answer:
    return (HTTPStatus.OK, _TEXT, b"yes\n") if good else (HTTPStatus.SERVICE_UNAVAILABLE, _TEXT, b"no\n")


def _handler(answers: dict[str, Callable[[], _Answer]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10  # seconds that a client may take over its request

        def do_GET(self) -> None:
            answer = answers.get(self.path)
            status, kind, body = answer() if answer else (HTTPStatus.NOT_FOUND, _TEXT, b"")
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing: a scrape a second is no news."""

    return Handler
