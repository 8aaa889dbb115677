"""Anybody's captions against anybody's references: COCO results and COCO captions files."""

import json
from pathlib import Path
from typing import Any

from captioner.errors import DatasetError
from captioner.evaluation.evaluator import Evaluation, ImageId
from captioner.evaluation.metrics import score
from captioner.text import tokenize


def evaluate_files(predictions: Path, references: Path) -> Evaluation:
    """Score ``[{"image_id", "caption"}]`` against ``{"annotations": [{"image_id", "caption"}]}``, images by id.

    Raises ``DatasetError`` when a file is missing or of another form, or the images are not the same.
    """
    found = _read(predictions)
    if not isinstance(found, list):
        raise DatasetError(
            f"{predictions} is no list", 'write [{"image_id": ..., "caption": ...}], as COCO results are'
        )
    candidates: dict[ImageId, tuple[str, ...]] = {}
    for number, entry in enumerate(found):
        image_id, caption = _entry(entry, predictions, number)
        if image_id in candidates:
            raise DatasetError(f"{predictions}: two captions for image {image_id}", "keep one caption for each image")
        candidates[image_id] = tuple(tokenize(caption))
    known = _read(references)
    if not isinstance(known, dict) or not isinstance(known.get("annotations"), list):
        raise DatasetError(f"{references} has no 'annotations'", "give a COCO captions file")
    grouped: dict[ImageId, list[list[str]]] = {}
    for number, entry in enumerate(known["annotations"]):
        image_id, caption = _entry(entry, references, number)
        grouped.setdefault(image_id, []).append(tokenize(caption))
    return Evaluation(score(candidates, grouped), None, {"method": "file", "name": predictions.name})


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror}", "check the path") from None
    except ValueError as error:
        raise DatasetError(f"{path} is not JSON: {error}", "mend it, or write it again") from None


def _entry(entry: Any, path: Path, number: int) -> tuple[ImageId, str]:
    if (
        not isinstance(entry, dict)
        or not isinstance(entry.get("caption"), str)
        or not isinstance(entry.get("image_id"), int | str)
    ):
        raise DatasetError(f"{path}: entry {number} lacks 'image_id' or 'caption'", "each entry needs both")
    return entry["image_id"], entry["caption"]
