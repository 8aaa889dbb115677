"""Rows -> JSON, JSON lines or CSV files, written as they come, under their name only when they are whole."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from captioner.errors import UsageError
from captioner.files import atomic_write

_Row = Mapping[str, Any]


def check_output(path: Path) -> None:
    """Raise ``UsageError`` unless ``path`` ends in a suffix that ``write_rows`` knows."""
    if path.suffix not in _FORMATS:
        raise UsageError(
            f"cannot tell the format of {path} by its suffix", f"use one of {', '.join(_FORMATS)} for --output"
        )


def write_rows(path: Path, rows: Iterable[_Row]) -> None:
    """Write rows with the same keys in the format of the suffix. Raises ``UsageError`` and ``StorageError``."""
    check_output(path)
    with atomic_write(path) as file:
        for text in _FORMATS[path.suffix](rows):
            file.write(text.encode("utf-8", "surrogateescape"))


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
    # A file name that is not UTF-8 can only stand in JSON as escapes.
    return text if text.isprintable() else json.dumps(row)


def _csv(rows: Iterable[_Row]) -> Iterator[str]:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    for number, row in enumerate(rows):
        if number == 0:
            writer.writerow(row)
        writer.writerow(row.values())
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()


_FORMATS = {".json": _json, ".jsonl": _jsonl, ".csv": _csv}
