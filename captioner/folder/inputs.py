"""What the command line names -> the files to caption, in a fixed order, each as the string that rows show.

Strings, since a million of them take a fifth of the memory that as many ``Path`` objects do.
"""

import glob
import os
import sys
from collections.abc import Callable, Hashable, Iterator, Sequence
from pathlib import Path

from captioner.data.cloud import is_cloud, list_cloud
from captioner.errors import UsageError

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".heif"}
"""What counts as a picture inside a folder; a file that is named itself is always tried."""


def expand_inputs(inputs: Sequence[str], recursive: bool = False) -> list[str]:
    """Files as they are, folders as the pictures in them, sorted, patterns such as ``photos/*.jpg``, ``-`` for a list.

    The list on standard input has a file a line. What is not there is kept: it becomes a row with an error. Raises
    ``UsageError`` if nothing is left to caption.
    """
    files: list[str] = []
    unmatched: list[str] = []
    for text in inputs:
        if text == "-":
            files += _listed()
        elif is_cloud(text):
            files += list_cloud(text, SUFFIXES, recursive)
        elif os.path.isdir(text):  # noqa: PTH112 - it says no, where Path.is_dir raises, to names that cannot be
            files += _inside(text, recursive)
        elif glob.has_magic(text) and not os.path.lexists(text):
            matches = sorted(str(Path(match)) for match in glob.iglob(text, recursive=True) if not os.path.isdir(match))  # noqa: PTH112,PTH207
            files += matches
            unmatched += [] if matches else [text]
        else:
            files.append(str(Path(text)))
    if not files:
        places = ", ".join("the list on standard input" if text == "-" else text for text in inputs)
        raise UsageError(f"no pictures in {places}", "name files or folders; --recursive also looks into sub-folders")
    return files + unmatched


def _inside(folder: str, recursive: bool) -> Iterator[str]:
    """The pictures of a folder, sorted, then those of its sub-folders; nothing hidden, and each folder once.

    A folder that may not be read is given itself, to be named with the reason.
    """
    unreadable: list[str] = []
    seen: set[str] = set()
    walk = os.walk(str(Path(folder)), onerror=lambda error: unreadable.append(error.filename), followlinks=True)
    for path, folders, names in walk:
        real = os.path.realpath(path)
        folders[:] = sorted(name for name in folders if not name.startswith(".")) if real not in seen else []
        prefix = "" if path == os.curdir else str(Path(path))
        if real not in seen:
            seen.add(real)
            names = [name for name in names if os.path.splitext(name)[1].lower() in SUFFIXES]  # noqa: PTH122
            yield from (os.path.join(prefix, name) for name in sorted(names) if not name.startswith("."))  # noqa: PTH118
        if not recursive:
            break
    yield from unreadable


def _listed() -> Iterator[str]:
    for line in sys.stdin.buffer:
        name = line.removesuffix(b"\n").removesuffix(b"\r")
        if name:
            text = os.fsdecode(name)
            yield text if is_cloud(text) else str(Path(text))


def refuse_clashes(files: Sequence[str], name: Callable[[str], Hashable], problem: str, remedy: str) -> None:
    """Raise ``UsageError`` if two files have one name; ``problem`` has a place for the files and one for the name."""
    names: set[Hashable] = set()
    for file in files:
        taken = name(file)
        if taken in names:
            first = next(other for other in files if name(other) == taken)
            raise UsageError(problem.format(f"{first} and {file}", taken), remedy)
        names.add(taken)
