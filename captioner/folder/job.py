"""Files -> rows, in the order of the files: each picture read once, and captioned unless its captions are known.

The manifest knows captions by what they depend on: the picture's bytes, the captioner's fingerprint, and how many are
asked for. Killed at any moment, the next run must end in the very file that an uninterrupted run writes, although in
bfloat16 a caption may depend on the pictures that it is computed with. So who is computed with whom follows from the
files, the manifest and the number of threads alone, never from what was quicker:

- Groups are runs of the list, of a size that follows from its length and the number of threads.
- A group computes, together, its pictures that neither the manifest nor an earlier group has. To know the latter,
  groups take turns in choosing, after reading and before computing.
- Groups enter the manifest in order, each in one transaction. So what a killed run leaves is what the groups 1 to n
  give, and the others choose again what they chose before.
- Each row is made of what the manifest holds.

Random draws differ by the pictures' content, so that neither groups nor other pictures change them.
"""

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from torch import Tensor

from captioner.data.decoding import read_picture
from captioner.errors import ImageError
from captioner.evaluation.diversity import collapse
from captioner.events import Listener, Progress, Warned
from captioner.folder.manifest import Manifest
from captioner.parallel import chunked
from captioner.predictor import DECODE_AT_ONCE, Caption, Captioner
from captioner.text import detokenize

_GROUPS = 2
"""For each worker, of a short list: the shorter they are, the slower is the search, and the sooner all are busy."""
_SMALLEST_GROUP = 16
_WATCHED = 10_000
"""Pictures whose captions are looked at together, so that memory stays flat."""


@dataclass(frozen=True)
class Row:
    """A caption of a picture, or why it has none; its fields are the output's columns."""

    file: str
    caption: str = ""
    log_prob: float | None = None
    confidence: float | None = None
    error: str = ""

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


Watcher = Callable[[str, Sequence[Caption]], None]
"""What wants to see each picture's captions, best first, as they come, in the order of the files.

Where it raises ``ImageError``, the picture has a row with that error, and is tried again by the next job.
"""


@dataclass(frozen=True)
class Wording:
    """How words are written for people."""

    prefix: str = ""
    suffix: str = ""
    full_stop: bool = False

    def of(self, words: Sequence[str]) -> str:
        """``A dog runs`` between prefix and suffix."""
        return self.prefix + detokenize(words, full_stop=self.full_stop) + self.suffix


@dataclass(frozen=True)
class _Group:
    files: Sequence[str]
    turn: threading.Event
    """Set when all earlier groups have chosen."""
    chosen: threading.Event


@dataclass(frozen=True)
class _Picture:
    images: tuple[Tensor, ...]
    """As each of an ensemble's encoders wants it."""
    number: int
    """By which random draws differ: of its content."""


@dataclass(frozen=True)
class _Result:
    keys: list[bytes | ImageError]
    """Of each file, what the manifest knows its captions by, or why it has none."""
    new: dict[bytes, list[Caption]]


class FolderJob:
    """One pass over a list of files; ``captioned``, ``known`` and ``failed`` count those that are done."""

    def __init__(
        self,
        captioner: Captioner,
        files: Sequence[str],
        listener: Listener,
        manifest: Manifest,
        wording: Wording = Wording(),
        number: int = 1,
        watch: Watcher | None = None,
    ) -> None:
        """``number`` is how many captions a picture gets at most; ``watch`` sees them before they become rows."""
        self._captioner = captioner
        self._number = number
        self._fingerprint = f"{captioner.fingerprint} {number} ".encode()
        self._files = files
        self._listener = listener
        self._manifest = manifest
        self._wording = wording
        self._watch = watch
        self._chosen: set[bytes] = set()  # By groups that are not in the manifest yet.
        self._lock = threading.Lock()
        self._watched: list[tuple[str, ...]] = []
        self.captioned = self.known = self.failed = 0

    def rows(self) -> Iterator[Row]:
        """For each file, in order, a row for each caption, best first.

        One that cannot be read, or that ``watch`` refuses, has one row, with an error instead of a caption. At the end
        the listener is warned if captions of different pictures hardly differ. Raises ``UsageError`` where the sampling
        method does not find so many captions.
        """
        done = 0
        for result in self._results(self._groups()):
            self.captioned += len(result.new)
            self._watched += [several[0].words for several in result.new.values()][: _WATCHED - len(self._watched)]
            self.failed += sum(isinstance(key, ImageError) for key in result.keys)
            self.known += sum(isinstance(key, bytes) for key in result.keys) - len(result.new)
            for key in result.keys:
                yield from self._rows(self._files[done], key)
                done += 1
                self._listener(Progress("captioning", done, len(self._files), "pictures"))
        if warning := collapse(self._watched):
            self._listener(Warned(warning))

    def share(self, rank: int, count: int) -> int:
        """Only caption every ``count``-th group of files into the manifest, from number ``rank`` on.

        Returns how many pictures that were.
        """
        done = captioned = 0
        for result in self._results(self._groups(rank, count)):
            done += len(result.keys)
            captioned += len(result.new)
            total = max(done, len(self._files) // count)
            self._listener(Progress(f"captioning, process {rank + 1} of {count}", done, total, "pictures"))
        return captioned

    def _results(self, groups: Iterator[_Group]) -> Iterator[_Result]:
        for result in self._captioner.compute.in_order(self._caption_group, groups):
            self._manifest.add((key, [_to_json(one) for one in several]) for key, several in result.new.items())
            with self._lock:
                self._chosen -= result.new.keys()
            yield result

    def _groups(self, rank: int = 0, count: int = 1) -> Iterator[_Group]:
        share = -(-len(self._files) // (_GROUPS * self._captioner.compute.workers * count))
        size = min(DECODE_AT_ONCE, max(_SMALLEST_GROUP, share))
        turn = threading.Event()
        turn.set()
        for files in islice(chunked(self._files, size), rank, None, count):
            chosen = threading.Event()
            yield _Group(files, turn, chosen)
            turn = chosen

    def _caption_group(self, group: _Group) -> _Result:
        try:
            keys: list[bytes | ImageError] = []
            found: dict[bytes, _Picture] = {}
            for file in group.files:
                try:
                    keys.append(self._read(file, found))
                except ImageError as error:
                    keys.append(error)
            group.turn.wait()
            new = self._choose(found)
        finally:
            group.chosen.set()
        pictures = [found[key] for key in new]
        captions = self._captioner.caption_images(
            [picture.images for picture in pictures], [picture.number for picture in pictures], self._number
        )
        return _Result(keys, dict(zip(new, captions, strict=True)))

    def _read(self, file: str, found: dict[bytes, _Picture]) -> bytes:
        """A file's key; its pixels go into ``found`` unless its captions are in the manifest by now."""
        data = read_picture(file)
        content = hashlib.sha256(data).digest()
        key = hashlib.sha256(self._fingerprint + content).digest()[:16]
        if key not in found and key not in self._manifest:
            images = self._captioner.read(data)
            if isinstance(images, ImageError):
                raise images
            found[key] = _Picture(images, number_of(content))
        return key

    def _choose(self, found: dict[bytes, _Picture]) -> list[bytes]:
        with self._lock:
            new = [key for key in found if key not in self._chosen and key not in self._manifest]
            self._chosen.update(new)
        return new

    def _rows(self, file: str, key: bytes | ImageError) -> Iterator[Row]:
        if isinstance(key, ImageError):
            yield Row(file, error=key.problem)
            return
        captions = [
            Caption(tuple(words.split()), log_prob, finished, self._captioner.calibration)
            for words, log_prob, finished in self._manifest.get(key)
        ]
        if self._watch is not None:
            try:
                self._watch(file, captions)
            except ImageError as error:
                self.failed += 1
                yield Row(file, error=error.problem)
                return
        for caption in captions:
            text = self._wording.of(caption.words)
            yield Row(file, text, round(caption.log_prob, 4), round(caption.confidence, 4))


def number_of(content: bytes) -> int:
    """A picture's number, by which random draws differ, from its bytes' SHA-256."""
    return int.from_bytes(content[:8], "big") >> 1  # As much as int64 holds.


def _to_json(caption: Caption) -> list[Any]:
    return [" ".join(caption.words), caption.log_prob, caption.finished]
