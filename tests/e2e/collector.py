"""An OpenTelemetry collector on this machine: takes spans by OTLP over HTTP, and keeps what came."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass(slots=True)
class Collector:
    """What came so far."""

    address: str
    bodies: list[bytes] = field(default_factory=list)

    def spans(self, trace: str) -> list[Span]:
        """The spans of one trace."""
        requests: Sequence[ExportTraceServiceRequest] = [ExportTraceServiceRequest.FromString(b) for b in self.bodies]
        scopes = [scope for each in requests for of in each.resource_spans for scope in of.scope_spans]
        return [span for scope in scopes for span in scope.spans if span.trace_id.hex() == trace]


@contextmanager
def collector() -> Iterator[Collector]:
    """One that listens while the block runs."""
    kept: list[bytes] = []

    class Taking(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            kept.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200 if self.path == "/v1/traces" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Taking) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Collector(f"http://127.0.0.1:{server.server_port}", kept)
        server.shutdown()
        thread.join()
