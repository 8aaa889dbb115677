"""N-gram counts, made once for each caption and shared by BLEU and CIDEr."""

from collections import Counter
from collections.abc import Sequence

ORDERS = 4
"""BLEU and CIDEr look at n-grams of one to four words."""

Ngram = tuple[str, ...]

Counts = tuple[Counter[Ngram], ...]
"""For each order, one to :data:`ORDERS`, how often each n-gram occurs."""


def count_ngrams(words: Sequence[str]) -> Counts:
    """Count the n-grams of a caption. Empty words are passed over, as by coco-caption, which splits at spaces."""
    words = [word for word in words if word]
    suffixes = [words[start:] for start in range(ORDERS)]
    return tuple(Counter(zip(*suffixes[:order], strict=False)) for order in range(1, ORDERS + 1))
