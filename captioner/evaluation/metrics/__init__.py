"""BLEU, ROUGE-L and CIDEr-D on token lists, equal to coco-caption and without Java; no torch, no files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic

from captioner.errors import DatasetError
from captioner.evaluation.metrics import bleu
from captioner.evaluation.metrics.cider import CiderScorer, Key, name_some
from captioner.evaluation.metrics.ngrams import count_ngrams
from captioner.evaluation.metrics.rouge import rouge_l

__all__ = ["METRICS", "CiderScorer", "Scores", "score", "written"]

METRICS = ("Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "ROUGE_L", "CIDEr")
"""As coco-caption and JSON have them."""


def written(name: str) -> str:
    """A metric's name as people write it: ``BLEU-4``, ``ROUGE-L``; the others' are the same."""
    return name.replace("Bleu_", "BLEU-").replace("ROUGE_L", "ROUGE-L")


@dataclass(frozen=True)
class Scores(Generic[Key]):
    """Scores by the names in :data:`METRICS`, as fractions; CIDEr as COCO prints it, up to 10, usually 0 to 2."""

    corpus: dict[str, float]
    """Of all captions together. BLEU pools its counts, the others are means."""
    per_image: dict[Key, dict[str, float]]
    """Of each image alone."""
    bleu_statistics: dict[Key, bleu.BleuStatistics] = field(default_factory=dict)
    """Of each image, what a corpus BLEU of any selection of images is made of."""


def score(candidates: Mapping[Key, Sequence[str]], references: Mapping[Key, Sequence[Sequence[str]]]) -> Scores[Key]:
    """Score a caption for each image, in words, against the K references of the same image.

    Words come from :func:`captioner.text.tokenize`, on both sides. Either may be empty.

    Raises:
        DatasetError: an image lacks a caption or references, or there are no images.
    """
    _check_images(candidates, references)
    cider = CiderScorer(references, remember=len(references))
    statistics = {}
    per_image = {}
    for key, words in candidates.items():
        counts = count_ngrams(words)
        prepared = cider.references_of(key)
        statistics[key] = bleu.compare(counts, [reference.counts for reference in prepared])
        values = [*statistics[key].scores(), rouge_l(words, references[key]), cider.compare(counts, prepared)]
        per_image[key] = dict(zip(METRICS, values, strict=True))
    means = [sum(values[name] for values in per_image.values()) / len(per_image) for name in ("ROUGE_L", "CIDEr")]
    corpus = [*bleu.add(statistics.values()).scores(), *means]
    return Scores(dict(zip(METRICS, corpus, strict=True)), per_image, statistics)


def _check_images(candidates: Mapping[Key, object], references: Mapping[Key, object]) -> None:
    missing = [key for key in references if key not in candidates]
    if missing and {str(key) for key in missing} <= {str(key) for key in candidates}:
        raise DatasetError(
            f"Image ids are numbers on one side and texts on the other: {name_some(missing)}.",
            'Write them alike: 3 is not "3".',
        )
    if missing:
        raise DatasetError(
            f"Images with references but without a caption: {name_some(missing)}.",
            "Caption them too, or score against the references of the captioned images only.",
        )
    extra = [key for key in candidates if key not in references]
    if extra:
        raise DatasetError(
            f"Images with a caption but without references: {name_some(extra)}.",
            "Leave those captions out, or score against the references of the same split.",
        )
    if not candidates:
        raise DatasetError("There are no captions to score.", "Check that the split and its files are not empty.")
