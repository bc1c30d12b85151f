"""Networks in transformers' format, loaded from this machine's disk and nowhere else, in float32 and for use alone."""

from collections.abc import Iterable
from typing import TypeVar

import torch
from safetensors import SafetensorError, safe_open
from transformers import PreTrainedModel
from transformers.utils import logging

from services.emotion.features.feature import FeatureError
from services.emotion.features.sources import Files, read_json

Network = TypeVar("Network", bound=PreTrainedModel)
Part = TypeVar("Part")

#: Weights that a network may lack or have in excess, as nothing that is computed here depends on them.
_UNUSED = ("masked_spec_embed", "pooler.", "position_ids", "proj_out.weight")
_VOCABULARIES = {"tokenizer.json", "vocab.json", "vocab.txt"}
_NAMED = 5  #: weights that a message names


def load(kind: type[Network], files: Files, device: str) -> Network:
    """The network of this kind, in evaluation mode. FeatureError where config, weights and kind do not fit."""
    wanted, found = kind.config_class.model_type, read_json(files.folder / "config.json").get("model_type")
    if found != wanted:
        raise FeatureError(f"{files.folder / 'config.json'}: holds a {found}, not a {wanted}; name another model")
    network, report = _loaded(kind, files)
    if problems := _disagreements(report, kind.base_model_prefix, _stored(files)):
        raise FeatureError(f"{files.folder}: config and weights disagree: {'; '.join(problems)}")
    return network.to(checked(device)).eval()  # type: ignore[no-any-return]  # transformers is not typed


def part(kind: type[Part], files: Files) -> Part:
    """A network's tokenizer or feature extractor. FeatureError where its files are not right."""
    try:
        return kind.from_pretrained(files.folder, local_files_only=True)  # type: ignore[attr-defined,no-any-return]  # not typed
    except Exception as error:  # files can be wrong in any way
        raise _unusable(files, kind.__name__, error) from error


def tokenizer(kind: type[Part], files: Files, network: PreTrainedModel) -> Part:
    """A network's tokenizer. FeatureError where it has no words, or more than the network."""
    if not _VOCABULARIES & set(files.names):  # transformers would make one without words
        raise FeatureError(f"{files.folder}: no {' or '.join(sorted(_VOCABULARIES))}; copy or fetch the model again")
    found = part(kind, files)
    words, known = len(found), network.config.vocab_size  # type: ignore[arg-type]  # not typed
    if words > known:
        raise FeatureError(f"{files.folder}: a tokenizer of {words} words for a network of {known}; name another model")
    return found


def checked(device: str) -> torch.device:
    """The device of this name. FeatureError where torch cannot use it."""
    try:
        found = torch.device(device)
        torch.zeros(1, device=found)
    except (RuntimeError, AssertionError) as error:  # an AssertionError is a torch that was built without CUDA
        raise FeatureError(f"device {device!r}: torch cannot use it here; choose cpu") from error
    return found


def _loaded(kind: type[Network], files: Files) -> tuple[Network, dict[str, Iterable[object]]]:
    logging.set_verbosity_error()  # its report is this module's messages
    logging.disable_progress_bar()
    try:
        found: tuple[Network, dict[str, Iterable[object]]] = kind.from_pretrained(
            files.folder,
            local_files_only=True,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
    except Exception as error:  # a config can be wrong in any way
        raise _unusable(files, kind.__name__, error) from error
    return found


def _unusable(files: Files, what: str, error: Exception) -> FeatureError:
    reason = f"{type(error).__name__}: {error}".splitlines()[0]
    return FeatureError(f"{files.folder}: {what} cannot be loaded ({reason}); copy or fetch the model again")


def _stored(files: Files) -> set[str]:
    names: set[str] = set()
    for name in files.names:
        if name.endswith(".safetensors"):
            try:
                with safe_open(files.folder / name, "pt") as weights:
                    names |= set(weights.keys())
            except SafetensorError as error:
                raise FeatureError(f"{files.folder / name}: damaged ({error}); copy or fetch it again") from error
    return names


def _disagreements(report: dict[str, Iterable[object]], prefix: str, stored: set[str]) -> list[str]:
    """What is wrong, kind by kind. Weights of a head on top of the network (outside its prefix) do not count."""
    whole = any(name.startswith(f"{prefix}.") for name in stored)
    inside = [name for name in map(str, report["unexpected_keys"]) if not whole or name.startswith(f"{prefix}.")]
    kinds = {
        "missing": [str(name) for name in report["missing_keys"]],
        "not asked for": inside,
        "of another shape": [str(name[0]) for name in report["mismatched_keys"] if isinstance(name, tuple)],
    }
    kept = {kind: [name for name in names if not _is_unused(name)] for kind, names in kinds.items()}
    return [f"{kind}: {_named(sorted(names))}" for kind, names in kept.items() if names]


def _is_unused(name: str) -> bool:
    return any(part in name for part in _UNUSED)


def _named(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
