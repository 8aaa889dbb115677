"""What every format's reader gives: pictures with their captions, not yet checked against the disk."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from captioner.errors import DatasetError

SPLITS: Final = ("train", "val", "test")
"""The splits, in the order in which messages name them."""

_ALIASES: Final = {
    "train": "train",
    "training": "train",
    "restval": "train",  # Karpathy's name for the part of COCO's val2014 that is trained on.
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}


@dataclass(slots=True)
class Entry:
    """One picture as a captions file has it."""

    image_id: int | str
    """What the data set calls the picture in evaluation: COCO's number, or else its name."""
    name: str
    """What lists and messages call the picture: its path below the folder of the pictures."""
    file: Path
    captions: list[str]
    split: str | None = None
    """``train``, ``val`` or ``test``; ``None`` where the captions say nothing of splits."""
    empty: tuple[str, ...] = ()
    """Places of its empty captions, which are not among ``captions``; such as ``captions.csv:2: beach.jpg``."""


@dataclass(slots=True)
class Reading:
    """All pictures of a data set."""

    source: Path
    """The file or folder that the captions came from, for messages."""
    entries: list[Entry]
    lists: dict[str, Path] = field(default_factory=dict)
    """For each split the file that names its pictures, where the format has such files."""
    left_out: list[str] = field(default_factory=list)
    """Pictures that the format itself leaves out, by name."""


class Gathering:
    """Collects captions that come one a row into one entry a picture, in the order of their first appearance."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._places: dict[str, str] = {}

    def add(self, name: str, file: Path, captions: Iterable[str], split: str | None, place: str) -> None:
        """Add the ``captions`` that ``place`` (a file and line) gives for the picture ``name``; some may be empty.

        Raises ``DatasetError`` if an earlier row put the picture into another split.
        """
        entry = self._entries.get(name)
        if entry is None:
            entry = self._entries[name] = Entry(name, name, file, [], split)
            self._places[name] = place
        elif entry.split != split:
            raise DatasetError(
                f"{place}: {name} is in {_split(split)} here and in {_split(entry.split)} at {self._places[name]}",
                "put all rows of a picture into one split: its captions in two would leak from training into the test",
            )
        for caption in captions:
            if caption:
                entry.captions.append(caption)
            else:
                entry.empty += (f"{place}: {name}",)

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())


def split_named(name: str) -> str | None:
    """``train``, ``val`` or ``test`` for any usual name of it, such as ``dev``; ``None`` for an unknown one."""
    return _ALIASES.get(name.strip().lower())


def row_split(name: str, place: str) -> str | None:
    """The split that a row at ``place`` gives: ``None`` for an empty ``name``, ``DatasetError`` for an unknown one."""
    split = split_named(name)
    if name.strip() and split is None:
        raise DatasetError(f"{place}: unknown split '{name}'", f"use {', '.join(SPLITS[:-1])} or {SPLITS[-1]}")
    return split


def counted(number: int, noun: str) -> str:
    """``1 picture``, ``7,000 pictures``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def named(names: Sequence[object]) -> str:
    """The first three of ``names``, and how many more there are."""
    shown = ", ".join(str(name) for name in names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3:,} more"


def _split(name: str | None) -> str:
    return f"split '{name}'" if name else "no split"
