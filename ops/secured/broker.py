"""A broker that asks everybody who he is, and allows nobody what the chart's table does not."""

import ssl
import time
from collections.abc import Mapping, Sequence

from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from ops.secured import acls
from ops.secured.keys import ADMIN, BROKER, HOST, Keys
from services.standalone.kafka import Listener

PATIENCE_S = 30
ITERATIONS = 4096  #: the least that Kafka takes
LOOK_S = 0.1
_LOGIN = "org.apache.kafka.common.security.scram.ScramLoginModule required;"


def security(keys: Keys, listeners: Sequence[Listener]) -> dict[str, str]:
    """What makes Kafka ask, in its own settings; its own two listeners speak `SSL` then.

    The name in a certificate and the name that a password goes with are the same user to the access rules.
    """
    told = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "false",
        "super.users": f"User:{BROKER};User:{ADMIN}",
        "ssl.client.auth": "required",  # where there is no password
        "ssl.principal.mapping.rules": "RULE:^CN=([^,]+)$/$1/",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(keys.keystore),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(keys.trusted),
    }
    for listener in listeners:
        if listener.protocol == "SASL_SSL":
            name = f"listener.name.{listener.name.lower()}"
            told[f"{name}.sasl.enabled.mechanisms"] = "SCRAM-SHA-512"
            told[f"{name}.scram-sha-512.sasl.jaas.config"] = _LOGIN
    return told


def admin(keys: Keys, bootstrap: str) -> AdminClient:
    """A client of the one who may do anything, on the broker's own listener."""
    return AdminClient({"bootstrap.servers": bootstrap, **keys.librdkafka(ADMIN, "SSL"), "log_level": 0})


def let_in(client: AdminClient, keys: Keys, table: acls.Table) -> None:
    """Make the broker know every user's password, and allow what the table does."""
    set_passwords(client, {user: keys.password(user) for user in keys.users})
    acls.allow(client, list(acls.rights(table)))


def set_passwords(client: AdminClient, passwords: Mapping[str, str]) -> None:
    """From now on a connection needs the new password; those that stand are kept."""
    info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, ITERATIONS)
    wanted = [UserScramCredentialUpsertion(user, info, said.encode()) for user, said in passwords.items()]
    for done in client.alter_user_scram_credentials(wanted).values():
        done.result(PATIENCE_S)


def look_again(client: AdminClient, keys: Keys, listeners: Sequence[Listener]) -> None:
    """Have the broker read whom it trusts anew, and a new certificate of its own, and wait until it has.

    It reads both where they are set again, some time after it has said yes; it keeps the old where the new would not
    be trusted by what it trusted before. A listener that shows the new certificate trusts the new authorities.
    """
    certificate = keys.certify_broker()
    files = {"ssl.keystore.location": str(keys.keystore), "ssl.truststore.location": str(keys.trusted)}
    entries = [
        ConfigEntry(f"listener.name.{name.lower()}.{setting}", path, incremental_operation=AlterConfigOpType.SET)
        for name in (listener.name for listener in listeners)
        for setting, path in files.items()
    ]
    resource = ConfigResource(ResourceType.BROKER, "1", incremental_configs=entries)
    for done in client.incremental_alter_configs([resource]).values():
        done.result(PATIENCE_S)
    for listener in listeners:
        _until_shown(listener.port, certificate)


def _until_shown(port: int, certificate: bytes) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while ssl.get_server_certificate((HOST, port)).strip().encode() != certificate.strip():
        if time.monotonic() > deadline:
            raise TimeoutError(f"the broker shows an old certificate on port {port}")
        time.sleep(LOOK_S)
