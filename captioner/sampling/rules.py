"""Which words may follow a beginning: the one place that forbids any, asked by every sampler at every step."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Rules:
    """The words that have a meaning to a sampler, and what a caption may not be."""

    start: int
    end: int
    max_length: int
    """Longest caption, in words."""
    never: tuple[int, ...] = ()
    """Words never produced: padding, start, unknown, and those that the user has banned."""
    never_last: tuple[int, ...] = ()
    """Words that no caption ends in."""
    min_length: int = 0
    """Shortest caption, in words."""
    no_repeat_ngram: int = 0
    """No caption has the same so many words in a row twice; 0: it may."""

    def log_probs(self, scores: Tensor, beginnings: Tensor) -> Tensor:
        """Scores (N, V) of the words after ``beginnings`` (N, T) -> log-probabilities in float32.

        Those of words that may not follow are minus infinity; the others stay the model's own. Where nothing may
        follow, the end may after all, so that every beginning becomes a caption.
        """
        result = torch.log_softmax(scores.float(), dim=-1)
        end = result[:, self.end].clone()
        self._forbid(result, beginnings)
        if self.never_last or beginnings.shape[1] < self.min_length:  # Nothing else forbids the end.
            stuck = result.amax(dim=-1) == -torch.inf
            result[:, self.end] = torch.where(stuck, end, result[:, self.end])
        return result

    def _forbid(self, log_probs: Tensor, beginnings: Tensor) -> None:
        length = beginnings.shape[1]
        log_probs[:, list(self.never)] = -torch.inf
        if length < self.min_length:
            log_probs[:, self.end] = -torch.inf
        if self.no_repeat_ngram and length >= self.no_repeat_ngram:
            self._forbid_repeating(log_probs, beginnings)
        if self.never_last and length:
            last = torch.isin(beginnings[:, -1], beginnings.new_tensor(self.never_last))
            log_probs[last, self.end] = -torch.inf
        if length == self.max_length - 1:  # Whatever follows now is the last word.
            log_probs[:, list(self.never_last)] = -torch.inf

    def _forbid_repeating(self, log_probs: Tensor, beginnings: Tensor) -> None:
        """R. Paulus et al., "A Deep Reinforced Model for Abstractive Summarization", ICLR 2018, section 2.5."""
        before = self.no_repeat_ngram - 1
        grams = beginnings.unfold(1, self.no_repeat_ngram, 1)
        last = beginnings[:, beginnings.shape[1] - before :].unsqueeze(1)
        rows, places = (grams[:, :, :before] == last).all(dim=2).nonzero(as_tuple=True)
        log_probs[rows, grams[rows, places, before]] = -torch.inf
