"""The feature store: what a frozen encoder sees in each picture, computed once, read by memory map.

A folder holds ``index.json`` (which encoder made it, and its shapes) and shards of some 64 MB: ``00000-9f86d081.bin``,
float16 (pictures, views, P, D), with ``00000-9f86d081.json``, its pictures' names. A shard counts once its JSON is
there, which is written last; so a killed run loses at most one shard's work, and nothing that is read is ever
half-written. The second part of the name is drawn by chance: jobs that fill one store at once never share a shard.
"""

import json
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from captioner import processes
from captioner.errors import FeatureError
from captioner.files import atomic_write, write_text

_VERSION = 1
_SHARD_BYTES = 64 * 2**20
Features = npt.NDArray[np.float16]


@dataclass(frozen=True)
class StoreKey:
    """What features depend on beside the picture."""

    encoder: dict[str, Any]
    """Backbone, weights' hash, grid and image transform, as JSON values."""
    fingerprint: str
    positions: int
    size: int
    flip: bool
    """Whether each picture also has the features of its mirror image, as a second view."""


@dataclass(frozen=True)
class Picture:
    """A picture's identity in the store: its name, and what shows that its content may have changed."""

    name: str
    bytes: int
    modified_ns: int

    @classmethod
    def of(cls, file: Path, root: Path) -> "Picture":
        """Named relative to ``root`` where possible, so that a data set may be moved."""
        status = file.stat()
        name = file.relative_to(root) if file.is_relative_to(root) else file.absolute()
        return cls(name.as_posix(), status.st_size, status.st_mtime_ns)


class FeatureStore:
    """Features of many pictures, (P, D) float16 each; opens only the shards that are read."""

    def __init__(self, folder: Path, key: StoreKey) -> None:
        """Open the store in ``folder``, or begin one there.

        Raises ``FeatureError`` when the folder holds features of another encoder or transform, or is damaged.
        """
        self.folder = folder
        self.key = key
        self._places: dict[Picture, tuple[str, int]] = {}
        self._sizes: dict[str, int] = {}
        self._maps: dict[str, Features] = {}
        self.open()

    def open(self) -> None:
        """Find what is there. Processes open it together."""
        self._look()
        processes.barrier()  # Or one might add to it while another has not looked yet.

    def _look(self) -> None:
        index = self.folder / "index.json"
        if not index.exists():
            values = {"version": _VERSION, **vars(self.key)}
            if processes.is_first():
                write_text(index, json.dumps(values, indent=2) + "\n")
            return
        found = _read_json(index)
        if not isinstance(found, dict) or found.get("version") != _VERSION or not vars(self.key).keys() <= found.keys():
            raise FeatureError(f"{index} is not an index that this captioner reads", _way_out(self.folder))
        if found["fingerprint"] != self.key.fingerprint or found["flip"] != self.key.flip:
            raise FeatureError(
                f"the features in {self.folder} were computed differently: {_differences(found, self.key)}",
                _way_out(self.folder),
            )
        for listing in sorted(self.folder.glob("[0-9]*.json")):
            try:
                pictures = [Picture(*picture) for picture in _read_json(listing)]
            except TypeError:
                raise FeatureError(f"{listing} is damaged", _way_out(self.folder)) from None
            self._add(listing.stem, pictures)

    def _add(self, shard: str, pictures: Sequence[Picture]) -> None:
        self._places.update((picture, (shard, row)) for row, picture in enumerate(pictures))
        self._sizes[shard] = len(pictures)

    @property
    def views(self) -> int:
        """2 with mirror images, else 1."""
        return 2 if self.key.flip else 1

    @property
    def shard_size(self) -> int:
        """Pictures in a full shard."""
        return max(1, _SHARD_BYTES // (2 * self.views * self.key.positions * self.key.size))

    def __contains__(self, picture: Picture) -> bool:
        return picture in self._places

    def __len__(self) -> int:
        return len(self._places)

    def append(self, pictures: Sequence[Picture], parts: Iterable[Features]) -> None:
        """Write one shard; ``parts`` (n, views, P, D) come in the order of ``pictures``. Raises ``StorageError``."""
        shard = f"{len(self._sizes):05d}-{secrets.token_hex(4)}"
        path = self.folder / f"{shard}.bin"
        with atomic_write(path) as file:
            for part in parts:
                file.write(np.ascontiguousarray(part, dtype=np.float16).data)
        listing = [[picture.name, picture.bytes, picture.modified_ns] for picture in pictures]
        write_text(path.with_suffix(".json"), json.dumps(listing))
        self._add(shard, pictures)

    def read(self, pictures: Sequence[Picture], views: Sequence[int] | None = None) -> Features:
        """The features (B, P, D) of pictures that are in the store; ``views`` picks the mirror image where 1."""
        result = np.empty((len(pictures), self.key.positions, self.key.size), dtype=np.float16)
        for row, picture in enumerate(pictures):
            shard, place = self._places[picture]
            result[row] = self._map(shard)[place, views[row] if views else 0]
        return result

    def _map(self, shard: str) -> Features:
        if shard not in self._maps:
            path = self.folder / f"{shard}.bin"
            shape = (self._sizes[shard], self.views, self.key.positions, self.key.size)
            try:
                self._maps[shard] = np.memmap(path, dtype=np.float16, mode="r").reshape(shape)
            except (OSError, ValueError):
                raise FeatureError(f"the features in {path} are damaged or missing", _way_out(self.folder)) from None
        return self._maps[shard]

    def __getstate__(self) -> dict[str, Any]:
        """Without the maps, which pickle would copy into memory: another process opens its own."""
        return {**self.__dict__, "_maps": {}}


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        raise FeatureError(f"{path} is damaged", _way_out(path.parent)) from None


def _way_out(folder: Path) -> str:
    return f"remove {folder}, or keep it and choose another: --set features.path=FOLDER"


def _differences(found: dict[str, Any], key: StoreKey) -> str:
    """Each value that differs, as ``backbone resnet18, now resnet50``."""
    before, now = dict(found["encoder"], flip=found["flip"]), dict(key.encoder, flip=key.flip)
    now = json.loads(json.dumps(now))  # Tuples become lists, as they did in the file.
    changed = [name for name in now if before.get(name) != now[name]]
    return "; ".join(f"{name} was {before.get(name)}, is {now[name]}" for name in changed)
