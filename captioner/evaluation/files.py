"""Anybody's captions against anybody's references: COCO results and COCO captions files."""

import json
from pathlib import Path
from typing import Any

from captioner.errors import DatasetError
from captioner.evaluation.contest import Contest
from captioner.evaluation.evaluator import Evaluation, score_captions
from captioner.evaluation.references import ImageId, References
from captioner.text import tokenize


def evaluate_files(predictions: Path, references: Path) -> Evaluation:
    """Score ``[{"image_id", "caption"}]`` against ``{"annotations": [{"image_id", "caption"}]}``, images by id.

    Raises ``DatasetError`` when a file is missing or of another form, or the images are not the same.
    """
    return _score(predictions, _references(references))


def compare_files(predictions: tuple[Path, Path], references: Path, images: Path | None, seed: int) -> Contest:
    """Compare two predictions files; pictures are sought in ``images``. Raises as ``evaluate_files``."""
    known = _references(references)
    first, second = (_score(path, known) for path in predictions)
    files = _picture_files(references, images) if images else {}
    return Contest.hold((str(predictions[0]), str(predictions[1])), (first, second), known, files, seed)


def _picture_files(references: Path, folder: Path) -> dict[ImageId, Path]:
    known = _read(references)
    images = known.get("images") if isinstance(known, dict) else None
    files = {
        image["id"]: folder / image["file_name"]
        for image in (images if isinstance(images, list) else [])
        if isinstance(image, dict)
        and isinstance(image.get("id"), int | str)
        and isinstance(image.get("file_name"), str)
    }
    if not files:
        raise DatasetError(
            f"{references} names no picture files", 'add "images": [{"id", "file_name"}], or leave out --images'
        )
    return files


def _score(predictions: Path, references: References) -> Evaluation:
    captions = _predictions(predictions)
    words = {image_id: tokenize(caption) for image_id, caption in captions.items()}
    return score_captions(words, references, captions, {"method": "file", "name": predictions.name})


def _predictions(path: Path) -> dict[ImageId, str]:
    found = _read(path)
    if not isinstance(found, list):
        raise DatasetError(f"{path} is no list", 'write [{"image_id": ..., "caption": ...}], as COCO results are')
    captions: dict[ImageId, str] = {}
    for number, entry in enumerate(found):
        image_id, caption = _entry(entry, path, number)
        if image_id in captions:
            raise DatasetError(f"{path}: two captions for image {image_id}", "keep one caption for each image")
        captions[image_id] = caption
    return captions


def _references(path: Path) -> References:
    known = _read(path)
    if not isinstance(known, dict) or not isinstance(known.get("annotations"), list):
        raise DatasetError(f"{path} has no 'annotations'", "give a COCO captions file")
    texts: dict[ImageId, list[str]] = {}
    for number, entry in enumerate(known["annotations"]):
        image_id, caption = _entry(entry, path, number)
        texts.setdefault(image_id, []).append(caption)
    return References(path.name, texts)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError:
        raise DatasetError(f"{path} is not UTF-8 text", f"save {path.name} as UTF-8, and try again") from None
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
        raise DatasetError(f"{path}: entry {number} lacks 'image_id' or a text as 'caption'", "each entry needs both")
    # JSON can hold halves of characters, which no file can.
    return entry["image_id"], entry["caption"].encode("utf-8", "replace").decode()
