"""What a folder's job has computed so far, beside its output: found again by key, safe against ``kill -9``.

An SQLite file, since a million entries must not be held in memory, a group of pictures must be recorded all or not at
all, and two processes must not write one output.
"""

import errno
import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from captioner.errors import StorageError, UsageError
from captioner.files import storage_error
from captioner.parallel import chunked

_VERSION = 1


def manifest_path(output: Path) -> Path:
    """Beside the output: ``captions.csv.manifest``."""
    return output.with_name(output.name + ".manifest")


class Manifest:
    """Keys of 16 bytes -> JSON values; safe to read from many threads. Locks its file until it is closed."""

    def __init__(self, path: Path | None) -> None:
        """Open or begin a manifest; None: a temporary one, which vanishes when it is closed.

        Raises ``UsageError`` if another process has it open or it is something else, and ``StorageError``.
        """
        self._path = path
        self._lock = threading.Lock()
        with self._errors():
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(
                path or "", timeout=0, isolation_level=None, check_same_thread=False, cached_statements=4
            )
            try:
                self._open()
            except BaseException:
                self._database.close()
                raise

    def _open(self) -> None:
        self._database.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._database.execute("BEGIN EXCLUSIVE")
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        (tables,) = self._database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if (version, tables) == (0, 0):
            self._database.execute("CREATE TABLE entries (key BLOB PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID")
        elif version != _VERSION:
            raise sqlite3.DatabaseError
        # Written each time: SQLite removes the journal that a killed process left only if it has written one itself.
        self._database.execute(f"PRAGMA user_version = {_VERSION}")
        self._database.execute("COMMIT")

    def __enter__(self) -> "Manifest":
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def __contains__(self, key: bytes) -> bool:
        return self.get(key) is not None

    def get(self, key: bytes) -> Any:
        """The value of ``key``; None if there is none."""
        with self._lock, self._errors():
            found = self._database.execute("SELECT value FROM entries WHERE key = ?", (key,)).fetchone()
        return None if found is None else json.loads(found[0])

    def add(self, entries: Iterable[tuple[bytes, Any]]) -> None:
        """Record new keys with their values, all or, after a crash, none of them. Raises ``StorageError``."""
        rows = [(key, json.dumps(value)) for key, value in entries]
        if not rows:
            return
        with self._lock, self._errors():
            self._database.execute("BEGIN")
            self._database.executemany("INSERT INTO entries VALUES (?, ?)", rows)
            self._database.execute("COMMIT")

    def absorb(self, path: Path) -> None:
        """Take in what another manifest has, and remove it. Raises as opening it does."""
        with Manifest(path) as other:
            for entries in chunked(other._unknown_to(self), 10_000):
                self.add(entries)
        for file in (path, path.with_name(path.name + "-journal")):
            file.unlink(missing_ok=True)

    def _unknown_to(self, other: "Manifest") -> Iterator[tuple[bytes, Any]]:
        with self._lock, self._errors():
            for key, value in self._database.execute("SELECT key, value FROM entries ORDER BY key"):
                if key not in other:
                    yield key, json.loads(value)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        path = self._path or Path("a temporary file")
        try:
            yield
        except OSError as error:
            raise storage_error(error, path) from error
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise UsageError(
                    f"another captioner is at work with {path}", "wait for it to end, or choose another --output"
                ) from None
            full = "full" in str(error)
            raise storage_error(OSError(errno.ENOSPC if full else errno.EIO, str(error)), path) from error
        except sqlite3.DatabaseError as error:
            raise StorageError(
                f"{path} is damaged, or no manifest of this captioner's version",
                "remove it, and the same command captions all pictures anew",
            ) from error
