"""Confidence: the probability that a caption is right, learned from a split whose right captions are known.

J. Platt, "Probabilistic Outputs for Support Vector Machines and Comparisons to Regularized Likelihood Methods", 1999:
a logistic function of a score, here of the mean log-probability of a caption's words and its end. It never changes
the order of two captions. The error is that of C. Guo et al., "On Calibration of Modern Neural Networks", ICML 2017,
arXiv 1706.04599, section 2, over bins of as many captions each; every caption's confidence in the table comes from a
function that was fitted without it.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

RIGHT = 0.5
"""A caption counts as right if its own CIDEr, against people's captions of the picture, is at least this."""
_FOLDS = 5
_BINS = 10
_SMALLEST_BIN = 20

_Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Bin:
    """Captions of about the same confidence."""

    confidence: float
    """Their mean."""
    accuracy: float
    """Share of them that were right."""
    captions: int


@dataclass(frozen=True)
class Calibration:
    """A function from scores to probabilities, and how well it does."""

    slope: float
    offset: float
    sampling: dict[str, Any]
    """How the captions were chosen that it was fitted on: for others it may be wrong."""
    right_from: float
    """The CIDEr from which a caption counted as right."""
    error: float
    """Expected calibration error: mean distance of a bin's confidence from its accuracy."""
    bins: tuple[Bin, ...]
    """From the least confident to the most."""

    @classmethod
    def fit(cls, scores: Sequence[float], ciders: Sequence[float], sampling: dict[str, Any]) -> "Calibration":
        """Fit to captions with their ``scores``, as ``Caption.score`` has them, and each caption's own CIDEr."""
        x, right = np.asarray(scores, np.float64), np.asarray(ciders) >= RIGHT
        slope, offset = _fit(x, right)
        error, bins = expected_error(_held_out(x, right), right)
        return cls(slope, offset, sampling, RIGHT, error, bins)

    def __call__(self, score: float) -> float:
        """The probability, 0 to 1, that a caption of this score is right."""
        return float(_logistic(np.float64(self.slope * score + self.offset)))

    def to_json(self) -> dict[str, Any]:
        """As a checkpoint holds it."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Calibration":
        """The inverse of ``to_json``. Raises ``TypeError`` and ``KeyError`` for anything else."""
        return cls(**{**values, "bins": tuple(Bin(**each) for each in values["bins"])})


def expected_error(confidences: Sequence[float] | _Numbers, right: Any) -> tuple[float, tuple[Bin, ...]]:
    """The expected calibration error of captions' ``confidences``, and its bins; ``right`` says which ones were."""
    values, hits = np.asarray(confidences, np.float64), np.asarray(right, np.float64)
    order = np.argsort(values, kind="stable")
    parts = np.array_split(order, max(1, min(_BINS, len(order) // _SMALLEST_BIN)))
    bins = tuple(Bin(float(values[part].mean()), float(hits[part].mean()), len(part)) for part in parts)
    return sum(abs(each.confidence - each.accuracy) * each.captions for each in bins) / len(values), bins


def doubt(calibration: Calibration | None, method: str, models: int) -> str:
    """Why confidence is not the probability that it says, for captions of a ``sampling.method``, or nothing.

    Searches differ little: fitted to beam search, the error on a greedy one grows by 0.01. Random draws differ much.
    """
    if calibration is None:
        return "this model has no calibration: its confidence ranks captions, and is no probability"
    if models > 1:
        return "confidence was calibrated for the first model alone, not for several together"
    if method == "sample" != calibration.sampling["method"]:
        before = calibration.sampling["method"]
        return f"confidence was calibrated for method {before}: random captions are right more often than it says"
    return ""


def _fit(x: _Numbers, right: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Slope, at least 0, and offset of greatest likelihood, by Newton's method.

    Targets are Platt's: what few captions show is not taken for certain.
    """
    count, good = len(x), int(right.sum())
    targets = np.where(right, (good + 1) / (good + 2), 1 / (count - good + 2))
    mean, spread = float(x.mean()), float(x.std()) or 1.0
    design = np.stack([(x - mean) / spread, np.ones(count)], axis=1)
    weights = np.array([0.0, math.log(targets.mean() / (1 - targets.mean()))])
    for _ in range(50):
        found = _logistic(design @ weights)
        # A hair of ridge: equal scores would leave the slope open, and perfect order would make it endless.
        curvature = (design * (found * (1 - found))[:, None]).T @ design + 1e-3 * np.eye(2)
        step = np.linalg.solve(curvature, design.T @ (found - targets) + 1e-3 * weights)
        weights = weights - step
        if np.abs(step).max() < 1e-9:
            break
    if weights[0] < 0:  # Longer odds for likelier captions are chance: then all have the same.
        return 0.0, math.log(targets.mean() / (1 - targets.mean()))
    return float(weights[0] / spread), float(weights[1] - weights[0] * mean / spread)


def _held_out(x: _Numbers, right: npt.NDArray[np.bool_]) -> _Numbers:
    """The confidence of each caption by a function that was fitted to the other folds."""
    folds = np.arange(len(x)) % min(_FOLDS, len(x))
    result = np.empty(len(x))
    for fold in range(folds.max() + 1):
        inside = folds == fold
        others = ~inside if len(x) > 1 else inside
        slope, offset = _fit(x[others], right[others])
        result[inside] = _logistic(slope * x[inside] + offset)
    return result


def _logistic(x: Any) -> Any:
    return np.exp(-np.logaddexp(0, -x))  # Without overflow.
