"""The charts of captions in a report: lengths, scores, confidence, and how far that is to be trusted."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

import numpy as np

from captioner.calibration import RIGHT, Bin, expected_error
from captioner.evaluation.evaluator import Evaluation
from captioner.pages.charts import Series, Svg, bar_chart, reliability_diagram

_LONGEST: Final = 30
"""Words; longer captions are counted with these."""


def evaluation_charts(evaluation: Evaluation) -> list[Svg]:
    """Charts of captions and, where they are known, confidences."""
    charts = [_lengths(evaluation), _histogram("CIDEr of single captions", _ciders(evaluation), "CIDEr", 0.2, 3)]
    if evaluation.confidences:
        confidences = list(evaluation.confidences.values())
        charts += [
            _histogram("Confidence", confidences, "confidence", 0.1, 1),
            reliability_diagram("How often captions are right, by confidence", reliability(evaluation)[1]),
        ]
    return charts


def reliability(evaluation: Evaluation) -> tuple[float, tuple[Bin, ...]]:
    """Expected calibration error of the confidences, and the captions by confidence with the share that is right."""
    ciders = [evaluation.scores.per_image[key]["CIDEr"] for key in evaluation.confidences]
    return expected_error(list(evaluation.confidences.values()), np.array(ciders) >= RIGHT)


def _ciders(evaluation: Evaluation) -> list[float]:
    return [values["CIDEr"] for values in evaluation.scores.per_image.values()]


def _lengths(evaluation: Evaluation) -> Svg:
    assert evaluation.references is not None
    said = Counter(min(_LONGEST, len(words)) for words in evaluation.words.values())
    known = Counter(min(_LONGEST, len(words)) for several in evaluation.references.words.values() for words in several)
    lengths = range(min(*said, *known), max(*said, *known) + 1)
    series = [
        Series(name, [counts[length] / counts.total() for length in lengths])
        for name, counts in (("captions", said), ("references", known))
    ]
    return bar_chart("Words in a caption, share of captions", [*map(str, lengths)], series, x_label="words")


def _histogram(title: str, values: Iterable[float], x_label: str, step: float, end: float) -> Svg:
    """Shares of the values in steps from 0; those from ``end`` on count with the last."""
    steps = round(end / step)
    place: Callable[[float], int] = lambda value: min(steps - 1, max(0, int(value / step + 1e-9)))  # noqa: E731
    counts = Counter(map(place, values))
    labels = [f"{number * step:.1f}" for number in range(steps)]
    shares = [counts[number] / max(1, counts.total()) for number in range(steps)]
    return bar_chart(f"{title}, share of captions", labels, [Series("", shares)], x_label=f"{x_label}, from")
