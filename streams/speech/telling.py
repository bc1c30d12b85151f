"""What tells speakers apart on one channel: the default, which needs nothing, or networks that a person gives."""

from dataclasses import dataclass
from pathlib import Path

from streams.domain.pieces import PAUSE_MS
from streams.speech.embedding import open_voiceprints
from streams.speech.segmentation import NetworkSegmentation, Segmentation
from streams.speech.voices import Cepstra, Voiceprints


@dataclass(frozen=True, slots=True)
class Telling:
    """How voices are compared, and what hears who speaks when; None: each piece is taken for one speaker's."""

    voiceprints: Voiceprints
    segmentation: Segmentation | None = None

    @property
    def reach_ms(self) -> int:
        """How much audio before the newest is needed: of the window that ends where a piece did, a pause ago."""
        return 0 if self.segmentation is None else self.segmentation.window_ms + PAUSE_MS


def open_telling(embedding: str | None = None, space: Path | None = None, segmentation: str | None = None) -> Telling:
    """The networks that these name, the default's cepstra where no embedding is named. Raises ModelError."""
    voiceprints = Cepstra() if embedding is None else open_voiceprints(embedding, space)
    return Telling(voiceprints, None if segmentation is None else NetworkSegmentation(segmentation))
