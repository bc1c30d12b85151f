"""Whether everything that was published has had its every effect."""

from collections.abc import Mapping
from dataclasses import dataclass

from services.standalone.demo.board import Board


@dataclass(frozen=True, slots=True)
class Settled:
    """What the board does not say."""

    published: bool
    behind: Mapping[str, int]  #: stage -> records that it has not committed
    unsent: int  #: outbox rows
    escalations: int  #: rows


def missing(board: Board, settled: Settled) -> list[str]:
    """What is still to come, in words; nothing where all is done."""
    lacking = [] if settled.published else ["audio to be published"]
    lacking += [f"the end of {row.name}" for row in board.values() if not row.over]
    lacking += [
        f"label rows of {row.name} ({row.rows} of {len(row.windows)} windows)"
        for row in board.values()
        if row.rows != len(row.windows) or row.rows != len(row.labels)
    ]
    lacking += [f"{count} records not taken in by {stage}" for stage, count in settled.behind.items() if count]
    seen = sum(len(row.escalations) for row in board.values())
    if settled.unsent or seen != settled.escalations:
        lacking.append(f"escalations to be sent ({seen} of {settled.escalations} seen, {settled.unsent} in the outbox)")
    return lacking
