"""Karpathy's ``dataset_*.json`` of COCO, Flickr8k and Flickr30k: captions and splits in one file.

Karpathy and Fei-Fei, "Deep Visual-Semantic Alignments for Generating Image Descriptions", CVPR 2015.
"""

from pathlib import Path
from typing import Any

from captioner.config import DatasetConfig
from captioner.data.formats.files import captions_files, common_source, images_folder, read_json
from captioner.data.formats.reading import Entry, Reading, split_named
from captioner.errors import DatasetError

_CAPTIONS = (
    "dataset_coco.json",
    "dataset_flickr8k.json",
    "dataset_flickr30k.json",
    "annotations/dataset_coco.json",
    "caption_datasets/dataset_coco.json",
    "dataset.json",
)
_IMAGES = ("images", "Images", "Flicker8k_Dataset", "flickr30k-images")


def read_karpathy(config: DatasetConfig) -> Reading:
    """Read the captions and splits; ``restval`` counts as train. COCO's pictures lie in folders the file names."""
    entries: list[Entry] = []
    files = captions_files(config, _CAPTIONS)
    for split, source in files:
        folder = images_folder(config, split, _IMAGES)
        content = read_json(source)
        images = content.get("images") if isinstance(content, dict) else None
        if not isinstance(images, list):
            raise DatasetError(
                f"{source} has no list 'images', so it is not in Karpathy's form",
                "set dataset.captions to a dataset_*.json, or dataset.format to the format of the file",
            )
        entries += [_entry(image, number, source, folder, split) for number, image in enumerate(images, 1)]
    return Reading(common_source(files), entries)


def _entry(image: Any, number: int, source: Path, folder: Path, split: str | None) -> Entry:
    try:
        name = "/".join(part for part in (image.get("filepath"), image["filename"]) if part)
        captions = [_caption(sentence) for sentence in image["sentences"]]
        # COCO's number is what its evaluation knows a picture by.
        image_id = next(image[key] for key in ("cocoid", "imgid", "filename") if key in image)
        given = split or image["split"]
        found = split_named(given)
    except (AttributeError, KeyError, TypeError):
        raise DatasetError(
            f"{source}: image {number} lacks its filename, sentences or split", "mend or remove it, and try again"
        ) from None
    if found is None:
        raise DatasetError(f"{source}: {name} is in an unknown split '{given}'", "use train, restval, val or test")
    empty = (f"{source}: {name}",) * captions.count("")
    return Entry(image_id, name, folder / name, [caption for caption in captions if caption], found, empty)


def _caption(sentence: Any) -> str:
    raw = sentence["raw"] if "raw" in sentence else " ".join(sentence["tokens"])
    if not isinstance(raw, str):
        raise TypeError
    return raw.strip()
