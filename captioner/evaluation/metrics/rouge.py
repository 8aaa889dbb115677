"""ROUGE-L (Lin 2004, https://aclanthology.org/W04-1013, section 3.1) as coco-caption computes it."""

from collections.abc import Sequence

_BETA = 1.2  # weight of recall against precision, set by coco-caption


def longest_common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    """Words in the longest sequence that both contain in order, with gaps allowed.

    A row of the usual table is held as the bits of one integer, so that a row takes a handful of operations
    (Hyyrö 2004, "Bit-parallel LCS-length computation revisited").
    """
    positions: dict[str, int] = {}
    for position, word in enumerate(first):
        positions[word] = positions.get(word, 0) | 1 << position
    everywhere = (1 << len(first)) - 1
    row = everywhere
    for word in second:
        matches = row & positions.get(word, 0)
        row = (row + matches) | (row - matches)
    return len(first) - (row & everywhere).bit_count()


def rouge_l(candidate: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """F-measure of the longest common subsequence, 0 to 1: best precision and best recall over the references.

    As in coco-caption, the two need not come from one reference, and an empty caption equals an empty reference.
    """
    candidate = candidate or [""]
    references = [reference or [""] for reference in references]
    common = [longest_common_subsequence(candidate, reference) for reference in references]
    precision = max(common) / len(candidate)
    recall = max(length / len(reference) for length, reference in zip(common, references, strict=True))
    if not precision:
        return 0.0
    return (1 + _BETA**2) * precision * recall / (recall + _BETA**2 * precision)
