"""A dead letter says where a record lies and why, and nothing of what it held."""

from hashlib import sha256

import msgspec

from streams.adapters.memory_topics import Kept, MemoryTopics
from streams.domain.deadletters import Reason, UnusableError
from streams.kafka.cloudevents import AUDIO, STARTED, decode_deadletter
from streams.kafka.deadletters import KafkaDeadLetters, dead_letter

ERROR = UnusableError(Reason.BAD_AUDIO, "payload must be a whole number of milliseconds")


def record(type_: bytes | None, value: bytes | None = b"canary") -> Kept:
    return Kept("calls.v1", 2, 7, 0, b"+491715551234", value, [("CE_Type", type_), ("ce_note", b"canary")])


async def test_a_dead_letter_comes_back_from_its_topic() -> None:
    topics = MemoryTopics()
    letter = dead_letter(record(AUDIO.encode()), ERROR, call="c" * 64)
    await KafkaDeadLetters(topics).put([letter])
    (kept,) = topics.read("deadletters.v1")
    assert decode_deadletter(kept) == letter
    assert (letter.partition, letter.offset, letter.type, letter.size) == (2, 7, AUDIO, 6)
    assert letter.sha256 == sha256(b"canary").hexdigest()


async def test_neither_payload_nor_key_nor_a_foreign_type_is_put_on_record() -> None:
    topics = MemoryTopics()
    for type_ in (b"canary", b"\xff", AUDIO.encode()):
        await KafkaDeadLetters(topics).put([dead_letter(record(type_), ERROR)])
    for kept in topics.read("deadletters.v1"):
        told = msgspec.json.encode([kept.key, kept.value, dict(kept.headers)]) + kept.value + kept.key
        assert b"canary" not in told
        assert b"5551234" not in told


def test_the_hash_of_a_text_is_left_out_for_it_could_be_guessed_back() -> None:
    assert dead_letter(record(STARTED.encode()), ERROR).sha256 is None


def test_a_record_whose_type_is_kafkas_null_has_a_letter() -> None:
    assert dead_letter(record(None), ERROR).type is None


def test_a_record_without_payload_has_a_letter_too() -> None:
    assert dead_letter(record(b"", None), ERROR).size == 0
