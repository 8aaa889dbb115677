"""Files -> rows, in the order of the files: each picture read once, and captioned unless its caption is known.

The manifest knows captions by what they depend on: the picture's bytes and the captioner's fingerprint. Killed at any
moment, the next run must end in the very file that an uninterrupted run writes, although in bfloat16 a caption may
depend on the pictures that it is computed with. So who is computed with whom follows from the files and the manifest
alone, never from what was quicker:

- Groups are runs of the list, of a size that follows from its length.
- A group computes, together, its pictures that neither the manifest nor an earlier group has. To know the latter,
  groups take turns in choosing, after reading and before computing.
- Groups enter the manifest in order, each in one transaction. So what a killed run leaves is what the groups 1 to n
  give, and the others choose again what they chose before.
- Each row is made of what the manifest holds.
"""

import hashlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

from captioner.data.images import read_picture, try_image
from captioner.errors import ImageError
from captioner.events import Listener, Progress
from captioner.manifest import Manifest
from captioner.parallel import chunked, in_order
from captioner.predictor import DECODE_AT_ONCE, Caption, Captioner
from captioner.text import detokenize

_GROUPS = 16
_SMALLEST_GROUP = 8


@dataclass(frozen=True)
class Row:
    """What ``captioner caption`` says of one picture; its fields are the output's columns."""

    file: str
    caption: str = ""
    log_prob: float | None = None
    confidence: float | None = None
    error: str = ""

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


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
class _Result:
    keys: list[bytes | ImageError]
    """Of each file, what the manifest knows its caption by, or why it has none."""
    new: dict[bytes, Caption]


class FolderJob:
    """One pass over a list of files; ``captioned``, ``known`` and ``failed`` count its rows so far."""

    def __init__(
        self,
        captioner: Captioner,
        files: Sequence[str],
        listener: Listener,
        manifest: Manifest,
        wording: Wording = Wording(),
    ) -> None:
        self._captioner = captioner
        self._fingerprint = captioner.fingerprint.encode()
        self._files = files
        self._listener = listener
        self._manifest = manifest
        self._wording = wording
        self._chosen: set[bytes] = set()  # By groups that are not in the manifest yet.
        self._lock = threading.Lock()
        self.captioned = self.known = self.failed = 0

    def rows(self) -> Iterator[Row]:
        """A row for each file, in order; one that cannot be read has an error instead of a caption."""
        done = 0
        for result in in_order(self._caption_group, self._groups(), workers=self._captioner.compute.workers):
            self._manifest.add((key, _to_json(caption)) for key, caption in result.new.items())
            with self._lock:
                self._chosen -= result.new.keys()
            self.captioned += len(result.new)
            self.failed += sum(isinstance(key, ImageError) for key in result.keys)
            self.known += sum(isinstance(key, bytes) for key in result.keys) - len(result.new)
            for key in result.keys:
                yield self._row(self._files[done], key)
                done += 1
                self._listener(Progress("captioning", done, len(self._files), "pictures"))

    def _groups(self) -> Iterator[_Group]:
        size = min(DECODE_AT_ONCE, max(_SMALLEST_GROUP, -(-len(self._files) // _GROUPS)))
        turn = threading.Event()
        turn.set()
        for files in chunked(self._files, size):
            chosen = threading.Event()
            yield _Group(files, turn, chosen)
            turn = chosen

    def _caption_group(self, group: _Group) -> _Result:
        try:
            keys: list[bytes | ImageError] = []
            found: dict[bytes, Tensor] = {}
            for file in group.files:
                try:
                    keys.append(self._read(file, found))
                except ImageError as error:
                    keys.append(error)
            group.turn.wait()
            new = self._choose(found)
        finally:
            group.chosen.set()
        captions = self._captioner.caption_images([found[key] for key in new])
        return _Result(keys, {key: one for key, one in zip(new, captions, strict=True) if isinstance(one, Caption)})

    def _read(self, file: str, found: dict[bytes, Tensor]) -> bytes:
        """A file's key; its pixels go into ``found`` unless its caption is in the manifest by now."""
        data = read_picture(file)
        key = hashlib.sha256(self._fingerprint + data).digest()[:16]
        if key not in found and key not in self._manifest:
            image = try_image(data, self._captioner.encoder.transform)
            if isinstance(image, ImageError):
                raise image
            found[key] = image
        return key

    def _choose(self, found: dict[bytes, Tensor]) -> list[bytes]:
        with self._lock:
            new = [key for key in found if key not in self._chosen and key not in self._manifest]
            self._chosen.update(new)
        return new

    def _row(self, file: str, key: bytes | ImageError) -> Row:
        if isinstance(key, ImageError):
            return Row(file, error=key.problem)
        caption = _from_json(self._manifest.get(key))
        text = self._wording.of(caption.words)
        return Row(file, text, round(caption.log_prob, 4), round(caption.confidence, 4))


def _to_json(caption: Caption) -> list[Any]:
    return [" ".join(caption.words), caption.log_prob, caption.finished]


def _from_json(values: list[Any]) -> Caption:
    words, log_prob, finished = values
    return Caption(tuple(words.split()), log_prob, finished)
