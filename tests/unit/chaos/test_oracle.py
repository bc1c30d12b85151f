"""The oracle and the stage agree on an undisturbed log, so that what chaos finds is chaos."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from prometheus_client import CollectorRegistry

from ops.chaos.calls import Mix, plan
from ops.chaos.oracle import Oracle, scored
from streams.adapters.memory_calls import MemoryCalls
from streams.adapters.memory_topics import MemoryDeadLetters, MemoryTopics
from streams.domain.privacy import Epoch
from streams.domain.records import Role
from streams.domain.roles import OneChannel
from streams.kafka.cloudevents import decode_window
from streams.metrics import Metrics
from streams.ports import Batch
from streams.speech.activity import VoiceActivity
from streams.speech.expecting import Expecting
from streams.stages.segment import Segment

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
EPOCHS = (Epoch("test", bytes(32), AT - timedelta(days=1)),)
TOLD = Expecting(one_channel=OneChannel(Role.AGENT))
MIX = Mix(media_s=(12, 16), duplicate=0.05, swapped=0.05, late=0.05, missing=0.02)


@pytest.mark.parametrize("mix", [MIX, replace(MIX, one_channel=1)], ids=["two channels", "one channel"])
@pytest.mark.parametrize("seed", range(4))
async def test_the_oracle_expects_the_windows_that_the_segment_stage_cuts(seed: int, mix: Mix) -> None:
    broker, sent, store = MemoryTopics(1, lambda: AT), MemoryTopics(1), MemoryCalls()
    for sending in plan(Random(seed), "call", mix, AT).sendings:  # noqa: S311 - the same in every run
        broker.append(sending.record)
    log = broker.read("calls.v1")
    stage = Segment(
        epochs=EPOCHS,
        use_cases={"demo": TOLD},
        partitions=lambda: 1,
        store=store,
        sender=sent,
        letters=MemoryDeadLetters(),
        activity=VoiceActivity(),
        metrics=Metrics(CollectorRegistry()),
        clock=lambda: AT,
        checkpoint_interval_s=1e-9,
    )
    for at in range(0, len(log), 7):
        await stage.handle(Batch("calls.v1", 0, tuple(log[at : at + 7])))
    expected = Oracle(EPOCHS, (), 1, scored, TOLD).expect(log)
    assert expected is not None
    windows = [decode_window(record) for record in sent.read("windows.v1")]
    if expected.withdrawn_at is None:
        assert windows == expected.windows
        assert sum(expected.fates[-1].values()) == expected.heard_ms
        (call,) = store.tables.calls.values()
        assert list(call.fates.values()) == expected.fates
    else:
        assert [window.id for window in windows] == [window.id for window in expected.windows][: len(windows)]
