"""Additive soft attention over a grid, written for many rows that share few pictures.

D. Bahdanau, K. Cho, Y. Bengio, "Neural Machine Translation by Jointly Learning to Align and Translate", ICLR 2015,
arXiv 1409.0473, appendix A.1.2; over pictures: K. Xu et al., ICML 2015, arXiv 1502.03044, section 3.1.2.

The comparison tanh(key + query) is (n, P, A) numbers at each step, most of this decoder's cost beside its matrix
products. So it is formed a few rows at a time, in the cache, and formed again in the backward pass: that is faster
than fetching it back from memory, and memory does not grow with the length of the captions.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

_CACHED_NUMBERS = 800_000  # Of tanh(key + query) at once: 3.2 MB, about two cores' second-level caches.


class Rows:
    """Which picture each of N rows describes, and where it stands when rows are laid out picture by picture.

    Laid out so, with K slots for each of B pictures, the weighted sums of the values are one small matrix product a
    picture, and the values are read once a picture instead of once a row. Slots without a row stay zero.
    """

    def __init__(self, image_of: Tensor, images: int) -> None:
        """``image_of`` (N,), int64: the picture of each row, in any order."""
        self.image_of = image_of
        self.images = images
        order = torch.argsort(image_of, stable=True)
        counts = torch.bincount(image_of, minlength=images)
        first = torch.cumsum(counts, 0) - counts
        ordered = image_of[order]
        rank = torch.arange(len(order), device=order.device) - first[ordered]
        self.per_image = int(counts.max())
        """K, the most rows that a picture has."""
        self.slot = torch.empty_like(order).index_copy(0, order, ordered * self.per_image + rank)
        """(N,), int64: each row's place among B * K."""

    def lay_out(self, of_rows: Tensor) -> Tensor:
        """(n, X) of the first n rows -> (B, K, X)."""
        empty = of_rows.new_zeros(self.images * self.per_image, of_rows.shape[1])
        return empty.index_copy_(0, self.slot[: len(of_rows)], of_rows).view(self.images, self.per_image, -1)

    def pick_up(self, laid_out: Tensor, count: int) -> Tensor:
        """(B, K, X) -> (n, X) of the first n = ``count`` rows."""
        return laid_out.flatten(0, 1).index_select(0, self.slot[:count])


def compare(keys: Tensor, queries: Tensor, score: Tensor, image_of: Tensor) -> Tensor:
    """keys (B, P, A), queries (n, A), score (A,), image_of (n,) -> score . tanh(key + query), (n, P); all float32."""
    scores = queries.new_empty(len(queries), keys.shape[1])
    for rows, activation in _activations(keys, queries, image_of):
        torch.mv(activation.flatten(0, 1), score, out=scores[rows].view(-1))
    return scores


class CompareGradients:
    """The backward pass of ``compare`` over many steps: what all steps share is summed here, and scaled once."""

    def __init__(self, keys: Tensor, score: Tensor) -> None:
        self._keys, self._score = keys, score
        self._squares = torch.zeros_like(keys)
        self._gradients = keys.new_zeros(keys.shape[:2])
        self.of_score = torch.zeros_like(score)

    def step(self, queries: Tensor, image_of: Tensor, gradient: Tensor) -> Tensor:
        """The gradient of the scores (n, P) -> that of the queries (n, A).

        With t = tanh(key + query) and the scores' gradient g, the sum's is g * score * (1 - t * t).
        """
        squares = torch.empty_like(queries)
        for rows, activation in _activations(self._keys, queries, image_of):
            part = gradient[rows]
            self.of_score.addmv_(activation.flatten(0, 1).t(), part.flatten())
            activation.mul_(activation)
            torch.bmm(part.unsqueeze(1), activation, out=squares[rows].unsqueeze(1))
            self._squares.index_add_(0, image_of[rows], activation.mul_(part.unsqueeze(2)))
        self._gradients.index_add_(0, image_of, gradient)
        return (gradient.sum(dim=1, keepdim=True) - squares).mul_(self._score)

    def of_keys(self) -> Tensor:
        """The gradient of the keys (B, P, A), once all steps are done."""
        return torch.sub(self._gradients.unsqueeze(2), self._squares, out=self._squares).mul_(self._score)


def _activations(keys: Tensor, queries: Tensor, image_of: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Slices of rows, each with its tanh(key + query), (rows, P, A), in a buffer that the next slice overwrites."""
    count = len(queries)
    at_once = max(1, min(count, _CACHED_NUMBERS // keys[0].numel())) if keys.device.type == "cpu" else count
    buffer = keys.new_empty(at_once, *keys.shape[1:])
    for start in range(0, count, at_once):
        rows = slice(start, min(start + at_once, count))
        activation = buffer[: rows.stop - rows.start]
        torch.index_select(keys, 0, image_of[rows], out=activation)
        yield rows, activation.add_(queries[rows].unsqueeze(1)).tanh_()
