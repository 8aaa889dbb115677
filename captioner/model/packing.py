"""Weights laid out once as oneDNN's products want them, in copies for inference, whose own weights stay as they are.

Otherwise each product of bfloat16 numbers lays its matrix out anew: of few rows, as a word for each of some pictures
is, that takes as long as the product.
"""

from collections.abc import Callable
from functools import lru_cache, partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Layouts:
    """Weights in oneDNN's layout, which differs with the number of threads that share a product.

    One made for other threads would be brought into order at every product, one number after the other.
    """

    def __init__(self) -> None:
        self._of_threads: dict[int, Tensor] = {}

    def get(self, lay_out: Callable[[], Tensor]) -> Tensor:
        """That of this thread's products; ``lay_out`` makes it where there is none yet."""
        threads = torch.get_num_threads()
        if threads not in self._of_threads:
            self._of_threads[threads] = lay_out()
        return self._of_threads[threads]

    def __reduce__(self) -> tuple[type["Layouts"], tuple[()]]:
        """A copy has none yet: torch can neither copy nor pickle them."""
        return Layouts, ()


class PackedLinear(nn.Linear):
    """A linear layer with its matrix in oneDNN's layout too."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        """Of parameters that are there already: (O, I) and (O,)."""
        outputs, inputs = weight.shape
        super().__init__(inputs, outputs, bias=False, device="meta")
        self.weight, self.bias = weight, bias  # type: ignore[assignment]
        self._layouts = Layouts()

    @property
    def packed(self) -> Tensor:
        """The matrix, for ``product``."""
        return self._layouts.get(partial(_pack, self.weight))

    def forward(self, x: Tensor) -> Tensor:
        """(..., I) -> (..., O)."""
        return product(x, self.packed, self.bias)


def pack_linear(module: nn.Module) -> None:
    """Let the linear layers within ``module`` be fast at products of few rows on a CPU."""
    for name, part in list(module.named_modules()):
        if not isinstance(part, nn.Linear) or part.weight.device.type != "cpu":
            continue
        if part.weight.dtype == torch.float32:
            # An input's weights side by side instead of an output's: that takes three quarters of the time.
            part.weight.data = part.weight.data.t().contiguous().t()
        elif packs(part.weight):
            module.set_submodule(name, PackedLinear(part.weight, part.bias))


def packs(weight: Tensor) -> bool:
    """Whether packing gains, and this torch and this processor do it."""
    return weight.device.type == "cpu" and weight.dtype == torch.bfloat16 and _works()


def matrix(layer: nn.Linear) -> Tensor:
    """A layer's matrix (O, I), for ``product``."""
    return layer.packed if isinstance(layer, PackedLinear) else layer.weight


def product(x: Tensor, matrix: Tensor, bias: Tensor | None = None) -> Tensor:
    """x (..., I) and a matrix (O, I), in whatever layout -> (..., O)."""
    if not matrix.is_mkldnn:
        return F.linear(x, matrix, bias)
    result: Tensor = torch.ops.mkldnn._linear_pointwise(x, matrix, bias, "none", [], "")
    return result


def _pack(matrix: Tensor) -> Tensor:
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(matrix)
    return packed


@lru_cache(maxsize=1)
def _works() -> bool:
    """The operators are torch.compile's, and not documented."""
    ones = torch.ones(2, 2, dtype=torch.bfloat16)
    try:
        return torch.equal(product(ones, _pack(ones), ones[0]), F.linear(ones, ones, ones[0]))
    except (AttributeError, RuntimeError, TypeError):
        return False
