"""The real servers that the other tests stand on."""

from pathlib import Path

import psycopg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from services.standalone.postgres import address, create_database
from services.standalone.postgres import postgres as running_postgres


async def test_a_record_sent_to_the_broker_comes_back(kafka: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    await admin.create_topics([NewTopic("there-and-back", 1, 1)])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=kafka, enable_idempotence=True) as producer:
        await producer.send_and_wait("there-and-back", b"value", key=b"key")
    consumer = AIOKafkaConsumer("there-and-back", bootstrap_servers=kafka, auto_offset_reset="earliest")
    async with consumer:
        record = await consumer.getone()
    assert (record.key, record.value) == (b"key", b"value")


def test_every_test_has_an_empty_database(postgres: str) -> None:
    with psycopg.connect(postgres) as connection:
        tables = connection.execute("SELECT FROM pg_tables WHERE schemaname = 'public'").fetchall()
    assert tables == []


def test_postgres_refuses_whoever_does_not_know_the_password(postgres_server: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        psycopg.connect(postgres_server, password="")


def test_postgres_keeps_its_data_and_its_password_over_a_restart(tmp_path: Path) -> None:
    with running_postgres(tmp_path) as url:
        create_database(url, "kept")
    with running_postgres(tmp_path) as url:
        port = int(url.split(":")[-1].split("/")[0])
        with psycopg.connect(address(tmp_path, port, "kept")) as connection:
            assert connection.info.dbname == "kept"
    assert (tmp_path / "password").stat().st_mode & 0o777 == 0o600
