"""From chunks to the customer's windows with their audio, for many calls at once: stream and recordings alike."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import TypeVar

from streams.domain import hearing as fold
from streams.domain.call import OPEN_TURN, Listen
from streams.domain.hearing import Cut, Hearing, Lanes
from streams.domain.overlap import FRAME_MS, Frame, Kind
from streams.domain.pieces import Piece
from streams.domain.records import Role
from streams.domain.roles import told_apart
from streams.speech import announcements, crosstalk, speakers
from streams.speech.activity import CONTEXT_MS, START, Activity, Samples, Stretch, VoiceActivity, context_samples
from streams.speech.announcements import Announcements
from streams.speech.crosstalk import Echo, Pair
from streams.speech.decode import decode
from streams.speech.expecting import Expecting
from streams.speech.products import Floats
from streams.speech.tape import Chunk, Pcm, Tape
from streams.speech.telling import Telling, open_telling

Judged = TypeVar("Judged")

_NOTHING = Expecting()


@dataclass(frozen=True, slots=True)
class Spoken:
    """A window as heard: `samples` of one channel at `rate` Hz; the log had its end at `spoken_at`."""

    role: Role
    start_ms: int
    end_ms: int
    consent_seq: int
    spoken_at: datetime
    rate: int
    samples: Pcm = field(repr=False)
    closing_ms: int | None = None  #: media time after its end until the rule was certain of it, where that is known


class Listening:
    """What is in memory of one call: the fold's state, voice-activity state by channel, and the audio still needed.

    `echo` is what is known of the way from either of two channels into the other, `prints` are the last second's of the
    channel that the customer is on. `announcements` are those of the use case, where it has any; `reach_ms` is how much
    audio before the newest is kept. `lanes` are where each fate lies, for whoever wants to see it: no checkpoint holds
    them.
    """

    announcements: Announcements | None = None
    reach_ms = 0
    lanes: Lanes | None = None

    def __init__(
        self,
        hearing: Hearing,
        activity: tuple[bytes, ...] | None = None,
        turn_at: datetime | None = None,
        echo: bytes = b"",
        prints: bytes = b"",
    ) -> None:
        self.hearing = hearing
        self.echo = echo or crosstalk.START
        self.prints = prints or announcements.START
        self.turn_at = turn_at  #: the log's time of the chunk in which the oldest open turn begins
        self.activity = activity or (START,) * len(hearing.roles)
        self.tape = Tape()
        self._rate = 0
        self._resumed_ms = hearing.heard_ms  #: windows that begin before it were sent before the checkpoint

    def expect(self, said: Expecting) -> None:
        """Take in what is no part of the state."""
        self.announcements = said.announcements
        self.reach_ms = 0 if self.hearing.mono is None else said.reach_ms

    @property
    def context_ms(self) -> int:
        """Media time (ms) from which the next frame needs audio."""
        return self.hearing.heard_ms - CONTEXT_MS

    @property
    def audio_from_ms(self) -> int:
        """Media time (ms) from which audio is needed again after a restart: of the next frame, or of an open piece.

        Or of what lies before the piece, as far as that is heard with it.
        """
        opened = None if self.hearing.mono is None else self.hearing.mono.cutter.start_ms
        needed = min(self.context_ms, self.hearing.heard_ms - self.reach_ms)
        return needed if opened is None else min(opened, needed)

    @property
    def oldest_offset(self) -> int:
        """The record that holds the first audio which a restart needs."""
        chunk = self.tape.since(self.audio_from_ms)
        if chunk is None:
            raise LookupError("no audio: a run has not begun")
        return chunk.offset

    def stop(self, at_ms: int) -> list[Spoken]:
        """End the run of audio: every open turn is over."""
        self.hearing, cuts = fold.finish(self.hearing, at_ms, self.lanes)
        windows = self._windows(cuts)
        self.tape.cut()
        self.turn_at = None
        self.activity = (START,) * len(self.activity)
        self.echo, self.prints = crosstalk.rest(self.echo), announcements.START
        return windows

    def cut_short(self, chunk: Listen) -> list[Spoken]:
        """End the turn that has been open for too long by the log's time of the chunk that comes next."""
        began = self.turn_at
        return self.stop(chunk.at_ms) if began is not None and chunk.logged_at - began >= OPEN_TURN else []

    def refill(self, chunk: Listen, offset: int) -> None:
        """Take audio from before a checkpoint, where the next frame begins; pass by what was late or came twice."""
        follows = self.tape.end_ms in {None, chunk.at_ms}
        if follows and chunk.at_ms + chunk.audio.duration_ms > self.audio_from_ms:
            self._append(chunk, offset)

    def load(self, chunk: Listen, offset: int) -> list[Stretch]:
        """Take in a chunk; give back the whole frames that are now there, one stretch a channel."""
        if self.hearing.consent_seq is None:
            self.hearing = fold.resume(self.hearing, at_ms=chunk.at_ms, consent_seq=chunk.consent_seq)
        self._append(chunk, offset)
        samples, context = self.tape.samples(self.context_ms, self._whole_ms(chunk)), context_samples(self._rate)
        return [
            Stretch(frames=channel[context:], context=channel[:context], state=state)
            for channel, state in zip(samples, self.activity, strict=True)
        ]

    def take(self, heard: Sequence[Activity], echo: Echo) -> list[Spoken]:
        """Fold the frames of all channels; give back the windows that are now certain."""
        instead = self._instead(heard, echo)
        frames = _frames(heard, instead, self.hearing.heard_ms)
        self.hearing, cuts = fold.steps(self.hearing, frames, self.lanes)
        self.activity = tuple(activity.state for activity in heard)
        self.echo = echo.state
        return self._settled(cuts)

    @property
    def cut(self) -> tuple[Piece, ...]:
        """The pieces of speech whose speaker is to be told: none where everybody has a channel."""
        return () if self.hearing.mono is None else self.hearing.mono.cut

    def before(self, window_ms: int) -> list[Samples]:
        """What lies before each piece's end; silence where the audio has not begun."""
        return [self.tape.samples(piece.end_ms - window_ms, piece.end_ms)[0] for piece in self.cut]

    def divide(self, speaking: Sequence[Sequence[int]]) -> None:
        """Take in who speaks when in `before()` each piece's end."""
        self.hearing = fold.divide(self.hearing, speaking)

    def pieces(self) -> list[Samples]:
        """The audio of each piece that a speaker is told from."""
        told = [piece for piece in self.cut if speakers.long_enough(piece)]
        return [self.tape.samples(piece.start_ms, piece.end_ms)[0] for piece in told]

    def tell(self, vectors: Sequence[Floats], space: str) -> list[Spoken]:
        """Take in the vectors of `pieces()`, which are of this space; give back the windows that are now certain."""
        mono = self.hearing.mono
        if mono is None:
            return []
        after_ms = mono.told.after_ms
        memory, likenesses = speakers.tell(mono.memory, mono.cut, vectors, after_ms=after_ms, space=space)
        self.hearing, cuts = fold.tell(self.hearing, memory, likenesses, self.lanes)
        return self._settled(cuts)

    def _settled(self, cuts: Iterable[Cut]) -> list[Spoken]:
        windows = self._windows(cuts)
        needed = fold.needs_from(self.hearing)
        self.turn_at = None if needed is None else self._logged_at(needed)
        self.tape.forget(self.audio_from_ms if needed is None else min(needed, self.audio_from_ms))
        return windows

    def _instead(self, heard: Sequence[Activity], echo: Echo) -> Mapping[int, tuple[Kind | None, ...]]:
        """What the channels hold instead of their speakers' voices, by frame; frames without any are left out."""
        instead = {frame: tuple([_LEAK[leak] for leak in leaks]) for frame, leaks in echo.flags.items()}
        if self.announcements is None:
            return instead
        customer = self.hearing.roles.index(Role.CUSTOMER) if self.hearing.mono is None else 0
        announced, self.prints = announcements.judge(self.announcements, heard[customer].levels, self.prints)
        for frame in announced:
            kinds = list(instead.get(frame, (None,) * len(heard)))
            kinds[customer] = Kind.NOT_SPEECH
            instead[frame] = tuple(kinds)
        return instead

    def _logged_at(self, media_ms: int) -> datetime | None:
        """The log's time of a chunk; of one from before a restart, which is not on the tape, it is known already."""
        chunk = self.tape.at(media_ms)
        return chunk.logged_at if chunk else self.turn_at

    def _append(self, chunk: Listen, offset: int) -> None:
        end_ms = chunk.at_ms + chunk.audio.duration_ms
        self.tape.append(Chunk(chunk.at_ms, end_ms, offset, chunk.logged_at, decode(chunk.audio)))
        self._rate = chunk.audio.rate

    def _whole_ms(self, chunk: Listen) -> int:
        end_ms = chunk.at_ms + chunk.audio.duration_ms
        return end_ms - (end_ms - self.hearing.heard_ms) % FRAME_MS

    def _windows(self, cuts: Iterable[Cut]) -> list[Spoken]:
        return [self._window(cut) for cut in cuts if cut.start_ms >= self._resumed_ms]

    def _window(self, cut: Cut) -> Spoken:
        last = self.tape.at(cut.end_ms - 1)
        if last is None:
            raise LookupError("the audio of an open turn is gone: a point was kept for too short a time")
        return Spoken(
            role=Role.CUSTOMER,
            start_ms=cut.start_ms,
            end_ms=cut.end_ms,
            consent_seq=cut.consent_seq,
            spoken_at=last.logged_at,
            rate=self._rate,
            samples=self.tape.samples(cut.start_ms, cut.end_ms)[cut.channel],
            closing_ms=cut.closing_ms,
        )


def hear(
    model: VoiceActivity, chunks: Sequence[tuple[Listening, Listen, int]], telling: Telling | None = None
) -> list[list[Spoken]]:
    """Hear one chunk of each of many calls (with its record's offset) in one batch; their windows, call by call.

    `telling` tells speakers apart where two people are on one channel: what needs nothing, where it is not given.
    """
    telling = telling or _default()
    windows = [listening.cut_short(chunk) for listening, chunk, _ in chunks]
    for rate in {chunk.audio.rate for _, chunk, _ in chunks}:
        group = [index for index, (_, chunk, _) in enumerate(chunks) if chunk.audio.rate == rate]
        loaded = [chunks[index][0].load(chunks[index][1], chunks[index][2]) for index in group]
        activities = iter(model.hear(rate, [stretch for stretches in loaded for stretch in stretches]))
        heard = [[next(activities) for _ in stretches] for stretches in loaded]
        echoes = crosstalk.judge([_pair(each, chunks[index][0]) for index, each in zip(group, heard, strict=True)])
        for index, each, echo in zip(group, heard, echoes, strict=True):
            windows[index] += chunks[index][0].take(each, echo)
        for index, told in zip(group, _told(rate, [chunks[index][0] for index in group], telling), strict=True):
            windows[index] += told
    return windows


def silent(roles: tuple[Role, ...], expecting: Expecting = _NOTHING) -> Listening:
    """Nothing heard yet of a call of a use case."""
    told = told_apart(roles, expecting.one_channel)
    heard = Listening(fold.expecting(fold.silent(roles, told), expecting.first))
    heard.expect(expecting)
    return heard


@cache
def _default() -> Telling:
    return open_telling()


def _told(rate: int, listenings: Sequence[Listening], telling: Telling) -> Iterable[list[Spoken]]:
    """Tell the speakers of all pieces that the calls have cut, in one batch; their windows, call by call."""
    if (segmentation := telling.segmentation) is not None:
        windows = [listening.before(segmentation.window_ms) for listening in listenings]
        for listening, each in zip(listenings, _at_once(rate, windows, segmentation.hear), strict=True):
            listening.divide(each)
    vectors = _at_once(rate, [listening.pieces() for listening in listenings], telling.voiceprints.embed)
    space = telling.voiceprints.space
    return [listening.tell(each, space) for listening, each in zip(listenings, vectors, strict=True)]


def _at_once(
    rate: int, calls: Sequence[Sequence[Samples]], judge: Callable[[int, list[Samples]], Iterable[Judged]]
) -> list[list[Judged]]:
    """What `judge` says of all the audio of all calls, call by call."""
    together = [samples for each in calls for samples in each]
    judged = iter(judge(rate, together) if together else ())
    return [[next(judged) for _ in each] for each in calls]


_LEAK = {False: None, True: Kind.LEAK}


def _pair(heard: Sequence[Activity], listening: Listening) -> Pair:
    """Both channels; a channel that is alone has none to leak from."""
    return Pair(tuple(activity.levels for activity in heard) if len(heard) > 1 else (b"", b""), listening.echo)


def _frames(heard: Sequence[Activity], instead: Mapping[int, tuple[Kind | None, ...]], from_ms: int) -> Iterable[Frame]:
    probabilities = zip(*(activity.probability for activity in heard), strict=True)
    energies = zip(*(activity.energy for activity in heard), strict=True)
    for index, (probability, energy) in enumerate(zip(probabilities, energies, strict=True)):
        start_ms = from_ms + index * FRAME_MS
        yield Frame(start_ms, start_ms + FRAME_MS, probability, energy, instead.get(index, ()))
