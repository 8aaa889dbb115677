"""The registry of formats. A new one is a file here and a line below, or a call of ``register_format`` elsewhere."""

from collections.abc import Callable
from typing import Final

from captioner.config import DatasetConfig
from captioner.data.formats.coco import read_coco
from captioner.data.formats.csv_rows import read_csv
from captioner.data.formats.flickr import read_flickr
from captioner.data.formats.folder import read_folder
from captioner.data.formats.jsonl import read_jsonl
from captioner.data.formats.karpathy import read_karpathy
from captioner.data.formats.reading import Reading
from captioner.data.formats.shapes import read_shapes
from captioner.registry import FORMATS

Reader = Callable[[DatasetConfig], Reading]

READERS: Final[dict[str, Reader]] = {
    "coco": read_coco,
    "csv": read_csv,
    "flickr": read_flickr,
    "folder": read_folder,
    "jsonl": read_jsonl,
    "karpathy": read_karpathy,
    "shapes": read_shapes,
}
"""For each ``dataset.format`` what reads it. Readers check the captions' form; ``load_dataset`` all the rest."""


def register_format(name: str, read: Reader) -> None:
    """Let ``dataset.format: name`` be read by ``read``; docs/contributing.md has an example."""
    READERS[name] = read
    if name not in FORMATS:
        FORMATS.append(name)
