from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from services.emotion.networks import Kind, Network, NetworkError, Shape, load_networks, save_networks

KINDS: list[Kind] = ["sp", "attcp"]


def network(kind: Kind, *, classes: tuple[str, ...] = ("a", "b", "c"), seed: int = 1) -> Network:
    torch.manual_seed(seed)
    return Network(Shape(kind=kind, layers=4, values=6, classes=classes)).eval()


def windows(lengths: list[int], seed: int = 2) -> list[Tensor]:
    random = torch.Generator().manual_seed(seed)
    return [torch.randn(4, length, 6, generator=random) for length in lengths]


@pytest.mark.parametrize("kind", KINDS)
@given(lengths=st.lists(st.integers(1, 12), min_size=1, max_size=4))
@settings(max_examples=10, deadline=None)
def test_a_window_is_judged_for_itself(kind: Kind, lengths: list[int]) -> None:
    made, given_windows = network(kind), windows(lengths)
    alone = torch.cat([made([window]) for window in given_windows])
    torch.testing.assert_close(made(given_windows), alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_layers_count_as_their_weights_say(kind: Kind) -> None:
    made, (window,) = network(kind), windows([7])
    torch.testing.assert_close(made.layer_weights(), torch.full((4,), 0.25))
    with torch.no_grad():
        made.mix.copy_(torch.tensor([0.0, 50.0, 0.0, 0.0]))
    only = torch.zeros_like(window)
    only[1] = window[1]
    torch.testing.assert_close(made([window]), made([only]))


def test_labels_are_smoothed_for_attcp_alone() -> None:
    scores, wanted = torch.tensor([[2.0, 0.0, -1.0], [0.0, 1.0, 0.0]]), torch.tensor([0, 2])
    certain = -functional.log_softmax(scores, dim=1)
    plain = certain[torch.arange(2), wanted].sum()
    torch.testing.assert_close(network("sp").loss(scores, wanted), plain)
    torch.testing.assert_close(network("attcp").loss(scores, wanted), 0.9 * plain + 0.1 * certain.mean(dim=1).sum())


def test_networks_come_back_as_they_were_saved(tmp_path: Path) -> None:
    saved = {"mood.full": network("sp"), "mood.binary": network("attcp", classes=("x", "y"))}
    save_networks(tmp_path / "networks.safetensors", saved)
    found = load_networks(tmp_path / "networks.safetensors")
    assert list(found) == list(saved)
    for head, made in found.items():
        assert made.shape == saved[head].shape
        torch.testing.assert_close(made(windows([3, 5])), saved[head](windows([3, 5])), atol=0, rtol=0)


def spoiled(tmp_path: Path, change: dict[str, Tensor | None], about: dict[str, str] | None = None) -> Path:
    """A saved network with tensors replaced (None: taken away) and metadata replaced."""
    path = tmp_path / "networks.safetensors"
    save_networks(path, {"mood": network("sp")})
    with safe_open(path, framework="pt") as file:
        said = file.metadata() | (about or {})
        tensors = {name: file.get_tensor(name) for name in file.keys()} | change  # noqa: SIM118 - no mapping
    save_file({name: tensor for name, tensor in tensors.items() if tensor is not None}, path, said)
    return path


@pytest.mark.parametrize(
    ("change", "about", "said"),
    [
        ({"mood/project.bias": None}, {}, r"'mood/project\.bias' must be torch\.float32 \(256,\), is missing"),
        ({"mood/mix": torch.zeros(5)}, {}, r"'mood/mix' must be torch\.float32 \(4,\), is torch\.float32 \(5,\)"),
        ({"mood/mix": torch.zeros(4).double()}, {}, r"is torch\.float64 \(4,\)"),
        ({"mood/mix": torch.full((4,), torch.nan)}, {}, "'mood/mix' holds values that are no numbers"),
        ({"mood/more": torch.zeros(1)}, {}, "'mood/more' belongs to no head"),
        ({}, {"format": "undertone-networks-2"}, "this version reads 'undertone-networks-1'"),
        ({}, {"heads": '{"mood": {"kind": "lstm"}}'}, "what it says of its heads cannot be read"),
    ],
)
def test_a_file_that_does_not_hold_what_it_says_is_named(
    tmp_path: Path, change: dict[str, Tensor | None], about: dict[str, str], said: str
) -> None:
    path = spoiled(tmp_path, change, about)
    with pytest.raises(NetworkError, match=said) as raised:
        load_networks(path)
    assert str(raised.value).startswith(str(path))


def test_a_damaged_or_missing_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "damaged").write_bytes(b"\x00" * 100)
    for name in ("damaged", "missing"):
        with pytest.raises(NetworkError, match=f"{name}: cannot be read"):
            load_networks(tmp_path / name)
