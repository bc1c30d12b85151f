"""What a process did with a window and when, as spans of OpenTelemetry: nothing of the speech, of a call or a person.

Imported only where traces are asked for: OpenTelemetry is the extra `traces` (`ops/adr/0156-traces.md`).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Link, Span, SpanKind, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

TRACEPARENT = "traceparent"
EXPORT_S = 2.0  #: for handing spans over, tries included; what an ending process waits for
HELD = 2048  #: spans; handed over at once, so that one that is away costs an ending process no more than that
PREFIX = "undertone."

_W3C = TraceContextTextMapPropagator()


class Did(StrEnum):
    """The name of a span: a stage's work on one window or escalation, or what a whole batch of them waited for."""

    SEGMENT = "segment"  #: from the log's time of the chunk that closed a window to the broker's acknowledgement of it
    LABEL = "label"
    INFER = "infer"  #: a batch's windows at the inference service
    ESCALATE = "escalate"
    COMMIT = "commit"  #: a batch's transaction
    RELAY = "relay"


_KINDS = {Did.INFER: SpanKind.CLIENT, Did.COMMIT: SpanKind.CLIENT, Did.RELAY: SpanKind.PRODUCER}


class Result(StrEnum):
    """What came of it."""

    GIVEN_UP = "given_up"  #: a call of the batch was closed meanwhile, or the process ends
    REFUSED = "refused"  #: the call is not open for this window
    KNOWN = "known"  #: it was stored before
    WRITTEN = "written"
    RAISED = "raised"  #: and it opened an escalation


@dataclass(frozen=True, slots=True)
class Said:
    """All that a span may say besides its times: whatever is not here, no span has."""

    use_case: str | None = None
    partition: int | None = None
    windows: int | None = None

    def attributes(self) -> dict[str, str | int]:
        """By OpenTelemetry's manner of naming."""
        found = (("use_case", self.use_case), ("partition", self.partition), ("windows", self.windows))
        return {PREFIX + name: value for name, value in found if value is not None}


@dataclass(frozen=True, slots=True)
class Open:
    """A span that goes on."""

    span: Span

    @property
    def traceparent(self) -> str:
        """What goes with a record, so that the next stage's span can follow this one (W3C Trace Context)."""
        carrier: dict[str, str] = {}
        _W3C.inject(carrier, set_span_in_context(self.span, Context()))
        return carrier[TRACEPARENT]

    def end(self, result: Result | None = None, outcome: str | None = None) -> None:
        """End it now; `outcome` is the label's."""
        if result is not None:
            self.span.set_attribute(f"{PREFIX}result", result)
        if outcome is not None:
            self.span.set_attribute(f"{PREFIX}outcome", outcome)
        self.span.end()


class Spans:
    """Begins spans."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("undertone")

    @classmethod
    def to(cls, address: str, *, stage: str, ratio: float) -> Self:
        """Spans that go to a collector (OTLP over HTTP). Where it is away they are dropped, and nothing waits.

        `ratio` of the traces that begin here are kept; whoever sent a `traceparent` has decided for its own.
        """
        provider = made(stage, ratio)
        exporter = OTLPSpanExporter(f"{address.rstrip('/')}/v1/traces", timeout=EXPORT_S)
        provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=HELD, max_export_batch_size=HELD))
        return cls(provider)

    def begin(
        self, did: Did, after: str | None, said: Said, *, links: Iterable[Open] = (), at_ms: int | None = None
    ) -> Open:
        """A span that follows the `traceparent` in `after`, or begins a trace where that is none.

        It began at `at_ms` since 1970, else now.
        """
        span = self._tracer.start_span(
            did,
            context=_context(after),
            kind=_KINDS.get(did, SpanKind.CONSUMER),
            attributes=said.attributes(),
            links=[Link(each.span.get_span_context()) for each in links],
            start_time=None if at_ms is None else at_ms * 1_000_000,
        )
        return Open(span)

    def close(self) -> None:
        """Hand over what is left, for as long as one try takes."""
        self._provider.shutdown()


def made(stage: str, ratio: float) -> TracerProvider:
    """What makes spans. Nothing of the machine or the environment is put on them."""
    resource = Resource({"service.name": f"undertone-{stage}", "service.namespace": "undertone"})
    sampler = ParentBased(TraceIdRatioBased(ratio))
    return TracerProvider(resource=resource, sampler=sampler, shutdown_on_exit=False)


def _context(after: str | None) -> Context:
    """No `tracestate` and no baggage: what is in those is anybody's."""
    return Context() if after is None else _W3C.extract({TRACEPARENT: after}, Context())
