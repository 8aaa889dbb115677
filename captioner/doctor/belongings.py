"""Data sets, features and models: which there are, and whether a model is whole."""

import json
import os
from collections.abc import Iterator
from fnmatch import fnmatch
from os.path import splitext
from pathlib import Path

from captioner.checkpoint.index import INDEX, find_checkpoint, read_config, read_index, read_part
from captioner.doctor.finding import Finding
from captioner.errors import CheckpointError
from captioner.files import readable_size
from captioner.folder.inputs import SUFFIXES
from captioner.vocab import Vocabulary

_DEPTH, _MOST_FOLDERS = 3, 2000
_SIGNS = {
    "shapes.json": "shapes",
    "captions_*20??.json": "coco",
    "dataset_*.json": "karpathy",
    "Flickr8k.token.txt": "flickr",
    "results_20130124.token": "flickr",
    "captions.csv": "csv",
    "captions.jsonl": "jsonl",
}
"""Names of captions files, and the ``dataset.format`` that reads them."""


def find_belongings(folder: Path) -> Iterator[Finding]:
    """What lies in ``folder`` and up to three folders below it."""
    if not folder.is_dir():
        yield Finding("data", "error", f"{folder} is no folder", "give one that holds data sets, or none")
        return
    found = list(_search(folder))
    yield from found
    remedy = "captioner caption FOLDER --model RUN needs none; to train, captions must be beside: docs/data-formats.md"
    if not found and folder != Path():  # Where nobody has sent us, nothing need be.
        yield Finding("data", "note", f"{folder} holds neither captions nor features nor a model", remedy)


def _search(folder: Path) -> Iterator[Finding]:
    for seen, (place, folders, files) in enumerate(os.walk(folder), start=1):
        here, depth = Path(place), len(Path(place).relative_to(folder).parts)
        folders[:] = sorted(name for name in folders if not name.startswith(".")) if depth < _DEPTH else []
        if seen > _MOST_FOLDERS:
            yield Finding("data", "note", f"{folder} has many folders; only the first {_MOST_FOLDERS:,} were looked at")
            return
        given = [name for name in files if f"{name}.manifest" not in files]  # The others captioner has written itself.
        kinds = {kind for sign, kind in _SIGNS.items() if any(fnmatch(name, sign) for name in given)}
        if not kinds and any(
            f"{stem}.txt" in files for stem, suffix in map(splitext, files) if suffix.lower() in SUFFIXES
        ):
            kinds = {"folder"}
            folders.clear()
        root = here.parent if here.name == "annotations" else here
        yield from (Finding("data", "ok", f"{root} (dataset.format: {kind})") for kind in sorted(kinds))
        if "index.json" in files and (finding := _features(here)):
            folders.clear()
            yield finding
        if INDEX in files:
            folders.clear()
            yield Finding("model", "ok", str(here))


def _features(folder: Path) -> Finding | None:
    try:
        index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        encoder = f"{index['encoder']['backbone']}, {index['positions']} positions of {index['size']}"
    except (OSError, ValueError, KeyError, TypeError):
        return None
    size = sum(file.stat().st_size for file in folder.glob("*.bin"))
    return Finding("features", "ok", f"{folder} ({encoder}, {readable_size(size)})")


def check_model(path: Path) -> Iterator[Finding]:
    """Whether each checkpoint of a run, or the one at ``path``, is whole, by the hashes in its files' names."""
    try:
        folders = [find_checkpoint(path)]
    except CheckpointError as error:
        yield Finding("model", "error", error.problem, error.remedy)
        return
    if (path / "last" / INDEX).is_file() and folders[0] != path / "last":
        folders.append(path / "last")
    for folder in folders:
        try:
            yield _checkpoint(folder)
        except CheckpointError as error:
            yield Finding("model", "error", error.problem, error.remedy)


def _checkpoint(folder: Path) -> Finding:
    folder, index = read_index(folder)
    parts = {part: read_part(folder, index, part) for part in index["files"]}
    words = Vocabulary.from_json(parts["vocabulary"].decode(errors="replace"))
    config = read_config(folder, index)
    size = readable_size(sum(map(len, parts.values())))
    shown = f"{folder} is whole: {config.encoder.backbone}, {config.decoder.type}, {len(words):,} words, {size}"
    if "encoder" not in parts:
        return Finding("model", "note", f"{shown}; torchvision's own weights are downloaded on first use")
    return Finding("model", "ok", shown)
