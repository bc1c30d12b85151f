import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save
from torch import Tensor
from torch.nn import functional

from services.emotion.manifest import Kind
from services.emotion.networks import Network, NetworkError, Shape, load_networks, save_networks

PATH = Path("networks.safetensors")
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


def test_networks_come_back_as_they_were_saved() -> None:
    saved = {"mood.full": network("sp"), "mood.binary": network("attcp", classes=("x", "y"))}
    found = load_networks(PATH, save_networks(saved))
    assert list(found) == list(saved)
    for head, made in found.items():
        assert made.shape == saved[head].shape
        torch.testing.assert_close(made(windows([3, 5])), saved[head](windows([3, 5])), atol=0, rtol=0)


def test_the_same_networks_are_the_same_bytes() -> None:
    saved = {"mood.full": network("sp"), "mood.binary": network("attcp")}
    assert len({save_networks(saved) for _ in range(10)}) == 1


def spoiled(change: dict[str, Tensor | None], about: dict[str, Any]) -> bytes:
    """A saved network with tensors replaced (None: taken away), and what it says of itself replaced."""
    content = save_networks({"mood": network("sp")})
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    said = json.loads(header["__metadata__"]["networks"]) | about
    tensors = {name: tensor for name, tensor in (load(content) | change).items() if tensor is not None}
    return save(tensors, {"networks": json.dumps(said)})


@pytest.mark.parametrize(
    ("change", "about", "said"),
    [
        ({"mood/project.bias": None}, {}, r"'mood/project\.bias' must be torch\.float32 \(256,\), is missing"),
        ({"mood/mix": torch.zeros(5)}, {}, r"'mood/mix' must be torch\.float32 \(4,\), is torch\.float32 \(5,\)"),
        ({"mood/mix": torch.zeros(4).double()}, {}, r"is torch\.float64 \(4,\)"),
        ({"mood/mix": torch.full((4,), torch.nan)}, {}, "'mood/mix' holds values that are no numbers"),
        ({"mood/more": torch.zeros(1)}, {}, "'mood/more' belongs to no head"),
        ({}, {"format": "undertone-networks-2"}, "this version reads 'undertone-networks-1'"),
        ({}, {"heads": {"mood": {"kind": "lstm"}}}, "what it says of its heads cannot be read"),
    ],
)
def test_a_file_that_does_not_hold_what_it_says_is_named(
    change: dict[str, Tensor | None], about: dict[str, Any], said: str
) -> None:
    with pytest.raises(NetworkError, match=said) as raised:
        load_networks(PATH, spoiled(change, about))
    assert str(raised.value).startswith(str(PATH))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x00" * 100, "cannot be read"),
        (b"", "cannot be read"),
        (save({"mood/mix": torch.zeros(4)}), "what it says of its heads cannot be read"),
        (save({"mood/mix": torch.zeros(4)}, {"networks": "{"}), "what it says of its heads cannot be read"),
    ],
)
def test_a_damaged_file_or_one_that_says_nothing_of_itself_is_named(content: bytes, said: str) -> None:
    with pytest.raises(NetworkError, match=f"{PATH}: {said}"):
        load_networks(PATH, content)
