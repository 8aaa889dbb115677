"""A model and a split of a data set -> captions, scores, and what they were computed with."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Any

from captioner.calibration import Calibration
from captioner.caption import Caption
from captioner.compute import Compute
from captioner.config import SamplingConfig
from captioner.data.annotations import Record
from captioner.data.pictures import Pictures, SeveralPictures
from captioner.evaluation.diversity import Diversity, measure, others
from captioner.evaluation.metrics import Scores, score
from captioner.evaluation.references import ImageId, References
from captioner.events import Listener, Progress
from captioner.model.ensemble import AnyModel
from captioner.parallel import chunked
from captioner.predictor import DECODE_AT_ONCE, Captioner
from captioner.text import TOKENIZER
from captioner.vocab import Vocabulary

SCALE = "fractions of 1; CIDEr-D, up to 10"
"""Of all scores. Papers print them a hundred times larger."""


@dataclass(frozen=True)
class Evaluation:
    """Scores of a split, or of somebody's predictions."""

    scores: Scores[ImageId]
    perplexity: float | None
    """exp of the mean negative log-likelihood of a reference word, ends included; None without a model."""
    sampling: dict[str, Any]
    tokenizer: str = field(default=TOKENIZER, kw_only=True)
    """Of captions and references."""
    diversity: Diversity | None = None
    references: References | None = None
    captions: Mapping[ImageId, str] = field(default_factory=dict)
    """For people."""
    words: Mapping[ImageId, Sequence[str]] = field(default_factory=dict)
    """The captions' tokens."""
    files: Mapping[ImageId, Path] = field(default_factory=dict)
    """Pictures, where they are known."""
    near_twins: int | None = None
    """Pictures of which there is nearly the same among those trained on; None where that is not known."""
    confidences: Mapping[ImageId, float] = field(default_factory=dict)
    """How sure the model was of each caption, 0 to 1; empty without a model."""
    search_seconds: float | None = None
    """What choosing the words took, once the pictures were encoded; None without a model."""
    calibration: Calibration | None = None
    """Fitted to these captions; None without a model."""
    precision: str | None = None
    """Of the matrix products that chose the captions; None without a model."""

    def to_json(self) -> dict[str, Any]:
        """The object that ``captioner evaluate --output`` writes."""
        return {
            **self.scores.corpus,
            "perplexity": self.perplexity,
            "images": len(self.scores.per_image),
            "tokenizer": self.tokenizer,
            "scale": SCALE,
            "sampling": self.sampling,
            "precision": self.precision,
            "references": self.references.to_json() if self.references else None,
            "near_twins_in_training": self.near_twins,
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
    ) -> None:
        """``name`` says of which references."""
        self.records = records
        self.pictures = pictures
        self.references = References(name, {record.image_id: record.captions for record in records})
        self.training_captions: Collection[tuple[str, ...]] | None = None
        """A set, by which copies are counted."""
        self.near_twins: int | None = None
        """How many of the pictures are nearly training pictures; None where that is not known."""
        self.calibration: Calibration | None = None
        """The model's own, by which confidences are judged."""
        self.swaps = 0
        """Of how many pictures to try whether the caption changes with another picture in its place."""

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
        captioner = Captioner(model, vocabulary, samplings[0], compute, self.calibration)
        drafts = [_Draft() for _ in samplings]
        loss, count = 0.0, 0

        def work(part: Sequence[int]) -> tuple[tuple[float, int], list[_Draft]]:
            features = captioner.encode(self.pictures.read(part))
            references = [self.references.words[self.records[index].image_id] for index in part]
            encoded = [[vocabulary.encode(one) for one in several] for several in references]
            found = []
            for sampling in samplings:
                start = perf_counter()
                captions = captioner.caption_features(features, sampling, numbers=part)
                draft = _Draft([several[0] for several in captions], seconds=perf_counter() - start)
                if (swaps := min(len(part), self.swaps - part[0])) > 1:
                    swapped = captioner.caption_features(features[others(swaps)], sampling, numbers=part[:swaps])
                    draft.swapped += [several[0] for several in swapped]
                found.append(draft)
            return captioner.likelihood(features, encoded), found

        parts = chunked(range(len(self.records)), DECODE_AT_ONCE)
        for (part_loss, part_count), found in compute.shared_in_order(work, parts):
            loss, count = loss + part_loss, count + part_count
            for draft, more in zip(drafts, found, strict=True):
                draft.captions += more.captions
                draft.swapped += more.swapped
                draft.seconds += more.seconds / compute.workers
            listener(Progress("evaluating", len(drafts[0].captions), len(self.records), "pictures"))
        perplexity = math.exp(loss / count)
        return [
            self._finish(draft, perplexity, sampling, compute.precision)
            for draft, sampling in zip(drafts, samplings, strict=True)
        ]

    def _finish(self, draft: "_Draft", perplexity: float, sampling: SamplingConfig, precision: str) -> Evaluation:
        captions = {record.image_id: caption for record, caption in zip(self.records, draft.captions, strict=True)}
        evaluation = score_captions(
            {image_id: caption.words for image_id, caption in captions.items()},
            self.references,
            {image_id: caption.text for image_id, caption in captions.items()},
            sampling.model_dump(),
            perplexity=perplexity,
            training_captions=self.training_captions,
            swapped=[(own.words, other.words) for own, other in zip(draft.captions, draft.swapped, strict=False)],
        )
        ciders = [evaluation.scores.per_image[image_id]["CIDEr"] for image_id in captions]
        scores = [caption.score for caption in captions.values()]
        return replace(
            evaluation,
            files={record.image_id: record.file for record in self.records},
            near_twins=self.near_twins,
            confidences={image_id: caption.confidence for image_id, caption in captions.items()},
            search_seconds=draft.seconds,
            calibration=Calibration.fit(scores, ciders, evaluation.sampling),
            precision=precision,
        )


@dataclass
class _Draft:
    """What one way of sampling has found so far."""

    captions: list[Caption] = field(default_factory=list)
    swapped: list[Caption] = field(default_factory=list)
    """Of the first pictures: what is said with another one in its place."""
    seconds: float = 0.0


def score_captions(
    words: Mapping[ImageId, Sequence[str]],
    references: References,
    captions: Mapping[ImageId, str],
    sampling: dict[str, Any],
    *,
    perplexity: float | None = None,
    training_captions: Collection[tuple[str, ...]] | None = None,
    swapped: Sequence[tuple[Sequence[str], Sequence[str]]] = (),
) -> Evaluation:
    """Everything that ``evaluate`` reports of a caption for each image: its ``words``, and as people read it."""
    scores = score(words, references.words)
    spoken = (reference for several in references.words.values() for reference in several)
    diversity = measure(list(words.values()), spoken, training_captions, swapped)
    return Evaluation(scores, perplexity, sampling, diversity, references, captions, words)
