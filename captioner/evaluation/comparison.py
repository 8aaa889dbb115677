"""Is B better than A? Paired bootstrap over images (Koehn 2004, https://aclanthology.org/W04-3250); pure numbers.

Images are drawn with replacement, as many as there are, and both sides are scored on the same draw, again and again;
the spread of the difference shows how much of it is owed to the choice of images.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from captioner.errors import DatasetError
from captioner.evaluation.metrics import METRICS, Scores
from captioner.evaluation.metrics.bleu import scores_of_sums
from captioner.evaluation.references import ImageId

RESAMPLES = 10_000
"""From seed to seed, the ends of an interval then vary by 0.5 % of its width; of a thousand, by 2 %."""
CONFIDENCE = 0.95
FEW_IMAGES = 30
"""Of fewer images the intervals come out too narrow."""

_NOISE = 1e-9  # Differences this small are rounding.
_AT_ONCE = 1 << 22  # Numbers held at once: 32 MB.
_MEANS = ("ROUGE_L", "CIDEr")
_Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Difference:
    """One metric of both sides. ``low`` and ``high`` bound B - A with 95 % confidence."""

    a: float
    b: float
    low: float
    high: float

    @property
    def difference(self) -> float:
        """B - A."""
        return self.b - self.a

    @property
    def verdict(self) -> str:
        """For people, in one sentence."""
        if self.low > _NOISE:
            return "B is better"
        if self.high < -_NOISE:
            return "A is better"
        return "no difference can be seen"

    def to_json(self) -> dict[str, Any]:
        """All of it by name."""
        return {**vars(self), "difference": self.difference, "verdict": self.verdict}


@dataclass(frozen=True)
class Comparison:
    """Every metric's difference, and on how many images which side has the higher CIDEr."""

    images: int
    metrics: dict[str, Difference]
    a_wins: int
    ties: int
    b_wins: int
    seed: int
    resamples: int


def compare(a: Scores[ImageId], b: Scores[ImageId], seed: int, resamples: int = RESAMPLES) -> Comparison:
    """Compare the scores of two sides on the same images, which come in the order of ``a``.

    BLEU is computed anew for each draw, from the summed counts of its images. ROUGE-L and CIDEr are means of the
    images' scores; CIDEr keeps the document frequencies of the whole set of references. Raises ``DatasetError``
    when the images are not the same, or there is only one.
    """
    keys = list(a.per_image)
    if set(keys) != set(b.per_image):
        raise DatasetError("A and B describe different images", "compare captions of the same images")
    if len(keys) < 2:
        raise DatasetError("one image cannot show which side is better", "compare captions of many images")
    bleu_a, bleu_b = (np.array([side.bleu_statistics[key].row() for key in keys], dtype=float) for side in (a, b))
    # The difference of means is the mean difference; so captions that are the same cancel out to the last bit.
    gaps = np.array([[b.per_image[key][name] - a.per_image[key][name] for name in _MEANS] for key in keys])
    columns = np.hstack([bleu_a, bleu_b, gaps])
    parts = []
    for counts in _draws(len(keys), seed, resamples):
        sums = counts @ columns
        width = bleu_a.shape[1]
        bleu = scores_of_sums(sums[:, width : 2 * width]) - scores_of_sums(sums[:, :width])
        parts.append(np.hstack([bleu, sums[:, 2 * width :] / len(keys)]))
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(np.vstack(parts), [tail, 100 - tail], axis=0)
    metrics = {
        name: Difference(a.corpus[name], b.corpus[name], float(low[place]), float(high[place]))
        for place, name in enumerate(METRICS)
    }
    ciders = gaps[:, _MEANS.index("CIDEr")]
    a_wins, b_wins = int((ciders < -_NOISE).sum()), int((ciders > _NOISE).sum())
    return Comparison(len(keys), metrics, a_wins, len(keys) - a_wins - b_wins, b_wins, seed, resamples)


def _draws(images: int, seed: int, resamples: int) -> Iterator[_Array]:
    """How often each image is in each draw, (some draws, images), until there are ``resamples`` draws."""
    random = np.random.default_rng(seed)
    at_once = max(1, _AT_ONCE // images)
    for start in range(0, resamples, at_once):
        rows = min(at_once, resamples - start)
        drawn = random.integers(0, images, size=(rows, images)) + images * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * images).reshape(rows, images).astype(float)
