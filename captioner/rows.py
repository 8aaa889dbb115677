r"""Rows -> JSON, JSON lines or CSV files, written as they come, under their name only when they are whole.

All are UTF-8. A byte of a file name that is not UTF-8 stands in them as Python has it in text, escaped: ``\udcff`` is
the byte ff. JSON's readers turn that back; ``os.fsencode`` makes bytes of it again.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from itertools import chain
from pathlib import Path
from typing import Any

from captioner.errors import UsageError
from captioner.files import atomic_write, storage_error

_Row = Mapping[str, Any]


class Form(str, Enum):
    """How rows are written; ``coco`` is JSON with the rows that COCO's evaluation takes."""

    json = "json"
    jsonl = "jsonl"
    csv = "csv"
    coco = "coco"


def form_of(path: Path) -> Form:
    """The form that the suffix says. Raises ``UsageError`` where it says none, or ``path`` is a folder."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder", "name a file in it")
    suffix = path.suffix.lower()
    if suffix not in _SUFFIXES:
        raise UsageError(
            f"cannot tell the format of {path} by its suffix", f"use one of {', '.join(_SUFFIXES)} for --output"
        )
    return Form(suffix[1:])


def refuse_other_file(path: Path, keys: Sequence[tuple[str, str]]) -> None:
    """Raise ``UsageError`` for a file at ``path`` that does not begin as rows do whose first two keys are among these.

    Raises ``StorageError`` for one that cannot be read.
    """
    if not path.is_file():
        return
    texts = [text for a, b in keys for text in (f"{a},{b}", f'{{"{a}": ', f'[\n{{"{a}": ')]
    try:
        with path.open("rb") as file:
            beginning = file.read(100)
    except OSError as error:
        raise storage_error(error, path) from error
    if beginning and not beginning.startswith((b"[]", *map(str.encode, texts))):
        raise UsageError(
            f"{path} is there, and was not written by captioner caption", "choose another name, or remove it"
        )


def write_rows(path: Path, rows: Iterable[_Row], form: Form | None = None, columns: Sequence[str] = ()) -> None:
    """Write rows with the same keys, in the form of the suffix or another. Raises ``UsageError`` and ``StorageError``.

    Until they are whole they are in ``captions.csv.part``. ``columns`` are the keys, for a table without rows.
    """
    form = form or form_of(path)
    texts = _csv(rows, columns) if form is Form.csv else _WRITERS[form](rows)
    with atomic_write(path, part=path.with_name(path.name + ".part")) as file:
        for text in texts:
            file.write(text.encode("utf-8", "backslashreplace"))


def _json(rows: Iterable[_Row]) -> Iterator[str]:
    separator = "[\n"
    for row in rows:
        yield separator + _object(row)
        separator = ",\n"
    yield "[]\n" if separator == "[\n" else "\n]\n"


def _jsonl(rows: Iterable[_Row]) -> Iterator[str]:
    for row in rows:
        yield _object(row) + "\n"


def _object(row: _Row) -> str:
    text = json.dumps(row, ensure_ascii=False)
    return text if text.isprintable() else json.dumps(row)


def _csv(rows: Iterable[_Row], columns: Sequence[str]) -> Iterator[str]:
    buffer = io.StringIO()
    # Both signs of this line end are what every version of csv quotes in names; the file's own is the second alone.
    writer = csv.writer(buffer, lineterminator="\r\n")
    remaining = iter(rows)
    first = next(remaining, None)
    header: Iterable[Any] = columns or list(first or ())
    table = chain([header] if header else [], (row.values() for row in chain([first] if first else [], remaining)))
    for cells in table:
        writer.writerow(cells)
        yield buffer.getvalue()[:-2] + "\n"
        buffer.seek(0)
        buffer.truncate()


_WRITERS = {Form.json: _json, Form.jsonl: _jsonl, Form.coco: _json}
_SUFFIXES = (".json", ".jsonl", ".csv")
