"""Telling copies of a picture, re-encoded, resized or a little cropped, from pictures that only look alike.

A hash of 64 signs of low frequencies (Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions",
2010) finds candidates in a table instead of comparing all with all; ``similarity`` then decides.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

SIDE: Final = 64
"""Pictures are compared as squares of this many pixels a side, whatever their shape."""
COPY: Final = 0.88
"""Least ``similarity`` of a copy: those of Flickr8k's photos have 0.94, but for one in twenty. Its two most similar
photos of different splits, taken of one scene a moment apart, have 0.72, and no others 0.6."""

_DISTANCE = 11  # Bits by which the hashes of copies may differ. Of four parts, one then differs by two at most.
_DETAIL = 0.5  # Least share of a picture that is not plain: 98.8 % of Flickr8k's photos have more.
_FINE = 24
_STEP = 0.01

Floats = NDArray[np.float32]
Hashes = NDArray[np.uint64]


def _averages(low: float, high: float, size: int) -> Floats:
    """(size, SIDE): averages the part ``low`` to ``high`` (0 to 1) of SIDE pixels into ``size``."""
    edges = np.linspace(low * SIDE, high * SIDE, size + 1)
    pixels = np.arange(SIDE)
    weights: Floats = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    weights = weights.clip(0).astype(np.float32)
    return np.asarray(weights / weights.sum(1, keepdims=True), dtype=np.float32)


def _cosines(low: float, high: float) -> Floats:
    """(8, SIDE): the eight lowest frequencies of the part ``low`` to ``high``."""
    waves = np.cos(np.pi * (np.arange(32) + 0.5) * np.arange(8)[:, None] / 32).astype(np.float32)
    return np.asarray(waves @ _averages(low, high, 32), dtype=np.float32)


# What is cut off left, top, right and bottom. A copy cropped by up to a tenth is near one of these.
_VIEWS = [(0.0,) * 4, (0.05,) * 4, (0.1,) * 4, (0.05, 0.05, 0, 0), (0, 0.05, 0.05, 0), (0, 0, 0.05, 0.05)]
_VIEWS += [(0.05, 0, 0, 0.05)]
_ROWS = np.stack([_cosines(top, 1 - bottom) for _, top, _, bottom in _VIEWS])
_COLUMNS = np.stack([_cosines(left, 1 - right).T for left, _, right, _ in _VIEWS])

_CUTS = 14  # 0 to 13 hundredths of a side.
_CROP = [[_averages(i * _STEP, 1 - j * _STEP, _FINE) for j in range(_CUTS)] for i in range(_CUTS)]
Cut = tuple[int, int, int, int]
_STARTS: list[Cut] = [(k, k, k, k) for k in range(0, 14, 2)]
_STARTS += [
    (5, 5, 0, 0),
    (0, 5, 5, 0),
    (0, 0, 5, 5),
    (5, 0, 0, 5),
    (8, 0, 0, 0),
    (0, 8, 0, 0),
    (0, 0, 8, 0),
    (0, 0, 0, 8),
]


def hashes(grey: Floats) -> Hashes | None:
    """(SIDE, SIDE), 0 to 255 -> the hashes of the whole picture and of crops of it; ``None`` if it is too plain."""
    small = _CROP[0][0] @ grey @ _CROP[0][0].T
    steps = np.concatenate([np.diff(small, axis=0).ravel(), np.diff(small, axis=1).ravel()])
    if (np.abs(steps) > 2).mean() < _DETAIL:
        return None
    waves = (_ROWS @ grey @ _COLUMNS).reshape(len(_VIEWS), 64)
    ranked = np.sort(waves, axis=1)
    signs = waves > (ranked[:, 31:32] + ranked[:, 32:33]) / 2
    return np.packbits(signs, axis=1).view(np.uint64).ravel()


def candidates(table: Hashes, groups: NDArray[np.int64]) -> list[tuple[int, int]]:
    """(n, views) hashes, and each picture's group -> pairs of different groups that may be copies.

    Pictures of the largest group are looked up by the others only, and never compared with each other.
    """
    if not len(table):
        return []
    rest = np.flatnonzero(groups != np.bincount(groups).argmax())
    views = table.shape[1]
    flat = table.ravel()
    pairs = {(i // views, int(rest[j])) for i, j in _close(flat, table[rest, 0])}
    pairs |= {(i, int(rest[j // (views - 1)])) for i, j in _close(table[:, 0], table[rest, 1:].ravel())}
    return sorted({(min(i, j), max(i, j)) for i, j in pairs if groups[i] != groups[j]})


_POPULATION = np.array([bin(number).count("1") for number in range(1 << 16)], dtype=np.uint8)
# All numbers of 16 bits with at most two set: what a part of the hash may differ by.
_MASKS = np.array([0, *(1 << i for i in range(16)), *(1 << i | 1 << j for i in range(16) for j in range(i))])
_AT_ONCE = 64


def _close(stored: Hashes, asked: Hashes) -> Iterator[tuple[int, int]]:
    """Places in ``stored`` and ``asked`` whose hashes differ by ``_DISTANCE`` bits at most."""
    for part in range(4):
        keys, wanted = (
            ((some >> np.uint64(16 * part)) & np.uint64(0xFFFF)).astype(np.int64) for some in (stored, asked)
        )
        order = np.argsort(keys, kind="stable")
        starts = np.searchsorted(keys[order], np.arange((1 << 16) + 1))
        for first in range(0, len(asked), _AT_ONCE):
            probes = wanted[first : first + _AT_ONCE, None] ^ _MASKS
            lows, counts = starts[probes].ravel(), (starts[probes + 1] - starts[probes]).ravel()
            total = int(counts.sum())
            # The places of all buckets in one row: each bucket's beginning, and its numbers from 0 on.
            places = order[np.arange(total) + np.repeat(lows - np.cumsum(counts) + counts, counts)]
            askers = first + np.repeat(np.repeat(np.arange(len(probes)), len(_MASKS)), counts)
            differing = (stored[places] ^ asked[askers]).view(np.uint16).reshape(-1, 4)
            near = _POPULATION[differing].sum(1) <= _DISTANCE
            yield from zip(places[near].tolist(), askers[near].tolist(), strict=True)


def similarity(one: Floats, other: Floats) -> float:
    """(3, SIDE, SIDE) each -> -1 to 1: the correlation of their edges, one cropped so as to lie on the other."""
    if _is_grey(one) or _is_grey(other):
        one, other = one.mean(0, keepdims=True), other.mean(0, keepdims=True)
    return max(_best_crop(one, other), _best_crop(other, one))


def _is_grey(picture: Floats) -> bool:
    return bool((np.ptp(picture, axis=0) < 8).all())


def _best_crop(cropped: Floats, whole: Floats) -> float:
    """Climb from the best of a few crops to the best crop nearby."""
    target = _edges(whole, (0, 0, 0, 0))
    known: dict[Cut, float] = {}

    def score(cut: Cut) -> float:
        if cut not in known:
            known[cut] = float(_edges(cropped, cut) @ target)
        return known[cut]

    best = max(_STARTS, key=score)
    if score(best) < 0.5:  # Other pictures: no crop nearby will do.
        return score(best)
    for step in (2, 1):
        while (better := max(_neighbours(best, step), key=score)) != best:
            best = better
    return score(best)


def _neighbours(cut: Cut, step: int) -> Iterator[Cut]:
    yield cut
    for side in range(4):
        for moved in (cut[side] - step, cut[side] + step):
            if 0 <= moved < _CUTS:
                yield (*cut[:side], moved, *cut[side + 1 :])  # type: ignore[misc]


def _edges(picture: Floats, cut: Cut) -> Floats:
    """Differences of neighbouring averages of what ``cut`` leaves, as a vector of length one."""
    left, top, right, bottom = cut
    small = _CROP[top][bottom] @ picture @ _CROP[left][right].T
    edges = np.concatenate([np.diff(small, axis=1).ravel(), np.diff(small, axis=2).ravel()])
    return np.asarray(edges / max(float(np.linalg.norm(edges)), 1e-6), dtype=np.float32)
