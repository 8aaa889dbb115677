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

    def __init__(self, model: nn.Module, decay: float, *, trained: bool = False) -> None:
        """``decay`` is the share of the average that a step keeps; 0 makes the average the weights themselves.

        Where the model is ``trained`` already, the weights that it begins with count like any others. They go a long
        way towards a good average: M. Wortsman et al., "Robust Fine-tuning of Zero-shot Models", CVPR 2022.
        """
        self.decay = decay
        self.trained = trained
        self._weights: list[Tensor] = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.values = [weight.detach().clone() for weight in self._weights] if decay else []
        """The averages, in the order of the model's trained parameters; empty when ``decay`` is 0."""

    @torch.no_grad()
    def update(self, steps: int) -> None:
        """Take in the weights after step number ``steps``. After chance weights, the first steps count for more."""
        if self.decay:
            kept = self.decay if self.trained else min(self.decay, (1 + steps) / (10 + steps))
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
