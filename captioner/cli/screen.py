"""Captions for whoever looks on: a table on a terminal, lines into a pipe."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from captioner.cli.console import Console
from captioner.folder.order import Order
from captioner.folder.review import Review, told, warn_of_held

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
        console, doubt = self._console, order.captioner.doubt
        with order.job(files, None) as job, Review(order.least) as review:
            if job is None:
                return 0
            rows = review.passing(job.rows())
            if console.is_terminal:
                self._table(rows, doubt)
                self._table(review.held(), doubt, f"for review: confidence below {told(order.least, doubt)}")
                if doubt and not order.least:  # With it, that was said before.
                    console.warn(doubt)
            else:
                for row in rows:
                    console.line([row.file, row.caption, *([row.error] if row.error else [])])
                warn_of_held(review, order.listener, doubt)
            return job.failed

    def _table(self, rows: Iterable["Row"], doubt: str, title: str = "") -> None:
        shown = [[row.file, row.caption or f"error: {row.error}", told(row.confidence, doubt)] for row in rows]
        if shown:
            headers = ["file", "caption", "confidence (ranks only)" if doubt else "confidence"]
            self._console.table(headers, shown, title=title)
