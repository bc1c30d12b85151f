"""One trace from a chunk to the escalation, through the real broker and database, and nothing of the call in it."""

import asyncio
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
from e2e.collector import Collector
from e2e.contact_centre import PATIENCE_S, SAMPLES, Site
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from streams.kafka.connection import connection
from streams.kafka.producer import KafkaSender
from streams.kafka.publish import publish
from streams.ports import Outgoing, Sender

pytestmark = pytest.mark.asyncio(loop_scope="session")

ABOVE = {"label": "segment", "infer": "label", "escalate": "label", "commit": "escalate", "relay": "escalate"}


@dataclass(frozen=True)
class Tracing:
    """A publisher whose records carry its own trace."""

    sender: Sender
    trace: str
    span: str

    async def send(self, records: Sequence[Outgoing]) -> None:
        header = ("traceparent", f"00-{self.trace}-{self.span}-01".encode())
        await self.sender.send([replace(record, headers=(*record.headers, header)) for record in records])


def followed(spans: Sequence[Span]) -> bool:
    """Whether there are spans of every kind, and the one that each follows: the processes hand theirs over in turn."""
    known = {span.span_id for span in spans}
    kinds = {span.name for span in spans}
    return kinds >= {"segment", *ABOVE} and all(
        span.parent_span_id in known for span in spans if span.name != "segment"
    )


async def test_one_trace_leads_from_a_publishers_chunk_to_the_escalation(site: Site, collector: Collector) -> None:
    trace, publisher = secrets.token_hex(16), secrets.token_hex(8)
    records = site.told(SAMPLES / "angry.wav", replace(site.started(), reference="ERIKA-MUSTERMANN"))
    async with KafkaSender(connection(site.stack.settings)) as sender:
        await publish(records, Tracing(sender, trace, publisher))
    call = site.name(records[0].call_id)
    await site.settled(call)
    deadline = time.monotonic() + PATIENCE_S
    while not followed(collector.spans(trace)) and time.monotonic() < deadline:
        await asyncio.sleep(0.5)  # each process hands its spans over every five seconds
    spans = {span.span_id.hex(): span for span in collector.spans(trace)}
    for span in spans.values():
        if span.name == "segment":
            assert span.parent_span_id.hex() == publisher
        else:
            assert spans[span.parent_span_id.hex()].name == ABOVE[span.name]
    assert [span.name for span in spans.values()].count("relay") == 1

    ids = [str(row["id"]) for row in site.rows("SELECT id FROM escalations WHERE call = %s", call)]
    ids += [str(row["window_id"]) for row in site.rows("SELECT window_id FROM labels WHERE call = %s", call)]
    told = b"".join(collector.bodies)
    assert not [each for each in (records[0].call_id, call, "ERIKA", "negative", *ids) if each.encode() in told]
