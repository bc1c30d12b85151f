"""What a worker must be told; read once, from `UNDERTONE_*` environment variables, by the composition root."""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, ClassVar, Self

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

#: What others read that may share an environment: the inference service, the command line, tests and benches.
OF_OTHERS = tuple(
    f"UNDERTONE_{name}"
    for name in (
        *("INFERENCE_*", "CACHE", "FOLDER", "FROZEN_S", "LONG", "MODEL_STEPS", "PYANNOTE", "REQUIRE_ALL", "ROUNDS"),
        *("SEED", "VBX"),
    )
)


_COLLECTOR = re.compile(r"https?://[^\s@]+")


class SettingsError(ValueError):
    """Settings cannot be used. Names each variable and what it must be, never what it is: it may be a secret."""


class FromEnvironment(BaseModel):
    """A frozen set of settings, an environment variable each; unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, use_attribute_docstrings=True)
    prefix: ClassVar[str]
    passed_over: ClassVar[tuple[str, ...]] = ()  #: patterns of names that begin alike and that others read
    secrets: ClassVar[tuple[str, ...]] = ()  #: fields that `NAME_FILE` may name a file for, out of the environment

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Self:
        """The settings that these variables name. Raises SettingsError."""
        given = {
            name.removeprefix(cls.prefix).lower(): value
            for name, value in environ.items()
            if name.startswith(cls.prefix) and not any(fnmatchcase(name, pattern) for pattern in cls.passed_over)
        }
        try:
            return cls.model_validate(given | cls._from_files(given))
        except ValidationError as error:
            raise SettingsError("; ".join(map(cls._fault, error.errors(include_input=False)))) from None

    @classmethod
    def _from_files(cls, given: dict[str, str]) -> dict[str, str]:
        """The secrets that `given` names files for, which it no longer does then."""
        files = {name: path for name in cls.secrets if (path := given.pop(f"{name}_file", None)) is not None}
        return {name: cls._secret(name, path, given) for name, path in files.items()}

    @classmethod
    def _secret(cls, name: str, path: str, given: Mapping[str, str]) -> str:
        variable = f"{cls.prefix}{name.upper()}"
        if name in given:
            raise SettingsError(f"{variable} and {variable}_FILE are both set; unset one of them")
        try:
            return Path(path).read_text(encoding="utf-8").rstrip("\n")
        except (OSError, UnicodeDecodeError) as error:
            said = error.strerror if isinstance(error, OSError) else "not UTF-8"
            raise SettingsError(f"{variable}_FILE: {path}: {said}; name a file that holds the secret") from None

    @classmethod
    def _fault(cls, error: Any) -> str:  # noqa: ANN401 - pydantic's own dictionary
        field = "_".join(map(str, error["loc"])) or "*"
        name = f"{cls.prefix}{field.upper()}"
        if error["type"] != "extra_forbidden":
            return f"{name}: {error['msg'].removeprefix('Value error, ').replace('Input should be', 'must be')}"
        near = [f", or write {cls.prefix}{each.upper()}" for each in get_close_matches(field, cls.model_fields, n=1)]
        return f"{name}: nothing reads it; unset it{''.join(near)}"


class Settings(FromEnvironment):
    """One set for every stream process and command."""

    prefix = "UNDERTONE_"
    passed_over = OF_OTHERS
    secrets = ("kafka_password", "postgres")

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
    """SASL password; or UNDERTONE_KAFKA_PASSWORD_FILE, a file that holds it."""
    postgres: SecretStr = SecretStr("postgresql://localhost:5432/undertone")
    """PostgreSQL address, as libpq takes it; or UNDERTONE_POSTGRES_FILE, a file that holds it."""
    inference: str = "http://localhost:8000"
    """Address of the inference service."""
    epochs: Path = Path("epochs.json")
    """File of pseudonym key epochs: a list of {id, key (base64), not_before}."""
    use_cases: Path | None = None
    """Folder of use-case YAML files; the built-in `demo` alone where it is not given."""
    speaker_embedding: str | None = None
    """Network of pyannote.audio 4 that compares voices on one channel: a folder, or OWNER/NAME@COMMIT of the hub."""
    speaker_space: Path | None = None
    """Space estimated for it by `ops/experiments/speaker_space.py`; the file beside its weights where not given."""
    segmentation: str | None = None
    """Network of pyannote.audio 4 that hears overlap and changes of speaker on one channel: as `speaker_embedding`."""
    bundles: Path | None = None
    """Folder of all bundles that were trained here: `undertone erase` names those that a call must be taken out of."""
    vectors: Path | None = None
    """Folder below which caches of features' vectors lie: `undertone erase` names those that hold a call."""
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
    traces: str | None = None
    """Address of an OpenTelemetry collector (OTLP over HTTP) that spans are sent to, such as http://localhost:4318; no
    traces where it is not given. Needs the extra `traces`."""
    traces_ratio: float = Field(default=0.01, ge=0, le=1)
    """Share of the traces that begin here and are kept; a publisher that sends `traceparent` decides for its own."""
    retention_days: int = Field(default=30, ge=8)
    """Days that a call's row, labels and escalations stay; 8 at least: escalations.v1 holds an escalation for seven,
    and what PostgreSQL has forgotten is not retracted."""

    @field_validator("traces")
    @classmethod
    def _is_of_a_collector(cls, given: str | None) -> str | None:
        if given is not None and not _COLLECTOR.fullmatch(given):
            raise ValueError("must be an address, http://HOST:PORT or https://HOST:PORT, with no password in it")
        return given

    @field_validator("postgres")
    @classmethod
    def _is_an_address(cls, given: SecretStr) -> SecretStr:
        try:
            conninfo_to_dict(given.get_secret_value())
        except ProgrammingError:  # its own words quote the address, password included
            raise ValueError("must be an address, postgresql://USER:PASSWORD@HOST:PORT/DATABASE") from None
        return given
