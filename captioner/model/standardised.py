"""Features standardised over training pictures, for decoders that would drown in what all pictures share."""

import torch
from torch import Tensor, nn


class Standardised(nn.Module):
    """Features (B, P, D) -> the same with mean 0 and deviation 1 over training pictures, and refined.

    Rectified features are never below 0: as they are, training moves most what all pictures have in common, and what
    tells them apart least. An LSTM that sees the picture once can then end with one caption for all.
    """

    mean: Tensor
    """(D,); 0 until ``standardise`` is called."""
    deviation: Tensor
    """(D,); 1 until then."""

    def __init__(self, feature_size: int, refiner: nn.Module) -> None:
        """``refiner`` takes standardised features (B, P, D)."""
        super().__init__()
        self.register_buffer("mean", torch.zeros(feature_size))
        self.register_buffer("deviation", torch.ones(feature_size))
        self.refiner = refiner

    @torch.no_grad()
    def standardise(self, features: Tensor) -> None:
        """Take mean and deviation over all positions of training pictures' features (B, P, D)."""
        deviation, mean = torch.std_mean(features.float().flatten(0, 1), dim=0)
        # What hardly any of these pictures has must not drown all else in the picture that has it.
        self.deviation.copy_(deviation.clamp(min=0.1 * float(deviation.mean()) + 1e-6))
        self.mean.copy_(mean)

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, P, D) -> (B, P, D) or, refined, (B, P, H)."""
        refined: Tensor = self.refiner((features - self.mean) / self.deviation)
        return refined
