"""Sub-layers of transformers, normalised before each: multi-head attention and the feed-forward network.

A. Vaswani et al., "Attention Is All You Need", NeurIPS 2017, arXiv 1706.03762, section 3; the normalisation's place as
in R. Xiong et al., "On Layer Normalization in the Transformer Architecture", ICML 2020, arXiv 2002.04745. Each gives
what is to be added to its input x, whose H numbers are the width.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from captioner.batch import Batch
from captioner.model.soft_attention import Rows

Remembered = tuple[Tensor, Tensor]
"""Keys and values of some places, (rows, heads, places, H / heads) each."""


@dataclass(frozen=True)
class Layout:
    """Where M places stand in a table of R rows of T places, the rows of each picture side by side."""

    rows: int
    steps: int
    places: Tensor | None = None
    """(M,), int64: numbers among R * T; None where every place is there, in order."""

    @classmethod
    def of_batch(cls, batch: Batch, images: int) -> "Layout":
        """Of a batch's packed words: as many rows for each of B = ``images`` as the picture with the most captions."""
        rows, steps = Rows(batch.image_of, images), len(batch.active)
        slots = rows.slot[batch.rows.to(rows.slot.device)]
        return cls(images * rows.per_image, steps, slots * steps + batch.steps.to(slots.device))

    def lay_out(self, packed: Tensor) -> Tensor:
        """(M, X) -> (R, T, X), zeros where nothing stands."""
        if self.places is not None:
            empty = packed.new_zeros(self.rows * self.steps, packed.shape[-1])
            packed = empty.index_copy_(0, self.places, packed)
        return packed.view(self.rows, self.steps, -1)

    def pick_up(self, laid_out: Tensor) -> Tensor:
        """(R, T, X) -> (M, X)."""
        flat = laid_out.reshape(self.rows * self.steps, -1)
        return flat if self.places is None else flat.index_select(0, self.places)


class SelfAttention(nn.Module):
    """Each place looks at the places of its row."""

    def __init__(self, width: int, heads: int, gain: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.project = linear(width, 3 * width)
        self.output = linear(width, width, gain)

    def forward(
        self, x: Tensor, layout: Layout, *, causal: bool, past: Remembered | None = None
    ) -> tuple[Tensor, Remembered]:
        """x (M, H) -> what to add to it, and the row's keys and values: those of the ``past``, then x's own.

        ``causal``: nothing that comes later in the row is seen.
        """
        projected = layout.lay_out(_to_compare(self.project(self.norm(x))))
        queries, keys, values = _split(projected, 3, self.heads)
        if past is not None:
            keys, values = torch.cat([past[0], keys], dim=2), torch.cat([past[1], values], dim=2)
        seen = layout.pick_up(_attend(queries, keys, values, causal))
        return self.output(seen), (keys, values)


class CrossAttention(nn.Module):
    """Each place looks at its picture; the picture's keys and values are the same for all its rows."""

    def __init__(self, width: int, heads: int, gain: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.query = linear(width, width)
        self.look = linear(width, 2 * width)
        self.output = linear(width, width, gain)

    def remember(self, grid: Tensor) -> Remembered:
        """Pictures' positions (B, P, H) -> their keys and values."""
        keys, values = _split(_to_compare(self.look(grid)), 2, self.heads)
        return keys, values

    def forward(self, x: Tensor, layout: Layout, picture: Remembered) -> Tensor:
        """x (M, H), and what ``remember`` gave -> what to add to x."""
        keys, values = picture
        projected = layout.lay_out(_to_compare(self.query(self.norm(x))))
        (queries,) = _split(projected.view(keys.shape[0], -1, x.shape[-1]), 1, self.heads)  # Of K * T words a picture.
        output: Tensor = self.output(layout.pick_up(_attend(queries, keys, values, causal=False)))
        return output

    def weights(self, x: Tensor, layout: Layout, picture: Remembered) -> Tensor:
        """As ``forward``, where each place looks: (R, T, P), the mean over heads, in float32."""
        keys, _ = picture
        (queries,) = _split(layout.lay_out(self.query(self.norm(x))), 1, self.heads)
        scores = queries.float() @ keys.float().transpose(2, 3) * queries.shape[-1] ** -0.5
        weights: Tensor = scores.softmax(dim=-1).mean(dim=1)
        return weights


class FeedForward(nn.Sequential):
    """Each place by itself; with D. Hendrycks, K. Gimpel's GELU, arXiv 1606.08415."""

    def __init__(self, width: int, inner: int, gain: float) -> None:
        super().__init__(nn.LayerNorm(width), linear(width, inner), nn.GELU(), linear(inner, width, gain))


def linear(inputs: int, outputs: int, gain: float = 1.0) -> nn.Linear:
    """A linear layer after X. Glorot, Y. Bengio, AISTATS 2010, without an offset at first."""
    layer = nn.Linear(inputs, outputs)
    nn.init.xavier_uniform_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer


def _to_compare(projected: Tensor) -> Tensor:
    """In float32 where it is to be learned from on a CPU: attention's backward pass in bfloat16 is far slower there."""
    return projected.float() if projected.requires_grad and projected.device.type == "cpu" else projected


def _split(projected: Tensor, parts: int, heads: int) -> tuple[Tensor, ...]:
    """(R, T, parts * H) -> for each part (R, heads, T, H / heads)."""
    rows, steps, _ = projected.shape
    return tuple(part.view(rows, steps, heads, -1).transpose(1, 2) for part in projected.chunk(parts, dim=-1))


def _attend(queries: Tensor, keys: Tensor, values: Tensor, causal: bool) -> Tensor:
    """Queries (R, heads, T, d), keys and values (R, heads, places, d) -> (R, T, heads * d)."""
    with torch.autocast(queries.device.type, enabled=False):
        seen = F.scaled_dot_product_attention(queries, keys, values, is_causal=causal)
    return seen.transpose(1, 2).flatten(2)
