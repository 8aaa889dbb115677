"""Intervals of one set of captions are those that scoring each draw anew would give."""

import random

import numpy as np
import pytest

from captioner.evaluation.bootstrap import score_intervals
from captioner.evaluation.metrics import METRICS, Scores, score
from captioner.evaluation.metrics.bleu import add
from captioner.text import tokenize

PHRASES = ["a dog runs on the grass", "a man rides a red bike", "two people sit on a bench", "a bus in the street"]


def captions(images: int) -> Scores[int]:
    dice = random.Random(1)
    references = {key: [tokenize(f"{PHRASES[key % 4]} number {key // 4}")] for key in range(images)}
    return score({key: references[dice.choice([key, (key + 1) % images])][0] for key in references}, references)


def test_they_are_those_of_draws_that_are_scored_one_by_one() -> None:
    scores = captions(60)
    dice = random.Random(2)
    found = []
    for _ in range(4000):
        drawn = dice.choices(range(60), k=60)
        bleu = add([scores.bleu_statistics[key] for key in drawn]).scores()
        means = [sum(scores.per_image[key][name] for key in drawn) / 60 for name in ("ROUGE_L", "CIDEr")]
        found.append([*bleu, *means])
    expected = np.percentile(found, [2.5, 97.5], axis=0).T
    intervals = score_intervals(scores, seed=3)
    assert list(intervals) == list(METRICS)
    for interval, (low, high) in zip(intervals.values(), expected, strict=True):
        assert interval.low == pytest.approx(low, abs=0.05 * (high - low))
        assert interval.high == pytest.approx(high, abs=0.05 * (high - low))
    for name, interval in intervals.items():
        assert interval.low < scores.corpus[name] < interval.high


def test_spice_is_a_mean_of_images_and_meteor_is_not() -> None:
    scores = captions(40)
    more = {key: {**values, "METEOR": 0.2, "SPICE": values["ROUGE_L"]} for key, values in scores.per_image.items()}
    intervals = score_intervals(
        Scores({**scores.corpus, "METEOR": 0.2, "SPICE": scores.corpus["ROUGE_L"]}, more, scores.bleu_statistics), 1
    )
    assert list(intervals) == [*METRICS, "SPICE"]
    assert intervals["SPICE"] == intervals["ROUGE_L"]


def test_images_that_are_all_alike_leave_no_doubt() -> None:
    references = {key: [tokenize("a dog runs on the grass")] for key in range(30)}
    for low, high in score_intervals(
        score({key: several[0] for key, several in references.items()}, references), 1
    ).values():
        assert low == pytest.approx(high)
