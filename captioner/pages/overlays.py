"""Where a caption's words look, drawn over the picture: a strip with a tile a word, by Pillow alone.

After figure 3 of K. Xu et al., "Show, Attend and Tell", ICML 2015, arXiv 1502.03044.
"""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import Tensor

COLUMNS = 7
"""Tiles side by side; a longer caption goes on in the next row."""
_LABEL = 0.15
"""Height of a word below its tile, of the tile's."""
_UNSEEN = 0.35
"""Brightness of the grey that stands where a word does not look."""


def overlay(picture: Tensor, weights: Tensor) -> Image.Image:
    """A picture (3, H, W), uint8, in colour where ``weights`` (rows, columns) are 1, in dark grey where they are 0."""
    image = _to_image(picture)
    grey = ImageOps.grayscale(image).point(lambda value: _UNSEEN * value).convert("RGB")
    mask = Image.fromarray((255 * weights).round().byte().numpy())
    return Image.composite(image, grey, mask.resize(image.size, Image.Resampling.BICUBIC))


def overlays(picture: Tensor, maps: Tensor) -> list[Image.Image]:
    """An ``overlay`` for each of T words.

    ``picture`` (3, H, W), uint8, is what the encoder sees; ``maps`` (T, rows, columns) are ``Captioner.attention``'s.
    Each word's colours run from its least weight to its greatest: attention is often spread so evenly that one scale
    for all words would show next to nothing. So overlays tell where a word looks most, not how much more.
    """
    least, greatest = maps.amin(dim=(1, 2), keepdim=True), maps.amax(dim=(1, 2), keepdim=True)
    return [overlay(picture, each) for each in (maps - least) / (greatest - least).clamp(min=1e-9)]


def strip(picture: Tensor, words: Sequence[str], maps: Tensor, side: int = 160) -> Image.Image:
    """The picture, then an ``overlay`` for each of T ``words``, in tiles of ``side`` pixels with the word below.

    ``picture`` and ``maps`` are those of ``overlays``.
    """
    tiles = [_to_image(picture), *overlays(picture, maps)]
    label = round(_LABEL * side)
    size = (side * min(COLUMNS, len(tiles)), (side + label) * -(-len(tiles) // COLUMNS))
    result = Image.new("RGB", size)
    draw = ImageDraw.Draw(result)
    for number, (tile, word) in enumerate(zip(tiles, ["", *words], strict=True)):
        left, top = number % COLUMNS * side, number // COLUMNS * (side + label)
        result.paste(tile.resize((side - 2, side - 2)), (left + 1, top + 1))
        draw.text((left + side / 2, top + side + label / 2), word, "white", _font(word, side, label), "mm")
    return result


def _to_image(picture: Tensor) -> Image.Image:
    return Image.fromarray(picture.permute(1, 2, 0).cpu().numpy())


def _font(word: str, width: int, height: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own, so that every machine draws the same; smaller where a word is long."""
    size = 0.75 * height
    length = ImageFont.load_default(size).getlength(word)
    return ImageFont.load_default(size * min(1.0, 0.94 * width / max(1.0, length)))
