"""Confidence: the fit against a plain search, the table against a plain count of captions not fitted to."""

import math
import random
from typing import Any

import pytest

from captioner.calibration import RIGHT, Calibration, doubt
from captioner.caption import Caption

BEAM: dict[str, Any] = {"method": "beam", "beam_size": 5}


def drawn(count: int, slope: float = 4.0, offset: float = 3.0, seed: int = 1) -> tuple[list[float], list[float]]:
    """Scores, and CIDEr values that are right by a logistic law of the score."""
    rng = random.Random(seed)
    scores = [-2 * rng.random() for _ in range(count)]
    right = [rng.random() < 1 / (1 + math.exp(-slope * score - offset)) for score in scores]
    return scores, [RIGHT + 0.3 if one else RIGHT - 0.01 for one in right]


def loss(scores: list[float], ciders: list[float], slope: float, offset: float) -> float:
    """Platt's, as his paper has it: cross entropy with targets that are not quite 0 and 1."""
    good = sum(cider >= RIGHT for cider in ciders)
    targets = [(good + 1) / (good + 2) if cider >= RIGHT else 1 / (len(scores) - good + 2) for cider in ciders]
    logits = [slope * score + offset for score in scores]
    return sum(math.log(1 + math.exp(-t)) + (1 - y) * t for y, t in zip(targets, logits, strict=True))


def test_the_fit_is_the_best_there_is() -> None:
    scores, ciders = drawn(2000)
    found = Calibration.fit(scores, ciders, BEAM)
    assert found.slope == pytest.approx(4.0, abs=0.5)
    assert found.offset == pytest.approx(3.0, abs=0.5)
    best = loss(scores, ciders, found.slope, found.offset)
    for slope in (-0.02, 0, 0.02):
        for offset in (-0.02, 0, 0.02):
            assert best <= loss(scores, ciders, found.slope + slope, found.offset + offset) + 1e-3


def test_the_table_counts_captions_that_the_fit_has_not_seen() -> None:
    scores, ciders = drawn(400)
    found = Calibration.fit(scores, ciders, BEAM)
    assert [each.captions for each in found.bins] == [40] * 10
    said = [0.0] * 400
    for fold in range(5):
        others = [place for place in range(400) if place % 5 != fold]
        part = Calibration.fit([scores[place] for place in others], [ciders[place] for place in others], BEAM)
        for place in range(fold, 400, 5):
            said[place] = part(scores[place])
    order = sorted(range(400), key=lambda place: said[place])
    error = 0.0
    for number, each in enumerate(found.bins):
        inside = order[40 * number : 40 * number + 40]
        mean = sum(said[place] for place in inside) / 40
        share = sum(ciders[place] >= RIGHT for place in inside) / 40
        assert (each.confidence, each.accuracy) == (pytest.approx(mean, abs=1e-9), pytest.approx(share))
        error += abs(mean - share) / 10
    assert found.error == pytest.approx(error, abs=1e-9)


def test_it_is_a_probability_and_keeps_the_order() -> None:
    found = Calibration.fit(*drawn(300), BEAM)
    values = [found(-score / 10) for score in range(60)]
    assert values == sorted(values, reverse=True)
    assert 0 < values[-1] < values[0] < 1
    other = Calibration.fit(*drawn(20_000, seed=2), BEAM)
    scores, ciders = drawn(20_000, seed=3)
    mean = sum(map(other, scores)) / 20_000
    assert mean == pytest.approx(sum(cider >= RIGHT for cider in ciders) / 20_000, abs=0.02)


@pytest.mark.parametrize(
    ("scores", "ciders", "expected"),
    [
        ([-1.0], [0.0], 1 / 3),
        ([-1.0, -1.0], [1.0, 1.0], 3 / 4),
        ([-0.1, -2.0], [0.0, 1.0], 1 / 2),  # The likelier one is wrong: that is no reason to trust the other one more.
        ([-1.0] * 98, [0.0] * 98, 1 / 100),
    ],
)
def test_few_captions_show_little(scores: list[float], ciders: list[float], expected: float) -> None:
    found = Calibration.fit(scores, ciders, BEAM)
    assert found(-0.5) == pytest.approx(expected, abs=0.02)
    assert sum(each.captions for each in found.bins) == len(scores)


def test_captions_in_perfect_order_have_no_endless_slope() -> None:
    found = Calibration.fit([-0.1 * number for number in range(50)], [1.0] * 25 + [0.0] * 25, BEAM)
    assert 0 < found.slope < 100
    assert found(0.0) > 0.9
    assert found(-5.0) < 0.1


def test_it_travels_as_json() -> None:
    found = Calibration.fit(*drawn(60), BEAM)
    assert Calibration.from_json(found.to_json()) == found
    for values in ({"slope": 1}, {**found.to_json(), "bins": [3]}, {**found.to_json(), "slope": None, "more": 1}):
        with pytest.raises((TypeError, KeyError)):
            Calibration.from_json(values)


def test_confidence_of_a_caption() -> None:
    calibration = Calibration(2.0, 1.0, BEAM, RIGHT, 0.0, ())
    caption = Caption(("a", "dog"), -3.0, True, calibration)
    assert caption.score == -1.0
    assert caption.confidence == pytest.approx(1 / (1 + math.exp(1)))
    assert Caption(("a", "dog"), -3.0).confidence == pytest.approx(math.exp(-1))
    assert Caption(("a", "dog"), -3.0, finished=False).confidence == pytest.approx(math.exp(-1.5))
    assert caption == Caption(("a", "dog"), -3.0)
    assert "calibration" not in repr(caption)


def test_when_it_is_no_probability() -> None:
    calibration = Calibration(2.0, 1.0, BEAM, RIGHT, 0.0, ())
    assert doubt(calibration, "beam", 1) == doubt(calibration, "greedy", 1) == ""
    assert (
        doubt(None, "beam", 1) == "this model has no calibration: its confidence ranks captions, and is no probability"
    )
    assert doubt(calibration, "sample", 1) == (
        "confidence was calibrated for method beam: random captions are right more often than it says"
    )
    assert (
        doubt(calibration, "beam", 2) == "confidence was calibrated for the first model alone, not for several together"
    )
