"""A model and a split of a data set -> captions, scores, and what they were computed with."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from captioner.compute import Compute
from captioner.config import SamplingConfig
from captioner.data.annotations import Record
from captioner.data.pictures import Pictures
from captioner.evaluation.metrics import Scores, score
from captioner.events import Listener, Progress
from captioner.model.build import CaptionModel
from captioner.predictor import DECODE_AT_ONCE, Captioner
from captioner.text import TOKENIZER, tokenize
from captioner.vocab import Vocabulary

ImageId = int | str


@dataclass(frozen=True)
class Evaluation:
    """Scores of a split, or of somebody's predictions."""

    scores: Scores[ImageId]
    perplexity: float | None
    """exp of the mean negative log-likelihood of a reference word, ends included; None without a model."""
    sampling: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The object that ``captioner evaluate --output`` writes."""
        return {
            **self.scores.corpus,
            "perplexity": self.perplexity,
            "images": len(self.scores.per_image),
            "tokenizer": TOKENIZER,
            "sampling": self.sampling,
        }

    def image_rows(self) -> Iterator[dict[str, Any]]:
        """The rows that ``captioner evaluate --per-image`` writes."""
        for image_id, values in self.scores.per_image.items():
            yield {"image_id": image_id, **values}


class Validation:
    """A split prepared for being scored many times: references tokenised, pictures at hand."""

    def __init__(self, records: Sequence[Record], pictures: Pictures) -> None:
        self.records = records
        self.pictures = pictures
        self.references = {record.image_id: [tokenize(text) for text in record.captions] for record in records}

    def evaluate(
        self,
        model: CaptionModel,
        vocabulary: Vocabulary,
        sampling: SamplingConfig,
        compute: Compute,
        listener: Listener,
    ) -> Evaluation:
        """Caption every picture freely, and score that; perplexity alone is teacher-forced."""
        captioner = Captioner(model, vocabulary, sampling, compute)
        words: dict[ImageId, tuple[str, ...]] = {}
        loss, count = 0.0, 0
        for part in _parts(len(self.records), DECODE_AT_ONCE):
            records = [self.records[index] for index in part]
            pixels = self.pictures.read(part)
            features = captioner.encode(pixels)
            for record, several in zip(records, captioner.caption_features(features), strict=True):
                words[record.image_id] = several[0].words
            references = [[vocabulary.encode(one) for one in self.references[record.image_id]] for record in records]
            part_loss, part_count = captioner.likelihood(features, references)
            loss, count = loss + part_loss, count + part_count
            listener(Progress("evaluating", part[-1] + 1, len(self.records), "pictures"))
        scores = score(words, self.references)
        return Evaluation(scores, math.exp(loss / count), sampling.model_dump())


def _parts(count: int, size: int) -> Iterator[list[int]]:
    for start in range(0, count, size):
        yield list(range(start, min(start + size, count)))
