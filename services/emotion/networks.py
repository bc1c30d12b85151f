"""DNN-SP and DNN-AttCP: a weighted sum of an encoder's hidden layers, 256 channels, pooling, one linear layer.

The encoder is frozen and no part of this. Kakouros et al., *Speech-based emotion recognition with self-supervised
models using attentive channel-wise correlations and label smoothing*, ICASSP 2023.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from services.emotion.pooling import CorrelationPooling, StatisticsPooling

Kind = Literal["sp", "attcp"]
Positive = Annotated[int, msgspec.Meta(ge=1)]

CHANNELS = 256
POOLINGS: Mapping[Kind, type[StatisticsPooling | CorrelationPooling]] = {
    "sp": StatisticsPooling,
    "attcp": CorrelationPooling,
}
SMOOTHING = {"sp": 0.0, "attcp": 0.1}  #: of the labels; 0.1 is chosen here, the papers name no figure
FORMAT = "undertone-networks-1"


class NetworkError(ValueError):
    """A file of networks cannot be used. The message names the file, what is wrong, and the remedy."""


class Shape(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a network takes and says."""

    kind: Kind
    layers: Positive  #: hidden layers of the encoder, the input of the first included
    values: Positive  #: of a layer's frame
    classes: Annotated[tuple[str, ...], msgspec.Meta(min_length=2)]


class Network(nn.Module):
    """One head: frames of windows in, a number a class out."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.mix = nn.Parameter(torch.zeros(shape.layers))
        self.project = nn.Linear(shape.values, CHANNELS)
        pooling = POOLINGS[shape.kind](CHANNELS)
        self.pooling = pooling
        self.classify = nn.Linear(pooling.values, len(shape.classes))

    def layer_weights(self) -> Tensor:
        """(layers,): how much each hidden layer counts, summing to 1."""
        return self.mix.softmax(dim=0)

    def forward(self, windows: Sequence[Tensor]) -> Tensor:
        """(layers, frames, values) of each window, each of its own length -> (windows, classes).

        The layers are summed window by window, so that what is padded is 256 channels wide and not all the layers.
        """
        weights, sizes = self.layer_weights(), [window.shape[1] for window in windows]
        mixed = torch.cat([torch.einsum("l,ltv->tv", weights, window) for window in windows])  # (all frames, values)
        frames = nn.utils.rnn.pad_sequence(self.project(mixed).split(sizes), batch_first=True)  # (windows, frames, ...)
        lengths = torch.tensor(sizes, device=frames.device)
        mask = torch.arange(frames.shape[1], device=frames.device) < lengths[:, None]
        scores: Tensor = self.classify(self.pooling(frames, mask))
        return scores

    def loss(self, scores: Tensor, wanted: Tensor) -> Tensor:
        """Cross-entropy summed over windows; for AttCP with smoothed labels."""
        return functional.cross_entropy(scores, wanted, reduction="sum", label_smoothing=SMOOTHING[self.shape.kind])


def save_networks(path: Path, networks: Mapping[str, Network]) -> None:
    """Write head -> network as one safetensors file that says what each network takes and says."""
    tensors = {
        f"{head}/{name}": tensor.detach().cpu().contiguous()
        for head, network in networks.items()
        for name, tensor in network.state_dict().items()
    }
    shapes = {head: network.shape for head, network in networks.items()}
    save_file(tensors, path, {"format": FORMAT, "heads": msgspec.json.encode(shapes).decode()})


def load_networks(path: Path) -> dict[str, Network]:
    """Head -> network, ready to judge, on the CPU. NetworkError: the file is missing, damaged or not as it says."""
    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (OSError, SafetensorError) as error:
        raise NetworkError(f"{path}: cannot be read ({error}); train it again or copy it again") from error
    networks = {head: _network(path, head, shape, tensors) for head, shape in _shapes(path, about).items()}
    if surplus := set(tensors) - {f"{head}/{name}" for head, made in networks.items() for name in made.state_dict()}:
        raise NetworkError(f"{path}: tensor {min(surplus)!r} belongs to no head that it names; train it again")
    return networks


def _shapes(path: Path, about: Mapping[str, str]) -> dict[str, Shape]:
    if about.get("format") != FORMAT:
        raise NetworkError(
            f"{path}: format {about.get('format')!r}, this version reads {FORMAT!r}; train it again or update undertone"
        )
    try:
        return msgspec.json.decode(about.get("heads", ""), type=dict[str, Shape])
    except msgspec.MsgspecError as error:
        raise NetworkError(f"{path}: what it says of its heads cannot be read ({error}); train it again") from error


def _network(path: Path, head: str, shape: Shape, tensors: Mapping[str, Tensor]) -> Network:
    with torch.device("meta"):  # shapes without memory: a file may claim any size
        made = Network(shape)
    state: dict[str, Tensor] = {}
    for name, wanted in made.state_dict().items():
        found = tensors.get(f"{head}/{name}")
        if found is None or found.shape != wanted.shape or found.dtype != wanted.dtype:
            said = "missing" if found is None else f"{found.dtype} {tuple(found.shape)}"
            raise NetworkError(
                f"{path}: tensor '{head}/{name}' must be {wanted.dtype} {tuple(wanted.shape)}, is {said};"
                " train it again"
            )
        if not found.isfinite().all():
            raise NetworkError(f"{path}: tensor '{head}/{name}' holds values that are no numbers; train it again")
        state[name] = found
    made.load_state_dict(state, assign=True)
    return made.eval()
