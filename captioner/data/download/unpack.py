"""An archive -> files, safely: everything is checked before the first byte is written, and an unpacking resumes."""

import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import IO, Final

from captioner.errors import DownloadError
from captioner.files import storage_error

_LARGEST_RATIO: Final = 20
"""Pictures do not shrink in an archive and JSON does to a fifth; what grows more than this is no data set."""
_SMALLEST_LIMIT: Final = 64 << 20
_SPECIAL: Final = "a link, a device or another special file"
_BLOCK: Final = 1 << 20
_CLUTTER: Final = frozenset({"__MACOSX", ".DS_Store", "Thumbs.db"})
_BROKEN: Final = (zipfile.BadZipFile, tarfile.TarError, zlib.error, LZMAError, EOFError, NotImplementedError)
"""What reading a damaged archive raises; the last is zipfile's, of a compression that it does not know."""


@dataclass(frozen=True)
class _Packed:
    """What an archive says of a file in it."""

    name: str
    size: int
    oddity: str
    """What it is, unless it is a plain file."""
    crc: int | None
    open: Callable[[], IO[bytes]]


@dataclass(frozen=True)
class _Member:
    """A file that is safe to unpack, and where it goes, relative to the root."""

    packed: _Packed
    path: PurePosixPath


def unpack(
    archive: Path,
    root: Path,
    *,
    only: Sequence[str] = (),
    folder: str = "",
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, int]:
    """Unpack a zip or tar into ``root``; returns each file's path relative to it, with its bytes.

    ``only`` are the last parts of the members' names that are wanted, by default all; with ``folder`` all files go into
    that folder, without folders of their own. ``tell`` is given the files done and their number. A file that is already
    there, whole, is kept. Raises ``DownloadError``, before anything is written, for an archive that is damaged, that
    would write outside ``root``, holds links, devices, encrypted or clashing names, or grows beyond reason; and
    ``StorageError``.
    """
    with _opened(archive) as packed:
        members = _checked(packed, archive, folder)
        wanted = [member for member in members if not only or member.path.name in only]
        if missing := [name for name in only if name not in {member.path.name for member in wanted}]:
            raise DownloadError(f"{archive} does not hold {', '.join(missing)}", "give the archive that the page names")
        for done, member in enumerate(wanted, 1):
            if not _whole(root / member.path, member.packed):
                _write(root / member.path, member.packed, archive)
            tell(done, len(wanted))
    os.sync()
    return {str(member.path): member.packed.size for member in wanted}


@contextmanager
def _opened(archive: Path) -> Iterator[Iterator[_Packed]]:
    """All files of a zip or tar, in its order; what the libraries raise for damaged ones becomes one error."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as zipped:
                yield _zipped(zipped)
        elif tarfile.is_tarfile(archive):
            with tarfile.open(archive) as tarred:
                yield _tarred(tarred)
        else:
            raise _damaged(archive, "it is neither a zip nor a tar archive")
    except _BROKEN as error:
        raise _damaged(archive, str(error) or type(error).__name__) from None


def _zipped(file: zipfile.ZipFile) -> Iterator[_Packed]:
    for info in file.infolist():
        kind = stat.S_IFMT(info.external_attr >> 16)
        special = "" if kind in (0, stat.S_IFREG, stat.S_IFDIR) else _SPECIAL
        oddity = "encrypted" if info.flag_bits & 1 else special
        if not info.is_dir() or oddity:
            yield _Packed(info.filename, info.file_size, oddity, info.CRC, partial(file.open, info))


def _tarred(file: tarfile.TarFile) -> Iterator[_Packed]:
    for info in file:
        oddity = "" if info.isreg() and not info.issparse() else _SPECIAL
        if not info.isdir():
            yield _Packed(info.name, info.size, oddity, None, partial(_extract, file, info))


def _extract(file: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    content = file.extractfile(info)
    assert content is not None  # It is a plain file.
    return content


def _checked(files: Iterator[_Packed], archive: Path, folder: str) -> list[_Member]:
    """All plain files but clutter, once every one of them is known to be safe."""
    limit = max(_SMALLEST_LIMIT, _LARGEST_RATIO * archive.stat().st_size)
    members: list[_Member] = []
    taken: dict[str, str] = {}
    total = 0
    for packed in files:
        if _CLUTTER.intersection(PurePosixPath(packed.name).parts):
            continue
        if packed.oddity:
            raise _refusal(archive, f"{packed.name!r} is {packed.oddity}")
        path = _safe(packed.name, archive)
        path = PurePosixPath(folder, path.name) if folder else path
        # Names that differ only in case are one file on some disks: one would silently replace the other.
        if (key := str(path).casefold()) in taken:
            raise _refusal(archive, f"{taken[key]!r} and {packed.name!r} would be the same file")
        taken[key] = packed.name
        total += packed.size
        if total > limit:
            raise _refusal(archive, f"it would unpack to more than {limit:,} bytes")
        members.append(_Member(packed, path))
    for member in members:
        for parent in member.path.parents:
            if str(parent).casefold() in taken:
                raise _refusal(archive, f"{str(parent)!r} would be a file and a folder")
    return members


def _safe(name: str, archive: Path) -> PurePosixPath:
    parts = PurePosixPath(name).parts
    unsafe = not parts or parts[0] == "/" or ".." in parts or "\\" in name or ":" in name or "\0" in name
    if unsafe or not name.isprintable():
        raise _refusal(archive, f"the name {name!r} leads out of the data set's folder, or could")
    return PurePosixPath(*parts)


def _refusal(archive: Path, problem: str) -> DownloadError:
    return DownloadError(
        f"{archive} is not safe to unpack: {problem}", "nothing was unpacked; get the archive from its official source"
    )


def _damaged(archive: Path, problem: str) -> DownloadError:
    return DownloadError(f"{archive} is damaged: {problem}", "delete it, and run the same command again")


def _whole(target: Path, packed: _Packed) -> bool:
    """Whether an earlier unpacking wrote the file; told by its checksum, which a tar does not have."""
    if packed.crc is None or not target.is_file() or target.stat().st_size != packed.size:
        return False
    found = 0
    with target.open("rb") as file:
        while block := file.read(_BLOCK):
            found = zlib.crc32(block, found)
    return found == packed.crc


def _write(target: Path, packed: _Packed, archive: Path) -> None:
    """Write a file under another name, and rename it once it is whole."""
    temporary = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(error, target) from error
    try:
        with packed.open() as content, temporary.open("wb") as file:
            while block := content.read(_BLOCK):
                file.write(block)
            size = file.tell()
        if size != packed.size:
            raise _damaged(archive, f"{packed.name!r} ends early")
        temporary.replace(target)
    except OSError as error:
        raise storage_error(error, target) from error
    finally:
        temporary.unlink(missing_ok=True)
