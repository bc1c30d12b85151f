"""A feature's vectors of a corpus's segments, kept on disk so that each is computed once.

One folder for each feature and version, a row for each window. A row's key is a hash of content: the recording's bytes,
which part and channel of it, the band, the rate, and which training copy it is of it if it is one. A cache holds no
audio, no transcript, no name and no path. Vectors of a voice are personal data all the same: a mark of each
conversation stands beside them, by which `undertone erase` names the folders to delete; they are made again.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from services.emotion.abstention import Band
from services.emotion.features.feature import Array, Feature, FeatureError
from services.training.audio import fingerprint, heard, place
from services.training.corpora.corpus import Segment
from services.training.errors import CorpusError
from services.training.marks import note
from services.training.store import (
    Rows,
    Store,
    StoreError,
    alone,
    append,
    check_room,
    megabytes,
    read,
    read_keys,
    stretch,
)

#: announces (what, how many steps) and returns what to call after each step
Progress = Callable[[str, int], Callable[[], None]]

HEARD = "1"  #: a change of what `audio.heard` gives for the same recording is a new number
BATCH = 32  #: windows that are described, and written, at a time


@dataclass(frozen=True, slots=True)
class Heard:
    """Segments of the recordings below a folder, in one band: as they are, or a training copy of each."""

    recordings: Path
    segments: Sequence[Segment]
    band: Band
    copy: str = ""  #: which, as `copies.altered` calls it


def vectors(
    cache: Path,
    feature: Feature,
    windows: Heard,
    progress: Progress = lambda _what, _steps: lambda: None,
    *,
    half: bool = False,
) -> Rows:
    """(n, layers, values) of the windows in their order, memory-mapped: nothing is loaded before it is asked for.

    What is to be computed, and the room that it takes, is announced before anything is written; a run that was stopped
    goes on where it was. `half` keeps float16: three digits in half the room, for the hidden states of every layer.
    CorpusError has a line for each window of a batch that cannot be described; StoreError says where there is no room.
    """
    store = _open(cache, feature, np.dtype(np.float16 if half else np.float32))
    wanted = _keys(feature, windows)
    with alone(store):
        note(store.folder, {segment.conversation or segment.speaker for segment in windows.segments})
        start, there = stretch(read_keys(store), wanted)
        if there < len(wanted):
            _fill(store, feature, windows, wanted[there:], progress)
    return read(store, start, len(wanted))


def _open(cache: Path, feature: Feature, dtype: np.dtype[np.floating]) -> Store:
    about = {name: getattr(feature, name) for name in ("name", "version", "layers", "values")} | {"dtype": dtype.name}
    content = json.dumps(about, indent=1)
    folder = cache / f"{feature.name}-{sha256(content.encode()).hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    (folder / "about.json").write_text(content + "\n")
    return Store(folder, (feature.layers, feature.values), dtype)


def _keys(feature: Feature, windows: Heard) -> list[bytes]:
    names = sorted({segment.recording for segment in windows.segments})
    recordings = {name: fingerprint(windows.recordings / name) for name in names}
    how = f"{windows.band} {feature.rate} {HEARD} {windows.copy}".rstrip()
    return [
        sha256(f"{recordings[at.recording]} {at.channel} {at.start_ms} {at.end_ms} {how}".encode()).digest()
        for at in windows.segments
    ]


def _fill(store: Store, feature: Feature, windows: Heard, wanted: Sequence[bytes], progress: Progress) -> None:
    """Append the rows of the last windows, as many as keys are wanted; a row that stands elsewhere is copied."""
    segments = windows.segments[len(windows.segments) - len(wanted) :]
    known = {key: at for at, key in enumerate(read_keys(store))}
    size = len(wanted) * store.row_bytes
    check_room(store, size)
    what = " ".join(filter(None, (f"{windows.band} band", windows.copy)))
    tick = progress(f"{feature.name}, {what}, {megabytes(size)}", len(wanted))
    for start in range(0, len(wanted), BATCH):
        keys = wanted[start : start + BATCH]
        new = [at for at, key in enumerate(keys) if key not in known]
        rows = np.empty((len(keys), *store.shape), store.dtype)
        rows[new] = _described(store, feature, windows, [segments[start + at] for at in new])
        for at in set(range(len(keys))) - set(new):
            rows[at] = read(store, known[keys[at]], 1)[0]
        append(store, keys, rows)
        for _ in keys:
            tick()


def _described(store: Store, feature: Feature, windows: Heard, segments: Sequence[Segment]) -> Rows:
    """(n, layers, values) in the store's type, all finite. CorpusError with a line for each window without any."""
    if not segments:
        return np.empty((0, *store.shape), store.dtype)
    found = _vectors(feature, windows, segments)
    wrong = [segment for segment, rows in zip(segments, found, strict=True) if not np.isfinite(rows).all()]
    if wrong:
        lines = (f"{place(windows.recordings, at)}: {feature.name} gives values that are no numbers" for at in wrong)
        raise CorpusError("\n".join(lines))
    if store.dtype == np.float16 and np.abs(found).max() > np.finfo(np.float16).max:
        raise StoreError(f"{store.folder}: {feature.name} has values beyond 65,504, which no half holds; keep it whole")
    return found.astype(store.dtype)


def _vectors(feature: Feature, windows: Heard, segments: Sequence[Segment]) -> Array:
    try:
        samples = [heard(windows.recordings, at, feature.rate, windows.band, windows.copy) for at in segments]
        return feature.vectors(samples)
    except (CorpusError, FeatureError) as error:
        if len(segments) == 1:
            where = "" if isinstance(error, CorpusError) else f"{place(windows.recordings, segments[0])}: "
            raise CorpusError(f"{where}{error}") from error
    return _one_by_one(feature, windows, segments)


def _one_by_one(feature: Feature, windows: Heard, segments: Sequence[Segment]) -> Array:
    """The same where a window of them cannot be described: every one that cannot is named."""
    rows, problems = [], []
    for segment in segments:
        try:
            rows.append(_vectors(feature, windows, [segment]))
        except CorpusError as error:
            problems.append(str(error))
    if problems:
        raise CorpusError("\n".join(problems))
    return np.concatenate(rows)
