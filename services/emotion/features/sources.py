"""Where a model's files come from: a folder or file of this machine, or a hub id with the commit that is meant.

Weights are `safetensors` or ONNX: formats that hold numbers and no code. Nothing is fetched unless a person names a
hub id, and then only what is not here yet.
"""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path

from services.emotion.features.feature import FeatureError

#: Every file that transformers may read of a model; whatever else a folder holds is neither fetched nor read.
PRETRAINED = (
    "config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "normalizer.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "model.safetensors",
    "model.safetensors.index.json",
    "model-*-of-*.safetensors",
)
ONNX = ("*.onnx",)

_COMMIT = re.compile(r"[0-9a-f]{40}")
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.h5", "*.msgpack")

#: Fetches (hub id, commit, patterns) and returns the folder.
Fetch = Callable[[str, str, Sequence[str]], Path]


@dataclass(frozen=True, slots=True)
class Model:
    """Which model a feature is computed with."""

    source: str  #: a folder, an ONNX file, or with `revision` the id of a model on the hub
    revision: str = ""  #: the hub's commit, 40 hexadecimal digits; never a branch or a tag, which move
    sha256: str = ""  #: what `Files.sha256` must be; "" takes the files as they are


@dataclass(frozen=True, slots=True)
class Files:
    """A model's files on this machine."""

    folder: Path
    names: tuple[str, ...]
    sha256: str  #: of the file where it is one, else of the lines "<sha256 of the file>  <name>\\n", sorted by name


def pretrained(model: Model, fetch: Fetch | None = None) -> Files:
    """The files of a model in transformers' format. FeatureError where they are not safe, whole or as promised."""
    files = _located(model, PRETRAINED, _incomplete, fetch or from_hub)
    for name in files.names:
        if name.endswith(".json") and "auto_map" in read_json(files.folder / name):
            raise FeatureError(
                f"{files.folder / name}: auto_map asks for code from the hub, which is never run; remove it"
            )
    return files


def onnx(model: Model, fetch: Fetch | None = None) -> Files:
    """The one ONNX file of a model. FeatureError where there is none, or several."""
    return _located(model, ONNX, _not_one_file, fetch or from_hub)


def read_json(path: Path) -> dict[str, object]:
    """The object in a JSON file. FeatureError where there is none."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise FeatureError(f"{path}: cannot be read as JSON ({error}); copy or fetch the model again") from error
    if not isinstance(found, dict):
        raise FeatureError(f"{path}: holds no JSON object; copy or fetch the model again")
    return found


def from_hub(source: str, revision: str, patterns: Sequence[str]) -> Path:
    """The hub's files of one commit. FeatureError where they cannot be had."""
    try:
        from huggingface_hub import snapshot_download  # noqa: PLC0415 - needs the models extra, folders do not
    except ModuleNotFoundError as error:
        raise FeatureError(f"{source}: fetching it needs pip install 'undertone[models]'") from error
    try:
        return Path(snapshot_download(source, revision=revision, allow_patterns=list(patterns)))
    except (OSError, ValueError) as error:  # a ValueError is an id that the hub does not allow
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise FeatureError(f"{source} at {revision}: cannot be fetched from the hub ({reason})") from error


def _located(
    model: Model, patterns: Sequence[str], lacking: Callable[[Path, Sequence[str]], str], fetch: Fetch
) -> Files:
    folder, patterns = _folder(model, patterns, lacking, fetch)
    names = _names(folder, patterns)
    if problem := lacking(folder, names):
        raise FeatureError(problem)
    files = Files(folder, tuple(names), checksum(folder, names))
    if model.sha256 and model.sha256 != files.sha256:
        raise FeatureError(f"{model.source}: its files have sha256 {files.sha256}, not the {model.sha256} asked for")
    return files


def _folder(
    model: Model, patterns: Sequence[str], lacking: Callable[[Path, Sequence[str]], str], fetch: Fetch
) -> tuple[Path, Sequence[str]]:
    """The folder, and the patterns of what is read in it."""
    if model.revision:
        return _hub_folder(model, patterns, lacking, fetch), patterns
    path = Path(model.source)
    if path.is_file():
        return path.parent, (path.name,)
    if not path.is_dir():
        raise FeatureError(f"{path}: no such folder or file; a hub id needs the commit that is meant as its revision")
    return path, patterns


def _hub_folder(
    model: Model, patterns: Sequence[str], lacking: Callable[[Path, Sequence[str]], str], fetch: Fetch
) -> Path:
    if not _COMMIT.fullmatch(model.revision):
        raise FeatureError(f"{model.source}: revision {model.revision!r} may move; name the commit's 40 hex digits")
    here = _cached(model)
    if here is not None and not lacking(here, _names(here, patterns)):
        return here
    return fetch(model.source, model.revision, patterns)


def _cached(model: Model) -> Path | None:
    """Where this commit lies if it was fetched before: asked of the disk alone."""
    try:
        from huggingface_hub import snapshot_download  # noqa: PLC0415 - as above

        return Path(snapshot_download(model.source, revision=model.revision, local_files_only=True))
    except (ModuleNotFoundError, OSError, ValueError):
        return None


def _names(folder: Path, patterns: Iterable[str]) -> list[str]:
    return sorted({path.name for pattern in patterns for path in folder.glob(pattern) if path.is_file()})


def checksum(folder: Path, names: Sequence[str]) -> str:
    """See `Files.sha256`."""
    digests = {}
    for name in sorted(names):
        with (folder / name).open("rb") as file:
            digests[name] = file_digest(file, "sha256").hexdigest()
    if len(digests) == 1:
        return next(iter(digests.values()))
    return sha256("".join(f"{digest}  {name}\n" for name, digest in digests.items()).encode()).hexdigest()


def _incomplete(folder: Path, names: Sequence[str]) -> str:
    """What keeps transformers from loading the folder; "" where nothing does."""
    if "config.json" not in names:
        return f"{folder}: no config.json; name the folder of a model in transformers' format"
    shards = [name for name in names if name.endswith(".safetensors")]
    if not shards:
        found = ", ".join(_names(folder, _PICKLES))
        beside = f" but {found}, which can hold code and is not read" if found else ""
        return f"{folder}: no model.safetensors{beside}; save the model with save_pretrained of a recent transformers"
    missing = _promised(folder, names) - set(shards)
    return f"{folder}: {', '.join(sorted(missing))} missing; copy or fetch the model again" if missing else ""


def _promised(folder: Path, names: Sequence[str]) -> set[str]:
    """The files that the index of a model in several files names."""
    index = "model.safetensors.index.json"
    if index not in names or "model.safetensors" in names:
        return set()
    weights = read_json(folder / index).get("weight_map")
    if not isinstance(weights, dict):
        raise FeatureError(f"{folder / index}: has no weight_map; copy or fetch the model again")
    return {str(name) for name in weights.values()}


def _not_one_file(folder: Path, names: Sequence[str]) -> str:
    if len(names) == 1:
        return ""
    return f"{folder}: {len(names)} ONNX files{': ' if names else ''}{', '.join(names)}; name the one that is meant"
