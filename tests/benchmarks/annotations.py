"""Seconds and peak memory for loading a captions file of COCO's size: ``python tests/benchmarks/annotations.py``.

Generates the captions of COCO 2017's train split (118,287 images, 591,753 captions) and as many empty files in a
temporary folder, and loads them with ``load_dataset`` in a process of its own. The aim: below 12 s and 1.2 GB.
"""

import json
import multiprocessing
import random
import resource
import sys
import tempfile
import time
from pathlib import Path

IMAGES = 118_287
CAPTIONS = 591_753
WORDS = ["a", "man", "woman", "dog", "standing", "riding", "on", "top", "of", "the", "street", "skateboard", "umbrella"]


def write(root: Path) -> None:
    """Write a COCO captions file with all the fields of the real one, and the pictures' names."""
    random.seed(1)
    folder = root / "train2017"
    folder.mkdir()
    images = []
    for number in range(1, IMAGES + 1):
        name = f"{number:012}.jpg"
        (folder / name).touch()
        images.append(
            {
                "license": 3,
                "file_name": name,
                "coco_url": f"http://images.cocodataset.org/train2017/{name}",
                "height": 480,
                "width": 640,
                "date_captured": "2013-11-14 16:28:13",
                "flickr_url": f"http://farm4.staticflickr.com/3153/{number}_cf7fdb52b6_z.jpg",
                "id": number,
            }
        )
    annotations = [
        {"image_id": number % IMAGES + 1, "id": number, "caption": " ".join(random.choices(WORDS, k=11)) + "."}
        for number in range(CAPTIONS)
    ]
    path = root / "annotations" / "captions_train2017.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"info": {}, "licenses": [], "images": images, "annotations": annotations}))


def load(root: Path) -> None:
    """Load it, and print what that took."""
    from captioner.config import DatasetConfig
    from captioner.data.annotations import load_dataset

    begin = time.perf_counter()
    dataset = load_dataset(DatasetConfig(format="coco", root=str(root)))
    seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    captions = sum(len(record.captions) for record in dataset.records)
    print(f"{len(dataset.records):,} images, {captions:,} captions: {seconds:.1f} s, peak {peak / 1e9:.2f} GB")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        for step in (write, load):
            process = multiprocessing.get_context("spawn").Process(target=step, args=(Path(folder),))
            process.start()
            process.join()
