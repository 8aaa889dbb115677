"""How far scores depend on which images were taken: the bootstrap (Efron 1979) over images; pure numbers.

Images are drawn with replacement, as many as there are, and scored again, many times; the middle 95 % of the draws
are the interval.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from captioner.evaluation.metrics import METRICS, Scores
from captioner.evaluation.metrics.bleu import scores_of_sums

RESAMPLES = 10_000
"""From seed to seed, the ends of an interval then vary by 0.5 % of its width; of a thousand, by 2 %."""
CONFIDENCE = 0.95
FEW_IMAGES = 30
"""Of fewer images the intervals come out too narrow."""
MEANS = ("ROUGE_L", "CIDEr")
"""Metrics whose corpus score is the mean of the images'."""

Array = npt.NDArray[np.float64]

_AT_ONCE = 1 << 22  # Numbers held at once: 32 MB.


class Interval(NamedTuple):
    """The middle 95 % of the draws."""

    low: float
    high: float


def intervals(columns: Array, seed: int, resamples: int, figures: Callable[[Array], Array]) -> list[Interval]:
    """Of each figure that ``figures`` makes of sums: (draws, columns) of a draw's images -> (draws, figures).

    ``columns`` has a row for each image.
    """
    found = np.vstack([figures(counts @ columns) for counts in _draws(len(columns), seed, resamples)])
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(found, [tail, 100 - tail], axis=0)
    return [Interval(*ends) for ends in zip(low.tolist(), high.tolist(), strict=True)]


def score_intervals(scores: Scores[Any], seed: int, resamples: int = RESAMPLES) -> dict[str, Interval]:
    """Of each metric of one set of captions that is made of its images: all but METEOR, and perplexity.

    BLEU is made of each draw's summed counts, as for a corpus.
    """
    names = [name for name in (*MEANS, "SPICE") if name in scores.corpus]
    bleu = np.array([statistics.row() for statistics in scores.bleu_statistics.values()], dtype=float)
    means = np.array([[values[name] for name in names] for values in scores.per_image.values()])
    images, width = bleu.shape

    def figures(sums: Array) -> Array:
        return np.hstack([scores_of_sums(sums[:, :width]), sums[:, width:] / images])

    found = intervals(np.hstack([bleu, means]), seed, resamples, figures)
    return dict(zip([*METRICS[: -len(MEANS)], *names], found, strict=True))


def _draws(images: int, seed: int, resamples: int) -> Iterator[Array]:
    """How often each image is in each draw, (some draws, images), until there are ``resamples`` draws."""
    random = np.random.default_rng(seed)
    at_once = max(1, _AT_ONCE // images)
    for start in range(0, resamples, at_once):
        rows = min(at_once, resamples - start)
        drawn = random.integers(0, images, size=(rows, images)) + images * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * images).reshape(rows, images).astype(float)
