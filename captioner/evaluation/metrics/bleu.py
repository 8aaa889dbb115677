"""BLEU-1 to BLEU-4 (Papineni et al. 2002, https://aclanthology.org/P02-1040) as coco-caption computes it."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from captioner.evaluation.metrics.ngrams import ORDERS, Counts

# From coco-caption: they keep empty captions from dividing by zero, and show in the scores of single captions.
_TINY = 1e-15
_SMALL = 1e-9


class BleuStatistics(NamedTuple):
    """What BLEU needs to know of a caption. Those of many add up: a corpus score is no mean of single ones."""

    length: int
    """Words of the caption."""
    reference_length: int
    """Words of the reference nearest in length; of two equally near, the shorter."""
    possible: tuple[int, ...]
    """For each order, the n-grams of the caption."""
    matched: tuple[int, ...]
    """For each order, those found in the references, each at most as often as in the one that has most."""

    def scores(self) -> list[float]:
        """BLEU-1 to BLEU-4, fractions: geometric means of the precisions, times the brevity penalty (2.3)."""
        ratio = (self.length + _TINY) / (self.reference_length + _SMALL)
        brevity_penalty = math.exp(1 - 1 / ratio) if ratio < 1 else 1.0
        scores = []
        product = 1.0
        for order, (matched, possible) in enumerate(zip(self.matched, self.possible, strict=True), start=1):
            product *= (matched + _TINY) / (possible + _SMALL)
            scores.append(product ** (1 / order) * brevity_penalty)
        return scores

    def row(self) -> tuple[int, ...]:
        """All of it in ten numbers, which :func:`scores_of_sums` reads."""
        return (self.length, self.reference_length, *self.possible, *self.matched)


def compare(candidate: Counts, references: Sequence[Counts]) -> BleuStatistics:
    """Statistics of one caption against the references of its image, of which there is at least one."""
    length = candidate[0].total()
    nearest = min((reference[0].total() for reference in references), key=lambda n: (abs(n - length), n))
    matched = []
    for order, counts in enumerate(candidate):
        of_references = [reference[order] for reference in references]
        matched.append(
            sum(min(count, max([found.get(ngram, 0) for found in of_references])) for ngram, count in counts.items())
        )
    possible = tuple(max(0, length - order) for order in range(ORDERS))
    return BleuStatistics(length, nearest, possible, tuple(matched))


def add(statistics: Iterable[BleuStatistics]) -> BleuStatistics:
    """Statistics of a corpus of at least one caption."""
    lengths, reference_lengths, possible, matched = zip(*statistics, strict=True)
    return BleuStatistics(
        sum(lengths),
        sum(reference_lengths),
        tuple(map(sum, zip(*possible, strict=True))),
        tuple(map(sum, zip(*matched, strict=True))),
    )


def scores_of_sums(sums: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """BLEU-1 to BLEU-4, (R, 4), of R corpora at once, whose statistics' rows add up to ``sums`` (R, 10)."""
    ratio = (sums[:, 0] + _TINY) / (sums[:, 1] + _SMALL)
    brevity_penalty = np.exp(np.minimum(0, 1 - 1 / ratio))
    precisions = (sums[:, 2 + ORDERS :] + _TINY) / (sums[:, 2 : 2 + ORDERS] + _SMALL)
    scores: npt.NDArray[np.float64] = np.cumprod(precisions, axis=1) ** (1 / np.arange(1, ORDERS + 1))
    return scores * brevity_penalty[:, None]
