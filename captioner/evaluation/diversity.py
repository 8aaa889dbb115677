"""What scores do not show: whether captions differ from picture to picture, repeat themselves, or copy."""

import random
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from captioner.text import detokenize

Words = Sequence[str]

_FEWEST = 20
"""Fewer captions than these may be alike by chance."""
_ALIKE = 0.1
"""Share of pairs of pictures with one caption that is called a collapse: ten captions, equally common, have it."""
_TOO_OFTEN = 0.5
"""Share of captions that repeat themselves, or of words that no reference has, above which a warning says so."""
_SHORT, _LONG = range(1, 5), 5
"""Words repeated at once, and words repeated anywhere in a caption."""


@dataclass(frozen=True)
class Diversity:
    """Figures on captions of different pictures, one each; the shares are 0 to 1."""

    distinct_caption_ratio: float
    """Different captions for each picture: 1 when no two are equal, token by token."""
    novel_caption_ratio: float | None
    """Share of captions that no training caption equals; None where the training captions are not known."""
    mean_length: float
    """Words."""
    repetition_rate: float
    """Share of captions that repeat themselves, as :func:`repeats_itself` says."""
    unknown_word_rate: float
    """Share of all words that no reference of any of the pictures has."""
    unchanged_when_swapped: float | None
    """Share of captions that stay the same when the picture is exchanged for another; None where none was."""
    collapse: str | None
    """The warning of :func:`collapse`."""


def measure(
    captions: Sequence[Words],
    references: Iterable[Words],
    training: Collection[tuple[str, ...]] | None = None,
    swapped: Sequence[tuple[Words, Words]] = (),
) -> Diversity:
    """Figures on at least one caption, given the references of its pictures and a set of all training captions.

    ``swapped`` are captions, of some of the pictures, with the picture and with another one in its place.
    """
    count = len(captions)
    found = [tuple(words) for words in captions]
    known = {word for words in references for word in words}
    words = [word for caption in found for word in caption]
    unknown = sum(word not in known for word in words) / max(1, len(words))
    return Diversity(
        distinct_caption_ratio=len(set(found)) / count,
        novel_caption_ratio=None if training is None else sum(words not in training for words in found) / count,
        mean_length=len(words) / count,
        repetition_rate=sum(map(repeats_itself, found)) / count,
        unknown_word_rate=unknown,
        unchanged_when_swapped=sum(own == other for own, other in swapped) / len(swapped) if swapped else None,
        collapse=collapse(found, unknown),
    )


def others(count: int) -> list[int]:
    """For each of ``count`` pictures, at least two, another one to take its place, drawn by chance."""
    order = random.Random(count).sample(range(count), count)
    return [other for _, other in sorted(zip(order, order[1:] + order[:1], strict=True))]


def repeats_itself(words: Words) -> bool:
    """Whether a caption stutters, as people hardly ever do (0.07 % of Flickr8k's captions).

    It has one to four words twice in succession, or twice with only an "and" between them ("a dog and a dog"), or
    the same five words twice anywhere.
    """
    for size in _SHORT:
        for start in range(len(words) - 2 * size + 1):
            first, after = words[start : start + size], start + size
            if first == words[after : after + size]:
                return True
            if words[after] == "and" and first == words[after + 1 : after + 1 + size]:
                return True
    long = Counter(tuple(words[start : start + _LONG]) for start in range(len(words) - _LONG + 1))
    return any(count > 1 for count in long.values())


def collapse(captions: Sequence[Words], unknown_word_rate: float = 0.0) -> str | None:
    """A warning, with the likely cause of each, of what is wrong with captions of different pictures; else None.

    They hardly differ, more than half of them repeat themselves, or more than half of their words are in no reference,
    as ``unknown_word_rate`` says. Of fewer than 20 captions nothing is said.
    """
    if len(captions) < _FEWEST:
        return None
    unknown = (
        f"{unknown_word_rate:.0%} of the captions' words are in no reference; likely cause: references of other "
        "pictures or in another language than the captions; check that they belong together"
    )
    found = [_alike(captions), _repetition(captions), unknown if unknown_word_rate > _TOO_OFTEN else None]
    return "; besides, ".join(warning for warning in found if warning) or None


def _alike(captions: Sequence[Words]) -> str | None:
    """Captions hardly differ when two pictures, drawn at random, get the same one time in ten or oftener.

    This is Simpson's index of diversity.
    """
    count = len(captions)
    counts = Counter(tuple(words) for words in captions)
    alike = sum(several * (several - 1) for several in counts.values()) / (count * (count - 1))
    if alike < _ALIKE:
        return None
    commonest, times = counts.most_common(1)[0]
    shown = f"'{detokenize(commonest)}'" if commonest else "an empty caption"
    return (
        f"captions hardly differ from picture to picture: {times:,} of {count:,} pictures get {shown}; likely cause: "
        "too little training, too few pictures to learn from, too high a learning rate, pictures that are prepared "
        "otherwise than in training, or pictures that are nearly the same"
    )


def _repetition(captions: Sequence[Words]) -> str | None:
    count, repeating = len(captions), [words for words in captions if repeats_itself(words)]
    if len(repeating) <= _TOO_OFTEN * count:
        return None
    return (
        f"captions repeat themselves: {len(repeating):,} of {count:,} do, such as '{detokenize(repeating[0])}'; likely "
        "cause: too little training; sampling.no_repeat_ngram: 2 forbids most of it"
    )
