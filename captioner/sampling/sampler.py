"""Greedy decoding, batched over images."""

import torch
from torch import Tensor

from captioner.sampling.protocol import Hypothesis, S, Specials, StepDecoder, log_probs


@torch.inference_mode()
def greedy(decoder: StepDecoder[S], features: Tensor, specials: Specials, max_length: int) -> list[Hypothesis]:
    """The likeliest word each time, for every image of ``features`` (B, P, D), until the end or ``max_length``."""
    images = len(features)
    alive = torch.arange(images, device=features.device)
    words = torch.full((images,), specials.start, device=features.device)
    total = torch.zeros(images, device=features.device)
    captions: list[list[int]] = [[] for _ in range(images)]
    finished = [False] * images
    state = decoder.start(features, 1)
    for _ in range(max_length):
        scores, state = decoder.step(words, state)
        scores = log_probs(scores, specials)
        best, words = scores.max(dim=-1)
        total[alive] += best
        going = words != specials.end
        for image, word in zip(alive.tolist(), words.tolist(), strict=True):
            if word == specials.end:
                finished[image] = True
            else:
                captions[image].append(word)
        if not going.all():
            kept = going.nonzero().squeeze(1)
            if not len(kept):
                break
            alive, words, state = alive[kept], words[kept], state.select(kept, kept)
    return [
        Hypothesis(tuple(words), log_prob, ended)
        for words, log_prob, ended in zip(captions, total.tolist(), finished, strict=True)
    ]
