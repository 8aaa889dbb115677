"""A model and a split of a data set -> captions, scores, and what they were computed with."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from captioner.compute import Compute
from captioner.config import SamplingConfig
from captioner.data.annotations import Record
from captioner.data.pictures import Pictures, SeveralPictures
from captioner.evaluation.metrics import Scores, score
from captioner.events import Listener, Progress
from captioner.model.ensemble import AnyModel
from captioner.parallel import chunked, in_order
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

    def __init__(self, records: Sequence[Record], pictures: Pictures | SeveralPictures) -> None:
        self.records = records
        self.pictures = pictures
        self.references = {record.image_id: [tokenize(text) for text in record.captions] for record in records}

    def evaluate(
        self,
        model: AnyModel,
        vocabulary: Vocabulary,
        sampling: SamplingConfig,
        compute: Compute,
        listener: Listener,
    ) -> Evaluation:
        """Caption every picture freely, and score that; perplexity alone is teacher-forced."""
        captioner = Captioner(model, vocabulary, sampling, compute)
        words: dict[ImageId, tuple[str, ...]] = {}
        loss, count = 0.0, 0

        def caption_part(part: Sequence[int]) -> tuple[list[tuple[str, ...]], tuple[float, int]]:
            features = captioner.encode(self.pictures.read(part))
            captions = [several[0].words for several in captioner.caption_features(features, numbers=part)]
            references = [self.references[self.records[index].image_id] for index in part]
            encoded = [[vocabulary.encode(one) for one in several] for several in references]
            return captions, captioner.likelihood(features, encoded)

        parts = chunked(range(len(self.records)), DECODE_AT_ONCE)
        for captions, (part_loss, part_count) in in_order(caption_part, parts, workers=compute.workers):
            for caption in captions:
                words[self.records[len(words)].image_id] = caption
            loss, count = loss + part_loss, count + part_count
            listener(Progress("evaluating", len(words), len(self.records), "pictures"))
        scores = score(words, self.references)
        return Evaluation(scores, math.exp(loss / count), sampling.model_dump())
