"""What goes to PostgreSQL of a call, and how often."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from unit.stages.bench import AT, EPOCH, Bench, call, publish

from streams.adapters.memory_calls import MemoryCalls
from streams.domain.privacy import Epoch, pseudonym
from streams.domain.records import Audio
from streams.ports import Checkpoint
from streams.store.sealing import unseal

NEXT_EPOCH = Epoch("e2", b"l" * 32, AT + timedelta(seconds=2))


@dataclass(slots=True)
class Counting(MemoryCalls):
    """Remembers how many calls each transaction wrote."""

    saved: list[int] = field(default_factory=list)

    async def save(self, checkpoints: Sequence[Checkpoint]) -> frozenset[str]:
        self.saved.append(len(checkpoints))
        return await MemoryCalls.save(self, checkpoints)


def test_checkpoints_come_once_an_interval_and_all_calls_of_one_in_one_transaction() -> None:
    bench = Bench()
    store = bench.stage._store = Counting(bench.tables)
    bench.stage._interval_s = 3600
    told = [call("c-" * 20, call_id=name)[:-1] for name in "ab"]
    kept = publish(bench, [record for pair in zip(*told, strict=True) for record in pair])
    bench.handle(kept[:2])
    opened = len(store.saved)
    for record in kept[2:]:
        bench.handle([record])
    assert len(store.saved) == opened
    bench.stage._interval_s = 1e-9
    bench.handle([], caught_up=True)
    assert store.saved[opened:] == [2]


def test_a_call_keeps_the_key_epoch_of_the_logs_time_at_which_it_started() -> None:
    bench = Bench()
    bench.stage._epochs = (EPOCH, NEXT_EPOCH)
    kept = publish(bench, call("c" * 12, call_id="early"))  # the next epoch begins while it goes on
    kept += publish(bench, call("c" * 12, call_id="later"))
    bench.handle(kept)
    epochs = {row.call: row.epoch for row in bench.tables.calls.values()}
    assert epochs == {pseudonym(EPOCH, "early"): "e1", pseudonym(NEXT_EPOCH, "later"): "e2"}


def test_a_checkpoint_holds_no_audio() -> None:
    bench = Bench()
    records = call("c" * 10)[:-1]
    bench.handle(publish(bench, records))
    (state,) = bench.tables.states.values()
    opened = unseal([EPOCH], state.stored.call, state.stored.state)
    heard = [record.body.data for record in records if isinstance(record.body, Audio)]
    assert not any(data[at : at + 16] in opened for data in heard for at in range(0, len(data) - 16, 16))
