"""A data set of the catalogue -> its files under one folder: fetched, verified, unpacked, and never twice."""

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from captioner.data.download.catalog import Archive, Source
from captioner.data.download.transfer import digest, fetch
from captioner.data.download.unpack import unpack
from captioner.data.formats.reading import counted
from captioner.errors import DownloadError, StorageError
from captioner.events import Listener, Note, Progress
from captioner.files import readable_size, write_text

_RECORDS: Final = ".downloaded"
"""Folder under the root with a record of each unpacked archive."""
_ALL: Final = "all files"
_BETWEEN_TOLD: Final = 0.1  # Seconds.


@dataclass(frozen=True)
class Step:
    """What is left to do for an archive."""

    archive: Archive
    path: Path
    """The archive, where it is or will be."""
    done: bool
    """Unpacked before, and all files are still there."""
    given: bool
    """The user brought it, so it is not ours to delete."""
    here: int
    """Its bytes that are here already."""

    origin: str
    """Where it comes from."""

    @property
    def state(self) -> str:
        """For people."""
        if self.done:
            return "done"
        if self.given or self.here >= self.archive.size:
            return "here, to be unpacked"
        return f"{readable_size(self.here)} here" if self.here else "to be downloaded"

    @property
    def to_fetch(self) -> int:
        """Bytes still to download, about."""
        return 0 if self.done or self.given else max(0, self.archive.size - self.here)


class Download:
    """A data set's way to the disk."""

    def __init__(
        self,
        source: Source,
        root: Path,
        *,
        mirror: str | None = None,
        only_annotations: bool = False,
        given: Sequence[Path] = (),
        keep_archives: bool = False,
    ) -> None:
        """``given`` are archives that the user has already; ``mirror`` is the address of a folder that has them.

        Raises ``DownloadError`` when a given archive is not there, or is none of the data set's.
        """
        self.source, self.root, self.mirror, self.keep_archives = source, root, mirror, keep_archives
        archives = [a for a in source.archives if a.kind == "annotations" or not only_annotations]
        by_archive = _match(given, archives)
        self.steps = [self._step(archive, by_archive.get(archive.name)) for archive in archives]

    @property
    def bytes_to_fetch(self) -> int:
        """About."""
        return sum(step.to_fetch for step in self.steps if self._addresses(step.archive))

    @property
    def bytes_needed(self) -> int:
        """The most that the disk must hold beyond what is there, about: an archive goes when it is unpacked."""
        needed = most = 0
        for step in self.steps:
            if not step.done:
                most = max(most, needed + step.to_fetch + step.archive.unpacked)
                needed += step.archive.unpacked + (step.to_fetch if self.keep_archives else 0)
        return most

    @property
    def bytes_free(self) -> int:
        """On the disk that the root is or will be on."""
        folder = next(folder for folder in (self.root, *self.root.absolute().parents) if folder.is_dir())
        return shutil.disk_usage(folder).free

    def run(self, listener: Listener) -> int:
        """Do what is left to do; returns the number of archives that it was.

        Raises ``DownloadError`` and ``StorageError``; whatever was finished stays, and the next run goes on from there.
        """
        left = [step for step in self.steps if not step.done]
        for step in left:
            if not (step.path.exists() or self._addresses(step.archive)):
                raise DownloadError(
                    f"{step.archive.name} of {self.source.name} cannot simply be downloaded: {self.source.request}",
                    "then give it by --archive FILE, or take the captions alone by --only annotations",
                )
        if left and self.bytes_free < self.bytes_needed:
            raise StorageError(
                f"{self.source.name} needs about {readable_size(self.bytes_needed)} in {self.root}, "
                f"where {readable_size(self.bytes_free)} are free",
                "free some space, or choose a folder on another disk by --root",
            )
        before, total = 0, sum(step.archive.size for step in left)
        for step in left:
            self._run(step, _Teller(step.archive.name, before, total, listener), listener)
            before += step.archive.size
        if left:
            listener(Progress(_ALL, total, total, "bytes"))
        return len(left)

    def _run(self, step: Step, tell: "_Teller", listener: Listener) -> None:
        archive, path = step.archive, step.path
        found = archive.checksum
        if not path.exists():
            size = archive.size if archive.exact else None
            found = fetch(
                self._addresses(archive),
                path,
                checksum=found,
                size=size,
                tell=tell,
                say=lambda text: listener(Note(f"{archive.name}: {text}")),
            )
        elif archive.checksum:
            _verify(path, archive, step.given)
        try:
            files = unpack(
                path,
                self.root,
                only=archive.members,
                folder=archive.folder,
                tell=lambda done, total: listener(Progress(f"unpacking {archive.name}", done, total, "files")),
            )
        except DownloadError:
            if not step.given and not archive.checksum:
                path.unlink()  # Nothing told that it was damaged when it came; the next run fetches it anew.
            raise
        pictures = sum(name.lower().endswith(".jpg") for name in files)
        if pictures < archive.pictures:
            raise DownloadError(
                f"{path} holds {pictures:,} pictures, not the {archive.pictures:,} of {self.source.name}",
                "give the whole archive",
            )
        record = {"archive": archive.name, "checksum": found, "files": files}
        write_text(self._record(archive), json.dumps(record) + "\n")
        if not (self.keep_archives or step.given):
            path.unlink()
        listener(Note(f"{archive.name}: {counted(len(files), 'file')} in {self.root}"))

    def _step(self, archive: Archive, given: Path | None) -> Step:
        path = given or self.root / archive.name
        here = next((p.stat().st_size for p in (path, path.with_name(path.name + ".part")) if p.is_file()), 0)
        origin = str(given) if given else next(iter(self._addresses(archive)), "on request")
        return Step(archive, path, self._unpacked(archive), given is not None, here, origin)

    def _unpacked(self, archive: Archive) -> bool:
        """Whether a record says so and the files are there, each with its size."""
        try:
            files: dict[str, int] = json.loads(self._record(archive).read_text())["files"]
            return all((self.root / name).stat().st_size == size for name, size in files.items())
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return False

    def _record(self, archive: Archive) -> Path:
        return self.root / _RECORDS / f"{archive.name}.json"

    def _addresses(self, archive: Archive) -> tuple[str, ...]:
        return (f"{self.mirror.rstrip('/')}/{archive.name}",) if self.mirror else archive.urls


class _Teller:
    """Bytes that arrived -> events about the file and about all files, not too many of them."""

    def __init__(self, file: str, before: int, total: int, listener: Listener) -> None:
        """``before`` are the bytes of the files before this one, ``total`` those of all; both about."""
        self.file, self.before, self.total, self.listener = file, before, total, listener
        self.first, self.begun, self.told = -1, 0.0, 0.0

    def __call__(self, done: int, total: int | None) -> None:
        now = time.monotonic()
        if self.first < 0:
            self.first, self.begun = done, now
        if done != total and now - self.told < _BETWEEN_TOLD:
            return
        self.told = now
        rate = (done - self.first) / max(now - self.begun, 1e-3)
        all_done = min(self.before + done, self.total - 1)
        self.listener(Progress(_ALL, all_done, self.total, "bytes", f"{readable_size(rate)}/s"))
        self.listener(Progress(self.file, done, total or done + 1, "bytes"))


def _match(given: Sequence[Path], archives: Sequence[Archive]) -> dict[str, Path]:
    """The user's files by the archive they stand for: by name, or else the one that must be requested."""
    found = {}
    for path in given:
        if not path.is_file():
            raise DownloadError(f"there is no archive {path}", "give the path of the file")
        requested = [archive for archive in archives if not archive.urls]
        fits = [archive for archive in archives if archive.name == path.name] or requested
        if not fits:
            names = ", ".join(archive.name for archive in archives)
            raise DownloadError(f"{path.name} is none of the archives: {names}", "give it one of these names")
        found[fits[0].name] = path
    return found


def _verify(path: Path, archive: Archive, given: bool) -> None:
    """An archive that is here already must be the one expected."""
    found = digest(path, archive.checksum.partition(":")[0])
    if found != archive.checksum:
        if not given:
            path.unlink()
        remedy = "give another" if given else "it was deleted: run the same command again to fetch it"
        raise DownloadError(f"{path} is not the archive expected: its checksum is {found}", remedy)
