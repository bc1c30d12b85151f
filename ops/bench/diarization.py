"""Who speaks when: error rates of whole-call diarizers on recordings whose speakers are known.

AMI's excerpts are 30 s each with a reference made by hand; the call's two channels tell its speakers for certain, but
its reference is voice activity's: of it, confusion alone is to be trusted. VBx's own example comes as x-vectors.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from diarization_errors import FAIR, FORGIVING, FULL, Rates, annotated, errors, rates, unspoken
from numpy.typing import NDArray
from pyannote.core import Annotation, Segment, Timeline
from pyannote.database.util import load_rttm, load_uem
from results import ROOT, Measure, progress

from services.pyannote_pipeline import open_pipeline
from services.recordings import open_recording
from services.recordings import read as read_samples
from services.timeline import spoken
from services.whole_call import open_network, whole_call
from streams.domain.records import Role
from streams.domain.roles import OneChannel
from streams.settings import Settings
from streams.speech import kaldi, listening, online
from streams.speech.activity import Samples, VoiceActivity
from streams.speech.expecting import Expecting
from streams.speech.plda_files import read
from streams.speech.regions import regions
from streams.speech.telling import open_telling
from streams.speech.turns import SpeakerTurn
from streams.speech.vbx_turns import diarize

RECORDINGS = ROOT.parent / "shared" / "data"
CALL, MEETING = "aws_auto_repairs_40", "ES2005a"
PROTOCOLS = {"no collar": FULL, "0.25 s collar each side": FAIR, "0.25 s collar, no overlap": FORGIVING}
#: For VBx's example.
PUBLISHED = {"0.25 s collar, no overlap": 7.06, "0.25 s collar each side": 17.27, "no collar": 26.28}
PART_S = 10  #: of the call, that the bootstrap draws

Diarizer = Callable[[Samples, int], Sequence[SpeakerTurn]]  #: of one channel of a whole recording, and its Hz


@dataclass(frozen=True, slots=True)
class Known:
    """A recording of one channel whose speakers are known."""

    samples: Samples
    rate: int
    reference: Annotation
    scored: Timeline


def one_speaker(samples: Samples, rate: int) -> list[SpeakerTurn]:
    """The same speaker from beginning to end."""
    return [SpeakerTurn(0, 0, len(samples) * 1000 // rate)]


def one_speaker_heard(samples: Samples, rate: int) -> list[SpeakerTurn]:
    """The same speaker wherever voice activity hears speech."""
    return [SpeakerTurn(0, start, end) for start, end in regions(VoiceActivity(), rate, samples)]


def turn_by_turn(samples: Samples, rate: int) -> list[SpeakerTurn]:
    """Two speakers, who take turns with every pause."""
    return [replace(turn, speaker=number % 2) for number, turn in enumerate(one_speaker_heard(samples, rate))]


#: Whatever tells speakers apart is measured by a line here.
DIARIZERS: dict[str, Diarizer] = {
    "one speaker throughout": one_speaker,
    "one speaker where speech is heard": one_speaker_heard,
    "two speakers who change at every pause": turn_by_turn,
    "the stream's own, as the call goes on": online.diarize,
}


def measure() -> list[Measure]:
    """Every diarizer on AMI's excerpts and the call, what the references themselves would get, and VBx's example."""
    if not RECORDINGS.is_dir():
        progress(f"diarization: not measured, for there are no recordings at {RECORDINGS}")
        return []
    excerpts, call = list(_ami(RECORDINGS / "ami")), _call(RECORDINGS / "calls8k")
    found = [*_of("the reference itself", excerpts, [known.reference for known in excerpts])]
    found += _of("the reference, one speaker at a time", excerpts, [_alone(known.reference) for known in excerpts])
    for name, diarizer in (DIARIZERS | _given()).items():
        progress(f"diarization: {name}")
        found += _of(name, excerpts, [annotated(diarizer(known.samples, known.rate)) for known in excerpts])
        found.append(_on_call(name, call, annotated(diarizer(call.samples, call.rate))))
    return [*found, *_scored(RECORDINGS / "calls8k"), *_vbx(RECORDINGS / "vbx")]


def _given() -> dict[str, Diarizer]:
    """The stream's with the networks of its settings, VBx with that in UNDERTONE_VBX, UNDERTONE_PYANNOTE's pipeline."""
    found, said = dict[str, Diarizer](), Settings.read(os.environ)
    if said.speaker_embedding or said.segmentation:
        telling = open_telling(said.speaker_embedding, said.speaker_space, said.segmentation)
        name = " and ".join(each for each in (said.speaker_embedding, said.segmentation) if each)
        found[f"the stream's own with {name}"] = lambda samples, rate: online.diarize(samples, rate, telling)
    if folder := os.environ.get("UNDERTONE_VBX"):
        network = open_network(Path(folder))
        found[f"VBx with {Path(folder).name}"] = lambda samples, rate: whole_call(samples, rate, network)
    if folder := os.environ.get("UNDERTONE_PYANNOTE"):
        found[f"pyannote's pipeline {Path(folder).name}"] = open_pipeline(Path(folder))
    return found


def _of(name: str, excerpts: Sequence[Known], turns: Sequence[Annotation]) -> Iterator[Measure]:
    for left_out, protocol in PROTOCOLS.items():
        pairs = zip(excerpts, turns, strict=True)
        each = [errors(known.reference, said, [known.scored], protocol)[0] for known, said in pairs]
        yield _measure(f"DER on AMI, {left_out}: {name}", rates(each), f"{len(each)} excerpts of 30 s, drawn whole")


def _measure(name: str, found: Rates, about: str) -> Measure:
    confusion = f"confusion {found.confusion.value:.1f} ({found.confusion.low:.1f} to {found.confusion.high:.1f})"
    remarks = f"{confusion}, miss {found.missed:.1f}, false alarm {found.false_alarm:.1f}; {about}"
    return Measure(
        name, found.total.value, "%", low=found.total.low, high=found.total.high, goal="stated", remarks=remarks
    )


def _on_call(name: str, call: Known, turns: Annotation) -> Measure:
    ends = np.arange(PART_S, call.scored.duration() + PART_S, PART_S)
    parts = [call.scored.crop(Segment(end - PART_S, end)) for end in ends]
    found = rates(errors(call.reference, turns, parts))
    about = f"miss {found.missed:.1f}, false alarm {found.false_alarm:.1f}; {PART_S} s drawn at a time"
    value, low, high = found.confusion.value, found.confusion.low, found.confusion.high
    return Measure(f"confusion on a mono call: {name}", value, "%", low=low, high=high, goal="stated", remarks=about)


def _scored(folder: Path) -> Iterator[Measure]:
    """What is scored of the call's mono sum while the caller's own channel is silent: all of it is listed."""
    heard = listening.silent((Role.MIXED,), Expecting(one_channel=OneChannel(Role.AGENT)))
    windows = [window for _, some in spoken(open_recording(folder / f"{CALL}_mono.wav"), heard) for window in some]
    scored = Timeline([Segment(window.start_ms / 1000, window.end_ms / 1000) for window in windows])
    for reference in ("silero", "energy"):
        known = load_rttm(folder / f"{CALL}.{reference}.rttm")[CALL]
        pieces = unspoken(known, scored, "caller")
        listed = "; ".join(f"{piece.start:.2f} to {piece.end:.2f} s: {who}" for piece, who in pieces)
        remarks = (
            f"{CALL}, {scored.duration():.1f} s scored in {len(scored)} windows; who speaks: {listed or 'no such'}"
        )
        name = f"scored on a mono call while the caller's channel is silent, by {reference}"
        yield Measure(name, sum(piece.duration for piece, _ in pieces), "s", goal="listed", remarks=remarks)


def _alone(reference: Annotation) -> Annotation:
    """One speaker at any time: the most that turns without overlap can get right."""
    found = Annotation()
    for piece in reference.get_timeline().segmentation():
        if (speaker := reference.argmax(piece)) is not None:
            found[piece] = speaker
    return found


def _ami(folder: Path) -> Iterator[Known]:
    for path in sorted(folder.glob("*.wav")):
        name = path.stem
        yield Known(*_read(path), load_rttm(path.with_suffix(".rttm"))[name], load_uem(path.with_suffix(".uem"))[name])


def _call(folder: Path) -> Known:
    samples, rate = _read(folder / f"{CALL}_mono.wav")
    reference = load_rttm(folder / f"{CALL}.silero.rttm")[CALL]
    return Known(samples, rate, reference, Timeline([Segment(0, len(samples) / rate)]))


def _read(path: Path) -> tuple[Samples, int]:
    recording = open_recording(path)
    return read_samples(recording)[0], recording.rate


def _vbx(folder: Path) -> Iterator[Measure]:
    """The three errors that VBx publishes for its example, or that follow from its code."""
    vectors = kaldi.vectors((folder / f"{MEETING}_xvectors_16k.ark").read_bytes())
    segments = kaldi.segments((folder / f"{MEETING}.seg").read_text())
    plda = read(folder / "ResNet101_16kHz_plda", folder / "ResNet101_16kHz_transform.h5")
    turns = annotated(diarize(_rows(vectors, segments), np.array(list(segments.values())), plda))
    reference = load_rttm(folder / f"{MEETING}.rttm")[MEETING]
    whole = Timeline([reference.get_timeline().extent() | turns.get_timeline().extent()])
    for left_out, published in PUBLISHED.items():
        found = rates(errors(reference, turns, [whole], PROTOCOLS[left_out]))
        remarks = f"confusion {found.confusion.value:.2f}, miss {found.missed:.2f}, false alarm {found.false_alarm:.2f}"
        name = f"DER of VBx on its own example, {left_out}"
        yield Measure(name, found.total.value, "%", baseline=published, goal=f"{published}", remarks=remarks)


def _rows(vectors: Mapping[str, NDArray[np.float64]], segments: Mapping[str, tuple[int, int]]) -> NDArray[np.float64]:
    return np.stack([vectors[key] for key in segments])
