"""A broker that asks for TLS and a password or a certificate, reached by the settings alone."""

import asyncio
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiokafka.errors import KafkaConnectionError
from integration.kafka.guarded import Guarded, running_guarded

from ops.secured.authority import Authority
from ops.secured.keys import ADMIN, Mechanism
from services.standalone.processes import Program, running
from streams.app import group
from streams.domain.deadletters import Reason
from streams.domain.records import CallRecord, Ended, Role, Started
from streams.kafka.admin import apply_topics
from streams.kafka.cloudevents import decode_deadletter, encode_call
from streams.kafka.connection import connection
from streams.kafka.positions import Positions
from streams.kafka.producer import KafkaSender
from streams.kafka.publish import subscribe
from streams.ports import Fetched, Outgoing
from streams.settings import Settings
from streams.store.epochs import create_epochs
from streams.topics import CALLS, DEADLETTERS, Topic

MECHANISMS: list[Mechanism] = ["SASL_SSL", "SSL"]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with running_guarded(tmp_path_factory.mktemp("guarded")) as guarded:
        yield guarded


@pytest.mark.parametrize("mechanism", MECHANISMS)
async def test_admin_producer_and_follower_get_through_tls(guarded: Guarded, mechanism: Mechanism) -> None:
    settings, topic = guarded.settings(ADMIN, mechanism), Topic(f"secured-{mechanism}", {})
    await apply_topics(settings, [topic])
    async with (
        KafkaSender(connection(settings)) as sender,
        subscribe(settings, topic.name, value_of) as values,
    ):
        await sender.send([Outgoing(topic.name, b"k", b"v")])
        assert await anext(values) == b"v"


async def test_a_wrong_password_or_an_unknown_authority_or_another_name_gets_nowhere(
    guarded: Guarded, tmp_path: Path
) -> None:
    other, wrong = tmp_path / "ca.crt", tmp_path / "password"
    other.write_bytes(Authority.found("other").pem)
    wrong.write_text("wrong")
    for changed in (
        {"UNDERTONE_KAFKA_PASSWORD_FILE": str(wrong)},
        {"UNDERTONE_KAFKA_CA": str(other)},
        {"UNDERTONE_KAFKA": guarded.addresses["SASL_SSL"].replace("127.0.0.1", "localhost")},
    ):
        await gets_nowhere(guarded.told(ADMIN, "SASL_SSL") | changed)


async def test_no_certificate_or_one_of_an_unknown_authority_or_no_encryption_gets_nowhere(
    guarded: Guarded, tmp_path: Path
) -> None:
    issued = Authority.found("first").issue(ADMIN)
    certificate, key = tmp_path / "user.crt", tmp_path / "user.key"
    certificate.write_bytes(issued.certificate)
    key.write_bytes(issued.key)
    told = guarded.told(ADMIN, "SSL")
    forged = {"UNDERTONE_KAFKA_CERT": str(certificate), "UNDERTONE_KAFKA_KEY": str(key)}
    await gets_nowhere({name: value for name, value in told.items() if name not in forged})
    await gets_nowhere(told | forged)
    await gets_nowhere({"UNDERTONE_KAFKA": guarded.addresses["own"]})


async def gets_nowhere(told: dict[str, str]) -> None:
    with pytest.raises(KafkaConnectionError):
        await KafkaSender(connection(Settings.read(told))).start()


async def test_a_stage_reads_sends_and_commits_by_its_settings_alone(
    guarded: Guarded, migrated: str, tmp_path: Path
) -> None:
    epochs, own = tmp_path / "epochs.json", guarded.settings(ADMIN, "SSL")
    create_epochs(epochs, datetime.now(UTC))
    await apply_topics(guarded.settings("topics", "SSL"))
    told = guarded.told("segment", "SSL") | {"UNDERTONE_POSTGRES": migrated, "UNDERTONE_EPOCHS": str(epochs)}
    started = CallRecord("call-1", 0, 0, datetime.now(UTC), Started("demo", (Role.CUSTOMER,), "en"))
    orphan = CallRecord("call-2", 1, 0, datetime.now(UTC), Ended("completed"))
    program = Program("segment", (sys.executable, "-m", "streams", "segment"), tmp_path / "log", told)
    with running(program):
        async with (
            KafkaSender(connection(guarded.settings("publisher", "SASL_SSL"))) as sender,
            subscribe(own, DEADLETTERS.name, decode_deadletter) as letters,
            Positions(connection(own)) as positions,
        ):
            await sender.send([encode_call(started), encode_call(orphan)])
            async with asyncio.timeout(60):
                assert (await anext(letters)).reason is Reason.NOT_STARTED
                while (await positions.read(group("segment"), CALLS.name))[0].committed < 2:
                    await asyncio.sleep(0.1)


def value_of(record: Fetched) -> bytes | None:
    return record.value
