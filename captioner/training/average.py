"""The exponential moving average of a model's weights, which often scores better than the weights themselves."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """Follows the trained weights of a model, step by step.

    B. T. Polyak, A. B. Juditsky, "Acceleration of Stochastic Approximation by Averaging", SIAM J. Control Optim. 1992;
    exponential, as in C. Szegedy et al., "Rethinking the Inception Architecture", CVPR 2016, section 8.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        """``decay`` is the share of the average that a step keeps; 0 makes the average the weights themselves."""
        self.decay = decay
        self._weights: list[Tensor] = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.values = [weight.detach().clone() for weight in self._weights] if decay else []
        """The averages, in the order of the model's trained parameters; empty when ``decay`` is 0."""

    @torch.no_grad()
    def update(self, steps: int) -> None:
        """Take in the weights after step number ``steps``; the first steps count for more, being few."""
        if self.decay:
            kept = min(self.decay, (1 + steps) / (10 + steps))
            torch._foreach_lerp_(self.values, self._weights, 1 - kept)

    def load(self, values: list[Tensor]) -> None:
        """Continue from saved averages."""
        for value, saved in zip(self.values, values, strict=True):
            value.copy_(saved)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within, the model has its averaged weights."""
        kept = [weight.detach().clone() for weight in self._weights] if self.decay else []
        self._set(self.values)
        try:
            yield
        finally:
            self._set(kept)

    @torch.no_grad()
    def _set(self, values: list[Tensor]) -> None:
        if values:
            torch._foreach_copy_(self._weights, values)
