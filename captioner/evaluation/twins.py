"""How many pictures of a split were trained on, or nearly: scores on those show what was learnt by heart."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from captioner.data.annotations import Record
from captioner.data.features import Picture
from captioner.data.formats.reading import Entry
from captioner.data.lint.duplicates import near_copies
from captioner.data.lint.pictures import PictureFacts, look_at
from captioner.errors import StorageError
from captioner.events import Listener, Warned
from captioner.files import write_text

_VERSION = 1


def twins_in_training(
    records: Sequence[Record], training: Sequence[Record], root: Path, memory: Path, listener: Listener
) -> list[Record]:
    """Those of ``records`` of which ``training`` has a copy: byte for byte, or what ``captioner lint`` takes for one.

    Reading all pictures takes a second for some hundreds of them, so what was seen in them is kept in the file
    ``memory``; names in it are relative to ``root``. Pictures that cannot be read have no copies.
    """
    both = [*training, *records]
    facts = _remembered([record.file for record in both], root, memory, listener)
    entries = [
        Entry(number, record.file.name, record.file, [], "train" if number < len(training) else "held out")
        for number, record in enumerate(both)
    ]
    pictures = [(entry, fact) for entry, fact in zip(entries, facts, strict=True) if fact is not None]
    trained = {fact.digest for entry, fact in pictures if entry.split == "train"}
    copied = {fact.digest for _, fact in pictures} & trained
    alike = {entry.file for pair in near_copies(pictures, listener) for entry in pair}
    twins = {entry.file for entry, fact in pictures if fact.digest in copied or entry.file in alike}
    return [record for record in records if record.file in twins]


def _remembered(files: Iterable[Path], root: Path, memory: Path, listener: Listener) -> list[PictureFacts | None]:
    """What is known of each picture; ``None`` where it cannot be read. Looks at those that ``memory`` lacks."""
    pictures = {file: Picture.of(file, root) for file in files}
    known = _read(memory)
    new = [file for file, picture in pictures.items() if picture not in known]
    if new:
        for file, fact in zip(new, look_at(new, listener), strict=True):
            known[pictures[file]] = fact if isinstance(fact, PictureFacts) else None
        try:
            _write(memory, known)
        except StorageError as error:
            listener(Warned(f"{error.problem}: all pictures will be looked at again next time"))
    return [known[picture] for picture in pictures.values()]


def _read(memory: Path) -> dict[Picture, PictureFacts | None]:
    """Nothing where the file is not there, damaged or of another version: it can be made again."""
    try:
        found = json.loads(memory.read_text(encoding="utf-8"))
        if found["version"] != _VERSION:
            return {}
        return {Picture(*picture): _facts(*values) if values else None for picture, values in found["pictures"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _facts(digest: str, width: int, height: int, mode: str, turned: bool, views: str) -> PictureFacts:
    return PictureFacts(bytes.fromhex(digest), width, height, mode, turned, bytes.fromhex(views) or None)


def _write(memory: Path, known: dict[Picture, PictureFacts | None]) -> None:
    pictures = [
        [
            [picture.name, picture.bytes, picture.modified_ns],
            fact and [fact.digest.hex(), fact.width, fact.height, fact.mode, fact.turned, (fact.hashes or b"").hex()],
        ]
        for picture, fact in known.items()
    ]
    write_text(memory, json.dumps({"version": _VERSION, "pictures": pictures}) + "\n")
