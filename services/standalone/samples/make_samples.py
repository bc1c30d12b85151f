"""Makes the sample calls: `python services/standalone/samples/make_samples.py [FOLDER]`; needs espeak-ng.

Bundle and rule of the demo were frozen before. A voice was then looked for with which prosody alone decides, and
prosody varied until the one call met the rule: see ops/adr/0052-sample-calls.md.
"""

import io
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import soundfile
from numpy.typing import NDArray

from streams.domain.records import Role
from streams.speech.resample import Floats, resample, to_pcm

RATE = 8000
LINE_NOISE = 0.0008  #: root mean square, about -62 dB of full scale
SEED = 20260131

CHANNELS = (Role.AGENT, Role.CUSTOMER)  #: of the sample files, as `undertone publish` expects them


@dataclass(frozen=True, slots=True)
class Manner:
    """How a line is spoken, in espeak-ng's terms: percentages of the voice's own pitch, range and rate."""

    voice: str
    pitch: int = 100
    range: int = 100
    rate: int = 100
    level: float = 0.4  #: peak of the line, full scale 1


@dataclass(frozen=True, slots=True)
class Line:
    """A speaker's turn; it begins `after_ms` after the end of the line before (negative: talks into it)."""

    role: Role
    manner: Manner
    after_ms: int
    text: str


#: One voice for the customer of both calls: nothing but prosody tells them apart.
MANNERS = {
    "helpful": Manner("en-gb+m3", level=0.35),
    "even": Manner("en-us+klatt4", pitch=95, range=90, rate=105, level=0.3),
    "cross": Manner("en-us+klatt4", pitch=210, range=220, rate=130, level=0.8),
}


def main(arguments: Sequence[str]) -> None:
    """Write both calls into the folder that is named, or beside this script."""
    folder = Path(arguments[0]) if arguments else Path(__file__).parent
    for script in sorted(Path(__file__).parent.glob("*.txt")):
        call = play([line(text) for text in script.read_text().splitlines() if not text.startswith("#")])
        soundfile.write(folder / f"{script.stem}.wav", to_pcm(call).T, RATE, subtype="ULAW")


def line(text: str) -> Line:
    """Read one line of a script: who, manner, after_ms, text."""
    role, manner, after_ms, said = text.split(maxsplit=3)
    return Line(Role(role), MANNERS[manner], int(after_ms), said)


def play(lines: Sequence[Line]) -> Floats:
    """Lay the lines out on the channels of their speakers, shape (2, samples), over a quiet line's noise."""
    spoken = [say(each.text, each.manner) for each in lines]
    starts, at = [], 0
    for each, sound in zip(lines, spoken, strict=True):
        starts.append(at + each.after_ms * RATE // 1000)
        at = starts[-1] + len(sound)
    noise = np.random.default_rng(SEED).normal(0, LINE_NOISE, (len(CHANNELS), at + RATE))
    call = noise.astype(np.float32)
    for each, sound, start in zip(lines, spoken, starts, strict=True):
        call[CHANNELS.index(each.role), start : start + len(sound)] += sound
    return call


def say(text: str, manner: Manner) -> NDArray[np.float32]:
    """Speak one line, shape (samples,) at `RATE`."""
    prosody = f'pitch="{manner.pitch}%" range="{manner.range}%" rate="{manner.rate}%"'
    markup = f"<speak><prosody {prosody}>{escape(text)}</prosody></speak>"
    command = [_espeak(), "-m", "-v", manner.voice, "--stdout", markup]
    wave = subprocess.run(command, check=True, capture_output=True).stdout
    samples, rate = soundfile.read(io.BytesIO(wave), dtype="float32")
    sound = _trimmed(resample(samples[np.newaxis], rate, RATE)[0])
    louder: NDArray[np.float32] = sound * np.float32(manner.level / np.abs(sound).max())
    return louder


def _trimmed(sound: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cut espeak-ng's own silence off both ends, so that `after_ms` alone sets the pauses."""
    heard = np.flatnonzero(np.abs(sound) > 0.01 * np.abs(sound).max())
    return sound[heard[0] : heard[-1] + 1]


def _espeak() -> str:
    found = shutil.which("espeak-ng")
    if found is None:
        sys.exit("espeak-ng is missing: apt-get install espeak-ng")
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
