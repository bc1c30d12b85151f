"""Tiny models, saved in the files' real format: config.json, model.safetensors, preprocessor_config.json."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertTokenizer,
    GenerationConfig,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForPreTraining,
    WavLMConfig,
    WavLMModel,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperTokenizer,
)

TINY = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": (8, 8),
    "conv_stride": (10, 4),
    "conv_kernel": (20, 8),
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
    "num_codevectors_per_group": 4,
    "codevector_dim": 8,
    "proj_codevector_dim": 8,
    "num_buckets": 8,
}


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)  # networks this small only wait for each other


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Path]:
    """Makes a model by name and saves it; wav2vec 2.0 as it is published, with its heads of pre-training on top."""

    def save(name: str, *, normalise: bool = True, **changes: object) -> Path:
        torch.manual_seed(0)
        settings = {**TINY, "do_stable_layer_norm": True, "feat_extract_norm": "layer", **changes}
        networks = {
            "wav2vec2": lambda: Wav2Vec2ForPreTraining(Wav2Vec2Config(**settings)),
            "wavlm": lambda: WavLMModel(WavLMConfig(**settings)),
        }
        folder = tmp_path / name
        networks[name]().save_pretrained(folder)
        Wav2Vec2FeatureExtractor(do_normalize=normalise).save_pretrained(folder)
        return folder

    return save


END, START = "<|endoftext|>", "<|startoftranscript|>"
LANGUAGES = ("<|en|>", "<|es|>")
SPECIAL = (START, *LANGUAGES, "<|translate|>", "<|transcribe|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>")


@pytest.fixture
def whisper(tmp_path: Path) -> Path:
    """A Whisper that knows every byte and two languages, and whose sentences are short."""
    torch.manual_seed(1)
    letters = {letter: at for at, letter in enumerate(sorted(ByteLevel.alphabet()))}
    ends = dict.fromkeys(("unk_token", "bos_token", "eos_token", "pad_token"), END)
    tokenizer = WhisperTokenizer(vocab=letters, merges=[], **ends, additional_special_tokens=list(SPECIAL))
    code = {token: tokenizer.convert_tokens_to_ids(token) for token in (END, *SPECIAL)}
    codes = {"bos_token_id": code[END], "eos_token_id": code[END], "pad_token_id": code[END]}
    network = WhisperForConditionalGeneration(
        WhisperConfig(
            vocab_size=len(tokenizer) + 8,  # timestamps
            d_model=16,
            encoder_layers=1,
            decoder_layers=1,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=16,
            decoder_ffn_dim=16,
            num_mel_bins=8,
            max_target_positions=40,
            init_std=0.5,
            suppress_tokens=None,
            begin_suppress_tokens=None,
            decoder_start_token_id=code[START],
            **codes,
        )
    )
    network.generation_config = GenerationConfig(
        decoder_start_token_id=code[START],
        is_multilingual=True,
        lang_to_id={language: code[language] for language in LANGUAGES},
        task_to_id={"transcribe": code["<|transcribe|>"], "translate": code["<|translate|>"]},
        no_timestamps_token_id=code["<|notimestamps|>"],
        **codes,
    )
    for each in (network, tokenizer, WhisperFeatureExtractor(feature_size=8)):
        each.save_pretrained(tmp_path / "whisper")
    return tmp_path / "whisper"


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    """A BERT that reads letters, with its head of pre-training on top, as it is published."""
    torch.manual_seed(2)
    folder = tmp_path / "bert"
    folder.mkdir()
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    (folder / "vocab.txt").write_text("\n".join(words))
    tokenizer = BertTokenizer(vocab=str(folder / "vocab.txt"))
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
        initializer_range=0.5,
    )
    for each in (BertForMaskedLM(config), tokenizer):
        each.save_pretrained(folder)
    return folder
