"""A scene of the built-in data set -> pixels, in integer arithmetic, so that every machine draws the same.

Edges are smoothed by counting, of the 4 x 4 points in a pixel, those that lie inside.
"""

from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from captioner.data.shapes.scenes import SIDE, Scene, Thing

Pixels = NDArray[np.uint8]
Whole = NDArray[np.int64]

_FINE: Final = 4
"""Points in a pixel, each way."""
_ALL: Final = _FINE * _FINE
_REACH: Final = 4
"""Pixels by which a star's tips, with their outline, may reach beyond its radius: it looks small otherwise."""

_COLOURS: Final = {
    "red": (214, 40, 46),
    "orange": (244, 128, 20),
    "yellow": (250, 212, 48),
    "green": (42, 157, 76),
    "blue": (38, 92, 214),
    "purple": (148, 64, 190),
    "pink": (246, 140, 190),
}
_BACKGROUNDS: Final = {
    "white": ((252, 252, 250), (252, 252, 250)),
    "grey": ((182, 184, 188), (182, 184, 188)),
    "black": ((24, 24, 28), (24, 24, 28)),
    "chequered": ((246, 244, 238), (216, 214, 206)),
}
_CHEQUER: Final = 12

_EDGES: Final = {
    # How many of these half-planes a point must lie in, and each one's normal and distance, in thousandths of the
    # radius. A star is where at least four of the five lines through its tips are respected.
    "triangle": (3, ((0, 1000, 700), (866, -500, 500), (-866, -500, 500))),
    "square": (4, ((1000, 0, 860), (-1000, 0, 860), (0, 1000, 860), (0, -1000, 860))),
    "diamond": (4, ((781, 625, 625), (-781, 625, 625), (781, -625, 625), (-781, -625, 625))),
    "star": (4, ((0, -1000, 345), (951, -309, 345), (588, 809, 345), (-588, 809, 345), (-951, -309, 345))),
}


def draw(scene: Scene) -> Pixels:
    """The picture of ``scene``, (SIDE, SIDE, 3) in RGB."""
    pixels = _background(scene.background).copy()
    for group in scene.groups:
        for thing in group:
            _draw_thing(pixels, thing)
    return pixels.astype(np.uint8)


@cache
def _background(name: str) -> Whole:
    squares = np.arange(SIDE) // _CHEQUER
    odd = (squares[:, None] + squares) % 2
    tones: Whole = np.array(_BACKGROUNDS[name], dtype=np.int64)
    squared: Whole = tones[odd]
    return squared


def _draw_thing(pixels: Whole, thing: Thing) -> None:
    colour = np.array(_COLOURS[thing.colour], dtype=np.int64)
    light = (colour * 3 + 255 * 7) // 10
    edge = colour * 6 // 10
    reach = thing.radius + _REACH
    window = pixels[thing.y - reach : thing.y + reach, thing.x - reach : thing.x + reach]
    pattern = _blend(colour, light, _pattern(thing.texture, thing.radius))
    window[:] = _blend(window, edge, _inside(thing.shape, thing.radius, -1))
    window[:] = _blend(window, pattern, _inside(thing.shape, thing.radius, 1))


def _blend(below: Whole, above: Whole, share: Whole) -> Whole:
    """``above`` over ``below``, where ``share`` of ``_ALL`` parts of each pixel are covered."""
    return (below * (_ALL - share) + above * share + _ALL // 2) // _ALL


def _points(radius: int) -> tuple[Whole, Whole]:
    """The points around a thing's centre, x and y in eighths of a pixel (odd numbers: centres of their cells)."""
    half = _FINE * (radius + _REACH)
    line = 2 * np.arange(-half, half, dtype=np.int64) + 1
    return line[None, :], line[:, None]


def _count(points: NDArray[np.bool_]) -> Whole:
    """How many of each pixel's points are true, (H, W, 1)."""
    side = points.shape[0] // _FINE
    counts: Whole = points.reshape(side, _FINE, side, _FINE).sum(axis=(1, 3), dtype=np.int64)
    return counts[:, :, None]


@cache
def _inside(shape: str, radius: int, border: int) -> Whole:
    """How many points of each pixel lie in the shape, at least ``border`` half pixels inside its outline."""
    x, y = _points(radius)
    unit = 2 * _FINE
    size, border = radius * unit, border * unit // 2
    if shape == "circle":
        return _count(x * x + y * y <= (size - border) ** 2)
    if shape == "cross":
        long, short = size * 94 // 100 - border, size * 32 // 100 - border
        return _count(((abs(x) <= long) & (abs(y) <= short)) | ((abs(x) <= short) & (abs(y) <= long)))
    needed, edges = _EDGES[shape]
    lies = [x * across + y * down <= size * distance - border * 1000 for across, down, distance in edges]
    return _count(np.sum(lies, axis=0) >= needed)


@cache
def _pattern(texture: str, radius: int) -> Whole:
    """How many points of each pixel have the light tone."""
    x, y = _points(radius)
    unit = 2 * _FINE
    if texture == "striped":
        return _count((x + y) % (6 * unit) < 3 * unit)
    if texture == "dotted":
        period = 5 * unit
        across, down = ((axis + period // 2) % period - period // 2 for axis in (x, y))
        return _count(across * across + down * down <= (unit * 3 // 2) ** 2)
    return _count(np.zeros((y.size, x.size), dtype=np.bool_))
