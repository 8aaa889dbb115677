"""CIDEr-D (Vedantam et al. 2015, https://arxiv.org/abs/1411.5726, sections 4 and 6) as coco-caption computes it."""

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

from captioner.errors import DatasetError
from captioner.evaluation.metrics.ngrams import ORDERS, Counts, Ngram, count_ngrams

Key = TypeVar("Key", bound=Hashable)

_SIGMA = 6.0  # spread of the length penalty, in words
_SCALE = 10.0  # published figures are ten times the mean cosine


class Reference(NamedTuple):
    """A reference caption, prepared."""

    counts: Counts
    norms: tuple[float, ...]
    """For each order, the length of its TF-IDF vector."""


class CiderScorer(Generic[Key]):
    """Scores captions against references that are prepared once: for an evaluation, or as a training reward.

    A word weighs more the fewer images of ``references`` mention it, so a score depends on the whole set, and
    with a single image every score is 0.
    """

    def __init__(self, references: Mapping[Key, Sequence[Sequence[str]]], *, remember: int = 10_000) -> None:
        """Count the n-grams of the references, one or more for each image.

        An image with five references takes about 25 kB once prepared. The first ``remember`` images are kept
        so; the others, in a larger set, are prepared again at each use.

        Raises:
            DatasetError: an image has no reference.
        """
        bare = [key for key, captions in references.items() if not captions]
        if bare:
            raise DatasetError(
                f"Images without a reference caption: {name_some(bare)}.", "Give each a reference, or leave it out."
            )
        self._references = references
        self._images_with: Counter[Ngram] = Counter()
        counted: dict[Key, list[Counts]] = {}
        for key, captions in references.items():
            counts = [count_ngrams(caption) for caption in captions]
            self._images_with.update({ngram for caption in counts for order in caption for ngram in order})
            if len(counted) < remember:
                counted[key] = counts
        images = len(references)
        # Squared inverse document frequency by number of images; n-grams of no image count as those of one.
        self._weights = [math.log(images / max(1, found)) ** 2 for found in range(images + 1)]
        self._prepared = {key: [self._prepare(each) for each in counts] for key, counts in counted.items()}

    def score(self, captions: Iterable[tuple[Key, Sequence[str]]]) -> list[float]:
        """CIDEr-D of each (image, words), 0 to 10, in order. An image may come as often as one likes.

        Raises:
            DatasetError: an image has no references here.
        """
        prepared: dict[Key, list[Reference]] = {}
        scores = []
        for key, words in captions:
            if key not in prepared:
                prepared[key] = self.references_of(key)
            scores.append(self.compare(count_ngrams(words), prepared[key]))
        return scores

    def references_of(self, key: Key) -> list[Reference]:
        """The prepared references of an image.

        Raises:
            DatasetError: the image is not among the references.
        """
        if key in self._prepared:
            return self._prepared[key]
        if key not in self._references:
            raise DatasetError(
                f"No reference captions for image {key}.", "Score only images that the references were made with."
            )
        return [self._prepare(count_ngrams(caption)) for caption in self._references[key]]

    def compare(self, candidate: Counts, references: Sequence[Reference]) -> float:
        """CIDEr-D of one caption: its mean clipped cosine with the references, over orders and references."""
        norms = self._norms(candidate)
        weighted = [[(ngram, count, self._weight(ngram)) for ngram, count in counts.items()] for counts in candidate]
        bigrams = candidate[1].total()
        score = 0.0
        for reference in references:
            similarity = 0.0
            for entries, norm, of_reference, reference_norm in zip(
                weighted, norms, reference.counts, reference.norms, strict=True
            ):
                if not norm or not reference_norm:
                    continue
                product = 0.0
                for ngram, count, weight in entries:
                    if found := of_reference.get(ngram, 0):
                        product += min(count, found) * found * weight
                similarity += product / (norm * reference_norm)
            # coco-caption measures the difference in length by bigrams: no words and one word are the same to it.
            difference = bigrams - reference.counts[1].total()
            score += similarity * math.exp(-(difference**2) / (2 * _SIGMA**2))
        return _SCALE * score / (ORDERS * len(references))

    def _prepare(self, counts: Counts) -> Reference:
        return Reference(counts, self._norms(counts))

    def _norms(self, counts: Counts) -> tuple[float, ...]:
        return tuple(
            math.sqrt(sum([count * count * self._weight(ngram) for ngram, count in order.items()])) for order in counts
        )

    def _weight(self, ngram: Ngram) -> float:
        return self._weights[self._images_with.get(ngram, 0)]


def name_some(keys: Sequence[Hashable], limit: int = 3) -> str:
    """The first few keys for an error message: ``a, b, c and 4 more``."""
    named = ", ".join(str(key) for key in keys[:limit])
    return f"{named} and {len(keys) - limit} more" if len(keys) > limit else named
