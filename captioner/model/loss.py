"""What training minimises: label-smoothed cross-entropy, and attention that visits every position."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from captioner.batch import PAD

_CHUNK = 512  # Words whose scores are formed at once: a few megabytes, which stay in the cache.


def smoothed_cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor,
    targets: Tensor,
    smoothing: float = 0.0,
    counts_for: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Output layer and loss in one: hidden (M, E), weight (V, E), bias (V,), targets (M,) -> two sums over the M words.

    Where the target is padding, nothing is counted.

    The first sum is the smoothed loss and has a gradient: the target has probability 1 - smoothing, and
    ``smoothing`` is spread evenly over all V words (C. Szegedy et al., "Rethinking the Inception Architecture",
    CVPR 2016, section 7); each word is multiplied by what it ``counts_for`` (M,). The second is the plain negative
    log-likelihood, for perplexity. Products are computed in ``hidden``'s type, everything else in float32.
    """
    shares = (targets != PAD).float()
    if counts_for is not None:
        shares *= counts_for
    if torch.is_grad_enabled():
        loss, plain = _OutputLoss.apply(hidden, weight, bias, targets, smoothing, shares)
        return loss, plain
    return _chunks(hidden, weight, bias, targets, smoothing, shares, None)


_Gradients = tuple[Tensor, Tensor, Tensor]


def _chunks(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor,
    targets: Tensor,
    smoothing: float,
    shares: Tensor,
    gradients: _Gradients | None,
) -> tuple[Tensor, Tensor]:
    """The two sums; where asked for, adds the gradients by hidden, weight and bias to ``gradients``."""
    matrix, offset = weight.to(hidden.dtype), bias.to(hidden.dtype)
    loss = hidden.new_zeros((), dtype=torch.float32)
    plain = loss.clone()
    buffer = hidden.new_empty(min(_CHUNK, len(hidden)), len(bias), dtype=torch.float32)
    for start in range(0, len(hidden), _CHUNK):
        rows, index = hidden[start : start + _CHUNK], targets[start : start + _CHUNK, None]
        share, counted = shares[start : start + _CHUNK], index.squeeze(1) != PAD
        scores = buffer[: len(rows)].copy_(F.linear(rows, matrix, offset))
        scores -= scores.amax(dim=1, keepdim=True)
        of_target, mean = scores.gather(1, index).squeeze(1), scores.mean(dim=1)
        total = scores.exp_().sum(dim=1, keepdim=True)
        normaliser = total.squeeze(1).log()
        plain += (normaliser - of_target)[counted].sum()
        loss += share @ (normaliser - (1 - smoothing) * of_target - smoothing * mean)
        if gradients is None:
            continue
        by_scores = scores.div_(total).sub_(smoothing / len(bias))
        by_scores.scatter_add_(1, index, by_scores.new_full(index.shape, smoothing - 1))
        by_scores *= share.unsqueeze(1)
        by_hidden, by_weight, by_bias = gradients
        by_bias += by_scores.sum(dim=0)
        narrow = by_scores.to(hidden.dtype)
        by_hidden[start : start + _CHUNK] = narrow @ matrix
        by_weight += narrow.t() @ rows
    return loss, plain


class _OutputLoss(torch.autograd.Function):
    """Forms the gradients along with the loss, so that the scores (M, V) never exist all at once."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, smoothing: float, shares: Tensor
    ) -> tuple[Tensor, Tensor]:
        gradients = torch.empty_like(hidden), torch.zeros_like(weight), torch.zeros_like(bias)
        with torch.autocast(hidden.device.type, enabled=False):
            loss, plain = _chunks(hidden, weight, bias, targets, smoothing, shares, gradients)
        ctx.save_for_backward(*gradients)
        ctx.mark_non_differentiable(plain)
        return loss, plain

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        return (*(gradient * outer[0].to(gradient.dtype) for gradient in ctx.saved_tensors), None, None, None)


def target_log_probs(hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
    """Hidden (M, E), weight (V, E), bias (V,), targets (M,) -> the targets' log-probabilities (M,), float32."""
    parts = zip(torch.split(hidden, _CHUNK), torch.split(targets, _CHUNK), strict=True)
    losses = [F.cross_entropy(F.linear(rows, weight, bias).float(), index, reduction="none") for rows, index in parts]
    return -torch.cat(losses)


def sample_words(hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Hidden (M, E), weight (V, E), bias (V,) -> for each a word (M,), drawn from the model's probabilities."""
    matrix, offset = weight.to(hidden.dtype), bias.to(hidden.dtype)
    drawn = [
        torch.multinomial(F.linear(rows, matrix, offset).float().softmax(dim=1), 1).squeeze(1)
        for rows in torch.split(hidden, _CHUNK)
    ]
    return torch.cat(drawn)


def doubly_stochastic_penalty(attention: Tensor) -> Tensor:
    """Attention (N, P), summed over each row's words -> sum over rows and positions of (1 - attention)^2.

    K. Xu et al., arXiv 1502.03044, equation 14, whose other term is likewise a sum over words.
    """
    return (1 - attention).square().sum()
