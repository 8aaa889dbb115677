"""A model and a split of a data set -> captions, scores, and what they were computed with."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from time import perf_counter
from typing import Any

from captioner.calibration import Calibration
from captioner.caption import Caption
from captioner.compute import Compute
from captioner.config import SamplingConfig
from captioner.data.annotations import Record
from captioner.data.pictures import Pictures, SeveralPictures
from captioner.evaluation.diversity import Diversity, measure
from captioner.evaluation.metrics import Scores, score
from captioner.evaluation.references import ImageId, References
from captioner.events import Listener, Progress
from captioner.model.ensemble import AnyModel
from captioner.parallel import chunked
from captioner.predictor import DECODE_AT_ONCE, Captioner
from captioner.text import TOKENIZER
from captioner.vocab import Vocabulary


@dataclass(frozen=True)
class Evaluation:
    """Scores of a split, or of somebody's predictions."""

    scores: Scores[ImageId]
    perplexity: float | None
    """exp of the mean negative log-likelihood of a reference word, ends included; None without a model."""
    sampling: dict[str, Any]
    diversity: Diversity | None = None
    references: References | None = None
    captions: Mapping[ImageId, str] = field(default_factory=dict)
    """For people."""
    search_seconds: float | None = None
    """What choosing the words took, once the pictures were encoded; None without a model."""
    calibration: Calibration | None = None
    """Fitted to these captions; None without a model."""

    def to_json(self) -> dict[str, Any]:
        """The object that ``captioner evaluate --output`` writes."""
        return {
            **self.scores.corpus,
            "perplexity": self.perplexity,
            "images": len(self.scores.per_image),
            "tokenizer": TOKENIZER,
            "sampling": self.sampling,
            "references": self.references.to_json() if self.references else None,
            **(asdict(self.diversity) if self.diversity else {}),
        }

    def beam_json(self) -> dict[str, Any]:
        """An entry of the list that ``--beam-sizes`` makes of it: the same, and its time."""
        beam = {"beam_size": self.sampling["beam_size"], "search_seconds": self.search_seconds}
        return {**beam, **self.to_json()}

    def image_rows(self) -> Iterator[dict[str, Any]]:
        """The rows that ``captioner evaluate --per-image`` writes."""
        for image_id, values in self.scores.per_image.items():
            yield {"image_id": image_id, **values}


class Validation:
    """A split prepared for being scored many times: references tokenised, pictures at hand."""

    def __init__(
        self,
        records: Sequence[Record],
        pictures: Pictures | SeveralPictures,
        name: str = "",
        training_captions: Collection[tuple[str, ...]] | None = None,
    ) -> None:
        """``name`` says of which references; ``training_captions``, a set, are those that copies are counted by."""
        self.records = records
        self.pictures = pictures
        self.references = References(name, {record.image_id: record.captions for record in records})
        self.training_captions = training_captions

    def evaluate(
        self,
        model: AnyModel,
        vocabulary: Vocabulary,
        sampling: SamplingConfig,
        compute: Compute,
        listener: Listener,
    ) -> Evaluation:
        """Caption every picture freely, and score that; perplexity alone is teacher-forced."""
        return self.evaluate_samplings(model, vocabulary, [sampling], compute, listener)[0]

    def evaluate_samplings(
        self,
        model: AnyModel,
        vocabulary: Vocabulary,
        samplings: Sequence[SamplingConfig],
        compute: Compute,
        listener: Listener,
    ) -> list[Evaluation]:
        """As ``evaluate``, for several ways of choosing captions; each picture is encoded once."""
        captioner = Captioner(model, vocabulary, samplings[0], compute)
        captions: list[dict[ImageId, Caption]] = [{} for _ in samplings]
        seconds = [0.0] * len(samplings)
        loss, count = 0.0, 0

        def work(part: Sequence[int]) -> tuple[tuple[float, int], list[tuple[list[Caption], float]]]:
            features = captioner.encode(self.pictures.read(part))
            references = [self.references.words[self.records[index].image_id] for index in part]
            encoded = [[vocabulary.encode(one) for one in several] for several in references]
            found = []
            for sampling in samplings:
                start = perf_counter()
                best = [several[0] for several in captioner.caption_features(features, sampling, numbers=part)]
                found.append((best, perf_counter() - start))
            return captioner.likelihood(features, encoded), found

        parts = chunked(range(len(self.records)), DECODE_AT_ONCE)
        for (part_loss, part_count), found in compute.shared_in_order(work, parts):
            loss, count = loss + part_loss, count + part_count
            for number, (best, taken) in enumerate(found):
                seconds[number] += taken / compute.workers
                for caption in best:
                    captions[number][self.records[len(captions[number])].image_id] = caption
            listener(Progress("evaluating", len(captions[0]), len(self.records), "pictures"))
        perplexity = math.exp(loss / count)
        return [
            self._finish(each, perplexity, sampling, taken)
            for each, sampling, taken in zip(captions, samplings, seconds, strict=True)
        ]

    def _finish(
        self, captions: dict[ImageId, Caption], perplexity: float, sampling: SamplingConfig, seconds: float
    ) -> Evaluation:
        evaluation = score_captions(
            {image_id: caption.words for image_id, caption in captions.items()},
            self.references,
            {image_id: caption.text for image_id, caption in captions.items()},
            sampling.model_dump(),
            perplexity=perplexity,
            training_captions=self.training_captions,
            search_seconds=seconds,
        )
        ciders = [evaluation.scores.per_image[image_id]["CIDEr"] for image_id in captions]
        scores = [caption.score for caption in captions.values()]
        return replace(evaluation, calibration=Calibration.fit(scores, ciders, evaluation.sampling))


def score_captions(
    words: Mapping[ImageId, Sequence[str]],
    references: References,
    captions: Mapping[ImageId, str],
    sampling: dict[str, Any],
    *,
    perplexity: float | None = None,
    training_captions: Collection[tuple[str, ...]] | None = None,
    search_seconds: float | None = None,
) -> Evaluation:
    """Everything that ``evaluate`` reports of a caption for each image: its ``words``, and as people read it."""
    scores = score(words, references.words)
    spoken = (reference for several in references.words.values() for reference in several)
    diversity = measure(list(words.values()), spoken, training_captions)
    return Evaluation(scores, perplexity, sampling, diversity, references, captions, search_seconds)
