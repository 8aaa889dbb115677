"""Caption pictures with what `captioner export` wrote, by onnxruntime, NumPy and Pillow alone.

python onnx_caption.py runs/flickr8k-attention/onnx beach.jpg climber.jpg
"""

import json
import sys
from pathlib import Path

import numpy as np
from onnxruntime import InferenceSession
from PIL import Image, ImageOps

RESAMPLING = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def read(file: str, resize: int, crop: int, interpolation: str) -> np.ndarray:
    """A picture, upright, its shorter side resized, its centre cropped: (1, 3, crop, crop), uint8."""
    image = Image.open(file)
    wide = 2 * resize / min(image.size)
    image.draft("RGB", (round(image.width * min(1, wide)), round(image.height * min(1, wide))))
    image = ImageOps.exif_transpose(image).convert("RGB")
    size = [resize if side == min(image.size) else int(side * resize / min(image.size)) for side in image.size]
    image = image.resize(tuple(size), RESAMPLING[interpolation])
    left, top = (round((side - crop) / 2) for side in image.size)
    return np.asarray(image.crop((left, top, left + crop, top + crop))).transpose(2, 0, 1)[np.newaxis]


def caption(folder: Path, file: str) -> str:
    """The likeliest word each time, until the end."""
    model = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    encoder, step = (InferenceSession(folder / name) for name in ("encoder.onnx", "step.onnx"))
    pixels = read(file, *(model["transform"][key] for key in ("resize", "crop", "interpolation")))
    state = dict(zip(model["rows"] + model["images"], encoder.run(None, {"pixels": pixels}), strict=True))
    words = [model["start"]]
    while words[-1] != model["end"] and len(words) <= model["max_length"]:
        log_probs, *rows = step.run(None, {"words": np.array(words[-1:]), **state})
        log_probs[:, model["never"]] = -np.inf
        words.append(int(log_probs.argmax()))
        state.update(zip(model["rows"], rows, strict=True))
    return " ".join(model["words"][word] for word in words[1:] if word != model["end"])


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    try:
        for name in sys.argv[2:]:
            print(caption(Path(sys.argv[1]), name))
    except OSError as error:
        sys.exit(str(error))
