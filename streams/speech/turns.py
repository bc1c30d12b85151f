"""Who is heard when on one channel, whoever told it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SpeakerTurn:
    """Time in which one speaker is heard. Speakers are numbered in the order in which they begin."""

    speaker: int
    start_ms: int
    end_ms: int
