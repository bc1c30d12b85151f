"""Voice activity: a worker's channels in one batch a tick, against silero-vad's own loops a channel at a time.

Silero publishes its model for ONNX Runtime and for TorchScript, each with a loop; both run here as its package runs
them, one thread, and the faster is the baseline.
"""

import time
from collections.abc import Callable, Sequence

import numpy as np
from results import Measure, compared, progress
from segment import RATE, heard_alone, silero, talk

from streams.domain.overlap import FRAME_MS, Frame, silent, step
from streams.speech.activity import START, Samples, Stretch, VoiceActivity, context_samples, frame_samples

CHANNELS = (16, 64, 256)
ROUNDS, SECONDS = 5, 10
ALONE = 4  #: channels of the baselines: each is by itself, so more would only take longer
FRAMES = 6  #: a tick: the whole frames of a chunk of 200 ms
SIZE, CONTEXT = frame_samples(RATE), context_samples(RATE)

Loop = Callable[[Samples], list[float]]  #: of one channel, the probability of each of its frames


def measure() -> list[Measure]:
    """Each number of channels against the faster loop, in turn, in CPU time."""
    channels, activity, loops = _channels(max(CHANNELS)), VoiceActivity(), _loops()
    _check(channels, activity, loops)
    return [_measure(channels[:count], activity, loops) for count in CHANNELS]


def _channels(count: int) -> list[Samples]:
    frames = SECONDS * 1000 // FRAME_MS // FRAMES * FRAMES
    return [channel[: frames * SIZE] for call in talk((count + 1) // 2, SECONDS) for channel in call]


def _measure(channels: Sequence[Samples], activity: VoiceActivity, loops: dict[str, Loop]) -> Measure:
    rounds = []
    for number in range(ROUNDS):
        us = {"ours": _us(channels, lambda: _together(activity, channels))}
        us |= {
            name: _us(channels[:ALONE], lambda loop=loop: [*map(loop, channels[:ALONE])])
            for name, loop in loops.items()
        }
        rounds.append(us)
        progress(f"vad, {len(channels)} channels {number + 1}/{ROUNDS}: {_told(us)}")
    pairs = [(_sustained(us["ours"]), _sustained(min(us[name] for name in THEIRS))) for us in rounds]
    middle = {name: float(np.median([us[name] for us in rounds])) for name in rounds[0]}
    remarks = f"us of CPU a frame of 32 ms: {_told(middle)}; {FRAMES} frames a tick, one thread, probabilities the same"
    return compared(
        f"voice activity, {len(channels)} channels in a batch", "channels a core", pairs, goal="10", remarks=remarks
    )


THEIRS = ("silero-vad's ONNX loop", "silero-vad's TorchScript loop")


def _loops() -> dict[str, Loop]:
    """Silero's own, and for comparison the bare session that `segment` is measured against."""
    import torch  # noqa: PLC0415 - another measure should not wait for it
    from silero_vad import load_silero_vad  # noqa: PLC0415

    torch.set_num_threads(1)
    session = silero()

    def loop(onnx: bool) -> Loop:
        model = load_silero_vad(onnx=onnx)

        @torch.inference_mode()
        def heard(channel: Samples) -> list[float]:
            model.reset_states()
            frames = torch.from_numpy(channel.astype(np.float32) / 32768).split(SIZE)
            return [model(frame, RATE).item() for frame in frames]

        return heard

    loops = {name: loop(onnx) for name, onnx in zip(THEIRS, (True, False), strict=True)}
    return loops | {"the bare session": lambda channel: heard_alone(session, channel)}


def _together(activity: VoiceActivity, channels: Sequence[Samples]) -> list[list[float]]:
    """All channels, a tick at a time, each with the state and the audio that the tick before left."""
    silence = np.zeros(CONTEXT, np.int16)
    contexts, states = [silence] * len(channels), [START] * len(channels)
    found = [list[float]() for _ in channels]
    for start in range(0, len(channels[0]), FRAMES * SIZE):
        pieces = [channel[start : start + FRAMES * SIZE] for channel in channels]
        heard = activity.hear(RATE, list(map(Stretch, pieces, contexts, states)))
        contexts, states = [piece[-CONTEXT:] for piece in pieces], [each.state for each in heard]
        for channel, each in zip(found, heard, strict=True):
            channel.extend(each.probability)
    return found


def _check(channels: Sequence[Samples], activity: VoiceActivity, loops: dict[str, Loop]) -> None:
    """A channel's probabilities are the same to the bit in any batch, and its turns those of Silero's loops."""
    batched = _together(activity, channels)
    for some in (channels[:1], channels[:ALONE], channels[: CHANNELS[0]]):
        if _together(activity, some) != batched[: len(some)]:
            raise RuntimeError(
                f"probabilities of {len(some)} channel(s) differ from those in a batch of {len(channels)}"
            )
    for name, loop in loops.items():
        theirs = [loop(channel) for channel in channels[:ALONE]]
        apart = np.abs(np.array(theirs) - np.array(batched[:ALONE])).max()
        if list(map(_spoken, theirs)) != list(map(_spoken, batched[:ALONE])):
            raise RuntimeError(f"turns differ from those of {name}; probabilities by {apart:.1g} at most")
        progress(f"vad: turns of {ALONE} channels are those of {name}; probabilities differ by {apart:.1g} at most")


def _spoken(probabilities: Sequence[float]) -> list[bool]:
    """In which frames the channel's speaker speaks."""
    floor, found = silent(1), list[bool]()
    for number, probability in enumerate(probabilities):
        floor, _ = step(floor, Frame(number * FRAME_MS, (number + 1) * FRAME_MS, (probability,), (0,)))
        found.append(floor.speaking[0])
    return found


def _us(channels: Sequence[Samples], work: Callable[[], object]) -> float:
    """CPU microseconds of the work, a frame of a channel."""
    began = time.process_time()
    work()
    return (time.process_time() - began) * 1e6 / sum(len(channel) // SIZE for channel in channels)


def _sustained(us: float) -> float:
    """Channels that one core hears in real time where a frame takes so long."""
    return FRAME_MS * 1000 / us


def _told(us: dict[str, float]) -> str:
    return ", ".join(f"{name} {each:.1f}" for name, each in us.items())
