import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from services.emotion.pooling import ATTENTION_HEADS, TINY, CorrelationPooling, StatisticsPooling

CHANNELS = 5
LENGTHS = st.lists(st.integers(1, 9), min_size=1, max_size=4)
POOLINGS = [StatisticsPooling, CorrelationPooling]


def windows(lengths: list[int], seed: int) -> list[Tensor]:
    random = torch.Generator().manual_seed(seed)
    return [torch.randn(length, CHANNELS, generator=random, dtype=torch.float64) for length in lengths]


def padded(made: list[Tensor], *, more: int = 0, filling: float = 0.0) -> tuple[Tensor, Tensor]:
    frames = nn.utils.rnn.pad_sequence(made, batch_first=True, padding_value=filling)
    frames = nn.functional.pad(frames, (0, 0, 0, more), value=filling)
    lengths = torch.tensor([len(window) for window in made])
    return frames, torch.arange(frames.shape[1]) < lengths[:, None]


def correlations() -> CorrelationPooling:
    torch.manual_seed(3)
    return CorrelationPooling(CHANNELS).double().eval().requires_grad_(requires_grad=False)


def statistics_slowly(window: Tensor) -> list[float]:
    means = [sum(float(frame[c]) for frame in window) / len(window) for c in range(CHANNELS)]
    squares = [sum((float(frame[c]) - means[c]) ** 2 for frame in window) / len(window) for c in range(CHANNELS)]
    return means + [math.sqrt(square) for square in squares]


def attention_slowly(pooling: CorrelationPooling, window: Tensor) -> list[float]:
    scores = []
    for frame in window:
        hidden = [
            max(0.0, sum(float(w) * float(x) for w, x in zip(row, frame, strict=True)) + float(b))
            for row, b in zip(pooling.inner.weight, pooling.inner.bias, strict=True)
        ]
        said = [
            sum(float(w) * x for w, x in zip(row, hidden, strict=True)) + float(b)
            for row, b in zip(pooling.heads.weight, pooling.heads.bias, strict=True)
        ]
        assert len(said) == ATTENTION_HEADS
        scores.append(math.log(sum(math.exp(score) for score in said)))
    return [math.exp(score) / sum(math.exp(other) for other in scores) for score in scores]


def correlations_slowly(pooling: CorrelationPooling, window: Tensor) -> list[float]:
    weights = attention_slowly(pooling, window)
    frames = [[float(x) for x in frame] for frame in window]
    pairs = list(zip(weights, frames, strict=True))
    mean = [sum(w * x[c] for w, x in pairs) for c in range(CHANNELS)]

    def covariance(i: int, j: int) -> float:
        return sum(w * (x[i] - mean[i]) * (x[j] - mean[j]) for w, x in pairs)

    return [
        covariance(i, j) / math.sqrt((covariance(i, i) + TINY) * (covariance(j, j) + TINY))
        for i in range(CHANNELS)
        for j in range(i + 1, CHANNELS)
    ]


@given(lengths=LENGTHS, seed=st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_statistics_are_the_formula(lengths: list[int], seed: int) -> None:
    made = windows(lengths, seed)
    found = StatisticsPooling(CHANNELS)(*padded(made))
    wanted = torch.tensor([statistics_slowly(window) for window in made], dtype=torch.float64)
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=0)


@given(lengths=LENGTHS, seed=st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_attentive_correlations_are_the_formulas(lengths: list[int], seed: int) -> None:
    made, pooling = windows(lengths, seed), correlations()
    found = pooling(*padded(made))
    wanted = torch.tensor([correlations_slowly(pooling, window) for window in made], dtype=torch.float64)
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", POOLINGS)
@given(lengths=LENGTHS, more=st.integers(0, 40), filling=st.sampled_from([0.0, 1e6, math.nan]))
@settings(max_examples=25, deadline=None)
def test_padding_changes_nothing(kind: type[nn.Module], lengths: list[int], more: int, filling: float) -> None:
    made = windows(lengths, 1)
    torch.manual_seed(2)
    pooling = kind(CHANNELS).double().eval()
    frames, mask = padded(made, more=more, filling=filling)
    together = pooling(frames, mask)
    alone = torch.cat([pooling(*padded([window])) for window in made])
    torch.testing.assert_close(together, alone, atol=1e-12, rtol=0)


@pytest.mark.parametrize("kind", POOLINGS)
def test_slopes_are_numbers_whatever_is_padded_or_constant(kind: type[nn.Module]) -> None:
    made = [*windows([4], 0), torch.ones(1, CHANNELS, dtype=torch.float64)]
    pooling = kind(CHANNELS).double()
    frames, mask = padded(made, more=3, filling=math.nan)
    frames.requires_grad_()
    pooling(frames, mask).sum().backward()
    assert frames.grad is not None
    assert frames.grad.isfinite().all()
    assert all(weights.grad is not None and weights.grad.isfinite().all() for weights in pooling.parameters())


def test_padding_gets_no_attention_at_all_and_the_rest_sums_to_one() -> None:
    frames, mask = padded(windows([2, 7], 5), more=4, filling=50.0)
    weights = correlations().attention(frames, mask)
    assert (weights[~mask] == 0).all()
    assert (weights[mask] > 0).all()
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(2, dtype=torch.float64))


def test_256_channels_give_32640_correlations_between_minus_one_and_one() -> None:
    frames = torch.randn(2, 12, 256, generator=torch.Generator().manual_seed(6))
    found = CorrelationPooling(256).eval()(frames, torch.ones(2, 12, dtype=torch.bool))
    assert found.shape == (2, 32_640)
    assert found.abs().max() <= 1 + 1e-5


def test_whole_channels_are_dropped_in_training_and_none_in_use() -> None:
    frames, mask = padded(windows([9] * 200, 7))
    pooling = correlations().train()
    gone = (pooling(frames, mask) == 0).double().mean()
    assert float(gone) == pytest.approx(1 - 0.75**2, abs=0.05)  # a correlation stands where both channels do
    assert (pooling.eval()(frames, mask) != 0).all()
