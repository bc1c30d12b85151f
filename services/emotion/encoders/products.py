"""Products of matrices by the fastest library that torch brings for the device (ops/adr/0141-products-by-onednn.md)."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.activations import GELUActivation

_ONEDNN = bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]  # torch's own


def product(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """(n, inputs) by (outputs, inputs) -> (n, outputs), plus the bias."""
    if _by_onednn(rows):
        found: Tensor = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")  # noqa: SLF001 - no other name
        return found
    return functional.linear(rows, weight, bias)


def added(onto: Tensor, rows: Tensor, weight: Tensor) -> Tensor:
    """(n, outputs) more than `onto`: the product of `rows` and `weight`."""
    if _by_onednn(rows):
        found: Tensor = torch.ops.mkldnn._linear_pointwise.binary(rows, onto, weight, None, "add")  # noqa: SLF001 - no other name
        return found
    return torch.addmm(onto, rows, weight.T)


class Product(nn.Module):
    """Linear layers that read the same rows, as one."""

    def __init__(self, *layers: nn.Linear) -> None:
        super().__init__()
        self.weight = _joined([layer.weight for layer in layers])
        self.bias = _joined([layer.bias for layer in layers])

    def forward(self, rows: Tensor) -> Tensor:
        """(n, inputs) -> (n, all outputs)."""
        return product(rows, self.weight, self.bias)

    def activated(self, rows: Tensor) -> Tensor:
        """GELU of it, in one step of a GPU: by tanh, which is off by less than what rounding in between costs."""
        return torch._addmm_activation(self.bias, rows, self.weight.T, use_gelu=True)  # noqa: SLF001 - no other name


def in_place(activation: Any) -> Callable[[Tensor], Tensor]:  # noqa: ANN401 - transformers is not typed
    """The activation of rows that nobody else has: GELU takes no memory of its own then, a third of its time."""
    gelu: Callable[[Tensor], Tensor] = torch.ops.aten.gelu_
    return gelu if isinstance(activation, GELUActivation) else activation


def frozen(values: Tensor) -> nn.Parameter:
    """Weights that are never trained."""
    return nn.Parameter(values.detach(), requires_grad=False)


def _joined(parts: list[Tensor]) -> nn.Parameter:
    return frozen(parts[0] if len(parts) == 1 else torch.cat(parts))


def _by_onednn(rows: Tensor) -> bool:
    """MKL, which torch takes for float32 on a CPU, has half of its speed on AMD's processors."""
    return rows.device.type == "cpu" and rows.dtype == torch.float32 and _ONEDNN
