"""Everything about an evaluation as one HTML file: scores, curves, examples, errors, and how it was made."""

import platform
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from captioner import __version__
from captioner.calibration import RIGHT, doubt
from captioner.checkpoint.description import describe, in_words
from captioner.checkpoint.index import fingerprint
from captioner.errors import ImageError, UsageError
from captioner.evaluation.bootstrap import CONFIDENCE, FEW_IMAGES, RESAMPLES, score_intervals
from captioner.evaluation.evaluator import Evaluation
from captioner.evaluation.metrics import written
from captioner.evaluation.references import ImageId
from captioner.evaluation.report_charts import evaluation_charts, reliability
from captioner.evaluation.tables import score_rows
from captioner.evaluation.word_use import ClassUse, word_use
from captioner.folder.review import told
from captioner.heeding import counting
from captioner.pages.charts import STYLE
from captioner.pages.confidence import meaning
from captioner.pages.html import picture_of, small_source, write_page
from captioner.pages.overlays import overlays
from captioner.predictor import Captioner
from captioner.training.curves import Row, curves

EXAMPLES = 8
"""Images in each gallery."""
WORDS = 6
"""Words in a list of errors."""
_SEED = 1
_OVERLAY = 120
"""Pixels of an overlay's side."""


@dataclass(frozen=True)
class Origin:
    """Where captions come from, beside their scores."""

    title: str
    command: str
    """What was typed."""
    captioner: Captioner | None = None
    """The model, to show where it looks; None for a predictions file."""
    models: Sequence[Path] = ()
    """Its checkpoints or runs."""
    log: Sequence[Row] = ()
    """Rows of its run, an epoch each."""


def write_report(path: Path, evaluation: Evaluation, origin: Origin) -> None:
    """Write the report. Raises ``StorageError``."""
    assert evaluation.references is not None
    sections = [describe(model) for model in origin.models]
    calibration = origin.captioner.calibration if origin.captioner else None
    doubtful = doubt(calibration, evaluation.sampling["method"], len(origin.models))
    galleries = _galleries(evaluation, origin.captioner, doubtful)
    write_page(
        path,
        "report.html.j2",
        title=origin.title,
        chart_style=STYLE,
        warning=evaluation.diversity.collapse if evaluation.diversity else None,
        few=len(evaluation.captions) < FEW_IMAGES,
        images=len(evaluation.captions),
        scores=_scores(evaluation),
        interval=f"{CONFIDENCE:.0%}",
        resamples=RESAMPLES,
        figures=[row for row in score_rows(evaluation) if row[0] not in map(written, evaluation.scores.corpus)],
        training=list(curves(origin.log, sections[0]["training"]["epoch"])) if origin.log else [],
        charts=evaluation_charts(evaluation),
        error=reliability(evaluation)[0] if evaluation.confidences else None,
        means=meaning(calibration, doubtful),
        right=RIGHT,
        classes=[_class_row(each) for each in word_use(evaluation.words, evaluation.references.words)],
        galleries=galleries,
        any_looks=any(entry["words"] for _, entries in galleries for entry in entries),
        made=_made(evaluation, origin, sections),
    )


def _scores(evaluation: Evaluation) -> list[tuple[str, str, str]]:
    found = score_intervals(evaluation.scores, _SEED) if len(evaluation.captions) > 1 else {}
    return [
        (written(name), f"{value:.4f}", f"{found[name].low:.4f} to {found[name].high:.4f}" if name in found else "")
        for name, value in evaluation.scores.corpus.items()
    ]


def _class_row(found: ClassUse) -> dict[str, Any]:
    shares = [found.share("unsupported", "said"), found.share("missed", "wanted")]
    return {
        "name": found.name,
        "unsupported": "" if shares[0] is None else f"{shares[0]:.0%}",
        "missed": "" if shares[1] is None else f"{shares[1]:.0%}",
        "wrong": [(word.word, word.unsupported, word.said) for word in found.worst("unsupported", WORDS)],
        "left_out": [(word.word, word.missed, word.wanted) for word in found.worst("missed", WORDS)],
    }


def _galleries(
    evaluation: Evaluation, captioner: Captioner | None, doubtful: str
) -> list[tuple[str, list[dict[str, Any]]]]:
    """Best, worst and random images, each in one of them only."""
    per_image = evaluation.scores.per_image
    ranked = sorted(per_image, key=lambda key: -per_image[key]["CIDEr"])
    size = min(EXAMPLES, -(-len(ranked) // 3))
    best, worst = ranked[:size], ranked[size:][::-1][:size]
    rest = [key for key in ranked if key not in {*best, *worst}]
    drawn = random.Random(_SEED).sample(rest, min(size, len(rest)))
    galleries = (("Best, by CIDEr", best), ("Worst, by CIDEr", worst), ("Drawn at random from the others", drawn))
    return [(name, [_entry(key, evaluation, captioner, doubtful) for key in keys]) for name, keys in galleries if keys]


def _entry(key: ImageId, evaluation: Evaluation, captioner: Captioner | None, doubtful: str) -> dict[str, Any]:
    assert evaluation.references is not None
    file = evaluation.files.get(key)
    picture, problem = picture_of(file)
    confidence = evaluation.confidences.get(key)
    return {
        "id": key,
        "picture": picture,
        "problem": problem,
        "caption": evaluation.captions[key],
        "cider": evaluation.scores.per_image[key]["CIDEr"],
        "confidence": told(confidence, doubtful),
        "references": evaluation.references.texts[key],
        "words": _looks(file, evaluation.words[key], captioner) if file and captioner and picture else [],
    }


def _looks(file: Path, words: Sequence[str], captioner: Captioner) -> list[tuple[str, str]]:
    """Each word with a picture of where the model looks for it; nothing where it looks nowhere in particular."""
    seen = captioner.read(file)
    if isinstance(seen, ImageError) or not words:
        return []
    try:
        maps = captioner.attention(file, words)
    except UsageError:
        return []
    return [(word, small_source(image, _OVERLAY)) for word, image in zip(words, overlays(seen[0], maps), strict=True)]


def _made(
    evaluation: Evaluation, origin: Origin, sections: Sequence[dict[str, dict[str, Any]]]
) -> list[tuple[str, str]]:
    assert evaluation.references is not None
    known = evaluation.references.to_json()
    rows = [
        ("command", origin.command),
        ("written", datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")),
        ("versions", f"captioner {__version__}, torch {version('torch')}, Python {platform.python_version()}"),
        ("tokenizer", evaluation.tokenizer),
        ("sampling", ", ".join(f"{name} {value}" for name, value in counting(evaluation.sampling).items())),
        *([("precision", evaluation.precision)] if evaluation.precision else []),
        ("references", f"{known['captions']:,} captions of {known['images']:,} images in {known['name']}"),
        ("references' fingerprint", f"sha256 {known['sha256']}"),
    ]
    for path, parts in zip(origin.models, sections, strict=True):
        rows.append((f"{path}: fingerprint", f"sha256 {fingerprint(path)}"))
        rows += [
            (f"{path}: {name}", ", ".join(f"{key} {value}" for key, value in part.items()))
            for name, part in in_words(parts).items()
            if name != "sampling"
        ]
    return rows
