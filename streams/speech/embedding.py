"""A network of speaker embeddings of pyannote.audio in the place of the default's cepstra."""

from collections.abc import Sequence
from hashlib import file_digest, sha256
from pathlib import Path

import numpy as np

from streams.domain.pieces import PIECE_MS
from streams.speech import pyannote_models, speaker_space
from streams.speech.activity import Samples
from streams.speech.products import Floats
from streams.speech.pyannote_models import ModelError, Network
from streams.speech.resample import resample
from streams.speech.speaker_space import NAME, SpeakerSpace

_FULL_SCALE = np.float32(32768)


class Embedding:
    """The network's own vectors of pieces of speech. Raises ModelError where it is none of speaker embeddings."""

    def __init__(self, source: str) -> None:
        self.source, self.weights = source, pyannote_models.located(source)
        with self.weights.open("rb") as file:
            self.sha256 = file_digest(file, "sha256").hexdigest()
        model = pyannote_models.load(source, self.weights)
        if model.specifications.problem.name != "REPRESENTATION":
            raise ModelError(f"{source}: is no network of speaker embeddings; name one, such as WeSpeaker's ResNet34")
        self._rate = int(model.hparams.sample_rate)
        self._samples = PIECE_MS * self._rate // 1000
        self._network = Network(model, self._samples)

    def embed(self, rate: int, pieces: Sequence[Samples]) -> Floats:
        """Shape (pieces, values). A piece that is shorter than others is heard again until it is as long."""
        return self._network(np.stack([self._filled(rate, piece) for piece in pieces]))

    def _filled(self, rate: int, piece: Samples) -> Floats:
        scaled = piece[np.newaxis].astype(np.float32) / _FULL_SCALE
        return np.resize(resample(scaled, rate, self._rate)[0], self._samples)


class NetworkVoiceprints:
    """`Voiceprints` of a network: its vectors in the space that was estimated for it."""

    def __init__(self, embedding: Embedding, space: SpeakerSpace) -> None:
        self._embedding, self._space = embedding, space
        numbers = space.mean.tobytes() + space.weights.tobytes()
        self.space = sha256(embedding.sha256.encode() + numbers).hexdigest()[:16]

    def embed(self, rate: int, pieces: Sequence[Samples]) -> Floats:
        """Shape (pieces, dimensions): all pieces of all calls, a few at once."""
        return self._space.project(self._embedding.embed(rate, pieces))


def open_voiceprints(source: str, space: Path | None = None) -> NetworkVoiceprints:
    """The network that `source` names, with the space in the file of that name or beside the weights. ModelError."""
    embedding = Embedding(source)
    found = speaker_space.read(space or embedding.weights.with_name(NAME), embedding.sha256)
    values = embedding.embed(8000, [np.zeros(1, np.int16)]).shape[1]
    if len(found.mean) != values:
        raise ModelError(f"{source}: gives {values} values, its space takes {len(found.mean)}; estimate it again")
    return NetworkVoiceprints(embedding, found)
