"""Writing files so that a crash, a full disk or Ctrl-C leaves either the old content or the new, never half of it."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from captioner.errors import StorageError


@contextmanager
def atomic_write(path: Path, *, part: Path | None = None) -> Iterator[IO[bytes]]:
    """Open a temporary file beside ``path`` for binary writing; on success it takes the name, else it vanishes.

    ``part`` is its name where one process at a time does long work, so that the next one replaces what a killed one
    leaves; by default the name is a new one each time.

    Raises ``StorageError`` when there is no space or no permission; what stood at ``path`` still stands then.
    """
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if part is None:
            handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-", suffix=".part")
        else:
            handle, temporary = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), str(part)
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o666 & ~_umask())  # mkstemp's 0600 would keep colleagues out.
        Path(temporary).replace(path)
        temporary = None
    except OSError as error:
        raise storage_error(error, path) from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def remove_parts(folder: Path) -> None:
    """Remove what a killed process was writing there; for folders that one process at a time writes to."""
    for part in folder.glob(".*.part"):
        part.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` atomically, as UTF-8. Raises ``StorageError``."""
    with atomic_write(path) as file:
        file.write(text.encode())


def storage_error(error: OSError, path: Path) -> StorageError:
    """What to tell a user about a failed write to ``path``."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageError(
            f"no space left on the device while writing {path}",
            "free some space, or choose a folder on another disk, and run the same command again, train with --resume: "
            "finished work stays",
        )
    between = next((parent for parent in path.parents if parent.is_file()), None)
    if between is not None:
        return StorageError(f"cannot write {path}: {between} is a file", "name a folder in its place")
    return StorageError(
        f"cannot write {path}: {error.strerror or error}", "check that the folder exists and that you may write to it"
    )


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def readable_size(count: float) -> str:
    """``13.5 GB``, in powers of ten, as disks and servers count."""
    for unit in ("bytes", "kB", "MB"):
        if count < 999.5:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
