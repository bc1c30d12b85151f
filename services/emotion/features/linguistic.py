"""What was said: Whisper's transcript (Radford et al., ICML 2023) described by BETO (Canete et al., 2020), or any BERT.

A transcript lives in this module's memory while its window is described, and goes nowhere: into no cache, no log and
no error message.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from transformers import (
    BertModel,
    BertTokenizer,
    GenerationConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperTokenizer,
)

from services.emotion.features.feature import Array, FeatureError
from services.emotion.features.pretrained import load, part, tokenizer
from services.emotion.features.sources import Model, pretrained

VERSION = "1"  #: a change of what is computed with the same files is a new number
BATCH = 8  #: transcripts that BERT reads at once; Whisper hears windows one by one


class Linguistic:
    """Means of BERT's layers over a transcript's tokens, those of its beginning and end included."""

    name = "beto"

    def __init__(self, whisper: Model, bert: Model, device: str = "cpu", language: str = "") -> None:
        heard, read = pretrained(whisper), pretrained(bert)
        self.version = f"{VERSION} {heard.sha256} {read.sha256} {language}".rstrip()
        self.whisper = load(WhisperForConditionalGeneration, heard, device)
        self.bert = load(BertModel, read, device)
        self._extract = part(WhisperFeatureExtractor, heard)
        self._spell = tokenizer(WhisperTokenizer, heard, self.whisper)
        self._tokenise = tokenizer(BertTokenizer, read, self.bert)
        self._prompt = _prompt(self.whisper.generation_config, language)
        self.rate = int(self._extract.sampling_rate)
        self.layers = int(self.bert.config.num_hidden_layers) + 1
        self.values = int(self.bert.config.hidden_size)

    def vectors(self, windows: Sequence[Array]) -> Array:
        """(n, layers, values); a window in which nothing was understood has the vector of the empty text."""
        found = [self._described(windows[at : at + BATCH]) for at in range(0, len(windows), BATCH)]
        return np.concatenate(found) if found else np.empty((0, self.layers, self.values), np.float32)

    @torch.inference_mode()
    def _described(self, windows: Sequence[Array]) -> Array:
        longest = self.bert.config.max_position_embeddings
        transcripts = [self._transcript(window) for window in windows]
        tokens = self._tokenise(transcripts, padding=True, truncation=True, max_length=longest, return_tensors="pt")
        tokens = tokens.to(self.bert.device)
        hidden = self.bert(**tokens, output_hidden_states=True).hidden_states
        mask = tokens["attention_mask"][None, :, :, None]  # (1, n, tokens, 1)
        means = (torch.stack(hidden) * mask).sum(dim=2) / mask.sum(dim=2)  # (layers, n, values)
        found: Array = means.transpose(0, 1).cpu().numpy()
        return found

    def _transcript(self, window: Array) -> str:
        """What Whisper hears in a window, 30 s at a time: the likeliest token each time, so always the same."""
        pieces = [self._extract(piece, sampling_rate=self.rate).input_features[0] for piece in self._pieces(window)]
        tokens = self.whisper.generate(
            torch.tensor(np.stack(pieces), device=self.whisper.device),
            do_sample=False,
            num_beams=1,
            return_timestamps=False,
            max_new_tokens=self.whisper.config.max_target_positions // 2,  # as in Whisper's own decoder
            **self._prompt,
        )
        return " ".join(self._spell.batch_decode(tokens, skip_special_tokens=True))

    def _pieces(self, window: Array) -> Iterator[Array]:
        size = int(self._extract.n_samples)
        yield from (window[at : at + size] for at in range(0, len(window), size))


def _prompt(config: GenerationConfig, language: str) -> dict[str, str]:
    """What Whisper is told of a window: to transcribe, and its language where that is known and it has several."""
    languages = getattr(config, "lang_to_id", None) or {}
    if language and f"<|{language}|>" not in languages:
        raise FeatureError(
            f"language {language!r}: this Whisper model was not made for it; leave it out, or name es, de..."
        )
    if not getattr(config, "is_multilingual", bool(languages)):
        return {}
    return {"task": "transcribe"} | ({"language": language} if language else {})
