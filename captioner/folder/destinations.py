"""Where captions go: one file for all pictures, or a text beside each. The command line's table is neither."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from enum import Enum
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from captioner import processes
from captioner.data.cloud import is_cloud
from captioner.errors import UsageError
from captioner.events import Listener, Note, Warned
from captioner.files import atomic_write, storage_error
from captioner.folder.inputs import refuse_clashes
from captioner.folder.review import Review, review_path, warn_of_held
from captioner.rows import Form, form_of, refuse_other_file, write_rows

if TYPE_CHECKING:
    from captioner.folder.job import FolderJob, Row, Watcher, Wording
    from captioner.folder.manifest import Manifest
    from captioner.folder.ray_job import Models, RayJob
    from captioner.predictor import Captioner


class Existing(str, Enum):
    """What becomes of a text that is beside a picture already."""

    skip = "skip"
    overwrite = "overwrite"
    append = "append"
    prepend = "prepend"


class Engine(str, Enum):
    """What does the work."""

    local = "local"
    ray = "ray"


@dataclass(frozen=True)
class Order:
    """What is asked for, wherever it goes."""

    captioner: "Captioner"
    wording: "Wording"
    number: int
    """Captions of a picture, at most."""
    least: float
    """Confidence from which captions pass; the others are for review."""
    listener: Listener
    watch: "Watcher | None" = None
    ray: "Models | None" = None
    """What a Ray cluster loads, where it is to do the work."""

    @contextmanager
    def job(self, files: Sequence[str], manifest: Path | None) -> Iterator["FolderJob | RayJob | None"]:
        """The work, over the manifest at a path or a temporary one; None where another process writes its rows."""
        if self.ray is not None:
            from captioner.folder.ray_job import RayJob

            yield RayJob(self.ray, files, self.listener, self.wording, self.number)
            return
        from captioner.folder.job import FolderJob
        from captioner.folder.sharing import shared_job

        def make(known: "Manifest") -> FolderJob:
            return FolderJob(self.captioner, files, self.listener, known, self.wording, self.number, self.watch)

        with shared_job(make, manifest) as job:
            yield job


def choose_engine(
    engine: Engine, models: Sequence[Path], overrides: Sequence[str], attention: Path | None
) -> "Models | None":
    """What a Ray cluster is to load; None: nothing, there is none. Raises ``UsageError`` where that cannot be."""
    if engine is Engine.local:
        return None
    if attention is not None:
        raise UsageError("--attention draws on this computer", "leave out --engine ray")
    if processes.count() > 1:
        raise UsageError("torchrun and --engine ray both share out the work", "leave out one of them")
    from captioner.folder.ray_job import Models, check_ray

    check_ray()
    return Models(models, overrides)


class Destination(Protocol):
    """What ``captioner caption`` writes to."""

    def check(self, files: Sequence[str]) -> None:
        """Raise ``UsageError`` if two of ``files`` would share a place."""

    def write(self, files: Sequence[str], order: Order) -> int:
        """Write the captions of ``files`` that ``order`` asks for, tell what was done, and return how many failed."""


def choose_destination(
    output: Path | None, form: Form | None, sidecar: bool, existing: Existing | None, number: int
) -> Destination | None:
    """The one that the options ask for; None: the screen. Raises ``UsageError`` for options that do not fit."""
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
    return None if output is None else RowsFile(output, form)


class RowsFile:
    """Rows in one file, with a manifest beside it."""

    def __init__(self, path: Path, form: Form | None) -> None:
        """By default the form is that of the suffix. Raises ``UsageError``."""
        suffix = form_of(path)
        self._path = path
        self._form = form or suffix

    def check(self, files: Sequence[str]) -> None:
        """Two pictures with one COCO number are refused, and a file of something else in the rows' place."""
        for path in (self._path, review_path(self._path)):
            refuse_other_file(path, [("file", "caption"), ("image_id", "caption")])
        if self._form is Form.coco:
            remedy = "caption them into files of their own, or rename one"
            refuse_clashes(files, image_id, "{} would both be image {}", remedy)

    def write(self, files: Sequence[str], order: Order) -> int:
        """Caption what the manifest lacks; where less than certain captions are not wanted, a second file has those."""
        from captioner.folder.manifest import manifest_path

        listener, review = order.listener, review_path(self._path)
        with order.job(files, manifest_path(self._path)) as job, Review(order.least) as parted:
            if job is None:
                return 0
            self._write(self._path, parted.passing(job.rows()), listener)
            if order.least:
                self._write(review, parted.held(), listener)
        listener(Note(f"captioned {job.captioned:,} of {len(files):,} pictures into {self._path}{_known(job)}"))
        if parted.pictures:
            listener(Note(f"{parted.pictures:,} below a confidence of {order.least:g} are for review in {review}"))
        return job.failed

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
        """Caption every picture, or with ``skip`` those without a text; each text is written atomically."""
        listener, skip = order.listener, self._existing is Existing.skip
        todo = [file for file in files if not os.path.lexists(_beside(file))] if skip else files
        with order.job(todo, None) as job, Review(order.least) as parted:
            if job is None:
                return 0
            for file, rows in groupby(parted.passing(job.rows()), lambda row: row.file):
                several = list(rows)
                if several[0].error:
                    listener(Warned(f"{file}: {several[0].error}"))
                else:
                    self._write(file, [row.caption.encode("utf-8", "backslashreplace") for row in several])
            warn_of_held(parted, listener, order.captioner.doubt)
        skipped = f"; {len(files) - len(todo):,} had one already (see --existing)" if len(todo) < len(files) else ""
        written = len(todo) - job.failed - parted.pictures
        listener(Note(f"wrote texts beside {written:,} of {len(files):,} pictures{skipped}"))
        return job.failed

    def _write(self, file: str, captions: list[bytes]) -> None:
        path = Path(_beside(file))
        before = [] if self._existing is Existing.overwrite else _lines(path)
        # Lines that are there are not added again, so that a run that was killed can be repeated.
        if self._existing is Existing.prepend:
            lines = before if before[: len(captions)] == captions else [*captions, *before]
        else:
            lines = before if before[-len(captions) :] == captions else [*before, *captions]
        with atomic_write(path, part=path.with_name(path.name + ".part")) as text:
            text.write(b"\n".join(lines) + b"\n")


def _beside(file: str) -> str:
    return os.path.splitext(file)[0] + ".txt"  # noqa: PTH122


def _lines(path: Path) -> list[bytes]:
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise storage_error(error, path) from error
    return text.removesuffix(b"\n").split(b"\n") if text else []
