"""The vectorised bootstrap gives what scoring every draw with pycocoevalcap gives, one draw at a time."""

import numpy as np
import pytest

from captioner.evaluation.comparison import compare
from captioner.evaluation.metrics import METRICS, score
from captioner.text import tokenize

pytest.importorskip("pycocoevalcap", reason="pycocoevalcap, the implementation to agree with, is not installed")

from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

IMAGES, RESAMPLES, SEED = 30, 60, 11
SUBJECTS = ["a dog", "two men", "a little girl", "people", "the café's owner"]
VERBS = ["runs", "sit", "is playing", "stands", "jumps over a log"]
PLACES = ["on the grass", "in the water", "on a red bench", "in front of a building", ""]


def caption(random: np.random.Generator) -> str:
    return " ".join(part[random.integers(len(part))] for part in (SUBJECTS, VERBS, PLACES))


@pytest.fixture(scope="module")
def material() -> tuple[dict[int, list[list[str]]], list[dict[int, list[str]]]]:
    """References and two sides, of which the second one sometimes says what a reference says, and once nothing."""
    random = np.random.default_rng(3)
    references = {key: [tokenize(caption(random)) for _ in range(random.integers(1, 6))] for key in range(IMAGES)}
    first = {key: tokenize(caption(random)) for key in references}
    second = {key: references[key][0] if random.random() < 0.3 else tokenize(caption(random)) for key in references}
    second[4] = []
    return references, [first, second]


def by_hand(
    references: dict[int, list[list[str]]], sides: list[dict[int, list[str]]]
) -> dict[str, tuple[float, float]]:
    """The interval of each metric."""
    heard = {key: [" ".join(words) for words in several] for key, several in references.items()}
    means = []
    for side in sides:
        spoken = {key: [" ".join(words)] for key, words in side.items()}
        means.append([Rouge().compute_score(heard, spoken)[1], Cider().compute_score(heard, spoken)[1]])
    draws = np.random.default_rng(SEED).integers(0, IMAGES, size=(RESAMPLES, IMAGES))
    rows = []
    for draw in draws:
        again = dict(enumerate(draw))
        scores = []
        for side, (rouge, cider) in zip(sides, means, strict=True):
            spoken = {place: [" ".join(side[key])] for place, key in again.items()}
            bleu, _ = Bleu(4).compute_score({place: heard[key] for place, key in again.items()}, spoken, verbose=0)
            scores.append([*bleu, np.mean([rouge[key] for key in draw]), np.mean([cider[key] for key in draw])])
        rows.append(np.subtract(scores[1], scores[0]))
    low, high = np.percentile(rows, [2.5, 97.5], axis=0)
    return {name: (low[place], high[place]) for place, name in enumerate(METRICS)}


def test_intervals_equal_those_of_scoring_every_draw(
    material: tuple[dict[int, list[list[str]]], list[dict[int, list[str]]]],
) -> None:
    references, sides = material
    expected = by_hand(references, sides)
    found = compare(*(score(side, references) for side in sides), seed=SEED, resamples=RESAMPLES)  # type: ignore[misc]
    for name, difference in found.metrics.items():
        assert (difference.low, difference.high) == pytest.approx(expected[name], abs=1e-9), name
