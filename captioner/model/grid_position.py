"""Where on the picture each cell of the grid lies, as a vector: attention alone cannot tell left from right.

N. Carion et al., "End-to-End Object Detection with Transformers", ECCV 2020, arXiv 2005.12872, section 3.2, which adds
fixed waves; here their mixture is learned.
"""

import math

import torch
from torch import Tensor, nn

_WAVES = 8


class GridPosition(nn.Module):
    """Adds to each cell of a grid, (B, P, H), what is learned of its row and of its column."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.of_waves = nn.Linear(2 * _WAVES, width, bias=False)
        nn.init.normal_(self.of_waves.weight, std=0.05)  # Larger, it hides at first what the cells show.

    def forward(self, grid: Tensor) -> Tensor:
        """Cells, row after row, as the encoder gives them -> the same, placed."""
        placed: Tensor = grid + self.of_waves(_waves(grid.shape[1]).to(grid.device))
        return placed


def _waves(cells: int) -> Tensor:
    """Cosines over the rows and columns, (P, 2 * ``_WAVES``); the grid is as square as ``cells`` can be laid out."""
    rows = next(rows for rows in range(math.isqrt(cells), 0, -1) if cells % rows == 0)
    axes = [(torch.arange(side) + 0.5) / side for side in (rows, cells // rows)]
    waves = [torch.cos(torch.pi * axis[:, None] * torch.arange(1, _WAVES + 1)) for axis in axes]
    return torch.cat([waves[0].repeat_interleave(len(waves[1]), 0), waves[1].repeat(rows, 1)], 1)
