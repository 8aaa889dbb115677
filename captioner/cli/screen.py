"""Captions for whoever looks on: a table on a terminal, lines into a pipe."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from captioner.cli.console import Console
from captioner.folder.destinations import Order
from captioner.folder.review import Review, warn_of_held

if TYPE_CHECKING:
    from captioner.folder.job import Row


class Screen:
    """The destination where no file is named."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def check(self, files: Sequence[str]) -> None:
        """Whatever is named can be shown."""

    def write(self, files: Sequence[str], order: Order) -> int:
        """Show rows: lines as they come, a table at the end; then what is for review."""
        console = self._console
        with order.job(files, None) as job, Review(order.least) as review:
            if job is None:
                return 0
            rows = review.passing(job.rows())
            if console.is_terminal:
                self._table(rows)
                self._table(review.held(), f"for review: confidence below {order.least:.0%}")
            else:
                for row in rows:
                    console.line([row.file, row.caption, *([row.error] if row.error else [])])
                warn_of_held(review, order.listener)
            return job.failed

    def _table(self, rows: Iterable["Row"], title: str = "") -> None:
        shown = [[row.file, row.caption or f"error: {row.error}", _percent(row.confidence)] for row in rows]
        if shown:
            self._console.table(["file", "caption", "confidence"], shown, title=title)


def _percent(confidence: float | None) -> str:
    return "" if confidence is None else f"{confidence:.0%}"
