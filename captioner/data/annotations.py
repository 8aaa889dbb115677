"""A data set of any format -> one record a picture, with its captions and split, checked against the disk."""

import os
from collections.abc import Hashable, Iterable, Iterator, Sequence
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


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a data set cannot be trained on."""

    kind: str
    """Which kind, for programs: one of those in docs/lint.md."""
    error: DatasetError
    names: Sequence[str]
    """The pictures, or places in the captions file, that have it."""


@dataclass(frozen=True, slots=True)
class Annotations:
    """A data set as read, with all that is wrong with it."""

    reading: Reading
    entries: list[Entry]
    """Those that belong to a split; all of them where the splits themselves are wrong."""
    missing: list[Entry]
    """Those whose file is not there."""
    problems: list[Problem]


def load_dataset(config: DatasetConfig) -> Dataset:
    """Read the data set that ``config`` describes; nothing is left out silently.

    Raises ``DatasetError`` if anything is missing, broken or contradictory, naming the file and line where it can.
    """
    annotations = read_annotations(config)
    for problem in annotations.problems:
        raise problem.error
    absent = {id(entry) for entry in annotations.missing}
    records = [
        Record(entry.image_id, entry.file, tuple(entry.captions), entry.split or "train")
        for entry in annotations.entries
        if id(entry) not in absent
    ]
    reading = annotations.reading
    return Dataset(records, [entry.file for entry in annotations.missing], reading.left_out, str(reading.source))


def read_annotations(config: DatasetConfig) -> Annotations:
    """Read the data set, and find all that is wrong with it, in the order in which it is best mended.

    Raises ``DatasetError`` only where nothing more can be said: a captions file that cannot be read, or has none.
    """
    reading = READERS[config.format](config)
    if not reading.entries:
        raise DatasetError(f"{reading.source} has no captions", "set dataset.root and dataset.captions to a data set")
    problems = [*_empty(reading), *_without_captions(reading), *_repeated(reading)]
    entries = reading.entries
    try:
        entries = assign_splits(reading, config)
    except DatasetError as error:
        problems.append(Problem("broken-splits", error, ()))
    missing = _missing(entries)
    if missing and (len(missing) == len(entries) or not config.allow_missing):
        names = [entry.name for entry in missing]
        problems.append(Problem("missing-pictures", _missing_error(missing, len(entries)), names))
    return Annotations(reading, entries, missing, problems)


def _empty(reading: Reading) -> Iterator[Problem]:
    places = [place for entry in reading.entries for place in entry.empty]
    if places:
        which = f" (1 of {len(places):,})" if len(places) > 1 else ""
        error = DatasetError(f"{places[0]} has an empty caption{which}", "write it or delete it, and try again")
        yield Problem("empty-captions", error, places)


def _without_captions(reading: Reading) -> Iterator[Problem]:
    without = [entry.name for entry in reading.entries if not entry.captions and not entry.empty]
    if without:
        error = DatasetError(
            f"{reading.source}: {counted(len(without), 'picture')} without captions: {named(without)}",
            "write captions for them, in a folder as a .txt beside each, or remove them",
        )
        yield Problem("pictures-without-captions", error, without)


def _repeated(reading: Reading) -> Iterator[Problem]:
    for what, key in (("id", _identity), ("file", _file)):
        first: dict[Hashable, Entry] = {}
        repeated = [
            (other, entry) for entry in reading.entries if (other := first.setdefault(key(entry), entry)) is not entry
        ]
        if repeated:
            other, entry = repeated[0]
            error = DatasetError(
                f"{reading.source}: two pictures have the same {what} {key(entry)}: {other.name} and {entry.name}",
                "name every picture only once, with an id of its own",
            )
            yield Problem(f"repeated-{what}s", error, [entry.name for _, entry in repeated])


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
    """What is there; a link without its target is not."""
    try:
        with os.scandir(folder) as found:  # iterdir would make a Path of each of 118,000 names.
            return frozenset(each.name for each in found if not each.is_symlink() or Path(each).exists())
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
