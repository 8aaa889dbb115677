"""Dropout whose masks cost a seventh of the random numbers.

N. Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting", JMLR 15, 2014.
"""

import torch
from torch import Tensor, nn


class Dropout(nn.Module):
    """As ``nn.Dropout``, with a probability rounded to 1/256.

    On a CPU torch draws a mask one element at a time on one core, which took a sixth of a training step here. One
    64-bit draw gives seven independent bytes, each a fair threshold test. The scale uses the rounded probability, so
    that the expectation is exact.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        """Any shape and type -> the same."""
        dropped = round(self.probability * 256)
        if not self.training or not dropped:
            return x
        if x.device.type != "cpu":
            return nn.functional.dropout(x, dropped / 256)
        draws = torch.empty(-(-x.numel() // 7), dtype=torch.int64).random_()
        # The topmost byte has only 63 - 56 = 7 random bits, since draws are never negative: leave it out.
        octets = draws.view(torch.uint8).view(-1, 8)[:, :7].reshape(-1)[: x.numel()]
        kept = (octets >= dropped).view(x.shape)
        return x * (kept.to(x.dtype) * (256 / (256 - dropped)))

    def extra_repr(self) -> str:
        """The probability, as ``print`` of a module shows it."""
        return f"{self.probability}"
