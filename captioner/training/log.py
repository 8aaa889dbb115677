"""The log of a run: one row an epoch, as JSON lines for programs, CSV for spreadsheets and curves for people."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

from captioner.files import write_text
from captioner.training.curves import Row as Row
from captioner.training.curves import curves_page


def read_log(run: Path) -> list[Row]:
    """All rows of a run's log; none where there is no log, or it is damaged."""
    try:
        return [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError):
        return []


def write_log(run: Path, rows: Sequence[Row]) -> None:
    """Replace ``log.jsonl``, ``log.csv`` and ``curves.html`` by all rows so far; a resumed run doubles none.

    Raises ``StorageError``.
    """
    write_text(run / "log.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    table = io.StringIO()
    writer = csv.DictWriter(table, fieldnames=list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(run / "log.csv", table.getvalue())
    write_text(run / "curves.html", curves_page(str(run), rows))
