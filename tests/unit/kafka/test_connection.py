"""What the settings say becomes what aiokafka takes, or one line that names the variable."""

import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from streams.kafka.connection import ConnectionSettingsError, certificate_end, connection
from streams.settings import Settings


def test_plaintext_needs_the_address_alone() -> None:
    arguments = connection(Settings(kafka="a:1, b:2"))
    assert arguments["bootstrap_servers"] == ["a:1", "b:2"]
    assert "ssl_context" not in arguments
    assert "sasl_mechanism" not in arguments


def test_tls_checks_certificate_and_host_name() -> None:
    context = connection(Settings(kafka_security="SSL"))["ssl_context"]
    assert (context.check_hostname, context.verify_mode) == (True, ssl.CERT_REQUIRED)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_sasl_over_tls_has_both() -> None:
    settings = Settings(kafka_security="SASL_SSL", kafka_username="u", kafka_password="p")  # noqa: S106 - no secret
    arguments = connection(settings)
    assert (arguments["sasl_mechanism"], arguments["sasl_plain_password"]) == ("SCRAM-SHA-512", "p")
    assert arguments["ssl_context"].check_hostname


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"kafka_security": "TLS"}, "UNDERTONE_KAFKA_SECURITY"),
        ({"kafka_security": "SASL_SSL"}, "UNDERTONE_KAFKA_USERNAME"),
        ({"kafka_security": "SASL_PLAINTEXT", "kafka_sasl_mechanism": "GSSAPI"}, "UNDERTONE_KAFKA_SASL_MECHANISM"),
        (
            {"kafka_security": "SSL", "kafka_ca": Path("nowhere.pem")},
            "UNDERTONE_KAFKA_CA: there is no file nowhere.pem",
        ),
        ({"kafka_security": "SSL", "kafka_ca": Path("pyproject.toml")}, "must be PEM files"),
    ],
)
def test_settings_that_cannot_work_are_refused_by_name(settings: dict[str, str | Path], named: str) -> None:
    with pytest.raises(ConnectionSettingsError, match=named):
        connection(Settings(**settings))


def test_the_end_of_the_client_certificate_is_told_where_it_is_used(tmp_path: Path) -> None:
    begin, end = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    dated = made.serial_number(1).not_valid_before(begin).not_valid_after(end)
    file = tmp_path / "user.crt"
    file.write_bytes(dated.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
    assert certificate_end(Settings(kafka_security="SSL", kafka_cert=file)) == end.timestamp()
    assert certificate_end(Settings(kafka_cert=tmp_path / "none")) == 0
    assert certificate_end(Settings(kafka_security="SSL")) == 0
