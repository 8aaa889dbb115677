"""One word after the other, without going back: greedy decoding and random sampling, batched over images."""

from collections.abc import Callable

import torch
from torch import Tensor

from captioner.sampling.noise import gumbel, key_of
from captioner.sampling.protocol import Hypothesis, S, StepDecoder, best_first
from captioner.sampling.rules import Rules

_Choice = Callable[[Tensor, Tensor, int], Tensor]
"""Log-probabilities (N, V), the rows' places in B * W, and the step -> a score for each word: the highest is taken."""


def greedy(decoder: StepDecoder[S], features: Tensor, rules: Rules) -> list[list[Hypothesis]]:
    """The likeliest word each time, for every image of ``features`` (B, P, D), until the end or the longest length."""
    return _walk(decoder, features, rules, 1, lambda log_probs, rows, step: log_probs)


def draw(
    decoder: StepDecoder[S],
    features: Tensor,
    rules: Rules,
    *,
    pictures: Tensor,
    captions: int = 1,
    seed: int = 1,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    length_penalty: float = 1.0,
) -> list[list[Hypothesis]]:
    """``captions`` independent draws for every image of ``features`` (B, P, D), the likeliest first.

    Each word is drawn from the probabilities that ``sharpened`` leaves, by the Gumbel-max trick. The noise depends on
    ``seed``, the image's number in ``pictures`` (B,), the draw, the step and the word: an image's captions are the
    same in whatever batch it is. A caption's log-probability is the model's own, not that of the sharpened draw.
    """
    keys = key_of(seed, pictures, captions)

    def choose(log_probs: Tensor, rows: Tensor, step: int) -> Tensor:
        shaped = sharpened(log_probs, temperature=temperature, top_k=top_k, top_p=top_p)
        return shaped + gumbel(keys[rows], step, shaped.shape[1])

    return [best_first(several, length_penalty) for several in _walk(decoder, features, rules, captions, choose)]


def sharpened(log_probs: Tensor, *, temperature: float, top_k: int, top_p: float) -> Tensor:
    """Log-probabilities (N, V) -> unnormalised ones, minus infinity for the words that are left out.

    ``temperature`` divides them; then the ``top_k`` likeliest words stay (0: all); then the smallest set of the
    likeliest whose probabilities sum to ``top_p`` (the nucleus of A. Holtzman et al., "The Curious Case of Neural Text
    Degeneration", ICLR 2020, section 3.1). Words as likely as the last that stays stay too.
    """
    scores = log_probs / temperature
    if 0 < top_k < scores.shape[1]:
        scores = scores.masked_fill(scores < scores.topk(top_k).values[:, -1:], -torch.inf)
    if top_p < 1:
        ordered = scores.sort(dim=1, descending=True).values
        probabilities = ordered.softmax(dim=1)
        inside = probabilities.cumsum(dim=1) - probabilities < top_p
        inside[:, :1] = True  # However small ``top_p`` is in float32.
        least = ordered.masked_fill(~inside, torch.inf).amin(dim=1, keepdim=True)
        scores = scores.masked_fill(scores < least, -torch.inf)
    return scores


@torch.inference_mode()
def _walk(
    decoder: StepDecoder[S], features: Tensor, rules: Rules, width: int, choose: _Choice
) -> list[list[Hypothesis]]:
    """``width`` captions of every image, which leaves once they have all ended."""
    count, device = len(features) * width, features.device
    alive = torch.arange(len(features), device=device)
    captions = torch.full((count, rules.max_length), rules.end, device=device)
    totals = torch.zeros(count, device=device)
    ended = torch.zeros(count, dtype=torch.bool, device=device)
    words = torch.full_like(alive, rules.start)
    state = decoder.start(features)
    for step in range(rules.max_length):
        rows = (alive.unsqueeze(1) * width + torch.arange(width, device=device)).flatten()
        scores, state = decoder.step(words, state)
        if not step:  # Until now all rows of an image are one.
            each = alive.repeat_interleave(width)
            scores, state = scores[each], state.select(each)
        log_probs = rules.log_probs(scores, captions[rows, :step])
        words = choose(log_probs, rows, step).argmax(dim=1)
        # A row that has ended goes on, for nothing, as long as another of its image does.
        words = words.masked_fill(ended[rows], rules.end)
        totals[rows] += log_probs.gather(1, words.unsqueeze(1)).squeeze(1).masked_fill(ended[rows], 0.0)
        captions[rows, step] = words
        ended[rows] |= words == rules.end
        kept = (~ended.view(-1, width)[alive]).any(dim=1).nonzero().squeeze(1)
        if not len(kept):
            break
        if len(kept) < len(alive):
            places = (kept.unsqueeze(1) * width + torch.arange(width, device=device)).flatten()
            alive, words, state = alive[kept], words[places], state.select(places, kept)
    found = [
        Hypothesis(tuple(words[: words.index(rules.end)] if finished else words), total, finished)
        for words, total, finished in zip(captions.tolist(), totals.tolist(), ended.tolist(), strict=True)
    ]
    return [found[first : first + width] for first in range(0, count, width)]
