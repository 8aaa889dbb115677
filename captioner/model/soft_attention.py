"""Additive soft attention over a grid, written for many rows that share few pictures.

D. Bahdanau, K. Cho, Y. Bengio, "Neural Machine Translation by Jointly Learning to Align and Translate", ICLR 2015,
arXiv 1409.0473, appendix A.1.2; over pictures: K. Xu et al., ICML 2015, arXiv 1502.03044, section 3.1.2.

The comparison tanh(key + query) is (n, P, A) numbers at each step, most of this decoder's cost beside its matrix
products. So it is formed a few rows at a time, in the cache, and formed again in the backward pass: that is faster
than fetching it back from memory, and memory does not grow with the length of the captions. As in ``recurrent``,
gradients of what all steps share are summed once.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

_CACHED_NUMBERS = 800_000  # Of tanh(key + query) at once: 3.2 MB, about two cores' second-level caches.


@dataclass
class _Tape:
    """What the backward passes of the steps leave for the end."""

    squares: Tensor | None = None
    """(B, P, A): the sum over rows of gradient * tanh(key + query) ** 2."""
    gradients: Tensor | None = None
    """(B, P): the sum over rows of the scores' gradient."""
    score: Tensor | None = None
    weights: list[Tensor] = field(default_factory=list)
    context_gradients: list[Tensor] = field(default_factory=list)


class Grid:
    """The pictures as attention needs them: computed once, used at every step and by all rows of a picture.

    keys (B, P, A), values (B, P, F); ``image_of`` (N,), int64, names each row's picture, in any order.
    """

    def __init__(self, keys: Tensor, values: Tensor, image_of: Tensor) -> None:
        self._tape = _Tape()
        self._keys: Tensor
        self._values: Tensor
        self._keys, self._values = _Share.apply(keys.float(), values, self._tape)
        self._image_of = image_of
        order = torch.argsort(image_of, stable=True)
        counts = torch.bincount(image_of, minlength=len(values))
        first = torch.cumsum(counts, 0) - counts
        ordered = image_of[order]
        rank = torch.arange(len(order), device=order.device) - first[ordered]
        self._places = len(values), int(counts.max())
        """B and K: laid out picture by picture, rows take B * K slots, K being the most rows that a picture has."""
        self._slot = torch.empty_like(order).index_copy(0, order, ordered * self._places[1] + rank)

    def attend(self, queries: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
        """Queries (n, A) of the first n rows -> their contexts (n, F) and weights (n, P), float32.

        ``score`` (A,) is the vector that turns tanh(key + query) into a score.
        """
        count = len(queries)
        scores: Tensor = _Scores.apply(self._keys, queries.float(), score.float(), self._image_of[:count], self._tape)
        weights = torch.softmax(scores, dim=-1)
        # Laid out picture by picture, the weighted sums are one small matrix product each, and the values are read
        # once a picture instead of once a row; slots whose caption has ended stay zero.
        slots = self._slot[:count]
        images, places = self._places
        laid_out = weights.new_zeros(images * places, weights.shape[1]).index_copy(0, slots, weights)
        contexts: Tensor = _Contexts.apply(
            laid_out.view(images, places, -1).to(self._values.dtype), self._values, self._tape
        )
        return contexts.flatten(0, 1).index_select(0, slots), weights


class _Share(torch.autograd.Function):
    """Passes keys and values on; runs last in the backward pass, when the tape holds all steps' parts."""

    @staticmethod
    def forward(ctx: Any, keys: Tensor, values: Tensor, tape: _Tape) -> tuple[Tensor, Tensor]:
        ctx.tape = tape
        return keys.view_as(keys), values.view_as(values)

    @staticmethod
    def backward(ctx: Any, *_: Any) -> tuple[Tensor | None, Tensor | None, None]:
        tape: _Tape = ctx.tape
        if not tape.weights:
            return None, None, None
        weights, gradients = torch.cat(tape.weights, dim=1), torch.cat(tape.context_gradients, dim=1)
        assert tape.squares is not None
        assert tape.gradients is not None
        assert tape.score is not None
        of_keys = torch.sub(tape.gradients.unsqueeze(2), tape.squares, out=tape.squares).mul_(tape.score)
        return of_keys, torch.bmm(weights.transpose(1, 2), gradients), None


class _Contexts(torch.autograd.Function):
    """Weights (B, K, P) and values (B, P, F) -> weighted sums (B, K, F)."""

    @staticmethod
    def forward(ctx: Any, weights: Tensor, values: Tensor, tape: _Tape) -> Tensor:
        ctx.tape = tape
        ctx.save_for_backward(weights, values)
        return torch.bmm(weights, values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        weights, values = ctx.saved_tensors
        # Detached: with its history, it would hold the graph that holds the tape, and no step would ever be freed.
        ctx.tape.weights.append(weights.detach())
        ctx.tape.context_gradients.append(gradients[0])
        return torch.bmm(gradients[0], values.transpose(1, 2)), None, None


class _Scores(torch.autograd.Function):
    """keys (B, P, A), queries (n, A), score (A,), image_of (n,) -> score . tanh(key + query), (n, P)."""

    @staticmethod
    def forward(ctx: Any, keys: Tensor, queries: Tensor, score: Tensor, image_of: Tensor, tape: _Tape) -> Tensor:
        ctx.tape = tape
        ctx.save_for_backward(keys, queries, score, image_of)
        scores = queries.new_empty(len(queries), keys.shape[1])
        for rows, compared in _compare(keys, queries, image_of):
            torch.mv(compared.flatten(0, 1), score, out=scores[rows].view(-1))
        return scores

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor, Tensor, None, None]:
        """With t = tanh(key + query) and gradient g: dt = g * score * (1 - t * t)."""
        (gradient,) = gradients
        keys, queries, score, image_of = ctx.saved_tensors
        tape: _Tape = ctx.tape
        if tape.squares is None or tape.gradients is None:
            tape.squares, tape.score = torch.zeros_like(keys), score.detach()
            tape.gradients = gradient.new_zeros(keys.shape[:2])
        of_score = torch.zeros_like(score)
        squares = torch.empty_like(queries)
        for rows, compared in _compare(keys, queries, image_of):
            part = gradient[rows]
            of_score.addmv_(compared.flatten(0, 1).t(), part.flatten())
            compared.mul_(compared)
            torch.bmm(part.unsqueeze(1), compared, out=squares[rows].unsqueeze(1))
            tape.squares.index_add_(0, image_of[rows], compared.mul_(part.unsqueeze(2)))
        tape.gradients.index_add_(0, image_of, gradient)
        return None, (gradient.sum(dim=1, keepdim=True) - squares).mul_(score), of_score, None, None


def _compare(keys: Tensor, queries: Tensor, image_of: Tensor) -> Any:
    """Slices of rows, each with its tanh(key + query), (rows, P, A), in a buffer that the next slice overwrites."""
    count = len(queries)
    rows_at_once = count
    if keys.device.type == "cpu":
        rows_at_once = max(1, min(count, _CACHED_NUMBERS // keys[0].numel()))
    buffer = keys.new_empty(rows_at_once, *keys.shape[1:])
    for start in range(0, count, rows_at_once):
        rows = slice(start, min(start + rows_at_once, count))
        compared = buffer[: rows.stop - rows.start]
        torch.index_select(keys, 0, image_of[rows], out=compared)
        yield rows, compared.add_(queries[rows].unsqueeze(1)).tanh_()
