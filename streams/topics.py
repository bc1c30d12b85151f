"""The topics, their settings and who owns which: declared here, applied by `undertone topics apply`."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

MINUTE_MS = 60_000
DAY_MS = 24 * 60 * MINUTE_MS
KIB = 1024


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it should be on the broker; `config` holds Kafka's own names and values."""

    name: str
    config: Mapping[str, str]


def _topic(name: str, *, retention_ms: int, **config: str) -> Topic:
    # Stored uncompressed, so that the broker holds sizes against max.message.bytes as a consumer will see them.
    settings = {"cleanup.policy": "delete", "compression.type": "uncompressed", "retention.ms": str(retention_ms)}
    settings |= {key.replace("_", "."): value for key, value in config.items()}
    return Topic(name, settings)


_AUDIO = {"segment_ms": str(5 * MINUTE_MS)}

CALLS = _topic(
    "calls.v1",
    retention_ms=60 * MINUTE_MS,
    max_message_bytes=str(512 * KIB),
    message_timestamp_type="LogAppendTime",
    **_AUDIO,
)
WINDOWS = _topic("windows.v1", retention_ms=60 * MINUTE_MS, max_message_bytes=str(1024 * KIB), **_AUDIO)
#: Kafka's own segment.ms is a week: on a quiet partition a record would live twice its 7 days.
_PSEUDONYMOUS = {"segment_ms": str(60 * MINUTE_MS)}
LABELS = _topic("labels.v1", retention_ms=7 * DAY_MS, **_PSEUDONYMOUS)
ESCALATIONS = _topic("escalations.v1", retention_ms=7 * DAY_MS, **_PSEUDONYMOUS)
DEADLETTERS = _topic("deadletters.v1", retention_ms=30 * DAY_MS, segment_ms=str(DAY_MS))

TOPICS = (CALLS, WINDOWS, LABELS, ESCALATIONS, DEADLETTERS)

CHECK_INTERVAL_MS = 5 * MINUTE_MS  #: log.retention.check.interval.ms as Kafka has it where nobody set it
_KAFKAS_OWN = {"segment.ms": str(7 * DAY_MS), "file.delete.delay.ms": str(MINUTE_MS)}


def life(config: Mapping[str, str], check_interval_ms: int = CHECK_INTERVAL_MS) -> timedelta | None:
    """How long a record can live on a broker: its segment fills, expires, is noticed and unlinked; None: for ever."""
    of_topic = {**_KAFKAS_OWN, **config}
    if int(of_topic["retention.ms"]) < 0:
        return None
    names = ("retention.ms", "segment.ms", "file.delete.delay.ms")
    return timedelta(milliseconds=check_interval_ms + sum(int(of_topic[name]) for name in names))
