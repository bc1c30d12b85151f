"""How to reach the brokers, said once for producer, feed and admin."""

import ssl
from typing import Any

from cryptography import x509

from streams.settings import Settings

REQUEST_TIMEOUT_MS = 30_000
RETRY_BACKOFF_MS = 300  #: aiokafka logs an error at each attempt while a broker is down

_TLS = ("SSL", "SASL_SSL")
_SASL = ("SASL_PLAINTEXT", "SASL_SSL")
_PROTOCOLS = ("PLAINTEXT", *_TLS, "SASL_PLAINTEXT")
_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


class ConnectionSettingsError(ValueError):
    """The Kafka settings contradict themselves."""


def connection(settings: Settings) -> dict[str, Any]:
    """Arguments that every aiokafka client takes. Raises ConnectionSettingsError, naming the variable to mend."""
    protocol = settings.kafka_security
    if protocol not in _PROTOCOLS:
        raise ConnectionSettingsError(f"UNDERTONE_KAFKA_SECURITY must be one of {', '.join(_PROTOCOLS)}")
    arguments: dict[str, Any] = {
        "bootstrap_servers": [server.strip() for server in settings.kafka.split(",")],
        "security_protocol": protocol,
        "request_timeout_ms": REQUEST_TIMEOUT_MS,
        "retry_backoff_ms": RETRY_BACKOFF_MS,
    }
    if protocol in _TLS:
        arguments["ssl_context"] = _tls(settings)
    return arguments | (_sasl(settings) if protocol in _SASL else {})


def certificate_end(settings: Settings) -> float:
    """Unix time at which the client certificate ends; 0 where there is none."""
    if settings.kafka_cert is None or settings.kafka_security not in _TLS:
        return 0.0
    return x509.load_pem_x509_certificate(settings.kafka_cert.read_bytes()).not_valid_after_utc.timestamp()


def _tls(settings: Settings) -> ssl.SSLContext:
    """Certificates and host names are always checked; at least TLS 1.2."""
    for name in ("kafka_ca", "kafka_cert", "kafka_key"):
        path = getattr(settings, name)
        if path is not None and not path.is_file():
            raise ConnectionSettingsError(f"UNDERTONE_{name.upper()}: there is no file {path}")
    try:
        context = ssl.create_default_context(cafile=settings.kafka_ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if settings.kafka_cert is not None:
            # No prompt for the key's password: a worker has nobody to ask.
            context.load_cert_chain(settings.kafka_cert, settings.kafka_key, password="")
    except ssl.SSLError as error:
        raise ConnectionSettingsError(
            "UNDERTONE_KAFKA_CA, _CERT and _KEY must be PEM files that fit together, the key not encrypted"
        ) from error
    return context


def _sasl(settings: Settings) -> dict[str, str]:
    if settings.kafka_sasl_mechanism not in _MECHANISMS:
        raise ConnectionSettingsError(f"UNDERTONE_KAFKA_SASL_MECHANISM must be one of {', '.join(_MECHANISMS)}")
    if settings.kafka_username is None or settings.kafka_password is None:
        raise ConnectionSettingsError(
            f"UNDERTONE_KAFKA_USERNAME and UNDERTONE_KAFKA_PASSWORD must be set for {settings.kafka_security}"
        )
    return {
        "sasl_mechanism": settings.kafka_sasl_mechanism,
        "sasl_plain_username": settings.kafka_username,
        "sasl_plain_password": settings.kafka_password.get_secret_value(),
    }
