"""What became of the calls: the figures of `demo.json`, and whether every millisecond is accounted for."""

import platform
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from typing import Any

from rich.box import SIMPLE
from rich.table import Table

from services.standalone.demo.board import Row
from services.standalone.demo.stored import Fates, Stored
from services.wording import clock
from streams.domain.records import Outcome
from streams.domain.windows import Fate


@dataclass(frozen=True, slots=True)
class CallReport:
    """One call: what was published of it, and what came of that."""

    name: str
    channels: tuple[str, ...]
    published_ms: int  #: a channel
    chunks: int
    windows: int
    outcomes: Mapping[str, int]  #: of its label rows
    escalations: tuple[Mapping[str, object], ...]
    fates: Fates

    @property
    def labels(self) -> int:
        """Label rows, of whatever outcome."""
        return sum(self.outcomes.values())


@dataclass(frozen=True, slots=True)
class Report:
    """The whole demo."""

    calls: tuple[CallReport, ...]
    dead_letters: int
    seconds: float  #: from the first chunk to the last effect
    restarts: Mapping[str, int]
    versions: Mapping[str, str]

    @property
    def audio_seconds(self) -> float:
        """Length of all calls together."""
        return sum(call.published_ms for call in self.calls) / 1000


def call_report(row: Row, call: str, stored: Stored, *, published_ms: int) -> CallReport:
    """The figures of one call, once it is over."""
    return CallReport(
        name=row.name,
        channels=tuple(str(role) for role in row.roles),
        published_ms=published_ms,
        chunks=len(row.voices),
        windows=len(row.windows),
        outcomes=stored.outcomes.get(call, {}),
        escalations=tuple(
            {"rule": each.rule, "severity": str(each.severity), "from_ms": each.from_ms, "to_ms": each.to_ms}
            for each in row.escalations.values()
        ),
        fates=stored.fates.get(call, {}),
    )


def versions(stored: Stored, kafka: str) -> dict[str, str]:
    """What ran."""
    return {
        "undertone": version("undertone"),
        "python": platform.python_version(),
        "kafka": kafka,
        "postgres": stored.version,
        "faust-streaming": version("faust-streaming"),
        "aiokafka": version("aiokafka"),
        "bundle": " ".join(stored.bundles),
    }


def seconds_between(first_chunk_at: datetime, stored: Stored) -> float:
    """From the first chunk to the last effect."""
    last = stored.last_effect_at or first_chunk_at
    return max(0.0, (last - first_chunk_at).total_seconds())


def faults(report: Report) -> Iterator[str]:
    """Every channel whose fates do not sum to what was published of it."""
    for call in report.calls:
        for number, role in enumerate(call.channels):
            channel = f"{number} {role}"
            told = sum(call.fates.get(channel, {}).values())
            if told != call.published_ms:
                yield f"{call.name}, channel {channel}: fates tell of {told} ms, {call.published_ms} ms were published"


def document(report: Report) -> dict[str, Any]:
    """As it is written to `demo.json`."""
    calls = report.calls
    return {
        "calls": len(calls),
        "chunks": sum(call.chunks for call in calls),
        "windows": sum(call.windows for call in calls),
        "labels": sum(call.labels for call in calls),
        "abstained": _outcome(calls, Outcome.ABSTAINED),
        "failed": _outcome(calls, Outcome.FAILED),
        "escalations": sum(len(call.escalations) for call in calls),
        "dead_letters": report.dead_letters,
        "fates_sum_up": not list(faults(report)),
        "audio_seconds": report.audio_seconds,
        "seconds_from_first_chunk_to_last_effect": round(report.seconds, 3),
        "times_real_time": _speed(report),
        "restarts": dict(report.restarts),
        "versions": dict(report.versions),
        "fates_ms": _together(calls),
        "by_call": [
            {
                "name": call.name,
                "channels": list(call.channels),
                "published_ms": call.published_ms,
                "chunks": call.chunks,
                "windows": call.windows,
                "labels": dict(call.outcomes),
                "escalations": list(call.escalations),
                "fates_ms": {channel: dict(fates) for channel, fates in call.fates.items()},
            }
            for call in calls
        ],
    }


def tables(report: Report) -> Iterator[Table]:
    """A row a call, then a row a channel: what became of its milliseconds."""
    calls = Table("call", "length", "windows", "labelled", "abstained", "failed", "escalations", box=SIMPLE)
    channels = Table("call", "channel", "what became of it", box=SIMPLE)
    for call in report.calls:
        figures = (call.windows, *(call.outcomes.get(outcome, 0) for outcome in Outcome), len(call.escalations))
        calls.add_row(call.name, clock(call.published_ms), *map(str, figures))
        for number, role in enumerate(call.channels):
            fates = call.fates.get(f"{number} {role}", {})
            channels.add_row("" if number else call.name, f"{number + 1} {role}", shares(fates))
    yield calls
    yield channels


def shares(fates: Mapping[str, int]) -> str:
    """Fates from the largest share to the smallest: "window 41.2 s, silence 10.0 s"."""
    ordered = sorted(((ms, name) for name, ms in fates.items() if ms), reverse=True)
    return ", ".join(f"{Fate(name).value.replace('_', ' ')} {ms / 1000:.1f} s" for ms, name in ordered)


def summary(report: Report) -> str:
    """The figures that are no call's own."""
    audio, restarts = report.audio_seconds, sum(report.restarts.values())
    return (
        f"{audio:.1f} s of calls, {report.seconds:.1f} s from the first chunk to the last effect "
        f"({_speed(report):.1f} times real time); dead letters: {report.dead_letters}; restarts: {restarts}."
    )


def _together(calls: Sequence[CallReport]) -> dict[str, dict[str, int]]:
    """Role -> fate -> ms, over all calls."""
    sums: dict[str, Counter[str]] = {}
    for call in calls:
        for channel, fates in call.fates.items():
            sums.setdefault(channel.partition(" ")[2], Counter()).update(fates)
    return {role: dict(fates) for role, fates in sums.items()}


def _speed(report: Report) -> float:
    return round(report.audio_seconds / report.seconds, 2) if report.seconds else 0.0


def _outcome(calls: Sequence[CallReport], outcome: Outcome) -> int:
    return sum(call.outcomes.get(outcome, 0) for call in calls)
