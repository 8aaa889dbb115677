"""What stands where in a picture of the built-in data set: decided by (seed, index) alone, in integers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from captioner.data.shapes.dice import Dice

SIDE: Final = 96
"""Width and height of a picture, in pixels."""

SHAPES: Final = ("circle", "square", "triangle", "diamond", "star", "cross")
COLOURS: Final = ("red", "orange", "yellow", "green", "blue", "purple", "pink")
BACKGROUNDS: Final = ("white", "grey", "black", "chequered")
PLACES: Final = {
    "in the top left corner": (0, 0),
    "at the top": (1, 0),
    "in the top right corner": (2, 0),
    "on the left": (0, 1),
    "in the middle": (1, 1),
    "on the right": (2, 1),
    "in the bottom left corner": (0, 2),
    "at the bottom": (1, 2),
    "in the bottom right corner": (2, 2),
}
"""Where a lone thing can be, with its column and row in a grid of three by three."""

_MARGIN: Final = 4
_GAP: Final = 3
_SMALL: Final = (8, 10)
_LARGE: Final = (17, 20)
_MEDIUM: Final = (11, 12)
_SURROUNDING: Final = (26, 30)

Size = Literal["small", "large", ""]
Texture = Literal["plain", "striped", "dotted"]


@dataclass(frozen=True, slots=True)
class Thing:
    """One thing in a picture; lengths in pixels, ``x`` to the right and ``y`` down, to its centre."""

    shape: str
    colour: str
    texture: Texture
    size: Size
    """What captions call its size; empty where they do not."""
    x: int
    y: int
    radius: int


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture: groups of alike things, the most salient group first, which is also the order of drawing."""

    relation: str
    """What the first group is to the second, such as ``left``; or how, or in which of ``PLACES``, a lone group is."""
    background: str
    groups: tuple[tuple[Thing, ...], ...]


def scene(seed: int, index: int, attempt: int = 0) -> Scene:
    """The picture ``index`` of the data set with this ``seed``; another one at each ``attempt``."""
    dice = Dice(f"shapes:{seed}:{index}" + (f":{attempt}" if attempt else ""))
    kind = dice.pick(_KINDS)
    relation, groups = kind(dice)
    return Scene(relation, dice.pick(BACKGROUNDS), groups)


Groups = tuple[tuple[Thing, ...], ...]


def _pair(dice: Dice) -> tuple[str, Groups]:
    """Two things beside or above each other. The larger is the more salient; of two alike, the left or upper."""
    shapes, colours = dice.pick_several(SHAPES, 2), dice.pick_several(COLOURS, 2)
    sizes: list[Size] = [dice.pick(_SIZES), dice.pick(_SIZES)]
    textures = _textures(dice, sizes)
    radii = [_radius(dice, size) for size in sizes]
    along = _spread(dice, radii)
    middle = dice.between(40, 56)
    across = [middle + dice.between(-3, 3) for _ in radii]
    horizontal = dice.below(2) == 0
    things = [
        _thing(shapes[i], colours[i], textures[i], sizes[i], (along[i], across[i]), radii[i], horizontal)
        for i in range(2)
    ]
    relation = "left" if horizontal else "above"
    if sizes == ["small", "large"]:
        relation = _OPPOSITE[relation]
        things.reverse()
    return relation, tuple((thing,) for thing in things)


def _crowd(dice: Dice) -> tuple[str, Groups]:
    """A large thing, and a line of small ones on one side of it."""
    shapes, colours = dice.pick_several(SHAPES, 2), dice.pick_several(COLOURS, 2)
    number = dice.between(2, 5)
    large, small = _radius(dice, "large"), _row_radius(dice, number)
    horizontal, large_first = dice.below(2) == 0, dice.below(2) == 0
    along = _spread(dice, [large, small] if large_first else [small, large])
    if not large_first:
        along.reverse()
    across = dice.between(large + _MARGIN, SIDE - large - _MARGIN)
    one = _thing(shapes[0], colours[0], dice.pick(_TEXTURES), "large", (along[0], across), large, horizontal)
    line = tuple(
        _thing(shapes[1], colours[1], "plain", "small", (along[1], position), small, horizontal)
        for position in _spread(dice, [small] * number)
    )
    relation = "left" if horizontal else "above"
    return relation if large_first else _OPPOSITE[relation], ((one,), line)


def _inside(dice: Dice) -> tuple[str, Groups]:
    """A small thing in the middle of a large one."""
    outer, inner = dice.pick(("circle", "square", "diamond")), dice.pick(SHAPES)
    colours = dice.pick_several(COLOURS, 2)
    radius = dice.between(*_SURROUNDING)
    x, y = (dice.between(radius + _MARGIN, SIDE - radius - _MARGIN) for _ in range(2))
    return "around", (
        (Thing(outer, colours[0], dice.pick(_TEXTURES), "large", x, y, radius),),
        (Thing(inner, colours[1], "plain", "small", x, y, dice.between(8, 9)),),
    )


def _behind(dice: Dice) -> tuple[str, Groups]:
    """Two things of which one covers a part of the other."""
    colours = dice.pick_several(COLOURS, 2)
    back, front = dice.pick(("circle", "square")), dice.pick(SHAPES)
    size: Size = dice.pick(_SIZES)
    textures = _textures(dice, ["large", size])
    radii = dice.between(23, 25), _radius(dice, size)
    # Near the edge, where the front one neither hides much nor lies inside.
    shift = radii[0] * 4 // 5
    left, right = radii[0], max(radii[0], shift + radii[1])
    along = dice.between(left + _MARGIN, SIDE - right - _MARGIN)
    across = dice.between(radii[0] + _MARGIN, SIDE - radii[0] - _MARGIN)
    horizontal, mirrored = dice.below(2) == 0, dice.below(2) == 0
    places = [SIDE - place if mirrored else place for place in (along, along + shift)]
    return "behind", (
        (_thing(back, colours[0], textures[0], "large", (places[0], across), radii[0], horizontal),),
        (_thing(front, colours[1], textures[1], size, (places[1], across), radii[1], horizontal),),
    )


def _between(dice: Dice) -> tuple[str, Groups]:
    """Three things in a row or column. The middle one is the most salient."""
    shapes, colours = dice.pick_several(SHAPES, 3), dice.pick_several(COLOURS, 3)
    radii = [dice.between(*_MEDIUM) for _ in range(3)]
    along = _spread(dice, radii)
    middle = dice.between(32, 64)
    horizontal = dice.below(2) == 0
    first, second, third = (
        _thing(shapes[i], colours[i], "plain", "", (along[i], middle + dice.between(-3, 3)), radii[i], horizontal)
        for i in range(3)
    )
    return "between across" if horizontal else "between down", ((second,), (first,), (third,))


def _place(dice: Dice) -> tuple[str, Groups]:
    """One thing, in a corner, at an edge, or in the middle."""
    place = dice.pick(tuple(PLACES))
    size: Size = dice.pick(_SIZES)
    radius, (texture,) = _radius(dice, size), _textures(dice, [size])
    near = radius + _MARGIN + dice.below(3)
    x, y = ((near, SIDE // 2 + dice.between(-3, 3), SIDE - near)[position] for position in PLACES[place])
    return place, ((Thing(dice.pick(SHAPES), dice.pick(COLOURS), texture, size, x, y, radius),),)


def _line(dice: Dice) -> tuple[str, Groups]:
    """Some things alike in a row or column."""
    number = dice.between(3, 5)
    radius = _row_radius(dice, number)
    across = dice.between(24, 72)
    horizontal = dice.below(2) == 0
    shape, colour = dice.pick(SHAPES), dice.pick(COLOURS)
    group = tuple(
        _thing(shape, colour, "plain", "small", (position, across), radius, horizontal)
        for position in _spread(dice, [radius] * number)
    )
    return "row" if horizontal else "column", (group,)


_KINDS: Final = (*[_pair] * 4, *[_crowd] * 3, *[_inside] * 2, *[_behind] * 2, *[_between] * 2, *[_place] * 2, _line)
_OPPOSITE: Final = {"left": "right", "above": "below"}
_SIZES: Final[tuple[Size, ...]] = ("small", "large")
_TEXTURES: Final[tuple[Texture, ...]] = ("plain", "striped", "dotted")


def _textures(dice: Dice, sizes: Sequence[Size]) -> list[Texture]:
    """A texture for one of the large things, if any: on small ones it is hard to see, and two make captions long."""
    textures: list[Texture] = ["plain"] * len(sizes)
    large = [i for i, size in enumerate(sizes) if size == "large"]
    if large:
        textures[dice.pick(large)] = dice.pick(_TEXTURES)
    return textures


def _thing(
    shape: str, colour: str, texture: Texture, size: Size, place: tuple[int, int], radius: int, horizontal: bool
) -> Thing:
    """A thing at ``place`` along and across the axis."""
    x, y = place if horizontal else reversed(place)
    return Thing(shape, colour, texture, size, x, y, radius)


def _radius(dice: Dice, size: Size) -> int:
    return dice.between(*(_SMALL if size == "small" else _LARGE))


def _row_radius(dice: Dice, number: int) -> int:
    return 7 if number > 4 else dice.between(8, 9)


def _spread(dice: Dice, radii: Sequence[int]) -> list[int]:
    """Centres of things of these ``radii`` in a line across the picture, none touching the next."""
    gaps = len(radii) - 1
    slack = SIDE - 2 * _MARGIN - 2 * sum(radii) - _GAP * gaps
    gap = _GAP + dice.between(0, slack // gaps // 2)
    position = _MARGIN + dice.between(0, slack - (gap - _GAP) * gaps)
    centres = []
    for radius in radii:
        centres.append(position + radius)
        position += 2 * radius + gap
    return centres
