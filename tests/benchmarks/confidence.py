"""How far confidence can be trusted. ``python tests/benchmarks/confidence.py RUN [dataset.root=FOLDER]``.

Expected calibration errors on the validation split of RUN's data set: cross-validated, fitted to one half and tested on
the other, and carried over to other sampling.
"""

import math
import random
import statistics
import sys
from pathlib import Path
from typing import Any

from captioner.calibration import RIGHT, Calibration, expected_error
from captioner.checkpoint.reading import load_checkpoint
from captioner.config import SamplingConfig
from captioner.configfile import dump_config, parse_config
from captioner.evaluation.evaluator import Validation
from captioner.evaluation.metrics import score
from captioner.events import ignore
from captioner.experiment import Experiment
from captioner.parallel import chunked
from captioner.predictor import DECODE_AT_ONCE, Captioner

OTHERS: dict[str, dict[str, Any]] = {
    "beam 3": {"beam_size": 3},
    "greedy": {"method": "greedy"},
    "diverse_beam": {"method": "diverse_beam"},
    "consensus of 32": {"method": "consensus", "beam_size": 32},
    "no_repeat_ngram 2": {"no_repeat_ngram": 2},
    "length_penalty 0": {"length_penalty": 0.0},
    "sample": {"method": "sample", "temperature": 0.7, "top_p": 0.9},
}

Judged = list[tuple[float, float]]
"""Captions' scores, and their CIDEr."""


def main() -> None:
    """Print the errors."""
    checkpoint = load_checkpoint(Path(sys.argv[1]))
    config = parse_config(dump_config(checkpoint.config), "the run's config", sys.argv[2:])
    experiment = Experiment(config, ignore)
    experiment.encoder = checkpoint.model.encoder
    validation = experiment.validation("val")
    captioner = Captioner(checkpoint.model, checkpoint.vocabulary, config.sampling, experiment.compute)
    judged = judge(captioner, validation, config.sampling)
    fitted = fit(judged)
    right = statistics.mean(cider >= RIGHT for _, cider in judged)
    print(f"{len(judged):,} captions, right {right:.3f}; cross-validated: {fitted.error:.3f}")
    for each in fitted.bins:
        print(f"  says {each.confidence:.2f}, right {each.accuracy:.2f}, {each.captions} captions")
    halves(judged)
    for name, changes in OTHERS.items():
        others = judge(captioner, validation, config.sampling.model_copy(update=changes))
        print(f"{name}: {error(fitted, others):.3f}")


def judge(captioner: Captioner, validation: Validation, sampling: SamplingConfig) -> Judged:
    """Caption the split."""
    captions = [
        several[0]
        for part in chunked(range(len(validation.records)), DECODE_AT_ONCE)
        for several in captioner.caption_features(
            captioner.encode(validation.pictures.read(part)), sampling, numbers=part
        )
    ]
    ids = [record.image_id for record in validation.records]
    words = {image_id: caption.words for image_id, caption in zip(ids, captions, strict=True)}
    ciders = score(words, validation.references.words).per_image
    return [(caption.score, ciders[image_id]["CIDEr"]) for image_id, caption in zip(ids, captions, strict=True)]


def fit(judged: Judged) -> Calibration:
    return Calibration.fit(*map(list, zip(*judged, strict=True)), {})  # type: ignore[arg-type]


def error(calibration: Calibration, judged: Judged) -> float:
    return expected_error([calibration(score) for score, _ in judged], [cider >= RIGHT for _, cider in judged])[0]


def halves(judged: Judged) -> None:
    """Twenty random halves, and what errors a perfect function would show on as many captions."""
    rng = random.Random(1)
    found: dict[str, list[float]] = {"Platt": [], "geometric mean": [], "chance alone": []}
    for _ in range(20):
        mixed = rng.sample(judged, len(judged))
        known, tested = mixed[::2], mixed[1::2]
        calibration = fit(known)
        said = [calibration(score) for score, _ in tested]
        found["Platt"].append(error(calibration, tested))
        found["chance alone"].append(expected_error(said, [rng.random() < each for each in said])[0])
        plain = [math.exp(score) for score, _ in tested]
        found["geometric mean"].append(expected_error(plain, [cider >= RIGHT for _, cider in tested])[0])
    for name, errors in found.items():
        print(f"half fitted, half tested, {name}: {statistics.mean(errors):.3f}")


if __name__ == "__main__":
    main()
