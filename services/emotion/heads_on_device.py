"""The packed machines' product on a device of torch's: beside an encoder that needs half a millisecond a window."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from services.emotion.heads import Array, Fast, Product


def on(device: str) -> Callable[[Fast], Product]:
    """What `heads.fast` takes, to score on this device."""

    def elsewhere(made: Fast) -> Product:
        support, dual = (torch.from_numpy(each).to(device) for each in (made.support, made.dual.astype(np.float64)))
        intercept = torch.from_numpy(made.heads.intercept).to(device)

        @torch.inference_mode()
        def product(points: NDArray[np.float32]) -> Array:
            rows = torch.from_numpy(points).to(device)
            kernel = (rows @ support).exp_()  # (n, support vectors)
            far = torch.exp(-made.heads.gamma * rows.double().square().sum(dim=1))
            found: Array = (far[:, None] * (kernel.double() @ dual) + intercept).cpu().numpy()
            return found

        return product

    return elsewhere
