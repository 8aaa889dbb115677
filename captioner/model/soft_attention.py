"""Additive soft attention over a grid, written for many rows that share few pictures.

D. Bahdanau, K. Cho, Y. Bengio, "Neural Machine Translation by Jointly Learning to Align and Translate", ICLR 2015,
arXiv 1409.0473, appendix A.1.2; over pictures: K. Xu et al., ICML 2015, arXiv 1502.03044, section 3.1.2.

The comparison tanh(key + query) is (n, P, A) numbers at each step, most of this decoder's cost beside its matrix
products. So it is formed a few rows at a time, in the cache, and formed again in the backward pass: that is faster
than fetching it back from memory, and memory does not grow with the length of the captions. It is formed as

    tanh(key + query) / 2 = 1 / (1 + exp(-2 key) exp(-2 query)) - 1/2

whose exponentials are taken once a key and once a query (``factors``). What is left for each pair, a product, a sum
and a reciprocal, takes a CPU a tenth of the time of a tanh.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

_LARGEST = 43.0  # Whose factor is neither 0 nor infinite: then products that are either give a tanh of 1 or -1.
_CACHED_NUMBERS = 800_000  # Of comparisons at once: 3.2 MB, about two cores' second-level caches.


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

    def halves(self, keys: Tensor, queries: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Factors of keys (B, P, A) and queries (n, A) -> slices of rows, with tanh(key + query) / 2 (rows, P, A).

        These share a buffer, which the next slice overwrites.
        """
        count = len(queries)
        at_once = min(count, _at_once(keys))
        buffer = keys.new_empty(at_once, *keys.shape[1:])
        for start in range(0, count, at_once):
            rows = slice(start, min(start + at_once, count))
            found = buffer[: rows.stop - rows.start]
            torch.index_select(keys, 0, self.image_of[rows], out=found)
            yield rows, _half_tanh(found.mul_(queries[rows].unsqueeze(1)))


class EvenRows(Rows):
    """As many rows for each picture, in the pictures' order, as beams are: nothing has to be moved."""

    def __init__(self, images: int, per_image: int) -> None:
        self.images, self.per_image = images, per_image

    def lay_out(self, of_rows: Tensor) -> Tensor:
        """(B * K, X) -> (B, K, X)."""
        return of_rows.view(self.images, self.per_image, -1)

    def pick_up(self, laid_out: Tensor, count: int) -> Tensor:
        """(B, K, X) -> (B * K, X)."""
        return laid_out.flatten(0, 1)

    def halves(self, keys: Tensor, queries: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """See ``Rows.halves``."""
        width, laid_out = self.per_image, self.lay_out(queries).unsqueeze(2)
        at_once = min(self.images, max(1, _at_once(keys) // width))
        buffer = keys.new_empty(at_once, width, *keys.shape[1:])
        for start in range(0, self.images, at_once):
            images = slice(start, min(start + at_once, self.images))
            found = torch.mul(keys[images].unsqueeze(1), laid_out[images], out=buffer[: images.stop - images.start])
            yield slice(images.start * width, images.stop * width), _half_tanh(found).flatten(0, 1)


def factors(numbers: Tensor) -> Tensor:
    """exp(-2x) for each x of keys or queries: the product of two is that of their sum. In float32."""
    return numbers.float().clamp(-_LARGEST, _LARGEST).mul_(-2).exp_()


def compare(keys: Tensor, queries: Tensor, score: Tensor, rows: Rows) -> Tensor:
    """score . tanh(key + query), (n, P), float32, of the first n rows.

    ``keys`` (B, P, A) and ``queries`` (n, A) are ``factors`` of such; ``score`` (A,).
    """
    if torch.compiler.is_compiling():  # Loops depend on sizes, which in an exported graph are open.
        products = keys.unsqueeze(1) * rows.lay_out(queries).unsqueeze(2)
        return rows.pick_up(_half_tanh(products) @ score * 2, queries.shape[0])
    scores = queries.new_empty(len(queries), keys.shape[1])
    for part, half in rows.halves(keys, queries):
        torch.mv(half.flatten(0, 1), score, out=scores[part].view(-1))
    return scores.mul_(2)


class CompareGradients:
    """The backward pass of ``compare`` over many steps: what all steps share is summed here, and scaled once.

    Takes the factors of keys and queries, and gives the gradients by the keys and queries themselves.
    """

    def __init__(self, keys: Tensor, score: Tensor, rows: Rows) -> None:
        self._keys, self._score, self._rows = keys, score, rows
        self._squares = torch.zeros_like(keys)
        self._gradients = keys.new_zeros(keys.shape[:2])
        self.of_score = torch.zeros_like(score)

    def step(self, queries: Tensor, gradient: Tensor) -> Tensor:
        """The gradient of the scores (n, P) of the first n rows -> that of the queries (n, A).

        With h = tanh(key + query) / 2 and the scores' gradient g, that of key + query is g * score * (1 - 4 h * h).
        """
        squares = torch.empty_like(queries)
        image_of = self._rows.image_of[: len(queries)]
        for part, half in self._rows.halves(self._keys, queries):
            by = gradient[part]
            self.of_score.addmv_(half.flatten(0, 1).t(), by.flatten(), alpha=2)
            square = half.mul_(half)
            torch.bmm(by.unsqueeze(1), square, out=squares[part].unsqueeze(1))
            self._squares.index_add_(0, image_of[part], square.mul_(by.unsqueeze(2)))
        self._gradients.index_add_(0, image_of, gradient)
        return torch.sub(gradient.sum(dim=1, keepdim=True), squares, alpha=4).mul_(self._score)

    def of_keys(self) -> Tensor:
        """The gradient of the keys (B, P, A), once all steps are done."""
        return torch.sub(self._gradients.unsqueeze(2), self._squares, alpha=4, out=self._squares).mul_(self._score)


def _half_tanh(products: Tensor) -> Tensor:
    """In place. Around 0: sums of numbers around 1/2 lose the small differences that the score learns from."""
    return products.add_(1).reciprocal_().sub_(0.5)


def _at_once(keys: Tensor) -> int:
    """How many rows' sums stay in the cache."""
    return max(1, _CACHED_NUMBERS // keys[0].numel()) if keys.device.type == "cpu" else 1 << 30
