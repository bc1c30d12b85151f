"""One head of the DNNs as it learns: what it draws, how it steps, how well it did, and what it was at its best."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from services.emotion.manifest import Kind
from services.emotion.networks import Network, Shape
from services.training.errors import TrainingError

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train. The paper names Adam, its rate, and down-sampling; the rest is chosen here."""

    kind: Kind
    rate: float = 3e-4
    batch: int = 32  #: windows a step
    epochs: int = 50  #: at most
    patience: int = 8  #: epochs without a better dev macro-F1, after which a head is done
    seed: int = 0


def seed_of(recipe: Recipe, *what: object) -> int:
    """A seed of its own for each thing that is drawn."""
    return crc32(repr((recipe.seed, *what)).encode())


class Learner:
    """A head's network, its optimiser, and its dev macro-F1 after each epoch."""

    def __init__(self, head: str, shape: Shape, recipe: Recipe, device: torch.device) -> None:
        self.head, self.recipe, self.device = head, recipe, device
        torch.manual_seed(seed_of(recipe, head))
        self.network = Network(shape).to(device)
        self.optimiser = torch.optim.Adam(self.network.parameters(), recipe.rate)
        self.best = _copy(self.network)
        self.scores: list[float] = []
        self._seen = 0  #: windows since the last step

    @property
    def done(self) -> bool:
        """Whether it has not got better for as long as patience lasts."""
        return bool(self.scores) and len(self.scores) - 1 - int(np.argmax(self.scores)) >= self.recipe.patience

    def drawn(self, wanted: Rows, rows: Rows, epoch: int) -> Rows:
        """As many of the rows of each class as the rarest has, drawn anew each epoch."""
        random = np.random.default_rng(seed_of(self.recipe, self.head, epoch))
        found = [rows[wanted[rows] == index] for index in range(len(self.network.shape.classes))]
        least = min(map(len, found))
        return np.concatenate([random.choice(each, least, replace=False) for each in found])

    def learn(self, windows: Sequence[Tensor], wanted: Rows) -> None:
        """Add up slopes, and step after each whole batch of windows, however few come at a time."""
        start = 0
        while start < len(windows):
            part = slice(start, start + self.recipe.batch - self._seen)
            self._add(windows[part], torch.as_tensor(wanted[part], device=self.device))
            start = part.stop
            if self._seen == self.recipe.batch:
                self.step()

    def _add(self, windows: Sequence[Tensor], wanted: Tensor) -> None:
        loss = self.network.loss(self.network(windows), wanted)
        if not loss.isfinite():
            raise TrainingError(
                f"head {self.head}: the loss is no number; look for frames that are none, or lower the rate"
            )
        loss.backward()  # type: ignore[no-untyped-call] # torch has not typed it
        self._seen += len(wanted)

    def step(self) -> None:
        """Step by the mean slope of the windows seen since the last step, if there were any."""
        if self._seen == 0:
            return
        for weights in self.network.parameters():
            if weights.grad is not None:
                weights.grad /= self._seen
        self.optimiser.step()
        self.optimiser.zero_grad()
        self._seen = 0

    def judged(self, score: float) -> None:
        """Remember how well it did, and the weights where it never did better."""
        if score > max(self.scores, default=-1.0):
            self.best = _copy(self.network)
        self.scores.append(score)

    def best_network(self) -> Network:
        """The network at its best, on the CPU."""
        with torch.device("meta"):  # draws nothing: its weights are given
            found = Network(self.network.shape)
        found.load_state_dict(self.best, assign=True)
        return found.eval()

    def state(self) -> dict[str, Any]:
        """All that the next epoch depends on, for `torch.save`."""
        network, optimiser = self.network.state_dict(), self.optimiser.state_dict()
        return {"network": network, "optimiser": optimiser, "best": self.best, "scores": self.scores}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.best, self.scores = state["best"], state["scores"]


def _copy(network: Network) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}
