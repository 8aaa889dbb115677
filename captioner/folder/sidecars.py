"""A text beside each picture, with its captions: as people keep them, and as training reads them."""

import os
from collections.abc import Sequence
from enum import Enum
from itertools import groupby
from pathlib import Path

from captioner.data.cloud import is_cloud
from captioner.errors import ImageError, UsageError
from captioner.events import Note, Warned
from captioner.files import atomic_write, storage_error
from captioner.folder.failures import fails_alone
from captioner.folder.inputs import refuse_clashes
from captioner.folder.order import Order
from captioner.folder.review import Review, warn_of_held


class Existing(str, Enum):
    """What becomes of a text that is beside a picture already."""

    skip = "skip"
    overwrite = "overwrite"
    append = "append"
    prepend = "prepend"


class Sidecars:
    """``photo.txt`` beside ``photo.jpg``, with a caption a line, as the data format ``folder`` reads it.

    It needs no manifest: what is beside a picture says that it is done.
    """

    def __init__(self, existing: Existing) -> None:
        self._existing = existing

    def check(self, files: Sequence[str]) -> None:
        """Two pictures with one text are refused, and those in the cloud, where nothing is written."""
        if any(map(is_cloud, files)):
            raise UsageError("--sidecar writes beside files, and some of these are addresses", "use --output")
        refuse_clashes(files, _beside, "{} would share {}", "rename one of them, or write to one file by --output")

    def write(self, files: Sequence[str], order: Order) -> int:
        """Caption every picture, or with ``skip`` those without a text; each text is written atomically.

        One that cannot be written is a failure of its picture alone.
        """
        listener, skip = order.listener, self._existing is Existing.skip
        todo = [file for file in files if not _has_text(file)] if skip else files
        unwritten = 0
        with order.job(todo, None) as job, Review(order.least) as parted:
            if job is None:
                return 0
            for file, rows in groupby(parted.passing(job.rows()), lambda row: row.file):
                several = list(rows)
                if several[0].error:
                    listener(Warned(f"{file}: {several[0].error}"))
                    continue
                try:
                    with fails_alone():
                        self._write(file, [row.caption.encode("utf-8", "backslashreplace") for row in several])
                except ImageError as error:
                    listener(Warned(f"{file}: {error.problem}"))
                    unwritten += 1
            warn_of_held(parted, listener, order.captioner.doubt)
        failed = job.failed + unwritten
        skipped = f"; {len(files) - len(todo):,} had one already (see --existing)" if len(todo) < len(files) else ""
        written = len(todo) - failed - parted.pictures
        listener(Note(f"wrote texts beside {written:,} of {len(files):,} pictures{skipped}"))
        return failed

    def _write(self, file: str, captions: list[bytes]) -> None:
        path = Path(_beside(file))
        before = [] if self._existing is Existing.overwrite else _lines(path)
        # Lines that are there are not added again, so that a run that was killed can be repeated.
        new = [caption for caption in captions if caption not in before]
        lines = [*new, *before] if self._existing is Existing.prepend else [*before, *new]
        with atomic_write(path, part=path.with_name(path.name + ".part")) as text:
            text.write(b"\n".join(lines) + b"\n")


def _beside(file: str) -> str:
    return os.path.splitext(file)[0] + ".txt"  # noqa: PTH122


def _has_text(file: str) -> bool:
    """Whether something is in the text's place that is no folder, even a link to nothing."""
    path = _beside(file)
    return os.path.lexists(path) and not os.path.isdir(path)  # noqa: PTH112


def _lines(path: Path) -> list[bytes]:
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise storage_error(error, path) from error
    return text.removesuffix(b"\n").split(b"\n") if text else []
