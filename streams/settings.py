"""What a worker must be told; read once, from `UNDERTONE_*` environment variables, by the composition root."""

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """One frozen set for every stream process; unknown names are refused."""

    model_config = SettingsConfigDict(
        env_prefix="UNDERTONE_", frozen=True, extra="forbid", use_attribute_docstrings=True
    )

    kafka: str = "localhost:9092"
    """Kafka bootstrap servers, host:port separated by commas."""
    kafka_security: str = "PLAINTEXT"
    """PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL."""
    kafka_ca: Path | None = None
    """PEM file with the certificate authority of the brokers; the system's own where it is not given."""
    kafka_cert: Path | None = None
    """PEM file with the client certificate, for mutual TLS."""
    kafka_key: Path | None = None
    """PEM file with the client certificate's key."""
    kafka_sasl_mechanism: str = "SCRAM-SHA-512"
    """SASL mechanism, where `kafka_security` asks for one."""
    kafka_username: str | None = None
    """SASL user."""
    kafka_password: SecretStr | None = None
    """SASL password."""
    postgres: SecretStr = SecretStr("postgresql://localhost:5432/undertone")
    """PostgreSQL address, as libpq takes it."""
    inference: str = "http://localhost:8000"
    """Address of the inference service."""
    epochs: Path = Path("epochs.json")
    """File of pseudonym key epochs: a list of {id, key (base64), not_before}."""
    use_cases: Path | None = None
    """Folder of use-case YAML files; the built-in `demo` alone where it is not given."""
    partitions: int = Field(default=6, ge=1)
    """Partitions of a topic that `undertone topics apply` creates."""
    replication: int = Field(default=1, ge=1)
    """Replication factor of a topic that `undertone topics apply` creates."""
    liveness: Path | None = None
    """File that a live worker touches; None: none."""
    metrics_host: str = "127.0.0.1"
    """Address that Prometheus metrics and readiness are served on."""
    metrics_port: int = 0
    """Port of the metrics; 0: none."""
    checkpoint_interval_s: float = Field(default=1.0, gt=0)
    """At most this often a partition's changed calls are written to PostgreSQL."""
    retention_days: int = Field(default=30, ge=8)
    """Days that a call's row, labels and escalations stay; 8 at least: escalations.v1 holds an escalation for seven,
    and what PostgreSQL has forgotten is not retracted."""
