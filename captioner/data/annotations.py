"""A data set of any format -> one record a picture, with its captions and split, checked against the disk."""

import os
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from captioner.config import DatasetConfig
from captioner.data.formats import READERS
from captioner.data.formats.files import common_folder
from captioner.data.formats.reading import SPLITS, Entry, Reading, counted, named, split_named
from captioner.data.splits import assign_splits
from captioner.errors import DatasetError, nearest


@dataclass(frozen=True, slots=True)
class Record:
    """One picture with its captions."""

    image_id: int | str
    """What the data set calls the picture: COCO's number, or else its name. Unique."""
    file: Path
    captions: tuple[str, ...]
    """At least one; as written, without blanks around."""
    split: str
    """``train``, ``val`` or ``test``."""


class Dataset:
    """All records of a data set, in the order of its captions file or split lists."""

    def __init__(
        self, records: Sequence[Record], missing: Sequence[Path] = (), left_out: Sequence[str] = (), name: str = ""
    ) -> None:
        self.records = tuple(records)
        self.missing = tuple(missing)
        """Files of pictures that have captions and are not there; no records. Empty unless they are allowed."""
        self.left_out = tuple(left_out)
        """Names of pictures with captions that belong to no split."""
        self.name = name
        """Where the captions came from, for messages."""

    def split(self, name: str) -> list[Record]:
        """The records of a split, which may also be called ``dev``, ``valid`` or ``validation``.

        Raises ``DatasetError`` if there is no such split or it has no pictures.
        """
        split = split_named(name)
        records = [record for record in self.records if record.split == split]
        if records:
            return records
        problem = f"no pictures in the split '{name}'" if split else f"no split is called '{name}'"
        hint = "" if split else nearest(name, list(SPLITS))
        sizes = [f"{key} ({size:,})" for key, size in self.sizes().items()]
        raise DatasetError(f"{self.name}: {problem}{hint}", f"choose one of: {', '.join(sizes)}")

    def sizes(self) -> dict[str, int]:
        """Pictures in each split that has any."""
        counts = dict.fromkeys(SPLITS, 0)
        for record in self.records:
            counts[record.split] += 1
        return {split: count for split, count in counts.items() if count}

    def notes(self) -> list[str]:
        """What of the data set is not used, one line each, for whoever runs the program."""
        notes = []
        if self.left_out:
            notes.append(f"{counted(len(self.left_out), 'picture')} in no split, left out: {named(self.left_out)}")
        if self.missing:
            names = [path.name for path in self.missing]
            notes.append(f"{counted(len(names), 'picture')} missing on the disk, left out: {named(names)}")
        return notes


def load_dataset(config: DatasetConfig) -> Dataset:
    """Read the data set that ``config`` describes; nothing is left out silently.

    Raises ``DatasetError`` if anything is missing, broken or contradictory, naming the file and line where it can.
    """
    reading = READERS[config.format](config)
    if not reading.entries:
        raise DatasetError(f"{reading.source} has no captions", "set dataset.root and dataset.captions to a data set")
    _check_captions(reading)
    _check_unique(reading)
    entries = assign_splits(reading, config)
    missing = _missing(entries)
    if missing and (len(missing) == len(entries) or not config.allow_missing):
        raise _missing_error(missing, len(entries))
    absent = {id(entry) for entry in missing}
    records = [
        Record(entry.image_id, entry.file, tuple(entry.captions), entry.split or "train")
        for entry in entries
        if id(entry) not in absent
    ]
    return Dataset(records, [entry.file for entry in missing], reading.left_out, str(reading.source))


def _check_captions(reading: Reading) -> None:
    without = [entry.name for entry in reading.entries if not entry.captions]
    if without:
        raise DatasetError(
            f"{reading.source}: {counted(len(without), 'picture')} without captions: {named(without)}",
            "write captions for them, or remove them from the data set",
        )


def _check_unique(reading: Reading) -> None:
    for what, key in (("id", _identity), ("file", _file)):
        first: dict[Hashable, Entry] = {}
        for entry in reading.entries:
            other = first.setdefault(key(entry), entry)
            if other is not entry:
                raise DatasetError(
                    f"{reading.source}: two pictures have the same {what} {key(entry)}: {other.name} and {entry.name}",
                    "name every picture only once, with an id of its own",
                )


def _identity(entry: Entry) -> int | str:
    return entry.image_id


def _file(entry: Entry) -> Path:
    return entry.file


def _missing(entries: Iterable[Entry]) -> list[Entry]:
    """The entries whose file is not there. Each folder is listed once, which beats asking for each file."""
    folders: dict[Path, frozenset[str]] = {}
    missing = []
    for entry in entries:
        folder = entry.file.parent
        if folder not in folders:
            folders[folder] = _names(folder)
        if entry.file.name not in folders[folder]:
            missing.append(entry)
    return missing


def _names(folder: Path) -> frozenset[str]:
    try:
        return frozenset(os.listdir(folder))  # noqa: PTH208 (iterdir makes a Path of each of 118,000 names)
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()
    except OSError as error:
        raise DatasetError(
            f"cannot list the folder of the pictures {folder}: {error.strerror}", "make it readable, and try again"
        ) from None


def _missing_error(missing: Sequence[Entry], pictures: int) -> DatasetError:
    names = named([entry.name for entry in missing])
    folder = common_folder(entry.file for entry in missing)
    if len(missing) == pictures:
        return DatasetError(
            f"none of the {counted(pictures, 'picture')} with captions is in {folder}: {names}",
            "set dataset.images to the folder of the pictures, relative to dataset.root",
        )
    return DatasetError(
        f"{len(missing):,} of {counted(pictures, 'picture')} with captions not found in {folder}: {names}",
        "put them there, or go on without them: --set dataset.allow_missing=true",
    )
