"""COCO captions: ``images`` and ``annotations`` in one JSON file for each split.

Chen et al., "Microsoft COCO Captions: Data Collection and Evaluation Server", arXiv 1504.00325. Read without
pycocotools, whose index would take twice the time and memory, and which prints.
"""

from collections.abc import Hashable
from pathlib import Path
from typing import Any

from captioner.config import DatasetConfig
from captioner.data.formats.files import captions_files, common_source, dataset_root, images_folder, read_json
from captioner.data.formats.reading import Entry, Reading, counted, named
from captioner.errors import DatasetError

_FOLDERS = ("", "annotations/")
_YEARS = ("2017", "2014")
_CAPTIONS = ("annotations/captions_train2017.json", "captions.json")


def read_coco(config: DatasetConfig) -> Reading:
    """Read one captions file for each split, or one for all, whose splits are then made otherwise.

    By default ``captions_train2017.json`` and ``captions_val2017.json``, or those of 2014, and the pictures in the
    folders that belong to them (``train2017``).
    """
    files = (_usual(config) if config.captions is None else []) or captions_files(config, _CAPTIONS)
    entries: list[Entry] = []
    for split, source in files:
        year = source.stem.removeprefix("captions_")
        folder = images_folder(config, split, [year, f"images/{year}", "images"])
        entries += _read(source, folder, split)
    return Reading(common_source(files), entries)


def _usual(config: DatasetConfig) -> list[tuple[str | None, Path]]:
    root = dataset_root(config)
    for year in _YEARS:
        for folder in _FOLDERS:
            files = [(split, root / f"{folder}captions_{split}{year}.json") for split in ("train", "val")]
            found: list[tuple[str | None, Path]] = [(split, path) for split, path in files if path.is_file()]
            if found:
                return found
    return []


def _read(path: Path, folder: Path, split: str | None) -> list[Entry]:
    content = read_json(path)
    images, annotations = (content.get(key) if isinstance(content, dict) else None for key in ("images", "annotations"))
    if not isinstance(images, list) or not isinstance(annotations, list):
        raise DatasetError(
            f"{path} has no lists 'images' and 'annotations', so it is not a COCO captions file",
            "set dataset.captions to a captions_*.json, or dataset.format to the format of the file",
        )
    entries: dict[Hashable, Entry] = {}
    for number, image in enumerate(images, 1):
        image_id, name = _fields(image, ("id", "file_name"), path, "image", number)
        if image_id in entries:
            raise DatasetError(
                f"{path}: two images have the id {image_id!r}: {entries[image_id].name} and {name}",
                "give every picture its own id, and name it only once",
            )
        entries[image_id] = Entry(image_id, name, folder / name, [], split)
    _add_captions(path, annotations, entries)
    return list(entries.values())


def _add_captions(path: Path, annotations: list[Any], entries: dict[Hashable, Entry]) -> None:
    seen: set[Hashable] = set()
    strays = []
    for number, annotation in enumerate(annotations, 1):
        image_id, caption = _fields(annotation, ("image_id", "caption"), path, "annotation", number)
        caption = caption.strip()
        annotation_id = annotation.get("id", -number)
        if annotation_id in seen:
            raise DatasetError(
                f"{path}: two annotations have the id {annotation_id!r}", "delete or renumber one of them"
            )
        seen.add(annotation_id)
        if image_id not in entries:
            strays.append(image_id)
        elif caption:
            entries[image_id].captions.append(caption)
        else:
            entries[image_id].empty += (f"{path}: annotation {number} (image {image_id!r})",)
    if strays:
        raise DatasetError(
            f"{path}: {counted(len(strays), 'caption')} of images that it does not list: {named(strays)}",
            "add those images to its list 'images', or delete the captions",
        )


def _fields(item: Any, keys: tuple[str, str], path: Path, what: str, number: int) -> tuple[int | str, str]:
    try:
        identity, text = item[keys[0]], item[keys[1]]
    except (KeyError, TypeError, IndexError):
        raise _lacks(path, what, number, keys) from None
    if not isinstance(identity, (int, str)) or not isinstance(text, str):
        raise _lacks(path, what, number, keys)
    return identity, text


def _lacks(path: Path, what: str, number: int, keys: tuple[str, str]) -> DatasetError:
    return DatasetError(
        f"{path}: {what} {number} lacks a proper '{keys[0]}' or '{keys[1]}'", "mend or remove it, and try again"
    )
