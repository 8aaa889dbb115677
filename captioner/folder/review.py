"""Rows held back for people: those of pictures whose best caption is less confident than was asked for."""

import json
import tempfile
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from captioner.events import Listener, Warned

if TYPE_CHECKING:
    from captioner.folder.job import Row


def review_path(output: Path) -> Path:
    """Beside the output: ``captions.review.csv``."""
    return output.with_name(f"{output.stem}.review{output.suffix}")


class Review:
    """Parts rows by confidence; what is held back waits in a temporary file, so that memory stays flat."""

    def __init__(self, least: float) -> None:
        """``least``: the confidence, 0 to 1, from which captions pass; all of a picture's rows stay together."""
        self.least = least
        self.pictures = 0
        """Held back so far."""
        self._file = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - closed with the review

    def __enter__(self) -> "Review":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def passing(self, rows: Iterable["Row"]) -> Iterator["Row"]:
        """The rows that are confident enough, in order, and those with an error."""
        if not self.least:  # Then rows need not wait for the next picture's.
            yield from rows
            return
        for _, group in groupby(rows, key=lambda row: row.file):
            several = list(group)
            best = several[0].confidence
            if best is None or best >= self.least:
                yield from several
            else:
                self.pictures += 1
                self._file.writelines(json.dumps(row.to_json()) + "\n" for row in several)

    def held(self) -> Iterator["Row"]:
        """The others, once all rows have passed by."""
        from captioner.folder.job import Row

        self._file.seek(0)
        for line in self._file:
            yield Row(**json.loads(line))


def told(confidence: float | None, doubt: str) -> str:
    """A confidence for people: a percentage, unless there is a ``doubt`` that it is a probability."""
    if confidence is None:
        return ""
    return f"{confidence:.2f}" if doubt else f"{confidence:.0%}"


def warn_of_held(review: Review, listener: Listener, doubt: str) -> None:
    """Name what was held back, best captions only, where there is no file for it; ``doubt`` as ``told`` has it."""
    for _, rows in groupby(review.held(), key=lambda row: row.file):
        row = next(rows)
        listener(Warned(f"{row.file}: for review, confidence {told(row.confidence, doubt)}: {row.caption}"))
