"""Draw where a model looks for each word of a caption.

python attention_picture.py runs/flickr8k-attention beach.jpg beach-attention.png
"""

import sys
from pathlib import Path

from captioner import Captioner
from captioner.data.images import load_image
from captioner.errors import CaptionerError
from captioner.pages.overlays import strip


def main(model: str, picture: str, output: str) -> None:
    """Write the picture, and beside it one tile a word."""
    captioner = Captioner.load(model)
    (caption,) = captioner.caption([picture])
    maps = captioner.attention(picture, caption.words)
    seen = load_image(Path(picture), captioner.encoder.transform)
    strip(seen, caption.words, maps).save(output)
    print(caption.text)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except (CaptionerError, OSError) as error:
        sys.exit(str(error))
