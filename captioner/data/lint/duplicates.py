"""The same picture twice: by its bytes, or as a copy that was saved anew, scaled or a little cropped."""

from collections.abc import Iterable, Sequence
from itertools import groupby

import numpy as np

from captioner.data.decoding import open_image
from captioner.data.formats.reading import Entry, counted
from captioner.data.lint.perceptual import COPY, Floats, candidates, similarity
from captioner.data.lint.pictures import PictureFacts, thumbnail
from captioner.data.lint.report import Finding
from captioner.errors import ImageError
from captioner.events import Listener, Progress
from captioner.parallel import in_order

_LEAK = "remove all but one: scores on pictures that were trained on are worth nothing"


def duplicate_findings(
    entries: Sequence[Entry], facts: Sequence[PictureFacts | ImageError], listener: Listener
) -> Iterable[Finding]:
    """Pictures that are in two splits, or twice in one; copies are looked for across splits only."""
    pictures = [(entry, fact) for entry, fact in zip(entries, facts, strict=True) if isinstance(fact, PictureFacts)]
    groups: dict[bytes, list[Entry]] = {}
    for entry, fact in pictures:
        groups.setdefault(fact.digest, []).append(entry)
    several = [group for group in groups.values() if len(group) > 1]
    across = [_shown(group) for group in several if len({entry.split for entry in group}) > 1]
    within = [_shown(group) for group in several if len({entry.split for entry in group}) == 1]
    if across:
        problem = f"{counted(len(across), 'picture')} in more than one split, byte for byte"
        yield Finding.of("same-picture-across-splits", "error", across, problem, _LEAK)
    if similar := [_shown(pair) for pair in near_copies(pictures, listener)]:
        problem = f"{counted(len(similar), 'pair')} of nearly the same picture in different splits"
        yield Finding.of("similar-pictures-across-splits", "error", similar, problem, _LEAK)
    if within:
        problem = f"{counted(len(within), 'picture')} more than once in a split, byte for byte"
        remedy = "remove all but one, or put all captions with one of them: it counts double"
        yield Finding.of("same-picture-in-split", "note", within, problem, remedy)


def _shown(group: Sequence[Entry]) -> str:
    """The first of each split, then others, at most three."""
    leading = {id(entry) for entry in {entry.split: entry for entry in reversed(group)}.values()}
    ordered = sorted(group, key=lambda entry: id(entry) not in leading)
    names = " = ".join(f"{entry.name} ({entry.split or 'no split'})" for entry in ordered[:3])
    return names if len(ordered) <= 3 else f"{names} and {len(ordered) - 3:,} more"


def near_copies(pictures: Sequence[tuple[Entry, PictureFacts]], listener: Listener) -> list[tuple[Entry, Entry]]:
    """Pairs of pictures in different splits that are nearly the same, though not byte for byte."""
    # One of those that are the same file, or a thousand blank forms would make a million pairs.
    rich = list({(fact.digest, entry.split): (entry, fact) for entry, fact in pictures if fact.hashes}.values())
    splits = sorted({entry.split or "" for entry, _ in rich})
    if len(splits) < 2:
        return []
    table = np.frombuffer(b"".join(fact.hashes or b"" for _, fact in rich), dtype=np.uint64).reshape(len(rich), -1)
    pairs = candidates(table, np.array([splits.index(entry.split or "") for entry, _ in rich]))
    pairs = [(i, j) for i, j in pairs if rich[i][1].digest != rich[j][1].digest]
    copies: list[tuple[Entry, Entry]] = []
    by_first = [
        [rich[i][0], *(rich[j][0] for _, j in several)] for i, several in groupby(pairs, key=lambda pair: pair[0])
    ]
    for done, found in enumerate(in_order(_compare, by_first), 1):
        copies += found
        listener(Progress("possible copies", done, len(by_first), "pictures"))
    return copies


def _compare(several: Sequence[Entry]) -> list[tuple[Entry, Entry]]:
    """The first picture with each of the others that is a copy of it. The files are read anew: few are candidates."""
    first, *others = several
    whole = _colours(first)
    return [(first, other) for other in others if similarity(whole, _colours(other)) >= COPY]


def _colours(entry: Entry) -> Floats:
    with open_image(entry.file) as image:
        return np.ascontiguousarray(thumbnail(image, "RGB").transpose(2, 0, 1))
