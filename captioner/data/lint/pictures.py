"""What is wrong with picture files: each is read once, decoded small, and described by a few numbers."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, Final

import numpy as np
from PIL import Image

from captioner.data.decoding import on_white, open_image, orientation, read_picture, upright
from captioner.data.formats.reading import Entry, counted
from captioner.data.lint.perceptual import SIDE, Floats, hashes
from captioner.data.lint.report import Finding
from captioner.errors import ImageError
from captioner.events import Listener, Progress
from captioner.parallel import in_order

TINY: Final = 64
"""Pixels of the shorter side below which little can be seen."""
ENORMOUS: Final = 40_000_000
"""Pixels above which a picture takes a second to decode, and is near the limit of 100 megapixels."""

_EVERY = 100  # Pictures between two events.


@dataclass(frozen=True, slots=True)
class PictureFacts:
    """One picture that can be read."""

    digest: bytes
    """Of its file."""
    width: int
    height: int
    mode: str
    """Pillow's name of its colours, such as ``RGB``."""
    turned: bool
    """Whether its file says to turn or mirror it."""
    hashes: bytes | None
    """Its perceptual hashes; ``None`` if it is too plain to have any."""


def look_at(files: Sequence[Path], listener: Listener) -> list[PictureFacts | ImageError]:
    """Read all pictures, in threads."""
    facts: list[PictureFacts | ImageError] = []
    start = perf_counter()
    for fact in in_order(_attempt, files, ahead=64):
        facts.append(fact)
        if len(facts) % _EVERY == 0 or len(facts) == len(files):
            rate = f"{len(facts) / (perf_counter() - start):.0f} pictures/s"
            listener(Progress("pictures", len(facts), len(files), "pictures", rate))
    return facts


def _attempt(file: Path) -> PictureFacts | ImageError:
    try:
        return examine(file)
    except ImageError as error:
        return error


def examine(file: Path) -> PictureFacts:
    """Read a picture to its end. Raises ``ImageError`` where training would."""
    content = read_picture(file)
    with open_image(content) as image:
        (width, height), mode = image.size, image.mode
        grey = thumbnail(image, "L")
        turned = orientation(image) != 1
    views = hashes(grey)
    digest = hashlib.blake2b(content, digest_size=16).digest()
    return PictureFacts(digest, width, height, mode, turned, None if views is None else views.tobytes())


def thumbnail(image: Image.Image, mode: str) -> Floats:
    """An opened picture, upright, as (SIDE, SIDE) of the mode ``L`` or (SIDE, SIDE, 3) of ``RGB``; 0 to 255."""
    image.draft(mode, (SIDE, SIDE))  # A JPEG is decoded small, and yet read to its end.
    image = upright(image)
    if image.mode not in ("L", "RGB"):
        image = on_white(image, image.info.get("icc_profile"))
    small = image.resize((SIDE, SIDE), Image.Resampling.BOX).convert(mode)
    return np.asarray(small, dtype=np.float32)


def picture_findings(
    entries: Sequence[Entry], facts: Sequence[PictureFacts | ImageError], allowed: bool
) -> Iterable[Finding]:
    """Unreadable (``allowed`` or not), tiny, enormous, CMYK and turned pictures."""
    unreadable, tiny, enormous, cmyk, turned = [], [], [], [], []
    for entry, fact in zip(entries, facts, strict=True):
        if isinstance(fact, ImageError):
            unreadable.append(f"{entry.name} ({fact.problem})")
            continue
        size = f"{entry.name} ({fact.width} x {fact.height})"
        if min(fact.width, fact.height) < TINY:
            tiny.append(size)
        if fact.width * fact.height > ENORMOUS:
            enormous.append(size)
        if fact.mode == "CMYK":
            cmyk.append(entry.name)
        if fact.turned:
            turned.append(entry.name)
    if unreadable:
        problem = f"{counted(len(unreadable), 'picture')} cannot be read"
        remedy = "mend or remove them, or go on without: --set dataset.allow_missing=true"
        yield Finding.of("unreadable-pictures", "warning" if allowed else "error", unreadable, problem, remedy)
    if tiny:
        problem = f"{counted(len(tiny), 'picture')} with a side below {TINY} pixels"
        yield Finding.of("tiny-pictures", "warning", tiny, problem, "replace icons and previews by the pictures")
    if enormous:
        problem = f"{counted(len(enormous), 'picture')} of more than {ENORMOUS / 1e6:.0f} megapixels"
        remedy = "scale them down: an encoder sees a few hundred pixels a side, and reading them takes long"
        yield Finding.of("enormous-pictures", "warning", enormous, problem, remedy)
    if cmyk:
        problem = f"{counted(len(cmyk), 'picture')} in the colours of print (CMYK)"
        remedy = "save them as RGB with their colour profile: converted without it, their colours are off"
        yield Finding.of("cmyk-pictures", "warning", cmyk, problem, remedy)
    if turned:
        problem = f"{counted(len(turned), 'picture')} turned or mirrored by EXIF orientation"
        remedy = "nothing to do: captioner turns them upright; programs that do not will see them lying"
        yield Finding.of("rotated-pictures", "note", turned, problem, remedy)


def picture_statistics(facts: Iterable[PictureFacts | ImageError]) -> dict[str, Any]:
    """Sizes and modes of the pictures that can be read."""
    readable = [fact for fact in facts if isinstance(fact, PictureFacts)]
    if not readable:
        return {}
    sides = {"width": [fact.width for fact in readable], "height": [fact.height for fact in readable]}
    sizes = {name: {"min": min(of), "median": median(of), "max": max(of)} for name, of in sides.items()}
    return {"pictures": {"read": len(readable), **sizes, "modes": dict(Counter(fact.mode for fact in readable))}}
