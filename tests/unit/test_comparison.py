"""The bootstrap sees differences that are there, sees none that are not, and covers the truth as often as it says."""

import numpy as np
import pytest

from captioner.errors import DatasetError
from captioner.evaluation.comparison import Difference, compare
from captioner.evaluation.metrics import METRICS, Scores, score
from captioner.evaluation.metrics.bleu import BleuStatistics, add, scores_of_sums
from captioner.text import tokenize

PHRASES = ["a dog runs on the grass", "a man rides a red bike", "two people sit on a bench", "a bus in the street"]


def captions(seed: int, images: int = 40, right: float = 1.0) -> Scores[int | str]:
    """Captions of which a share is right, and the others are somebody else's."""
    random = np.random.default_rng(seed)
    references = {key: [tokenize(f"{PHRASES[key % 4]} {key // 4}")] for key in range(images)}
    found = {
        key: references[key][0] if random.random() < right else references[(key + 1) % images][0] for key in references
    }
    return score(found, references)


def test_what_is_better_is_seen_in_every_metric() -> None:
    found = compare(captions(1, right=0.3), captions(2, right=0.9), seed=1)
    assert (found.images, found.resamples, found.seed) == (40, 10_000, 1)
    assert list(found.metrics) == list(METRICS)
    for name, difference in found.metrics.items():
        assert difference.verdict == "B is better", name
        assert 0 < difference.low < difference.difference < difference.high
    assert found.b_wins > found.a_wins
    assert found.a_wins + found.ties + found.b_wins == 40
    turned = compare(captions(2, right=0.9), captions(1, right=0.3), seed=1)
    assert (turned.a_wins, turned.b_wins) == (found.b_wins, found.a_wins)
    for name, difference in turned.metrics.items():
        assert difference.verdict == "A is better"
        assert difference.low == pytest.approx(-found.metrics[name].high)


def test_the_same_captions_differ_by_nothing() -> None:
    side = captions(1, right=0.5)
    found = compare(side, side, seed=3)
    for difference in found.metrics.values():
        assert (difference.difference, difference.low, difference.high) == (0, 0, 0)
        assert difference.verdict == "no difference can be seen"
    assert (found.a_wins, found.ties, found.b_wins) == (0, 40, 0)


def test_the_order_of_the_images_of_b_does_not_matter() -> None:
    a, b = captions(1, right=0.3), captions(2, right=0.6)
    turned = Scores(b.corpus, dict(reversed(b.per_image.items())), dict(reversed(b.bleu_statistics.items())))
    assert compare(a, turned, seed=1) == compare(a, b, seed=1)


def test_a_seed_gives_the_same_figures_and_another_seed_about_the_same() -> None:
    a, b = captions(1, right=0.3), captions(2, right=0.6)
    assert compare(a, b, seed=5) == compare(a, b, seed=5)
    first, second = (compare(a, b, seed=seed).metrics["CIDEr"] for seed in (5, 6))
    assert first.low != second.low
    assert first.low == pytest.approx(second.low, abs=0.05 * (first.high - first.low))


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.1, 0.3, "B is better"),
        (-0.3, -0.1, "A is better"),
        (-0.1, 0.3, "no difference can be seen"),
        (0.0, 0.3, "no difference can be seen"),
        (1e-17, 1e-16, "no difference can be seen"),
    ],
)
def test_verdicts(low: float, high: float, verdict: str) -> None:
    difference = Difference(0.2, 0.3, low, high)
    assert difference.verdict == verdict
    assert difference.to_json() == {
        "a": 0.2, "b": 0.3, "low": low, "high": high, "difference": pytest.approx(0.1), "verdict": verdict,
    }  # fmt: skip


def test_bleu_of_sums_is_bleu_of_the_corpus() -> None:
    random = np.random.default_rng(1)
    corpora = []
    for _ in range(50):
        lengths = random.integers(0, 8, size=2)
        possible = tuple(max(0, int(lengths[0]) - order) for order in range(4))
        matched = tuple(int(random.integers(0, count + 1)) for count in possible)
        corpora.append(BleuStatistics(int(lengths[0]), int(lengths[1]), possible, matched))
    corpora.append(add(corpora))
    sums = np.array([corpus.row() for corpus in corpora], dtype=float)
    np.testing.assert_allclose(scores_of_sums(sums), [corpus.scores() for corpus in corpora], rtol=1e-12, atol=0)


def made_up(matched: np.ndarray, cider: np.ndarray) -> Scores[int | str]:
    """Captions of ten words against references of ten, of which so many match, and CIDErs."""
    statistics = {
        key: BleuStatistics(10, 10, (10, 9, 8, 7), (int(count), 0, 0, 0)) for key, count in enumerate(matched)
    }
    rows: dict[int | str, dict[str, float]] = {
        key: dict.fromkeys(METRICS, 0.0) | {"CIDEr": float(value)} for key, value in enumerate(cider)
    }
    corpus = dict.fromkeys(METRICS, 0.0) | {"Bleu_1": matched.mean() / 10, "CIDEr": cider.mean()}
    return Scores(corpus, rows, dict(statistics))


def test_intervals_cover_the_true_difference_in_about_95_of_100_experiments() -> None:
    """Both sides share what makes an image hard, as models do; the truth is known because the images are made up."""
    random = np.random.default_rng(7)
    experiments, images = 400, 80
    covered = {"Bleu_1": 0, "CIDEr": 0}
    for experiment in range(experiments):
        hard = random.gamma(2.0, 0.3, size=images)
        sides = [
            made_up(
                random.binomial(10, np.clip(0.5 + shift / 2 - 0.1 * (hard - 0.6), 0.01, 0.99)),
                hard + random.normal(shift, 0.4, size=images),
            )
            for shift in (0.0, 0.1)
        ]
        found = compare(sides[0], sides[1], seed=experiment, resamples=500).metrics
        for name, truth in (("Bleu_1", 0.05), ("CIDEr", 0.1)):
            covered[name] += found[name].low <= truth <= found[name].high
    for name, count in covered.items():
        assert 0.92 <= count / experiments <= 0.975, name


def test_images_that_are_not_the_same() -> None:
    with pytest.raises(DatasetError) as refusal:
        compare(captions(1), captions(1, images=39), seed=1)
    assert refusal.value.problem == "A and B describe different images"


def test_a_single_image_shows_nothing() -> None:
    with pytest.raises(DatasetError) as refusal:
        compare(captions(1, images=1), captions(1, images=1), seed=1)
    assert refusal.value.problem == "one image cannot show which side is better"
