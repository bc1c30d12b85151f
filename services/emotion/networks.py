"""DNN-SP and DNN-AttCP: a weighted sum of an encoder's hidden layers, 256 channels, pooling, one linear layer.

The encoder is frozen and no part of this. Kakouros et al., *Speech-based emotion recognition with self-supervised
models using attentive channel-wise correlations and label smoothing*, ICASSP 2023.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.nn import functional

from services.emotion.features.feature import Framewise
from services.emotion.manifest import Kind
from services.emotion.pooling import CorrelationPooling, StatisticsPooling

Positive = Annotated[int, msgspec.Meta(ge=1)]
Judged = tuple[NDArray[np.float32], NDArray[np.float64]]

CHANNELS = 256
POOLINGS: Mapping[Kind, type[StatisticsPooling | CorrelationPooling]] = {
    "sp": StatisticsPooling,
    "attcp": CorrelationPooling,
}
SMOOTHING = {"sp": 0.0, "attcp": 0.1}  #: of the labels; 0.1 is chosen here, the papers name no figure
FORMAT = "undertone-networks-1"
_ABOUT = "networks"  #: one entry of metadata: of several safetensors does not keep the order, and so not the bytes


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
        weights = self.layer_weights()
        return self.of_mixed([torch.einsum("l,ltv->tv", weights, window) for window in windows])

    def of_mixed(self, windows: Sequence[Tensor]) -> Tensor:
        """The same of each window's sum of layers by `layer_weights`, (frames, values)."""
        sizes = [len(window) for window in windows]
        frames = nn.utils.rnn.pad_sequence(self.project(torch.cat(list(windows))).split(sizes), batch_first=True)
        lengths = torch.tensor(sizes, device=frames.device)
        mask = torch.arange(frames.shape[1], device=frames.device) < lengths[:, None]
        scores: Tensor = self.classify(self.pooling(frames, mask))
        return scores

    def loss(self, scores: Tensor, wanted: Tensor) -> Tensor:
        """Cross-entropy summed over windows; for AttCP with smoothed labels."""
        return functional.cross_entropy(scores, wanted, reduction="sum", label_smoothing=SMOOTHING[self.shape.kind])


@dataclass(frozen=True, slots=True)
class Networks:
    """What judges in a bundle of networks, in place of machines, and the scale by which windows' distances are told."""

    by_head: Mapping[str, Network] = field(repr=False)
    mean: NDArray[np.float64] = field(repr=False)  #: (values,) of the training windows, in the manifest's hidden layer
    scale: NDArray[np.float64] = field(repr=False)  #: (values,)

    @property
    def classes(self) -> dict[str, tuple[str, ...]]:
        """Head -> its classes, in the order of the columns."""
        return {head: network.shape.classes for head, network in self.by_head.items()}


@torch.inference_mode()
def listen(networks: Networks, feature: Framewise, layer: int, windows: Sequence[NDArray[np.float32]]) -> list[Judged]:
    """Of each window at the feature's rate: the mean frame of a layer, (values,), and every head's values, (columns,).

    Networks hear each window by itself, so none can change another's result. Every network's sum of the layers is made
    while they pass, and so is that layer by itself: all layers of 20 s would be 100 MB.
    """
    by_head = networks.by_head.values()
    mixes = torch.stack([network.layer_weights() for network in by_head])  # (heads, layers)
    own = functional.one_hot(torch.tensor([layer]), mixes.shape[1]).to(mixes)
    found: dict[int, Judged] = {}
    for at, (frames, *sums) in feature.mixed(windows, torch.cat([own, mixes])):
        scores = torch.cat([network.of_mixed([mixed])[0] for network, mixed in zip(by_head, sums, strict=True)])
        found[at] = frames.mean(dim=0).cpu().numpy(), scores.double().cpu().numpy()
    return [found[at] for at in range(len(windows))]


def save_networks(networks: Mapping[str, Network]) -> bytes:
    """Head -> network as one safetensors file that says what each network takes and says."""
    tensors = {
        f"{head}/{name}": tensor.detach().cpu().contiguous()
        for head, network in networks.items()
        for name, tensor in network.state_dict().items()
    }
    about = _About(FORMAT, {head: network.shape for head, network in networks.items()})
    return save(tensors, {_ABOUT: msgspec.json.encode(about).decode()})


def load_networks(path: Path, content: bytes) -> dict[str, Network]:
    """Head -> network, ready to judge, on the CPU. NetworkError, naming `path`: it is damaged or not as it says."""
    try:
        tensors = load(content)
    except SafetensorError as error:
        raise NetworkError(f"{path}: cannot be read ({error}); train it again or copy it again") from error
    networks = {head: _network(path, head, shape, tensors) for head, shape in _shapes(path, content).items()}
    if surplus := set(tensors) - {f"{head}/{name}" for head, made in networks.items() for name in made.state_dict()}:
        raise NetworkError(f"{path}: tensor {min(surplus)!r} belongs to no head that it names; train it again")
    return networks


class _Format(msgspec.Struct):
    format: str


class _About(_Format, forbid_unknown_fields=True):
    heads: dict[str, Shape]


def _shapes(path: Path, content: bytes) -> dict[str, Shape]:
    # safetensors has no way to metadata but through a file, which may be another by now: 8 bytes of length, then JSON.
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    about = header.get("__metadata__", {}).get(_ABOUT, "{}")
    try:
        found = msgspec.json.decode(about, type=_Format).format
        if found == FORMAT:
            return msgspec.json.decode(about, type=_About).heads
    except msgspec.MsgspecError as error:
        raise NetworkError(f"{path}: what it says of its heads cannot be read ({error}); train it again") from error
    raise NetworkError(f"{path}: format {found!r}, this version reads {FORMAT!r}; train it again or update undertone")


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
