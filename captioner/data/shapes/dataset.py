"""The built-in data set on disk: pictures drawn by rule, and one captions file in Karpathy's form.

No two pictures are alike. Each depends on the seed and on those before it alone: a larger set begins with the
pictures of a smaller one.
"""

import hashlib
import json
import os
import shutil
from itertools import count
from pathlib import Path
from typing import Any, Final

from captioner.data.shapes.captions import captions
from captioner.data.shapes.scenes import scene
from captioner.errors import DatasetError, StorageError

CAPTIONS_FILE: Final = "shapes.json"
IMAGES_FOLDER: Final = "images"
_UNFINISHED: Final = "shapes.unfinished"
"""Stands in the folder while pictures are being drawn; says that what lies beside it is ours to draw anew."""
_VERSION: Final = 1
"""Raised whenever the same seed would give other pictures or captions."""


def generate_shapes(root: Path, *, images: int = 4000, seed: int = 1) -> None:
    """Write ``images`` pictures (PNG, 96 x 96) and their captions to the folder ``root``, unless they are there.

    The captions file comes last: without it, a generation was cut short and is done again. Several processes may
    generate the same set at once.

    Raises ``DatasetError`` if ``root`` holds another set or other files, ``StorageError`` if it cannot be written.
    """
    root = Path(root)
    parameters = {"version": _VERSION, "seed": seed, "images": images}
    if (root / CAPTIONS_FILE).exists():
        _check_same(root / CAPTIONS_FILE, parameters)
        return
    marker = root / _UNFINISHED
    if root.exists() and not root.is_dir():
        raise DatasetError(f"{root} is a file", "set dataset.root to a folder, which may not exist yet")
    if root.is_dir() and not marker.exists() and any(root.iterdir()):
        raise DatasetError(
            f"{root} holds other files and no {CAPTIONS_FILE}",
            "set dataset.root to an empty folder, or to one that does not exist yet",
        )
    try:
        root.mkdir(parents=True, exist_ok=True)
        if marker.exists() and marker.read_bytes() != _encoded(parameters):
            shutil.rmtree(root / IMAGES_FOLDER, ignore_errors=True)
        _write(marker, _encoded(parameters))
        entries = _write_pictures(root / IMAGES_FOLDER, images, seed)
        _write(root / CAPTIONS_FILE, _encoded({"dataset": "shapes", "parameters": parameters, "images": entries}))
        marker.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(
            f"cannot write the shapes data set to {root}: {error.strerror}",
            "free some space, or set dataset.root to a folder that you may write to",
        ) from None


def split_of(index: int) -> str:
    """The split of picture ``index``: 80 % train, 10 % val, 10 % test, however many there are."""
    return {3: "val", 7: "test"}.get(index % 10, "train")


def _write_pictures(folder: Path, images: int, seed: int) -> list[dict[str, Any]]:
    """Draw the pictures, and give the entries of the captions file."""
    from io import BytesIO

    from PIL import Image

    from captioner.data.shapes.drawing import draw

    folder.mkdir(exist_ok=True)
    entries = []
    known: set[bytes] = set()
    for index in range(images):
        # Twice the same picture might be once in training and once in the test: then it is drawn anew.
        for attempt in count():
            drawn = scene(seed, index, attempt)
            pixels = draw(drawn)
            digest = hashlib.blake2b(pixels.tobytes(), digest_size=16).digest()
            if digest not in known:
                break
        known.add(digest)
        name, stream = f"{index:06}.png", BytesIO()
        Image.fromarray(pixels).save(stream, "PNG", compress_level=1)
        _write(folder / name, stream.getvalue())
        sentences = [{"raw": caption, "tokens": caption.split()} for caption in captions(drawn)]
        entries.append({"filename": name, "imgid": index, "split": split_of(index), "sentences": sentences})
    return entries


def _write(path: Path, content: bytes) -> None:
    """Write so that ``path`` is always whole, also when several processes write it at once."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _encoded(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode()


def _check_same(path: Path, parameters: dict[str, int]) -> None:
    try:
        found = json.loads(path.read_bytes()).get("parameters")
    except (OSError, ValueError, AttributeError):
        found = None
    if found == parameters:
        return
    if not isinstance(found, dict) or found.get("version") != _VERSION:
        raise DatasetError(
            f"{path} was not made by this version of captioner",
            f"set dataset.root to another folder than {path.parent}",
        )
    raise DatasetError(
        f"{path.parent} holds {found.get('images')} shapes of seed {found.get('seed')}, "
        f"not {parameters['images']} of seed {parameters['seed']}",
        f"set dataset.size={found.get('images')} and dataset.seed={found.get('seed')} to use them, "
        "or dataset.root to another folder",
    )
