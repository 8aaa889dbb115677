"""What the command line names -> the files to caption, in a fixed order, each as the string that rows show.

Strings, since a million of them take a fifth of the memory that as many ``Path`` objects do.
"""

import glob
import os
import re
import sys
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from pathlib import Path

from captioner.data.cloud import is_cloud, list_cloud
from captioner.errors import UsageError

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".heif"}
"""What counts as a picture inside a folder; a file that is named itself is always tried."""


def expand_inputs(inputs: Sequence[str], recursive: bool = False, attention: Path | None = None) -> list[str]:
    """Files as they are, folders as the pictures in them, sorted, patterns such as ``photos/*.jpg``, ``-`` for a list.

    The list on standard input has a file a line. What is not there is kept: it becomes a row with an error. What an
    earlier run drew into the folder ``attention`` is taken neither from folders nor by patterns. Raises ``UsageError``
    if nothing is left to caption.
    """
    files: list[str] = []
    unmatched = 0
    for text in inputs:
        if text == "-":
            files += _listed()
        elif is_cloud(text):
            files += list_cloud(text, SUFFIXES, recursive)
        elif os.path.isdir(text):  # noqa: PTH112 - it says no, where Path.is_dir raises, to names that cannot be
            files += _not_drawn(_inside(text, recursive), attention)
        elif glob.has_magic(text) and not os.path.lexists(text):
            matches = sorted({str(Path(match)) for match in _matches(text)})
            unmatched += not matches
            files += _not_drawn(_once(_named(matches, recursive)), attention) if matches else [text]
        else:
            files.append(str(Path(text)))
    if len(files) == unmatched:
        places = ", ".join("the list on standard input" if text == "-" else text for text in inputs)
        raise UsageError(f"no pictures in {places}", "name files or folders; --recursive also looks into sub-folders")
    return files


def _inside(folder: str, recursive: bool) -> Iterator[str]:
    """The pictures of a folder, sorted, then those of its sub-folders; nothing hidden, and each folder once.

    A folder that may not be read is given itself, to be named with the reason.
    """
    unreadable: list[str] = []
    for path, names in _walk(folder, lambda error: unreadable.append(error.filename)):
        prefix = "" if path == os.curdir else str(Path(path))
        names = [name for name in names if os.path.splitext(name)[1].lower() in SUFFIXES]  # noqa: PTH122
        yield from (os.path.join(prefix, name) for name in sorted(names) if not name.startswith("."))  # noqa: PTH118
        if not recursive:
            break
    yield from unreadable


def _walk(folder: str, failed: Callable[[OSError], None] | None = None) -> Iterator[tuple[str, list[str]]]:
    """A folder and those below it with the names of their files; nothing hidden, and each folder once."""
    seen: set[str] = set()
    for path, folders, names in os.walk(str(Path(folder)), onerror=failed, followlinks=True):
        real = os.path.realpath(path)
        folders[:] = sorted(name for name in folders if not name.startswith(".")) if real not in seen else []
        if real not in seen:
            seen.add(real)
            yield path, names


def _matches(pattern: str) -> Iterator[str]:
    """As ``glob.iglob``, but ``**`` comes to each folder once, where that one goes round in links for long."""
    deep = re.fullmatch(r"(|.*?/)\*\*(?:/(.*))?", pattern, re.DOTALL)
    if deep is None:
        yield from glob.iglob(pattern)  # noqa: PTH207
        return
    rest = "*" if deep[2] is None else deep[2]
    for top in glob.iglob(deep[1]) if deep[1] else [os.curdir]:  # noqa: PTH207
        for path, _ in _walk(top):
            yield from _matches(os.path.join(glob.escape(path), rest))  # noqa: PTH118


def _named(matches: Sequence[str], recursive: bool) -> Iterator[str]:
    """Files, then folders as the pictures in them, as if each had been named."""
    yield from (match for match in matches if not os.path.isdir(match))  # noqa: PTH112
    for match in matches:
        if os.path.isdir(match):  # noqa: PTH112
            yield from _inside(match, recursive)


def _once(files: Iterable[str]) -> Iterator[str]:
    """Without those that came before, by the same name or by another way to their folder."""
    real: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    for file in files:
        folder, name = os.path.split(file)
        if folder not in real:
            real[folder] = os.path.realpath(folder)
        if (real[folder], name) not in seen:
            seen.add((real[folder], name))
            yield file


def _not_drawn(files: Iterable[str], attention: Path | None) -> Iterator[str]:
    """Without strips (``beach.jpg.png``) and pages in the folder ``attention``; whatever else is there is people's."""
    if attention is None:
        yield from files
        return
    folder = os.path.join(os.path.abspath(attention), "")  # noqa: PTH100,PTH118
    for file in files:
        stem, suffix = os.path.splitext(file)  # noqa: PTH122
        strip = suffix == ".png" and os.path.splitext(stem)[1].lower() in SUFFIXES  # noqa: PTH122
        drawn = strip or os.path.basename(file) == "index.html"  # noqa: PTH119
        if not (drawn and os.path.abspath(file).startswith(folder)):  # noqa: PTH100
            yield file


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
