"""The charts of an evaluation's report: training, lengths, scores, confidence, and how far that is to be trusted."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import numpy as np

from captioner.charts import Bin, Series, Svg, bar_chart, line_chart, reliability_diagram
from captioner.evaluation.evaluator import Evaluation
from captioner.training.log import Row

RIGHT: Final = 0.5
_BINS: Final = 10
_FEWEST: Final = 20
"""Captions in a bin of the reliability diagram."""
_LONGEST: Final = 30
"""Words; longer captions are counted with these."""
_CURVES: Final[tuple[tuple[str, dict[str, str]], ...]] = (
    ("Training loss (nats per word)", {"loss": ""}),
    ("Validation CIDEr", {"val_CIDEr": ""}),
    ("Validation BLEU and ROUGE-L", {f"val_Bleu_{n}": f"BLEU-{n}" for n in (1, 2, 3, 4)} | {"val_ROUGE_L": "ROUGE-L"}),
    ("Validation perplexity", {"val_perplexity": ""}),
    ("Learning rate", {"learning_rate": ""}),
)


def training_charts(rows: Sequence[Row], best: float | None) -> list[Svg]:
    """Curves of a run's log over its epochs; ``best`` is the epoch of the model that is reported on."""
    epochs = [float(row["epoch"]) for row in rows]
    return [
        line_chart(
            title,
            epochs,
            [Series(name, [float(row.get(key, "nan")) for row in rows]) for key, name in names.items()],
            x_label="epoch",
            mark=best,
        )
        for title, names in _CURVES
        if rows and any(key in rows[-1] for key in names)
    ]


def evaluation_charts(evaluation: Evaluation) -> list[Svg]:
    """Charts of captions and, where they are known, confidences."""
    charts = [_lengths(evaluation), _histogram("CIDEr of single captions", _ciders(evaluation), "CIDEr", 0.2, 3)]
    if evaluation.confidences:
        confidences = list(evaluation.confidences.values())
        charts += [
            _histogram("Confidence", confidences, "confidence", 0.1, 1),
            reliability_diagram("How often captions are right, by confidence", reliability(evaluation)),
        ]
    return charts


def reliability(evaluation: Evaluation) -> list[Bin]:
    """Captions by confidence, in bins of as many each, and the share of each bin that is right."""
    confidences = np.array(list(evaluation.confidences.values()))
    right = np.array([evaluation.scores.per_image[key]["CIDEr"] >= RIGHT for key in evaluation.confidences])
    order = np.argsort(confidences, kind="stable")
    parts = np.array_split(order, max(1, min(_BINS, len(order) // _FEWEST)))
    return [Bin(float(confidences[part].mean()), float(right[part].mean()), len(part)) for part in parts]


def calibration_error(bins: Sequence[Bin]) -> float:
    """Mean distance of a bin's confidence from its share of right captions (Guo et al. 2017, arXiv 1706.04599)."""
    total = sum(each.captions for each in bins)
    return sum(abs(each.confidence - each.accuracy) * each.captions for each in bins) / total


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
