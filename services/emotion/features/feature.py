"""What every feature is: windows in, vectors out."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol, TypeGuard

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor  # not everywhere

Array = NDArray[np.float32]


class FeatureError(ValueError):
    """A feature cannot be opened or computed. The message names the file or setting, and the remedy."""


class Feature(Protocol):
    """Describes windows. Pure: a window's vector is the same whatever else is in the batch."""

    @property
    def name(self) -> str:
        """What bundles, caches and reports call it; a change of any value is a new name or `version`."""

    @property
    def version(self) -> str:
        """Of the code and of the weights behind the values, part of a cache's key."""

    @property
    def rate(self) -> int:
        """Hz of the windows that it takes."""

    @property
    def layers(self) -> int:
        """How many hidden layers it gives, the input of the first included; 1 where it has none."""

    @property
    def values(self) -> int:
        """How many values a layer's vector has."""

    def vectors(self, windows: Sequence[Array]) -> Array:
        """(n, layers, values) of n windows, float32, mono, full scale 1, each of a length of its own."""


class Framewise(Feature, Protocol):
    """A feature of hidden layers: their frames too, for heads that pool them by themselves, and as deep as asked."""

    def frames(self, windows: Sequence[Array]) -> list[Array]:
        """(layers, frames, values) of each window."""

    def hidden(self, windows: Sequence[Array]) -> "Iterator[tuple[int, Tensor]]":
        """Index and the same frames of each window, where they were computed, in any order; few are held at once."""

    def mixed(self, windows: Sequence[Array], weights: "Tensor") -> "Iterator[tuple[int, Tensor]]":
        """Index and (sums, frames, values) of each window: its layers summed as `weights`, (sums, layers), says.

        Few windows' sums are held at once, and of no window all layers.
        """

    def vectors(self, windows: Sequence[Array], layers: Sequence[int] | None = None, rate: int | None = None) -> Array:
        """(n, layers, values): of every layer that is left, or of these, in this order; none after them is computed.

        Windows are at the feature's rate, or at one of which that is a multiple.
        """

    def exit_at(self, layer: int) -> None:
        """Forget what comes after this layer."""

    def warm(self, layers: Sequence[int] | None = None) -> None:
        """Do what would keep the first windows waiting."""


def has_frames(feature: Feature) -> TypeGuard[Framewise]:
    """Whether a feature gives its frames too."""
    return hasattr(feature, "frames")
