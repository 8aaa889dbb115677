"""A folder of pictures, each with its captions in a text file of the same name, one a line."""

import os
from collections.abc import Iterator
from pathlib import Path

from captioner.config import DatasetConfig
from captioner.data.formats.files import dataset_root, images_folder, read_lines
from captioner.data.formats.reading import Entry, Reading, counted, named, split_named
from captioner.errors import DatasetError

_PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")


def read_folder(config: DatasetConfig) -> Reading:
    """Read all pictures at any depth. Folders called ``train``, ``val`` and ``test`` at the top are the splits.

    Raises ``DatasetError`` for a text without a picture; ``load_dataset`` does so for a picture without a text.
    """
    if config.captions is not None:
        raise DatasetError(
            "the format 'folder' has no captions file, but dataset.captions names one",
            "remove dataset.captions, or set dataset.format to the format of that file",
        )
    root = dataset_root(config)
    splits: list[str | None] = [*config.images] if isinstance(config.images, dict) else [None]
    reading = Reading(root, [])
    texts_alone: list[str] = []
    for split in splits:
        top = images_folder(config, split, ())
        for folder, files in _walk(top):
            pictures, texts = _pictures(folder, files), _texts(files)
            for stem, name in pictures.items():
                file = folder / name
                captions = [line for _, line in read_lines(folder / texts[stem])] if stem in texts else []
                label = _below(file, root)
                reading.entries.append(Entry(label, label, file, captions, split or _split_by_folder(file, top)))
            if pictures:  # A folder of texts alone is not part of the data set: a licence, a list of words.
                texts_alone += [_below(folder / texts[stem], root) for stem in texts if stem not in pictures]
    if not reading.entries:
        raise DatasetError(
            f"{root} holds no pictures", "name a folder of pictures, each with its captions in a .txt beside"
        )
    if texts_alone and not config.allow_missing:
        raise DatasetError(
            f"{counted(len(texts_alone), 'text')} in {root} without a picture beside it: {named(texts_alone)}",
            "put the pictures there, or go on without them: --set dataset.allow_missing=true",
        )
    reading.left_out += texts_alone
    return reading


def _walk(top: Path) -> Iterator[tuple[Path, list[str]]]:
    """Each folder below ``top`` with its files, in an order that is the same on every machine; nothing hidden.

    Links to folders are followed, each folder once.
    """
    seen: set[str] = set()
    for path, inner, files in os.walk(top, onerror=_refuse, followlinks=True):
        real = os.path.realpath(path)
        inner[:] = [] if real in seen else sorted(name for name in inner if not name.startswith("."))
        if real not in seen:
            seen.add(real)
            yield Path(path), sorted(name for name in files if not name.startswith("."))


def _refuse(error: OSError) -> None:
    # os.walk() would otherwise leave the folder out without a word.
    raise DatasetError(f"cannot list {error.filename}: {error.strerror}", "make it readable, and try again")


def _pictures(folder: Path, files: list[str]) -> dict[str, str]:
    """The pictures among ``files`` by the name that they share with their text."""
    pictures: dict[str, str] = {}
    for name in files:
        stem, suffix = _parts(name)
        if suffix in _PICTURES and pictures.setdefault(stem, name) != name:
            raise DatasetError(
                f"{folder}: {pictures[stem]} and {name} would share the captions {stem}.txt", "rename one of them"
            )
    return pictures


def _texts(files: list[str]) -> dict[str, str]:
    return {_parts(name)[0]: name for name in files if _parts(name)[1] == ".txt"}


def _parts(name: str) -> tuple[str, str]:
    stem, dot, suffix = name.rpartition(".")
    return (stem, f".{suffix.lower()}") if dot else (name, "")


def _below(path: Path, root: Path) -> str:
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()


def _split_by_folder(file: Path, top: Path) -> str | None:
    folders = file.relative_to(top).parts[:-1]
    return split_named(folders[0]) if folders else None
