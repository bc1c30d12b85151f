"""The files of a broker with security on and of everybody who may reach it, as Secrets are mounted in pods."""

import secrets
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Literal

from ops.secured.authority import Authority

HOST = "127.0.0.1"
BROKER, ADMIN = "broker", "admin"  #: the only ones whom no access rule binds
Mechanism = Literal["SASL_SSL", "SSL"]


class Keys:
    """A folder with `ca.crt`, `broker.pem` and, for each user, `user.crt`, `user.key` and `password`."""

    def __init__(self, folder: Path, users: Collection[str]) -> None:
        self.folder, self.users = folder, (ADMIN, *users)
        self.authority = Authority.found("first")
        self.trust(self.authority)
        self.certify_broker()
        for user in self.users:
            self.certify(user)
            self.new_password(user)

    @property
    def trusted(self) -> Path:
        """The authorities that broker and clients trust."""
        return self.folder / "ca.crt"

    @property
    def keystore(self) -> Path:
        """The broker's own certificate and key."""
        return self.folder / "broker.pem"

    def trust(self, *authorities: Authority) -> None:
        """Trust these authorities and no others; read when a process starts, or is told to look again."""
        _write(self.trusted, b"".join(authority.pem for authority in authorities))

    def certify_broker(self) -> bytes:
        """Give the broker a certificate of today's authority, which is returned."""
        issued = self.authority.issue(BROKER, HOST)
        _write(self.keystore, issued.key + issued.certificate)
        return issued.certificate

    def certify(self, user: str) -> None:
        """Give the user a certificate of today's authority."""
        issued = self.authority.issue(user)
        _write(self.folder / user / "user.crt", issued.certificate)
        _write(self.folder / user / "user.key", issued.key)

    def new_password(self, user: str) -> str:
        """Give the user a password, which the broker must be told; what it is."""
        password = secrets.token_urlsafe(24)
        _write(self.folder / user / "password", password.encode())
        return password

    def password(self, user: str) -> str:
        """The user's password as it was given last."""
        return (self.folder / user / "password").read_text()

    def told(self, user: str, mechanism: Mechanism) -> dict[str, str]:
        """How a process of this user proves who it is, as environment variables; the address is not among them."""
        own = self.folder / user
        told = {"UNDERTONE_KAFKA_SECURITY": mechanism, "UNDERTONE_KAFKA_CA": str(self.trusted)}
        if mechanism == "SSL":
            return told | {"UNDERTONE_KAFKA_CERT": str(own / "user.crt"), "UNDERTONE_KAFKA_KEY": str(own / "user.key")}
        return told | {"UNDERTONE_KAFKA_USERNAME": user, "UNDERTONE_KAFKA_PASSWORD_FILE": str(own / "password")}

    def librdkafka(self, user: str, mechanism: Mechanism) -> Mapping[str, str]:
        """The same for librdkafka."""
        told = self.told(user, mechanism)
        common = {"security.protocol": mechanism, "ssl.ca.location": told["UNDERTONE_KAFKA_CA"]}
        if mechanism == "SSL":
            certificate, key = told["UNDERTONE_KAFKA_CERT"], told["UNDERTONE_KAFKA_KEY"]
            return common | {"ssl.certificate.location": certificate, "ssl.key.location": key}
        sasl = {"sasl.mechanisms": "SCRAM-SHA-512", "sasl.username": user, "sasl.password": self.password(user)}
        return common | sasl


def _write(path: Path, content: bytes) -> None:
    """In one step, as Kubernetes renews what it mounted: whoever starts meanwhile reads the old or the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.new")
    new.touch(mode=0o600)
    new.write_bytes(content)
    new.replace(path)
