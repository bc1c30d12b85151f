"""A running broker with security on, the chart's users and topics on it, and how to reach it as each of them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka.admin import AdminClient
from integration.kafka.attempts import User

from ops.secured import acls
from ops.secured.broker import admin, let_in, security
from ops.secured.keys import HOST, Keys, Mechanism
from services.standalone.kafka import Listener, broker, wait_until_ready
from services.standalone.places import free_port
from services.standalone.processes import running
from streams.kafka.connection import connection
from streams.settings import Settings

STRANGER = "stranger"  #: who can prove who he is, and is in no table


@dataclass(frozen=True, slots=True)
class Guarded:
    """A running broker with security on."""

    keys: Keys
    addresses: Mapping[str, str]  #: mechanism -> bootstrap; "own" -> the broker's own listener

    def told(self, user: str, mechanism: Mechanism) -> dict[str, str]:
        """The environment of a process of this user."""
        return {"UNDERTONE_KAFKA": self.addresses[mechanism], **self.keys.told(user, mechanism)}

    def settings(self, user: str, mechanism: Mechanism) -> Settings:
        return Settings.read(self.told(user, mechanism) | {"UNDERTONE_PARTITIONS": "1"})

    def user(self, user: str, mechanism: Mechanism) -> User:
        told = {"bootstrap.servers": self.addresses[mechanism], **self.keys.librdkafka(user, mechanism), "log_level": 0}
        return User(told, connection(self.settings(user, mechanism)), AdminClient(told))


@contextmanager
def running_guarded(folder: Path) -> Iterator[Guarded]:
    """Start one with its files under `folder`."""
    table = acls.table()
    keys = Keys(folder / "keys", (*table, STRANGER))
    ports = {"own": free_port(), "SASL_SSL": free_port(), "SSL": free_port()}
    listeners = [Listener("PASSWORDS", ports["SASL_SSL"], "SASL_SSL"), Listener("CERTIFICATES", ports["SSL"], "SSL")]
    told = security(keys, listeners)
    program = broker(folder / "kafka", ports["own"], protocol="SSL", listeners=listeners, more=told)
    with running(program) as process:
        wait_until_ready(program, process)
        addresses = {name: f"{HOST}:{port}" for name, port in ports.items()}
        let_in(admin(keys, addresses["own"]), keys, table)
        yield Guarded(keys, addresses)
