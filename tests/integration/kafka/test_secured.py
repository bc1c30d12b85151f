"""A broker that asks for TLS and a password, reached by the settings alone."""

import asyncio
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from aiokafka.errors import KafkaConnectionError
from confluent_kafka.admin import (
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from pydantic import SecretStr

from services.standalone.kafka import broker, wait_until_ready
from services.standalone.places import free_port
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

USER, PASSWORD = "undertone", "not-a-secret"
LISTENER = """
listeners=BROKER://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port},SECURED://127.0.0.1:{secured_port}
advertised.listeners=BROKER://127.0.0.1:{port},SECURED://127.0.0.1:{secured_port}
listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURED:SASL_SSL
listener.name.secured.sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.secured.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
ssl.keystore.type=PEM
ssl.keystore.location={keystore}
"""


@pytest.fixture
async def secured(tmp_path: Path) -> AsyncIterator[Settings]:
    """Settings for a running broker's secured listener."""
    port, secured_port = free_port(), free_port()
    program = broker(tmp_path, port)
    properties = tmp_path / "server.properties"
    kept = [line for line in properties.read_text().splitlines() if "isteners=" not in line]
    kept = [line for line in kept if not line.startswith("listener.security.protocol.map")]
    controller_port = next(line for line in kept if line.startswith("controller.quorum")).rsplit(":", 1)[1]
    certify(tmp_path, "127.0.0.1")
    more = LISTENER.format(
        port=port,
        controller_port=controller_port,
        secured_port=secured_port,
        keystore=tmp_path / "keystore.pem",
    )
    properties.write_text("\n".join(kept) + more)
    with running(program) as process:
        await asyncio.to_thread(wait_until_ready, program, process)
        await asyncio.to_thread(add_user, f"127.0.0.1:{port}")
        yield Settings(
            kafka=f"127.0.0.1:{secured_port}",
            kafka_security="SASL_SSL",
            kafka_ca=tmp_path / "ca.pem",
            kafka_username=USER,
            kafka_password=PASSWORD,
            partitions=1,
        )


def certify(folder: Path, host: str) -> None:
    """Write `ca.pem` and `keystore.pem`: a certificate for `host` that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test broker")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(host))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(Encoding.PEM)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "ca.pem").write_bytes(pem)
    (folder / "keystore.pem").write_bytes(private + pem)


def add_user(bootstrap: str) -> None:
    info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
    wanted = UserScramCredentialUpsertion(USER, info, PASSWORD.encode())
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for done in admin.alter_user_scram_credentials([wanted]).values():
        done.result(30)


async def test_admin_producer_and_follower_get_through_tls_with_a_password(secured: Settings) -> None:
    topic = Topic("secured", {})
    await apply_topics(secured, [topic])
    async with (
        KafkaSender(connection(secured)) as sender,
        subscribe(secured, topic.name, value_of) as values,
    ):
        await sender.send([Outgoing(topic.name, b"k", b"v")])
        assert await anext(values) == b"v"


async def test_a_wrong_password_or_an_unknown_authority_or_another_name_gets_nowhere(
    secured: Settings, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    certify(other, "127.0.0.1")
    for changed in (
        {"kafka_password": "wrong"},
        {"kafka_ca": other / "ca.pem"},
        {"kafka": secured.kafka.replace("127.0.0.1", "localhost")},
    ):
        with pytest.raises(KafkaConnectionError):
            await KafkaSender(connection(Settings(**{**secured.model_dump(), **changed}))).start()


async def test_a_stage_reads_sends_and_commits_by_its_settings_alone(
    secured: Settings, migrated: str, tmp_path: Path
) -> None:
    settings = secured.model_copy(update={"postgres": SecretStr(migrated), "epochs": tmp_path / "epochs.json"})
    create_epochs(settings.epochs, datetime.now(UTC))
    await apply_topics(settings)
    started = CallRecord("call-1", 0, 0, datetime.now(UTC), Started("demo", (Role.CUSTOMER,), "en"))
    orphan = CallRecord("call-2", 1, 0, datetime.now(UTC), Ended("completed"))
    program = Program("segment", (sys.executable, "-m", "streams", "segment"), tmp_path / "log", environment(settings))
    with running(program):
        async with (
            KafkaSender(connection(settings)) as sender,
            subscribe(settings, DEADLETTERS.name, decode_deadletter) as letters,
            Positions(connection(settings)) as positions,
        ):
            await sender.send([encode_call(started), encode_call(orphan)])
            async with asyncio.timeout(60):
                assert (await anext(letters)).reason is Reason.NOT_STARTED
                while (await positions.read(group("segment"), CALLS.name))[0].committed < 2:
                    await asyncio.sleep(0.1)


def environment(settings: Settings) -> dict[str, str]:
    """The settings as a worker is told them."""
    said = settings.model_dump(exclude_none=True)
    told = {name: value.get_secret_value() if isinstance(value, SecretStr) else value for name, value in said.items()}
    return {f"UNDERTONE_{name.upper()}": str(value) for name, value in told.items()}


def value_of(record: Fetched) -> bytes | None:
    return record.value
