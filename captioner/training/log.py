"""The log of a run: one row an epoch, as JSON lines for programs and CSV for spreadsheets."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

from captioner.files import write_text

Row = dict[str, float | int | str]


def read_log(run: Path) -> list[Row]:
    """All rows of a run's log; none where there is no log, or it is damaged."""
    try:
        return [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError):
        return []


def write_log(run: Path, rows: Sequence[Row]) -> None:
    """Replace ``log.jsonl`` and ``log.csv`` by all rows so far; a resumed run doubles none. Raises ``StorageError``."""
    write_text(run / "log.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    table = io.StringIO()
    writer = csv.DictWriter(table, fieldnames=list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(run / "log.csv", table.getvalue())
