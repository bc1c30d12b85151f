"""Bundles of one encoder in one process: its weights are held once, and their windows go through it together."""

import gc
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from services.emotion.abstention import placed, refer
from services.emotion.bundle import DEMO, Bundle, load_bundle, save_bundle
from services.emotion.encoders.encoder import Encoder
from services.emotion.encoders.packing import Pack
from services.emotion.features.registry import open_feature
from services.emotion.features.sources import Model
from services.emotion.heads import Heads
from services.emotion.manifest import Described, Scheme, conversation_mark
from services.emotion.model import Judgements, judge, judge_together
from streams.domain.unlabelled import Unlabelled

Window = NDArray[np.float32]
Speech = Callable[[int], Window]
Make = Callable[..., Bundle]

STRIDES = {"conv_stride": (20, 16), "conv_kernel": (40, 16)}  #: 20 ms a frame


@pytest.fixture
def make(saved: Callable[..., Path], speech: Speech, tmp_path: Path) -> Make:
    """Saves a bundle of machines that nobody trained on a layer of the one encoder; says how to load it again."""
    model = Model(str(saved("wav2vec2", **STRIDES)))

    def made(
        name: str = "one", layer: int = 2, classes: tuple[str, ...] = ("bad", "good"), max_ms: int = 20_000
    ) -> Bundle:
        feature, random = open_feature("wav2vec2", model), np.random.default_rng(len(name))
        vectors = feature.vectors([np.repeat(speech(at)[:12_000], 2) for at in range(4)] * 3)[:, layer]
        mean, scale = vectors.mean(axis=0, dtype=np.float64), vectors.std(axis=0, dtype=np.float64)
        points = placed(vectors, mean, scale).astype(np.float16).astype(np.float32)
        heads = Heads(
            {"mood.full": classes},
            mean,
            scale,
            points,
            random.normal(size=(12, len(classes))),
            np.zeros(len(classes)),
            0.1,
        )
        reference = refer(points, np.repeat(np.arange(3, dtype=np.int32), 4))
        demo = load_bundle(DEMO).manifest
        manifest = msgspec.structs.replace(
            demo,
            name=name,
            scheme=Scheme("mood", {"mood.full": classes}),
            feature=Described("wav2vec2", feature.version, layer, (model,)),
            training=msgspec.structs.replace(
                demo.training, windows=12, conversations=tuple(conversation_mark(f"call{at}") for at in range(3))
            ),
            limits=msgspec.structs.replace(demo.limits, max_ms=max_ms),
            calibration={"mood.full": demo.calibration["arousal.full"][:1] * len(classes)},
            scores={},
        )
        return save_bundle(tmp_path / name, manifest, heads, replace(reference, limit=reference.limit + 20))

    return made


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Windows and layers of each pass through the encoder."""
    seen: list[tuple[int, int]] = []
    states = Encoder.states

    def watched(self: Encoder, samples: torch.Tensor, packed: Pack) -> Iterator[torch.Tensor]:
        seen.append((len(packed.lengths), -1))
        for state in states(self, samples, packed):
            seen[-1] = (seen[-1][0], seen[-1][1] + 1)
            yield state

    monkeypatch.setattr(Encoder, "states", watched)
    return seen


def equal(one: Judgements, other: Judgements) -> bool:
    return one.reasons == other.reasons and all(
        np.array_equal(rows, other.classes[head])
        and np.allclose(one.probabilities[head], other.probabilities[head], rtol=0, atol=1e-5)
        for head, rows in one.classes.items()
    )


def encoder_of(bundle: Bundle) -> Encoder:
    found: Encoder = bundle.feature.encoder  # type: ignore[attr-defined]  # a feature of this kind
    return found


def test_windows_of_bundles_of_one_layer_are_one_pass_and_each_bundle_says_what_it_says_alone(
    make: Make, speech: Speech, passes: list[tuple[int, int]]
) -> None:
    one, strict = make(), make("another", classes=("low", "mid", "high"), max_ms=1_400)
    windows = [speech(0)[:12_000], speech(1)[:10_000], speech(2)[:11_000]]
    alone = [judge(one, windows), judge(strict, windows[::-1])]
    passes.clear()

    together = judge_together([(one, windows), (strict, windows[::-1])])

    assert passes == [(5, 2)]  # of the strict one's windows one is too long
    assert together[1].reasons == (None, None, Unlabelled.TOO_LONG)
    assert all(map(equal, together, alone))
    assert one.hears == strict.hears


def test_bundles_of_other_layers_share_the_weights_and_no_window_goes_deeper_than_its_own(
    make: Make, speech: Speech, passes: list[tuple[int, int]]
) -> None:
    deep = make("deep", layer=3)
    wanted = judge(deep, [speech(0)[:12_000]])
    shallow = make("shallow", layer=1)
    passes.clear()

    assert encoder_of(shallow) is encoder_of(deep)
    assert shallow.hears != deep.hears
    assert equal(judge(deep, [speech(0)[:12_000]]), wanted)
    assert judge(shallow, [speech(0)[:12_000]]).reasons == (None,)
    assert passes == [(1, 3), (1, 1)]


def test_the_encoder_is_as_deep_as_the_deepest_bundle_needs_whichever_came_first(make: Make, speech: Speech) -> None:
    shallow = make("shallow", layer=1)
    wanted = judge(shallow, [speech(0)[:12_000]])
    gc.collect()
    assert encoder_of(shallow).last == 1

    first = encoder_of(shallow).layers[0]
    deep = make("deep", layer=2)
    assert encoder_of(shallow) is encoder_of(deep)
    assert (encoder_of(deep).last, encoder_of(deep).layers[0]) == (2, first)
    assert equal(judge(shallow, [speech(0)[:12_000]]), wanted)
    assert deep.feature.vectors([speech(0)[:12_000]]).shape[1] == 3
    assert shallow.feature.vectors([speech(0)[:12_000]]).shape[1] == 2


def test_a_bundle_that_is_replaced_or_unloaded_leaves_the_other_serving_and_the_last_takes_the_weights_along(
    make: Make, speech: Speech, tmp_path: Path
) -> None:
    one, other = make(), make("other")
    wanted, weights = judge(other, [speech(0)[:12_000]]), weakref.ref(encoder_of(one).layers[0].up.weight)
    one = load_bundle(tmp_path / "one")  # replaced
    assert encoder_of(one) is encoder_of(other)
    del one  # unloaded
    gc.collect()
    assert equal(judge(other, [speech(0)[:12_000]]), wanted)
    del other
    gc.collect()
    assert weights() is None


def test_a_bundle_in_half_the_precision_has_an_encoder_of_its_own_and_says_the_same(
    make: Make, speech: Speech, tmp_path: Path
) -> None:
    exact, windows = make(classes=("low", "mid", "high")), [speech(at)[:12_000] for at in range(4)]
    half = load_bundle(tmp_path / "one", half=True)
    assert (encoder_of(exact).dtype, encoder_of(half).dtype) == (torch.float32, torch.bfloat16)
    found, wanted = judge(half, windows), judge(exact, windows)
    assert found.reasons == wanted.reasons
    assert np.array_equal(found.classes["mood.full"], wanted.classes["mood.full"])


def test_another_encoder_is_shared_with_nobody(make: Make, saved: Callable[..., Path]) -> None:
    mine = make()
    other = open_feature("wavlm", Model(str(saved("wavlm", **STRIDES))))
    assert other.encoder is not encoder_of(mine)  # type: ignore[attr-defined]  # as above
