"""Is a caption true? Read from the pixels alone, with a grammar and a palette of its own."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

COLOURS = {
    "red": (214, 40, 46),
    "orange": (244, 128, 20),
    "yellow": (250, 212, 48),
    "green": (42, 157, 76),
    "blue": (38, 92, 214),
    "purple": (148, 64, 190),
    "pink": (246, 140, 190),
}
NUMBERS = {"a": 1, "an": 1, "two": 2, "three": 3, "four": 4, "five": 5}
THING = (
    rf"(?:{'|'.join(NUMBERS)}) (?:(?:large|small) )?(?:(?:striped|dotted) )?(?:{'|'.join(COLOURS)}) "
    r"(?:circle|square|triangle|diamond|star|cross)(?:e?s)?"
)
PLACE = r"(?:in the (?:top|bottom) (?:left|right) corner|at the top|at the bottom|on the (?:left|right)|in the middle)"
# Width of a shape at these heights, as a share of its greatest width; and the share of its box that it fills.
HEIGHTS = (0.12, 0.3, 0.5, 0.7, 0.88)
PROFILES = (
    ("circle", (0.65, 0.92, 1.0, 0.92, 0.65, 0.78)),
    ("square", (1.0, 1.0, 1.0, 1.0, 1.0, 1.0)),
    ("triangle", (0.12, 0.3, 0.5, 0.7, 0.88, 0.5)),
    ("diamond", (0.24, 0.6, 1.0, 0.6, 0.24, 0.5)),
    ("star", (0.1, 0.26, 0.7, 0.48, 0.3, 0.36)),
    ("star", (0.18, 0.73, 0.5, 0.44, 0.3, 0.36)),  # As a small one looks, whose arms are two pixels high.
    ("cross", (0.32, 0.32, 1.0, 0.32, 0.32, 0.56)),
)


@dataclass
class Seen:
    """What the pixels show of the things in one colour: number, box, light share, and the mask."""

    number: int
    left: int
    top: int
    right: int
    bottom: int
    light: float
    mask: Mask

    @property
    def centre(self) -> tuple[float, float]:
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2


def see(pixels: NDArray[np.uint8], colour: str) -> Seen:
    base = np.array(COLOURS[colour], dtype=float)
    light = base * 0.3 + 255 * 0.7
    along = ((pixels - base) @ (light - base)) / ((light - base) @ (light - base))
    off = np.abs(pixels - base - along[..., None] * (light - base)).max(axis=2)
    mask = (off < 4) & (along > -0.02) & (along < 1.02)
    parts = [part for part in components(mask) if part.sum() > 6]
    assert parts, f"nothing {colour} in the picture"
    mask = np.logical_or.reduce(parts)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return Seen(len(parts), columns[0], rows[0], columns[-1] + 1, rows[-1] + 1, float((along[mask] > 0.5).mean()), mask)


def components(mask: Mask) -> list[Mask]:
    left, parts = mask.copy(), []
    for start in zip(*np.nonzero(mask), strict=True):
        if not left[start]:
            continue
        part, stack = np.zeros_like(mask), [start]
        while stack:
            row, column = stack.pop()
            if 0 <= row < 96 and 0 <= column < 96 and left[row, column]:
                left[row, column], part[row, column] = False, True
                stack += [(row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)]
        parts.append(part)
    return parts


def shape_of(seen: Seen) -> str:
    """The shape whose profile is nearest; of several things alike, that of the first."""
    part = components(seen.mask)[0]
    rows = np.flatnonzero(part.any(axis=1))
    box = part[rows[0] : rows[-1] + 1, part.any(axis=0)]
    widths = box.sum(axis=1)
    found = [widths[int(height * len(widths))] / widths.max() for height in HEIGHTS] + [box.mean()]
    return min(PROFILES, key=lambda known: sum((a - b) ** 2 for a, b in zip(known[1], found, strict=True)))[0]


class Caption:
    """Checks the claims of one caption against the pixels, one assertion each."""

    def __init__(self, pixels: NDArray[np.uint8], caption: str) -> None:
        self.pixels = pixels
        self.hidden = ""
        for pattern, claims in CLAIMS:
            match = re.fullmatch(pattern, caption)
            if match:
                parts = match.groupdict()
                things = {key: parts[key] for key in "xyz" if parts.get(key)}
                self.hidden = {"behind": "x", "front": "y"}.get(str(claims), "")
                self.seen = {key: see(pixels, colour_in(words)) for key, words in things.items()}
                if claims == "together" and "y" in things and overlap(self.seen["x"], self.seen["y"]):
                    self.hidden = "x"
                for key, words in things.items():
                    self.check_words(words, self.seen[key], hidden=key == self.hidden)
                if parts.get("ground"):
                    assert ground_of(pixels) == parts["ground"]
                if parts.get("line"):
                    self.check_line(parts["line"], self.seen["y" if "y" in self.seen else "x"])
                self.check_relation(claims, parts.get("place"))
                return
        raise AssertionError(f"not in the grammar: {caption}")

    def check_words(self, words: str, seen: Seen, *, hidden: bool) -> None:
        number = NUMBERS[words.split()[0]]
        assert seen.number == number or hidden
        height = (seen.bottom - seen.top, seen.right - seen.left)
        if number == 1 and "large" in words:
            assert max(height) >= 24
        if number == 1 and "small" in words:
            assert max(height) <= 20
        texture = "striped" if 0.4 < seen.light < 0.6 else "dotted" if 0.1 < seen.light < 0.4 else "plain"
        assert texture == next((word for word in ("striped", "dotted") if word in words), "plain")
        if not hidden and not self.holed(seen):
            assert shape_of(seen) in words

    def holed(self, seen: Seen) -> bool:
        """Whether something else lies on it, which spoils its outline's widths."""
        column, row = (int(value) for value in seen.centre)
        return not seen.mask[row, column]

    def check_line(self, line: str, seen: Seen) -> None:
        wide, high = seen.right - seen.left, seen.bottom - seen.top
        assert wide > high if line == "row" else high > wide

    def check_relation(self, claim: Any, place: str | None) -> None:
        seen = self.seen
        x, y, z = (seen.get(key) for key in "xyz")
        if place:
            assert x
            assert place == place_of(x)
        elif claim == "left":
            assert x.right < y.left
        elif claim == "right":
            assert x.left > y.right
        elif claim == "beside":
            assert x.right < y.left or y.right < x.left
        elif claim == "above":
            assert x.bottom < y.top
        elif claim == "below":
            assert x.top > y.bottom
        elif claim == "inside":
            assert y.left < x.left < x.right < y.right
            assert y.top < x.top < x.bottom < y.bottom
            assert max(abs(a - b) for a, b in zip(x.centre, y.centre, strict=True)) <= 3
        elif claim == "between":
            assert ordered(y, x, z)
        elif claim == "across":
            assert y.right < x.left < x.right < z.left
        elif claim == "down":
            assert y.bottom < x.top < x.bottom < z.top
        elif claim in ("behind", "front"):
            back, front = (x, y) if claim == "behind" else (y, x)
            # That the front one is whole, its outline has shown.
            assert overlap(front, back)
            assert back.mask.sum() > 150
        else:
            assert claim == "together"


def overlap(first: Seen, second: Seen) -> bool:
    across = first.left < second.right and second.left < first.right
    return across and first.top < second.bottom and second.top < first.bottom


def ordered(first: Seen, second: Seen, third: Seen) -> bool:
    across = first.right < second.left < second.right < third.left
    down = first.bottom < second.top < second.bottom < third.top
    return across or down


def colour_in(words: str) -> str:
    return next(word for word in words.split() if word in COLOURS)


def ground_of(pixels: NDArray[np.uint8]) -> str:
    tones, counts = np.unique(pixels.reshape(-1, 3), axis=0, return_counts=True)
    common = tones[np.argsort(-counts)[:2]].astype(int)
    level = int(common[0].mean())
    if counts.max() < 0.55 * counts.sum() and abs(common).min() > 200 and np.ptp(common.mean(axis=1)) < 40:
        return "chequered"
    return "white" if level > 240 else "black" if level < 60 else "grey"


def place_of(seen: Seen) -> str:
    # Large things in a corner have their centres at a quarter; those in the middle at a half, within a few pixels.
    column, row = ("low" if value < 38 else "high" if value > 58 else "mid" for value in seen.centre)
    vertical, horizontal = {"low": "top", "high": "bottom"}.get(row), {"low": "left", "high": "right"}.get(column)
    if vertical and horizontal:
        return f"in the {vertical} {horizontal} corner"
    if vertical:
        return f"at the {vertical}"
    return f"on the {horizontal}" if horizontal else "in the middle"


X, Y, Z = (f"(?P<{key}>{THING})" for key in "xyz")
GROUND = r" on a (?P<ground>\w+) background"
LINE = r"(?:a (?P<line>row|column) of )?"
CLAIMS = (
    (f"{X} to the left of {Y}", "left"),
    (f"{X} to the right of {Y}", "right"),
    (f"{Y} with {X} to its left", "left"),
    (f"{Y} with {X} to its right", "right"),
    (f"{X} beside {LINE}{Y}", "beside"),
    (f"{X} (?:above|over) {LINE}{Y}", "above"),
    (f"{X} (?:below|under) {LINE}{Y}", "below"),
    (f"{Y} with {X} above it", "above"),
    (f"{Y} with {X} below it", "below"),
    (f"{X} and {Y}{GROUND}", "together"),
    (f"{X} (?:inside|in the middle of) {Y}(?:{GROUND})?", "inside"),
    (f"{Y} with {X} (?:inside it|in the middle)", "inside"),
    (f"{X} (?:partly )?behind {Y}", "behind"),
    (f"{X} (?:in front of|partly covering) {Y}", "front"),
    (f"(?:there is )?{X} between {Y} and {Z}", "between"),
    (f"{Y} and {Z} with {X} between them", "between"),
    (f"{Y} and {Z} on either side of {X}", "across"),
    (f"{Y} above and {Z} below {X}", "down"),
    (f"{Y} and {X} and {Z} in a row", "across"),
    (f"{Y} and {X} and {Z} in a column", "down"),
    (f"(?:there are )?{X} in a (?P<line>row|column)(?:{GROUND})?", "together"),
    (f"a (?P<line>row|column) of {X}(?:{GROUND})?", "together"),
    (f"(?:there is )?{X} (?P<place>{PLACE})(?:{GROUND}| of a (?P<ground2>\\w+) picture)?", "place"),
    (f"a (?P<ground>\\w+) picture with {X} (?P<place>{PLACE})", "place"),
)
