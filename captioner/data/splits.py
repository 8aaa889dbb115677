"""Which split each picture belongs to: by lists, by what its captions file says, or drawn reproducibly."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from captioner.config import DatasetConfig
from captioner.data.formats.files import broken, dataset_root, read_lines
from captioner.data.formats.reading import Entry, Reading, counted, named
from captioner.errors import DatasetError


def assign_splits(reading: Reading, config: DatasetConfig) -> list[Entry]:
    """The entries of ``reading`` that belong to a split, each with its split set.

    The first of these that exists decides: lists of pictures, the captions' own word, a draw by
    ``dataset.val_fraction``, ``test_fraction`` and ``seed``. Only lists leave pictures out.

    Raises ``DatasetError`` for lists that name unknown pictures or one picture twice, for captions that give only
    some pictures a split, and for fractions that leave nothing to train on.
    """
    if config.split_lists:
        root = dataset_root(config)
        return _listed(reading, {split: root / name for split, name in config.split_lists.items()})
    if reading.lists:
        return _listed(reading, reading.lists)
    without = [entry.name for entry in reading.entries if entry.split is None]
    if len(without) == len(reading.entries):
        draw_splits(reading.entries, config.val_fraction, config.test_fraction, config.seed)
    elif without:
        raise DatasetError(
            f"{reading.source}: {counted(len(without), 'picture')} of {len(reading.entries):,} "
            f"in no split: {named(without)}",
            "give every picture a split, or none (they are then drawn by dataset.val_fraction and test_fraction)",
        )
    return reading.entries


def draw_splits(entries: Sequence[Entry], val_fraction: float, test_fraction: float, seed: int) -> None:
    """Draw splits by picture. The draw depends on the pictures' names and ``seed`` only, not on order or machine.

    Raises ``DatasetError`` if no picture is left to train on.
    """
    test = _share(len(entries), test_fraction)
    val = _share(len(entries), val_fraction)
    if test + val >= len(entries):
        raise DatasetError(
            f"of {counted(len(entries), 'picture')}, {val:,} for validation and {test:,} for the test "
            "leave none to train on",
            "lower dataset.val_fraction or dataset.test_fraction",
        )
    # A hash instead of a shuffle: the same on every machine and Python, and whatever order the file has.
    ranked = sorted(entries, key=lambda entry: hashlib.sha256(f"{seed}:{entry.name}".encode()).digest())
    for rank, entry in enumerate(ranked):
        entry.split = "test" if rank < test else "val" if rank < test + val else "train"


def _share(pictures: int, fraction: float) -> int:
    """At least one picture for any share above nothing, so that a small set can be validated too."""
    return max(1, round(pictures * fraction)) if fraction > 0 else 0


def _listed(reading: Reading, lists: Mapping[str, Path]) -> list[Entry]:
    entries = {entry.name: entry for entry in reading.entries}
    entries |= {str(entry.image_id): entry for entry in reading.entries}
    places: dict[int, str] = {}
    listed = []
    for split, path in lists.items():
        for line, name in read_lines(path):
            # Lists of Flickr30k name pictures without their suffix.
            entry = entries.get(name) or entries.get(f"{name}.jpg")
            if entry is None:
                raise broken(
                    path, line, f"{name} has no captions in {reading.source}", "delete that line, or add captions"
                )
            if (first := places.get(id(entry))) is not None:
                raise broken(path, line, f"{name} is listed twice (first at {first})", "delete one of the two lines")
            places[id(entry)] = f"{path}:{line}"
            entry.split = split
            listed.append(entry)
    if not listed:
        raise DatasetError(
            f"the split lists name no pictures: {named(list(lists.values()))}",
            "write a picture's name on each line, or remove dataset.split_lists",
        )
    reading.left_out += [entry.name for entry in reading.entries if id(entry) not in places]
    return listed
