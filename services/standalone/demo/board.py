"""What a watcher knows of the calls: a fold over what the topics, PostgreSQL and the player tell."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from streams.domain.records import Escalation, Label, Role, Window
from streams.speech.decode import Pcm

_AUDIBLE = 180.0  #: root mean square of 16-bit samples: about -45 dB of full scale
_LOUDER = 2.0  #: by this much the louder channel has the word (6 dB)


@dataclass(frozen=True, slots=True)
class Played:
    """The stream has been given a call's audio up to `at_ms`."""

    call: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Kept:
    """What PostgreSQL has of a call: how much of it is heard, its label rows, whether it is over."""

    call: str
    heard_ms: int
    rows: int
    over: bool


Event = Played | Kept | Window | Label | Escalation


@dataclass(frozen=True, slots=True)
class Row:
    """A call as it is shown. `voices` names who is the louder in each chunk; the player appends to it."""

    name: str
    roles: tuple[Role, ...]
    duration_ms: int
    chunk_ms: int
    voices: list[str] = field(default_factory=list, repr=False)
    played_ms: int = 0
    heard_ms: int = 0
    windows: frozenset[str] = frozenset()
    labels: Mapping[str, Label] = field(default_factory=dict)  #: by window, in the order they came
    escalations: Mapping[str, Escalation] = field(default_factory=dict)
    rows: int = 0  #: labels in PostgreSQL
    over: bool = False


Board = Mapping[str, Row]  #: pseudonym -> row


def step(board: Board, event: Event) -> Board:
    """Take in one event; what is no call of this board's is passed over."""
    row = board.get(event.call)
    return board if row is None else {**board, event.call: _row(row, event)}


def _row(row: Row, event: Event) -> Row:
    match event:
        case Played():
            return replace(row, played_ms=event.at_ms)
        case Kept():
            return replace(row, heard_ms=max(row.heard_ms, event.heard_ms), rows=event.rows, over=event.over)
        case Window():
            return replace(row, windows=row.windows | {event.id}, heard_ms=max(row.heard_ms, event.end_ms))
        case Label():
            return replace(row, labels={**row.labels, event.window_id: event})
        case Escalation():
            return replace(row, escalations={**row.escalations, event.id: event})


def timeline(row: Row) -> list[Label]:
    """The labels in the order of the call."""
    return sorted(row.labels.values(), key=lambda label: label.start_ms)


def place_ms(row: Row, *, live: bool) -> int:
    """The place in the call that is shown: where the player is when it plays live, else what the stream has heard."""
    return row.played_ms if live else row.heard_ms


def speaker(row: Row, at_ms: int) -> str:
    """Who speaks at this place; empty where nobody does or nothing was played there yet."""
    chunk = max(0, at_ms - 1) // row.chunk_ms
    return row.voices[chunk] if chunk < len(row.voices) else ""


def loudest(pcm: Pcm, roles: tuple[Role, ...]) -> str:
    """Who speaks in a chunk of shape (channels, samples), by loudness alone: a role, `both`, or nobody."""
    levels = np.sqrt(np.mean(np.square(pcm, dtype=np.float64), axis=1))  # shape (channels,)
    first = int(levels.argmax())
    if levels[first] < _AUDIBLE:
        return ""
    others = np.delete(levels, first)
    return "both" if np.any(others * _LOUDER > levels[first]) else str(roles[first])
