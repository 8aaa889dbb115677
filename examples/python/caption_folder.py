"""Caption every picture of a folder from Python.

python caption_folder.py runs/flickr8k-attention holiday/
"""

import sys
from pathlib import Path

from captioner import Captioner
from captioner.errors import CaptionerError, ImageError


def main(model: str, folder: str) -> None:
    """Print a line for each picture: its name and caption, or why it cannot be read."""
    captioner = Captioner.load(model)
    files = sorted(file for file in Path(folder).iterdir() if file.suffix.lower() in {".jpg", ".jpeg", ".png"})
    for file, caption in zip(files, captioner.stream(files), strict=True):
        print(file.name, caption.problem if isinstance(caption, ImageError) else caption.text, sep="\t")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except (CaptionerError, OSError) as error:
        sys.exit(str(error))
