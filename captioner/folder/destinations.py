"""Where captions go: one file for all pictures, or a text beside each. The command line's table is neither."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from captioner.errors import StorageError, UsageError
from captioner.events import Listener, Note, Warned
from captioner.files import storage_error
from captioner.folder.inputs import refuse_clashes
from captioner.folder.order import Order
from captioner.folder.review import Review, review_path
from captioner.folder.sidecars import Existing, Sidecars
from captioner.rows import Form, form_of, refuse_other_file, write_rows

if TYPE_CHECKING:
    from captioner.folder.job import FolderJob, Row
    from captioner.folder.ray_job import RayJob


class Destination(Protocol):
    """What ``captioner caption`` writes to."""

    def check(self, files: Sequence[str]) -> None:
        """Raise ``UsageError`` if two of ``files`` would share a place."""

    def write(self, files: Sequence[str], order: Order) -> int:
        """Write the captions of ``files`` that ``order`` asks for, tell what was done, and return how many failed."""


def choose_destination(
    output: Path | None, form: Form | None, sidecar: bool, existing: Existing | None, number: int, review: bool
) -> Destination | None:
    """The one that the options ask for; None: the screen. ``review``: whether rows may be held back for people.

    Raises ``UsageError`` for options that do not fit.
    """
    for given, option, needed, name in (
        (form, "--format", output, "--output"),
        (existing, "--existing", sidecar or None, "--sidecar"),
    ):
        if given is not None and needed is None:
            raise UsageError(f"{option} {given.value} is about {name}, which is missing", f"add {name}")
    if sidecar and output is not None:
        raise UsageError("--output and --sidecar are two destinations", "run the command once for each")
    if form is Form.coco and number > 1:
        raise UsageError("COCO results have one caption of an image", "leave out --num-captions, or --format coco")
    if sidecar:
        return Sidecars(existing or Existing.skip)
    return None if output is None else RowsFile(output, form, review)


_KEYS = [("file", "caption"), ("image_id", "caption")]
"""With these all of our rows begin."""


class RowsFile:
    """Rows in one file, with a manifest beside it."""

    def __init__(self, path: Path, form: Form | None, review: bool) -> None:
        """By default the form is that of the suffix. Raises ``UsageError``."""
        suffix = form_of(path)
        # A link stays one: what it leads to is written, and has the manifest beside it.
        self._path = Path(os.path.realpath(path)) if os.path.islink(path) else path  # noqa: PTH114
        self._form = form or suffix
        self._review = review_path(self._path) if review else None

    def check(self, files: Sequence[str]) -> None:
        """Two pictures with one COCO number are refused, and a file of something else in the rows' place."""
        for path in filter(None, (self._path, self._review)):
            refuse_other_file(path, _KEYS)
        if self._form is Form.coco:
            remedy = "caption them into files of their own, or rename one"
            refuse_clashes(files, image_id, "{} would both be image {}", remedy)

    def write(self, files: Sequence[str], order: Order) -> int:
        """Caption what the manifest lacks; where less than certain captions are not wanted, a second file has those."""
        from captioner.folder.manifest import manifest_path

        listener = order.listener
        with order.job(files, manifest_path(self._path)) as job, Review(order.least) as parted:
            if job is None:
                return 0
            self._write(self._path, parted.passing(job.rows()), listener)
            if self._review is None:
                self._remove_old_review()
            else:
                self._write(self._review, parted.held(), listener)
        listener(Note(f"captioned {job.captioned:,} of {len(files):,} pictures into {self._path}{_known(job)}"))
        if parted.pictures:
            held = f"{parted.pictures:,} below a confidence of {order.least:g}"
            listener(Note(f"{held} are for review in {self._review}"))
        return job.failed

    def _remove_old_review(self) -> None:
        """Its pictures are among the rows again. Somebody's own file stays, and another command's output."""
        from captioner.folder.manifest import manifest_path

        path = review_path(self._path)
        if not path.is_file() or manifest_path(path).exists():
            return
        try:
            refuse_other_file(path, _KEYS)
            path.unlink()
        except (UsageError, StorageError):
            return
        except OSError as error:
            raise storage_error(error, path) from error

    def _write(self, path: Path, rows: Iterable["Row"], listener: Listener) -> None:
        from captioner.folder.job import Row

        columns = [each.name for each in fields(Row)]
        write_rows(path, self._shaped(rows, listener), self._form, columns)

    def _shaped(self, rows: Iterable["Row"], listener: Listener) -> Iterator[dict[str, Any]]:
        for row in rows:
            if self._form is not Form.coco:
                yield row.to_json()
            elif row.error:
                listener(Warned(f"{row.file}: {row.error}"))
            else:
                yield {"image_id": image_id(row.file), "caption": row.caption}


def _known(job: "FolderJob | RayJob") -> str:
    return f"; {job.known:,} known from before" if job.known else ""


def image_id(file: str) -> int | str:
    """The number of ``COCO_val2014_000000391895.jpg``, ``000000391895.jpg`` or ``7.jpg``; else the name's stem.

    As COCO names its files: https://cocodataset.org/#format-results.
    """
    stem = Path(file).stem
    number = re.fullmatch(r"(?:COCO_[a-z]+[0-9]{4}_)?([0-9]{1,18})", stem)
    return int(number[1]) if number else stem
