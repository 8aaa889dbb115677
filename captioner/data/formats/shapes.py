"""The built-in data set, drawn where it is missing. It needs no files and no network."""

from pathlib import Path

from captioner.config import DatasetConfig
from captioner.data.formats.karpathy import read_karpathy
from captioner.data.formats.reading import Reading
from captioner.data.shapes.dataset import CAPTIONS_FILE, IMAGES_FOLDER, generate_shapes


def read_shapes(config: DatasetConfig) -> Reading:
    """Read the set at ``dataset.root``, after drawing ``dataset.size`` pictures there if it is missing."""
    generate_shapes(Path(config.root), images=config.size, seed=config.seed)
    return read_karpathy(config.model_copy(update={"captions": CAPTIONS_FILE, "images": IMAGES_FOLDER}))
