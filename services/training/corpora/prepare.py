"""From calls to what annotators work on: the customer's voice under a pseudonym, and TextGrids with its windows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import soundfile
from praatio.utilities.constants import INTERVAL_TIER
from praatio.utilities.textgrid_io import getTextgridAsStr

from services.calls import RolesError
from services.recordings import Recording, RecordingError, chunks, open_recording
from services.timeline import check_roles, spoken
from services.training.corpora.corpus import DIMENSIONS, Cut
from services.training.corpora.menu import Menu
from services.training.corpora.tables import check_new, new_folder, refuse, write_table
from services.training.corpora.textgrids import GRID, PEOPLE, PEOPLE_COLUMNS, PLAN, Plan
from services.training.errors import CorpusError
from streams.domain.privacy import Epoch, pseudonym
from streams.domain.records import Role
from streams.speech import listening
from streams.speech.decode import decode

WINDOWS = "window"  #: the tier that tells windows from what lies between them

Span = tuple[int, int]  #: start and end, ms


@dataclass(frozen=True, slots=True)
class Prepared:
    """A call as annotators get it."""

    call: str  #: pseudonym
    windows: tuple[Span, ...]


def prepare(
    calls: Sequence[Path],
    out: Path,
    *,
    channels: Callable[[Recording], tuple[Role, ...]],
    annotators: Sequence[str],
    menu: Menu,
    epoch: Epoch,
    language: str = "",
    on_call: Callable[[], None] = lambda: None,
) -> list[Prepared]:
    """Write, for each call, the customer's channel and a TextGrid an annotator, into a new folder, all or nothing.

    Names are pseudonyms of the files' stems, the ids under which a site knows its calls. CorpusError: every
    problem, a line each.
    """
    check_new(out)
    _check(calls, annotators)
    opened = _opened(calls, channels)
    prepared = list[Prepared]()
    with new_folder(out) as made:
        for recording, who in opened:
            prepared.append(_call(made, recording, who, pseudonym(epoch, recording.path.stem), annotators))
            on_call()
        _describe(made, prepared, menu, language)
    return prepared


def _check(calls: Sequence[Path], annotators: Sequence[str]) -> None:
    stems = [path.stem for path in calls]
    for path in calls:
        if stems.count(path.stem) > 1:
            raise CorpusError(f"{path}: two calls are called {path.stem}; a file's name is its call's id, rename one")
    for name in annotators:
        if not name.isidentifier() or annotators.count(name) > 1:
            raise CorpusError(f"--annotator {name!r}: give each another name, of letters, digits and underscores")


def _opened(
    calls: Sequence[Path], channels: Callable[[Recording], tuple[Role, ...]]
) -> list[tuple[Recording, tuple[Role, ...]]]:
    found, problems = list[tuple[Recording, tuple[Role, ...]]](), list[str]()
    for path in calls:
        try:
            recording = open_recording(path)
            roles = channels(recording)
            check_roles(recording, roles)
            found.append((recording, roles))
        except (RecordingError, RolesError) as error:
            problems.append(str(error))
    refuse(problems)
    return found


def _call(made: Path, recording: Recording, roles: tuple[Role, ...], call: str, annotators: Sequence[str]) -> Prepared:
    windows = tuple(
        (window.start_ms, window.end_ms) for _, found in spoken(recording, listening.silent(roles)) for window in found
    )
    end_ms = _write_voice(made / f"{call}.wav", recording, roles.index(Role.CUSTOMER))
    text = _text_grid(windows, end_ms)
    for annotator in annotators:
        (made / f"{call}.{annotator}{GRID}").write_text(text, encoding="utf-8")
    return Prepared(call, windows)


def _write_voice(path: Path, recording: Recording, channel: int) -> int:
    """The channel as the live stream hears it, 16 bit; its length in ms."""
    end_ms = 0
    with soundfile.SoundFile(path, "w", samplerate=recording.rate, channels=1, subtype="PCM_16") as file:
        for audio in chunks(recording):
            file.write(decode(audio)[channel])
            end_ms += audio.duration_ms
    return end_ms


def _text_grid(windows: Sequence[Span], end_ms: int) -> str:
    """A tier that numbers the windows, and one for each dimension with an empty label at every window."""
    end = end_ms / 1000
    tiers = [_tier(WINDOWS, windows, [str(at) for at in range(1, len(windows) + 1)], end)]
    tiers += [_tier(name, windows, [""] * len(windows), end) for name in DIMENSIONS]
    text: str = getTextgridAsStr({"xmin": 0.0, "xmax": end, "tiers": tiers}, "long_textgrid", includeBlankSpaces=True)
    return text


def _tier(name: str, windows: Sequence[Span], labels: Sequence[str], end: float) -> dict[str, object]:
    marks = [(start / 1000, stop / 1000, label) for (start, stop), label in zip(windows, labels, strict=True)]
    return {"class": INTERVAL_TIER, "name": name, "xmin": 0.0, "xmax": end, "entries": marks}


def _describe(made: Path, prepared: Sequence[Prepared], menu: Menu, language: str) -> None:
    plan = Plan({name: tuple(labels) for name, labels in menu.items()}, Cut.BY_RULE)
    (made / PLAN).write_bytes(msgspec.json.format(msgspec.json.encode(plan), indent=2) + b"\n")
    (made / "LABELS.txt").write_text(_told(menu), encoding="utf-8")
    people = [
        {"path": f"{each.call}.wav", "speaker": each.call, "conversation": each.call, "language": language}
        for each in prepared
    ]
    write_table(made / PEOPLE, [name for names in PEOPLE_COLUMNS for name in names], people)


def _told(menu: Mapping[str, Sequence[str]]) -> str:
    lines = [f"{name}: {', '.join(label.title() for label in labels)}\n" for name, labels in menu.items()]
    return (
        "Open each WAV file with your TextGrid in Praat. The first tier numbers the windows: write one of these\n"
        "labels below each number in every other tier, or none where you cannot tell. Move no boundary.\n\n"
        + "".join(lines)
    )
