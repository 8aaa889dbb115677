"""Two sets of captions of the same images with all that a reader needs: scores, verdicts, captions, pictures."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from captioner.evaluation.bootstrap import CONFIDENCE, FEW_IMAGES
from captioner.evaluation.comparison import Comparison, compare
from captioner.evaluation.evaluator import SCALE, Evaluation
from captioner.evaluation.references import ImageId, References


class ImagePair(NamedTuple):
    """What both sides say of one image."""

    image_id: ImageId
    caption_a: str
    caption_b: str
    CIDEr_a: float
    CIDEr_b: float

    @property
    def difference(self) -> float:
        """B - A."""
        return self.CIDEr_b - self.CIDEr_a

    def to_json(self) -> dict[str, Any]:
        """All of it by name."""
        return {**self._asdict(), "difference": self.difference}


@dataclass(frozen=True)
class Contest:
    """Captions A and B, scored against the same references."""

    names: tuple[str, str]
    sides: tuple[Evaluation, Evaluation]
    references: References
    files: Mapping[ImageId, Path]
    """Pictures, of as many images as are known."""
    comparison: Comparison

    @classmethod
    def hold(
        cls,
        names: tuple[str, str],
        sides: tuple[Evaluation, Evaluation],
        references: References,
        files: Mapping[ImageId, Path],
        seed: int,
    ) -> "Contest":
        """Compare. Raises ``DatasetError`` when there is nothing to compare."""
        return cls(names, sides, references, files, compare(sides[0].scores, sides[1].scores, seed))

    def warnings(self) -> list[str]:
        """What makes the figures doubtful, one line each."""
        count = self.comparison.images
        few = f"only {count} images: from fewer than {FEW_IMAGES}, intervals come out too narrow"
        collapses = [
            f"{letter}: {side.diversity.collapse}"
            for letter, side in zip("AB", self.sides, strict=True)
            if side.diversity and side.diversity.collapse
        ]
        same = ["A and B say the same of every image"] if self.sides[0].captions == self.sides[1].captions else []
        return same + ([few] if count < FEW_IMAGES else []) + collapses

    def pairs(self) -> list[ImagePair]:
        """Every image, those with the greatest difference in CIDEr first; equal ones in the order of A."""
        first, second = self.sides
        pairs = [
            ImagePair(
                image_id,
                first.captions[image_id],
                second.captions[image_id],
                scores["CIDEr"],
                second.scores.per_image[image_id]["CIDEr"],
            )
            for image_id, scores in first.scores.per_image.items()
        ]
        return sorted(pairs, key=lambda pair: -abs(pair.difference))

    def to_json(self) -> dict[str, Any]:
        """The object that ``captioner compare --output`` writes."""
        found = self.comparison
        return {
            "a": self.names[0],
            "b": self.names[1],
            "images": found.images,
            "tokenizer": self.sides[0].tokenizer,
            "scale": SCALE,
            "sampling": {"a": self.sides[0].sampling, "b": self.sides[1].sampling},
            "precision": {"a": self.sides[0].precision, "b": self.sides[1].precision},
            "references": self.references.to_json(),
            "seed": found.seed,
            "resamples": found.resamples,
            "confidence": CONFIDENCE,
            "metrics": {name: difference.to_json() for name, difference in found.metrics.items()},
            "CIDEr_per_image": {"a_wins": found.a_wins, "ties": found.ties, "b_wins": found.b_wins},
            "per_image": [pair.to_json() for pair in self.pairs()],
        }
